//! Time: an instant as the cache counts it, and the clocks it can be read from.
//!
//! Reading a clock never writes to memory that other threads read. No clock is assumed to be
//! monotonic above this file: sums saturate, differences of swapped instants are zero.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Nanoseconds since the clock's origin, plus one so that an `Option` of it is no larger.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(NonZeroU64);

impl Tick {
    /// Later than every instant a clock shows: 584 years after its origin.
    pub(crate) const NEVER: Tick = Tick(NonZeroU64::MAX);

    /// What a clock shows at its origin: no instant is before it.
    pub(crate) const ORIGIN: Tick = Tick(NonZeroU64::MIN);

    /// The last instant that a clock shows: `NEVER` never comes.
    const LAST: Tick = Tick(NonZeroU64::new(u64::MAX - 1).expect("not zero"));

    pub(crate) fn from_nanos(nanos: u64) -> Tick {
        Tick(NonZeroU64::MIN.saturating_add(nanos)).min(Tick::LAST)
    }

    /// `self + d`, saturating to [`NEVER`](Tick::NEVER).
    pub(crate) fn after(self, d: Duration) -> Tick {
        match u64::try_from(d.as_nanos()) {
            Ok(nanos) => Tick(self.0.saturating_add(nanos)),
            Err(_) => Tick::NEVER,
        }
    }

    /// The time from `earlier` to `self`; zero if the clock stepped back in between.
    pub(crate) fn since(self, earlier: Tick) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }

    /// The time left from `now` until `self`; `Duration::MAX` when that is never.
    pub(crate) fn left(self, now: Tick) -> Duration {
        if self == Tick::NEVER { Duration::MAX } else { self.since(now) }
    }

    /// Some bits that differ between instants, for spreading what would otherwise coincide.
    pub(crate) fn bits(self) -> u64 {
        self.0.get()
    }
}

/// Where the cache reads the time from.
///
/// The builder picks one if none is given: [`coarse`](Clock::coarse) when every configured time is
/// at least a second and no `lifetime` hook is set, else [`precise`](Clock::precise). A
/// [`ManualClock`], or a reference to one, converts into it.
///
/// ```
/// use std::time::Duration;
/// use lastcache::{Cache, Clock, Lifetime, Ttl};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Windows by value, all of them long: the coarse clock will do.
/// let cache: Cache<u32, u64> = Cache::builder()
///     .lifetime(|_, minutes| Lifetime::new().ttl(Duration::from_secs(60 * minutes)))
///     .clock(Clock::coarse())
///     .build()?;
/// cache.set(1, 10);
/// assert!(matches!(cache.ttl(&1), Some(Ttl::Left(left)) if left <= Duration::from_secs(600)));
///
/// // A short one, to be kept to more closely.
/// let short = Cache::<u32, u32>::builder().ttl(Duration::from_millis(5));
/// assert!(short.clock(Clock::precise()).build().is_ok());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
#[repr(u8)]
enum Source {
    /// Holds the origin, less the one that a tick is more than its nanoseconds.
    #[cfg(target_os = "linux")]
    Coarse(u64),
    Precise(Instant),
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The system's monotonic clock: nanosecond steps, about 20 ns to read.
    pub fn precise() -> Clock {
        Clock(Source::Precise(Instant::now()))
    }

    /// The kernel's coarse monotonic clock: steps of 1 to 10 ms, about 3 ns to read.
    ///
    /// Where the system has none (anything but Linux) this is [`precise`](Clock::precise).
    ///
    /// What is to last shorter than a step ends with a step, sooner or later than it should. So `build`
    /// refuses this clock with times below 10 ms; those that a `lifetime` hook gives it cannot know.
    pub fn coarse() -> Clock {
        #[cfg(target_os = "linux")]
        return Clock(Source::Coarse(coarse_nanos().wrapping_sub(1)));
        #[cfg(not(target_os = "linux"))]
        Clock::precise()
    }

    pub(crate) fn is_coarse(&self) -> bool {
        #[cfg(target_os = "linux")]
        return matches!(self.0, Source::Coarse(_));
        #[cfg(not(target_os = "linux"))]
        false
    }

    #[inline]
    pub(crate) fn now(&self) -> Tick {
        match &self.0 {
            #[cfg(target_os = "linux")]
            Source::Coarse(origin) => {
                // Never zero, and a nanosecond late at most: the clock's own steps are millions of them.
                Tick(NonZeroU64::MIN | coarse_nanos().wrapping_sub(*origin))
            }
            Source::Precise(origin) => Tick::from_nanos(saturating_nanos(origin.elapsed())),
            // Relaxed: the clock is a number; nothing is published through it.
            Source::Manual(nanos) => Tick::from_nanos(nanos.load(Ordering::Relaxed)),
        }
    }
}

#[cfg(target_os = "linux")]
#[inline]
fn coarse_nanos() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    (t.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(t.tv_nsec as u64)
}

fn saturating_nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

/// A clock that stands still until it is told to move: for tests, simulations and replays.
///
/// Clones show and move the same time.
///
/// ```
/// use std::time::Duration;
/// use lastcache::{Cache, ManualClock, Ttl};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let clock = ManualClock::new();
/// let cache: Cache<&str, u32> =
///     Cache::builder().ttl(Duration::from_secs(60)).clock(&clock).build()?;
/// cache.set("answer", 42);
/// clock.advance(Duration::from_secs(61));
/// assert_eq!(cache.ttl("answer"), Some(Ttl::Overdue(Duration::from_secs(1))));
/// clock.set(Duration::from_secs(20)); // back
/// assert_eq!(clock.now(), Duration::from_secs(20));
/// assert_eq!(cache.ttl("answer"), Some(Ttl::Left(Duration::from_secs(40))));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// A clock that shows zero.
    pub fn new() -> ManualClock {
        ManualClock::default()
    }

    /// Moves the time forward by `d`, at most to the end of the clock's range (584 years).
    pub fn advance(&self, d: Duration) {
        let nanos = saturating_nanos(d);
        // Relaxed: as for the read; whoever must see the move is told by other means.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
            Some(now.saturating_add(nanos))
        });
    }

    /// Moves the time to `since_origin`, which may be earlier than what the clock shows.
    pub fn set(&self, since_origin: Duration) {
        self.0.store(saturating_nanos(since_origin), Ordering::Relaxed);
    }

    /// The time the clock shows, counted from its origin.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

impl From<ManualClock> for Clock {
    fn from(manual: ManualClock) -> Clock {
        Clock(Source::Manual(manual.0))
    }
}

impl From<&ManualClock> for Clock {
    fn from(manual: &ManualClock) -> Clock {
        Clock(Source::Manual(Arc::clone(&manual.0)))
    }
}

/// The end of a bounded wait, in real time: a thread's patience has nothing to do with the ages
/// of values, so no manual clock moves it.
#[derive(Clone, Copy)]
pub(crate) struct Patience(Option<Instant>);

impl Patience {
    pub(crate) fn lasting(d: Duration) -> Patience {
        Patience(Instant::now().checked_add(d))
    }

    /// What is left: `None` when it is over.
    pub(crate) fn left(self) -> Option<Duration> {
        match self.0 {
            None => Some(Duration::MAX),
            Some(end) => end.checked_duration_since(Instant::now()).filter(|d| !d.is_zero()),
        }
    }
}
