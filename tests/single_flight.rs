//! One flight per key: however many callers, one fetch, one outcome, and nobody waits for himself.

#[path = "support/controlled.rs"]
mod controlled;

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;

use controlled::{
    Cache, Collected, Dice, Error, Failure, GONE, Going, OVERDUE, PATIENCE, Run, STALE, Served,
    Source, builder, go, never, scaled, until,
};
use lastcache::{BackOff, CallerRuns, ManualClock, RefreshHandle, State};

const CALLERS: usize = 64;

/// The cache of [`builder`], with 10 published under 1 at second 0.
fn holding(clock: &ManualClock) -> Cache {
    let cache = builder(clock).build().expect("the settings agree");
    assert!(cache.set(1, 10));
    cache
}

/// Sends so many callers off for key 1 at once; comes back when one leads and all others have joined.
fn crowd<T: Send + 'static>(
    cache: &Cache,
    source: &Arc<Source>,
    call: impl Fn(&Cache, &Source) -> T + Send + Sync + 'static,
) -> (Run<u32>, Vec<Going<T>>) {
    let call = Arc::new(call);
    let gate = Arc::new(Barrier::new(CALLERS));
    let before = cache.stats().joins;
    let callers = (0..CALLERS)
        .map(|_| {
            let (cache, source) = (cache.clone(), Arc::clone(source));
            let (gate, call) = (Arc::clone(&gate), Arc::clone(&call));
            go(move || {
                gate.wait();
                call(&cache, &source)
            })
        })
        .collect();
    let run = source.started();
    until("all but the leader join", || cache.stats().joins - before == CALLERS as u64 - 1);
    (run, callers)
}

/// Runs `f` on a thread of its own: a call that waits for itself fails its test instead of hanging it.
fn bounded(f: impl FnOnce() + Send + 'static) {
    go(f).end();
}

fn is_fallback(served: &Served, with: impl Fn(&Error) -> bool) -> bool {
    matches!(served.state(), State::Fallback { error } if with(&error))
}

#[test]
fn sixty_four_callers_of_a_cold_key_run_one_fetch() {
    let clock = ManualClock::new();
    let cache = builder(&clock).build().expect("the settings agree");
    let source = Source::new();
    let (run, callers) = crowd(&cache, &source, |cache, source| cache.get(&1, source.fetch()));
    run.succeed(7);
    for caller in callers {
        assert_eq!(caller.end().expect("loaded"), 7);
    }
    assert_eq!(source.begun(), 1);
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.stale_hits, stats.misses), (0, 0, CALLERS as u64));
    assert_eq!((stats.loads, stats.joins), (1, CALLERS as u64 - 1));
    assert_eq!(cache.get(&1, never).expect("it is there"), 7);
}

#[test]
fn sixty_four_callers_of_a_stale_key_run_one_fetch() {
    let clock = ManualClock::new();
    let cache = holding(&clock);
    clock.set(STALE);
    let source = Source::new();
    let (run, callers) = crowd(&cache, &source, |cache, source| {
        cache.get_stale(&1, source.fetch()).map(|served| (*served, served.is_stale()))
    });
    run.succeed(11);
    for caller in callers {
        assert_eq!(caller.end().expect("loaded"), (11, false));
    }
    assert_eq!(source.begun(), 1);
}

#[test]
fn all_of_a_cold_flight_share_one_error_and_none_tries_again() {
    let clock = ManualClock::new();
    let cache = builder(&clock).build().expect("the settings agree");
    let source = Source::new();
    let (run, callers) = crowd(&cache, &source, |cache, source| cache.get(&1, source.fetch()));
    run.fail("down");
    let mut errors = callers.into_iter().map(|caller| match caller.end() {
        Err(Error::Fetch(error)) => error,
        other => panic!("expected the fetch's error: {other:?}"),
    });
    let first = errors.next().expect("there are callers");
    assert_eq!(*first, "down");
    assert!(errors.all(|error| Arc::ptr_eq(&first, &error)), "one error for all");
    assert_eq!(source.begun(), 1, "nobody ran a fetch of his own after the failure");
    assert_eq!((cache.stats().loads, cache.stats().failures), (0, 1));
}

