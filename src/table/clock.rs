//! Who makes room: a clock with a probation.
//!
//! The table is the clock: a hit sets both use bits of its slot, a hand goes around the slots, takes
//! off a use where there is one, and evicts what has none. It looks at a bounded number of values per
//! insertion and then takes the least used it saw. A newcomer is on probation first, for as long as it
//! takes a tenth of the capacity to come after it: one that nobody asked for meanwhile is the victim
//! before anything the hand would find, so that keys that come once leave soon. What is past its windows
//! goes before all others where a second hand, the scout, comes by it: it looks when there may be some, and
//! at as many values. What is being loaded is passed over.
//!
//! This is S3-FIFO (Yang, Zhang, Qiu, Yue and Rashmi, SOSP 2023) with the table in place of the main queue.

use std::ops::ControlFlow::{self, Break, Continue};

use super::bucket::{MOST_USES, PROBATION, UNUSED};
use super::memory::{Hand, Horizon};
use super::room::Taken;
use super::{Pos, SPAN, Table};
use crate::panics::{beside, drop_each};
use crate::snapshot::{Hold, Snapshot};
use crate::sync::{Arc, SLOTS};
use crate::time::Tick;

/// Values the hand looks at before it takes the least used one it saw.
const LOOKS: usize = 24;
/// Steps it takes at most while it looks for them, over slots and empty buckets.
const MOST_STEPS: usize = 4_096;
/// Evictions that one value may cost for its room, and as many for its slot.
pub(super) const MOST_EVICTIONS: usize = 16;

/// What an eviction is to free, and for which place: what stands in that place is no victim, be it the value that is
/// replaced, or one that a write put there a moment ago.
#[derive(Clone, Copy)]
enum Want {
    Unit(Pos),
    Weight(Pos),
}

impl Want {
    fn is_met_by<K, V, E>(self, pos: Pos, s: &Snapshot<K, V, E>) -> bool {
        match self {
            Want::Unit(own) => pos != own,
            Want::Weight(own) => pos != own && s.weight > 0,
        }
    }
}

/// Who is to go.
type Victim<K, V, E> = (Pos, Hold<K, V, E>);

/// What making room cost others, and what a value that found none took along: dropped when the step that it was
/// for is over, since their destructors are the user's.
pub(crate) struct Tally<K, V, E>(Option<Victims<K, V, E>>);

/// In place, since eviction must not allocate. What was taken along beside so many has another holder in who took it.
type Victims<K, V, E> = [Option<Arc<Snapshot<K, V, E>>>; MOST_EVICTIONS];

impl<K, V, E> Tally<K, V, E> {
    pub(super) fn add(&mut self, victim: Arc<Snapshot<K, V, E>>) {
        let victims = self.0.get_or_insert_default();
        if let Some(free) = victims.iter_mut().find(|place| place.is_none()) {
            *free = Some(victim);
        }
    }
}

impl<K, V, E> Drop for Tally<K, V, E> {
    fn drop(&mut self) {
        if let Some(victims) = &mut self.0 {
            drop_each(victims.iter_mut().map_while(Option::take));
        }
    }
}

impl<K, V, E> Default for Tally<K, V, E> {
    fn default() -> Self {
        Tally(None)
    }
}

/// How far a hand goes from one bucket to the next, of so many: the length of a group or a little more, so
/// that the buckets of a group are spread evenly over the hand's way, and without a divisor in common, so
/// that it comes by all.
pub(super) fn stride(buckets: usize) -> usize {
    (SPAN..).find(|stride| divisor(*stride, buckets) == 1).unwrap_or(1)
}

/// The greatest in common.
fn divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { divisor(b, a % b) }
}

