//! What is compared. One trait, a file per family; [`all`] lists them.
//!
//! Each stands in the configuration that its documentation recommends for many readers, hashes with
//! the same hasher and seed if it lets one choose, and honours a TTL: its own, or a deadline beside the value
//! on the same coarse clock. [`by_default`] lists those whose own defaults differ, with these.

mod foyer;
mod lastcache;
mod locked;
mod maps;
mod moka;
mod naive;
mod nothing;
mod others;
mod quick_cache;

use std::hash::{BuildHasher, RandomState};

use foldhash::fast::FixedState;

use crate::keys::{Key, Value};
use crate::stamp::{Bare, Dated};
use crate::subject::{Subject, Worker};
pub(crate) use lastcache::{Lastcache, allocations_of_refreshes};
pub(crate) use naive::{Naive, settings as naive_settings};

/// A hasher that a candidate can be given.
pub(crate) trait Hasher: BuildHasher + Default + Clone + Send + Sync + 'static {}

impl<S: BuildHasher + Default + Clone + Send + Sync + 'static> Hasher for S {}

/// Something that is measured, for keys `K` and values `V`.
pub(crate) trait Candidate<K: Key, V: Value>: Send + Sync + Sized + 'static {
    /// What a thread keeps for its calls: a handle, if the candidate has such; else nothing.
    type Local;

    /// An empty one with room for so many values.
    fn new(room: usize) -> Self;

    fn local(&self) -> Self::Local;

    /// Looks at the fresh value of a key, in place if the candidate can.
    fn get(&self, local: &mut Self::Local, key: &K) -> Option<u64>;

    fn set(&self, key: &K, value: V);

    /// As `get`; what is missing is made and stored.
    #[inline]
    fn read(&self, local: &mut Self::Local, key: &K, make: impl FnOnce() -> V) -> u64 {
        match self.get(local, key) {
            Some(seen) => seen,
            None => {
                let value = make();
                let seen = value.look();
                self.set(key, value);
                seen
            }
        }
    }

    /// As `read` of something slow: with the single flight of a candidate that has one.
    fn load(&self, key: &K, make: impl FnOnce() -> V) -> u64 {
        self.read(&mut self.local(), key, make)
    }

    /// Does what the candidate has put off.
    fn settle(&self) {}
}

/// What a candidate is, as far as workloads and aims ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Family {
    /// The subject of this comparison.
    Own,
    /// Bounded; a hit takes a lock, or part of one.
    LockedCache,
    /// Bounded; a hit takes no lock.
    FreeCache,
    /// Grows without bound; a read takes a lock.
    LockedMap,
    /// Grows without bound; a read takes no lock.
    FreeMap,
    /// One mutex around everything; bounded.
    Mutex,
}

impl Family {
    pub(crate) fn is_bounded(self) -> bool {
        !matches!(self, Self::LockedMap | Self::FreeMap)
    }

    pub(crate) fn takes_locks(self) -> bool {
        matches!(self, Self::LockedCache | Self::LockedMap | Self::Mutex)
    }
}

/// One row of the list: a name, and how such a one is made, as far as it is used.
pub(crate) struct Entry<S: ?Sized> {
    pub(crate) name: &'static str,
    pub(crate) make: fn(usize) -> Box<S>,
}

impl<S: ?Sized> Entry<S> {
    pub(crate) fn family(&self) -> Option<Family> {
        family(self.name)
    }
}

pub(crate) type Reading<K, V> = Entry<dyn Subject<K, V>>;
pub(crate) type Working = Entry<dyn Worker>;

fn reading<K: Key, V: Value, C: Candidate<K, V>>(name: &'static str) -> Reading<K, V> {
    Entry { name, make: |room| Box::new(C::new(room)) }
}

fn working<K, V, C: Candidate<u64, u64>>(name: &'static str) -> Working {
    Entry { name, make: |room| Box::new(C::new(room)) }
}

/// The measuring loop with nothing in it: a yardstick too.
pub(crate) const LOOP: &str = "(the loop alone)";

