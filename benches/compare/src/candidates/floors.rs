//! Floors: what a hit takes at least whose values are published through `ArcSwap`s, told by an oracle where
//! they are. Clock, hash, the read of the cell, key and deadline; no table to search, no counters, no use
//! bits. Nothing is ever missing and nothing evicted.

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
    #[inline]
    fn read(&self, key: u64, now: u64) -> Option<u64> {
        if self.key == key { self.dated.fresh(now).map(V::look) } else { None }
    }
}

/// The oracle: spreads the keys below a power of two over as many cells, no two to the same.
#[inline]
fn place(key: u64, cells: usize) -> usize {
    (key as usize).wrapping_mul(0x9e37_79b9_7f4a_7c15) & (cells - 1)
}

/// The time, and the hash, which the oracle has no use for.
#[inline]
fn as_any_hit(key: u64) -> u64 {
    let now = Dated::<()>::now();
    black_box(FixedState::default().hash_one(key));
    now
}

/// Reads through guards, as a plain hit.
pub(crate) struct Guarded<V>(Box<[ArcSwapOption<Snapshot<V>>]>);

impl<V: Value> Candidate<u64, V> for Guarded<V> {
    type Local = ();

    fn new(room: usize) -> Self {
        Self((0..room.next_power_of_two()).map(|_| ArcSwapOption::empty()).collect())
    }

    fn local(&self) {}

    #[inline]
    fn get(&self, _: &mut (), key: &u64) -> Option<u64> {
        let now = as_any_hit(*key);
        let held = self.0[place(*key, self.0.len())].load();
        held.as_ref()?.read(*key, now)
    }

    fn set(&self, key: &u64, value: V) {
        let snapshot = Snapshot { key: *key, dated: Dated::put(value) };
        self.0[place(*key, self.0.len())].store(Some(Arc::new(snapshot)));
    }
}

pub(crate) type Cell<V> = Arc<ArcSwapOption<Snapshot<V>>>;

/// Reads through a thread's own `arc_swap::Cache` of each cell, as a `Reader` hit.
pub(crate) struct Cached<V>(Box<[Cell<V>]>);

impl<V: Value> Candidate<u64, V> for Cached<V> {
    type Local = Box<[Cache<Cell<V>, Option<Arc<Snapshot<V>>>>]>;

    fn new(room: usize) -> Self {
        Self((0..room.next_power_of_two()).map(|_| Arc::default()).collect())
    }

    fn local(&self) -> Self::Local {
        self.0.iter().map(|cell| Cache::new(Arc::clone(cell))).collect()
    }

    #[inline]
    fn get(&self, caches: &mut Self::Local, key: &u64) -> Option<u64> {
        let now = as_any_hit(*key);
        let cells = caches.len();
        caches[place(*key, cells)].load().as_ref()?.read(*key, now)
    }

    fn set(&self, key: &u64, value: V) {
        let snapshot = Snapshot { key: *key, dated: Dated::put(value) };
        self.0[place(*key, self.0.len())].store(Some(Arc::new(snapshot)));
    }
}
