//! The life of an entry: claim, publish, fail, set, delete.
//!
//! There is one linearization point: the published cell. Who replaced what was in it then **closes**
//! the old word by a read-modify-write, and so learns of a flight that was claimed before, or makes
//! a later claim fail. Then he ends that flight as his call demands, and takes the ended flight out of
//! the old word, so that a reader who holds the old value for long does not hold the new one too.
//!
//! ```text
//!   publish, set:  take room · cell: s → n · close s · the outcome: n · discard it from s · wake
//!   delete:        cell: s → nothing · close s · the flight is detached: left to those who joined it
//!   fail:          the outcome · word: flight → done · a placeholder: close, cell → nothing · wake
//!   overtaken:     what stands in its place's stead · the outcome: that · as a load that fails
//! ```
//!
//! Whoever ends a load wakes everybody last: who is told of an end finds it over, be it in its very waker.
//! A set, which has closed the word by then, does so before it discards.
//!
//! Nobody waits for a set between its steps: who begins a load and finds its place taken ends the flight as the
//! set is about to.

use std::borrow::Borrow;
use std::mem;

use super::bucket::Hashed;
use super::clock::{MOST_EVICTIONS, Tally};
use super::{Pos, Table};
use crate::panics::First;
use crate::snapshot::{Failure, Flight, Lease, Outcome, Snapshot};
use crate::sync::{Arc, Weak};
use crate::time::Tick;
use crate::word::Outcome::{Abandoned, Failed, Published};

/// Where a claimed load is to be published: in place of exactly the snapshot it was claimed on.
/// Holds that snapshot's address, not its value.
pub(crate) struct Place<K, V, E> {
    pos: Pos,
    expected: Weak<Snapshot<K, V, E>>,
    /// The weight of the value there, `None` under a placeholder.
    old: Option<u32>,
}

/// Where a load's or a set's value ended up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Stored,
    /// A `set`, `delete` or `clear` came first.
    Late,
    NoRoom,
}

impl<K, V, E> Place<K, V, E> {
    pub(crate) fn of(pos: Pos, s: &Arc<Snapshot<K, V, E>>) -> Self {
        Place { pos, expected: Arc::downgrade(s), old: s.has_value().then_some(s.weight) }
    }

    /// As [`Table::is_current`].
    pub(crate) fn is_current(&self, table: &Table<K, V, E>) -> bool {
        table.is_current(self.pos, self.expected.as_ptr())
    }
}

impl<K, V, E> Table<K, V, E> {
    /// The second look of whoever has claimed a load, or started one that was queued: whether what it was
    /// claimed on is still what is published. If not, the load is [`overtaken`](Table::overtaken).
    ///
    /// A writer that has replaced the cell and not yet closed the word lets a claim succeed, and what is queued does not
    /// learn of a delete; the next value may be there already, and no fetch may start for it. The look may run
    /// destructors, of what came after: make the duty first.
    pub(crate) fn is_current(&self, pos: Pos, s: *const Snapshot<K, V, E>) -> bool {
        self.buckets[pos.bucket].cell(pos.slot).is(s)
    }

    /// Ends a load with a value: publishes it unless a write came first. What panics meanwhile, a destructor of
    /// what had to go, goes to `first`: whoever ends a load has more to do.
    pub(crate) fn publish(
        &self,
        place: &Place<K, V, E>,
        lease: Lease<K, V, E>,
        n: &Arc<Snapshot<K, V, E>>,
        now: Tick,
        tally: &mut Tally<K, V, E>,
        first: &mut First,
    ) -> Fate {
        let ending = Ending::of(self, place, lease);
        let expected = place.expected.as_ptr();
        let mut room = None;
        first.of(|| room = self.make_room(place.pos, expected, place.old, n, now, tally));
        let (fate, older) = match room {
            Some(room) => {
                let cell = self.buckets[place.pos.bucket].cell(place.pos.slot);
                // Where a write came first, what that put there may be let go, if it is gone by then.
                let mut replaced = Err(());
                first.of(|| replaced = cell.replace_if(expected, Some(Arc::clone(n))));
                match replaced {
                    Ok(older) => {
                        room.spend();
                        (Fate::Stored, older)
                    }
                    Err(()) => (Fate::Late, None),
                }
            }
            // Late, or as if published and evicted at once: the older value goes all the same.
            None => {
                let older = place.expected.upgrade();
                let mut taken = false;
                first.of(|| {
                    taken = older.as_ref().is_some_and(|s| self.take_along(place.pos, s, tally));
                });
                (if taken { Fate::NoRoom } else { Fate::Late }, older)
            }
        };
        // The closed word's flight is this one: a word in flight cannot be claimed by another.
        let replaced = older.as_ref().filter(|_| fate != Fate::Late);
        let closed = replaced.and_then(|s| s.word.close());
        first.of(|| ending.with(Published(Arc::clone(n))));
        first.of(|| drop(closed));
        first.of(|| drop(older));
        fate
    }

    /// Takes `s` out though nothing comes in its place, as that found no room: it goes with the victims, whose
    /// destructors cannot end the process by twos.
    #[cold]
    #[inline(never)]
    fn take_along(&self, pos: Pos, s: &Snapshot<K, V, E>, tally: &mut Tally<K, V, E>) -> bool {
        let removed = self.remove(pos, s);
        let is_taken = removed.is_some();
        removed.into_iter().for_each(|older| tally.add(older));
        is_taken
    }

