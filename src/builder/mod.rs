//! Settings, validated once. Their examples stand in `examples`, each run as a test.

mod check;

use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::time::Duration;

use crate::cache::Cache;
use crate::core::{Core, Hooks, Settings};
use crate::error::{BoxError, BuildError};
use crate::local::Local;
use crate::policy::{BackOff, Late, Lifetime, Verdict};
use crate::refresh::{Executor, Refresher};
use crate::stats::Counters;
use crate::sync::Arc;
use crate::table::Table;
use crate::time::Clock;

/// The settings of a cache to be built; made by [`Cache::builder`].
///
/// | setting | default | range |
/// |---|---|---|
/// | [`capacity`](Builder::capacity) | 10,000 entries | 1 to 2^31 |
/// | [`max_weight`](Builder::max_weight) with [`weigher`](Builder::weigher) | none | both or neither |
/// | [`ttl`](Builder::ttl) | 60 s | any; zero serves nothing as fresh, `Duration::MAX` is for ever |
/// | [`stale_if_error`](Builder::stale_if_error) | 0 (off) | any |
/// | [`stale_while_revalidate`](Builder::stale_while_revalidate) | `Duration::MAX` | any |
/// | [`back_off`](Builder::back_off) | none | needs a stale window |
/// | [`jitter`](Builder::jitter) | 0 | 0.0 to 1.0 |
/// | [`max_concurrent_refresh`](Builder::max_concurrent_refresh) | 1 | at least 1 |
/// | [`refresh_queue`](Builder::refresh_queue) | 1,024 | any |
/// | [`thread_hot_set`](Builder::thread_hot_set) | 0 (off) | 0 to 2^16 spots |
/// | [`clock`](Builder::clock) | by the windows | coarse needs times of 10 ms or more |
///
/// Nothing is silently replaced: settings that disagree are a [`BuildError`] that names them.
///
#[doc = include_str!("examples/settings.md")]
#[doc = include_str!("hooks.md")]
#[must_use = "a builder does nothing until it builds"]
pub struct Builder<K, V, E = BoxError, S = RandomState> {
    given: Given,
    hooks: Hooks<K, V, E>,
    hasher: S,
}

/// All that is the same whatever the cache's types.
struct Given {
    capacity: usize,
    max_weight: Option<u64>,
    ttl: Duration,
    stale_if_error: Option<Duration>,
    stale_ttl: Option<Duration>,
    stale_while_revalidate: Duration,
    back_off: BackOff,
    jitter: f64,
    max_concurrent_refresh: usize,
    refresh_queue: usize,
    executor: Option<Box<dyn Executor>>,
    thread_hot_set: usize,
    clock: Option<Clock>,
    /// A hook that was set for another error type, and so would have been lost.
    lost: Option<&'static str>,
}

impl<K, V> Cache<K, V> {
    /// Starts to configure a cache; see [`Builder`] for the settings and their defaults.
    ///
    /// It is there for the default error and hasher, so that nothing needs an annotation. A cache of any other
    /// type is built by way of [`error_type`](Builder::error_type) or [`hasher`](Builder::hasher), which
    /// change them; see [errors of your own](crate#errors-of-your-own).
    pub fn builder() -> Builder<K, V> {
        Builder::new()
    }
}

impl<K, V> Builder<K, V> {
    pub(crate) fn new() -> Self {
        let given = Given {
            capacity: 10_000,
            max_weight: None,
            ttl: Duration::from_secs(60),
            stale_if_error: None,
            stale_ttl: None,
            stale_while_revalidate: Duration::MAX,
            back_off: BackOff::NONE,
            jitter: 0.0,
            max_concurrent_refresh: 1,
            refresh_queue: 1_024,
            executor: None,
            thread_hot_set: 0,
            clock: None,
            lost: None,
        };
        Builder { given, hooks: Hooks::none(), hasher: RandomState::new() }
    }
}

impl<K, V, E> Hooks<K, V, E> {
    fn none() -> Self {
        Hooks { verdict: None, lifetime: None, weigher: None, on_error: None, on_panic: None }
    }
}

