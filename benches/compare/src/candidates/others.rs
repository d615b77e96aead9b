//! TinyUFO, fibre_cache, cached, and an exact LRU for hit ratios.

use std::sync::{Mutex, PoisonError};

use cached::{CachedExt, LruCache, ShardHasher, ShardedLruCache};
use foldhash::fast::FixedState;
use tinyufo::TinyUfo;

use super::{Candidate, Hasher};
use crate::keys::{Key, Value};
use crate::stamp::{Stamp, TTL};
use crate::stampede;

/// Knows keys by their hash alone, and hashes with ahash.
pub(crate) struct Ufo<K, D>(TinyUfo<K, D>);

impl<K: Key, V: Value, D: Stamp<V>> Candidate<K, V> for Ufo<K, D> {
    type Local<'a> = ();

    fn new(room: usize) -> Self {
        Self(TinyUfo::new(room, room))
    }

    fn local(&self) {}

    #[inline]
    fn get(&self, _: &mut (), key: &K) -> Option<u64> {
        let now = D::now();
        self.0.get(key).and_then(|held| held.fresh(now).map(V::look))
    }

    fn set(&self, key: &K, value: V) {
        self.0.put(key.clone(), D::put(value), 1);
    }
}

/// With a TTL or without. Its single flight needs a loader given at build: see [`FibreLoading`].
pub(crate) struct Fibre<K: Send, V: Send + Sync, S, const DATED: bool>(fibre_cache::Cache<K, V, S>);

impl<K: Key, V: Value, S: Hasher, const DATED: bool> Fibre<K, V, S, DATED> {
    fn builder(room: usize) -> fibre_cache::CacheBuilder<K, V, S> {
        let builder = fibre_cache::CacheBuilder::<K, V, S>::new().capacity(room as u64);
        if DATED { builder.time_to_live(TTL) } else { builder }
    }

    /// In one shard.
    pub(crate) fn whole(room: usize) -> Self {
        Self(Self::builder(room).shards(1).build().expect("valid settings"))
    }
}

impl<K: Key, V: Value, S: Hasher, const DATED: bool> Candidate<K, V> for Fibre<K, V, S, DATED> {
    type Local<'a> = ();

    fn new(room: usize) -> Self {
        Self(Self::builder(room).build().expect("valid settings"))
    }

    fn local(&self) {}

    #[inline]
    fn get(&self, _: &mut (), key: &K) -> Option<u64> {
        self.0.get(key, V::look)
    }

    fn set(&self, key: &K, value: V) {
        self.0.insert(key.clone(), value, 1);
    }

    fn settle(&self) {
        self.0.run_maintenance();
    }
}

/// The same with a loader, for the stampede: it makes what the stampede makes.
pub(crate) struct FibreLoading(fibre_cache::Cache<u64, u64, FixedState>);

impl Candidate<u64, u64> for FibreLoading {
    type Local<'a> = ();

    fn new(room: usize) -> Self {
        let builder = fibre_cache::CacheBuilder::<u64, u64, FixedState>::new();
        let builder = builder.capacity(room as u64).time_to_live(TTL);
        Self(builder.loader(|_| (stampede::fetch(), 1)).build().expect("valid settings"))
    }

    fn local(&self) {}

    fn get(&self, _: &mut (), key: &u64) -> Option<u64> {
        self.0.get(key, u64::look)
    }

    fn set(&self, key: &u64, value: u64) {
        self.0.insert(*key, value, 1);
    }

    fn load(&self, key: &u64, _make: impl FnOnce() -> u64) -> u64 {
        *self.0.fetch_with(key)
    }
}

/// Exact LRU within a shard, values cloned out. A TTL of its own it has too, and then reads the precise clock.
pub(crate) struct Cached<K, D, S>(ShardedLruCache<K, D, S>);

impl<K: Key, D: Clone, S: ShardHasher<K> + Default> Cached<K, D, S> {
    /// In one shard.
    pub(crate) fn whole(room: usize) -> Self {
        let builder = ShardedLruCache::<K, D>::builder().max_size(room).shards(1);
        Self(builder.hasher(S::default()).build().expect("valid settings"))
    }
}

impl<K, V, D, S> Candidate<K, V> for Cached<K, D, S>
where
    K: Key,
    V: Value,
    D: Stamp<V>,
    S: ShardHasher<K> + Default,
{
    type Local<'a> = ();

    fn new(room: usize) -> Self {
        let builder = ShardedLruCache::<K, D>::builder().max_size(room);
        Self(builder.hasher(S::default()).build().expect("valid settings"))
    }

    fn local(&self) {}

    #[inline]
    fn get(&self, _: &mut (), key: &K) -> Option<u64> {
        let now = D::now();
        self.0.get(key).and_then(|held| held.fresh(now).map(V::look))
    }

    fn set(&self, key: &K, value: V) {
        self.0.set(key.clone(), D::put(value));
    }
}

/// The yardstick of hit ratios: exact LRU over all keys.
pub(crate) struct Lru(Mutex<LruCache<u64, u64>>);

impl Candidate<u64, u64> for Lru {
    type Local<'a> = ();

    fn new(room: usize) -> Self {
        Self(Mutex::new(LruCache::new(room)))
    }

    fn local(&self) {}

    fn get(&self, _: &mut (), key: &u64) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).copied()
    }

    fn set(&self, key: &u64, value: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).set(*key, value);
    }
}
