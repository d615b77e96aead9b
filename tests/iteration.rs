//! Walking through the entries: what is met, once each, while the cache changes; and `clear`.

#[path = "support/bench.rs"]
mod bench;
#[path = "support/constant.rs"]
mod constant;

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use bench::{Plain, never, plain, secs};
use constant::Constant;
use lastcache::{Lifetime, ManualClock, State, Ttl};

fn seen(cache: &Plain) -> BTreeMap<u32, (u32, Ttl)> {
    let mut seen = BTreeMap::new();
    cache.range(|key, value, ttl| {
        assert!(seen.insert(*key, (*value, ttl)).is_none(), "{key} twice");
        true
    });
    seen
}

#[test]
fn every_servable_entry_is_met_once_with_its_time_left() {
    for entries in [0, 1, 2, 11, 100, 3_000] {
        let clock = ManualClock::new();
        // Room to spare: what is asked here is the walk, not the table's load.
        let build = plain(&clock).capacity(10_000).stale_while_revalidate(secs(100));
        let cache =
            build.lifetime(|key, _| Lifetime::new().ttl(secs(1 + u64::from(key % 7)))).build();
        let cache = cache.unwrap();
        for key in 0..entries {
            cache.set(key, key * 2);
        }
        clock.set(secs(4));
        let expected: BTreeMap<_, _> = (0..entries)
            .map(|key| {
                let ttl = 1 + u64::from(key % 7);
                let left =
                    if ttl > 4 { Ttl::Left(secs(ttl - 4)) } else { Ttl::Overdue(secs(4 - ttl)) };
                (key, (key * 2, left))
            })
            .collect();
        assert_eq!(seen(&cache), expected);
        let by_iter: BTreeMap<_, _> =
            cache.iter().map(|entry| (*entry.key(), (*entry.value(), entry.ttl()))).collect();
        assert_eq!((by_iter, cache.iter().count()), (expected, entries as usize));
    }
}

#[test]
fn stale_entries_are_met_and_gone_ones_are_not() {
    let clock = ManualClock::new();
    let windows = plain(&clock).ttl(secs(10)).stale_while_revalidate(secs(20));
    let cache = windows.stale_if_error(secs(30)).build().unwrap();
    cache.set(1, 1);
    for (now, expected) in [
        (9, Some(Ttl::Left(secs(1)))),
        (10, Some(Ttl::Overdue(secs(0)))),
        (39, Some(Ttl::Overdue(secs(29)))),
        (40, None),
        (1_000, None),
    ] {
        clock.set(secs(now));
        assert_eq!(seen(&cache).get(&1).map(|(_, ttl)| *ttl), expected, "at {now}");
        assert_eq!(cache.ttl(&1), expected);
    }
}

#[test]
fn each_entry_is_shown_as_of_that_moment_though_time_passes_on_the_way() {
    // One home bucket for all, whose keys are collected together.
    let clock = ManualClock::new();
    let windows = plain(&clock).ttl(secs(4)).stale_while_revalidate(secs(2));
    let cache = windows.hasher(Constant).build().unwrap();
    for by_iter in [false, true] {
        clock.set(secs(0));
        (0..12).for_each(|key| assert!(cache.set(key, key)));
        let mut shown = Vec::new();
        let mut show = |ttl| {
            shown.push(ttl);
            clock.advance(secs(1));
            true
        };
        if by_iter {
            assert!(cache.iter().all(|entry| show(entry.ttl())));
        } else {
            cache.range(|_, _, ttl| show(ttl));
        }
        let left = [4, 3, 2, 1].map(|left| Ttl::Left(secs(left)));
        let over = [0, 1].map(|over| Ttl::Overdue(secs(over)));
        assert_eq!(shown, [&left[..], &over].concat(), "and then all are past their windows");
    }
}

#[test]
fn keys_that_are_only_being_loaded_are_not_met() {
    let cache = plain(&ManualClock::new()).build().unwrap();
    cache.set(1, 1);
    let got = cache.get(&2, |_| {
        assert_eq!(seen(&cache).into_keys().collect::<Vec<_>>(), [1]);
        assert_eq!(cache.len(), 1);
        Ok(2)
    });
    assert_eq!((got.unwrap(), seen(&cache).len()), (2, 2));
}

#[test]
fn a_stale_entry_is_met_while_it_is_refreshed() {
    let clock = ManualClock::new();
    let cache = plain(&clock).build().unwrap();
    cache.set(1, 1);
    clock.set(secs(60));
    let got = cache.get(&1, |_| {
        assert_eq!(seen(&cache)[&1].0, 1);
        Ok(2)
    });
    assert_eq!((got.unwrap(), seen(&cache)[&1].0), (2, 2));
}

#[test]
fn it_stops_when_told() {
    let cache = plain(&ManualClock::new()).build().unwrap();
    for key in 0..100 {
        cache.set(key, key);
    }
    for stop in [1, 2, 50, 100] {
        let mut met = 0;
        cache.range(|_, _, _| {
            met += 1;
            met < stop
        });
        assert_eq!(met, stop);
    }
}