/// The yardstick of hit ratios.
pub(crate) const LRU: &str = "exact LRU";

/// The family of a candidate; a yardstick has none.
pub(crate) fn family(name: &str) -> Option<Family> {
    DESCRIBED.iter().find(|it| it.0 == name).map(|it| it.1)
}

/// The name of each candidate, its family, and what is said of it in the report.
pub(crate) const DESCRIBED: [(&str, Family, &str); 15] = [
    ("lastcache", Family::Own, "`get_with`, coarse clock"),
    // The place of the one that reads through a `Reader`: its `Local` is the handle.
    ("moka", Family::FreeCache, "sync cache, own TTL, `get`"),
    ("quick_cache", Family::LockedCache, "deadline in the value, `get`"),
    ("foyer-memory", Family::LockedCache, "S3-FIFO, deadline in the value, read through its entry"),
    ("mini-moka", Family::LockedCache, "sync cache, own TTL, `get`"),
    (
        "TinyUFO",
        Family::FreeCache,
        "`new` (the fast table), deadline in the value; hashes with its own ahash",
    ),
    ("fibre_cache", Family::LockedCache, "S3-FIFO, own TTL on its janitor's clock, `get` in place"),
    ("cached", Family::LockedCache, "ShardedLruTtlCache, own TTL (precise clock)"),
    ("dashmap", Family::LockedMap, "deadline in the value, read through its guard; never evicts"),
    ("scc HashMap", Family::LockedMap, "deadline in the value, `read_sync`; never evicts"),
    ("scc HashIndex", Family::FreeMap, "deadline in the value, `peek_with`; never evicts"),
    ("papaya", Family::FreeMap, "deadline in the value, pinned per call; never evicts"),
    ("Mutex<HashMap>", Family::Mutex, "deadline in the value; evicts first in, first out"),
    ("RwLock<HashMap>", Family::LockedCache, "deadline in the value; evicts first in, first out"),
    ("naive SWR", Family::Mutex, "the complete semantics of lastcache behind one mutex"),
];

/// Every candidate, each made by `$entry`, for these keys and values.
macro_rules! every {
    ($entry:ident, $k:ty, $v:ty) => {
        vec![
            $entry::<$k, $v, Lastcache<$k, $v, FixedState>>("lastcache"),
            // Here stands the one that reads through a `Reader`.
            $entry::<$k, $v, moka::Moka<$k, $v, FixedState, true>>("moka"),
            $entry::<$k, $v, quick_cache::Quick<$k, Dated<$v>, FixedState>>("quick_cache"),
            $entry::<$k, $v, foyer::Foyer<$k, Dated<$v>, FixedState, true>>("foyer-memory"),
            $entry::<$k, $v, moka::MiniMoka<$k, $v, FixedState, true>>("mini-moka"),
            $entry::<$k, $v, others::Ufo<$k, Dated<$v>>>("TinyUFO"),
            $entry::<$k, $v, others::Fibre<$k, $v, FixedState, true>>("fibre_cache"),
            $entry::<$k, $v, others::Cached<$k, $v, FixedState>>("cached"),
            $entry::<$k, $v, maps::Dash<$k, Dated<$v>, FixedState>>("dashmap"),
            $entry::<$k, $v, maps::SccMap<$k, Dated<$v>, FixedState>>("scc HashMap"),
            $entry::<$k, $v, maps::SccIndex<$k, Dated<$v>, FixedState>>("scc HashIndex"),
            $entry::<$k, $v, maps::Papaya<$k, Dated<$v>, FixedState>>("papaya"),
            $entry::<$k, $v, locked::MutexMap<$k, Dated<$v>, FixedState>>("Mutex<HashMap>"),
            $entry::<$k, $v, locked::RwLockMap<$k, Dated<$v>, FixedState>>("RwLock<HashMap>"),
            $entry::<$k, $v, naive::OneMutex<$k, $v, FixedState>>("naive SWR"),
        ]
    };
}

