//! Odd windows: zero, for ever, sums past the clock's range, by value, jittered.

use std::cell::RefCell;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use lastcache::{Cache, CallerRuns, Lifetime, ManualClock, State, Ttl};

use super::bench::{Plain, Tray, down, never, plain, secs};
use super::constant::Constant;
use super::fronts::{Caller, FRONTS, told, word};

#[test]
fn a_zero_ttl_fetches_every_time() {
    let clock = ManualClock::new();
    let cache = plain(&clock).ttl(Duration::ZERO).stale_if_error(secs(5)).build().unwrap();
    for value in 0..5 {
        assert_eq!(cache.get(&1, |_| Ok(value)).unwrap(), value);
        assert_eq!(cache.ttl(&1), Some(Ttl::Overdue(Duration::ZERO)));
    }
    assert_eq!(cache.get(&1, down).unwrap(), 4);
    assert_eq!((cache.stats().hits, cache.stats().loads), (0, 5));
    let peeked = cache.peek(&1).unwrap();
    assert!(matches!(peeked.state(), State::Stale));
}

#[test]
fn nothing_is_served_as_fresh_with_a_zero_ttl() {
    let clock = ManualClock::new();
    let cache = plain(&clock).ttl(Duration::ZERO).stale_if_error(secs(5)).build().unwrap();
    let served = cache.get_stale(&1, |_| Ok(1)).unwrap();
    assert!(served.is_stale(), "{:?}", served.state());
}

/// As for a caller who read the clock, and then came upon what had been published since.
#[test]
fn a_zero_ttl_is_not_fresh_before_its_publication_either() {
    let clock = ManualClock::new();
    let windows = || Lifetime::new().stale_while_revalidate(secs(8)).stale_if_error(secs(8));
    let lifetime = move |_: &u32, value: &u32| match value {
        0 => windows().ttl(Duration::ZERO),
        _ => windows().ttl(secs(1)),
    };
    let cache = plain(&clock).executor(CallerRuns).lifetime(lifetime).build().unwrap();
    clock.set(secs(10));
    cache.set(1, 0);
    cache.set(2, 2);
    let mut reader = cache.reader();
    assert_eq!((reader.peek(&1).map(|it| *it), reader.get(&2, never).unwrap()), (Some(0), 2));
    clock.set(secs(5));
    for key in [1, 2] {
        let fresh = key == 2;
        let shown = if fresh { Ttl::Left(secs(6)) } else { Ttl::Overdue(Duration::ZERO) };
        assert_eq!(cache.ttl(&key), Some(shown));
        assert!(cache.iter().any(|it| *it.key() == key && it.ttl() == shown));
        for served in [cache.peek(&key).unwrap(), reader.peek(&key).unwrap()] {
            assert_eq!((served.is_stale(), served.age()), (!fresh, Duration::ZERO));
        }
        assert_eq!(cache.get(&key, |_| Ok(0)).unwrap(), if fresh { 2 } else { 0 });
        let fetches = std::cell::Cell::new(0);
        let fetch = |_: &u32| {
            fetches.set(fetches.get() + 1);
            Ok(0)
        };
        assert!(cache.get_stale(&key, fetch).unwrap().is_stale() != fresh);
        assert!(reader.get_stale(&key, fetch).unwrap().is_stale() != fresh);
        assert_eq!(fetches.get(), if fresh { 0 } else { 2 });
        assert!(cache.get_swr(&key, |_| Ok(0)).unwrap().is_stale() != fresh);
        assert_eq!(cache.stats().refreshes, 1, "of the one that is not fresh");
    }
    // Its stale windows count from the publication.
    clock.set(secs(13) - Duration::from_nanos(1));
    assert!(cache.contains_key(&1));
    clock.set(secs(13));
    assert!(!cache.contains_key(&1) && cache.contains_key(&2));
}

