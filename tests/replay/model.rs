//! A replay on the naive model beside the real one, compared access by access and figure by figure.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::naive::{self, Naive};
use crate::report::Report;
use crate::run::{Mode, Outcome, Replay, Settings};

/// The same replay on the naive cache. An access is judged by what was counted while it ran, not by stamps.
struct Model {
    cache: Naive<String, (String, u64), ()>,
    mode: Mode,
    outages: Arc<[Range<u64>]>,
    now: Arc<AtomicU64>,
    fetches: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    accesses: u64,
    max_age_ms: u64,
}

impl Model {
    fn new(settings: &Settings) -> Self {
        let now = Arc::new(AtomicU64::new(0));
        let clock = Arc::clone(&now);
        let defaults = naive::Settings::<()>::default();
        let or = |ms: Option<u64>, default| ms.map_or(default, Duration::from_millis);
        let cache = Naive::new(naive::Settings {
            capacity: settings.capacity.unwrap_or(defaults.capacity),
            ttl: or(settings.ttl, defaults.ttl),
            stale_if_error: or(settings.stale_if_error, defaults.stale_if_error),
            stale_while_revalidate: or(
                settings.stale_while_revalidate,
                defaults.stale_while_revalidate,
            ),
            back_off: match settings.back_off {
                Some(ms) => naive::BackOff::Fixed(Duration::from_millis(ms)),
                None => defaults.back_off,
            },
            background: naive::Background::Caller,
            time: Arc::new(move || Duration::from_millis(clock.load(Relaxed))),
            ..defaults
        });
        Self {
            cache,
            mode: settings.mode,
            outages: settings.outages.as_slice().into(),
            now,
            fetches: Arc::default(),
            failed: Arc::default(),
            accesses: 0,
            max_age_ms: 0,
        }
    }

    fn access(&mut self, key: &str) -> Outcome {
        let now = self.accesses;
        self.accesses += 1;
        self.now.store(now, Relaxed);
        let (fetches, failed) = (Arc::clone(&self.fetches), Arc::clone(&self.failed));
        let outages = Arc::clone(&self.outages);
        let fetch = move |key: &String| {
            fetches.fetch_add(1, Relaxed);
            if outages.iter().any(|outage| outage.contains(&now)) {
                failed.fetch_add(1, Relaxed);
                return Err(());
            }
            Ok((key.clone(), now))
        };
        let (key, before) = (key.to_owned(), self.cache.stats());
        let answer = match self.mode {
            Mode::StaleIfError => self.cache.get_stale(&key, fetch),
            Mode::StaleWhileRevalidate => self.cache.get_swr(&key, fetch),
        };
        let after = self.cache.stats();
        let Ok(answer) = answer else {
            return Outcome::Error;
        };
        assert_eq!(answer.value.0, key);
        self.max_age_ms = self.max_age_ms.max(now - answer.value.1);
        match answer.state {
            naive::Served::Fallback { .. } => Outcome::Fallback,
            _ if after.misses > before.misses => Outcome::Loaded,
            _ if after.stale_hits > before.stale_hits => Outcome::Stale,
            _ => Outcome::Fresh,
        }
    }
}

/// Replays `keys` on both, compares every access and every figure, and returns the figures.
pub(crate) fn compare(keys: &[String], settings: &Settings) -> Report {
    let mut replay = Replay::new(settings).expect("these settings agree");
    let mut model = Model::new(settings);
    let mut counted = Report::default();
    for (i, key) in keys.iter().enumerate() {
        let expected = model.access(key);
        let outcome = replay.access(key);
        assert_eq!(outcome, expected, "access {i}, key {key:?}, {settings:?}");
        *match outcome {
            Outcome::Fresh => &mut counted.fresh,
            Outcome::Stale => &mut counted.stale,
            Outcome::Fallback => &mut counted.fallback,
            Outcome::Loaded => &mut counted.loaded,
            Outcome::Error => &mut counted.errors,
        } += 1;
    }
    let report = replay.report();
    let expected = Report {
        accesses: keys.len() as u64,
        fetches: model.fetches.load(Relaxed),
        failed_fetches: model.failed.load(Relaxed),
        refreshes: model.cache.stats().refreshes,
        evictions: 0,
        wrong_values: 0,
        max_age_ms: model.max_age_ms,
        // Gone values are freed at any time: compared below, by their bounds.
        stored: report.stored,
        ..counted
    };
    assert_eq!(report, expected, "{settings:?}");
    let stored = report.stored as usize;
    assert!(
        (model.cache.servable()..=model.cache.len()).contains(&stored),
        "{stored} stored, {} servable, {} at most, {settings:?}",
        model.cache.servable(),
        model.cache.len(),
    );
    assert_sound(&report, settings);
    report
}

/// What holds for every replay, whatever the model says.
pub(crate) fn assert_sound(report: &Report, settings: &Settings) {
    let outcomes = report.fresh + report.stale + report.fallback + report.loaded + report.errors;
    assert_eq!(outcomes, report.accesses, "{settings:?}");
    let fetched = report.loaded + report.fallback + report.errors + report.refreshes;
    assert_eq!(fetched, report.fetches, "{settings:?}");
    assert_eq!(report.wrong_values, 0, "{settings:?}");
    let ttl = settings.ttl.unwrap_or(60_000);
    let if_error = settings.stale_if_error.unwrap_or(0);
    let window = match settings.mode {
        Mode::StaleIfError => if_error,
        Mode::StaleWhileRevalidate => {
            settings.stale_while_revalidate.unwrap_or(u64::MAX).max(if_error)
        }
    };
    let oldest = ttl.saturating_add(window).saturating_sub(1);
    assert!(report.max_age_ms <= oldest, "{report:?} {settings:?}");
}
