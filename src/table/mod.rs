//! The table: a fixed array of buckets, an entry being a slot in one of them.
//!
//! A key's entry stands in its home bucket or, if that was full, in one of those that follow: its
//! *group*. Slots never move and are never freed while the table lives, so a lookup needs no pin.
//!
//! | file | step |
//! |---|---|
//! | `bucket` | one cache line: tags, use bits, cells |
//! | `mod` | find, remove, iterate |
//! | `enter` | one committed entry per key: the placeholder protocol |
//! | `claim` | claim, publish, fail, set, delete: the life of an entry |
//! | `room` | units of capacity and weight |
//! | `memory` | what eviction remembers |
//! | `clock` | who makes room |
//! | `watched` | a cell as a hot set reaches it |
//!
//! What runs of the user's in here: `Eq` (and `Borrow`) while searching, and once where a write overtook a
//! load; `Clone` (or `ToOwned`) of a key that enters; and `Drop` of what was displaced, always after the step that
//! displaced it, or of what was only looked at, where its last other holder let go of it meanwhile.

mod bucket;
mod claim;
mod clock;
mod enter;
mod memory;
mod room;
mod watched;

use std::borrow::Borrow;
use std::ops::ControlFlow::{self, Break, Continue};

use bucket::Bucket;
pub(crate) use bucket::Hashed;
pub(crate) use claim::{Fate, Place};
pub(crate) use clock::Tally;
use memory::Memory;
use room::Room;
pub(crate) use watched::Watched;

use crate::panics::First;
use crate::policy::Late;
use crate::snapshot::{Hold, Snapshot};
use crate::state::Standing::{Closed, Committed};
use crate::sync::{Arc, CachePadded, SLOTS, SLOTS_PER_VALUE, Shared};
use crate::time::Tick;

/// Buckets in a group. Lookups rarely see the second: they end where nothing passed. At a load of a half,
/// simulated fills of two million entries pushed three of them six buckets away, and none further.
const SPAN: usize = 16;

/// Where an entry stands.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pos {
    bucket: usize,
    slot: usize,
}

/// The lock-free hash table.
pub(crate) struct Table<K, V, E> {
    /// Shared with the hot sets that watch some of its cells.
    buckets: Shared<Bucket<Snapshot<K, V, E>>>,
    late: Late,
    // What hits read is on no line with what others write.
    room: CachePadded<Room>,
    memory: CachePadded<Memory>,
    /// How far the hands go from one bucket to the next.
    stride: usize,
}

impl<K, V, E> Table<K, V, E> {
    /// A table for `capacity` values, all its memory taken now.
    pub(crate) fn new(capacity: usize, max_weight: u64, late: Late) -> Self {
        let buckets = capacity.saturating_mul(SLOTS_PER_VALUE).div_ceil(SLOTS).max(2);
        Table {
            buckets: (0..buckets).map(|_| Bucket::empty()).collect(),
            late,
            room: CachePadded::new(Room::new(capacity, max_weight)),
            memory: CachePadded::new(Memory::new(capacity)),
            stride: clock::stride(buckets),
        }
    }

    /// How many bytes a table for so many values takes, but for some that every table does.
    pub(crate) fn bytes(capacity: usize) -> usize {
        let buckets = capacity.saturating_mul(SLOTS_PER_VALUE).div_ceil(SLOTS);
        let buckets = buckets.saturating_mul(size_of::<Bucket<Snapshot<K, V, E>>>());
        buckets.saturating_add(Memory::bytes(capacity))
    }

    pub(crate) fn late(&self) -> &Late {
        &self.late
    }

    /// Values in the table, those past their windows included.
    pub(crate) fn len(&self) -> usize {
        self.room.units()
    }

    pub(crate) fn capacity(&self) -> usize {
        self.room.capacity()
    }

    pub(crate) fn weight(&self) -> u64 {
        self.room.weight()
    }

    /// Servable values that were evicted.
    pub(crate) fn evictions(&self) -> u64 {
        self.memory.evictions.read()
    }