impl<K, V, E, S> Builder<K, V, E, S> {
    /// The most entries that hold a value at once, 10,000 unless given. Fixes the table, whose memory is all
    /// taken by `build`: no growth, no rehash. At capacity the victim is what is past its windows, where a
    /// bounded number of looks finds it, else what was not used lately.
    ///
    /// An entry of two `u64`s takes some 96 bytes in all: its part of the table, and a snapshot once it is there.
    ///
    #[doc = include_str!("examples/capacity.md")]
    pub fn capacity(mut self, entries: usize) -> Self {
        self.given.capacity = entries;
        self
    }

    /// A second limit beside `capacity`: the most that all values may weigh together by `weigher`.
    ///
    /// Keep `capacity` close to the number of values that this lets in: a value that needs room looks for others to
    /// evict in some 65,000 slots at most, and may miss a few values scattered over a table of a million.
    ///
    #[doc = include_str!("examples/max_weight.md")]
    pub fn max_weight(mut self, weight: u64) -> Self {
        self.given.max_weight = Some(weight);
        self
    }

    /// What a value weighs, in any unit; asked once per value, before it is published. 0 is allowed.
    ///
    /// A value heavier than `max_weight` is given to its callers and not kept. If sixteen evictions do not free enough
    /// weight, a value is not kept either, and what was evicted for it stays evicted: give values that weigh many times
    /// as much as most others a cache of their own.
    ///
    #[doc = include_str!("examples/max_weight.md")]
    pub fn weigher(mut self, weigher: impl Fn(&K, &V) -> u32 + Send + Sync + 'static) -> Self {
        self.hooks.weigher = Some(Box::new(weigher));
        self
    }

    /// How long a value is fresh, from the moment its load completed or it was set; 60 s unless given.
    ///
    #[doc = include_str!("examples/ttl.md")]
    #[doc(alias = "time_to_live")]
    pub fn ttl(mut self, d: Duration) -> Self {
        self.given.ttl = d;
        self
    }

    /// For how long past `ttl` a value covers a failed fetch (RFC 5861, section 4). Zero unless given: nothing
    /// stale is served in place of an error.
    ///
    #[doc = include_str!("examples/stale_if_error.md")]
    pub fn stale_if_error(mut self, d: Duration) -> Self {
        self.given.stale_if_error = Some(d);
        self
    }

    /// The Go module's name for [`stale_if_error`](Builder::stale_if_error).
    ///
    #[doc = include_str!("examples/stale_ttl.md")]
    pub fn stale_ttl(mut self, d: Duration) -> Self {
        self.given.stale_ttl = Some(d);
        self
    }

    /// For how long past `ttl` `get_swr` serves a value at once while it is refreshed (RFC 5861,
    /// section 3). `Duration::MAX` unless given: however old it is.
    ///
    #[doc = include_str!("examples/stale_while_revalidate.md")]
    pub fn stale_while_revalidate(mut self, d: Duration) -> Self {
        self.given.stale_while_revalidate = d;
        self
    }

    /// How long after a failed load of a stale entry no new one is tried while the stale value can stand in;
    /// [`BackOff::NONE`] unless given. An exponential one whose `first` is zero is none: it stays zero when it
    /// is doubled.
    ///
    #[doc = include_str!("examples/back_off.md")]
    pub fn back_off(mut self, back_off: BackOff) -> Self {
        self.given.back_off = back_off;
        self
    }

    /// The largest fraction by which a `ttl` is shortened, differently for each value, so that what
    /// was loaded together does not expire together. From 0.0, the default, to 1.0; never lengthens.
    ///
    #[doc = include_str!("examples/jitter.md")]
    pub fn jitter(mut self, fraction: f64) -> Self {
        self.given.jitter = fraction;
        self
    }

    /// Windows decided by the value. Asked once per value, before it is published. A stale window that
    /// is not the builder's costs an allocation.
    ///
    /// As it may give any time, the clock is then the precise one, which takes 20 ns to read and not 3. Where
    /// no time is shorter than 10 ms, set `.clock(Clock::coarse())`.
    ///
    #[doc = include_str!("examples/lifetime.md")]
    pub fn lifetime(mut self, f: impl Fn(&K, &V) -> Lifetime + Send + Sync + 'static) -> Self {
        self.hooks.lifetime = Some(Box::new(f));
        self
    }

