//! The naive cache, which other tests compare with, checked against the table of states and answers.
//!
//! Seconds since the clock's origin: a value published at 0 is fresh until 10; the stale windows end at
//! 30 and 50, one way round or the other.

#[path = "support/naive.rs"]
mod naive;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

use naive::{Answer, BackOff, Background, Error, Naive, Served, Settings, Ttl, Verdict};

type Cache = Naive<&'static str, u32, &'static str>;
type Got = Result<Answer<u32, &'static str>, Error<&'static str>>;

const KEY: &str = "key";

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A clock that stands still until told otherwise.
#[derive(Clone, Default)]
struct Seconds(Arc<AtomicU64>);

impl Seconds {
    fn at(&self, seconds: u64) {
        self.0.store(seconds, Ordering::Release);
    }
}

/// Windows of 10, 20 and 40 seconds, back-off 5, refreshes on the caller.
fn settings(time: &Seconds) -> Settings<&'static str> {
    let time = time.clone();
    Settings {
        capacity: 100,
        ttl: secs(10),
        stale_while_revalidate: secs(20),
        stale_if_error: secs(40),
        back_off: BackOff::Fixed(secs(5)),
        background: Background::Caller,
        time: Arc::new(move || secs(time.0.load(Ordering::Acquire))),
        ..Settings::default()
    }
}

/// The cache as in [`settings`], with 1 published under the key at 0.
fn published() -> (Seconds, Cache) {
    let time = Seconds::default();
    let cache = Cache::new(settings(&time));
    assert!(cache.set(KEY, 1));
    (time, cache)
}

/// The same with the stale windows the other way round.
fn published_with_long_revalidation() -> (Seconds, Cache) {
    let time = Seconds::default();
    let windows = settings(&time);
    let cache = Cache::new(Settings {
        stale_while_revalidate: secs(40),
        stale_if_error: secs(20),
        ..windows
    });
    assert!(cache.set(KEY, 1));
    (time, cache)
}

