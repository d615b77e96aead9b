//! What a caller is served: the value in place, how old it is, whether stale, and why.

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::error::{BoxError, Error};
use crate::nest;
use crate::snapshot::{self, Failure, Flight, Snapshot, Ticket};
use crate::state::Phase;
use crate::sync::{Arc, Kept};
use crate::time::Tick;
use crate::word::Outcome::{self, Abandoned, Failed, Published};

/// Why a value was served, as of the moment of answering.
///
/// ```
/// use std::time::Duration;
/// use lastcache::{BackOff, BoxError, Cache, ManualClock, State};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let clock = ManualClock::new();
/// let cache: Cache<u32, u32> = Cache::builder()
///     .stale_if_error(Duration::from_secs(600))
///     .back_off(BackOff::fixed(Duration::from_secs(5)))
///     .clock(&clock)
///     .build()?;
/// let said = |state: State<BoxError>| match state {
///     State::Fresh => "fresh".to_owned(),
///     State::Stale => "stale".to_owned(),
///     State::BackOff { retry_in, .. } => format!("stale, to be tried again in {retry_in:?}"),
///     State::Fallback { error } => format!("stale: {error}"),
///     _ => "stale".to_owned(),
/// };
/// cache.set(1, 10);
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(said(cache.peek(&1).expect("it was set").state()), "stale");
/// let fallback = cache.get_stale(&1, |_| Err("down".into()))?;
/// assert_eq!(said(fallback.state()), "stale: fetch failed: down");
/// let backing_off = cache.get_stale(&1, |_| unreachable!("in back-off"))?;
/// assert_eq!(said(backing_off.state()), "stale, to be tried again in 5s");
/// # Ok(())
/// # }
/// ```
#[non_exhaustive]
#[derive(Debug)]
pub enum State<E = BoxError> {
    /// Within its time to live.
    Fresh,
    /// Past it: served by `get_swr` in its window, found by `peek`, or over since it was loaded. Whether it
    /// is being refreshed, [`refresh`](Served::refresh) tells.
    Stale,
    /// Past it, and not refreshed because a fetch failed not long ago.
    BackOff {
        /// How that fetch failed.
        error: Error<E>,
        /// How long until the next may be tried.
        retry_in: Duration,
    },
    /// Past it, and served because the fetch to wait for failed, or is the very one that asks.
    Fallback {
        /// How it failed; [`Error::Reentrant`] of one that asks.
        error: Error<E>,
    },
}

// By hand: what an error is shared by asks nothing of it.
impl<E> Clone for State<E> {
    fn clone(&self) -> Self {
        match self {
            State::Fresh => State::Fresh,
            State::Stale => State::Stale,
            State::BackOff { error, retry_in } => {
                State::BackOff { error: error.clone(), retry_in: *retry_in }
            }
            State::Fallback { error } => State::Fallback { error: error.clone() },
        }
    }
}

pub(crate) enum Why<E> {
    Fresh,
    Stale,
    BackOff(Arc<Failure<E>>),
    Fallback(Error<E>),
}

pub(crate) enum Hold<K, V, E> {
    /// ArcSwap's guard: no reference count is touched.
    Guard(Kept<Snapshot<K, V, E>>),
    Shared(Arc<Snapshot<K, V, E>>),
}

/// How a front holds what it hands out.
pub(crate) type Keep<K, V, E> = fn(snapshot::Hold<K, V, E>) -> Hold<K, V, E>;

impl<K, V, E> Hold<K, V, E> {
    /// As found: for who asked from a thread, and will drop it there soon.
    #[inline]
    pub(crate) fn as_found(held: snapshot::Hold<K, V, E>) -> Self {
        Hold::Guard(held.keep())
    }

    /// With a count of its own: for a task, which may keep it across awaits and threads, and would
    /// take up one of the eight guards that a thread has.
    #[inline]
    pub(crate) fn counted(held: snapshot::Hold<K, V, E>) -> Self {
        Hold::Shared(Arc::clone(held.arc()))
    }
}

