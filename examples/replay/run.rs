//! The replay itself: a cache, a clock that is moved by hand, an origin that fails when it is told to, and
//! one access after another.
//!
//! It reads no file and prints nothing, so a test can drive it and compare every figure. Background
//! refreshes run on the caller, at the instant of the access that queued them and before the next one.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use foldhash::fast::FixedState;
use lastcache::{BackOff, Cache, CallerRuns, ManualClock, Served, State};

use crate::report::Report;

/// What a stale value is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mode {
    /// A stale value stands in when the caller's own fetch fails
    StaleIfError,
    /// A stale value is served at once and refreshed behind the caller's back
    StaleWhileRevalidate,
}

/// How to replay; times are milliseconds. What is `None` keeps the builder's default.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) mode: Mode,
    pub(crate) capacity: Option<usize>,
    pub(crate) ttl: Option<u64>,
    pub(crate) stale_if_error: Option<u64>,
    pub(crate) stale_while_revalidate: Option<u64>,
    pub(crate) back_off: Option<u64>,
    pub(crate) outages: Vec<Range<u64>>,
}

/// How one access was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Fresh,
    Stale,
    Fallback,
    Loaded,
    Error,
}

/// What the origin answers: the key it was asked for and the access that asked.
struct Value {
    key: String,
    stamp: u64,
}

/// What the origin answers during an outage.
#[derive(Debug)]
struct Unavailable;

type ReplayCache = Cache<String, Value, Unavailable, FixedState>;

/// The origin and its own count of the calls it got.
struct Origin {
    outages: Vec<Range<u64>>,
    fetches: AtomicU64,
    failed: AtomicU64,
}

impl Origin {
    fn answer(&self, key: &str, now: u64) -> Result<Value, Unavailable> {
        self.fetches.fetch_add(1, Relaxed);
        if self.outages.iter().any(|outage| outage.contains(&now)) {
            self.failed.fetch_add(1, Relaxed);
            return Err(Unavailable);
        }
        let key = key.to_owned();
        Ok(Value { key, stamp: now })
    }
}

pub(crate) struct Replay {
    cache: ReplayCache,
    clock: ManualClock,
    origin: Arc<Origin>,
    mode: Mode,
    /// The outcomes so far; the origin's and the cache's own figures are added at the end.
    report: Report,
}

impl Replay {
    /// An empty cache at time zero; the error says which settings cannot be.
    pub(crate) fn new(settings: &Settings) -> Result<Self, String> {
        let clock = ManualClock::new();
        let cache = build(settings, &clock)?;
        let origin = Origin {
            outages: settings.outages.clone(),
            fetches: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        };
        Ok(Self {
            cache,
            clock,
            origin: Arc::new(origin),
            mode: settings.mode,
            report: Report::default(),
        })
    }

    /// The next access: asks for `key` at as many milliseconds as there were accesses before.
    pub(crate) fn access(&mut self, key: &str) -> Outcome {
        let now = self.report.accesses;
        self.report.accesses += 1;
        self.clock.set(Duration::from_millis(now));
        let origin = Arc::clone(&self.origin);
        let fetch = move |key: &String| origin.answer(key, now);
        let answer = match self.mode {
            Mode::StaleIfError => self.cache.get_stale(key, fetch),
            Mode::StaleWhileRevalidate => self.cache.get_swr(key, fetch),
        };
        let outcome = match &answer {
            Ok(served) => self.look_at(served, key, now),
            Err(_) => Outcome::Error,
        };
        match outcome {
            Outcome::Fresh => self.report.fresh += 1,
            Outcome::Stale => self.report.stale += 1,
            Outcome::Fallback => self.report.fallback += 1,
            Outcome::Loaded => self.report.loaded += 1,
            Outcome::Error => self.report.errors += 1,
        }
        outcome
    }

    fn look_at(
        &mut self,
        served: &Served<String, Value, Unavailable>,
        key: &str,
        now: u64,
    ) -> Outcome {
        if served.key != key {
            self.report.wrong_values += 1;
        }
        // Every access has an instant of its own, so a value of this instant is this caller's own load: a
        // background refresh that ran inside the call is not what the call returns.
        if served.stamp == now {
            return Outcome::Loaded;
        }
        self.report.max_age_ms = self.report.max_age_ms.max(now - served.stamp);
        match served.state() {
            State::Fresh => Outcome::Fresh,
            State::Fallback { .. } => Outcome::Fallback,
            _ => Outcome::Stale,
        }
    }

    /// The figures of all accesses so far.
    pub(crate) fn report(&self) -> Report {
        let stats = self.cache.stats();
        Report {
            fetches: self.origin.fetches.load(Relaxed),
            failed_fetches: self.origin.failed.load(Relaxed),
            refreshes: stats.refreshes,
            evictions: stats.evictions,
            stored: self.cache.len() as u64,
            ..self.report.clone()
        }
    }
}

/// Only what was asked for is set: everything else is the builder's to decide.
fn build(settings: &Settings, clock: &ManualClock) -> Result<ReplayCache, String> {
    let mut builder = Cache::<String, Value>::builder()
        .error_type::<Unavailable>()
        .hasher(FixedState::default())
        .executor(CallerRuns)
        .clock(clock);
    if let Some(entries) = settings.capacity {
        builder = builder.capacity(entries);
    }
    if let Some(ms) = settings.ttl {
        builder = builder.ttl(Duration::from_millis(ms));
    }
    if let Some(ms) = settings.stale_if_error {
        builder = builder.stale_if_error(Duration::from_millis(ms));
    }
    if let Some(ms) = settings.stale_while_revalidate {
        builder = builder.stale_while_revalidate(Duration::from_millis(ms));
    }
    if let Some(ms) = settings.back_off {
        builder = builder.back_off(BackOff::fixed(Duration::from_millis(ms)));
    }
    builder.build().map_err(|error| error.to_string())
}
