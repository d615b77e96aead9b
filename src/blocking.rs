//! The blocking front: runs the fetch, waits, hands out.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::answer::{Answer, Asked, Turn};
use crate::apart::apart;
use crate::cache::Cache;
use crate::core::Core;
use crate::duty::Queued;
use crate::error::Error;
use crate::load;
use crate::lookup::Start;
use crate::nest;
use crate::panics::{beside, without};
use crate::policy::Ask;
use crate::refresh::Task;
use crate::served::{Hold, Served};
use crate::stats::Count;
use crate::sync::Arc;
use crate::table::Hashed;

impl<K, V, E, S> Cache<K, V, E, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    /// The value of a key, cloned: fresh if it can be had, else loaded by `fetch`, else the last good
    /// one if it is inside its stale-if-error window. Go v2's `Get`.
    ///
    /// Concurrent callers of one key run one fetch: its caller leads, the others wait for its outcome
    /// and all get the same. A fresh value is returned without running anything.
    ///
    /// It blocks its thread while it waits, so it is not for tasks: on a runtime with one thread, the load it
    /// waits for may be one that only this thread polls, and then it waits for ever. A task calls
    /// [`get_async`](Cache::get_async).
    ///
    /// A key may be asked for in a borrowed form whose `ToOwned` is `K`: `&str` for `String`. For keys
    /// such as `Arc<str>`, `Box<str>` or `&'static str` it is a reference to the key itself. (What never
    /// fetches, [`peek`](Cache::peek) or [`delete`](Cache::delete), takes any borrowed form.)
    ///
    /// # Errors
    ///
    /// [`Error::Fetch`] with the fetch's error, shared by all who waited; [`Error::Panicked`] when
    /// the leader's fetch panicked; [`Error::Reentrant`] when called for its own key inside its fetch.
    /// Each only if there is nothing to serve, [`Verdict::Propagate`](crate::Verdict) or `Remove` asked for it, or the
    /// key was deleted during the load.
    ///
    /// # Panics
    ///
    /// If this caller leads and its `fetch` panics, the panic goes on here once the key is free. Also
    /// where the key's `Hash`, `Eq`, `Borrow`, `ToOwned` or `Clone`, the value's `Clone`, or a hook does, or a
    /// destructor: of the fetch, of what the call replaces, or of what it is the last to hold.
    ///
    /// # Cost
    ///
    /// A hit: the hash, two cache lines, two uncontended read-modify-writes, the clone; no lock, no
    /// allocation after the thread's first. A cold load allocates three times besides `fetch`.
    ///
    /// ```
    /// # use lastcache::Cache;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache: Cache<String, u64> = Cache::builder().build()?;
    /// let parsed = cache.get("42", |key| Ok(key.parse()?))?;
    /// assert_eq!(parsed, 42);
    /// assert!(cache.get("forty-two", |key| Ok(key.parse()?)).is_err());
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "get_or_insert_with")]
    #[doc(alias = "try_get_with")]
    #[inline]
    pub fn get<Q, F>(&self, key: &Q, fetch: F) -> Result<V, Error<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        V: Clone,
        F: FnOnce(&K) -> Result<V, E>,
    {
        self.get_with(key, V::clone, fetch)
    }

    /// As [`get`](Cache::get), not for tasks either, and reads the value in place instead of cloning it.
    ///
    /// `read` may be shown a stale value, where a fallback is served; on an error it is not called. It may
    /// call the cache.
    ///
    /// # Errors
    ///
    /// As [`get`](Cache::get).
    ///
    /// # Panics
    ///
    /// As [`get`](Cache::get), and where `read` does.
    ///
    /// # Cost
    ///
    /// As [`get`](Cache::get), without the clone.
    ///
    /// ```
    /// # use lastcache::Cache;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache: Cache<u32, Vec<u8>> = Cache::builder().build()?;
    /// assert_eq!(cache.get_with(&1, Vec::len, |_| Ok(vec![0; 512]))?, 512);
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn get_with<Q, F, R>(
        &self,
        key: &Q,
        read: impl FnOnce(&V) -> R,
        fetch: F,
    ) -> Result<R, Error<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        F: FnOnce(&K) -> Result<V, E>,
    {
        let hashed = self.core.hash(key);
        let read = match self.core.own_with(hashed, key, read) {
            Ok(value) => return Ok(without(value, fetch)),
            Err(read) => read,
        };
        match self.core.hit(hashed, key) {
            Some((held, _, counted)) => {
                // Here, and not as they go out of scope: what is half returned when a destructor panics is
                // leaked.
                let held = without(held, fetch);
                let (held, value) = beside(held, |held| read(held.value()));
                drop(held);
                drop(counted);
                Ok(value)
            }
            None => apart(|| self.core.load_with(hashed, key, read, fetch)),
        }
    }

    /// The value of a key in place, fresh if it can be had, with its age and [`State`](crate::State). Go
    /// v2's `GetStale`, v1's `LoadOrStore`.
    ///
    /// Loads, joins and falls back as [`get`](Cache::get), and is not for tasks either: those call
    /// [`get_stale_async`](Cache::get_stale_async).
    ///
    /// # Errors
    ///
    /// As [`get`](Cache::get).
    ///
    /// # Panics
    ///
    /// As [`get`](Cache::get).
    ///
    /// # Cost
    ///
    /// A hit as [`get`](Cache::get)'s, without the clone; it takes up one of the thread's eight guards
    /// until it is dropped (see [`Served`]).
    ///
    /// ```
    /// # use lastcache::{Cache, ManualClock, State};
    /// # use std::time::Duration;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let clock = ManualClock::new();
    /// let cache: Cache<u32, u32> =
    ///     Cache::builder().stale_if_error(Duration::from_secs(600)).clock(&clock).build()?;
    /// cache.set(1, 10);
    /// clock.advance(Duration::from_secs(90));
    /// let served = cache.get_stale(&1, |_| Err("down".into()))?;
    /// assert_eq!((*served, served.age()), (10, Duration::from_secs(90)));
    /// assert!(matches!(served.state(), State::Fallback { .. }));
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn get_stale<Q, F>(&self, key: &Q, fetch: F) -> Result<Served<K, V, E>, Error<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        F: FnOnce(&K) -> Result<V, E>,
    {
        let hashed = self.core.hash(key);
        if let Some(served) = self.core.own(hashed, key) {
            return Ok(without(served, fetch));
        }
        match self.core.hit(hashed, key) {
            Some((held, now, counted)) => {
                drop(counted);
                Ok(Served::hit(Hold::as_found(without(held, fetch)), now))
            }
            None => apart(|| self.core.load(hashed, key, fetch)),
        }
    }

    /// As [`get_stale`](Cache::get_stale), but inside the stale-while-revalidate window a stale value
    /// is served at once while one background refresh runs `fetch`. Go v2's `GetAsync`, v1's
    /// `AsyncLoadOrStore`.
    ///
    /// It never waits while a servable stale value is in that window: when all permits are taken the
    /// refresh is queued, once per key; when the queue is full it is skipped and the next stale read
    /// tries again. Outside the window the caller runs `fetch` itself, or waits: so it is not for tasks,
    /// which call [`get_swr_async`](Cache::get_swr_async).
    ///
    /// # Errors
    ///
    /// As [`get`](Cache::get).
    ///
    /// # Panics
    ///
    /// As [`get`](Cache::get), and where the executor does. A panic of a background `fetch` harms nobody:
    /// it is a failed fetch, of which `on_panic` is told.
    ///
    /// # Cost
    ///
    /// A hit as [`get_stale`](Cache::get_stale)'s, also a stale one while its key is refreshed. A background
    /// refresh allocates three times in all, once more if it has to queue.
    ///
    /// ```
    /// # use lastcache::{CallerRuns, Cache, ManualClock};
    /// # use std::time::Duration;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let clock = ManualClock::new();
    /// let cache: Cache<u32, u32> = Cache::builder().clock(&clock).executor(CallerRuns).build()?;
    /// cache.set(1, 10);
    /// clock.advance(Duration::from_secs(90));
    /// assert_eq!(*cache.get_swr(&1, |_| Ok(20))?, 10); // at once; refreshed behind it
    /// assert_eq!(*cache.get_swr(&1, |_| Ok(30))?, 20);
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn get_swr<Q, F>(&self, key: &Q, fetch: F) -> Result<Served<K, V, E>, Error<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        F: FnOnce(&K) -> Result<V, E> + Send + 'static,
    {
        let hashed = self.core.hash(key);
        if let Some(served) = self.core.own(hashed, key) {
            return Ok(without(served, fetch));
        }
        match self.core.hit_or_stale(hashed, key) {
            Some((held, now)) => Ok(Served::found(Hold::as_found(without(held, fetch)), now)),
            None => apart(|| self.core.revalidate(hashed, key, fetch)),
        }
    }
}