#[test]
fn all_of_a_stale_flight_share_one_error_behind_their_fallback() {
    let clock = ManualClock::new();
    let cache = holding(&clock);
    clock.set(STALE);
    let source = Source::new();
    let (run, callers) =
        crowd(&cache, &source, |cache, source| cache.get_stale(&1, source.fetch()));
    run.fail("down");
    let errors: Vec<_> = callers
        .into_iter()
        .map(|caller| {
            let served = caller.end().expect("the old value");
            assert_eq!(*served, 10);
            match served.state() {
                State::Fallback { error: Error::Fetch(error) } => error,
                other => panic!("expected a fallback: {other:?}"),
            }
        })
        .collect();
    assert!(errors.iter().all(|error| Arc::ptr_eq(&errors[0], error)), "one error for all");
    assert_eq!(source.begun(), 1, "nobody ran a fetch of his own after the failure");
}

#[test]
fn a_cold_key_is_free_again_after_its_flight_failed() {
    let clock = ManualClock::new();
    let cache = builder(&clock).back_off(BackOff::fixed(STALE)).build().expect("they agree");
    for attempt in 1..=3 {
        let source = Source::new();
        let (run, callers) = crowd(&cache, &source, |cache, source| cache.get(&1, source.fetch()));
        run.fail("down");
        assert!(callers.into_iter().all(|caller| caller.end().is_err()));
        assert_eq!((source.begun(), cache.stats().failures), (1, attempt));
        assert!(cache.peek(&1).is_none() && cache.is_empty());
    }
    assert_eq!(cache.get(&1, |_| Ok(5)).expect("up again: no back-off without a value"), 5);
}

#[test]
fn a_panic_unwinds_in_the_leader_and_is_an_error_to_those_who_joined() {
    let clock = ManualClock::new();
    let cache = builder(&clock).build().expect("the settings agree");
    let source = Source::new();
    let (run, callers) = crowd(&cache, &source, |cache, source| cache.get(&1, source.fetch()));
    run.panic("boom");
    let outcomes: Vec<_> = callers.into_iter().map(Going::outcome).collect();
    let (unwound, told): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_err);
    assert_eq!(unwound.len(), 1, "the leader only");
    for panic in unwound.into_iter().filter_map(Result::err) {
        assert_eq!(controlled::message(&*panic), "boom");
    }
    let panicked = |outcome| matches!(outcome, Ok(Err(Error::Panicked)));
    assert!(told.into_iter().all(panicked));
    assert_eq!((cache.stats().failures, cache.stats().panics), (1, 1));
    assert_eq!(cache.get(&1, |_| Ok(5)).expect("the key is free"), 5);
}

#[test]
fn a_panic_over_a_stale_value_is_a_fallback_to_those_who_joined() {
    let clock = ManualClock::new();
    let cache = holding(&clock);
    clock.set(STALE);
    let source = Source::new();
    let (run, callers) =
        crowd(&cache, &source, |cache, source| cache.get_stale(&1, source.fetch()));
    run.panic("boom");
    let (unwound, told): (Vec<_>, Vec<_>) =
        callers.into_iter().map(Going::outcome).partition(Result::is_err);
    assert_eq!(unwound.len(), 1, "the leader only");
    for outcome in told {
        let served = outcome.expect("partitioned").expect("the old value");
        assert!(*served == 10 && is_fallback(&served, |error| matches!(error, Error::Panicked)));
    }
    assert_eq!(cache.get(&1, |_| Ok(5)).expect("the key is free"), 5);
}

/// A way to have a load of key 1 under way.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    Get,
    GetWith,
    GetStale,
    GetSwr,
}

const CALLS: [Call; 4] = [Call::Get, Call::GetWith, Call::GetStale, Call::GetSwr];