#[test]
fn the_callback_may_call_the_cache() {
    let cache = plain(&ManualClock::new()).build().unwrap();
    for key in 0..100 {
        cache.set(key, key);
    }
    let mut met = HashSet::new();
    cache.range(|key, value, _| {
        assert!(met.insert(*key), "{key} twice");
        assert_eq!(cache.get(key, never).unwrap(), *value);
        assert!(cache.set(*key, *value), "its own key, anew");
        // What comes has one value, by whichever call: it is shown as it was when its bucket was collected.
        assert!(cache.set(*key + 1_000, 3));
        let mut inner = 0;
        cache.range(|_, _, _| {
            inner += 1;
            inner < 10
        });
        assert_eq!(inner, 10);
        cache.get(&(*key + 2_000), |_| Ok(3)).unwrap();
        assert!(cache.delete(key));
        true
    });
    // All that was there from the beginning was met; what came meanwhile may or may not have been.
    assert!((0..100).all(|key| met.contains(&key) && !cache.contains_key(&key)));
    let mut all = 0;
    cache.range(|_, _, _| {
        all += 1;
        if all == 1 {
            cache.clear();
        }
        true
    });
    assert!(all >= 1 && cache.is_empty());
}

#[test]
fn what_an_iterator_has_handed_out_stays_as_it_was() {
    let cache = plain(&ManualClock::new()).build().unwrap();
    cache.set(1, 10);
    let entry = cache.iter().next().unwrap();
    cache.set(1, 20);
    cache.delete(&1);
    drop(cache);
    assert_eq!((*entry.key(), *entry.value(), entry.ttl()), (1, 10, Ttl::Left(secs(60))));
}

#[test]
fn no_key_is_met_twice_and_no_constant_key_missed_under_churn() {
    const KEPT: u32 = 300;
    let cache = plain(&ManualClock::new()).capacity(2_000).build().unwrap();
    for key in 0..KEPT {
        cache.set(key, key);
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let churn = |from: u32| {
            let (cache, done) = (&cache, &done);
            scope.spawn(move || {
                // Deleted and set again, so that entries change their slots all the time.
                while !done.load(SeqCst) {
                    for key in from..from + 300 {
                        cache.set(key, key);
                        if key % 3 != 0 {
                            cache.delete(&key);
                        }
                    }
                    for key in 0..KEPT {
                        cache.set(key, key);
                    }
                }
            })
        };
        let (_one, _two) = (churn(1_000), churn(1_150));
        for _ in 0..if cfg!(debug_assertions) { 150 } else { 1_000 } {
            let mut met = HashSet::new();
            cache.range(|key, value, _| {
                assert_eq!(key, value);
                assert!(met.insert(*key), "{key} twice");
                true
            });
            let missed = (0..KEPT).find(|key| !met.contains(key));
            if missed.is_some() {
                done.store(true, SeqCst);
            }
            assert_eq!(missed, None, "it was there all the time");
        }
        done.store(true, SeqCst);
    });
}

#[test]
fn clear_leaves_nothing_and_detaches_what_is_loaded() {
    let clock = ManualClock::new();
    let cache = plain(&clock).stale_if_error(Duration::MAX).build().unwrap();
    for key in 0..500 {
        cache.set(key, key);
    }
    cache.clear();
    assert_eq!((cache.len(), cache.is_empty(), seen(&cache).len()), (0, true, 0));
    assert_eq!(cache.stats().evictions, 0, "clearing is no eviction");
    assert!((0..500).all(|key| cache.set(key, key + 1)));
    assert_eq!(cache.len(), 500);

    // Stale, and being loaded: the late value goes to its callers and nowhere else.
    clock.set(secs(60));
    let got = cache.get_stale(&1, |_| {
        cache.clear();
        assert_eq!(cache.get(&1, |_| Ok(8)).unwrap(), 8, "a new flight");
        Ok(9)
    });
    assert_eq!(*got.unwrap(), 9);
    assert_eq!(cache.get(&1, never).unwrap(), 8);
    assert_eq!((cache.len(), cache.stats().late_loads), (1, 1));

    // What was cleared is no fallback.
    clock.set(secs(120));
    let got = cache.get_stale(&1, |_| {
        cache.clear();
        Err("down")
    });
    assert_eq!(got.unwrap_err().fetch_error(), Some(&"down"));
    // A cold load that is detached leaves nothing behind.
    assert_eq!(
        cache
            .get(&5, |_| {
                cache.clear();
                Ok(5)
            })
            .unwrap(),
        5
    );
    assert!(cache.is_empty() && cache.peek(&5).is_none());
}

#[test]
fn a_value_held_across_clear_is_still_the_value() {
    let cache = plain(&ManualClock::new()).build().unwrap();
    let held = cache.get_stale(&1, |_| Ok(10)).unwrap();
    cache.clear();
    cache.set(1, 20);
    assert_eq!(*held, 10);
    assert!(matches!(held.state(), State::Fresh));
}
