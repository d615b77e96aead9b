//! Times out of all proportion: nothing, the least there is, and for ever, in every setting at once.

use std::time::Duration;

use lastcache::{BackOff, CallerRuns, Lifetime, ManualClock};

use crate::controlled::{Failure, secs};

const LEAST: Duration = Duration::from_nanos(1);
const TIMES: [Duration; 4] = [Duration::ZERO, LEAST, secs(1), Duration::MAX];

/// The last instant that a clock shows; what ends later never ends.
const LAST: Duration = Duration::from_nanos(u64::MAX - 2);

/// Whether what was published at `then` is served at `now`: up to the end of its window, and not at it.
fn serves(then: Duration, ttl: Duration, window: Duration, now: Duration) -> bool {
    now.min(LAST) < then.min(LAST).saturating_add(ttl).saturating_add(window)
}

#[test]
fn every_window_may_be_nothing_or_for_ever() {
    let end_of_time = Duration::from_nanos(u64::MAX);
    let mut built = 0;
    for ttl in TIMES {
        for revalidate in TIMES {
            for if_error in TIMES {
                for back_off in TIMES {
                    for own in [false, true] {
                        let clock = ManualClock::new();
                        let base = lastcache::Cache::<u32, u32>::builder()
                            .error_type::<Failure>()
                            .capacity(4)
                            .clock(&clock)
                            .executor(CallerRuns);
                        let base = if own {
                            base.lifetime(move |_, _| {
                                let lifetime = Lifetime::new().ttl(ttl).stale_if_error(if_error);
                                lifetime.stale_while_revalidate(revalidate)
                            })
                        } else {
                            base.ttl(ttl)
                                .stale_while_revalidate(revalidate)
                                .stale_if_error(if_error)
                        };
                        let base = base.back_off(BackOff::exponential(back_off, Duration::MAX));
                        // A back-off without a stale window is refused; everything else is a cache.
                        let Ok(cache) = base.build() else {
                            assert!(revalidate.is_zero() && if_error.is_zero() && !own);
                            continue;
                        };
                        built += 1;
                        let starts = [Duration::ZERO, end_of_time - LEAST, end_of_time];
                        for start in starts {
                            clock.set(start);
                            cache.clear();
                            cache.set(1, 1);
                            for step in [Duration::ZERO, LEAST, secs(1), secs(2), Duration::MAX] {
                                clock.advance(step);
                                let now = clock.now();
                                let late = revalidate.max(if_error);
                                let there = serves(start, ttl, late, now);
                                let expected = there.then_some(&1);
                                assert_eq!(cache.peek(&1).as_deref(), expected);
                                assert_eq!(cache.contains_key(&1), there);
                                assert_eq!(cache.ttl(&1).is_some(), there);
                                assert_eq!(cache.iter().count(), usize::from(there));
                                let covered = serves(start, ttl, if_error, now);
                                let got = cache.get_stale(&1, |_| Err("down"));
                                assert_eq!(got.is_ok(), covered);
                                let got = cache.get_swr(&1, |_| Err("down"));
                                assert_eq!(got.is_ok(), there);
                            }
                            assert_eq!(*cache.get_stale(&2, |_| Ok(2)).expect("loaded"), 2);
                            drop(cache.get_swr(&2, |_| Ok(3)));
                            assert!(cache.len() <= 4);
                        }
                        let stats = cache.stats();
                        let answered = stats.hits + stats.stale_hits + stats.misses;
                        assert_eq!(answered, 3 * (5 * 2 + 2));
                    }
                }
            }
        }
    }
    assert!(built > 400, "{built} caches");
}

#[test]
fn waits_may_last_nothing_or_for_ever() {
    let clock = ManualClock::new();
    let jobs = crate::controlled::Collected::default();
    let built = crate::controlled::builder(&clock).executor(jobs.clone()).build();
    let cache: crate::controlled::Cache = built.expect("the settings agree");
    cache.set(1, 10);
    clock.advance(secs(10));
    let refresh = cache.get_swr(&1, |_| Ok(11)).expect("stale").refresh().expect("handed over");
    assert!(refresh.wait_timeout(Duration::ZERO).is_none());
    assert!(refresh.wait_timeout(LEAST).is_none());
    assert!(!cache.close_timeout(Duration::ZERO));
    let waiting = crate::controlled::go(move || refresh.wait_timeout(Duration::MAX).is_some());
    jobs.next().run();
    assert!(waiting.end() && cache.close_timeout(Duration::MAX));
}