fn call(cache: &Cache, source: &Source, call: Call) -> Result<u32, Error> {
    match call {
        Call::Get => cache.get(&1, source.fetch()),
        Call::GetWith => cache.get_with(&1, |value| *value, source.fetch()),
        Call::GetStale => cache.get_stale(&1, source.fetch()).map(|served| *served),
        Call::GetSwr => cache.get_swr(&1, source.fetch()).map(|served| *served),
    }
}

fn going(cache: &Cache, source: &Arc<Source>, how: Call) -> Going<Result<u32, Error>> {
    let (cache, source) = (cache.clone(), Arc::clone(source));
    go(move || call(&cache, &source, how))
}

#[test]
fn every_call_joins_the_flight_that_any_other_call_leads() {
    // Cold, and past the window in which `get_swr` need not wait: then it leads and joins like the rest.
    for (at, stored) in [(STALE, false), (OVERDUE, true), (GONE, true)] {
        for leader in CALLS {
            for joiner in CALLS {
                let clock = ManualClock::new();
                let cache = builder(&clock).build().expect("the settings agree");
                if stored {
                    assert!(cache.set(1, 10));
                }
                clock.set(at);
                let source = Source::new();
                let first = going(&cache, &source, leader);
                let run = source.started();
                let second = going(&cache, &source, joiner);
                until("the second joins", || cache.stats().joins == 1);
                run.succeed(11);
                let got = (first.end().expect("loaded"), second.end().expect("loaded"));
                assert_eq!(got, (11, 11), "{leader:?} led, {joiner:?} joined");
                assert_eq!(source.begun(), 1, "{leader:?} led, {joiner:?} joined");
            }
        }
    }
}

#[test]
fn every_call_shares_the_flight_of_a_background_refresh() {
    for joiner in CALLS {
        let clock = ManualClock::new();
        let cache = holding(&clock);
        clock.set(STALE);
        let source = Source::new();
        assert_eq!(call(&cache, &source, Call::GetSwr).expect("stale"), 10);
        let run = source.started();
        let second = going(&cache, &source, joiner);
        if joiner == Call::GetSwr {
            assert_eq!(second.end().expect("at once"), 10);
            run.succeed(11);
        } else {
            until("the second joins", || cache.stats().joins == 1);
            run.succeed(11);
            assert_eq!(second.end().expect("loaded"), 11);
        }
        assert_eq!(source.begun(), 1, "{joiner:?}");
        assert_eq!(cache.stats().refreshes, 1);
    }
}

#[test]
fn a_stale_read_starts_no_refresh_while_a_foreground_load_is_under_way() {
    for leader in [Call::Get, Call::GetWith, Call::GetStale] {
        let clock = ManualClock::new();
        let cache = holding(&clock);
        clock.set(STALE);
        let source = Source::new();
        let first = going(&cache, &source, leader);
        let run = source.started();
        let served = cache.get_swr(&1, source.fetch()).expect("at once");
        assert!(*served == 10 && matches!(served.state(), State::Stale));
        let refresh = served.refresh().expect("the foreground load is under way");
        assert!(!refresh.is_done());
        run.succeed(11);
        assert!(matches!(refresh.wait_timeout(PATIENCE), Some(Ok(()))));
        assert_eq!(first.end().expect("loaded"), 11);
        assert_eq!((source.begun(), cache.stats().refreshes), (1, 0), "{leader:?}");
    }
}

