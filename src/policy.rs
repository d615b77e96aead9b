//! Policy: what a snapshot is worth at an instant. Pure functions of windows and times.
//!
//! ```text
//!  published        fresh_until                swr_until          sie_until
//!      ├───── ttl ───────┤                         │                  │
//!      │      fresh      │          stale: still inside one of the two windows      gone
//! ```
//!
//! A boundary belongs to the later state. Sums saturate: `Duration::MAX` is never.

use std::time::Duration;

use crate::time::Tick;

/// The two stale windows, each counted from the end of freshness.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Late {
    pub(crate) stale_while_revalidate: Duration,
    pub(crate) stale_if_error: Duration,
}

/// How a caller takes a stale value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Waits for a fetch first, and takes it as the fallback (`get`, `get_stale`).
    IfError,
    /// Takes it at once while somebody refreshes it (`get_swr`).
    WhileRevalidate,
}

/// When a stale snapshot stops being worth what.
///
/// No time counts as earlier than its publication, not that of a caller who read the clock before, nor that of a
/// clock that stepped back: a window of nothing covers nothing.
#[derive(Clone, Copy)]
pub(crate) struct Deadlines {
    published: Tick,
    swr_until: Tick,
    sie_until: Tick,
}

impl Deadlines {
    #[inline]
    pub(crate) fn new(published: Tick, stale_since: Tick, late: Late) -> Deadlines {
        Deadlines {
            published,
            swr_until: stale_since.after(late.stale_while_revalidate),
            sie_until: stale_since.after(late.stale_if_error),
        }
    }

    /// When every window is over.
    pub(crate) fn gone_at(&self) -> Tick {
        self.swr_until.max(self.sie_until)
    }

    /// Past every window: as good as absent.
    pub(crate) fn gone(&self, now: Tick) -> bool {
        !self.before(now, self.gone_at())
    }

    /// Whether a failed load may be covered by this value.
    pub(crate) fn falls_back(&self, now: Tick) -> bool {
        self.before(now, self.sie_until)
    }

    /// Whether `ask` takes the stale value at once, whatever the flight does.
    #[inline]
    pub(crate) fn at_once(&self, ask: Ask, now: Tick) -> bool {
        ask == Ask::WhileRevalidate && self.before(now, self.swr_until)
    }

    /// Whether `ask` takes the stale value without a fetch, because one failed not long ago.
    pub(crate) fn backs_off(&self, ask: Ask, now: Tick, retry_at: Option<Tick>) -> bool {
        let limit = match ask {
            Ask::IfError => self.sie_until,
            Ask::WhileRevalidate => self.gone_at(),
        };
        retry_at.is_some_and(|retry_at| now < retry_at) && self.before(now, limit)
    }

    #[inline]
    fn before(&self, now: Tick, end: Tick) -> bool {
        now.max(self.published) < end
    }
}