    /// What an error means. Asked once per failed fetch, before anybody gets the error; not of an uncached
    /// one, which has nothing to cover it and nobody who joined. [`Verdict::ServeStale`] unless given.
    ///
    #[doc = include_str!("examples/verdict.md")]
    pub fn verdict(mut self, f: impl Fn(&E) -> Verdict + Send + Sync + 'static) -> Self {
        self.hooks.verdict = Some(Box::new(f));
        self
    }

    /// Told of every failed fetch, masked ones too, after its flight has ended; but of none that outlives the
    /// cache, and of none that panics.
    ///
    #[doc = include_str!("examples/on_error.md")]
    pub fn on_error(mut self, f: impl Fn(&K, &E) + Send + Sync + 'static) -> Self {
        self.hooks.on_error = Some(Box::new(f));
        self
    }

    /// Told of every panic of a fetch, or of a hook that judges its result, with its message; but of none of a fetch that
    /// outlives the cache.
    ///
    #[doc = include_str!("examples/on_panic.md")]
    pub fn on_panic(mut self, f: impl Fn(&K, &str) + Send + Sync + 'static) -> Self {
        self.hooks.on_panic = Some(Box::new(f));
        self
    }

    /// How many background refreshes run at once, over all keys; 1 unless given. A foreground fetch needs no
    /// permit. The cache's own threads are at most as many, so with a large number there may be one
    /// for each fetch under way.
    ///
    #[doc = include_str!("examples/max_concurrent_refresh.md")]
    pub fn max_concurrent_refresh(mut self, permits: usize) -> Self {
        self.given.max_concurrent_refresh = permits;
        self
    }

    /// How many refreshes may wait for a permit; 1,024 unless given. When it is full, stale reads start none.
    /// With 0 none waits: a stale read that finds no permit leaves the refresh to a later one.
    ///
    /// One that ends while it waits, because a caller takes it over or a write comes first, keeps its
    /// place and its fetch until a permit comes free; then it is handed over as any other, and does
    /// nothing. So it may keep another from waiting, but only while none could start.
    ///
    #[doc = include_str!("examples/refresh_queue.md")]
    pub fn refresh_queue(mut self, room: usize) -> Self {
        self.given.refresh_queue = room;
        self
    }

    /// Where background refreshes run, in place of the cache's own threads. A closure names the type of
    /// what it takes: `|job: Job|`.
    ///
    #[doc = include_str!("examples/executor.md")]
    pub fn executor(mut self, executor: impl Executor) -> Self {
        self.given.executor = Some(Box::new(executor));
        self
    }

    /// Gives every thread a hot set of so many spots behind [`get`](Cache::get),
    /// [`get_with`](Cache::get_with), [`get_stale`](Cache::get_stale) and [`get_swr`](Cache::get_swr), as a
    /// [`Reader`](crate::Reader)'s: the same answers. Where a key is hot `get` and `get_with` hit without a
    /// read-modify-write. `get_stale` and `get_swr` clone an `Arc` there, whose count all threads share: where many
    /// threads ask for one key at once these two are slower than without. 0, the default, is none.
    ///
    /// # What a thread holds on to
    ///
    /// At most one value for each spot: the one that was published when that spot was read last. One that was
    /// replaced, deleted or evicted since lives on until this thread reads the spot again, another key takes it
    /// there, or the thread ends. [`close`](Cache::close) and the drop of the last handle end the hot sets of all
    /// threads: that of the calling thread at once (but for a `close` in the middle of a read from there), each
    /// other's at that thread's next blocking call of the `get` family on any cache that has such sets, or at its end.
    /// Until then what a thread holds also keeps the memory of the table, but none of the other values. From `close` on
    /// the calls go on without.
    ///
    /// So leave it off where a value must be dropped as soon as it is replaced, or where threads rest for
    /// long; a [`Reader`](crate::Reader) can be made to [`forget`](crate::Reader::forget).
    ///
    /// # Cost
    ///
    /// A spot is 64 bytes, taken for each thread at its first call. Finding the thread's set costs some four
    /// nanoseconds more than a `Reader`, about what the read-modify-writes would on one thread: measure
    /// before you set it. A thread that reads several caches in turn searches a short list.
    /// Inside a `get_with`'s `read`, and while a thread ends, calls go on without.
    ///
    #[doc = include_str!("examples/thread_hot_set.md")]
    pub fn thread_hot_set(mut self, spots: usize) -> Self {
        self.given.thread_hot_set = spots;
        self
    }

