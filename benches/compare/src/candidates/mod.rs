//! What is compared. One trait, a file per family; [`all`] lists them.
//!
//! Each stands in the configuration that its documentation recommends for many readers, hashes with
//! the same hasher and seed if it lets one choose, and honours a TTL: its own, or a deadline beside the value
//! on the same coarse clock. [`by_default`] lists those whose own defaults differ, with these.

mod floors;
mod foyer;
mod lastcache;
mod locked;
mod maps;
mod moka;
mod naive;
mod nothing;
mod others;
mod quick_cache;
mod tasks;

use std::hash::{BuildHasher, RandomState};

use foldhash::fast::FixedState;

use crate::keys::{Key, Value};
use crate::stamp::{Bare, Dated};
use crate::subject::{Subject, Worker};
pub(crate) use lastcache::{Lastcache, ThroughReaders, allocations_of_refreshes};
pub(crate) use naive::{Naive, settings as naive_settings};

/// A hasher that a candidate can be given.
pub(crate) trait Hasher: BuildHasher + Default + Clone + Send + Sync + 'static {}

impl<S: BuildHasher + Default + Clone + Send + Sync + 'static> Hasher for S {}

/// Something that is measured, for keys `K` and values `V`.
pub(crate) trait Candidate<K: Key, V: Value>: Send + Sync + Sized + 'static {
    /// What a thread keeps for its calls: a handle, if the candidate has such; else nothing.
    type Local<'a>;

    /// An empty one with room for so many values.
    fn new(room: usize) -> Self;

    fn local(&self) -> Self::Local<'_>;

    /// Looks at the fresh value of a key, in place if the candidate can.
    fn get<'a>(&'a self, local: &mut Self::Local<'a>, key: &K) -> Option<u64>;

    fn set(&self, key: &K, value: V);

    /// As `get`; what is missing is made and stored.
    #[inline]
    fn read<'a>(&'a self, local: &mut Self::Local<'a>, key: &K, make: impl FnOnce() -> V) -> u64 {
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

/// A candidate that can stand behind the interface `S`.
pub(crate) trait Behind<S: ?Sized>: Sized {
    fn boxed(room: usize) -> Box<S>;
}

impl<K: Key, V: Value, C: Candidate<K, V>> Behind<dyn Subject<K, V>> for C {
    fn boxed(room: usize) -> Box<dyn Subject<K, V>> {
        Box::new(C::new(room))
    }
}

impl<C: Candidate<u64, u64>> Behind<dyn Worker> for C {
    fn boxed(room: usize) -> Box<dyn Worker> {
        Box::new(C::new(room))
    }
}

fn entry<C: Behind<S>, S: ?Sized>(name: &'static str) -> Entry<S> {
    Entry { name, make: C::boxed }
}

/// Whether it is the subject, in whichever form: no peer.
pub(crate) fn is_own(name: &str) -> bool {
    name.starts_with("lastcache")
}

/// The measuring loop with nothing in it: a yardstick too.
pub(crate) const LOOP: &str = "(the loop alone)";

/// What a hit takes at least that reads its value through a guard of arc-swap.
pub(crate) const GUARD: &str = "(arc-swap alone)";

/// The same through a thread's own `arc_swap::Cache`.
pub(crate) const CACHE: &str = "(its Cache alone)";

/// The same as the first, found in a table.
pub(crate) const TABLE: &str = "(arc-swap in a bare table)";

/// The yardstick of hit ratios.
pub(crate) const LRU: &str = "exact LRU";

/// The family of a candidate; a yardstick has none.
pub(crate) fn family(name: &str) -> Option<Family> {
    DESCRIBED.iter().find(|it| it.0 == name).map(|it| it.1)
}

