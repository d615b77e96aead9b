//! The words of the naive cache: its settings, what it answers, what it counts.

use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where the time comes from: the time since any fixed moment.
pub type Time = Arc<dyn Fn() -> Duration + Send + Sync>;

/// The windows and limits; the defaults are those of the builder.
pub struct Settings<E> {
    pub capacity: usize,
    pub ttl: Duration,
    pub stale_if_error: Duration,
    pub stale_while_revalidate: Duration,
    pub back_off: BackOff,
    pub verdict: fn(&E) -> Verdict,
    pub background: Background,
    pub time: Time,
}

impl<E> Default for Settings<E> {
    fn default() -> Self {
        let origin = Instant::now();
        Self {
            capacity: 10_000,
            ttl: Duration::from_secs(60),
            stale_if_error: Duration::ZERO,
            stale_while_revalidate: Duration::MAX,
            back_off: BackOff::None,
            verdict: |_| Verdict::ServeStale,
            background: Background::Threads { most: 1, queue: 1024 },
            time: Arc::new(move || origin.elapsed()),
        }
    }
}

/// How long after a failed load no new one is tried, for a key that has a value.
#[derive(Clone, Copy, Debug)]
pub enum BackOff {
    None,
    Fixed(Duration),
    Exponential { first: Duration, cap: Duration },
}

impl BackOff {
    /// The delay after this many failures in a row.
    pub fn after(self, attempts: u32) -> Duration {
        match self {
            Self::None => Duration::ZERO,
            Self::Fixed(delay) => delay,
            Self::Exponential { first, cap } => {
                let twice = |delay: Duration, _| delay.saturating_mul(2).min(cap);
                (1..attempts.min(128)).fold(first.min(cap), twice)
            }
        }
    }
}

/// What an error of the fetch means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    ServeStale,
    Propagate,
    Remove,
}

/// Where `get_swr` runs a refresh that nobody waits for.
#[derive(Clone, Copy, Debug)]
pub enum Background {
    /// Inside the call, after the value to be served was decided.
    Caller,
    /// On at most `most` threads, with at most `queue` refreshes waiting.
    Threads { most: usize, queue: usize },
}

/// A value as it was at the moment of answering.
#[derive(Debug, PartialEq)]
pub struct Answer<V, E> {
    pub value: V,
    pub age: Duration,
    pub state: Served<E>,
}

/// Why the value was served.
#[derive(Debug, PartialEq)]
pub enum Served<E> {
    Fresh,
    Stale,
    BackOff { error: Error<E>, retry_in: Duration },
    Fallback { error: Error<E> },
}

/// Why there is no value.
#[derive(Debug, PartialEq)]
pub enum Error<E> {
    Fetch(Arc<E>),
    Panicked,
    Reentrant,
    Closed,
}

impl<E> Clone for Error<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Fetch(error) => Self::Fetch(Arc::clone(error)),
            Self::Panicked => Self::Panicked,
            Self::Reentrant => Self::Reentrant,
            Self::Closed => Self::Closed,
        }
    }
}

/// Time until a value is stale, or since it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    Left(Duration),
    Overdue(Duration),
}

/// What happened so far. `hits + stale_hits + misses` is the number of `get` calls of all kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub hits: u64,
    pub stale_hits: u64,
    pub misses: u64,
    pub loads: u64,
    pub failures: u64,
    pub panics: u64,
    pub joins: u64,
    pub refreshes: u64,
    pub queued: u64,
    pub skipped: u64,
    pub evictions: u64,
    pub late_loads: u64,
    pub not_stored: u64,
    pub uncached: u64,
}
