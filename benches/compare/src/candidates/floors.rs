//! Floors: what a hit takes at least whose values are published through `ArcSwap`s: clock, hash, the read of the
//! cell that the hash leads to, key and deadline. No table to search, since an oracle keeps a cell for every
//! hash; no counters, no use bits. Nothing is ever missing and nothing evicted.

use std::hash::BuildHasher;
use std::hint::black_box;
use std::sync::Arc;

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