/// `ttl` from `now`, shortened by up to `jitter` of itself; `seed` decides how far.
pub(crate) fn fresh_until(now: Tick, ttl: Duration, jitter: f64, seed: u64) -> Tick {
    let end = now.after(ttl);
    if jitter <= 0.0 || end == Tick::NEVER {
        return end;
    }
    // Fibonacci hashing: neighbouring seeds end up far apart.
    let unit = (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64 / (1u64 << 53) as f64;
    let shortened = ttl.as_secs_f64() * (1.0 - jitter * unit);
    now.after(Duration::try_from_secs_f64(shortened).unwrap_or(ttl).min(ttl))
}

/// How long after a failed load of a stale entry no new one is tried for its key, while the stale value can stand in:
/// for `get` inside `stale_if_error`, for `get_swr` inside either window. Past that it is as if there were none.
///
/// Counted from the end of the failed attempt. It never makes the stale value look younger: its
/// windows go on running. The Go module's `ExtendTTL` is [`BackOff::fixed`] without the rejuvenation.
///
/// ```
/// use std::time::Duration;
/// use lastcache::{BackOff, Cache, ManualClock, State};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let clock = ManualClock::new();
/// let cache: Cache<u32, u32> = Cache::builder()
///     .ttl(Duration::from_secs(1))
///     .stale_if_error(Duration::from_secs(60))
///     .back_off(BackOff::fixed(Duration::from_secs(5)))
///     .clock(&clock)
///     .build()?;
/// cache.set(1, 10);
/// clock.advance(Duration::from_secs(2));
/// assert_eq!(cache.get(&1, |_| Err("down".into()))?, 10); // a fallback
/// let served = cache.get_stale(&1, |_| unreachable!("in back-off"))?;
/// assert!(matches!(served.state(), State::BackOff { .. }));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "it is for the builder"]
pub struct BackOff {
    pub(crate) first: Duration,
    pub(crate) cap: Duration,
}

impl BackOff {
    /// None: every stale read may try again. The default.
    pub const NONE: BackOff = BackOff::fixed(Duration::ZERO);

    /// Always `d`.
    pub const fn fixed(d: Duration) -> BackOff {
        BackOff { first: d, cap: d }
    }

    /// `first` after one failure, twice that after two in a row, and so on, at most `cap`.
    ///
    /// A `first` of zero doubles to zero: it is none. `first` above `cap` is a
    /// [`BuildError`](crate::BuildError).
    pub const fn exponential(first: Duration, cap: Duration) -> BackOff {
        BackOff { first, cap }
    }

    /// The back-off after this many failures in a row.
    pub(crate) fn after(self, failures: u32) -> Duration {
        let factor = 1u128 << failures.saturating_sub(1).min(127);
        let nanos = self.first.as_nanos().saturating_mul(factor).min(self.cap.as_nanos());
        // No longer than the cap, whose seconds fit.
        Duration::new((nanos / 1_000_000_000) as u64, (nanos % 1_000_000_000) as u32)
    }
}

impl Default for BackOff {
    fn default() -> BackOff {
        BackOff::NONE
    }
}

/// What a fetch error means, decided by the builder's [`verdict`](crate::Builder::verdict) hook.
///
/// ```
/// use std::time::Duration;
/// use lastcache::{Cache, ManualClock, Verdict};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// enum Failure { Down, Refused, NoSuchUser }
/// let clock = ManualClock::new();
/// let cache: Cache<u32, &str, Failure> = Cache::builder()
///     .error_type()
///     .stale_if_error(Duration::MAX)
///     .verdict(|failure| match failure {
///         Failure::Down => Verdict::ServeStale,
///         Failure::Refused => Verdict::Propagate,
///         Failure::NoSuchUser => Verdict::Remove,
///     })
///     .clock(&clock)
///     .build()?;
/// cache.set(1, "Ada");
/// clock.advance(Duration::from_secs(61));
/// assert!(matches!(cache.get(&1, |_| Err(Failure::Down)), Ok("Ada")));
/// assert!(cache.get(&1, |_| Err(Failure::Refused)).is_err() && cache.contains_key(&1));
/// assert!(cache.get(&1, |_| Err(Failure::NoSuchUser)).is_err() && !cache.contains_key(&1));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The source is down: serve the stale value if there is one in its window. Starts the back-off.
    #[default]
    ServeStale,
    /// The answer is this error: never mask it. Starts no back-off. (Go v1: `useStale == false`.)
    Propagate,
    /// The source says that the value is no more: drop the stale one and answer with the error.
    Remove,
}

/// Windows decided by the value, by the builder's `lifetime` hook.
///
/// What is not given is the builder's. Times are as exact as the clock's steps: on a
/// [coarse](crate::Clock::coarse) one, a time that is shorter than a step ends with a step.
///
/// ```
/// use std::time::Duration;
/// use lastcache::{Cache, Lifetime, ManualClock, Ttl};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache: Cache<&str, u64> = Cache::builder()
///     .lifetime(|_key, seconds| Lifetime::new().ttl(Duration::from_secs(*seconds)))
///     .clock(ManualClock::new())
///     .build()?;
/// cache.set("short", 3);
/// assert_eq!(cache.ttl("short"), Some(Ttl::Left(Duration::from_secs(3))));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[must_use = "each setting returns another one"]
pub struct Lifetime {
    pub(crate) ttl: Option<Duration>,
    pub(crate) stale_while_revalidate: Option<Duration>,
    pub(crate) stale_if_error: Option<Duration>,
}

impl Lifetime {
    /// The builder's windows.
    pub const fn new() -> Lifetime {
        Lifetime { ttl: None, stale_while_revalidate: None, stale_if_error: None }
    }

    /// Fresh for `d` after publication, less what the builder's `jitter` takes off.
    pub const fn ttl(mut self, d: Duration) -> Lifetime {
        self.ttl = Some(d);
        self
    }

    /// Served by `get_swr` at once for `d` after it stopped being fresh.
    pub const fn stale_while_revalidate(mut self, d: Duration) -> Lifetime {
        self.stale_while_revalidate = Some(d);
        self
    }

    /// A fallback for `d` after it stopped being fresh.
    pub const fn stale_if_error(mut self, d: Duration) -> Lifetime {
        self.stale_if_error = Some(d);
        self
    }
}

/// How long an entry is still fresh, or for how long it has not been; from
/// [`Cache::ttl`](crate::Cache::ttl) and [`Cache::range`](crate::Cache::range).
///
/// ```
/// use std::time::Duration;
/// use lastcache::{Cache, ManualClock, Ttl};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let clock = ManualClock::new();
/// let cache: Cache<u32, u32> = Cache::builder().clock(&clock).build()?;
/// cache.set(1, 10);
/// clock.advance(Duration::from_secs(59));
/// assert_eq!(cache.ttl(&1), Some(Ttl::Left(Duration::from_secs(1))));
/// clock.advance(Duration::from_secs(1));
/// assert_eq!(cache.ttl(&1), Some(Ttl::Overdue(Duration::ZERO)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ttl {
    /// Fresh for this much longer; `Duration::MAX` is for ever.
    Left(Duration),
    /// Stale for this long.
    Overdue(Duration),
}