/// A fetch to be run behind a stale read. Given up unrun, it first frees the key.
struct Background<K, V, E, S, F> {
    queued: Queued<K, V, E, S>,
    fetch: F,
}

impl<K, V, E, S, F> Background<K, V, E, S, F>
where
    K: Hash + Eq + Clone,
    S: BuildHasher,
    F: FnOnce(&K) -> Result<V, E>,
{
    fn run(self) {
        let Background { queued, fetch } = self;
        let Some((claim, core)) = queued.start() else { return };
        // The cache may be gone, then or after the fetch: the claim's drop ends the flight.
        let Some(()) = core.upgrade().map(|core| core.counters.add(Count::Refreshes)) else {
            return;
        };
        let fetched = load::fetch(&claim, fetch);
        if let Some(core) = core.upgrade() {
            load::end_refresh(&core, claim, fetched);
        }
    }
}

impl<K, V, E, S> Core<K, V, E, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    #[cold]
    #[inline(never)]
    pub(crate) fn load_with<Q, F, R>(
        self: &Arc<Self>,
        hashed: Hashed,
        key: &Q,
        read: impl FnOnce(&V) -> R,
        fetch: F,
    ) -> Result<R, Error<E>>
    where
        K: Borrow<Q>,
        Q: Eq + ToOwned<Owned = K> + ?Sized,
        F: FnOnce(&K) -> Result<V, E>,
    {
        // What it captured may panic as it goes, beside a panic of the fetch.
        let (read, served) = beside(read, |_| self.load(hashed, key, fetch));
        let served = match served {
            Ok(served) => served,
            Err(error) => {
                // Before the result is made, which would leak if what it holds panics as it goes.
                let (error, ()) = beside(error, |_| drop(read));
                return Err(error);
            }
        };
        let (served, value) = beside(served, |served| read(served));
        // Here, and not as it goes out of scope: if its drop panics, the clone is dropped too.
        Ok(without(value, served))
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn load<Q, F>(self: &Arc<Self>, hashed: Hashed, key: &Q, fetch: F) -> Answer<K, V, E>
    where
        K: Borrow<Q>,
        Q: Eq + ToOwned<Owned = K> + ?Sized,
        F: FnOnce(&K) -> Result<V, E>,
    {
        self.answer(hashed, key, Ask::IfError, fetch, |_, _| {
            unreachable!("only `WhileRevalidate` starts refreshes")
        })
    }

    #[inline(never)]
    pub(crate) fn revalidate<Q, F>(
        self: &Arc<Self>,
        hashed: Hashed,
        key: &Q,
        fetch: F,
    ) -> Answer<K, V, E>
    where
        K: Borrow<Q>,
        Q: Eq + ToOwned<Owned = K> + ?Sized,
        F: FnOnce(&K) -> Result<V, E> + Send + 'static,
    {
        self.answer(hashed, key, Ask::WhileRevalidate, fetch, |(queued, admitted), fetch| {
            let background = Background { queued, fetch };
            admitted.submit(Task::Blocking(Box::new(move || background.run())));
        })
    }

    /// Takes turns until there is an answer.
    fn answer<Q, F>(
        self: &Arc<Self>,
        hashed: Hashed,
        key: &Q,
        ask: Ask,
        fetch: F,
        start: impl FnOnce(Start<K, V, E, S>, F),
    ) -> Answer<K, V, E>
    where
        K: Borrow<Q>,
        Q: Eq + ToOwned<Owned = K> + ?Sized,
        F: FnOnce(&K) -> Result<V, E>,
    {
        let asked = Asked { key, hashed, ask, keep: Hold::as_found };
        let mut first = true;
        loop {
            match self.turn(&asked, mem::take(&mut first)) {
                Turn::Answer(answer) => return without(answer, fetch),
                Turn::Start(served, to_start) => {
                    let (served, ()) = beside(served, |_| start(to_start, fetch));
                    return Ok(served);
                }
                Turn::Lead(claim) => {
                    let fetched = load::fetch(&claim, fetch);
                    return self.led(&asked, claim, fetched);
                }
                Turn::Join(ticket) => {
                    let outcome = ticket.wait();
                    if let Some(answer) = self.outcome(&asked, outcome, ticket.into_flight()) {
                        return without(answer, fetch);
                    }
                }
                Turn::Uncached => {
                    let key = Arc::new(key.to_owned());
                    let inside = nest::enter_uncached(&**self, &key);
                    let fetched = catch_unwind(AssertUnwindSafe(|| fetch(&key)));
                    drop(inside);
                    return self.uncached(hashed, key, fetched);
                }
            }
        }
    }
}
