//! Concurrent maps with a deadline beside each value. They never evict: they hold what they are given.

use std::hash::BuildHasher;

use dashmap::DashMap;
use papaya::{Guard as _, LocalGuard, ResizeMode};
use scc::hash_index::Entry;

use super::{Candidate, Hasher};
use crate::keys::{Key, Value};
use crate::stamp::Stamp;

/// Sharded, a reader-writer lock per shard. A load holds its shard.
pub(crate) struct Dash<K, D, S>(DashMap<K, D, S>);

impl<K: Key, V: Value, D: Stamp<V>, S: Hasher> Candidate<K, V> for Dash<K, D, S> {
    type Local<'a> = ();

    fn new(room: usize) -> Self {
        Self(DashMap::with_capacity_and_hasher(room, S::default()))
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
        let held = self.0.entry(key.clone()).or_insert_with(|| D::put(make()));
        held.fresh(D::now()).map_or(0, V::look)
    }
}

/// A lock per bucket. A load holds its bucket.
pub(crate) struct SccMap<K, D, S: BuildHasher>(scc::HashMap<K, D, S>);

impl<K: Key, V: Value, D: Stamp<V>, S: Hasher> Candidate<K, V> for SccMap<K, D, S> {
    type Local<'a> = ();

    fn new(room: usize) -> Self {
        Self(scc::HashMap::with_capacity_and_hasher(room, S::default()))
    }

    fn local(&self) {}

    #[inline]
    fn get(&self, _: &mut (), key: &K) -> Option<u64> {
        let now = D::now();
        self.0.read_sync(key, |_, held| held.fresh(now).map(V::look)).flatten()
    }

    fn set(&self, key: &K, value: V) {
        self.0.upsert_sync(key.clone(), D::put(value));
    }

    fn load(&self, key: &K, make: impl FnOnce() -> V) -> u64 {
        let held = self.0.entry_sync(key.clone()).or_insert_with(|| D::put(make()));
        held.get().fresh(D::now()).map_or(0, V::look)
    }
}

/// Reads without a lock; a write locks a bucket and leaves the old value to the epoch.
pub(crate) struct SccIndex<K, D, S: BuildHasher>(scc::HashIndex<K, D, S>);

impl<K: Key, V: Value, D: Stamp<V>, S: Hasher> Candidate<K, V> for SccIndex<K, D, S> {
    type Local<'a> = ();

    fn new(room: usize) -> Self {
        Self(scc::HashIndex::with_capacity_and_hasher(room, S::default()))
    }

    fn local(&self) {}

    #[inline]
    fn get(&self, _: &mut (), key: &K) -> Option<u64> {
        let now = D::now();
        self.0.peek_with(key, |_, held| held.fresh(now).map(V::look)).flatten()
    }

    fn set(&self, key: &K, value: V) {
        match self.0.entry_sync(key.clone()) {
            Entry::Occupied(mut held) => held.update(D::put(value)),
            Entry::Vacant(free) => drop(free.insert_entry(D::put(value))),
        }
    }

    fn load(&self, key: &K, make: impl FnOnce() -> V) -> u64 {
        if let Some(seen) = self.get(&mut (), key) {
            return seen;
        }
        let held = self.0.entry_sync(key.clone()).or_insert_with(|| D::put(make()));
        held.get().fresh(D::now()).map_or(0, V::look)
    }
}

/// Lock-free, a pointer per value. Resizes in one go, as its documentation advises for steady reads.
pub(crate) struct Papaya<K, D, S>(papaya::HashMap<K, D, S>);

impl<K: Key, V: Value, D: Stamp<V>, S: Hasher> Candidate<K, V> for Papaya<K, D, S> {
    type Local<'a> = ();

    fn new(room: usize) -> Self {
        let builder = papaya::HashMap::builder().capacity(room).hasher(S::default());
        Self(builder.resize_mode(ResizeMode::Blocking).build())
    }

    fn local(&self) {}

    #[inline]
    fn get(&self, _: &mut (), key: &K) -> Option<u64> {
        let now = D::now();
        self.0.pin().get(key).and_then(|held| held.fresh(now).map(V::look))
    }

    fn set(&self, key: &K, value: V) {
        self.0.pin().insert(key.clone(), D::put(value));
    }

    fn load(&self, key: &K, make: impl FnOnce() -> V) -> u64 {
        let map = self.0.pin();
        let held = map.get_or_insert_with(key.clone(), || D::put(make()));
        held.fresh(D::now()).map_or(0, V::look)
    }
}

/// The same map, read through a guard that its thread keeps: a call pays for no pin, and what is replaced meanwhile
/// is not freed.
pub(crate) struct Kept<M>(M);

/// How many calls a guard is kept for.
const CALLS: u32 = 256;

impl<K: Key, V: Value, D: Stamp<V>, S: Hasher> Candidate<K, V> for Kept<Papaya<K, D, S>> {
    type Local<'a> = (LocalGuard<'a>, u32);

    fn new(room: usize) -> Self {
        Self(Papaya::new(room))
    }

    fn local(&self) -> Self::Local<'_> {
        (self.0.0.guard(), CALLS)
    }

    #[inline]
    fn get<'a>(&'a self, (guard, calls): &mut Self::Local<'a>, key: &K) -> Option<u64> {
        let now = D::now();
        *calls -= 1;
        if *calls == 0 {
            *calls = CALLS;
            guard.refresh();
        }
        self.0.0.get(key, guard).and_then(|held| held.fresh(now).map(V::look))
    }

    fn set(&self, key: &K, value: V) {
        self.0.set(key, value);
    }

    fn load(&self, key: &K, make: impl FnOnce() -> V) -> u64 {
        self.0.load(key, make)
    }
}

impl<K: Key, V: Value, D: Stamp<V>, S: Hasher> Candidate<K, V> for Kept<SccIndex<K, D, S>> {
    type Local<'a> = (Option<scc::Guard>, u32);

    fn new(room: usize) -> Self {
        Self(SccIndex::new(room))
    }

    fn local(&self) -> Self::Local<'_> {
        (None, 1)
    }

    #[inline]
    fn get<'a>(&'a self, (guard, calls): &mut Self::Local<'a>, key: &K) -> Option<u64> {
        let now = D::now();
        *calls -= 1;
        if *calls == 0 {
            *calls = CALLS;
            // First the old one: while there is any, a new one is only counted.
            drop(guard.take());
            *guard = Some(scc::Guard::new());
        }
        let held = self.0.0.peek(key, guard.as_ref()?);
        held.and_then(|held| held.fresh(now).map(V::look))
    }

    fn set(&self, key: &K, value: V) {
        self.0.set(key, value);
    }

    fn load(&self, key: &K, make: impl FnOnce() -> V) -> u64 {
        self.0.load(key, make)
    }
}