fn never(_: &&'static str) -> Result<u32, &'static str> {
    panic!("no fetch is due")
}

fn down(_: &&'static str) -> Result<u32, &'static str> {
    Err("down")
}

fn answer(value: u32, age: u64, state: Served<&'static str>) -> Got {
    Ok(Answer { value, age: secs(age), state })
}

fn fallback(age: u64) -> Got {
    answer(1, age, Served::Fallback { error: fetch_error("down") })
}

fn backing_off(age: u64, retry_in: u64) -> Got {
    answer(1, age, Served::BackOff { error: fetch_error("down"), retry_in: secs(retry_in) })
}

fn fetch_error(error: &'static str) -> Error<&'static str> {
    Error::Fetch(Arc::new(error))
}

#[test]
fn a_fresh_value_is_served_without_a_fetch_until_the_boundary() {
    for age in [0, 9] {
        let (time, cache) = published();
        time.at(age);
        assert_eq!(cache.get(&KEY, never), Ok(1));
        assert_eq!(cache.get_stale(&KEY, never), answer(1, age, Served::Fresh));
        assert_eq!(cache.get_swr(&KEY, never), answer(1, age, Served::Fresh));
        assert_eq!(cache.ttl(&KEY), Some(Ttl::Left(secs(10 - age))));
        assert_eq!(cache.stats().hits, 3);
    }
}

#[test]
fn get_loads_a_stale_value_anew() {
    for age in [10, 29, 30, 49, 50, 1000] {
        let (time, cache) = published();
        time.at(age);
        assert_eq!(cache.get_stale(&KEY, |_| Ok(2)), answer(2, 0, Served::Fresh), "at {age}");
        assert_eq!(cache.ttl(&KEY), Some(Ttl::Left(secs(10))));
    }
}

#[test]
fn get_swr_serves_a_stale_value_at_once_and_refreshes_it_behind() {
    for age in [10, 29] {
        let (time, cache) = published();
        time.at(age);
        assert_eq!(cache.get_swr(&KEY, |_| Ok(2)), answer(1, age, Served::Stale), "at {age}");
        assert_eq!(cache.get_swr(&KEY, never), answer(2, 0, Served::Fresh));
        let stats = cache.stats();
        assert_eq!((stats.stale_hits, stats.hits, stats.refreshes, stats.loads), (1, 1, 1, 1));
    }
}

#[test]
fn get_swr_past_its_window_waits_as_get_does() {
    for age in [30, 49, 50] {
        let (time, cache) = published();
        time.at(age);
        assert_eq!(cache.get_swr(&KEY, |_| Ok(2)), answer(2, 0, Served::Fresh), "at {age}");
        assert_eq!(cache.stats().misses, 1);
    }
}

#[test]
fn a_failed_flight_is_covered_by_the_fallback_inside_its_window() {
    for age in [10, 49] {
        let (time, cache) = published();
        time.at(age);
        assert_eq!(cache.get_stale(&KEY, down), fallback(age));
    }
    let (time, cache) = published();
    time.at(30);
    assert_eq!(cache.get_swr(&KEY, down), fallback(30));
}

#[test]
fn a_failed_flight_past_the_window_is_the_error() {
    let (time, cache) = published();
    time.at(50);
    assert_eq!(cache.get_stale(&KEY, down), Err(fetch_error("down")));
    assert_eq!(cache.get_swr(&KEY, down), Err(fetch_error("down")));

    let (time, cache) = published_with_long_revalidation();
    time.at(30);
    assert_eq!(cache.get_stale(&KEY, down), Err(fetch_error("down")), "stale for get_swr alone");
    assert_eq!(cache.peek(&KEY), Some(Answer { value: 1, age: secs(30), state: Served::Stale }));
}

#[test]
fn the_fallback_is_decided_when_the_fetch_is_over() {
    let (time, cache) = published();
    time.at(49);
    let late = |_: &&'static str| {
        time.at(50);
        Err("down")
    };
    assert_eq!(cache.get_stale(&KEY, late), Err(fetch_error("down")));
}

#[test]
fn back_off_counts_from_the_end_of_the_attempt() {
    let (time, cache) = published();
    time.at(20);
    let slow = |_: &&'static str| {
        time.at(23);
        Err("down")
    };
    assert_eq!(cache.get_stale(&KEY, slow), fallback(23));
    time.at(27);
    assert_eq!(cache.get_stale(&KEY, never), backing_off(27, 1));
    assert_eq!(cache.get_swr(&KEY, never), backing_off(27, 1));
    time.at(28);
    assert_eq!(cache.get_stale(&KEY, |_| Ok(2)), answer(2, 0, Served::Fresh));
    assert_eq!(cache.stats().stale_hits, 2);
}

#[test]
fn back_off_ends_for_get_with_the_window_of_stale_if_error() {
    let (time, cache) = published();
    time.at(47);
    assert_eq!(cache.get_stale(&KEY, down), fallback(47));
    time.at(49);
    assert_eq!(cache.get_stale(&KEY, never), backing_off(49, 3));
    time.at(50);
    assert_eq!(cache.get_stale(&KEY, |_| Ok(2)), answer(2, 0, Served::Fresh));
}

#[test]
fn back_off_holds_for_get_swr_until_the_later_of_both_windows() {
    let (time, cache) = published_with_long_revalidation();
    time.at(28);
    assert_eq!(cache.get_swr(&KEY, down), answer(1, 28, Served::Stale));
    time.at(31);
    assert_eq!(cache.get_swr(&KEY, never), backing_off(31, 2), "past stale-if-error");
    let under_way = |_: &&'static str| {
        assert_eq!(cache.get_swr(&KEY, never), answer(1, 31, Served::Stale), "a new attempt");
        Err("down")
    };
    assert_eq!(cache.get_stale(&KEY, under_way), Err(fetch_error("down")), "no back-off for get");

    let (time, cache) = published();
    time.at(29);
    assert_eq!(cache.get_swr(&KEY, down), answer(1, 29, Served::Stale));
    time.at(31);
    assert_eq!(cache.get_swr(&KEY, never), backing_off(31, 3), "past stale-while-revalidate");
}

#[test]
fn an_absent_or_gone_value_is_loaded_while_the_caller_waits() {
    let (time, cache) = published();
    assert_eq!(cache.get_stale(&"other", |_| Ok(3)), answer(3, 0, Served::Fresh));
    assert_eq!(cache.get_swr(&"third", |_| Ok(4)), answer(4, 0, Served::Fresh));
    assert_eq!(cache.get_stale(&"fourth", down), Err(fetch_error("down")));
    assert_eq!(cache.get_stale(&"fourth", |_| Ok(5)), answer(5, 0, Served::Fresh), "no back-off");
    time.at(50);
    assert_eq!((cache.peek(&KEY), cache.ttl(&KEY)), (None, None));
    assert!(!cache.contains_key(&KEY));
    assert_eq!((cache.len(), cache.servable()), (4, 0));
    assert!(!cache.delete(&KEY), "gone is as good as absent");
}

#[test]
fn a_failed_refresh_moves_no_deadline() {
    let (time, cache) = published();
    for age in [10, 20, 29] {
        time.at(age);
        assert_eq!(cache.get_swr(&KEY, down), answer(1, age, Served::Stale));
        assert_eq!(cache.ttl(&KEY), Some(Ttl::Overdue(secs(age - 10))));
    }
    assert_eq!(cache.stats().failures, 3);
}

