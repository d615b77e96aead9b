//! What people write first: a hash map behind one lock, a deadline beside each value, bounded by a ring of
//! its keys: first in, first out. No single flight, no fallback, no counts.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError, RwLock};

use super::{Candidate, Hasher};
use crate::keys::{Key, Value};
use crate::stamp::Stamp;

struct Map<K, D, S> {
    values: HashMap<K, D, S>,
    ring: Vec<K>,
    hand: usize,
    room: usize,
}

impl<K: Key, D, S: Hasher> Map<K, D, S> {
    fn new(room: usize) -> Self {
        let values = HashMap::with_capacity_and_hasher(room, S::default());
        Self { values, ring: Vec::with_capacity(room), hand: 0, room }
    }

    /// What was displaced: to be dropped outside the lock.
    fn put(&mut self, key: &K, held: D) -> Option<D> {
        if let Some(old) = self.values.get_mut(key) {
            return Some(std::mem::replace(old, held));
        }
        let mut displaced = None;
        if self.ring.len() < self.room {
            self.ring.push(key.clone());
        } else {
            let oldest = std::mem::replace(&mut self.ring[self.hand], key.clone());
            displaced = self.values.remove(&oldest);
            self.hand = (self.hand + 1) % self.room;
        }
        self.values.insert(key.clone(), held);
        displaced
    }
}

pub(crate) struct MutexMap<K, D, S>(Mutex<Map<K, D, S>>);

impl<K: Key, V: Value, D: Stamp<V>, S: Hasher> Candidate<K, V> for MutexMap<K, D, S> {
    type Local<'a> = ();

    fn new(room: usize) -> Self {
        Self(Mutex::new(Map::new(room)))
    }

    fn local(&self) {}

    #[inline]
    fn get(&self, _: &mut (), key: &K) -> Option<u64> {
        let now = D::now();
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.values.get(key).and_then(|held| held.fresh(now).map(V::look))
    }

    fn set(&self, key: &K, value: V) {
        let held = D::put(value);
        let displaced = self.0.lock().unwrap_or_else(PoisonError::into_inner).put(key, held);
        drop(displaced);
    }
}

pub(crate) struct RwLockMap<K, D, S>(RwLock<Map<K, D, S>>);

impl<K: Key, V: Value, D: Stamp<V>, S: Hasher> Candidate<K, V> for RwLockMap<K, D, S> {
    type Local<'a> = ();

    fn new(room: usize) -> Self {
        Self(RwLock::new(Map::new(room)))
    }

    fn local(&self) {}

    #[inline]
    fn get(&self, _: &mut (), key: &K) -> Option<u64> {
        let now = D::now();
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        map.values.get(key).and_then(|held| held.fresh(now).map(V::look))
    }

    fn set(&self, key: &K, value: V) {
        let held = D::put(value);
        let displaced = self.0.write().unwrap_or_else(PoisonError::into_inner).put(key, held);
        drop(displaced);
    }
}