#[test]
fn whoever_must_wait_takes_over_a_refresh_that_is_only_queued() {
    for (taker, at) in CALLS.map(|taker| (taker, STALE)) {
        if taker == Call::GetSwr {
            continue; // It need not wait.
        }
        let clock = ManualClock::new();
        let jobs = Collected::default();
        let cache = builder(&clock).executor(jobs.clone()).build().expect("the settings agree");
        cache.set(1, 10);
        clock.set(at);
        let queued = cache.get_swr(&1, never).expect("stale");
        let refresh = queued.refresh().expect("this call queued it");
        let source = Source::new();
        let first = going(&cache, &source, taker);
        let run = source.started();
        let second = going(&cache, &source, taker);
        until("the second joins the flight that was taken over", || cache.stats().joins == 1);
        jobs.next().run();
        assert!(!refresh.is_done(), "the queued job does nothing: its flight has another leader");
        run.succeed(11);
        assert_eq!(first.end().expect("loaded"), 11);
        assert_eq!(second.end().expect("loaded"), 11);
        assert!(matches!(refresh.wait_timeout(PATIENCE), Some(Ok(()))), "the same flight");
        assert_eq!((source.begun(), cache.stats().refreshes), (1, 0), "{taker:?}");
        assert_eq!(cache.peek(&1).as_deref(), Some(&11));
    }
}

#[test]
fn a_job_dropped_after_its_flight_was_taken_over_harms_nobody() {
    let clock = ManualClock::new();
    let jobs = Collected::default();
    let cache = builder(&clock).executor(jobs.clone()).build().expect("the settings agree");
    cache.set(1, 10);
    clock.set(STALE);
    drop(cache.get_swr(&1, never).expect("stale"));
    let source = Source::new();
    let first = going(&cache, &source, Call::Get);
    let run = source.started();
    drop(jobs.next());
    let second = going(&cache, &source, Call::Get);
    until("the second joins", || cache.stats().joins == 1);
    run.succeed(11);
    assert_eq!((first.end().expect("loaded"), second.end().expect("loaded")), (11, 11));
    assert_eq!(source.begun(), 1);
}

#[test]
fn a_cold_miss_needs_no_permit() {
    let clock = ManualClock::new();
    let cache = builder(&clock).max_concurrent_refresh(1).build().expect("the settings agree");
    cache.set(1, 10);
    clock.set(STALE);
    let source = Source::new();
    drop(cache.get_swr(&1, source.fetch()).expect("stale"));
    let hanging = source.started();
    assert_eq!(cache.get(&2, |_| Ok(22)).expect("loaded"), 22);
    assert_eq!(*cache.get_stale(&3, |_| Ok(33)).expect("loaded"), 33);
    assert_eq!(*cache.get_swr(&4, |_| Ok(44)).expect("loaded"), 44);
    hanging.succeed(11);
}

#[test]
fn a_fetch_of_a_cold_key_that_asks_for_itself_is_refused() {
    bounded(|| {
        for inner in CALLS {
            let clock = ManualClock::new();
            let cache = builder(&clock).build().expect("the settings agree");
            let unused = Source::new();
            let value = cache.get(&1, |_| {
                let refused = call(&cache, &unused, inner);
                assert!(matches!(refused, Err(Error::Reentrant)), "{inner:?}: {refused:?}");
                Ok(5)
            });
            assert_eq!(value.expect("the outer fetch goes on"), 5);
            assert_eq!((unused.begun(), cache.stats().loads, cache.stats().misses), (0, 1, 2));
        }
    });
}

#[test]
fn a_fetch_may_pass_its_refusal_on() {
    bounded(|| {
        let cache = lastcache::Cache::<u32, u32>::builder().build().expect("the settings agree");
        let error = cache.get(&1, |_| Ok(cache.get(&1, |_| Ok(2))?)).expect_err("refused");
        let inner =
            error.fetch_error().and_then(|error| error.downcast_ref::<lastcache::Error<_>>());
        let inner: &lastcache::Error<lastcache::BoxError> = inner.expect("the inner error");
        assert!(matches!(inner, lastcache::Error::Reentrant));
        assert_eq!(cache.get(&1, |_| Ok(3)).expect("the key is free"), 3);
    });
}

