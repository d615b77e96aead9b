//! The complete semantics of the subject behind one mutex; values cloned out.

#[path = "../../../../tests/support/naive.rs"]
mod cache;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use cache::{Naive, Settings};

use super::{Candidate, Hasher};
use crate::keys::{Key, Value};
use crate::stamp::{TTL, coarse};

pub(crate) struct OneMutex<K, V, S>(Naive<K, V, (), S>);

/// These limits, on the clock of all candidates.
pub(crate) fn settings(capacity: usize, ttl: Duration) -> Settings<()> {
    let time = Arc::new(|| Duration::from_nanos(coarse()));
    Settings { capacity, ttl, time, ..Settings::default() }
}

impl<K: Key, V: Value, S: Hasher> Candidate<K, V> for OneMutex<K, V, S> {
    type Local<'a> = ();

    fn new(room: usize) -> Self {
        Self(Naive::with_hasher(settings(room, TTL), S::default()))
    }

    fn local(&self) {}

    #[inline]
    fn get(&self, _: &mut (), key: &K) -> Option<u64> {
        self.0.get(key, |_| Err(())).map(|value| value.look()).ok()
    }

    fn set(&self, key: &K, value: V) {
        self.0.set(key.clone(), value);
    }

    #[inline]
    fn read(&self, _: &mut (), key: &K, make: impl FnOnce() -> V) -> u64 {
        self.0.get(key, |_| Ok(make())).map_or(0, |value| value.look())
    }
}
