//! Entering: how a key gets one committed entry and never two.
//!
//! Only placeholders are inserted, and each starts *tentative*. To decide, its owner, or anybody who
//! meets it while looking for the same key, publishes it, **bumps** the home bucket, searches the
//! group, and settles by the words: a committed entry wins over a tentative one; of two tentative
//! ones the first in probe order; the loser is *killed* and taken out by its owner.
//!
//! Why there is one: take the two `help` calls that committed P and Q. The bumps are read-modify-
//! writes of one word, so the later call acquires what the earlier one's placeholder published, and
//! therefore finds it; it then gives way to it or kills it, and one exchange of one word wins.
//! The order among tentative ones is for progress only. Nobody waits for anybody.

use std::borrow::Borrow;
use std::ops::ControlFlow::{Break, Continue};

use super::bucket::Hashed;
use super::{Pos, Table};
use crate::panics::beside;
use crate::snapshot::Snapshot;
use crate::state::Standing;
use crate::sync::{Arc, SLOTS};
use crate::time::Tick;

/// An entry: where it stands, and what is published there.
pub(crate) type Entry<K, V, E> = (Pos, Arc<Snapshot<K, V, E>>);

/// What a search does after it met a snapshot of its key.
enum Met<R> {
    /// It does not count.
    Pass,
    /// It changed: look at the same cell again. After a closed entry too, whoever took it out: a set that found it
    /// before it was closed may have renewed it in place, which inserts nothing and bumps nothing.
    Again,
    Stop(R),
}