#[test]
fn a_fetch_of_a_stale_key_that_asks_for_itself_gets_the_flagged_fallback() {
    bounded(|| {
        let clock = ManualClock::new();
        let cache = holding(&clock);
        clock.set(STALE);
        let value = cache.get(&1, |_| {
            let served = cache.get_stale(&1, never).expect("inside stale-if-error");
            assert!(
                *served == 10 && is_fallback(&served, |error| matches!(error, Error::Reentrant))
            );
            assert_eq!(cache.get(&1, never).expect("inside stale-if-error"), 10);
            Ok(11)
        });
        assert_eq!(value.expect("the outer fetch goes on"), 11);
    });
}

#[test]
fn a_fetch_past_every_window_that_asks_for_itself_is_refused() {
    bounded(|| {
        let clock = ManualClock::new();
        let cache = holding(&clock);
        clock.set(GONE);
        let value = cache.get(&1, |_| {
            assert!(matches!(cache.get(&1, never), Err(Error::Reentrant)));
            assert!(matches!(cache.get_swr(&1, never), Err(Error::Reentrant)));
            Ok(11)
        });
        assert_eq!(value.expect("the outer fetch goes on"), 11);
    });
}

#[test]
fn get_swr_inside_its_own_fetch_gets_the_stale_value() {
    bounded(|| {
        let clock = ManualClock::new();
        let cache = holding(&clock);
        clock.set(STALE);
        let value = cache.get(&1, |_| {
            let served = cache.get_swr(&1, never).expect("inside its window");
            assert!(*served == 10 && matches!(served.state(), State::Stale));
            Ok(11)
        });
        assert_eq!(value.expect("the outer fetch goes on"), 11);
    });
}

#[test]
fn a_fetch_may_ask_for_other_keys_and_other_caches() {
    bounded(|| {
        let clock = ManualClock::new();
        let cache = builder(&clock).build().expect("the settings agree");
        let other = holding(&clock);
        clock.set(STALE);
        let value = cache.get(&1, |_| {
            let two = cache.get(&2, |_| {
                assert!(matches!(cache.get(&1, never), Err(Error::Reentrant)), "two levels up");
                Ok(cache.get(&3, |_| Ok(3)).expect("a third key") + 2)
            });
            let elsewhere = other.get(&1, |_| Ok(100)).expect("the same key of another cache");
            Ok(two.expect("another key") + elsewhere)
        });
        assert_eq!(value.expect("loaded"), 105);
    });
}

#[test]
fn a_fetch_may_write_its_own_key() {
    bounded(|| {
        let clock = ManualClock::new();
        let cache = builder(&clock).build().expect("the settings agree");
        let value = cache.get(&1, |_| {
            cache.set(1, 77);
            assert_eq!(cache.get(&1, never).expect("the set value"), 77);
            Ok(5)
        });
        assert_eq!(value.expect("the set value was first"), 77);
        let value = cache.get(&2, |_| {
            cache.delete(&2);
            assert_eq!(cache.get(&2, |_| Ok(8)).expect("a flight of its own"), 8);
            Ok(9)
        });
        assert_eq!(value.expect("the load's own result"), 9);
        assert_eq!(cache.get(&2, never).expect("the later flight's"), 8);
    });
}

#[test]
fn a_background_fetch_that_asks_for_itself_does_not_wait_for_itself() {
    let clock = ManualClock::new();
    let cache = holding(&clock);
    clock.set(STALE);
    let inner = cache.clone();
    let (told, tell) = mpsc::channel();
    let served = cache.get_swr(&1, move |_| {
        let waiting = inner.get_stale(&1, never).expect("inside stale-if-error");
        let at_once = inner.get_swr(&1, never).expect("inside its window");
        let fallback = is_fallback(&waiting, |error| matches!(error, Error::Reentrant));
        let itself = at_once.refresh().map(|refresh| refresh.wait());
        let refused = matches!(itself, Some(Err(Error::Reentrant)));
        let _ = told.send((*waiting, fallback, *at_once, refused));
        Ok(11)
    });
    let refresh = served.expect("stale").refresh().expect("started");
    assert!(matches!(refresh.wait_timeout(PATIENCE), Some(Ok(()))));
    assert_eq!(tell.recv_timeout(PATIENCE), Ok((10, true, 10, true)));
    assert_eq!(cache.get(&1, never).expect("fresh"), 11);
}

