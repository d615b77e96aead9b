//! quick_cache: sharded, a deadline in the value, values cloned out.

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, UnitWeighter};

use super::{Candidate, Hasher};
use crate::keys::{Key, Value};
use crate::stamp::Stamp;

pub(crate) struct Quick<K, D, S>(pub(super) Cache<K, D, UnitWeighter, S>);

impl<K: Key, D: Clone, S: Hasher> Quick<K, D, S> {
    /// In one shard.
    pub(crate) fn whole(room: usize) -> Self {
        let mut options = OptionsBuilder::new();
        let options = options.estimated_items_capacity(room).weight_capacity(room as u64).shards(1);
        let options = options.build().expect("valid settings");
        let life = DefaultLifecycle::default();
        Self(Cache::with_options(options, UnitWeighter, S::default(), life))
    }
}

impl<K: Key, V: Value, D: Stamp<V>, S: Hasher> Candidate<K, V> for Quick<K, D, S> {
    type Local<'a> = ();

    fn new(room: usize) -> Self {
        let life = DefaultLifecycle::default();
        Self(Cache::with(room, room as u64, UnitWeighter, S::default(), life))
    }

    fn local(&self) {}

    #[inline]
    fn get(&self, _: &mut (), key: &K) -> Option<u64> {
        let now = D::now();
        self.0.get(key).and_then(|held| held.fresh(now).map(V::look))
    }

    fn set(&self, key: &K, value: V) {
        self.0.insert(key.clone(), D::put(value));
    }

    fn load(&self, key: &K, make: impl FnOnce() -> V) -> u64 {
        let held = self.0.get_or_insert_with(key, || Ok::<_, ()>(D::put(make())));
        held.ok().and_then(|held| held.fresh(D::now()).map(V::look)).unwrap_or_default()
    }
}
