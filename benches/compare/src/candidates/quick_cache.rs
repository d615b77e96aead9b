//! quick_cache: sharded, a deadline in the value, values cloned out; on either of its locks.

use super::{Candidate, Hasher};
use crate::keys::{Key, Value};
use crate::stamp::Stamp;

/// A candidate out of one version of the crate: what they have in common by name alone.
macro_rules! candidate {
    ($(#[$doc:meta])* $name:ident of $version:ident) => {
        $(#[$doc])*
        pub(crate) struct $name<K, D, S>(
            pub(super) $version::sync::Cache<K, D, $version::UnitWeighter, S>,
        );

        impl<K: Key, D: Clone, S: Hasher> $name<K, D, S> {
            /// In one shard.
            pub(crate) fn whole(room: usize) -> Self {
                let mut options = $version::OptionsBuilder::new();
                let options = options.estimated_items_capacity(room).weight_capacity(room as u64);
                let options = options.shards(1).build().expect("valid settings");
                let life = $version::sync::DefaultLifecycle::default();
                let weigh = $version::UnitWeighter;
                Self($version::sync::Cache::with_options(options, weigh, S::default(), life))
            }
        }

        impl<K: Key, V: Value, D: Stamp<V>, S: Hasher> Candidate<K, V> for $name<K, D, S> {
            type Local<'a> = ();

            fn new(room: usize) -> Self {
                let life = $version::sync::DefaultLifecycle::default();
                let (weigh, most) = ($version::UnitWeighter, room as u64);
                Self($version::sync::Cache::with(room, most, weigh, S::default(), life))
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
    };
}

candidate! {
    /// On parking_lot's locks, its default.
    Quick of quick_cache
}

candidate! {
    /// On crossbeam's: a reader takes one of eight that its thread's number chooses, a writer all of them.
    Sharded of quick_cache_sharded
}
