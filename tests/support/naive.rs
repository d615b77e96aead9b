//! The naive cache: what `lastcache` does, said with one mutex around one hash map.
//!
//! It is the sequential model that tests compare with, and the honest design with a lock that
//! benchmarks and the outage example run against. It knows nothing of the crate and needs only
//! `std`, so any target can include it by path.
//!
//! How it works: `values` holds one [`Snapshot`] per key, `flights` the one load under way per key.
//! Everything is decided under the lock, in [`State::look`] (`naive/state.rs`); a fetch always runs
//! outside it. A flight stands in `flights` while it is *attached*: `set` takes it out and ends it
//! with the set value, `delete` and `clear` take it out and leave it to those who joined. So when a
//! fetch returns, "is my flight still there?" says at once whether a write came in between.
//!
//! Where it may differ from the real cache, and both are right:
//! - the victim of an eviction is another one: the first value that the hand of a clock with one
//!   use bit meets gone or unused;
//! - a gone value stays, and counts in `len`, until something takes its place; compare
//!   [`Naive::servable`] instead;
//! - keys in flight take no room, so a fetch never runs uncached: `uncached` counts loads that
//!   found no room at the end;
//! - values are cloned out (use an `Arc` for large ones), keys are looked up by `&K`, and there are
//!   no async calls, weights, jitter, callbacks or windows that depend on the value.

// Each target that includes this file uses another part of it, and none exports it.
#![allow(dead_code, unreachable_pub)]

#[path = "naive/pool.rs"]
mod pool;
#[path = "naive/state.rs"]
mod state;
#[path = "naive/words.rs"]
mod words;

use std::hash::{BuildHasher, Hash, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use pool::{Place, Pool};
use state::{Failed, Flight, Outcome, Snapshot, State, Step};
pub use words::*;

struct Shared<K, V, E, S> {
    settings: Settings<E>,
    state: Mutex<State<K, V, E, S>>,
    pool: Arc<Pool>,
}

/// The cache; a handle that can be cloned and shared.
pub struct Naive<K, V, E, S = RandomState> {
    shared: Arc<Shared<K, V, E, S>>,
}

impl<K, V, E, S> Clone for Naive<K, V, E, S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<K, V, E> Naive<K, V, E>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    pub fn new(settings: Settings<E>) -> Self {
        Self::with_hasher(settings, RandomState::new())
    }
}

