//! Those that answer tasks too, by those calls. What is present is ready at the first poll.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::lastcache::Lastcache;
use super::quick_cache::Quick;
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

/// The same cache, read by its calls for tasks.
pub(crate) struct ByTasks<C>(C);

impl<K: Key, V: Value, S: Hasher> Candidate<K, V> for ByTasks<Lastcache<K, V, S>> {
    type Local<'a> = ();

    fn new(room: usize) -> Self {
        Self(Lastcache::new(room))
    }

    fn local(&self) {}

    #[inline]
    fn get(&self, _: &mut (), key: &K) -> Option<u64> {
        at_once(self.0.0.get_async(key, async { Err(()) })).ok().map(|value| value.look())
    }

    fn set(&self, key: &K, value: V) {
        self.0.set(key, value);
    }
}

impl<K: Key, V: Value, D: Stamp<V>, S: Hasher> Candidate<K, V> for ByTasks<Quick<K, D, S>> {
    type Local<'a> = ();

    fn new(room: usize) -> Self {
        Self(Quick::new(room))
    }

    fn local(&self) {}

    #[inline]
    fn get(&self, _: &mut (), key: &K) -> Option<u64> {
        let now = D::now();
        let held = at_once(self.0.0.get_or_insert_async(key, async { Err(()) }));
        held.ok().and_then(|held| held.fresh(now).map(V::look))
    }

    fn set(&self, key: &K, value: V) {
        self.0.set(key, value);
    }
}

/// moka's cache for tasks is one of its own.
pub(crate) struct Moka<K, V, S>(moka::future::Cache<K, V, S>);

impl<K: Key, V: Value, S: Hasher> Candidate<K, V> for Moka<K, V, S> {
    type Local<'a> = ();

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
