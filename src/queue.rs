//! Permits and the queue for them: how many refreshes run, and which wait.
//!
//! Generic in what waits. Everything here is lock-free, since stale readers call it.
//!
//! The one thing to get right is that nothing waits while a permit is free. Whoever pushes then
//! tries for a permit; whoever returns a permit then looks at the queue; both steps on the permits
//! are read-modify-writes of one word, so the later of the two sees what the earlier one did first.

use crate::fifo::{Fifo, List};
use crate::sync::atomic::{AtomicUsize, Ordering::*};

/// A bounded queue in front of a number of permits.
pub(crate) struct Queue<T> {
    permits: usize,
    running: AtomicUsize,
    room: usize,
    reserved: AtomicUsize,
    waiting: Fifo<T>,
}

/// What a newcomer got.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// A permit: run at once.
    Permit,
    /// Room in the queue.
    Room,
}

impl<T> Queue<T> {
    pub(crate) fn new(permits: usize, room: usize) -> Self {
        Queue {
            permits,
            running: AtomicUsize::new(0),
            room,
            reserved: AtomicUsize::new(0),
            waiting: Fifo::new(),
        }
    }

    /// A permit, else room in the queue, else nothing; then look at `is_ended`, since the end may have come
    /// first after all. Allocates nothing.
    pub(crate) fn admit(&self) -> Option<Admission> {
        // Spares what is closed the steps; who gets something looks again.
        if self.waiting.is_ended() {
            return None;
        }
        if self.take_permit() {
            return Some(Admission::Permit);
        }
        let more = |reserved| (reserved < self.room).then(|| reserved + 1);
        // Relaxed: a count that bounds, and publishes nothing.
        self.reserved.fetch_update(Relaxed, Relaxed, more).ok().map(|_| Admission::Room)
    }

    /// Gives reserved room back unused.
    pub(crate) fn vacate(&self) {
        // Relaxed: as for `admit`.
        self.reserved.fetch_sub(1, Relaxed);
    }

    /// Puts an item into the room that was reserved for it; then call `offer`. Gives it back when
    /// the queue has ended.
    pub(crate) fn push(&self, item: T) -> Result<(), T> {
        self.waiting.push(item)
    }

    /// A permit for what waits, if there seem to be both; then call `pop`. If that finds nothing, return the permit and
    /// ask again: another thread had the list in hand, and both of you look once more.
    pub(crate) fn offer(&self) -> bool {
        !self.waiting.is_empty() && self.take_permit()
    }

    /// The oldest that waits, for who has a permit.
    pub(crate) fn pop(&self) -> Option<T> {
        let item = self.waiting.pop()?;
        self.vacate();
        Some(item)
    }

    fn take_permit(&self) -> bool {
        // Release, and a read-modify-write even if it finds no permit: whoever returns one later
        // then sees what the caller pushed before.
        let mut running = self.running.fetch_add(0, Release);
        while running < self.permits {
            // Acquire: a refresh sees what the one did whose permit it gets; and the end, if a close
            // found no permit out before this (`is_quiet`). Relaxed on failure: without a permit
            // nothing is received.
            match self.running.compare_exchange_weak(running, running + 1, Acquire, Relaxed) {
                Ok(_) => return true,
                Err(now) => running = now,
            }
        }
        false
    }

    /// Returns a permit; then call `offer`. Whether it was the last that was out.
    pub(crate) fn release(&self) -> bool {
        // AcqRel: pairs with `take_permit`, in both directions.
        self.running.fetch_sub(1, AcqRel) == 1
    }

    pub(crate) fn is_quiet(&self) -> bool {
        // AcqRel: sees what was done before the last release; and a read-modify-write, so that who
        // releases later, or takes a permit later, sees what the caller wrote before.
        self.running.fetch_add(0, AcqRel) == 0
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.waiting.is_ended()
    }

    /// Admits nothing more. What waits, to be dropped when nothing is left to do.
    #[must_use]
    pub(crate) fn end(&self) -> [List<T>; 2] {
        self.waiting.end()
    }
}
