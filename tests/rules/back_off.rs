//! Back-off: when no new fetch is tried, how long, and what ends it.

use std::cell::Cell;
use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use lastcache::{BackOff, CallerRuns, ManualClock, State, Verdict};

use super::bench::{Fault, Plain, Tray, down, never, panics, plain, secs};
use super::fronts::{Caller, FRONTS, told, word};
use super::tasks::Bell;

fn cache(clock: &ManualClock, back_off: BackOff) -> Plain {
    let windows = plain(clock).ttl(secs(1)).stale_if_error(Duration::MAX);
    windows.back_off(back_off).executor(CallerRuns).build().unwrap()
}

/// Fails the load that is due now; how long no other is tried after it.
fn fail(clock: &ManualClock, cache: &Plain) -> Duration {
    let served = cache.get_stale(&1, down).unwrap();
    assert!(matches!(served.state(), State::Fallback { .. }), "{:?}", served.state());
    retry_in(clock, cache)
}

fn retry_in(clock: &ManualClock, cache: &Plain) -> Duration {
    let State::BackOff { retry_in, .. } = cache.get_stale(&1, never).unwrap().state() else {
        panic!("not in back-off at {:?}", clock.now());
    };
    retry_in
}

#[test]
fn exponential_back_off_doubles_up_to_its_cap() {
    let clock = ManualClock::new();
    let cache = cache(&clock, BackOff::exponential(secs(1), secs(10)));
    cache.set(1, 1);
    clock.set(secs(1));
    for expected in [1, 2, 4, 8, 10, 10, 10] {
        assert_eq!(fail(&clock, &cache), secs(expected));
        clock.advance(secs(expected) - Duration::from_nanos(1));
        assert_eq!(retry_in(&clock, &cache), Duration::from_nanos(1));
        clock.advance(Duration::from_nanos(1));
    }
}

#[test]
fn a_long_row_of_failures_does_not_overflow() {
    let clock = ManualClock::new();
    let cache = cache(&clock, BackOff::exponential(Duration::from_nanos(1), secs(3)));
    cache.set(1, 1);
    clock.set(secs(1));
    let mut last = Duration::ZERO;
    for _ in 0..300 {
        let now = fail(&clock, &cache);
        assert!(now >= last && now <= secs(3));
        last = now;
        clock.advance(now);
    }
    assert_eq!(last, secs(3));
}

#[test]
fn fixed_back_off_stays_the_same() {
    let clock = ManualClock::new();
    let cache = cache(&clock, BackOff::fixed(secs(5)));
    cache.set(1, 1);
    clock.set(secs(1));
    for _ in 0..5 {
        assert_eq!(fail(&clock, &cache), secs(5));
        clock.advance(secs(5));
    }
}

#[test]
fn a_success_or_a_set_starts_the_row_anew() {
    for by_set in [false, true] {
        let clock = ManualClock::new();
        let cache = cache(&clock, BackOff::exponential(secs(1), secs(60)));
        cache.set(1, 1);
        clock.set(secs(1));
        assert_eq!(fail(&clock, &cache), secs(1));
        clock.advance(secs(1));
        assert_eq!(fail(&clock, &cache), secs(2));
        if by_set {
            // In the middle of the back-off: a `set` needs no leave.
            cache.set(1, 2);
        } else {
            clock.advance(secs(2));
            assert_eq!(cache.get(&1, |_| Ok(2)).unwrap(), 2);
        }
        clock.advance(secs(1));
        assert_eq!(fail(&clock, &cache), secs(1));
    }
}

#[test]
fn it_is_counted_from_the_end_of_the_attempt() {
    for in_back in [false, true] {
        let clock = ManualClock::new();
        let cache = cache(&clock, BackOff::fixed(secs(5)));
        cache.set(1, 1);
        clock.set(secs(1));
        let slow = clock.clone();
        let fetch = move |_: &u32| {
            slow.advance(secs(30));
            Err::<u32, Fault>("down")
        };
        let served = if in_back { cache.get_swr(&1, fetch) } else { cache.get_stale(&1, fetch) };
        assert_eq!(*served.unwrap(), 1);
        assert_eq!(clock.now(), secs(31));
        assert_eq!(retry_in(&clock, &cache), secs(5));
    }
}

