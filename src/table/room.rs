//! Room: units of capacity and weight.
//!
//! A unit is taken before a value is published where there was none, and given back, or handed to the
//! newcomer, by whoever emptied the cell. So there are never more values than `capacity`, not even for a
//! moment.

use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering::*};

/// How many values there are, and what they weigh.
pub(super) struct Room {
    capacity: usize,
    units: AtomicUsize,
    max_weight: u64,
    weight: AtomicU64,
}

impl Room {
    pub(super) fn new(capacity: usize, max_weight: u64) -> Self {
        Room { capacity, units: AtomicUsize::new(0), max_weight, weight: AtomicU64::new(0) }
    }

    /// Nothing yet.
    pub(super) fn none(&self) -> Taken<'_> {
        Taken { room: self, units: 0, weight: 0, surplus: 0 }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Whether a value of this weight could be kept at all.
    pub(super) fn could_hold(&self, weight: u32) -> bool {
        u64::from(weight) <= self.max_weight
    }

    // The orderings below: who gives room back releases that the value is gone, to who takes that
    // room or counts what is left; so nobody sees more values than there is room for. Relaxed where
    // room is refused: nothing was received.

    pub(super) fn units(&self) -> usize {
        self.units.load(Acquire)
    }

    pub(super) fn weight(&self) -> u64 {
        self.weight.load(Acquire)
    }

    pub(super) fn take_unit(&self) -> bool {
        let more = |units| (units < self.capacity).then(|| units + 1);
        self.units.fetch_update(Acquire, Relaxed, more).is_ok()
    }

    pub(super) fn take_weight(&self, weight: u64) -> bool {
        if weight == 0 {
            return true;
        }
        let more = |now: u64| now.checked_add(weight).filter(|sum| *sum <= self.max_weight);
        self.weight.fetch_update(Acquire, Relaxed, more).is_ok()
    }

    pub(super) fn give_back(&self, units: usize, weight: u32) {
        if units > 0 {
            self.units.fetch_sub(units, Release);
        }
        if weight > 0 {
            self.weight.fetch_sub(u64::from(weight), Release);
        }
    }
}

/// Room taken for a value that is about to be published; given back unless it was.
#[must_use]
pub(super) struct Taken<'a> {
    room: &'a Room,
    pub(super) units: usize,
    pub(super) weight: u32,
    /// What the replaced value weighed beyond the new one.
    pub(super) surplus: u32,
}

impl Taken<'_> {
    /// The value was published: the room is its own, and the old one's surplus is free.
    pub(super) fn spend(mut self) {
        self.room.give_back(0, self.surplus);
        (self.units, self.weight) = (0, 0);
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.room.give_back(self.units, self.weight);
    }
}