thread_local! {
    static NEXT: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

/// The next comparison of keys does something else first.
#[derive(Clone, Debug)]
struct Meddled(u32);

impl Hash for Meddled {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl PartialEq for Meddled {
    fn eq(&self, other: &Meddled) -> bool {
        if let Some(next) = NEXT.take() {
            next();
        }
        self.0 == other.0
    }
}

impl Eq for Meddled {}

#[test]
fn who_comes_upon_a_value_that_came_meanwhile_is_told_no_more_than_its_time() {
    let clock = ManualClock::new();
    let builder = Cache::<Meddled, u32>::builder().ttl(secs(60)).clock(&clock).hasher(Constant);
    let cache = Arc::new(builder.build().unwrap());
    let [first, second] = [1, 2].map(Meddled);
    assert!(cache.set(first, 1) && cache.set(second.clone(), 2));
    let (later, its) = (clock.clone(), Arc::clone(&cache));
    NEXT.set(Some(Box::new(move || {
        later.advance(secs(10));
        assert!(its.set(Meddled(2), 3));
    })));
    assert_eq!(cache.ttl(&second), Some(Ttl::Left(secs(60))));
    assert_eq!((clock.now(), cache.peek(&second).as_deref()), (secs(10), Some(&3)));
}

/// As for a caller who read the clock before.
#[test]
fn a_window_of_nothing_covers_nothing_before_the_publication_either() {
    let clock = ManualClock::new();
    let lifetime = |key: &u32, _: &u32| {
        let [swr, sie] =
            [key & 1, key & 2].map(|it| if it == 0 { Duration::ZERO } else { secs(8) });
        Lifetime::new().ttl(Duration::ZERO).stale_while_revalidate(swr).stale_if_error(sie)
    };
    let cache = plain(&clock).executor(CallerRuns).lifetime(lifetime).build().unwrap();
    clock.set(secs(10));
    let keys = 0..4;
    keys.clone().for_each(|key| assert!(cache.set(key, key)));
    clock.set(secs(5));
    let mut reader = cache.reader();
    for key in keys {
        let there = key != 0;
        assert_eq!((cache.contains_key(&key), cache.peek(&key).is_some()), (there, there));
        assert_eq!((cache.ttl(&key).is_some(), reader.peek(&key).is_some()), (there, there));
        assert_eq!(cache.iter().any(|it| *it.key() == key), there);
        let before = cache.stats();
        let shown = cache.get_swr(&key, |_| Err("down")).map(|served| *served).ok();
        assert_eq!(shown, there.then_some(key));
        assert_eq!(cache.stats().stale_hits - before.stale_hits, u64::from(key & 1 != 0));
        let fallback = cache.get(&key, |_| Err("down")).ok();
        assert_eq!(fallback, (key & 2 != 0).then_some(key));
        assert_eq!(cache.delete(&key), there);
    }
}

#[test]
fn zero_windows_keep_nothing_servable() {
    let clock = ManualClock::new();
    let windows = plain(&clock).ttl(Duration::ZERO).stale_while_revalidate(Duration::ZERO);
    let cache = windows.build().unwrap();
    assert_eq!(cache.get(&1, |_| Ok(1)).unwrap(), 1);
    assert!(cache.peek(&1).is_none() && cache.ttl(&1).is_none() && !cache.contains_key(&1));
    assert_eq!(cache.iter().count(), 0);
    assert!(!cache.delete(&1), "it was gone");
    assert!(cache.set(1, 2));
    assert!(cache.peek(&1).is_none());
}

#[test]
fn for_ever_is_for_ever() {
    let clock = ManualClock::new();
    let cache = plain(&clock).ttl(Duration::MAX).build().unwrap();
    cache.set(1, 1);
    clock.set(Duration::from_nanos(u64::MAX - 2));
    assert_eq!(cache.get(&1, never).unwrap(), 1);
    assert_eq!(cache.ttl(&1), Some(Ttl::Left(Duration::MAX)));
}

#[test]
fn for_ever_outlasts_the_end_of_the_clock() {
    let clock = ManualClock::new();
    let cache = plain(&clock).ttl(Duration::MAX).build().unwrap();
    cache.set(1, 1);
    clock.advance(Duration::MAX);
    assert_eq!(cache.ttl(&1), Some(Ttl::Left(Duration::MAX)));
    assert_eq!(cache.get(&1, never).unwrap(), 1);
}

#[test]
fn sums_past_the_clocks_range_saturate() {
    let late = Duration::from_nanos(u64::MAX - 1_000);
    let clock = ManualClock::new();
    clock.set(late);
    let windows = plain(&clock).ttl(secs(1)).stale_if_error(Duration::MAX);
    let cache = windows.stale_while_revalidate(Duration::MAX).build().unwrap();
    cache.set(1, 1);
    clock.advance(Duration::from_nanos(900));
    assert_eq!(cache.get(&1, never).unwrap(), 1);
    assert_eq!(cache.ttl(&1), Some(Ttl::Left(Duration::MAX)));

    // Each window alone, with the value published at the beginning.
    for (sie, swr) in [(Duration::MAX, Duration::ZERO), (Duration::ZERO, Duration::MAX)] {
        let clock = ManualClock::new();
        let cache = plain(&clock)
            .ttl(secs(1))
            .stale_if_error(sie)
            .stale_while_revalidate(swr)
            .executor(CallerRuns)
            .build()
            .unwrap();
        cache.set(1, 1);
        clock.set(late);
        assert!(cache.contains_key(&1));
        assert_eq!(cache.get(&1, down).ok(), (sie == Duration::MAX).then_some(1));
        assert_eq!(cache.get_swr(&1, down).ok().map(|s| *s), Some(1));
    }
}

#[test]
fn ttl_peek_and_age_tell_the_time_of_asking() {
    let clock = ManualClock::new();
    let cache = plain(&clock).ttl(secs(10)).stale_while_revalidate(secs(20)).build().unwrap();
    assert!(cache.ttl(&1).is_none() && cache.peek(&1).is_none());
    cache.set(1, 1);
    let fresh = cache.peek(&1).unwrap();
    for now in 0..30 {
        clock.set(secs(now));
        let left = now < 10;
        let ttl = if left { Ttl::Left(secs(10 - now)) } else { Ttl::Overdue(secs(now - 10)) };
        assert_eq!(cache.ttl(&1), Some(ttl));
        let peeked = cache.peek(&1).unwrap();
        assert_eq!((*peeked.key(), *peeked, peeked.age()), (1, 1, secs(now)));
        assert_eq!(matches!(peeked.state(), State::Fresh), left);
        assert_eq!(matches!(peeked.state(), State::Stale), !left);
        assert!(peeked.error().is_none());
    }
    clock.set(secs(30));
    assert!(cache.ttl(&1).is_none() && cache.peek(&1).is_none());
    // What was handed out before says what it said then.
    assert_eq!((*fresh, fresh.age()), (1, Duration::ZERO));
    assert!(!fresh.is_stale());
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.stale_hits, stats.misses), (0, 0, 0), "looking is no hit");
}