#[test]
fn waiting_for_a_refresh_inside_its_own_fetch_is_refused() {
    let clock = ManualClock::new();
    let cache = holding(&clock);
    clock.set(STALE);
    let handle: Arc<Mutex<Option<RefreshHandle<u32, u32, Failure>>>> = Arc::default();
    let (theirs, (told, tell)) = (Arc::clone(&handle), mpsc::channel());
    let (filled, fill) = mpsc::channel::<()>();
    let served = cache.get_swr(&1, move |_| {
        fill.recv().expect("the test puts the handle in");
        let handle = theirs.lock().expect("nobody panics with it").take().expect("put in");
        let waited = matches!(handle.wait(), Err(Error::Reentrant));
        let bounded = handle.wait_timeout(controlled::secs(1));
        let _ = told.send((waited, matches!(bounded, Some(Err(Error::Reentrant)))));
        Ok(11)
    });
    let served = served.expect("stale");
    *handle.lock().expect("nobody panics with it") = served.refresh();
    filled.send(()).expect("the fetch listens");
    let (waited, bounded) = tell.recv_timeout(PATIENCE).expect("the fetch goes on");
    assert!(waited, "`wait`");
    assert!(bounded, "`wait_timeout`: its errors are those of `wait`");
}

#[test]
fn a_hook_that_asks_for_the_key_it_judges_does_not_wait_for_it() {
    for hook in ["lifetime", "weigher", "verdict"] {
        let clock = ManualClock::new();
        let inside: Arc<Mutex<Option<Cache>>> = Arc::default();
        let (told, tell) = mpsc::channel();
        let ask = {
            let inside = Arc::clone(&inside);
            move || {
                let Some(cache) = inside.lock().expect("nobody panics with it").clone() else {
                    return;
                };
                let refused = matches!(cache.get(&1, never), Err(Error::Reentrant));
                let _ = told.send(refused);
            }
        };
        let base = builder::<u32>(&clock);
        let cache = match hook {
            "lifetime" => base.lifetime(move |_, _| {
                ask();
                Default::default()
            }),
            "weigher" => base.max_weight(100).weigher(move |_, _| {
                ask();
                1
            }),
            _ => base.verdict(move |_| {
                ask();
                Default::default()
            }),
        };
        let cache = cache.build().expect("the settings agree");
        *inside.lock().expect("nobody panics with it") = Some(cache.clone());
        let load =
            go(move || cache.get(&1, |_| if hook == "verdict" { Err("down") } else { Ok(1) }));
        let refused = tell.recv_timeout(PATIENCE);
        assert_eq!(refused, Ok(true), "{hook}: a flight cannot end before its result is judged");
        assert_eq!(load.end().is_ok(), hook != "verdict");
        drop(inside.lock().expect("nobody panics with it").take());
    }
}

#[test]
fn on_error_and_on_panic_are_told_when_the_flight_has_ended() {
    for panics in [false, true] {
        let clock = ManualClock::new();
        let inside: Arc<Mutex<Option<Cache>>> = Arc::default();
        let (told, tell) = mpsc::channel();
        let (go_on, going_on) = mpsc::channel();
        let hook = {
            let (inside, going_on) = (Arc::clone(&inside), Mutex::new(going_on));
            Arc::new(move || {
                let cache = inside.lock().expect("nobody panics with it").clone();
                told.send(None).expect("the test listens");
                let going_on = going_on.lock().expect("nobody panics with it");
                going_on.recv_timeout(PATIENCE).expect("the test goes on");
                let _ = told.send(cache.map(|cache| cache.get(&1, |_| Ok(5)).is_ok()));
            })
        };
        let theirs = Arc::clone(&hook);
        let base = builder::<u32>(&clock).on_error(move |_, _| theirs());
        let cache = base.on_panic(move |_, _| hook()).build().expect("the settings agree");
        *inside.lock().expect("nobody panics with it") = Some(cache.clone());
        let source = Source::new();
        let leader = going(&cache, &source, Call::Get);
        let run = source.started();
        let joiner = going(&cache, &source, Call::Get);
        until("it joins", || cache.stats().joins == 1);
        if panics {
            run.panic("boom")
        } else {
            run.fail("down")
        }
        assert_eq!(tell.recv_timeout(PATIENCE), Ok(None), "the hook runs");
        let error = joiner.end().expect_err("told while the hook still runs");
        assert_eq!(matches!(error, Error::Panicked), panics);
        go_on.send(()).expect("the hook waits");
        let loaded = tell.recv_timeout(PATIENCE);
        assert_eq!(loaded, Ok(Some(true)), "the key is free: it leads a flight of its own");
        drop(leader.outcome());
        assert_eq!((source.begun(), cache.stats().loads), (1, 1));
        drop(inside.lock().expect("nobody panics with it").take());
    }
}