    /// Ends a load without a value; `remove` takes the stale one away too. What panics meanwhile goes to `first`.
    ///
    /// What was deleted or cleared meanwhile covers no error, and neither does what came after it. A set
    /// that has not ended the flight yet hides none: its value is there already, and covers the error.
    pub(crate) fn fail(
        &self,
        place: &Place<K, V, E>,
        lease: Lease<K, V, E>,
        mut failure: Failure<E>,
        remove: bool,
        first: &mut First,
    ) {
        let ending = Ending::of(self, place, lease);
        failure.masked &= !ending.lease.flight().is_detached();
        let older = if remove { place.expected.upgrade() } else { None };
        let mut removed = None;
        first.of(|| removed = older.as_ref().and_then(|s| self.remove(place.pos, s)));
        let closed = removed.as_ref().and_then(|s| s.word.close());
        first.of(|| ending.with(Failed(Arc::new(failure))));
        first.of(|| drop(closed));
        first.of(|| drop((removed, older)));
    }

    /// Ends a load that was given up.
    pub(crate) fn abandon(&self, place: &Place<K, V, E>, lease: Lease<K, V, E>) {
        drop(Ending::of(self, place, lease));
    }

    /// Ends a load that a write overtook before it began, with the value that stands in its place's stead: nobody
    /// gave it up, and the set that put that there is about to do the same. Where there is none of its
    /// key, or it came after a delete of what the load was to replace, the load is abandoned; so it is beside a
    /// set that finds no room.
    ///
    /// `Eq` may panic, or call the cache: the load has an owner, and no lookup finds its flight any more.
    #[cold]
    pub(crate) fn overtaken(&self, place: &Place<K, V, E>, lease: Lease<K, V, E>, key: &K)
    where
        K: Eq,
    {
        let ending = Ending::of(self, place, lease);
        let there = self.load(place.pos);
        // After that look: who finds what was put there after a delete had returned finds its mark.
        let is_detached = ending.lease.flight().is_detached();
        if let Some(n) = there.filter(|n| !is_detached && n.has_value() && n.key == *key) {
            ending.with(Published(Arc::clone(n.arc())));
        }
    }

    /// Takes an ended flight out of the way: marks the word done, takes out a placeholder that has
    /// nothing left to stand for, and lets a replaced word forget the flight.
    fn retire(&self, place: &Place<K, V, E>, flight: &Arc<Flight<K, V, E>>) {
        let Some(s) = place.expected.upgrade() else { return };
        let ended = s.word.end(flight);
        if ended && !s.has_value() && s.word.close_quiet() {
            drop(self.remove(place.pos, &s));
        }
        drop(s.word.discard(flight));
    }

    /// Publishes `n`, whatever loads its key; its joiners get it.
    pub(crate) fn set(
        &self,
        hashed: Hashed,
        n: &Arc<Snapshot<K, V, E>>,
        now: Tick,
        tally: &mut Tally<K, V, E>,
    ) -> Fate
    where
        K: Eq + Clone,
    {
        let mut displaced = 0;
        loop {
            let entry = self.entry(hashed, &n.key, || n.key.clone(), now);
            let Some((pos, s)) = entry else {
                // The slot that it gets may go to somebody else.
                if displaced == MOST_EVICTIONS || !self.displace(hashed, now) {
                    return Fate::NoRoom;
                }
                displaced += 1;
                continue;
            };
            let old = s.has_value().then_some(s.weight);
            let fate = match self.make_room(pos, Arc::as_ptr(&s), old, n, now, tally) {
                Some(room) => {
                    let cell = self.buckets[pos.bucket].cell(pos.slot);
                    match cell.replace_if(Arc::as_ptr(&s), Some(Arc::clone(n))) {
                        Ok(_) => room.spend(),
                        Err(()) => continue,
                    }
                    Fate::Stored
                }
                None if self.take_along(pos, &s, tally) => Fate::NoRoom,
                None => continue,
            };
            if let Some(flight) = s.word.close() {
                flight.complete(Published(Arc::clone(n)));
                drop(s.word.discard(&flight));
            }
            return fate;
        }
    }

    /// Takes a key's entry out; whether it held something servable.
    pub(crate) fn delete<Q>(&self, hashed: Hashed, key: &Q, now: Tick) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        while let Some((pos, s)) = self.committed(hashed, key, now) {
            if self.detach(pos, &s) {
                return s.servable(&self.late, now);
            }
        }
        false
    }

    /// Takes one snapshot out and leaves its flight to those who joined it.
    pub(super) fn detach(&self, pos: Pos, s: &Snapshot<K, V, E>) -> bool {
        let Some(removed) = self.remove(pos, s) else { return false };
        if let Some(flight) = removed.word.close() {
            flight.detach();
            if !flight.is_pending() {
                drop(removed.word.discard(&flight));
            }
        }
        true
    }
}

/// The end of a load: whatever panics on the way there, the flight ends, and its word says so.
#[must_use]
struct Ending<'a, K, V, E> {
    table: &'a Table<K, V, E>,
    place: &'a Place<K, V, E>,
    lease: Lease<K, V, E>,
    outcome: Outcome<K, V, E>,
}

impl<'a, K, V, E> Ending<'a, K, V, E> {
    /// Of a load that is given up, unless it comes to something.
    fn of(table: &'a Table<K, V, E>, place: &'a Place<K, V, E>, lease: Lease<K, V, E>) -> Self {
        Ending { table, place, lease, outcome: Abandoned }
    }

    /// Ends it with `outcome`, unless it has another.
    fn with(mut self, outcome: Outcome<K, V, E>) {
        self.outcome = outcome;
    }
}

impl<K, V, E> Drop for Ending<'_, K, V, E> {
    fn drop(&mut self) {
        let (flight, mut first, mut waking) = (self.lease.flight(), First::default(), None);
        let outcome = mem::replace(&mut self.outcome, Abandoned);
        first.of(|| waking = Some(flight.settle(outcome)));
        first.of(|| self.table.retire(self.place, flight));
        // Last, whatever panics before.
        drop(waking);
        first.go_on();
    }
}