#[test]
fn stale_ttl_is_another_name_for_stale_if_error() {
    let answers = |cache: &Plain, clock: &ManualClock| {
        cache.set(1, 1);
        [60, 69, 70].map(|now| {
            clock.set(secs(now));
            cache.get(&1, down).ok()
        })
    };
    let clock = ManualClock::new();
    let by_alias = plain(&clock).stale_ttl(secs(10)).build().unwrap();
    let as_alias = answers(&by_alias, &clock);
    let clock = ManualClock::new();
    let by_name = plain(&clock).stale_if_error(secs(10)).build().unwrap();
    assert_eq!(as_alias, answers(&by_name, &clock));
    assert_eq!(as_alias, [Some(1), Some(1), None]);
}

#[test]
fn each_window_can_be_decided_by_the_value() {
    let cases: [(Lifetime, [u64; 3]); 5] = [
        (Lifetime::new(), [10, 30, 50]),
        (Lifetime::new().ttl(secs(1)), [1, 21, 41]),
        (Lifetime::new().stale_while_revalidate(secs(3)), [10, 13, 50]),
        (Lifetime::new().stale_if_error(secs(4)), [10, 30, 14]),
        (
            Lifetime::new()
                .ttl(secs(2))
                .stale_while_revalidate(secs(5))
                .stale_if_error(Duration::ZERO),
            [2, 7, 2],
        ),
    ];
    for by_load in [false, true] {
        for (lifetime, [fresh_until, swr_until, sie_until]) in cases {
            let build = |clock: &ManualClock| {
                let cache = plain(clock)
                    .ttl(secs(10))
                    .stale_while_revalidate(secs(20))
                    .stale_if_error(secs(40))
                    .lifetime(move |key, value| {
                        assert_eq!((key, value), (&1, &5));
                        lifetime
                    })
                    .executor(CallerRuns)
                    .build()
                    .unwrap();
                if by_load {
                    assert_eq!(cache.get(&1, |_| Ok(5)).unwrap(), 5);
                } else {
                    cache.set(1, 5);
                }
                cache
            };
            for now in 0..55 {
                let clock = ManualClock::new();
                let cache = build(&clock);
                clock.set(secs(now));
                let (fresh, sie) = (now < fresh_until, now < sie_until);
                assert_eq!(
                    matches!(cache.ttl(&1), Some(Ttl::Left(_))),
                    fresh,
                    "{lifetime:?} {now}"
                );
                assert_eq!(cache.get(&1, down).is_ok(), fresh || sie, "{lifetime:?} {now}");
                let clock = ManualClock::new();
                let cache = build(&clock);
                clock.set(secs(now));
                let at_once = fresh || now < swr_until;
                let served = cache.get_swr(&1, down);
                assert_eq!(served.is_ok(), at_once || sie, "{lifetime:?} {now}");
                if let Ok(served) = served {
                    let fallback = matches!(served.state(), State::Fallback { .. });
                    assert_eq!(fallback, !at_once, "{lifetime:?} {now}");
                }
            }
        }
    }
}

