//! Room, and who makes it: units of capacity and weight, the hand, the ghosts.
//!
//! The table is the clock: a hit sets both use bits of its slot, a hand sweeps the slots in order,
//! takes off a use where there is one, and evicts what has none. It looks at a bounded number of values
//! per insertion and then takes the least used it saw; of those, what is past its windows goes first.
//! What is being loaded is passed over. A small array of marks, the *ghosts* (after S3-FIFO's), lets a key
//! that comes back soon after its eviction start as used.
//!
//! Capacity is units: one is taken before a value is published where there was none, and given
//! back, or handed to the newcomer, by whoever emptied the cell. So there are never more values than
//! `capacity`, not even for a moment.

use super::bucket::MOST_USES;
use super::{Pos, Table};
use crate::snapshot::{Hold, Snapshot};
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering::*};
use crate::sync::{Arc, SLOTS};
use crate::time::Tick;

/// Values the hand looks at before it takes the least used one it saw.
const LOOKS: usize = 24;
/// Steps it takes at most while it looks for them, over slots and empty buckets.
const MOST_STEPS: usize = 4_096;
/// Evictions that one value may cost.
const MOST_EVICTIONS: usize = 16;

/// What making room cost others. The victims are dropped with it, when the step that they made room
/// for is over: their destructors are the user's.
pub(crate) struct Tally<K, V, E> {
    /// Servable values evicted.
    pub(crate) evicted: u64,
    displaced: Victims<K, V, E>,
}

/// In place, since eviction must not allocate.
struct Victims<K, V, E>([Option<Arc<Snapshot<K, V, E>>>; MOST_EVICTIONS]);

impl<K, V, E> Victims<K, V, E> {
    fn push(&mut self, victim: Arc<Snapshot<K, V, E>>) {
        if let Some(free) = self.0.iter_mut().find(|place| place.is_none()) {
            *free = Some(victim);
        }
    }
}

impl<K, V, E> Default for Tally<K, V, E> {
    fn default() -> Self {
        Tally { evicted: 0, displaced: Victims(Default::default()) }
    }
}

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

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    // The orderings below: Relaxed would do for the counts, which publish nothing; AcqRel makes a
    // count read at rest agree with what the reader knows to be there.

    pub(super) fn units(&self) -> usize {
        self.units.load(Acquire)
    }

    pub(super) fn weight(&self) -> u64 {
        self.weight.load(Acquire)
    }

    fn take_unit(&self) -> bool {
        let more = |units| (units < self.capacity).then(|| units + 1);
        self.units.fetch_update(AcqRel, Acquire, more).is_ok()
    }

    fn take_weight(&self, weight: u64) -> bool {
        if weight == 0 {
            return true;
        }
        let more = |now: u64| now.checked_add(weight).filter(|sum| *sum <= self.max_weight);
        self.weight.fetch_update(AcqRel, Acquire, more).is_ok()
    }

    pub(super) fn give_back(&self, units: usize, weight: u32) {
        if units > 0 {
            self.units.fetch_sub(units, AcqRel);
        }
        if weight > 0 {
            self.weight.fetch_sub(u64::from(weight), AcqRel);
        }
    }
}

/// Room taken for a value that is about to be published; given back unless it was.
#[must_use]
pub(super) struct Taken<'a> {
    room: &'a Room,
    units: usize,
    weight: u32,
    /// What the replaced value weighed beyond the new one.
    surplus: u32,
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

/// Where the clock's hand is, and what it evicted lately.
pub(super) struct Hand {
    at: AtomicUsize,
    /// Each word holds the marks of the last eight keys of its range that were evicted.
    ghosts: Box<[AtomicU64]>,
}

/// Evictions remembered, in multiples of the capacity; a byte each. On real traces one multiple costs
/// up to 0.3 points of hit ratio, and a third one gains nothing.
const GHOSTS: usize = 2;