#[test]
fn a_panicked_fetch_starts_it_as_any_failed_one() {
    let clock = ManualClock::new();
    let cache = cache(&clock, BackOff::fixed(secs(5)));
    cache.set(1, 1);
    clock.set(secs(1));
    assert!(panics(|| cache.get(&1, |_| panic!("boom"))));
    assert_eq!(retry_in(&clock, &cache), secs(5));
}

#[test]
fn a_propagated_error_starts_none() {
    for in_back in [false, true] {
        let clock = ManualClock::new();
        let cache = plain(&clock)
            .ttl(secs(1))
            .stale_if_error(Duration::MAX)
            .back_off(BackOff::fixed(secs(5)))
            .verdict(|_| Verdict::Propagate)
            .executor(CallerRuns)
            .build()
            .unwrap();
        cache.set(1, 1);
        clock.set(secs(1));
        if in_back {
            assert_eq!(*cache.get_swr(&1, down).unwrap(), 1);
        } else {
            assert!(cache.get(&1, down).is_err());
        }
        // The next stale read fetches at once.
        assert_eq!(cache.get(&1, |_| Ok(2)).unwrap(), 2);
    }
}

#[test]
fn a_key_without_a_value_has_none() {
    let clock = ManualClock::new();
    let cache = cache(&clock, BackOff::fixed(Duration::MAX));
    let runs = Cell::new(0);
    for _ in 0..5 {
        let counted = |_: &u32| {
            runs.set(runs.get() + 1);
            Err("down")
        };
        assert!(cache.get(&1, counted).is_err());
    }
    assert_eq!(runs.get(), 5);
    assert!(cache.is_empty());
}

#[test]
fn one_that_never_ends_serves_the_old_value_until_its_window_does() {
    let clock = ManualClock::new();
    let cache = plain(&clock)
        .ttl(secs(1))
        .stale_if_error(secs(100))
        .stale_while_revalidate(secs(200))
        .back_off(BackOff::fixed(Duration::MAX))
        .executor(CallerRuns)
        .build()
        .unwrap();
    cache.set(1, 1);
    clock.set(secs(1));
    assert_eq!(fail(&clock, &cache), Duration::MAX);
    clock.set(secs(101) - Duration::from_nanos(1));
    assert_eq!(retry_in(&clock, &cache), Duration::MAX);
    clock.set(secs(101));
    // Past the one window `get_stale` fetches; `get_swr` has the later of both.
    let swr = cache.get_swr(&1, never).unwrap();
    assert!(matches!(swr.state(), State::BackOff { .. }));
    assert!(cache.get_stale(&1, down).is_err());
    clock.set(secs(201));
    assert!(cache.get_swr(&1, down).is_err());
}

#[test]
fn it_refuses_every_front_alike() {
    for front in FRONTS {
        let clock = ManualClock::new();
        let windows = plain(&clock).ttl(secs(1)).stale_if_error(secs(100));
        let builder = windows.back_off(BackOff::fixed(secs(5))).executor(CallerRuns);
        let mut caller = Caller::new(front, builder);
        caller.warm(1);
        clock.set(secs(1));
        assert_eq!(told(&caller.get_stale(|| Err("down"))), "fallback", "{front:?}");
        for now in [secs(1), secs(6) - Duration::from_nanos(1)] {
            clock.set(now);
            for served in [caller.get_stale(|| Ok(2)), caller.get_swr(|| Ok(2))].map(Result::unwrap)
            {
                let State::BackOff { error, retry_in } = served.state() else {
                    panic!("{front:?}: {served:?}")
                };
                assert_eq!((*served, served.age(), retry_in), (1, now, secs(6) - now), "{front:?}");
                assert_eq!(error.fetch_error(), Some(&"down"));
                let refused_by = served.refresh().unwrap().wait().unwrap_err();
                assert_eq!(refused_by.fetch_error(), Some(&"down"), "{front:?}");
            }
            assert_eq!(word(&caller.peek().unwrap()), "stale", "a look is refused nothing");
        }
        clock.set(secs(6));
        assert_eq!(told(&caller.get_swr(|| Ok(2))), "stale", "{front:?}");
        assert_eq!(told(&caller.get_stale(|| Err("it is fresh"))), "fresh", "{front:?}");
        let stats = caller.cache.stats();
        assert_eq!((stats.hits, stats.stale_hits, stats.misses), (4 + 1, 4 + 1, 1), "{front:?}");
        assert_eq!((stats.loads, stats.failures), (1, 1));
    }
}