impl<K, V, E, S> Naive<K, V, E, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Send + Sync + 'static,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    pub fn with_hasher(settings: Settings<E>, hasher: S) -> Self {
        let state = State::new(settings.capacity, hasher);
        let state = Mutex::new(state);
        Self { shared: Arc::new(Shared { settings, state, pool: Arc::default() }) }
    }

    pub fn get(&self, key: &K, fetch: impl FnOnce(&K) -> Result<V, E>) -> Result<V, Error<E>> {
        let now = self.now();
        let mut state = self.lock();
        if let Some(value) = state.hit(key, now) {
            return Ok(value);
        }
        let step = state.look(key, now, false);
        drop(state);
        self.finish(key, step, fetch).map(|answer| answer.value)
    }

    pub fn get_stale(
        &self,
        key: &K,
        fetch: impl FnOnce(&K) -> Result<V, E>,
    ) -> Result<Answer<V, E>, Error<E>> {
        let now = self.now();
        let step = self.lock().look(key, now, false);
        self.finish(key, step, fetch)
    }

    pub fn get_swr(
        &self,
        key: &K,
        fetch: impl FnOnce(&K) -> Result<V, E> + Send + 'static,
    ) -> Result<Answer<V, E>, Error<E>> {
        let now = self.now();
        let mut state = self.lock();
        let (answer, flight) = match state.look(key, now, true) {
            Step::ServeAndRefresh(answer, flight) => (answer, flight),
            step => {
                drop(state);
                return self.finish(key, step, fetch);
            }
        };
        match self.shared.settings.background {
            Background::Caller => {
                drop(state);
                self.refresh(key, &flight, fetch);
            }
            Background::Threads { most, queue } => {
                let (this, key_of_job) = (self.clone(), key.clone());
                let job = move || this.refresh(&key_of_job, &flight, fetch);
                match self.shared.pool.submit(Box::new(job), most, queue) {
                    Place::Taken => {}
                    Place::NeedsThread => {
                        drop(state);
                        Pool::start_thread(&self.shared.pool);
                    }
                    Place::Queued => state.stats.queued += 1,
                    Place::Refused => {
                        state.stats.skipped += 1;
                        state.flights.remove(key);
                    }
                }
            }
        }
        Ok(answer)
    }

    pub fn peek(&self, key: &K) -> Option<Answer<V, E>> {
        let now = self.now();
        let state = self.lock();
        let snapshot = &state.values.get(key)?.snapshot;
        (!snapshot.gone(now)).then(|| snapshot.plain(now))
    }

    /// Publishes at once; false if it could not be kept.
    pub fn set(&self, key: K, value: V) -> bool {
        let now = self.now();
        let snapshot = Snapshot::new(value, now, &self.shared.settings);
        let mut state = self.lock();
        let flight = state.flights.remove(&key);
        if let Some(flight) = flight {
            flight.end(Outcome::Value(snapshot.clone()));
        }
        let published = state.publish(&key, snapshot, now, self.shared.settings.capacity);
        state.stats.not_stored += u64::from(!published.kept);
        drop(state);
        published.kept
    }

    /// Whether something servable was there.
    pub fn delete(&self, key: &K) -> bool {
        let now = self.now();
        let mut state = self.lock();
        state.flights.remove(key);
        let old = state.remove(key);
        drop(state);
        old.is_some_and(|old| !old.gone(now))
    }

    pub fn clear(&self) {
        let mut state = self.lock();
        state.flights.clear();
        state.ring.clear();
        let old: Vec<_> = state.values.drain().collect();
        drop(state);
        drop(old);
    }

    /// Takes out what is gone and not being loaded; how many values.
    pub fn purge(&self) -> usize {
        let now = self.now();
        let mut state = self.lock();
        let gone: Vec<K> = state
            .values
            .iter()
            .filter(|(key, held)| held.snapshot.gone(now) && !state.flights.contains_key(*key))
            .map(|(key, _)| key.clone())
            .collect();
        let old: Vec<_> = gone.iter().filter_map(|key| state.remove(key)).collect();
        drop(state);
        old.len()
    }

    pub fn ttl(&self, key: &K) -> Option<Ttl> {
        let now = self.now();
        let state = self.lock();
        let snapshot = &state.values.get(key)?.snapshot;
        (!snapshot.gone(now)).then(|| snapshot.ttl(now))
    }

    pub fn contains_key(&self, key: &K) -> bool {
        self.ttl(key).is_some()
    }

    /// How many values are held, gone ones included.
    pub fn len(&self) -> usize {
        self.lock().values.len()
    }

    /// How many values are held and not gone.
    pub fn servable(&self) -> usize {
        self.iter().len()
    }

    /// Every servable value of this moment, in no order.
    pub fn iter(&self) -> std::vec::IntoIter<(K, V, Ttl)> {
        let now = self.now();
        let state = self.lock();
        let held = state.values.iter().filter(|(_, entry)| !entry.snapshot.gone(now));
        let found: Vec<_> = held
            .map(|(key, it)| (key.clone(), it.snapshot.value.clone(), it.snapshot.ttl(now)))
            .collect();
        found.into_iter()
    }

    /// Calls `f` outside the lock until it returns false.
    pub fn range(&self, mut f: impl FnMut(&K, &V, Ttl) -> bool) {
        self.iter().all(|(key, value, ttl)| f(&key, &value, ttl));
    }

    pub fn stats(&self) -> Stats {
        self.lock().stats
    }

    /// Takes no more refreshes, and ends those that have not begun.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.flights.retain(|_, flight| {
            let begun = flight.leader.get().is_some();
            if !begun {
                flight.end(Outcome::Failed { error: Error::Closed, fallback: None });
            }
            begun
        });
    }

    fn now(&self) -> Duration {
        (self.shared.settings.time)()
    }

    fn lock(&self) -> MutexGuard<'_, State<K, V, E, S>> {
        // A panic of the user's `Eq`, `Hash` or `Clone` must not take the cache with it.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The part of a call that needs no lock: hand out, wait, or fetch.
    fn finish(
        &self,
        key: &K,
        step: Step<V, E>,
        fetch: impl FnOnce(&K) -> Result<V, E>,
    ) -> Result<Answer<V, E>, Error<E>> {
        match step {
            Step::Serve(answer) => Ok(answer),
            Step::ServeAndRefresh(..) => {
                unreachable!("`get_swr` deals with it, and no other call asks for it")
            }
            Step::Refuse(error) => Err(error),
            Step::Join(flight) => flight.answer(&self.shared.settings.time),
            Step::Lead(flight) => {
                self.load(key, &flight, fetch).unwrap_or_else(|panic| resume_unwind(panic));
                flight.answer(&self.shared.settings.time)
            }
        }
    }

    /// Runs a refresh in the background, unless somebody who has to wait took it over or a write
    /// made it needless.
    fn refresh(&self, key: &K, flight: &Arc<Flight<V, E>>, fetch: impl FnOnce(&K) -> Result<V, E>) {
        let mut state = self.lock();
        if !state.attached(key, flight) || flight.leader.set(thread::current().id()).is_err() {
            return;
        }
        state.stats.refreshes += 1;
        drop(state);
        drop(self.load(key, flight, fetch));
    }

    /// Runs the fetch, then publishes or records the failure if no write came in between, and ends
    /// the flight.
    fn load(
        &self,
        key: &K,
        flight: &Arc<Flight<V, E>>,
        fetch: impl FnOnce(&K) -> Result<V, E>,
    ) -> thread::Result<()> {
        let settings = &self.shared.settings;
        let result = catch_unwind(AssertUnwindSafe(|| {
            fetch(key).map_err(|error| ((settings.verdict)(&error), Error::Fetch(Arc::new(error))))
        }));
        let now = self.now();
        let (result, panic) = match result {
            Ok(result) => (result, Ok(())),
            Err(panic) => (Err((Verdict::ServeStale, Error::Panicked)), Err(panic)),
        };
        let displaced;
        let mut state = self.lock();
        let attached = state.attached(key, flight);
        if attached {
            state.flights.remove(key);
        }
        match result {
            Ok(value) => {
                state.stats.loads += 1;
                let snapshot = Snapshot::new(value, now, settings);
                if attached {
                    let published = state.publish(key, snapshot.clone(), now, settings.capacity);
                    state.stats.uncached += u64::from(!published.kept);
                    displaced = published.displaced;
                } else {
                    state.stats.late_loads += 1;
                    displaced = None;
                }
                flight.end(Outcome::Value(snapshot));
            }
            Err((verdict, error)) => {
                state.stats.failures += 1;
                state.stats.panics += u64::from(panic.is_err());
                let remove = attached && verdict == Verdict::Remove;
                displaced = if remove { state.remove(key) } else { None };
                let mut fallback = None;
                if attached && let Some(entry) = state.values.get_mut(key) {
                    let before = entry.failed.as_ref().map_or(0, |failed| failed.attempts);
                    let attempts = before.saturating_add(1);
                    let delay = settings.back_off.after(attempts);
                    // An error that is propagated starts no back-off, and ends none.
                    if verdict == Verdict::ServeStale && !delay.is_zero() {
                        let retry_at = now.saturating_add(delay);
                        entry.failed = Some(Failed { error: error.clone(), retry_at, attempts });
                    }
                    fallback = (verdict == Verdict::ServeStale).then(|| entry.snapshot.clone());
                }
                flight.end(Outcome::Failed { error, fallback });
            }
        }
        drop(state);
        drop(displaced);
        panic
    }
}
