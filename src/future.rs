//! The async front: polls the fetch, waits as a task, hands out.
//!
//! No runtime: a future is woken by whoever ends the flight it waits for, thread or task. What is decided
//! is decided below, for both fronts alike.
//!
//! The calls are not `async fn`s: those would keep the fetch once more, as their argument.

use std::borrow::Borrow;
use std::future::poll_fn;
use std::hash::{BuildHasher, Hash};
use std::mem;
use std::pin::{Pin, pin};
use std::task::Poll;

use crate::answer::{Answer, Asked, Turn};
use crate::cache::Cache;
use crate::core::Core;
use crate::duty::Queued;
use crate::error::Error;
use crate::load;
use crate::lookup::Start;
use crate::nest;
use crate::panics::{beside, without};
use crate::policy::Ask;
use crate::refresh::{LookOut, Task};
use crate::served::{Hold, Served};
use crate::stats::Count;
use crate::sync::Arc;
use crate::table::Hashed;

/// # Async
///
/// The same calls for tasks, on the same entries and flights: a task can wait for a thread's fetch and a
/// thread for a task's. They take the fetch as a future and poll it only if they lead. They need no
/// runtime, work on any, and are `Send` where the fetch, the key and the value are.
///
/// **On tokio, tell the cache where its refreshes are polled.** What [`get_swr_async`](Cache::get_swr_async) starts
/// in the background is polled by the builder's [`executor`](crate::Builder::executor); without one, by a thread of
/// the cache's own, which is in no runtime. A fetch that uses a runtime's timers or sockets panics there ("there is no
/// reactor running"): its refreshes fail with [`Error::Panicked`], of which `on_panic` is told, and the stale value is
/// served until it is gone. So pass `tokio::runtime::Handle::current()`, with the feature `tokio`, or a closure that spawns
/// the job, as below. (smol's and async-std's own timers and sockets work on any thread.)
///
/// **Not the blocking calls in a task.** [`get`](Cache::get), [`get_with`](Cache::get_with),
/// [`get_stale`](Cache::get_stale), [`get_swr`](Cache::get_swr) and
/// [`RefreshHandle::wait`](crate::RefreshHandle::wait) block their thread while they wait. On a runtime with one
/// thread, what they wait for may be a load that only this thread polls: then they wait for ever.
///
/// **The fetch** is a future and no closure, so it is given no `&K`. It is built on each call, on a hit too:
/// an `async` block, which does nothing until it is polled, costs next to nothing. That of
/// [`get_swr_async`](Cache::get_swr_async) is `'static`: clone into it what it needs. The call's own future borrows
/// the key. `cache.get_async(&format!("user:{id}"), …)` can be awaited on the spot, but not be kept in a variable:
/// give the key a `let` of its own.
///
/// ```
/// use std::sync::Arc;
/// use lastcache::{BoxError, Cache, Error, Job};
///
/// struct Database;
/// impl Database {
///     async fn name(&self, key: &str) -> Result<String, BoxError> {
///         Ok(format!("name of {key}"))
///     }
/// }
///
/// struct Users {
///     names: Cache<String, String>,
///     database: Arc<Database>,
/// }
/// impl Users {
///     async fn name(&self, id: u32) -> Result<String, Error<BoxError>> {
///         let key = format!("user:{id}");
///         let (database, for_fetch) = (Arc::clone(&self.database), key.clone());
///         let fetch = async move { database.name(&for_fetch).await };
///         Ok(self.names.get_swr_async(&key, fetch).await?.clone())
///     }
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let names = Cache::builder().executor(|job: Job| drop(tokio::spawn(job))).build()?;
/// let users = Users { names, database: Arc::new(Database) };
/// assert_eq!(users.name(7).await?, "name of user:7");
/// # Ok(())
/// # }
/// ```
///
/// **Cancellation.** Dropping such a future is always safe. One that leads frees the key: whoever
/// joined it starts over, with a fetch of its own, and nobody fails. One that joined leaves nothing behind.
/// One that leads and is kept alive without being polled holds its key, as a fetch that hangs does: bound
/// the wait of joiners with the timeout of your runtime. A later call joins the same flight again;
/// `set` and `delete` get through at any time, and so does `get_swr_async` while it has a stale value.
impl<K, V, E, S> Cache<K, V, E, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    /// As [`get`](Cache::get), for tasks. A fresh value is there at the first poll, without an allocation or a
    /// waker.
    ///
    /// # Errors
    ///
    /// As [`get`](Cache::get).
    ///
    /// # Panics
    ///
    /// As [`get`](Cache::get); a panic of the fetch goes on in the poll that ran into it.
    ///
    /// # Cancellation
    ///
    /// See [Async](#async).
    ///
    /// # Cost
    ///
    /// As [`get`](Cache::get), the future aside.
    ///
    /// ```
    /// # use lastcache::Cache;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache: Cache<String, usize> = Cache::builder().build()?;
    /// let length = cache.get_async("four", async { Ok("four".len()) }).await?;
    /// assert_eq!(length, 4);
    /// assert_eq!(cache.get_async("four", async { unreachable!("it is fresh") }).await?, 4);
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_async<Q, F>(&self, key: &Q, fetch: F) -> impl Future<Output = Result<V, Error<E>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        V: Clone,
        F: Future<Output = Result<V, E>>,
    {
        let mut fetch = Some(fetch);
        async move {
            let hashed = self.core.hash(key);
            if let Some((held, _, counted)) = self.core.hit(hashed, key) {
                // Here, and not as they go out of scope: what is half returned when a destructor panics is
                // leaked.
                let held = without(held, fetch.take());
                let (held, value) = beside(held, |held| held.value().clone());
                let value = without(value, held);
                drop(counted);
                return Ok(value);
            }
            let served = self.core.load_async(hashed, key, &mut fetch).await?;
            let (served, value) = beside(served, |served| V::clone(served));
            Ok(without(value, served))
        }
    }

    /// As [`get_stale`](Cache::get_stale), for tasks.
    ///
    /// # Errors
    ///
    /// As [`get`](Cache::get).
    ///
    /// # Panics
    ///
    /// As [`get_async`](Cache::get_async).
    ///
    /// # Cancellation
    ///
    /// See [Async](#async).
    ///
    /// # Cost
    ///
    /// A hit counts a reference: the value may be kept across awaits and threads, and takes up none of
    /// the few guards that a thread has.
    ///
    /// ```
    /// # use lastcache::{Cache, ManualClock, State};
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let clock = ManualClock::new();
    /// let cache: Cache<u32, u32> =
    ///     Cache::builder().stale_if_error(Duration::from_secs(600)).clock(&clock).build()?;
    /// cache.set(1, 10);
    /// clock.advance(Duration::from_secs(90));
    /// let served = cache.get_stale_async(&1, async { Err("down".into()) }).await?;
    /// assert_eq!((*served, served.age()), (10, Duration::from_secs(90)));
    /// assert!(matches!(served.state(), State::Fallback { .. }));
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_stale_async<Q, F>(
        &self,
        key: &Q,
        fetch: F,
    ) -> impl Future<Output = Result<Served<K, V, E>, Error<E>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        F: Future<Output = Result<V, E>>,
    {
        let mut fetch = Some(fetch);
        async move {
            let hashed = self.core.hash(key);
            if let Some((held, now, _counted)) = self.core.hit(hashed, key) {
                let held = without(held, fetch.take());
                return Ok(Served::hit(Hold::counted(held), now));
            }
            self.core.load_async(hashed, key, &mut fetch).await
        }
    }

    /// As [`get_swr`](Cache::get_swr), for tasks: inside the stale-while-revalidate window a stale value is
    /// there at the first poll, while one background refresh runs `fetch`.
    ///
    /// The refresh is a [`Job`](crate::Job) that does not block: an [`Executor`](crate::Executor) may spawn it
    /// as a task. Without one a thread of the cache's own polls it, which is no thread of a runtime: see
    /// [Async](#async). [`close`](Cache::close) cancels it.
    ///
    /// # Errors
    ///
    /// As [`get`](Cache::get).
    ///
    /// # Panics
    ///
    /// As [`get_async`](Cache::get_async), and where the executor does. A panic of a background `fetch` harms
    /// nobody.
    ///
    /// # Cancellation
    ///
    /// See [Async](#async). Dropping this future does not cancel the refresh that it started.
    ///
    /// # Cost
    ///
    /// As [`get_stale_async`](Cache::get_stale_async); a background refresh allocates as that of
    /// [`get_swr`](Cache::get_swr).
    ///
    /// ```
    /// # use lastcache::{Cache, ManualClock};
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let clock = ManualClock::new();
    /// let cache: Cache<u32, u32> = Cache::builder()
    ///     .clock(&clock)
    ///     .executor(|job: lastcache::Job| drop(tokio::spawn(job)))
    ///     .build()?;
    /// cache.set(1, 10);
    /// clock.advance(Duration::from_secs(90));
    /// let served = cache.get_swr_async(&1, async { Ok(20) }).await?;
    /// assert_eq!(*served, 10); // at once; refreshed behind it
    /// served.refresh().expect("started by this call").await?;
    /// assert_eq!(cache.peek(&1).as_deref(), Some(&20));
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_swr_async<Q, F>(
        &self,
        key: &Q,
        fetch: F,
    ) -> impl Future<Output = Result<Served<K, V, E>, Error<E>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        F: Future<Output = Result<V, E>> + Send + 'static,
    {
        let mut fetch = Some(fetch);
        async move {
            let hashed = self.core.hash(key);
            if let Some((held, now)) = self.core.hit_or_stale(hashed, key) {
                let held = without(held, fetch.take());
                return Ok(Served::found(Hold::counted(held), now));
            }
            let asked = Asked { key, hashed, ask: Ask::WhileRevalidate, keep: Hold::counted };
            let start = |(queued, admitted): Start<K, V, E, S>, fetch| {
                let background = Background { queued, fetch };
                admitted.submit(Task::Async(Box::pin(background.run())));
            };
            self.core.answer_async(&asked, &mut fetch, start).await
        }
    }
}

