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
use crate::subject::Subject;
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

/// One row of the list.
pub(crate) struct Entry<K, V> {
    pub(crate) name: &'static str,
    pub(crate) make: fn(usize) -> Box<dyn Subject<K, V>>,
}

impl<K, V> Entry<K, V> {
    pub(crate) fn family(&self) -> Option<Family> {
        family(self.name)
    }
}

/// The measuring loop with nothing in it: a yardstick too.
pub(crate) const LOOP: &str = "(the loop alone)";

/// The yardstick of hit ratios.
pub(crate) const LRU: &str = "exact LRU";

/// The family of a candidate; a yardstick has none.
pub(crate) fn family(name: &str) -> Option<Family> {
    DESCRIBED.iter().find(|it| it.0 == name).map(|it| it.1)
}

fn entry<K: Key, V: Value, C: Candidate<K, V>>(name: &'static str) -> Entry<K, V> {
    Entry { name, make: |room| Box::new(C::new(room)) }
}

/// The name of each candidate, its family, and what is said of it in the report.
pub(crate) const DESCRIBED: &[(&str, Family, &str)] = &[
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

/// Every candidate for these keys and values.
pub(crate) fn all<K: Key, V: Value>() -> Vec<Entry<K, V>> {
    type S = FixedState;
    vec![
        entry::<K, V, Lastcache<K, V, S>>("lastcache"),
        // Here stands the one that reads through a `Reader`.
        entry::<K, V, moka::Moka<K, V, S, true>>("moka"),
        entry::<K, V, quick_cache::Quick<K, Dated<V>, S>>("quick_cache"),
        entry::<K, V, foyer::Foyer<K, Dated<V>, S, true>>("foyer-memory"),
        entry::<K, V, moka::MiniMoka<K, V, S, true>>("mini-moka"),
        entry::<K, V, others::Ufo<K, Dated<V>>>("TinyUFO"),
        entry::<K, V, others::Fibre<K, V, S, true>>("fibre_cache"),
        entry::<K, V, others::Cached<K, V, S>>("cached"),
        entry::<K, V, maps::Dash<K, Dated<V>, S>>("dashmap"),
        entry::<K, V, maps::SccMap<K, Dated<V>, S>>("scc HashMap"),
        entry::<K, V, maps::SccIndex<K, Dated<V>, S>>("scc HashIndex"),
        entry::<K, V, maps::Papaya<K, Dated<V>, S>>("papaya"),
        entry::<K, V, locked::MutexMap<K, Dated<V>, S>>("Mutex<HashMap>"),
        entry::<K, V, locked::RwLockMap<K, Dated<V>, S>>("RwLock<HashMap>"),
        entry::<K, V, naive::OneMutex<K, V, S>>("naive SWR"),
    ]
}

/// Those candidates whose defaults differ, as they come: their own hasher, and no TTL unless they always
/// have one.
pub(crate) fn by_default<K: Key, V: Value>() -> Vec<Entry<K, V>> {
    type S = RandomState;
    vec![
        entry::<K, V, Lastcache<K, V, S>>("lastcache"),
        entry::<K, V, moka::Moka<K, V, S, false>>("moka"),
        entry::<K, V, quick_cache::Quick<K, Bare<V>, ::quick_cache::DefaultHashBuilder>>(
            "quick_cache",
        ),
        entry::<K, V, foyer::Foyer<K, Bare<V>, foyer::DefaultHasher, false>>("foyer-memory"),
        entry::<K, V, moka::MiniMoka<K, V, S, false>>("mini-moka"),
        entry::<K, V, others::Ufo<K, Bare<V>>>("TinyUFO"),
        entry::<K, V, others::Fibre<K, V, ahash::RandomState, false>>("fibre_cache"),
        entry::<K, V, others::Cached<K, V, ::cached::DefaultShardHasher>>("cached"),
        entry::<K, V, maps::Dash<K, Bare<V>, S>>("dashmap"),
        entry::<K, V, maps::SccMap<K, Bare<V>, S>>("scc HashMap"),
        entry::<K, V, maps::SccIndex<K, Bare<V>, S>>("scc HashIndex"),
        entry::<K, V, maps::Papaya<K, Bare<V>, S>>("papaya"),
        entry::<K, V, locked::MutexMap<K, Bare<V>, S>>("Mutex<HashMap>"),
        entry::<K, V, locked::RwLockMap<K, Bare<V>, S>>("RwLock<HashMap>"),
    ]
}

/// The measuring loop with nothing in it.
pub(crate) fn nothing<K: Key, V: Value>() -> Entry<K, V> {
    entry::<K, V, nothing::Nothing>(LOOP)
}

/// Those of [`all`]; the one whose single flight needs a loader is given the stampede's.
pub(crate) fn for_stampede() -> Vec<Entry<u64, u64>> {
    let mut entries = all();
    for it in entries.iter_mut().filter(|it| it.name == "fibre_cache") {
        it.make = |room| Box::new(others::FibreLoading::new(room));
    }
    entries
}

/// The bounded ones of [`all`], and the yardstick.
pub(crate) fn for_traces() -> Vec<Entry<u64, u64>> {
    let mut entries = all();
    entries.retain(|it| it.family().is_some_and(Family::is_bounded));
    entries.push(entry::<_, _, others::Lru>(LRU));
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_candidate_is_described_and_keeps_what_it_is_given() {
        for entry in all::<u64, u64>().into_iter().chain(by_default()) {
            assert!(family(entry.name).is_some(), "{}", entry.name);
            let it = (entry.make)(1_000);
            it.put(7);
            it.settle();
            assert_eq!(it.count_present(10), 1, "{}", entry.name);
        }
    }
}
