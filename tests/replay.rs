//! Whole replays, figure by figure, against the naive model; and what the replay's command line refuses.
//!
//! The traces are generated, and real ones are replayed beside them where `../shared/traces` has some. Capacity
//! always exceeds the distinct keys, so nothing is evicted and the model has an answer to every access.

#![allow(clippy::single_range_in_vec_init)] // a list of one outage is a list of outages

#[path = "replay/command.rs"]
mod command;
#[path = "replay/model.rs"]
mod model;
#[path = "support/naive.rs"]
mod naive;
#[path = "../examples/replay/report.rs"]
mod report;
#[path = "../examples/replay/run.rs"]
mod run;
#[path = "../examples/replay/trace.rs"]
mod trace;
#[path = "replay/traces.rs"]
mod traces;

use crate::model::{assert_sound, compare};
use crate::report::Report;
use crate::run::{Mode, Replay, Settings};
use crate::traces::{generated, read, real, settings};

/// A build without optimisations is slow: it replays the first part of the long traces.
const MOST_OF_A_REAL_TRACE: usize = if cfg!(debug_assertions) { 150_000 } else { usize::MAX };

const MODES: [Mode; 2] = [Mode::StaleIfError, Mode::StaleWhileRevalidate];

#[test]
fn every_figure_of_a_generated_trace_is_the_models_in_all_windows_and_outages() {
    let keys = generated(1, 6_000, 600);
    // ttl, stale-if-error, stale-while-revalidate, back-off
    let windows = [
        (None, None, None, None),
        (Some(200), None, None, None),
        (Some(200), Some(500), None, None),
        (Some(200), Some(500), Some(100), None),
        (Some(200), Some(100), Some(500), None),
        (Some(200), Some(1), Some(1), None),
        (Some(200), Some(500), Some(100), Some(40)),
        (Some(200), Some(100), Some(500), Some(40)),
        (Some(200), Some(500), Some(100), Some(3_000)),
        (Some(200), Some(u64::MAX), Some(0), Some(1)),
        (Some(200), None, Some(300), Some(60)),
        (Some(0), Some(300), Some(100), Some(20)),
        (Some(1), Some(300), Some(300), None),
        (Some(5_000), Some(200), Some(200), Some(20)),
    ];
    let outages = [
        vec![],
        vec![1_000..1_001],
        vec![0..700, 2_000..2_400, 2_300..2_900, 4_500..4_520],
        vec![1_500..u64::MAX],
        vec![0..u64::MAX],
    ];
    let mut seen = Report::default();
    for mode in MODES {
        for (ttl, stale_if_error, stale_while_revalidate, back_off) in windows {
            for outages in &outages {
                let report = compare(
                    &keys,
                    &Settings {
                        ttl,
                        stale_if_error,
                        stale_while_revalidate,
                        back_off,
                        outages: outages.clone(),
                        ..settings(mode, &keys)
                    },
                );
                seen.fresh += report.fresh;
                seen.stale += report.stale;
                seen.fallback += report.fallback;
                seen.loaded += report.loaded;
                seen.errors += report.errors;
                seen.refreshes += report.refreshes;
            }
        }
    }
    let outcomes =
        [seen.fresh, seen.stale, seen.fallback, seen.loaded, seen.errors, seen.refreshes];
    assert!(outcomes.iter().all(|&count| count > 5_000), "{seen:?}");
}

#[test]
fn every_figure_of_other_generated_traces_is_the_models() {
    for seed in 2..8 {
        let keys = generated(seed, 20_000, 100 * seed as usize);
        for mode in MODES {
            compare(
                &keys,
                &Settings {
                    ttl: Some(100 * seed),
                    stale_if_error: Some(1_500),
                    stale_while_revalidate: Some(1_000),
                    back_off: Some(25 * seed),
                    outages: vec![3_000..6_000, 9_000..9_100, 15_000..17_000],
                    ..settings(mode, &keys)
                },
            );
        }
    }
}

#[test]
fn every_figure_of_the_real_traces_is_the_models() {
    for (path, column) in real() {
        let mut keys = read(&path, column);
        keys.truncate(MOST_OF_A_REAL_TRACE);
        println!("{}: {} accesses", path.display(), keys.len());
        let third = keys.len() as u64 / 3;
        for mode in MODES {
            let report = compare(
                &keys,
                &Settings {
                    ttl: Some(3_000),
                    stale_if_error: Some(20_000),
                    stale_while_revalidate: Some(10_000),
                    back_off: Some(500),
                    outages: vec![third..third + 8_000, 2 * third..2 * third + 200],
                    ..settings(mode, &keys)
                },
            );
            assert!(report.failed_fetches > 0, "an outage that nobody met");
        }
    }
}

#[test]
fn a_cache_smaller_than_the_trace_stays_within_its_capacity_and_serves_right_values() {
    let keys = generated(9, 30_000, 2_000);
    for mode in MODES {
        let settings = Settings {
            capacity: Some(100),
            ttl: Some(400),
            stale_if_error: Some(600),
            stale_while_revalidate: Some(800),
            back_off: Some(50),
            outages: vec![10_000..12_000],
            ..settings(mode, &keys)
        };
        let mut replay = Replay::new(&settings).expect("these settings agree");
        for key in &keys {
            replay.access(key);
            assert!(replay.report().stored <= 100);
        }
        let report = replay.report();
        assert_sound(&report, &settings);
        assert!(report.evictions > 0, "{report:?}");
    }
}