impl<K, V, E> Table<K, V, E> {
    /// Room at `pos` for `n` in the place of `expected`, a value of weight `old`. `None` when it cannot be had
    /// by a bounded number of evictions, or is no longer wanted: a write came first, and nobody's value is to
    /// go for one that is late.
    pub(super) fn make_room(
        &self,
        pos: Pos,
        expected: *const Snapshot<K, V, E>,
        old: Option<u32>,
        n: &Snapshot<K, V, E>,
        now: Tick,
        tally: &mut Tally<K, V, E>,
    ) -> Option<Taken<'_>> {
        if !self.room.could_hold(n.weight) {
            return None;
        }
        let cell = self.buckets[pos.bucket].cell(pos.slot);
        let mut evictions = 0;
        let mut may_evict = || {
            evictions += 1;
            evictions <= MOST_EVICTIONS && cell.is(expected)
        };
        let mut taken = self.room.none();
        let mut released = None;
        if old.is_none() {
            released = self.admit(pos);
            while taken.units == 0 {
                if self.room.take_unit() {
                    taken.units = 1;
                } else if !may_evict()
                    || !self.evict(Want::Unit(pos), now, released.take(), tally, &mut taken)
                {
                    return None;
                }
            }
        }
        let old = old.unwrap_or(0);
        taken.surplus = old.saturating_sub(n.weight);
        let more = n.weight.saturating_sub(old);
        while !self.room.take_weight(u64::from(more)) {
            // Its weight is wanted; its unit is given back at once.
            let unit = &mut self.room.none();
            if !may_evict() {
                return None;
            }
            // Where few heavy values stand far apart, a stretch without any is not the end of it.
            let evicted = self.evict(Want::Weight(pos), now, released.take(), tally, unit);
            if !evicted && self.is_swept_at_once() {
                return None;
            }
        }
        taken.weight = more;
        // Last, since the scout may have come around meanwhile.
        self.memory.horizon.note(n.deadlines(&self.late).gone_at());
        Some(taken)
    }

    /// Begins the probation of the key at `pos`, if it is to have one. Returns the place of the key whose probation
    /// ends by that, unless it is `pos` again, which a `set` has published meanwhile.
    fn admit(&self, pos: Pos) -> Option<Pos> {
        if self.buckets[pos.bucket].uses(pos.slot) != PROBATION {
            return None;
        }
        let released = self.memory.probation.enter(pos.bucket * SLOTS + pos.slot)?;
        let at = released % self.slots();
        let released = Pos { bucket: at / SLOTS, slot: at % SLOTS };
        Some(released).filter(|released| *released != pos)
    }

    /// The slot that is the n-th on a hand's way around the table.
    ///
    /// A hand leaves little behind it, and has twice as much as the mean before it, which would fill whole
    /// groups if it went from bucket to bucket. So it takes strides (see `stride`): every group has buckets of
    /// all parts of its way.
    fn nth_slot(&self, n: usize) -> Pos {
        let at = n % self.slots();
        Pos { bucket: self.nth_bucket(at / SLOTS), slot: at % SLOTS }
    }

    pub(super) fn nth_bucket(&self, n: usize) -> usize {
        n * self.stride % self.buckets.len()
    }

    fn slots(&self) -> usize {
        self.buckets.len() * SLOTS
    }

    /// Twice around is as good as any number of times, for one who is alone at the hand.
    fn all_steps(&self) -> usize {
        2 * self.slots()
    }

    fn is_swept_at_once(&self) -> bool {
        self.all_steps() <= MOST_STEPS
    }

    /// Evicts one value and hands its unit to `taken`, unless somebody else was quicker; `false` when it came by
    /// nothing that may be taken. `released`: whose probation is over.
    ///
    /// The unit is handed over in the very step that frees it: what else was looked at may be dropped
    /// in here, and its destructor panic.
    fn evict(
        &self,
        want: Want,
        now: Tick,
        released: Option<Pos>,
        tally: &mut Tally<K, V, E>,
        taken: &mut Taken<'_>,
    ) -> bool {
        let victim = self.gone(want, now);
        let victim = victim.or_else(|| released.and_then(|pos| self.failed_probation(want, pos)));
        let victim = victim.or_else(|| self.least_used(want, released));
        let Some((pos, held)) = victim else { return false };
        self.take(pos, &held, now, tally, taken);
        true
    }

    /// A value past its windows, if there may be one and the scout comes by it soon.
    fn gone(&self, want: Want, now: Tick) -> Option<Victim<K, V, E>> {
        let Horizon { scout, .. } = &self.memory.horizon;
        if !self.memory.horizon.reached(now) {
            return None;
        }
        self.sweep(scout, |turn, pos, held| {
            let gone_at = held.deadlines(&self.late).gone_at();
            self.memory.horizon.see(turn, gone_at);
            if now >= gone_at && want.is_met_by(pos, &held) && !held.word.in_flight() {
                return Break((pos, held));
            }
            Continue(1)
        })
    }

    /// A value whose probation is over and that nobody asked for. One that somebody did ask for has had its
    /// due, and is as unused as any from here on.
    fn failed_probation(&self, want: Want, pos: Pos) -> Option<Victim<K, V, E>> {
        let held = self.load(pos)?;
        if !held.has_value() || held.word.in_flight() || !want.is_met_by(pos, &held) {
            return None;
        }
        let uses = self.buckets[pos.bucket].unuse(pos.slot);
        (uses <= PROBATION).then_some((pos, held))
    }

    /// The first unused value that the hand comes by, or the least used of those that it may look at: last of
    /// all the one whose probation is just over, which would be at the main queue's other end.
    fn least_used(&self, want: Want, released: Option<Pos>) -> Option<Victim<K, V, E>> {
        let mut least: Option<(u64, Victim<K, V, E>)> = None;
        let unused = self.sweep(&self.memory.hand, |_, pos, held| {
            if held.word.in_flight() || !want.is_met_by(pos, &held) {
                return Continue(0);
            }
            let uses = match released {
                Some(released) if released == pos => MOST_USES,
                _ => self.buckets[pos.bucket].cool(pos.slot),
            };
            if uses == UNUSED {
                return Break((pos, held));
            }
            if least.as_ref().is_none_or(|(fewest, _)| uses < *fewest) {
                least = Some((uses, (pos, held)));
            }
            Continue(1)
        });
        let Some(unused) = unused else { return least.map(|(_, victim)| victim) };
        // Before the result is made, which would leak if what was looked at panics as it goes.
        let (unused, ()) = beside(unused, |_| drop(least));
        Some(unused)
    }

    /// Moves a hand on over the values, until one is found or enough were looked at: `visit` says how many
    /// looks it was. It is told the hand's turn.
    fn sweep<R>(
        &self,
        hand: &Hand,
        mut visit: impl FnMut(usize, Pos, Hold<K, V, E>) -> ControlFlow<R, usize>,
    ) -> Option<R> {
        let mut looks = 0;
        for _ in 0..MOST_STEPS.min(self.all_steps()) {
            let at = hand.step();
            let pos = self.nth_slot(at);
            let bucket = &self.buckets[pos.bucket];
            if pos.slot == 0 && bucket.taken().next().is_none() {
                hand.skip(SLOTS - 1);
                continue;
            }
            let Some(held) = self.load(pos).filter(|held| held.has_value()) else { continue };
            match visit(at / self.slots(), pos, held) {
                Break(found) => return Some(found),
                Continue(more) => looks += more,
            }
            if looks == LOOKS {
                break;
            }
        }
        None
    }

    /// Evicts one entry, unless somebody loads it: closes first, so that nobody can any more.
    ///
    /// Who takes it out of its cell then has evicted it, here or by `finish`. Where a write replaced or removed it
    /// first, nobody has.
    fn take(
        &self,
        pos: Pos,
        s: &Snapshot<K, V, E>,
        now: Tick,
        tally: &mut Tally<K, V, E>,
        taken: &mut Taken<'_>,
    ) {
        if !s.word.close_quiet() {
            return;
        }
        let Some(victim) = self.unlink(pos, s) else { return };
        taken.units += 1;
        self.room.give_back(0, victim.weight);
        self.bury(&victim, now);
        tally.add(victim);
    }

    /// Takes out what is closed, a value or a placeholder, for whoever closed it; whether nobody was quicker.
    pub(crate) fn finish(&self, pos: Pos, s: &Snapshot<K, V, E>, now: Tick) -> bool {
        let Some(removed) = self.remove(pos, s) else { return false };
        if removed.has_value() {
            self.bury(&removed, now);
        }
        true
    }

    /// Remembers a value that was evicted, and counts it unless it is past its windows.
    fn bury(&self, victim: &Snapshot<K, V, E>, now: Tick) {
        self.memory.ghosts.bury(victim.hash);
        if victim.servable(&self.late, now) {
            self.memory.evictions.add();
        }
    }
}
