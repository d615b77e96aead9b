//! What a caller is served: held for long, by many, across threads, and after the cache is gone.

#[path = "support/controlled.rs"]
mod controlled;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use controlled::{Cache, Error, GONE, STALE, Served, Source, builder, ended, go, never, secs};
use lastcache::{BackOff, CallerRuns, ManualClock, State};

/// A value that counts how many of it live.
#[derive(Debug)]
struct Living(u32, Arc<AtomicUsize>);

impl Living {
    fn new(n: u32, living: &Arc<AtomicUsize>) -> Self {
        living.fetch_add(1, SeqCst);
        Living(n, Arc::clone(living))
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        self.1.fetch_sub(1, SeqCst);
    }
}

const REFRESHES: u32 = 200_000;

/// Holds one value over so many replacements, each made by `replace`, on a small stack.
fn held_over(
    replace: impl Fn(&Cache<Living>, &ManualClock, u32, Arc<AtomicUsize>) + Send + 'static,
) {
    let small = thread::Builder::new().stack_size(64 * 1024);
    let all = small.spawn(move || {
        let living = Arc::new(AtomicUsize::new(0));
        let clock = ManualClock::new();
        let cache = builder::<Living>(&clock).executor(CallerRuns).build().expect("they agree");
        cache.set(1, Living::new(0, &living));
        clock.set(STALE);
        let held = cache.get_swr(&1, |_| Err("down")).expect("stale");
        for n in 1..=REFRESHES {
            replace(&cache, &clock, n, Arc::clone(&living));
            let living = living.load(SeqCst);
            assert_eq!(living, 2, "the held one and the published one, after {n} replacements");
        }
        assert_eq!((held.0, cache.peek(&1).expect("there").0), (0, REFRESHES));
        cache.delete(&1);
        assert_eq!(living.load(SeqCst), 1, "the held one");
        drop(held);
        assert_eq!(living.load(SeqCst), 0);
    });
    all.expect("a thread starts").join().expect("no chain is dropped by recursion");
}

#[test]
fn a_value_held_over_200_000_background_refreshes_keeps_only_itself_alive() {
    held_over(|cache, clock, n, living| {
        clock.advance(STALE);
        let served = cache.get_swr(&1, move |_| Ok(Living::new(n, &living))).expect("stale");
        assert_eq!(served.0, n - 1);
    });
}

#[test]
fn a_value_held_over_200_000_foreground_refreshes_keeps_only_itself_alive() {
    held_over(|cache, clock, n, living| {
        clock.advance(STALE);
        let served = cache.get_stale(&1, |_| Ok(Living::new(n, &living))).expect("loaded");
        assert_eq!(served.0, n);
    });
}

#[test]
fn a_value_held_over_200_000_sets_keeps_only_itself_alive() {
    held_over(|cache, _, n, living| assert!(cache.set(1, Living::new(n, &living))));
}

#[test]
fn a_value_held_over_sets_that_end_its_key_s_flights_keeps_only_itself_alive() {
    let living = Arc::new(AtomicUsize::new(0));
    let clock = ManualClock::new();
    let jobs = controlled::Collected::default();
    let cache = builder::<Living>(&clock).executor(jobs.clone()).build().expect("they agree");
    cache.set(1, Living::new(0, &living));
    clock.set(STALE);
    let held = cache.get_swr(&1, never).expect("stale");
    for n in 1..10_000 {
        // A refresh is under way; the set ends it with its own value.
        assert!(cache.set(1, Living::new(n, &living)));
        drop(jobs.next());
        clock.advance(STALE);
        drop(cache.get_swr(&1, never).expect("stale"));
        // The one held, the outcome of the flight it started, and the one published.
        assert_eq!(living.load(SeqCst), if n == 1 { 2 } else { 3 }, "after {n} sets");
        if n == 1 {
            assert!(ended(held.refresh().expect("the flight it started")).is_ok());
        }
    }
    drop(jobs.next());
    drop(held);
    assert_eq!(living.load(SeqCst), 1);
}

#[test]
fn a_value_held_over_200_000_failures_and_refreshes_keeps_only_itself_alive() {
    held_over(|cache, clock, n, living| {
        clock.advance(STALE);
        let served = cache.get_stale(&1, |_| Err("down")).expect("the fallback");
        assert!(served.error().is_some());
        assert!(cache.get_stale(&1, |_| Ok(Living::new(n, &living))).is_ok());
    });
}

#[test]
fn a_chain_of_values_each_held_until_the_next_comes_keeps_two_alive() {
    let living = Arc::new(AtomicUsize::new(0));
    let clock = ManualClock::new();
    let cache = builder::<Living>(&clock).executor(CallerRuns).build().expect("they agree");
    cache.set(1, Living::new(0, &living));
    let mut held = cache.peek(&1).expect("there");
    for n in 1..1_000 {
        clock.advance(STALE);
        let theirs = Arc::clone(&living);
        held = cache.get_swr(&1, move |_| Ok(Living::new(n, &theirs))).expect("stale");
        assert_eq!((held.0, living.load(SeqCst)), (n - 1, 2));
    }
    drop(held);
    assert_eq!(living.load(SeqCst), 1);
}

