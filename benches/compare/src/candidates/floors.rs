//! Floors: what a hit takes at least whose values are published through `ArcSwap`s: clock, hash, the read of the
//! cell that the hash leads to, key and deadline. No counters, no use bits. Nothing is ever missing and nothing
//! evicted. And no table to search, since an oracle keeps a cell for every hash; but for [`Tabled`], which has one.

use std::hash::BuildHasher;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::*};

use arc_swap::{ArcSwapOption, Cache};
use foldhash::fast::FixedState;

use super::Candidate;
use crate::keys::Value;
use crate::stamp::{Dated, Stamp};

/// A value as it is published.
pub(crate) struct Snapshot<V> {
    key: u64,
    dated: Dated<V>,
}

impl<V: Value> Snapshot<V> {
    fn new(key: u64, value: V) -> Arc<Self> {
        Arc::new(Snapshot { key, dated: Dated::put(value) })
    }

    #[inline]
    fn read(&self, key: u64, now: u64) -> Option<u64> {
        if self.key == key { self.dated.fresh(now).map(V::look) } else { None }
    }
}

/// The oracle. It spreads the keys below a power of two over as many cells, no two to the same, and has no use
/// for a hash: all of it is masked out. That no compiler knows, so where a cell is waits for the hash.
struct Oracle {
    hasher: FixedState,
    mask: u64,
}

impl Oracle {
    fn new() -> Self {
        Self { hasher: FixedState::default(), mask: black_box(0) }
    }

    #[inline]
    fn place(&self, key: u64, cells: usize) -> usize {
        let key = key ^ (self.hasher.hash_one(key) & self.mask);
        (key as usize).wrapping_mul(0x9e37_79b9_7f4a_7c15) & (cells - 1)
    }
}

/// Reads through guards, as a plain hit.
pub(crate) struct Guarded<V> {
    oracle: Oracle,
    cells: Box<[ArcSwapOption<Snapshot<V>>]>,
}

impl<V: Value> Candidate<u64, V> for Guarded<V> {
    type Local<'a> = ();

    fn new(room: usize) -> Self {
        let cells = (0..room.next_power_of_two()).map(|_| ArcSwapOption::empty()).collect();
        Self { oracle: Oracle::new(), cells }
    }

    fn local(&self) {}

    #[inline]
    fn get(&self, (): &mut (), key: &u64) -> Option<u64> {
        let at = self.oracle.place(*key, self.cells.len());
        let now = Dated::<()>::now();
        let held = self.cells[at].load();
        held.as_ref()?.read(*key, now)
    }

    fn set(&self, key: &u64, value: V) {
        let cell = &self.cells[self.oracle.place(*key, self.cells.len())];
        cell.store(Some(Snapshot::new(*key, value)));
    }
}

pub(crate) type Cell<V> = Arc<ArcSwapOption<Snapshot<V>>>;

/// Reads through a thread's own `arc_swap::Cache` of each cell, as a `Reader` hit.
pub(crate) struct Cached<V> {
    oracle: Oracle,
    cells: Box<[Cell<V>]>,
}

impl<V: Value> Candidate<u64, V> for Cached<V> {
    type Local<'a> = Box<[Cache<Cell<V>, Option<Arc<Snapshot<V>>>>]>;

    fn new(room: usize) -> Self {
        let cells = (0..room.next_power_of_two()).map(|_| Arc::default()).collect();
        Self { oracle: Oracle::new(), cells }
    }

    fn local(&self) -> Self::Local<'_> {
        self.cells.iter().map(|cell| Cache::new(Arc::clone(cell))).collect()
    }

    #[inline]
    fn get(&self, caches: &mut Self::Local<'_>, key: &u64) -> Option<u64> {
        let at = self.oracle.place(*key, caches.len());
        let now = Dated::<()>::now();
        caches[at].load().as_ref()?.read(*key, now)
    }

    fn set(&self, key: &u64, value: V) {
        let cell = &self.cells[self.oracle.place(*key, self.cells.len())];
        cell.store(Some(Snapshot::new(*key, value)));
    }
}

/// How many cells stand on a line.
const CELLS: usize = 6;
const LOW: u64 = 0x0101_0101_0101;
/// Of a line that a key found full.
const PASSED: u64 = 1 << 63;