/// A fetch to be polled behind a stale read. Given up unrun, it first frees the key.
struct Background<K, V, E, S, F> {
    queued: Queued<K, V, E, S>,
    fetch: F,
}

impl<K, V, E, S, F> Background<K, V, E, S, F>
where
    K: Hash + Eq + Clone,
    S: BuildHasher,
    F: Future<Output = Result<V, E>>,
{
    async fn run(self) {
        let Background { queued, fetch } = self;
        // The claim after the fetch, so that it is dropped before: see `answer_async`.
        let mut fetch = pin!(Some(fetch));
        let Some((claim, core)) = queued.start() else { return };
        // The cache may be gone, then or after the fetch: the claim's drop ends the flight.
        let Some(mut close) = core.upgrade().map(|core| {
            core.counters.add(Count::Refreshes);
            LookOut::new(&core.refresher)
        }) else {
            return;
        };
        let fetched = poll_fn(|cx| {
            if close.is_closed() {
                return Poll::Ready(None);
            }
            match load::poll(&claim, fetch.as_mut(), cx) {
                Poll::Ready(fetched) => Poll::Ready(Some(fetched)),
                Poll::Pending => close.poll(cx).map(|()| None),
            }
        });
        let Some(fetched) = fetched.await else { return };
        if let Some(core) = core.upgrade() {
            load::end_refresh(&core, claim, fetched);
        }
    }
}