#[test]
fn an_answer_in_back_off_counts_as_a_stale_hit() {
    let clock = ManualClock::new();
    let cache = cache(&clock, BackOff::fixed(secs(5)));
    cache.set(1, 1);
    clock.set(secs(1));
    fail(&clock, &cache);
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.stale_hits, stats.misses), (0, 1, 1));
    assert_eq!((stats.failures, stats.loads), (1, 0));
}

#[test]
fn a_load_that_is_given_up_or_answered_ends_none() {
    let clock = ManualClock::new();
    let windows =
        plain(&clock).ttl(secs(10)).stale_if_error(secs(10)).back_off(BackOff::fixed(secs(500)));
    let propagates = windows.verdict(|error| match *error {
        "404" => Verdict::Propagate,
        _ => Verdict::ServeStale,
    });
    let cache = propagates.executor(CallerRuns).build().unwrap();
    cache.set(1, 1);
    clock.set(secs(12));
    assert_eq!(cache.get(&1, down).unwrap(), 1);
    let backs_off = || matches!(cache.get_swr(&1, never).unwrap().state(), State::BackOff { .. });
    // Past the window for errors, so that who waits tries again.
    clock.set(secs(30));
    assert!(backs_off());
    assert!(Bell::new().poll(pin!(cache.get_stale_async(&1, pending()))).is_pending());
    assert!(backs_off(), "after a load that was given up");
    assert!(cache.get_stale(&1, |_| Err("404")).is_err());
    assert!(backs_off(), "after an error that is propagated");
    assert!(cache.set(1, 2));
    assert!(cache.get_swr(&1, never).is_ok_and(|served| !served.is_stale()));
}

#[test]
fn an_attempt_that_is_given_up_does_not_break_the_row() {
    let clock = ManualClock::new();
    let jobs = Tray::default();
    let windows = plain(&clock).ttl(secs(1)).stale_if_error(Duration::MAX);
    let windows = windows.back_off(BackOff::exponential(secs(1), secs(100)));
    let cache = windows.executor(jobs.clone()).build().unwrap();
    cache.set(1, 1);
    clock.set(secs(1));
    for expected in [1, 2, 4, 8, 16] {
        match expected {
            4 => {
                let load = pin!(cache.get_stale_async(&1, pending()));
                assert!(Bell::new().poll(load).is_pending());
            }
            8 => {
                drop(cache.get_swr(&1, never).unwrap());
                drop(jobs.take());
            }
            _ => {}
        }
        assert_eq!(fail(&clock, &cache), secs(expected));
        clock.advance(secs(expected));
    }
}

#[test]
fn where_there_is_none_a_clock_that_steps_back_starts_none() {
    for verdict in [Verdict::ServeStale, Verdict::Propagate] {
        let clock = ManualClock::new();
        let windows = plain(&clock).ttl(secs(10)).stale_if_error(Duration::MAX);
        let windows = windows.verdict(move |_| verdict).executor(CallerRuns);
        let cache = match verdict {
            Verdict::Propagate => windows.back_off(BackOff::fixed(secs(5))),
            _ => windows,
        };
        let cache = cache.build().unwrap();
        cache.set(1, 1);
        clock.set(secs(100));
        assert_eq!(cache.get(&1, down).is_ok(), verdict == Verdict::ServeStale);
        clock.set(secs(100) - Duration::from_nanos(1));
        assert_eq!(*cache.get_stale(&1, |_| Ok(2)).unwrap(), 2, "{verdict:?}");
    }
}