/// A value served from the cache, in place.
///
/// Derefs to the value. It can be held as long as the caller likes, sent to other threads and kept
/// across `.await`: it copies nothing, and keeps that one value alive and no other, unless its `get_swr`
/// started a refresh: then that one's outcome, too. What it says of age and state is as of the moment
/// of answering.
///
/// # Cost
///
/// From a hit it holds ArcSwap's guard. A thread that holds eight of those at once makes its further
/// loads about three times slower, until it drops some.
///
/// ```
/// use std::time::Duration;
/// use lastcache::{Cache, ManualClock, State};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let clock = ManualClock::new();
/// let cache: Cache<u32, String> =
///     Cache::builder().stale_if_error(Duration::from_secs(600)).clock(&clock).build()?;
/// let served = cache.get_stale(&7, |key| Ok(format!("value of {key}")))?;
/// assert_eq!(served.len(), "value of 7".len()); // it derefs to the value
/// assert!(matches!(served.state(), State::Fresh) && !served.is_stale());
///
/// clock.advance(Duration::from_secs(90));
/// let served = cache.get_stale(&7, |_| Err("down".into()))?;
/// assert_eq!((served.key(), served.age()), (&7, Duration::from_secs(90)));
/// assert!(matches!(served.state(), State::Fallback { .. }) && served.is_stale());
/// let error = served.error().expect("the fetch failed");
/// assert_eq!(error.to_string(), "fetch failed: down");
/// # Ok(())
/// # }
/// ```
pub struct Served<K, V, E = BoxError> {
    hold: Hold<K, V, E>,
    now: Tick,
    why: Why<E>,
    flight: Option<Arc<Flight<K, V, E>>>,
}

impl<K, V, E> Served<K, V, E> {
    #[inline]
    pub(crate) fn hit(hold: Hold<K, V, E>, now: Tick) -> Self {
        Served { hold, now, why: Why::Fresh, flight: None }
    }

    /// Of a fresh value that a hot set holds.
    #[inline]
    pub(crate) fn shared(s: &Arc<Snapshot<K, V, E>>, now: Tick) -> Self {
        Served { hold: Hold::Shared(Arc::clone(s)), now, why: Why::Fresh, flight: None }
    }

    /// What is there, fresh or stale, and no load of this call's.
    #[inline]
    pub(crate) fn found(hold: Hold<K, V, E>, now: Tick) -> Self {
        let mut served = Served::hit(hold, now);
        if !served.snapshot().is_fresh(now) {
            served.why = Why::Stale;
        }
        served
    }

    pub(crate) fn new(
        hold: Hold<K, V, E>,
        now: Tick,
        why: Why<E>,
        flight: Option<Arc<Flight<K, V, E>>>,
    ) -> Self {
        Served { hold, now, why, flight }
    }

    #[inline]
    fn snapshot(&self) -> &Snapshot<K, V, E> {
        match &self.hold {
            Hold::Guard(held) => held,
            Hold::Shared(arc) => arc,
        }
    }

    /// The key it is stored under.
    pub fn key(&self) -> &K {
        &self.snapshot().key
    }

    /// How long before the answer the value was published.
    pub fn age(&self) -> Duration {
        self.now.since(self.snapshot().published())
    }

    /// Whether it is fresh, and if not, why it was served.
    pub fn state(&self) -> State<E> {
        match &self.why {
            Why::Fresh => State::Fresh,
            Why::Stale => State::Stale,
            Why::BackOff(failure) => State::BackOff {
                error: failure.error.clone(),
                retry_in: failure.retry_at.map_or(Duration::ZERO, |at| at.left(self.now)),
            },
            Why::Fallback(error) => State::Fallback { error: error.clone() },
        }
    }

    /// Whether it is anything but fresh.
    pub fn is_stale(&self) -> bool {
        !matches!(self.why, Why::Fresh)
    }

    /// Why it is served stale, if a fetch failed.
    pub fn error(&self) -> Option<Error<E>> {
        match &self.why {
            Why::Fresh | Why::Stale => None,
            Why::BackOff(failure) => Some(failure.error.clone()),
            Why::Fallback(error) => Some(error.clone()),
        }
    }

    /// The refresh that this call started, joined or was refused by; for a plain stale value the one
    /// that is under way now, if any. The Go module's error channel.
    ///
    /// ```
    /// use std::time::Duration;
    /// use lastcache::{Cache, ManualClock};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let clock = ManualClock::new();
    /// let cache: Cache<u32, u32> = Cache::builder().clock(&clock).build()?;
    /// cache.set(1, 10);
    /// clock.advance(Duration::from_secs(61));
    /// let served = cache.get_swr(&1, |_| Ok(20))?;
    /// assert_eq!(*served, 10);
    /// served.refresh().expect("started by this call").wait()?;
    /// assert_eq!(cache.peek(&1).as_deref(), Some(&20));
    /// # Ok(())
    /// # }
    /// ```
    pub fn refresh(&self) -> Option<RefreshHandle<K, V, E>> {
        let flight = match (&self.flight, &self.why) {
            (Some(flight), _) => Arc::clone(flight),
            (None, Why::BackOff(failure)) => Flight::ended(Failed(Arc::clone(failure))),
            (None, Why::Stale) => match self.snapshot().word.phase() {
                Phase::Flight(flight) => flight,
                _ => return None,
            },
            (None, Why::Fresh | Why::Fallback(_)) => return None,
        };
        Some(RefreshHandle(Ticket::on(flight)))
    }
}