#[test]
fn the_lifetime_counts_from_the_end_of_the_load() {
    let (time, cache) = published();
    let slow = |_: &&'static str| {
        time.at(7);
        Ok(2)
    };
    assert_eq!(cache.get_stale(&"slow", slow), answer(2, 0, Served::Fresh));
    assert_eq!(cache.ttl(&"slow"), Some(Ttl::Left(secs(10))));
}

#[test]
fn a_zero_lifetime_serves_nothing_as_fresh() {
    let time = Seconds::default();
    let windows = settings(&time);
    let cache = Cache::new(Settings { ttl: Duration::ZERO, ..windows });
    assert_eq!(cache.get_stale(&KEY, |_| Ok(1)), answer(1, 0, Served::Stale));
    assert_eq!(cache.get_stale(&KEY, |_| Ok(2)), answer(2, 0, Served::Stale));
}

#[test]
fn a_maximal_duration_is_never() {
    let time = Seconds::default();
    let windows = settings(&time);
    let cache = Cache::new(Settings { ttl: Duration::MAX, ..windows });
    time.at(5);
    assert!(cache.set(KEY, 1));
    time.at(u64::MAX);
    assert_eq!(cache.get(&KEY, never), Ok(1));
    assert_eq!(cache.ttl(&KEY), Some(Ttl::Left(Duration::MAX)));

    let at_the_end: naive::Time = Arc::new(|| Duration::MAX);
    let cache = Cache::new(Settings { time: at_the_end, ..Settings::default() });
    assert!(cache.set(KEY, 1));
    assert_eq!(cache.get(&KEY, never), Ok(1), "not even then");
}

#[test]
fn exponential_back_off_doubles_up_to_its_cap_and_ends_with_a_success() {
    let time = Seconds::default();
    let back_off = BackOff::Exponential { first: secs(2), cap: secs(5) };
    let windows = settings(&time);
    let cache = Cache::new(Settings { back_off, stale_if_error: Duration::MAX, ..windows });
    for round in [0, 1000] {
        assert!(cache.set(KEY, 1));
        let mut now = round + 10;
        for delay in [2, 4, 5, 5] {
            time.at(now);
            assert_eq!(cache.get_stale(&KEY, down), fallback(now - round));
            time.at(now + delay - 1);
            assert_eq!(cache.get_stale(&KEY, never), backing_off(now - round + delay - 1, 1));
            now += delay;
        }
        time.at(1000);
    }
}

#[test]
fn a_propagated_error_masks_nothing_and_starts_no_back_off() {
    let (time, cache) = with_verdict(Verdict::Propagate);
    time.at(20);
    assert_eq!(cache.get_stale(&KEY, down), Err(fetch_error("down")));
    assert_eq!(cache.peek(&KEY), Some(Answer { value: 1, age: secs(20), state: Served::Stale }));
    assert_eq!(cache.get_stale(&KEY, |_| Ok(2)), answer(2, 0, Served::Fresh));
}

#[test]
fn a_removing_error_takes_the_stale_value_with_it() {
    let (time, cache) = with_verdict(Verdict::Remove);
    time.at(20);
    assert_eq!(cache.get_stale(&KEY, down), Err(fetch_error("down")));
    assert_eq!((cache.peek(&KEY), cache.len()), (None, 0));

    let (time, cache) = with_verdict(Verdict::Remove);
    time.at(20);
    assert_eq!(cache.get_swr(&KEY, down), answer(1, 20, Served::Stale));
    assert_eq!(cache.get_swr(&KEY, |_| Ok(2)), answer(2, 0, Served::Fresh));
}

fn with_verdict(verdict: Verdict) -> (Seconds, Cache) {
    let time = Seconds::default();
    let windows = settings(&time);
    let meaning = match verdict {
        Verdict::ServeStale => |_: &&'static str| Verdict::ServeStale,
        Verdict::Propagate => |_: &&'static str| Verdict::Propagate,
        Verdict::Remove => |_: &&'static str| Verdict::Remove,
    };
    let cache = Cache::new(Settings { verdict: meaning, ..windows });
    assert!(cache.set(KEY, 1));
    (time, cache)
}

#[test]
fn a_set_during_a_load_wins_and_is_what_the_leader_gets() {
    let (time, cache) = published();
    for result in [Ok(2), Err("down")] {
        time.at(20);
        cache.delete(&KEY);
        let overtaken = |_: &&'static str| {
            assert!(cache.set(KEY, 3));
            result
        };
        assert_eq!(cache.get_stale(&KEY, overtaken), answer(3, 0, Served::Fresh));
        assert_eq!(cache.get(&KEY, never), Ok(3));
    }
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.late_loads, stats.failures), (1, 1, 1));
}