impl<K, V, E, S> Core<K, V, E, S>
where
    K: Hash + Eq + Clone + 'static,
    S: BuildHasher,
{
    async fn load_async<Q, F>(
        self: &Arc<Self>,
        hashed: Hashed,
        key: &Q,
        fetch: &mut Option<F>,
    ) -> Answer<K, V, E>
    where
        K: Borrow<Q>,
        Q: Eq + ToOwned<Owned = K> + ?Sized,
        F: Future<Output = Result<V, E>>,
    {
        let asked = Asked { key, hashed, ask: Ask::IfError, keep: Hold::counted };
        let start = |_, _| unreachable!("only `WhileRevalidate` starts refreshes");
        self.answer_async(&asked, fetch, start).await
    }

    /// Takes turns until there is an answer. Takes the fetch when it comes to that, so that no more than
    /// two places are kept for it: the caller's, where it waits unpolled, and the one it is polled in.
    async fn answer_async<Q, F>(
        self: &Arc<Self>,
        asked: &Asked<'_, Q, K, V, E>,
        fetch: &mut Option<F>,
        start: impl FnOnce(Start<K, V, E, S>, F),
    ) -> Answer<K, V, E>
    where
        K: Borrow<Q>,
        Q: Eq + ToOwned<Owned = K> + ?Sized,
        F: Future<Output = Result<V, E>>,
    {
        let mut first = true;
        loop {
            match self.turn(asked, mem::take(&mut first)) {
                Turn::Answer(answer) => return without(answer, fetch.take()),
                Turn::Start(served, to_start) => {
                    let (served, ()) = beside(served, |_| {
                        if let Some(fetch) = fetch.take() {
                            start(to_start, fetch);
                        }
                    });
                    return Ok(served);
                }
                Turn::Lead(claim) => {
                    let mut fetch = pin!(fetch.take());
                    // Behind the fetch, so that it is dropped before it: a cancelled fetch whose
                    // destructor asks for its own key finds it free.
                    let claim = claim;
                    let fetched = poll_fn(|cx| load::poll(&claim, fetch.as_mut(), cx)).await;
                    return self.led(asked, claim, fetched);
                }
                Turn::Join(mut ticket) => {
                    // Looked at again at each poll: it may have been moved into the very fetch it waits for.
                    let outcome = poll_fn(|cx| match Pin::new(&mut ticket).poll(cx) {
                        Poll::Pending if nest::is_inside(&**ticket.flight()) => Poll::Ready(None),
                        polled => polled.map(Some),
                    });
                    let Some(outcome) = outcome.await else {
                        drop(fetch.take());
                        // As `into_flight` below: before the result is made.
                        drop(ticket);
                        return self.reentrant(asked);
                    };
                    if let Some(answer) = self.outcome(asked, outcome, ticket.into_flight()) {
                        return without(answer, fetch.take());
                    }
                }
                Turn::Uncached => {
                    let key = Arc::new(asked.key.to_owned());
                    let mut fetch = pin!(fetch.take());
                    let fetched = poll_fn(|cx| {
                        let _inside = nest::enter_uncached(&**self, &key);
                        load::poll_unclaimed(fetch.as_mut(), cx)
                    });
                    let fetched = fetched.await;
                    return self.uncached(asked.hashed, key, fetched);
                }
            }
        }
    }
}