/// The name of each candidate, its family, and what is said of it in the report.
pub(crate) const DESCRIBED: &[(&str, Family, &str)] = &[
    ("lastcache", Family::Own, "`get_with`, coarse clock"),
    (
        "lastcache Reader",
        Family::Own,
        "through a `Reader` per thread: four spots for each key, 4,096 at most",
    ),
    ("moka", Family::FreeCache, "sync cache, own TTL, `get`"),
    ("quick_cache", Family::LockedCache, "deadline in the value, `get`"),
    (
        "quick_cache, sharded locks",
        Family::LockedCache,
        "the same on its `sharded-lock`; 0.6, since one program cannot have one version on both locks",
    ),
    ("foyer-memory", Family::LockedCache, "S3-FIFO, deadline in the value, read through its entry"),
    ("mini-moka", Family::LockedCache, "sync cache, own TTL, `get`"),
    (
        "TinyUFO",
        Family::FreeCache,
        "`new` (the fast table), deadline in the value; hashes with its own ahash",
    ),
    ("fibre_cache", Family::LockedCache, "S3-FIFO, own TTL on its janitor's clock, `get` in place"),
    (
        "cached",
        Family::LockedCache,
        "ShardedLruCache, deadline in the value; hashes for the shard, and in it once more with ahash",
    ),
    ("dashmap", Family::LockedMap, "deadline in the value, read through its guard; never evicts"),
    ("scc HashMap", Family::LockedMap, "deadline in the value, `read_sync`; never evicts"),
    ("scc HashIndex", Family::FreeMap, "deadline in the value, `peek_with`; never evicts"),
    (
        "scc HashIndex, pin kept",
        Family::FreeMap,
        "the same through a guard per thread, made anew every 256 calls: nothing is freed meanwhile",
    ),
    ("papaya", Family::FreeMap, "deadline in the value, pinned per call; never evicts"),
    (
        "papaya, pin kept",
        Family::FreeMap,
        "the same through a guard per thread, refreshed every 256 calls: nothing is freed meanwhile",
    ),
    ("Mutex<HashMap>", Family::Mutex, "deadline in the value; evicts first in, first out"),
    ("RwLock<HashMap>", Family::LockedCache, "deadline in the value; evicts first in, first out"),
    ("naive SWR", Family::Mutex, "the complete semantics of lastcache behind one mutex"),
];

/// Every candidate for these keys and values, for what the list is to be used for.
macro_rules! every {
    ($k:ty, $v:ty) => {
        vec![
            entry::<Lastcache<$k, $v, FixedState>, _>("lastcache"),
            entry::<ThroughReaders<$k, $v, FixedState>, _>("lastcache Reader"),
            entry::<moka::Moka<$k, $v, FixedState, true>, _>("moka"),
            entry::<quick_cache::Quick<$k, Dated<$v>, FixedState>, _>("quick_cache"),
            entry::<quick_cache::Sharded<$k, Dated<$v>, FixedState>, _>(
                "quick_cache, sharded locks",
            ),
            entry::<foyer::Foyer<$k, Dated<$v>, FixedState, true>, _>("foyer-memory"),
            entry::<moka::MiniMoka<$k, $v, FixedState, true>, _>("mini-moka"),
            entry::<others::Ufo<$k, Dated<$v>>, _>("TinyUFO"),
            entry::<others::Fibre<$k, $v, FixedState, true>, _>("fibre_cache"),
            entry::<others::Cached<$k, Dated<$v>, FixedState>, _>("cached"),
            entry::<maps::Dash<$k, Dated<$v>, FixedState>, _>("dashmap"),
            entry::<maps::SccMap<$k, Dated<$v>, FixedState>, _>("scc HashMap"),
            entry::<maps::SccIndex<$k, Dated<$v>, FixedState>, _>("scc HashIndex"),
            entry::<maps::Kept<maps::SccIndex<$k, Dated<$v>, FixedState>>, _>(
                "scc HashIndex, pin kept",
            ),
            entry::<maps::Papaya<$k, Dated<$v>, FixedState>, _>("papaya"),
            entry::<maps::Kept<maps::Papaya<$k, Dated<$v>, FixedState>>, _>("papaya, pin kept"),
            entry::<locked::MutexMap<$k, Dated<$v>, FixedState>, _>("Mutex<HashMap>"),
            entry::<locked::RwLockMap<$k, Dated<$v>, FixedState>, _>("RwLock<HashMap>"),
            entry::<naive::OneMutex<$k, $v, FixedState>, _>("naive SWR"),
        ]
    };
}

/// Every candidate for work of all kinds, on numbers.
pub(crate) fn all() -> Vec<Working> {
    every!(u64, u64)
}