/// A line of the table: a byte of each key's hash, and the cells.
#[repr(C, align(64))]
struct Line<V> {
    tags: AtomicU64,
    control: u64,
    cells: [ArcSwapOption<Entry<V>>; CELLS],
}

/// As large as lastcache's snapshot.
#[repr(C)]
struct Entry<V> {
    word: u64,
    hash_and_weight: u64,
    snapshot: Snapshot<V>,
    published: u64,
    windows: u64,
}

/// Reads through guards, found in a table of lastcache's shape and load.
pub(crate) struct Tabled<V> {
    hasher: FixedState,
    lines: Box<[Line<V>]>,
}

impl<V> Tabled<V> {
    /// Where a key's line is, and its tag: mixed once more, so that a weak hasher does not fill one line.
    #[inline]
    fn place(&self, key: u64) -> (usize, u64) {
        let hash = self.hasher.hash_one(key) ^ 0x2d35_8dcc_aa6c_78a5;
        let wide = u128::from(hash) * u128::from(0x9e37_79b9_7f4a_7c15_u64);
        let mixed = wide as u64 ^ (wide >> 64) as u64;
        ((((mixed >> 32) * self.lines.len() as u64) >> 32) as usize, (mixed & 0xff).max(1))
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        if at + 1 < self.lines.len() { at + 1 } else { 0 }
    }
}

impl<V: Value> Candidate<u64, V> for Tabled<V> {
    type Local<'a> = ();

    fn new(room: usize) -> Self {
        let line = || Line {
            tags: AtomicU64::new(0),
            control: 0,
            cells: std::array::from_fn(|_| ArcSwapOption::empty()),
        };
        let lines = (2 * room).div_ceil(CELLS).max(2);
        Self { hasher: FixedState::default(), lines: (0..lines).map(|_| line()).collect() }
    }

    fn local(&self) {}

    #[inline]
    fn get(&self, (): &mut (), key: &u64) -> Option<u64> {
        let (mut at, tag) = self.place(*key);
        let now = Dated::<()>::now();
        loop {
            let line = &self.lines[at];
            let tags = line.tags.load(Acquire);
            let differs = tags ^ (LOW * tag);
            let mut matching = differs.wrapping_sub(LOW) & !differs & (LOW << 7);
            while matching != 0 {
                let held = line.cells[matching.trailing_zeros() as usize / 8].load();
                if let Some(seen) = held.as_ref().and_then(|it| it.snapshot.read(*key, now)) {
                    return Some(seen);
                }
                matching &= matching - 1;
            }
            if tags & PASSED == 0 {
                return None;
            }
            at = self.after(at);
        }
    }

    /// Of one thread at a time.
    fn set(&self, key: &u64, value: V) {
        let (mut at, tag) = self.place(*key);
        let snapshot = Snapshot { key: *key, dated: Dated::put(value) };
        let entry = Entry { word: 0, hash_and_weight: 0, snapshot, published: 0, windows: 0 };
        let entry = Arc::new(entry);
        loop {
            let line = &self.lines[at];
            let tags = line.tags.load(Acquire);
            for (slot, cell) in line.cells.iter().enumerate() {
                let there = tags >> (8 * slot) & 0xff;
                let is_own = || cell.load().as_ref().is_some_and(|it| it.snapshot.key == *key);
                if there == 0 || there == tag && is_own() {
                    cell.store(Some(entry));
                    line.tags.store(tags | tag << (8 * slot), Release);
                    return;
                }
            }
            line.tags.store(tags | PASSED, Release);
            at = self.after(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_as_large_as_a_snapshot_and_a_line_as_a_bucket() {
        // 72 with the counts of its `Arc`.
        assert_eq!(size_of::<Entry<u64>>() + 16, 72);
        assert_eq!(size_of::<Line<u64>>(), 64);
    }

    #[test]
    fn of_a_key_that_is_set_twice_the_second_value_is_found() {
        let table = Tabled::new(100);
        (0..100).chain(0..100).zip(0..).for_each(|(key, n)| table.set(&key, n));
        (0..100).for_each(|key| assert_eq!(table.get(&mut (), &key), Some(100 + key)));
        assert_eq!(table.get(&mut (), &100), None);
    }
}