#[test]
fn a_load_that_was_deleted_or_cleared_is_answered_but_not_stored() {
    let cuts: [fn(&Cache); 2] = [|cache| assert!(cache.delete(&KEY)), Cache::clear];
    for cut in cuts {
        let (time, cache) = published();
        time.at(20);
        let cut_off = |_: &&'static str| {
            cut(&cache);
            Ok(2)
        };
        assert_eq!(cache.get_stale(&KEY, cut_off), answer(2, 0, Served::Fresh));
        assert_eq!((cache.len(), cache.stats().late_loads), (0, 1));
    }
}

#[test]
fn a_deleted_value_is_no_fallback() {
    let (time, cache) = published();
    time.at(20);
    let cut_off = |_: &&'static str| {
        assert!(cache.delete(&KEY));
        assert!(cache.set(KEY, 9));
        Err("down")
    };
    assert_eq!(cache.get_stale(&KEY, cut_off), Err(fetch_error("down")));
    assert_eq!(cache.get(&KEY, never), Ok(9), "the later value has no back-off");
}

#[test]
fn a_fetch_that_would_wait_for_itself_is_refused_or_served_the_stale_value() {
    let (time, cache) = published();
    let cold = |key: &&'static str| {
        assert_eq!(cache.get_stale(key, never), Err(Error::Reentrant));
        cache.get(&"other", |_| Ok(7)).map_err(|_| "other keys are fine")
    };
    assert_eq!(cache.get(&"cold", cold), Ok(7));
    time.at(20);
    let stale = |_: &&'static str| {
        let state = Served::Fallback { error: Error::Reentrant };
        assert_eq!(cache.get_stale(&KEY, never), answer(1, 20, state));
        assert_eq!(cache.get_swr(&KEY, never), answer(1, 20, Served::Stale));
        Ok(8)
    };
    assert_eq!(cache.get(&KEY, stale), Ok(8));
}

#[test]
fn a_panic_goes_on_in_its_own_caller_and_starts_the_back_off() {
    let (time, cache) = published();
    time.at(20);
    let call = std::panic::AssertUnwindSafe(|| cache.get(&KEY, |_| panic!("in the fetch")));
    assert!(std::panic::catch_unwind(call).is_err());
    let state = Served::BackOff { error: Error::Panicked, retry_in: secs(5) };
    assert_eq!(cache.get_stale(&KEY, never), answer(1, 20, state));
    time.at(25);
    assert_eq!(
        cache.get_swr(&KEY, |_| panic!("in the background")),
        answer(1, 25, Served::Stale),
        "a background panic harms nobody"
    );
    assert_eq!((cache.stats().failures, cache.stats().panics), (2, 2));
}

#[test]
fn iteration_gives_every_servable_value_and_may_be_stopped() {
    let (time, cache) = published();
    time.at(40);
    assert!(cache.set("young", 2));
    let mut all: Vec<_> = cache.iter().collect();
    all.sort_unstable_by_key(|(key, ..)| *key);
    assert_eq!(all, [(KEY, 1, Ttl::Overdue(secs(30))), ("young", 2, Ttl::Left(secs(10)))]);
    let mut calls = 0;
    cache.range(|key, _, _| {
        calls += 1;
        cache.delete(key);
        false
    });
    assert_eq!((calls, cache.len()), (1, 1));
}

#[test]
fn the_capacity_is_never_exceeded_and_gone_values_are_no_evictions() {
    let time = Seconds::default();
    let cache: Naive<u32, u32, &str> = Naive::new(Settings { capacity: 10, ..settings(&time) });
    for key in 0..100 {
        assert!(cache.set(key, key));
        assert!(cache.len() <= 10);
        assert_eq!(cache.get(&key, |_| Err("evicted at once")), Ok(key));
    }
    assert_eq!((cache.len(), cache.stats().evictions), (10, 90));
    time.at(50);
    for key in 100..110 {
        assert!(cache.set(key, key));
    }
    assert_eq!((cache.len(), cache.servable(), cache.stats().evictions), (10, 10, 90));
}

#[test]
fn a_value_in_flight_is_not_evicted() {
    let time = Seconds::default();
    let cache: Naive<u32, u32, &str> = Naive::new(Settings { capacity: 1, ..settings(&time) });
    assert!(cache.set(1, 10));
    time.at(20);
    let crowded = |_: &u32| {
        assert!(!cache.set(2, 20), "no room beside a flight");
        Err("down")
    };
    assert_eq!(cache.get(&1, crowded), Ok(10));
    assert_eq!((cache.peek(&2), cache.stats().not_stored), (None, 1));
    assert!(cache.set(2, 20), "room again after the flight");
}

