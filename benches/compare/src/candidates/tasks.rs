//! Those that answer tasks too, by those calls. What is present is ready at the first poll.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use lastcache::{Cache, Clock};
use quick_cache::UnitWeighter;
use quick_cache::sync::DefaultLifecycle;

use super::{Candidate, Hasher};
use crate::keys::{Key, Value};
use crate::stamp::{Stamp, TTL};

/// Polls a future that waits for nobody.
#[inline]
fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut nobody = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut nobody) {
            return done;
        }
        std::thread::sleep(Duration::from_micros(10));
    }
}

pub(crate) struct Lastcache<K, V, S>(Cache<K, V, (), S>);

impl<K: Key, V: Value, S: Hasher> Candidate<K, V> for Lastcache<K, V, S> {
    type Local = ();

    fn new(room: usize) -> Self {
        let builder = Cache::builder().capacity(room).ttl(TTL).clock(Clock::coarse());
        Self(builder.hasher(S::default()).error_type::<()>().build().expect("valid settings"))
    }

    fn local(&self) {}

    #[inline]
    fn get(&self, _: &mut (), key: &K) -> Option<u64> {
        at_once(self.0.get_async(key, async { Err(()) })).ok().map(|value| value.look())
    }

    fn set(&self, key: &K, value: V) {
        self.0.set(key.clone(), value);
    }
}

pub(crate) struct Moka<K, V, S>(moka::future::Cache<K, V, S>);

impl<K: Key, V: Value, S: Hasher> Candidate<K, V> for Moka<K, V, S> {
    type Local = ();

    fn new(room: usize) -> Self {
        let builder = moka::future::Cache::builder().max_capacity(room as u64).time_to_live(TTL);
        Self(builder.build_with_hasher(S::default()))
    }

    fn local(&self) {}

    #[inline]
    fn get(&self, _: &mut (), key: &K) -> Option<u64> {
        at_once(self.0.get(key)).map(|value| value.look())
    }

    fn set(&self, key: &K, value: V) {
        at_once(self.0.insert(key.clone(), value));
    }

    fn settle(&self) {
        at_once(self.0.run_pending_tasks());
    }
}

/// Sharded, a deadline in the value.
pub(crate) struct Quick<K, D, S>(quick_cache::sync::Cache<K, D, UnitWeighter, S>);

impl<K: Key, V: Value, D: Stamp<V>, S: Hasher> Candidate<K, V> for Quick<K, D, S> {
    type Local = ();

    fn new(room: usize) -> Self {
        let life = DefaultLifecycle::default();
        let cache = quick_cache::sync::Cache::with;
        Self(cache(room, room as u64, UnitWeighter, S::default(), life))
    }

    fn local(&self) {}

    #[inline]
    fn get(&self, _: &mut (), key: &K) -> Option<u64> {
        let now = D::now();
        let held = at_once(self.0.get_or_insert_async(key, async { Err(()) }));
        held.ok().and_then(|held| held.fresh(now).map(V::look))
    }

    fn set(&self, key: &K, value: V) {
        self.0.insert(key.clone(), D::put(value));
    }
}