#[test]
fn a_refresh_run_on_the_caller_may_be_reentered() {
    bounded(|| {
        let clock = ManualClock::new();
        let cache = builder(&clock).executor(CallerRuns).build().expect("the settings agree");
        cache.set(1, 10);
        clock.set(STALE);
        let inner = cache.clone();
        let served = cache.get_swr(&1, move |_| {
            assert_eq!(*inner.get_swr(&1, never).expect("inside its window"), 10);
            assert_eq!(inner.get(&1, never).expect("the fallback"), 10);
            Ok(11)
        });
        assert_eq!(*served.expect("stale"), 10);
        assert_eq!(cache.peek(&1).as_deref(), Some(&11));
    });
}

#[test]
fn hits_stale_hits_and_misses_are_the_calls_at_rest() {
    const THREADS: usize = 4;
    let rounds = scaled(30);
    for round in 0..rounds {
        let clock = ManualClock::new();
        let cache = builder(&clock)
            .capacity(8)
            .back_off(BackOff::fixed(controlled::secs(3)))
            .max_concurrent_refresh(2)
            .refresh_queue(2)
            .build()
            .expect("the settings agree");
        let calls = AtomicU64::new(0);
        let peeks = AtomicU64::new(0);
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let (cache, clock, calls, peeks) = (&cache, &clock, &calls, &peeks);
                scope.spawn(move || {
                    let mut dice = Dice::new((round * THREADS + thread) as u64);
                    for _ in 0..500 {
                        let key = dice.roll(12);
                        let good = dice.roll(3) > 0;
                        let fetch = move |key: &u32| if good { Ok(*key) } else { Err("down") };
                        let kind = dice.roll(9);
                        calls.fetch_add(u64::from(kind < 4), SeqCst);
                        match kind {
                            0 => drop(cache.get(&key, fetch)),
                            1 => drop(cache.get_with(&key, |value| *value, fetch)),
                            2 => drop(cache.get_stale(&key, fetch)),
                            3 => drop(cache.get_swr(&key, fetch)),
                            4 => drop(cache.set(key, key)),
                            5 => drop(cache.delete(&key)),
                            6 => drop(cache.ttl(&key)),
                            7 => {
                                peeks.fetch_add(1, SeqCst);
                                drop(cache.peek(&key));
                            }
                            _ => clock.advance(controlled::secs(1)),
                        }
                    }
                });
            }
        });
        let stats = cache.stats();
        assert!(peeks.load(SeqCst) > 0);
        assert_eq!(stats.hits + stats.stale_hits + stats.misses, calls.load(SeqCst), "{stats:?}");
        assert!(cache.close_timeout(PATIENCE), "what runs ends");
        let stats = cache.stats();
        assert!(stats.late_loads + stats.not_stored <= stats.loads, "{stats:?}");
        assert!(stats.loads + stats.failures <= stats.misses + stats.refreshes, "{stats:?}");
        assert!(stats.refreshes <= stats.stale_hits, "{stats:?}");
    }
}