impl Hand {
    pub(super) fn new(capacity: usize) -> Self {
        let words = (GHOSTS * capacity).div_ceil(8);
        Hand { at: AtomicUsize::new(0), ghosts: (0..words).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Ghosts are advice: Relaxed throughout. A lost one is a key that starts unused, a false one (a
    /// mark is a byte) a key that starts used.
    fn ghosts(&self, hash: u32) -> (&AtomicU64, u64) {
        let at = ((u64::from(hash) * self.ghosts.len() as u64) >> 32) as usize;
        // The bits that choose the word must not be the mark.
        let mark = u64::from(hash.wrapping_mul(0x9e37_79b1)) >> 3 & 0xff;
        (&self.ghosts[at], mark.max(1))
    }

    fn bury(&self, hash: u32) {
        let (ghosts, mark) = self.ghosts(hash);
        ghosts.store(ghosts.load(Relaxed) << 8 | mark, Relaxed);
    }

    /// The use bits that a key starts with: all if it was evicted not long ago.
    pub(super) fn welcome(&self, hash: u32) -> u64 {
        let (ghosts, mark) = self.ghosts(hash);
        let marks = ghosts.load(Relaxed);
        let Some(at) = (0..8).map(|byte| 8 * byte).find(|at| marks >> at & 0xff == mark) else {
            return 0;
        };
        ghosts.store(marks & !(0xff << at), Relaxed);
        MOST_USES
    }
}

impl<K, V, E> Table<K, V, E> {
    /// Room for a value of this weight in the place of one of weight `old`, or `None` when it cannot be had by a
    /// bounded number of evictions.
    pub(super) fn make_room(
        &self,
        old: Option<u32>,
        weight: u32,
        now: Tick,
        tally: &mut Tally<K, V, E>,
    ) -> Option<Taken<'_>> {
        if u64::from(weight) > self.room.max_weight {
            return None;
        }
        let mut taken = Taken { room: &self.room, units: 0, weight: 0, surplus: 0 };
        let mut evictions = 0;
        if old.is_none() {
            while taken.units == 0 {
                if self.room.take_unit() {
                    taken.units = 1;
                } else if evictions == MOST_EVICTIONS {
                    return None;
                } else {
                    evictions += 1;
                    if !self.evict(now, tally, &mut taken) {
                        return None;
                    }
                }
            }
        }
        let old = old.unwrap_or(0);
        taken.surplus = old.saturating_sub(weight);
        let more = weight.saturating_sub(old);
        while !self.room.take_weight(u64::from(more)) {
            if evictions == MOST_EVICTIONS {
                return None;
            }
            evictions += 1;
            // Its weight is wanted; its unit is given back at once.
            let mut spare = Taken { room: &self.room, units: 0, weight: 0, surplus: 0 };
            if !self.evict(now, tally, &mut spare) {
                return None;
            }
        }
        taken.weight = more;
        Some(taken)
    }

    /// Moves the hand on until something is evicted, and hands its unit to `taken`, unless somebody
    /// else was quicker; `false` when there is nothing that may be taken.
    ///
    /// The unit is handed over in the very step that frees it: what else was looked at may be dropped
    /// in here, and its destructor panic.
    fn evict(&self, now: Tick, tally: &mut Tally<K, V, E>, taken: &mut Taken<'_>) -> bool {
        let slots = self.buckets.len() * SLOTS;
        let mut least: Option<(u64, Pos, Hold<K, V, E>)> = None;
        let mut looks = 0;
        // Twice around a small table is as good as any number of times.
        for _ in 0..MOST_STEPS.min(2 * slots) {
            // Relaxed, here and below: where the hand is publishes nothing.
            let at = self.hand.at.fetch_add(1, Relaxed) % slots;
            let pos = Pos { bucket: at / SLOTS, slot: at % SLOTS };
            let bucket = &self.buckets[pos.bucket];
            if pos.slot == 0 && bucket.taken().next().is_none() {
                self.hand.at.fetch_add(SLOTS - 1, Relaxed);
                continue;
            }
            let Some(held) = self.load(pos) else { continue };
            if !held.has_value() || held.word.in_flight() {
                continue;
            }
            if self.mortal && !held.servable(&self.late, now) {
                self.take(pos, &held, true, tally, taken);
                return true;
            }
            // Once an unused one is found, the rest is looked at for what is gone, and not aged.
            if !matches!(least, Some((0, ..))) {
                let uses = bucket.cool(pos.slot);
                if uses == 0 && !self.mortal {
                    self.take(pos, &held, false, tally, taken);
                    return true;
                }
                if least.as_ref().is_none_or(|(fewest, ..)| uses < *fewest) {
                    least = Some((uses, pos, held));
                }
            }
            looks += 1;
            if looks == LOOKS {
                break;
            }
        }
        let Some((_, pos, held)) = least else { return false };
        self.take(pos, &held, false, tally, taken);
        true
    }

    /// Evicts one entry, unless somebody loads it: closes first, so that nobody can any more.
    fn take(
        &self,
        pos: Pos,
        s: &Snapshot<K, V, E>,
        gone: bool,
        tally: &mut Tally<K, V, E>,
        taken: &mut Taken<'_>,
    ) {
        if !s.word.close_quiet() {
            return;
        }
        let Some(victim) = self.unlink(pos, s) else { return };
        taken.units += 1;
        self.room.give_back(0, victim.weight);
        self.hand.bury(victim.hash);
        tally.evicted += u64::from(!gone);
        tally.displaced.push(victim);
    }
}