#[test]
fn whoever_started_a_refresh_keeps_what_it_brought_alive_too_and_nothing_later() {
    let living = Arc::new(AtomicUsize::new(0));
    let clock = ManualClock::new();
    let cache = builder::<Living>(&clock).executor(CallerRuns).build().expect("they agree");
    cache.set(1, Living::new(0, &living));
    clock.set(STALE);
    let theirs = Arc::clone(&living);
    let held = cache.get_swr(&1, move |_| Ok(Living::new(1, &theirs))).expect("stale");
    let peeked = cache.peek(&1).expect("refreshed");
    for n in 2..100 {
        cache.set(1, Living::new(n, &living));
        assert_eq!(living.load(SeqCst), 3, "the held one, the refresh's, and the published one");
    }
    drop(cache);
    assert_eq!((held.0, peeked.0, living.load(SeqCst)), (0, 1, 2));
    drop(peeked);
    assert_eq!(living.load(SeqCst), 2, "the refresh's is kept by who started it");
    drop(held);
    assert_eq!(living.load(SeqCst), 0);
}

#[test]
fn a_refresh_handle_keeps_the_outcome_alive_and_nothing_more() {
    let living = Arc::new(AtomicUsize::new(0));
    let clock = ManualClock::new();
    let cache = builder::<Living>(&clock).executor(CallerRuns).build().expect("they agree");
    cache.set(1, Living::new(0, &living));
    clock.set(STALE);
    let theirs = Arc::clone(&living);
    let served = cache.get_swr(&1, move |_| Ok(Living::new(1, &theirs))).expect("stale");
    let handle = served.refresh().expect("started");
    drop(served);
    for n in 2..100 {
        cache.set(1, Living::new(n, &living));
        assert_eq!(living.load(SeqCst), 2, "the outcome and the published one");
    }
    drop(cache);
    assert_eq!(living.load(SeqCst), 1, "the outcome");
    drop(handle);
    assert_eq!(living.load(SeqCst), 0);
}

#[test]
fn a_hundred_values_can_be_held_by_one_thread() {
    let living = Arc::new(AtomicUsize::new(0));
    let clock = ManualClock::new();
    let cache = builder::<Living>(&clock).build().expect("the settings agree");
    for key in 0..200 {
        cache.set(key, Living::new(key, &living));
    }
    let mut held: Vec<Served<Living>> = Vec::new();
    for key in 0..100 {
        held.push(cache.get_stale(&key, never).expect("fresh"));
    }
    for key in 0..200 {
        cache.set(key, Living::new(1_000 + key, &living));
    }
    assert_eq!(living.load(SeqCst), 300, "those held and those published");
    for (key, served) in (0..).zip(&held) {
        assert_eq!((served.0, *served.key()), (key, key));
        assert_eq!(cache.get_stale(&key, never).expect("fresh").0, 1_000 + key);
    }
    // Not in the order in which they were taken.
    while !held.is_empty() {
        drop(held.swap_remove(held.len() / 2));
    }
    assert_eq!(living.load(SeqCst), 200);
    drop(cache);
    assert_eq!(living.load(SeqCst), 0);
}

#[test]
fn a_served_value_goes_to_other_threads_and_outlives_the_one_that_asked() {
    let living = Arc::new(AtomicUsize::new(0));
    let clock = ManualClock::new();
    let cache = builder::<Living>(&clock).build().expect("the settings agree");
    for key in 0..32 {
        cache.set(key, Living::new(key, &living));
    }
    // Asked for on one thread, which ends; read on two at once; dropped on a third.
    let asking = cache.clone();
    let served: Vec<_> = go(move || {
        (0..32).map(|key| asking.get_stale(&key, never).expect("fresh")).collect::<Vec<_>>()
    })
    .end();
    cache.clear();
    assert_eq!(living.load(SeqCst), 32, "those held");
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for (key, served) in (0..).zip(&served) {
                    assert_eq!((served.0, served.is_stale()), (key, false));
                }
            });
        }
    });
    go(move || drop(served)).end();
    assert_eq!(living.load(SeqCst), 0);
}