/// Every candidate for reads of these keys and values.
pub(crate) fn all_reading<K: Key, V: Value>() -> Vec<Reading<K, V>> {
    every!(K, V)
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
        entry::<Lastcache<K, V, S>, _>("lastcache"),
        entry::<moka::Moka<K, V, S, false>, _>("moka"),
        entry::<quick_cache::Quick<K, Bare<V>, ::quick_cache::DefaultHashBuilder>, _>(
            "quick_cache",
        ),
        entry::<foyer::Foyer<K, Bare<V>, foyer::DefaultHasher, false>, _>("foyer-memory"),
        entry::<moka::MiniMoka<K, V, S, false>, _>("mini-moka"),
        entry::<others::Ufo<K, Bare<V>>, _>("TinyUFO"),
        entry::<others::Fibre<K, V, ahash::RandomState, false>, _>("fibre_cache"),
        entry::<others::Cached<K, Bare<V>, ::cached::DefaultShardHasher>, _>("cached"),
        entry::<maps::Dash<K, Bare<V>, S>, _>("dashmap"),
        entry::<maps::SccMap<K, Bare<V>, S>, _>("scc HashMap"),
        entry::<maps::SccIndex<K, Bare<V>, S>, _>("scc HashIndex"),
        entry::<maps::Papaya<K, Bare<V>, S>, _>("papaya"),
        entry::<locked::MutexMap<K, Bare<V>, S>, _>("Mutex<HashMap>"),
        entry::<locked::RwLockMap<K, Bare<V>, S>, _>("RwLock<HashMap>"),
    ]
}

/// Those that answer tasks too, by those calls.
pub(crate) fn for_tasks() -> Vec<Reading<u64, u64>> {
    vec![
        entry::<tasks::ByTasks<Lastcache<u64, u64, FixedState>>, _>("lastcache"),
        entry::<tasks::Moka<u64, u64, FixedState>, _>("moka"),
        entry::<tasks::ByTasks<quick_cache::Quick<u64, Dated<u64>, FixedState>>, _>("quick_cache"),
    ]
}

/// The measuring loop with nothing in it.
pub(crate) fn nothing<K: Key, V: Value>() -> Reading<K, V> {
    entry::<nothing::Nothing, _>(LOOP)
}

/// The same, for work of all kinds.
pub(crate) fn no_work() -> Working {
    entry::<nothing::Nothing, _>(LOOP)
}

/// The yardsticks of a hit: what an oracle would leave of it, and what a table without anything else.
pub(crate) fn floors<V: Value, S: ?Sized>() -> Vec<Entry<S>>
where
    floors::Guarded<V>: Behind<S>,
    floors::Cached<V>: Behind<S>,
    floors::Tabled<V>: Behind<S>,
{
    vec![
        entry::<floors::Guarded<V>, _>(GUARD),
        entry::<floors::Cached<V>, _>(CACHE),
        entry::<floors::Tabled<V>, _>(TABLE),
    ]
}

/// Those of [`all`]; the one whose single flight needs a loader is given the stampede's.
pub(crate) fn for_stampede() -> Vec<Working> {
    let mut entries = all();
    for it in entries.iter_mut().filter(|it| it.name == "fibre_cache") {
        it.make = |room| Box::new(others::FibreLoading::new(room));
    }
    entries
}

/// The bounded ones, in one shard each where they let one choose, since one thread reads; and the yardstick.
pub(crate) fn for_traces() -> Vec<Working> {
    type V = Dated<u64>;
    type S = FixedState;
    let mut entries = bounded();
    for it in &mut entries {
        match it.name {
            "quick_cache" => {
                it.make = |room| Box::new(quick_cache::Quick::<u64, V, S>::whole(room))
            }
            "quick_cache, sharded locks" => {
                it.make = |room| Box::new(quick_cache::Sharded::<u64, V, S>::whole(room))
            }
            "foyer-memory" => {
                it.make = |room| Box::new(foyer::Foyer::<u64, V, S, true>::whole(room))
            }
            "fibre_cache" => {
                it.make = |room| Box::new(others::Fibre::<u64, u64, S, true>::whole(room))
            }
            "cached" => it.make = |room| Box::new(others::Cached::<u64, V, S>::whole(room)),
            _ => {}
        }
    }
    entries.push(entry::<others::Lru, _>(LRU));
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
        for_tasks().iter().for_each(keeps_what_it_is_given);
    }

    #[test]
    fn a_floor_keeps_all_keys_and_finds_each() {
        for floor in floors::<u64, dyn Worker>() {
            let it = (floor.make)(1_000);
            (0..1_000).for_each(|n| it.put(n));
            assert_eq!(it.count_present(1_000), 1_000, "{}", floor.name);
            assert_eq!(it.count_present(2_000), 1_000, "{}", floor.name);
        }
    }

    #[test]
    fn the_candidates_come_in_the_order_of_their_description() {
        let names: Vec<_> = all().iter().map(|it| it.name).collect();
        assert_eq!(names, DESCRIBED.iter().map(|it| it.0).collect::<Vec<_>>());
    }
}