impl<K, V, E> Deref for Served<K, V, E> {
    type Target = V;

    #[inline]
    fn deref(&self) -> &V {
        self.snapshot().value()
    }
}

impl<K, V: fmt::Debug, E: fmt::Debug> fmt::Debug for Served<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served")
            .field("value", &**self)
            .field("age", &self.age())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

/// A hold on one refresh: wait for it, or ask how it went.
///
/// `Ok` means that there was a value, the refresh's or that of a `set` that came before its end. The
/// cache need not have kept it: not after a `delete`, nor where it found no room. Holding the handle keeps
/// the flight's outcome alive, and the failure that its key's back-off went by before; nothing more.
///
/// ```
/// use std::time::Duration;
/// use lastcache::{Cache, Job, ManualClock};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let clock = ManualClock::new();
/// let (jobs, run_later) = std::sync::mpsc::channel();
/// let cache: Cache<u32, u32> = Cache::builder()
///     .clock(&clock)
///     .executor(move |job: Job| drop(jobs.send(job)))
///     .build()?;
/// cache.set(1, 10);
/// clock.advance(Duration::from_secs(61));
/// let refresh = cache.get_swr(&1, |_| Ok(20))?.refresh().expect("started by this call");
/// assert!(!refresh.is_done());
/// assert!(refresh.wait_timeout(Duration::ZERO).is_none());
/// run_later.recv()?.run();
/// assert!(refresh.is_done());
/// refresh.wait()?; // a task: `refresh.await?`
/// assert_eq!(cache.get(&1, |_| unreachable!("it was refreshed"))?, 20);
/// # Ok(())
/// # }
/// ```
pub struct RefreshHandle<K, V, E = BoxError>(Ticket<K, V, E>);

impl<K, V, E> RefreshHandle<K, V, E> {
    /// Waits for the end of the refresh. In a background fetch that may be for ever: the refresh may be
    /// queued for the very permit of that fetch. It blocks its thread, so a task awaits the handle instead:
    /// where only this thread polls the refresh, this waits for ever.
    ///
    /// # Errors
    ///
    /// How the fetch failed; [`Error::Closed`] when it was given up without an outcome;
    /// [`Error::Reentrant`] from inside that very fetch.
    pub fn wait(&self) -> Result<(), Error<E>> {
        self.refuse_own()?;
        result(self.0.wait())
    }

    /// As [`wait`](RefreshHandle::wait), not for tasks either, but at most `d` of real time; `None` when that
    /// was not enough.
    ///
    /// # Errors
    ///
    /// As [`wait`](RefreshHandle::wait).
    pub fn wait_timeout(&self, d: Duration) -> Option<Result<(), Error<E>>> {
        if let Err(refused) = self.refuse_own() {
            return Some(Err(refused));
        }
        self.0.wait_timeout(d).map(result)
    }

    fn refuse_own(&self) -> Result<(), Error<E>> {
        let own = !self.is_done() && nest::is_inside(&**self.0.flight());
        if own { Err(Error::Reentrant) } else { Ok(()) }
    }

    /// Whether it has ended: then waiting returns at once.
    pub fn is_done(&self) -> bool {
        !self.0.flight().is_pending()
    }
}

/// Awaiting it is [`wait`](RefreshHandle::wait) for tasks. Dropping it cancels nothing.
impl<K, V, E> Future for RefreshHandle<K, V, E> {
    type Output = Result<(), Error<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.refuse_own()?;
        Pin::new(&mut self.0).poll(cx).map(result)
    }
}

impl<K, V, E> fmt::Debug for RefreshHandle<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshHandle").field("is_done", &self.is_done()).finish_non_exhaustive()
    }
}

fn result<P, E>(outcome: Outcome<P, Failure<E>>) -> Result<(), Error<E>> {
    match outcome {
        Published(_) => Ok(()),
        Failed(failure) => Err(failure.error.clone()),
        Abandoned => Err(Error::Closed),
    }
}