#[test]
fn joiners_share_the_one_fetch_of_a_burst() {
    let (_, cache) = published();
    let (led, gate) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        let leader = scope.spawn(|| {
            cache.get(&"cold", |_| {
                led.wait();
                gate.wait();
                Ok(2)
            })
        });
        led.wait();
        let joiners: Vec<_> = (0..4).map(|_| scope.spawn(|| cache.get(&"cold", never))).collect();
        until(|| cache.stats().joins == 4);
        gate.wait();
        for caller in joiners.into_iter().chain([leader]) {
            assert_eq!(caller.join().expect("no panic"), Ok(2));
        }
    });
    assert_eq!((cache.stats().loads, cache.stats().misses), (1, 5));
}

#[test]
fn a_set_wakes_joiners_at_once_with_its_value() {
    let (_, cache) = published();
    let (led, gate) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        let leader = scope.spawn(|| {
            cache.get(&"cold", |_| {
                led.wait();
                gate.wait();
                Ok(2)
            })
        });
        led.wait();
        let joiner = scope.spawn(|| cache.get(&"cold", never));
        until(|| cache.stats().joins == 1);
        assert!(cache.set("cold", 3));
        assert_eq!(joiner.join().expect("no panic"), Ok(3), "while the fetch still hangs");
        gate.wait();
        assert_eq!(leader.join().expect("no panic"), Ok(3));
    });
}

#[test]
fn a_caller_who_must_wait_takes_a_queued_refresh_over() {
    let (cache, open) = with_one_busy_thread(2);
    assert_eq!(cache.get_swr(&"second", never), answer(1, 20, Served::Stale));
    assert_eq!(cache.get_swr(&"second", never), answer(1, 20, Served::Stale), "queued once");
    assert_eq!(cache.get_swr(&"third", |_| Ok(3)), answer(1, 20, Served::Stale));
    assert_eq!(cache.stats().queued, 2);
    let until_the_queue_is_empty = |_: &&'static str| {
        open.send(()).expect("the refresh waits for it");
        until(|| cache.stats().loads == 2);
        Ok(5)
    };
    assert_eq!(cache.get(&"second", until_the_queue_is_empty), Ok(5));
    let stats = cache.stats();
    assert_eq!((stats.refreshes, stats.loads, stats.panics), (2, 3, 0));
}

#[test]
fn a_refresh_that_found_no_room_is_tried_again_by_the_next_stale_read() {
    let (cache, open) = with_one_busy_thread(1);
    assert_eq!(cache.get_swr(&"second", |_| Ok(2)), answer(1, 20, Served::Stale));
    assert_eq!(cache.get_swr(&"third", never), answer(1, 20, Served::Stale));
    assert_eq!((cache.stats().queued, cache.stats().skipped), (1, 1));
    open.send(()).expect("the refresh waits for it");
    until(|| cache.stats().loads == 2);
    assert_eq!(cache.get_swr(&"third", |_| Ok(3)), answer(1, 20, Served::Stale));
    until(|| cache.stats().loads == 3);
    assert_eq!(cache.get(&"third", never), Ok(3));
}

/// Three stale values, one thread that refreshes the first until told to go on, and a queue.
fn with_one_busy_thread(queue: usize) -> (Cache, mpsc::Sender<()>) {
    let time = Seconds::default();
    let background = Background::Threads { most: 1, queue };
    let cache = Cache::new(Settings { background, ..settings(&time) });
    for key in ["first", "second", "third"] {
        assert!(cache.set(key, 1));
    }
    time.at(20);
    let (open, gate) = mpsc::channel::<()>();
    let hung = move |_: &&'static str| {
        gate.recv().map_err(|_| "gate")?;
        Ok(2)
    };
    assert_eq!(cache.get_swr(&"first", hung), answer(1, 20, Served::Stale));
    until(|| cache.stats().refreshes == 1);
    (cache, open)
}

fn until(happened: impl Fn() -> bool) {
    while !happened() {
        thread::yield_now();
    }
}

#[test]
fn a_closed_cache_starts_no_refresh_but_goes_on_loading() {
    let (time, cache) = published();
    cache.close();
    time.at(20);
    assert_eq!(cache.get_swr(&KEY, never), answer(1, 20, Served::Stale));
    assert_eq!(cache.get(&KEY, |_| Ok(2)), Ok(2));
}
