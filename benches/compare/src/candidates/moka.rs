//! moka and mini-moka: a TTL of their own, values cloned out.

use super::{Candidate, Hasher};
use crate::keys::{Key, Value};
use crate::stamp::TTL;

/// With a TTL or without.
pub(crate) struct Moka<K, V, S, const DATED: bool>(moka::sync::Cache<K, V, S>);

impl<K: Key, V: Value, S: Hasher, const DATED: bool> Candidate<K, V> for Moka<K, V, S, DATED> {
    type Local<'a> = ();

    fn new(room: usize) -> Self {
        let builder = moka::sync::Cache::builder().max_capacity(room as u64);
        let builder = if DATED { builder.time_to_live(TTL) } else { builder };
        Self(builder.build_with_hasher(S::default()))
    }

    fn local(&self) {}

    #[inline]
    fn get(&self, _: &mut (), key: &K) -> Option<u64> {
        self.0.get(key).map(|value| value.look())
    }

    fn set(&self, key: &K, value: V) {
        self.0.insert(key.clone(), value);
    }

    fn load(&self, key: &K, make: impl FnOnce() -> V) -> u64 {
        self.0.get_with_by_ref(key, make).look()
    }

    fn settle(&self) {
        self.0.run_pending_tasks();
    }
}

/// With a TTL or without. No single flight.
pub(crate) struct MiniMoka<K, V, S, const DATED: bool>(mini_moka::sync::Cache<K, V, S>);

impl<K: Key, V: Value, S: Hasher, const DATED: bool> Candidate<K, V> for MiniMoka<K, V, S, DATED> {
    type Local<'a> = ();

    fn new(room: usize) -> Self {
        let builder = mini_moka::sync::Cache::builder().max_capacity(room as u64);
        let builder = if DATED { builder.time_to_live(TTL) } else { builder };
        Self(builder.build_with_hasher(S::default()))
    }

    fn local(&self) {}

    #[inline]
    fn get(&self, _: &mut (), key: &K) -> Option<u64> {
        self.0.get(key).map(|value| value.look())
    }

    fn set(&self, key: &K, value: V) {
        self.0.insert(key.clone(), value);
    }

    fn settle(&self) {
        mini_moka::sync::ConcurrentCacheExt::sync(&self.0);
    }
}
