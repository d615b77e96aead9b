//! foyer's cache in memory: sharded, a deadline in the value, read through its counted entry.

pub(crate) use foyer_common::code::DefaultHasher;
use foyer_memory::{Cache, CacheBuilder, CacheProperties, S3FifoConfig};

use super::{Candidate, Hasher};
use crate::keys::{Key, Value};
use crate::stamp::Stamp;

/// With S3-FIFO, its best by hit ratio, or with the default LRU. Its single flight is for async callers only.
pub(crate) struct Foyer<K, D, S, const S3FIFO: bool>(Cache<K, D, S, CacheProperties>)
where
    K: Key,
    D: Send + Sync + 'static,
    S: Hasher;

impl<K: Key, D: Send + Sync + 'static, S: Hasher, const S3FIFO: bool> Foyer<K, D, S, S3FIFO> {
    fn builder(room: usize) -> CacheBuilder<K, D, S> {
        let builder = CacheBuilder::new(room).with_hash_builder(S::default());
        if S3FIFO { builder.with_eviction_config(S3FifoConfig::default()) } else { builder }
    }

    /// In one shard.
    pub(crate) fn whole(room: usize) -> Self {
        Self(Self::builder(room).with_shards(1).build())
    }
}

impl<K, V, D, S, const S3FIFO: bool> Candidate<K, V> for Foyer<K, D, S, S3FIFO>
where
    K: Key,
    V: Value,
    D: Stamp<V>,
    S: Hasher,
{
    type Local<'a> = ();

    fn new(room: usize) -> Self {
        Self(Self::builder(room).build())
    }

    fn local(&self) {}

    #[inline]
    fn get(&self, _: &mut (), key: &K) -> Option<u64> {
        let now = D::now();
        self.0.get(key).and_then(|entry| entry.value().fresh(now).map(V::look))
    }

    fn set(&self, key: &K, value: V) {
        self.0.insert(key.clone(), D::put(value));
    }
}