    /// Multiply-shift: any number of buckets, chosen by the hash's upper bits.
    #[inline]
    fn home(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.buckets.len() as u64) >> 32) as usize
    }

    #[inline]
    fn nth(&self, home: usize, distance: usize) -> usize {
        let at = home + distance;
        if at < self.buckets.len() { at } else { at - self.buckets.len() }
    }

    fn span(&self) -> usize {
        SPAN.min(self.buckets.len())
    }

    /// The slots that can hold a key of this hash, in probe order.
    #[inline]
    fn probe<R>(&self, hashed: Hashed, mut visit: impl FnMut(Pos) -> ControlFlow<R>) -> Option<R> {
        let home = self.home(hashed.upper());
        for distance in 0..self.span() {
            let at = self.nth(home, distance);
            let bucket = &self.buckets[at];
            for slot in bucket.tags().matching(hashed) {
                if let Break(found) = visit(Pos { bucket: at, slot }) {
                    return Some(found);
                }
            }
            if !bucket.passed() {
                break;
            }
        }
        None
    }

    #[inline]
    fn load(&self, pos: Pos) -> Option<Hold<K, V, E>> {
        self.buckets[pos.bucket].load(pos.slot)
    }

    /// What is published for a key, if `wanted`, where nearly all stand: in the first slot of the home
    /// bucket that has the key's tag. The whole of a hit: no pin, no word read, no write once the use bits
    /// are set.
    #[inline(always)]
    pub(crate) fn at_home<Q>(
        &self,
        hashed: Hashed,
        key: &Q,
        wanted: impl FnOnce(&Snapshot<K, V, E>) -> bool,
    ) -> Option<Hold<K, V, E>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let bucket = &self.buckets[self.home(hashed.upper())];
        let seen = bucket.tags();
        let slot = seen.matching(hashed).next()?;
        let held = bucket.load(slot)?;
        if wanted(&held) && held.key.borrow() == key {
            bucket.touch(seen, slot);
            Some(held)
        } else {
            held.release();
            None
        }
    }

    /// The published value of a key, wherever in its group.
    pub(crate) fn find<Q>(&self, hashed: Hashed, key: &Q) -> Option<(Pos, Hold<K, V, E>)>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        self.probe(hashed, |pos| match self.load(pos) {
            Some(held) if held.has_value() && held.key.borrow() == key => Break((pos, held)),
            Some(held) => {
                held.release();
                Continue(())
            }
            None => Continue(()),
        })
    }

    /// Notes that the entry was used.
    #[inline]
    pub(crate) fn touch(&self, pos: Pos) {
        let bucket = &self.buckets[pos.bucket];
        bucket.touch(bucket.tags(), pos.slot);
    }

    /// Takes `s` out if it is still what is published at `pos`, and gives back its room. The one
    /// who gets it goes on to close its word.
    fn remove(&self, pos: Pos, s: &Snapshot<K, V, E>) -> Option<Arc<Snapshot<K, V, E>>> {
        let removed = self.unlink(pos, s)?;
        if removed.has_value() {
            self.room.give_back(1, removed.weight);
        }
        Some(removed)
    }

    /// As `remove`, but the room stays the caller's.
    fn unlink(&self, pos: Pos, s: &Snapshot<K, V, E>) -> Option<Arc<Snapshot<K, V, E>>> {
        let bucket = &self.buckets[pos.bucket];
        let removed = bucket.cell(pos.slot).replace_if(s, None).ok()??;
        bucket.free(pos.slot);
        self.unpass(removed.hash, pos.bucket);
        Some(removed)
    }

    /// Takes back what an entry of this hash noted on its way from home to `bucket`.
    fn unpass(&self, hash: u32, bucket: usize) {
        let mut at = self.home(hash);
        while at != bucket {
            self.buckets[at].unpass();
            at = self.nth(at, 1);
        }
    }

    pub(crate) fn buckets(&self) -> usize {
        self.buckets.len()
    }

    /// The servable values whose home is this bucket, each key once.
    pub(crate) fn group(&self, home: usize, now: Tick) -> Vec<Arc<Snapshot<K, V, E>>>
    where
        K: Eq,
    {
        let mut group: Vec<Arc<Snapshot<K, V, E>>> = Vec::new();
        for distance in 0..self.span() {
            let bucket = &self.buckets[self.nth(home, distance)];
            for held in bucket.taken().filter_map(|slot| bucket.load(slot)) {
                let new = self.home(held.hash) == home
                    && held.servable(&self.late, now)
                    && !group.iter().any(|s| s.key == held.key);
                if new {
                    group.push(Arc::clone(held.arc()));
                }
            }
            if !bucket.passed() {
                break;
            }
        }
        group
    }

    /// All buckets, in the order in which the hands come by them: what empties the table so, and is held up midway,
    /// leaves every group as full as the others. Else newcomers, who take the room that was given back, would fill up
    /// the part that is not emptied yet.
    fn spread(&self) -> impl Iterator<Item = usize> {
        (0..self.buckets.len()).map(|nth| self.nth_bucket(nth))
    }

    /// Takes everything out, as `delete` would, key by key.
    pub(crate) fn clear(&self) {
        let mut first = First::default();
        for at in self.spread() {
            for slot in self.buckets[at].taken() {
                first.of(|| self.empty(Pos { bucket: at, slot }));
            }
        }
        first.go_on();
    }

    /// Takes out what is past its windows and not being loaded; how many values.
    pub(crate) fn purge(&self, now: Tick) -> usize {
        let mut first = First::default();
        let mut purged = 0;
        for at in self.spread() {
            for pos in self.buckets[at].taken().map(|slot| Pos { bucket: at, slot }) {
                first.of(|| purged += usize::from(self.take_gone(pos, now)));
            }
        }
        first.go_on();
        purged
    }

    fn take_gone(&self, pos: Pos, now: Tick) -> bool {
        let Some(held) = self.load(pos) else { return false };
        let gone = held.has_value() && !held.servable(&self.late, now) && held.word.close_quiet();
        gone && self.finish(pos, &held, now)
    }

    fn empty(&self, pos: Pos) {
        while let Some(held) = self.load(pos) {
            // A tentative placeholder has not entered yet: it comes after this.
            let stands = matches!(held.word.standing(), Committed | Closed);
            if !stands || self.detach(pos, &held) {
                break;
            }
        }
    }

    /// Whether no slot, tag or passed count is left; for models at rest.
    #[cfg(lastcache_loom)]
    pub(crate) fn is_clean(&self) -> bool {
        self.buckets.iter().all(Bucket::is_clean)
    }

    /// Every snapshot that stands in a cell; for models at rest.
    #[cfg(lastcache_loom)]
    pub(crate) fn standing(&self) -> Vec<Arc<Snapshot<K, V, E>>> {
        let slots = |b: &Bucket<_>| (0..SLOTS).filter_map(|slot| b.load(slot)).collect::<Vec<_>>();
        self.buckets.iter().flat_map(slots).map(|held| Arc::clone(held.arc())).collect()
    }
}

impl<K, V, E> Drop for Table<K, V, E> {
    /// Empties the cells, each on its own for its value's destructor; and no value stays because hot sets
    /// keep the cells a while longer.
    fn drop(&mut self) {
        let mut first = First::default();
        self.buckets.iter().flat_map(Bucket::cells).for_each(|cell| first.of(|| cell.clear()));
        first.go_on();
    }
}