    /// Where the time comes from; chosen by the windows unless given, see [`Clock`]. With a time below a
    /// second that is the precise clock; from 10 ms on [`Clock::coarse`] will do, which is quicker to read.
    ///
    #[doc = include_str!("examples/clock.md")]
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.given.clock = Some(clock.into());
        self
    }

    /// The hasher, which is a part of the cache's type. The default, std's SipHash, is randomly keyed, so that
    /// nobody can choose keys that collide; a hit takes about a quarter longer than with a cheap one.
    ///
    #[doc = include_str!("examples/hasher.md")]
    pub fn hasher<S2>(self, hasher: S2) -> Builder<K, V, E, S2> {
        Builder { given: self.given, hooks: self.hooks, hasher }
    }

    /// The error of the fetches. To be called before the hooks that take one.
    ///
    #[doc = include_str!("examples/error_type.md")]
    pub fn error_type<E2>(self) -> Builder<K, V, E2, S> {
        let Builder { mut given, hooks, hasher } = self;
        let Hooks { verdict, lifetime, weigher, on_error, on_panic } = hooks;
        let lost = verdict.map(|_| "verdict").or(on_error.map(|_| "on_error"));
        given.lost = given.lost.or(lost);
        let hooks = Hooks { verdict: None, lifetime, weigher, on_error: None, on_panic };
        Builder { given, hooks, hasher }
    }

    /// Builds the cache and takes all memory of its table.
    ///
    /// # Errors
    ///
    /// [`BuildError`] naming the settings that disagree or are out of range, and what would be right. Also if the system
    /// refuses the memory for a table of more than 256 MiB (where it promises more than it has, it may accept and end
    /// the process as the table is filled); for a smaller one the process ends, as by any allocation that fails.
    ///
    #[doc = include_str!("examples/build.md")]
    pub fn build(self) -> Result<Cache<K, V, E, S>, BuildError>
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
        E: Send + Sync + 'static,
        S: BuildHasher + Send + Sync + 'static,
    {
        self.check()?;
        self.check_memory(Table::<K, V, E>::bytes(self.given.capacity))?;
        let fits_coarse = self.fits_coarse(Duration::from_secs(1));
        let Builder { given, hooks, hasher } = self;
        let clock = match given.clock {
            Some(clock) => clock,
            None if fits_coarse => Clock::coarse(),
            None => Clock::precise(),
        };
        let late = Late {
            stale_while_revalidate: given.stale_while_revalidate,
            stale_if_error: given.stale_if_error.or(given.stale_ttl).unwrap_or(Duration::ZERO),
        };
        let max_weight = given.max_weight.unwrap_or(u64::MAX);
        let (permits, queue) = (given.max_concurrent_refresh, given.refresh_queue);
        let Given { ttl, jitter, back_off, .. } = given;
        Ok(Cache {
            core: Arc::new(Core {
                hasher,
                local: (given.thread_hot_set > 0).then(|| Local::new(given.thread_hot_set)),
                clock,
                table: Table::new(given.capacity, max_weight, late),
                settings: Settings { ttl, jitter, back_off, hooks },
                counters: Counters::new(),
                refresher: Arc::new(Refresher::new(permits, queue, given.executor)),
            }),
        })
    }
}

impl<K, V, E, S> fmt::Debug for Builder<K, V, E, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = &self.given;
        f.debug_struct("Builder")
            .field("capacity", &given.capacity)
            .field("max_weight", &given.max_weight)
            .field("ttl", &given.ttl)
            .field("stale_if_error", &given.stale_if_error.or(given.stale_ttl))
            .field("stale_while_revalidate", &given.stale_while_revalidate)
            .field("back_off", &given.back_off)
            .field("jitter", &given.jitter)
            .field("max_concurrent_refresh", &given.max_concurrent_refresh)
            .field("refresh_queue", &given.refresh_queue)
            .field("thread_hot_set", &given.thread_hot_set)
            .finish_non_exhaustive()
    }
}