#[test]
fn a_served_value_works_after_its_cache_is_gone() {
    let clock = ManualClock::new();
    let cache = builder::<String>(&clock).build().expect("the settings agree");
    cache.set(1, "one".to_owned());
    clock.set(secs(4));
    let fresh = cache.get_stale(&1, never).expect("fresh");
    let loaded = cache.get_stale(&2, |_| Ok("two".to_owned())).expect("loaded");
    clock.set(STALE);
    let fallback = cache.get_stale(&1, |_| Err("down")).expect("the fallback");
    let peeked = cache.peek(&1).expect("stale");
    drop(cache);
    assert_eq!((fresh.as_str(), *fresh.key(), fresh.age()), ("one", 1, secs(4)));
    assert_eq!((loaded.as_str(), *loaded.key(), loaded.age()), ("two", 2, secs(0)));
    assert!(matches!(fresh.state(), State::Fresh) && !fresh.is_stale());
    assert_eq!(fallback.error().expect("flagged").fetch_error(), Some(&"down"));
    assert!(matches!(peeked.state(), State::Stale) && peeked.refresh().is_none());
    assert!(ended(fallback.refresh().expect("the flight it led")).is_err());
}

#[test]
fn age_and_state_are_those_of_the_moment_of_answering() {
    let clock = ManualClock::new();
    let back_off = BackOff::fixed(secs(5));
    let cache = builder::<u32>(&clock).back_off(back_off).build().expect("they agree");
    cache.set(1, 10);
    clock.set(secs(9));
    let fresh = cache.get_stale(&1, never).expect("fresh");
    clock.set(STALE);
    let fallback = cache.get_stale(&1, |_| Err("down")).expect("the fallback");
    clock.set(secs(12));
    let backing_off = cache.get_stale(&1, never).expect("in back-off");
    let swr = cache.get_swr(&1, never).expect("in back-off too");
    clock.set(secs(15));
    let source = Source::new();
    let stale = cache.get_swr(&1, source.fetch()).expect("stale");
    source.started().succeed(11);
    assert!(ended(stale.refresh().expect("started")).is_ok());
    clock.set(GONE + GONE);

    assert_eq!((*fresh, fresh.age()), (10, secs(9)));
    assert!(matches!(fresh.state(), State::Fresh) && !fresh.is_stale() && fresh.error().is_none());

    assert_eq!((*fallback, fallback.age()), (10, secs(10)));
    assert!(matches!(fallback.state(), State::Fallback { error: Error::Fetch(_) }));
    assert!(fallback.is_stale());
    assert_eq!(fallback.error().expect("flagged").fetch_error(), Some(&"down"));

    for served in [backing_off, swr] {
        assert_eq!((*served, served.age()), (10, secs(12)));
        let State::BackOff { error, retry_in } = served.state() else { panic!("{served:?}") };
        assert_eq!((error.fetch_error(), retry_in), (Some(&"down"), secs(3)));
        assert!(served.is_stale() && served.error().is_some());
        let refused_by = served.refresh().expect("the flight it was refused by");
        assert_eq!(refused_by.wait().expect_err("it failed").fetch_error(), Some(&"down"));
    }

    assert_eq!((*stale, stale.age()), (10, secs(15)));
    assert!(matches!(stale.state(), State::Stale) && stale.is_stale() && stale.error().is_none());
}

#[test]
fn a_joiner_is_served_as_of_its_own_answer() {
    let clock = ManualClock::new();
    let cache = builder::<u32>(&clock).build().expect("the settings agree");
    let source = Source::new();
    let (theirs, fetches) = (cache.clone(), Arc::clone(&source));
    let leader = go(move || theirs.get_stale(&1, fetches.fetch()).expect("loaded"));
    let run = source.started();
    let theirs = cache.clone();
    let joiner = go(move || theirs.get_stale(&1, never).expect("loaded"));
    controlled::until("it joins", || cache.stats().joins == 1);
    clock.set(secs(7));
    run.succeed(5);
    for served in [leader.end(), joiner.end()] {
        assert_eq!((*served, *served.key(), served.age()), (5, 1, secs(0)), "its load ended now");
        assert!(matches!(served.state(), State::Fresh));
    }
}

#[test]
fn what_it_is_can_be_printed() {
    let clock = ManualClock::new();
    let cache = builder::<u32>(&clock).build().expect("the settings agree");
    cache.set(1, 4_711);
    clock.set(STALE);
    let served = cache.get_stale(&1, |_| Err("down")).expect("the fallback");
    let printed = format!("{served:?}");
    for part in ["4711", "10s", "Fallback", "down"] {
        assert!(printed.contains(part), "{part} in {printed}");
    }
}

#[test]
fn a_value_that_cannot_be_cloned_is_served_in_place() {
    let clock = ManualClock::new();
    let living = Arc::new(AtomicUsize::new(0));
    let cache = builder::<Living>(&clock).build().expect("the settings agree");
    let first = cache.get_stale(&1, |_| Ok(Living::new(1, &living))).expect("loaded");
    let second = cache.get_stale(&1, never).expect("fresh");
    let peeked = cache.peek(&1).expect("fresh");
    assert!(std::ptr::eq(&*first, &*second) && std::ptr::eq(&*first, &*peeked));
    assert_eq!(living.load(SeqCst), 1);
}
