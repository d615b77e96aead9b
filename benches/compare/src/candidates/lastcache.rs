//! The subject, by its plain calls and through a handle per thread.

use std::time::Duration;

use lastcache::{Cache, CallerRuns, Clock, ManualClock, Reader};

use super::{Candidate, Hasher};
use crate::keys::{Key, Value};
use crate::memory::counting::allocations;
use crate::stamp::TTL;

pub(crate) struct Lastcache<K, V, S>(pub(super) Cache<K, V, (), S>);

impl<K: Key, V: Value, S: Hasher> Candidate<K, V> for Lastcache<K, V, S> {
    type Local<'a> = ();

    fn new(room: usize) -> Self {
        let builder = Cache::builder().capacity(room).ttl(TTL).clock(Clock::coarse());
        Self(builder.hasher(S::default()).error_type::<()>().build().expect("valid settings"))
    }

    fn local(&self) {}

    #[inline]
    fn get(&self, _: &mut (), key: &K) -> Option<u64> {
        self.0.get_with(key, V::look, |_| Err(())).ok()
    }

    fn set(&self, key: &K, value: V) {
        self.0.set(key.clone(), value);
    }

    #[inline]
    fn read(&self, _: &mut (), key: &K, make: impl FnOnce() -> V) -> u64 {
        self.0.get_with(key, V::look, |_| Ok(make())).unwrap_or_default()
    }
}

/// The same, read through a `Reader` of each thread's own.
pub(crate) struct ThroughReaders<K, V, S>(Lastcache<K, V, S>);

impl<K: Key, V: Value, S: Hasher> Candidate<K, V> for ThroughReaders<K, V, S> {
    type Local<'a> = Reader<K, V, (), S>;

    fn new(room: usize) -> Self {
        Self(Lastcache::new(room))
    }

    fn local(&self) -> Self::Local<'_> {
        self.0.0.reader_with((4 * self.0.0.capacity()).min(4_096))
    }

    #[inline]
    fn get(&self, reader: &mut Self::Local<'_>, key: &K) -> Option<u64> {
        reader.get_with(key, V::look, |_| Err(())).ok()
    }

    fn set(&self, key: &K, value: V) {
        self.0.set(key, value);
    }

    #[inline]
    fn read(&self, reader: &mut Self::Local<'_>, key: &K, make: impl FnOnce() -> V) -> u64 {
        reader.get_with(key, V::look, |_| Ok(make())).unwrap_or_default()
    }
}

/// The mean number of allocations per foreground and per background refresh, over so many of each.
pub(crate) fn allocations_of_refreshes(count: u64) -> [f64; 2] {
    let clock = ManualClock::new();
    let (ttl, windows) = (Duration::from_secs(1), Duration::from_secs(1_000));
    let builder = Cache::builder().capacity(count as usize).ttl(ttl).stale_if_error(windows);
    let builder = builder.clock(&clock).executor(CallerRuns).error_type::<()>();
    let cache: Cache<u64, u64, (), _> = builder.build().expect("valid settings");
    (0..count).for_each(|key| _ = cache.set(key, key));
    let mean = |refresh: &dyn Fn(u64)| {
        clock.advance(2 * ttl);
        // Whatever a thread allocates once is behind it.
        (0..count / 10).for_each(refresh);
        clock.advance(2 * ttl);
        allocations(|| (0..count).for_each(refresh)) as f64 / count as f64
    };
    [
        mean(&|key| _ = cache.get(&key, |key| Ok(*key))),
        mean(&|key| _ = cache.get_swr(&key, |key| Ok(*key))),
    ]
}