#[test]
fn the_windows_of_a_value_end_at_the_same_instant_on_every_front() {
    // By the value alone: fresh until 10, inside stale-while-revalidate until 13, and the other until 15.
    let lifetime = |_: &u32, value: &u32| {
        let ttl = Lifetime::new().ttl(secs(u64::from(*value)));
        ttl.stale_while_revalidate(secs(3)).stale_if_error(secs(5))
    };
    let before = |at| secs(at) - Duration::from_nanos(1);
    for front in FRONTS {
        let clock = ManualClock::new();
        let tray = Tray::default();
        let builder = plain(&clock).stale_while_revalidate(Duration::ZERO).lifetime(lifetime);
        let mut caller = Caller::new(front, builder.executor(tray.clone()));
        caller.warm(10);
        for (now, swr, waits, looks) in [
            (before(10), "fresh", "fresh", Some("fresh")),
            (secs(10), "stale", "fallback", Some("stale")),
            (before(13), "stale", "fallback", Some("stale")),
            (secs(13), "fallback", "fallback", Some("stale")),
            (before(15), "fallback", "fallback", Some("stale")),
            (secs(15), "error", "error", None),
        ] {
            clock.set(now);
            assert_eq!(caller.peek().as_ref().map(word), looks, "{front:?} at {now:?}");
            assert_eq!(caller.cache.contains_key(&1), looks.is_some());
            assert_eq!(told(&caller.get_swr(|| Err("down"))), swr, "{front:?} at {now:?}");
            assert_eq!(tray.len(), usize::from(swr == "stale"), "{front:?} at {now:?}");
            (0..tray.len()).for_each(|_| drop(tray.take()));
            assert_eq!(told(&caller.get_stale(|| Err("down"))), waits, "{front:?} at {now:?}");
        }
        let stats = caller.cache.stats();
        assert_eq!((stats.hits, stats.stale_hits, stats.misses), (4 + 2, 2, 3 + 5), "{front:?}");
    }
}

#[test]
fn jitter_only_shortens_stays_in_its_range_and_spreads() {
    const KEYS: u32 = 2_000;
    let clock = ManualClock::new();
    let cache = plain(&clock).ttl(secs(100)).jitter(0.2).build().unwrap();
    let mut left: Vec<Duration> = Vec::new();
    for key in 0..KEYS {
        if key % 2 == 0 {
            assert!(cache.set(key, key));
        } else {
            assert_eq!(cache.get(&key, |key| Ok(*key)).unwrap(), key);
        }
        let Some(Ttl::Left(d)) = cache.ttl(&key) else { panic!("not fresh") };
        assert!((secs(80)..=secs(100)).contains(&d), "{d:?}");
        left.push(d);
    }
    // Twenty buckets of a second each hold about fifty keys that were set and as many that were loaded.
    for first in 0..2 {
        let mut buckets = [0; 20];
        for d in left.iter().skip(first).step_by(2) {
            buckets[(d.as_secs() as usize - 80).min(19)] += 1;
        }
        assert!(buckets.iter().all(|n| (25..=100).contains(n)), "{first}: {buckets:?}");
    }
    // The same key does not always get the same.
    let again: Vec<_> = (0..20)
        .map(|_| {
            clock.advance(secs(1));
            cache.set(1, 1);
            cache.ttl(&1).unwrap()
        })
        .collect();
    assert!(again.iter().any(|ttl| *ttl != again[0]));
}

#[test]
fn jitter_of_nothing_and_of_everything_and_of_for_ever() {
    let clock = ManualClock::new();
    let cache = plain(&clock).ttl(secs(100)).jitter(0.0).build().unwrap();
    cache.set(1, 1);
    assert_eq!(cache.ttl(&1), Some(Ttl::Left(secs(100))));
    // More digits than a fraction of it could have.
    let long = Duration::new(1_000_000_000, 1);
    let cache = plain(&clock).ttl(long).jitter(0.0).build().unwrap();
    cache.set(1, 1);
    assert_eq!(cache.ttl(&1), Some(Ttl::Left(long)));
    let cache = plain(&clock).ttl(secs(100)).jitter(1.0).build().unwrap();
    for key in 0..100 {
        cache.set(key, 1);
        assert!(matches!(cache.ttl(&key), Some(Ttl::Left(d)) if d <= secs(100)));
    }
    let cache = plain(&clock).ttl(Duration::MAX).jitter(0.5).build().unwrap();
    cache.set(1, 1);
    assert_eq!(cache.ttl(&1), Some(Ttl::Left(Duration::MAX)));
}

#[test]
fn jitter_leaves_the_stale_windows_their_length() {
    let clock = ManualClock::new();
    let windows = plain(&clock).ttl(secs(100)).jitter(0.5).stale_if_error(secs(10));
    let cache = windows.stale_while_revalidate(Duration::ZERO).build().unwrap();
    cache.set(1, 1);
    let Some(Ttl::Left(fresh)) = cache.ttl(&1) else { panic!("not fresh") };
    clock.set(fresh + secs(10) - Duration::from_nanos(1));
    assert!(cache.contains_key(&1));
    clock.set(fresh + secs(10));
    assert!(!cache.contains_key(&1));
}