impl<K, V, E> Table<K, V, E> {
    /// The committed entry of a key, or a new placeholder. `None` when no slot can be had.
    ///
    /// `owned` makes the placeholder's key; it and `Eq` may panic, which leaves the table as it was.
    pub(crate) fn entry<Q>(
        &self,
        hashed: Hashed,
        key: &Q,
        owned: impl Fn() -> K,
        now: Tick,
    ) -> Option<Entry<K, V, E>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        loop {
            if let Some(found) = self.committed(hashed, key, now) {
                return Some(found);
            }
            let placeholder = Snapshot::placeholder(hashed.upper(), owned());
            let (placeholder, entered) =
                beside(placeholder, |placeholder| self.enter(hashed, key, placeholder, now));
            let Some(pos) = entered else {
                // First, as its key's destructor may panic: what is half returned then is leaked.
                drop(placeholder);
                // The last slot may have gone to this very key.
                return self.committed(hashed, key, now);
            };
            if placeholder.word.standing() != Standing::Killed {
                return Some((pos, placeholder));
            }
            drop(self.remove(pos, &placeholder));
        }
    }

    /// Publishes a placeholder and decides it; where it stands.
    fn enter<Q>(
        &self,
        hashed: Hashed,
        key: &Q,
        placeholder: &Arc<Snapshot<K, V, E>>,
        now: Tick,
    ) -> Option<Pos>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let pos = self.reserve(hashed, now)?;
        let filled = self.buckets[pos.bucket]
            .cell(pos.slot)
            .replace_if(std::ptr::null(), Some(Arc::clone(placeholder)));
        debug_assert!(filled.is_ok(), "a reserved cell is empty");
        let entering = Entering { table: self, pos, placeholder };
        self.help(hashed, key, pos, placeholder, now);
        std::mem::forget(entering);
        Some(pos)
    }

    /// The committed entry of a key, with or without a value. Decides tentative ones of the key
    /// that it meets, and finishes removals.
    pub(crate) fn committed<Q>(&self, hashed: Hashed, key: &Q, now: Tick) -> Option<Entry<K, V, E>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        loop {
            let met = self.search(hashed, key, |pos, s| match s.word.standing() {
                Standing::Killed => Met::Pass,
                Standing::Closed => {
                    self.finish(pos, s, now);
                    Met::Again
                }
                Standing::Tentative => {
                    self.help(hashed, key, pos, s, now);
                    Met::Stop(None)
                }
                Standing::Committed => Met::Stop(Some((pos, Arc::clone(s)))),
            });
            match met {
                Some(None) => {}
                Some(found) => return found,
                None => return None,
            }
        }
    }

    /// Decides `p`, tentative at `pos`: commits it, or kills it.
    fn help<Q>(&self, hashed: Hashed, key: &Q, pos: Pos, p: &Arc<Snapshot<K, V, E>>, now: Tick)
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        if p.word.standing() != Standing::Tentative {
            return;
        }
        let home = self.home(hashed.upper());
        self.buckets[home].bump();
        let rank = |pos: Pos| {
            let at = if pos.bucket < home { pos.bucket + self.buckets.len() } else { pos.bucket };
            (at, pos.slot)
        };
        let beaten = self.search(hashed, key, |q, s| {
            if q == pos {
                return Met::Pass;
            }
            match s.word.standing() {
                Standing::Killed => Met::Pass,
                Standing::Closed => {
                    self.finish(q, s, now);
                    Met::Again
                }
                Standing::Tentative if rank(q) < rank(pos) => Met::Stop(()),
                Standing::Tentative if s.word.kill() => Met::Pass,
                Standing::Tentative => Met::Again,
                Standing::Committed => Met::Stop(()),
            }
        });
        // Either may find it decided by somebody else who met it.
        let _ = match beaten {
            Some(()) => p.word.kill(),
            None => p.word.commit(),
        };
    }

    /// Visits the snapshots of a key, placeholders too, in probe order.
    fn search<Q, R>(
        &self,
        hashed: Hashed,
        key: &Q,
        mut visit: impl FnMut(Pos, &Arc<Snapshot<K, V, E>>) -> Met<R>,
    ) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        self.probe(hashed, |pos| {
            loop {
                let Some(held) = self.load(pos) else { return Continue(()) };
                // As everywhere by `eq`, since a key's `ne` may not agree with it.
                let is_own = held.key.borrow() == key;
                if !is_own {
                    return Continue(());
                }
                match visit(pos, held.arc()) {
                    Met::Pass => return Continue(()),
                    Met::Again => {}
                    Met::Stop(result) => return Break(result),
                }
            }
        })
    }

    /// Reserves a slot for a key: a free one in its group, or one of a gone entry's or an idle
    /// placeholder's. Never a servable value's, so a wave of cold loads cannot flush the cache.
    ///
    /// What it frees may go to somebody else, and then there may be more: as often as a group has slots.
    fn reserve(&self, hashed: Hashed, now: Tick) -> Option<Pos> {
        let uses = self.memory.ghosts.welcome(hashed.upper());
        for _ in 0..self.span() * SLOTS {
            let free = self.reserve_free(hashed, uses);
            if free.is_some() || !self.reclaim(hashed, now) {
                return free;
            }
        }
        self.reserve_free(hashed, uses)
    }

    fn reserve_free(&self, hashed: Hashed, uses: u64) -> Option<Pos> {
        let home = self.home(hashed.upper());
        for distance in 0..self.span() {
            let at = self.nth(home, distance);
            if let Some(slot) = self.buckets[at].reserve(hashed, uses) {
                return Some(Pos { bucket: at, slot });
            }
            self.buckets[at].pass();
        }
        for distance in 0..self.span() {
            self.buckets[self.nth(home, distance)].unpass();
        }
        None
    }

    /// Frees a slot of the group that holds nothing servable and nobody loads for.
    fn reclaim(&self, hashed: Hashed, now: Tick) -> bool {
        self.free_one(hashed, now, |s| !s.servable(&self.late, now))
    }

    /// Frees a slot of the group by evicting a servable value that nobody loads: only for a `set`
    /// whose whole group is full, be it of a broken hasher's keys or of loads that hang.
    pub(super) fn displace(&self, hashed: Hashed, now: Tick) -> bool {
        self.free_one(hashed, now, Snapshot::has_value)
    }

    /// Frees the slot of one that `may` go, if nobody loads it; whether there was one, whoever took it out.
    fn free_one(
        &self,
        hashed: Hashed,
        now: Tick,
        may: impl Fn(&Snapshot<K, V, E>) -> bool,
    ) -> bool {
        let home = self.home(hashed.upper());
        let buckets = (0..self.span()).map(|distance| self.nth(home, distance));
        buckets.into_iter().any(|bucket| {
            self.buckets[bucket].taken().any(|slot| {
                let pos = Pos { bucket, slot };
                let Some(held) = self.load(pos) else { return false };
                let closed = may(&held) && held.word.close_quiet();
                // By somebody else, if not by this; or a write has renewed it, in place.
                closed && (self.finish(pos, &held, now) || self.load(pos).is_none())
            })
        })
    }
}

/// A placeholder that stands undecided while `Eq` runs: on a panic it is taken out again.
struct Entering<'a, K, V, E> {
    table: &'a Table<K, V, E>,
    pos: Pos,
    placeholder: &'a Arc<Snapshot<K, V, E>>,
}

impl<K, V, E> Drop for Entering<'_, K, V, E> {
    fn drop(&mut self) {
        let word = &self.placeholder.word;
        word.kill();
        // Killed, by whomever, it is its owner's to take out; committed by others, anybody's who finds no
        // leader.
        if word.standing() == Standing::Killed || word.close_quiet() {
            drop(self.table.remove(self.pos, self.placeholder));
        }
    }
}