/// Every candidate for work of all kinds, on numbers.
pub(crate) fn all() -> Vec<Working> {
    every!(working, u64, u64)
}

/// Every candidate for reads of these keys and values.
pub(crate) fn all_reading<K: Key, V: Value>() -> Vec<Reading<K, V>> {
    every!(reading, K, V)
}

/// Those that evict, for work of all kinds.
pub(crate) fn bounded() -> Vec<Working> {
    let mut entries = all();
    entries.retain(|it| it.family().is_some_and(Family::is_bounded));
    entries
}

/// Those candidates whose defaults differ, as they come: their own hasher, and no TTL unless they always
/// have one.
pub(crate) fn by_default() -> Vec<Reading<u64, u64>> {
    type K = u64;
    type V = u64;
    type S = RandomState;
    vec![
        reading::<K, V, Lastcache<K, V, S>>("lastcache"),
        reading::<K, V, moka::Moka<K, V, S, false>>("moka"),
        reading::<K, V, quick_cache::Quick<K, Bare<V>, ::quick_cache::DefaultHashBuilder>>(
            "quick_cache",
        ),
        reading::<K, V, foyer::Foyer<K, Bare<V>, foyer::DefaultHasher, false>>("foyer-memory"),
        reading::<K, V, moka::MiniMoka<K, V, S, false>>("mini-moka"),
        reading::<K, V, others::Ufo<K, Bare<V>>>("TinyUFO"),
        reading::<K, V, others::Fibre<K, V, ahash::RandomState, false>>("fibre_cache"),
        reading::<K, V, others::Cached<K, V, ::cached::DefaultShardHasher>>("cached"),
        reading::<K, V, maps::Dash<K, Bare<V>, S>>("dashmap"),
        reading::<K, V, maps::SccMap<K, Bare<V>, S>>("scc HashMap"),
        reading::<K, V, maps::SccIndex<K, Bare<V>, S>>("scc HashIndex"),
        reading::<K, V, maps::Papaya<K, Bare<V>, S>>("papaya"),
        reading::<K, V, locked::MutexMap<K, Bare<V>, S>>("Mutex<HashMap>"),
        reading::<K, V, locked::RwLockMap<K, Bare<V>, S>>("RwLock<HashMap>"),
    ]
}

/// The measuring loop with nothing in it.
pub(crate) fn nothing<K: Key, V: Value>() -> Reading<K, V> {
    reading::<K, V, nothing::Nothing>(LOOP)
}

/// The same, for work of all kinds.
pub(crate) fn no_work() -> Working {
    working::<u64, u64, nothing::Nothing>(LOOP)
}

/// Those of [`all`]; the one whose single flight needs a loader is given the stampede's.
pub(crate) fn for_stampede() -> Vec<Working> {
    let mut entries = all();
    for it in entries.iter_mut().filter(|it| it.name == "fibre_cache") {
        it.make = |room| Box::new(others::FibreLoading::new(room));
    }
    entries
}

/// The bounded ones, and the yardstick.
pub(crate) fn for_traces() -> Vec<Working> {
    let mut entries = bounded();
    entries.push(working::<u64, u64, others::Lru>(LRU));
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeps_what_it_is_given<S: Subject<u64, u64> + ?Sized>(entry: &Entry<S>) {
        assert!(entry.family().is_some(), "{}", entry.name);
        let it = (entry.make)(1_000);
        it.put(7);
        it.settle();
        assert_eq!(it.count_present(10), 1, "{}", entry.name);
    }

    #[test]
    fn every_candidate_is_described_and_keeps_what_it_is_given() {
        all().iter().for_each(keeps_what_it_is_given);
        by_default().iter().for_each(keeps_what_it_is_given);
    }

    #[test]
    fn the_candidates_come_in_the_order_of_their_description() {
        let names: Vec<_> = all().iter().map(|it| it.name).collect();
        assert_eq!(names, DESCRIBED.map(|it| it.0));
    }
}
