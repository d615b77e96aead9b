//! Background refreshes of async fetches: polled by whatever runs futures, cancelled by the close.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use lastcache::{BackOff, Error, Job, ManualClock, RefreshHandle, State};

use super::controlled::{
    Cache, Collected, Failure, PATIENCE, STALE, builder, ended, go, never, secs, until,
};
use super::fetches::{Gate, absurd};
use super::support::{Bell, at_once, block_on, turns};

/// Key 1 is stale, its refresh started for the gate's fetch.
fn refreshing(jobs: &Collected, gate: &Gate) -> (Cache, RefreshHandle<u32, u32, Failure>) {
    let clock = ManualClock::new();
    let cache = builder(&clock).executor(jobs.clone()).build().expect("the settings agree");
    cache.set(1, 10);
    cache.set(2, 20);
    clock.set(STALE);
    let served = at_once(cache.get_swr_async(&1, gate.fetch())).expect("stale");
    let refresh = served.refresh().expect("started");
    (cache, refresh)
}

#[test]
fn a_job_is_polled_to_its_end_and_does_not_block() {
    let (jobs, gate) = (Collected::default(), Gate::new());
    let (cache, refresh) = refreshing(&jobs, &gate);
    let mut job = jobs.next();
    assert!(!job.is_blocking());
    let bell = Bell::new();
    assert_eq!(gate.begun(), 0, "nothing is polled by the stale read itself");
    assert!(bell.poll(pin!(&mut job)).is_pending());
    assert_eq!((gate.begun(), cache.stats().refreshes), (1, 1));
    gate.open(Ok(11));
    assert_eq!(bell.rung(), 1);
    assert!(bell.poll(pin!(&mut job)).is_ready());
    assert!(matches!(block_on(refresh), Ok(())));
    assert_eq!(cache.peek(&1).as_deref(), Some(&11));
}

#[test]
fn a_thread_may_run_it_too() {
    let (jobs, gate) = (Collected::default(), Gate::new());
    let (cache, refresh) = refreshing(&jobs, &gate);
    let job = jobs.next();
    let thread = go(move || job.run());
    until("it runs", || gate.begun() == 1);
    gate.open(Ok(11));
    assert!(ended(refresh).is_ok());
    thread.end();
    assert_eq!(cache.peek(&1).as_deref(), Some(&11));
}

#[test]
fn a_thread_that_runs_it_polls_again_only_when_it_is_woken() {
    let (clock, jobs) = (ManualClock::new(), Collected::default());
    let cache = builder(&clock).executor(jobs.clone()).build().expect("the settings agree");
    cache.set(1, 10);
    clock.set(STALE);
    let polls = Arc::new(AtomicUsize::new(0));
    let (give, given) = mpsc::channel();
    let counted = Arc::clone(&polls);
    let fetch = poll_fn(move |cx| {
        if counted.fetch_add(1, SeqCst) > 0 {
            return Poll::Ready(Ok(11));
        }
        give.send(cx.waker().clone()).expect("the test listens");
        Poll::Pending
    });
    drop(at_once(cache.get_swr_async(&1, fetch)).expect("stale"));
    let job = jobs.next();
    let thread = go(move || job.run());
    let waker = given.recv_timeout(PATIENCE).expect("it is polled");
    // Turns enough for one who would poll at once.
    (0..1_000).for_each(|_| thread::yield_now());
    assert_eq!(polls.load(SeqCst), 1);
    waker.wake();
    thread.end();
    assert_eq!((polls.load(SeqCst), cache.peek(&1).as_deref()), (2, Some(&11)));
}

#[test]
fn a_permit_is_free_when_the_job_is_over_and_not_when_it_is_dropped() {
    let (jobs, gate) = (Collected::default(), Gate::new());
    let (cache, _refresh) = refreshing(&jobs, &gate);
    assert_eq!(*at_once(cache.get_swr_async(&2, async { Ok(21) })).expect("stale"), 20);
    assert_eq!((jobs.len(), cache.stats().queued), (1, 1), "one permit: the second one waits");
    let mut job = jobs.next();
    gate.open(Ok(11));
    assert!(Bell::new().poll(pin!(&mut job)).is_ready());
    assert_eq!(jobs.len(), 1, "the second one is handed out");
    jobs.next().run();
    assert_eq!(cache.peek(&2).as_deref(), Some(&21));
    drop(job);
}

#[test]
fn a_job_dropped_at_any_poll_frees_its_key_and_its_permit() {
    for polls in 0..4 {
        let (jobs, gate) = (Collected::default(), Gate::new());
        let (cache, refresh) = refreshing(&jobs, &gate);
        let mut job = jobs.next();
        let bell = Bell::new();
        for _ in 0..polls {
            assert!(bell.poll(pin!(&mut job)).is_pending());
        }
        drop(job);
        assert!(matches!(block_on(refresh), Err(Error::Closed)), "given up after {polls} polls");
        assert_eq!(gate.dropped(), gate.begun());
        let served = at_once(cache.get_swr_async(&1, async { Ok(12) })).expect("stale");
        assert_eq!((*served, jobs.len()), (10, 1), "the next stale read tries again");
        jobs.next().run();
        assert_eq!(cache.peek(&1).as_deref(), Some(&12));
    }
}

#[test]
fn close_cancels_what_is_polled_and_wakes_it_to_that_end() {
    let (jobs, gate) = (Collected::default(), Gate::new());
    let (cache, refresh) = refreshing(&jobs, &gate);
    drop(at_once(cache.get_swr_async(&2, gate.fetch())).expect("stale"));
    let queued = cache.peek(&2).expect("stale").refresh().expect("queued");
    let mut job = jobs.next();
    let bell = Bell::new();
    assert!(bell.poll(pin!(&mut job)).is_pending());
    cache.close();
    assert!(matches!(block_on(queued), Err(Error::Closed)), "what was queued is dropped");
    assert_eq!(bell.rung(), 1, "what runs is woken");
    assert!(!refresh.is_done(), "and ends at its next poll");
    assert!(bell.poll(pin!(&mut job)).is_ready());
    assert!(matches!(block_on(refresh), Err(Error::Closed)));
    assert_eq!((gate.begun(), gate.dropped()), (1, 1));
    assert!(cache.close_timeout(Duration::ZERO), "nothing runs any more");
    // A foreground load goes on as ever.
    assert_eq!(block_on(cache.get_async(&1, async { Ok(12) })).expect("loaded"), 12);
}

#[test]
fn close_is_told_to_every_handle_on_what_was_queued_and_starts_no_back_off() {
    let (clock, jobs) = (ManualClock::new(), Collected::default());
    let builder = builder(&clock).executor(jobs.clone()).back_off(BackOff::fixed(secs(5)));
    let cache = builder.build().expect("the settings agree");
    (1..=3).for_each(|key| assert!(cache.set(key, 10 * key)));
    clock.set(STALE);
    let runs = cache.get_swr(&1, |_| Ok(11)).expect("stale").refresh().expect("started");
    let blocking = cache.get_swr(&2, never).expect("stale").refresh().expect("queued");
    let served = at_once(cache.get_swr_async(&3, absurd())).expect("stale");
    let polled = served.refresh().expect("queued");
    // A plain hit's, looked up while there is one.
    let hit = cache.peek(&3).expect("stale");
    let found = hit.refresh().expect("it is under way");

    cache.close();
    for handle in [&blocking, &polled, &found] {
        assert!(matches!(handle.wait_timeout(PATIENCE), Some(Err(Error::Closed))));
    }
    assert!(hit.refresh().is_none(), "and none is under way any more");
    for key in [2, 3] {
        let served = cache.get_swr(&key, never).expect("stale");
        assert!(matches!(served.state(), State::Stale) && served.refresh().is_none());
        let served = at_once(cache.get_stale_async(&key, async { Ok(12) })).expect("loaded");
        assert!(matches!(served.state(), State::Fresh), "not in back-off");
    }
    assert_eq!((cache.stats().queued, cache.stats().skipped), (2, 0));

    assert!(!runs.is_done() && !cache.close_timeout(Duration::ZERO), "what has a permit goes on");
    jobs.next().run();
    assert!(ended(runs).is_ok() && cache.close_timeout(Duration::ZERO));
    assert_eq!((cache.peek(&1).as_deref(), jobs.len()), (Some(&11), 0));
}

#[test]
fn a_waiting_fetch_whose_destructor_panics_in_a_close_keeps_nothing_that_runs_from_its_end() {
    struct Fragile;
    impl Drop for Fragile {
        fn drop(&mut self) {
            panic!("a destructor that panics");
        }
    }
    let (jobs, gate) = (Collected::default(), Gate::new());
    let (cache, refresh) = refreshing(&jobs, &gate);
    let mut job = jobs.next();
    let bell = Bell::new();
    assert!(bell.poll(pin!(&mut job)).is_pending());
    let owned = Fragile;
    let fetch = async move {
        std::mem::forget(owned);
        Ok(22)
    };
    drop(at_once(cache.get_swr_async(&2, fetch)).expect("stale"));
    assert!(catch_unwind(AssertUnwindSafe(|| cache.close())).is_err());
    assert_eq!(bell.rung(), 1, "what runs is woken");
    assert!(bell.poll(pin!(&mut job)).is_ready());
    assert!(matches!(ended(refresh), Err(Error::Closed)));
}

#[test]
fn a_job_of_a_closed_cache_polls_nothing() {
    let (jobs, gate) = (Collected::default(), Gate::new());
    let (cache, refresh) = refreshing(&jobs, &gate);
    cache.close();
    jobs.next().run();
    assert_eq!((gate.begun(), cache.stats().refreshes), (0, 1), "it began, and its fetch did not");
    assert!(matches!(ended(refresh), Err(Error::Closed)));
}

#[test]
fn the_last_handle_cancels_it_too() {
    let (jobs, gate) = (Collected::default(), Gate::new());
    let (cache, refresh) = refreshing(&jobs, &gate);
    let mut job = jobs.next();
    let bell = Bell::new();
    assert!(bell.poll(pin!(&mut job)).is_pending());
    drop(cache);
    assert_eq!(bell.rung(), 1);
    assert!(bell.poll(pin!(&mut job)).is_ready());
    assert!(matches!(ended(refresh), Err(Error::Closed)));
}

#[test]
fn joiners_of_a_cancelled_refresh_start_over() {
    let (jobs, gate) = (Collected::default(), Gate::new());
    let (cache, _refresh) = refreshing(&jobs, &gate);
    let mut job = jobs.next();
    let bell = Bell::new();
    assert!(bell.poll(pin!(&mut job)).is_pending());
    let mut joiner = Box::pin(cache.get_async(&1, async { Ok(12) }));
    assert!(bell.poll(joiner.as_mut()).is_pending());
    cache.close();
    drop(job);
    assert!(matches!(bell.poll(joiner.as_mut()), Poll::Ready(Ok(12))));
}

#[test]
fn without_an_executor_a_thread_of_the_cache_polls_it() {
    let clock = ManualClock::new();
    let cache = builder(&clock).build().expect("the settings agree");
    cache.set(1, 10);
    clock.set(STALE);
    let gate = Gate::new();
    let served = at_once(cache.get_swr_async(&1, gate.fetch())).expect("stale");
    until("it is polled", || gate.begun() == 1);
    gate.open(Ok(11));
    assert!(ended(served.refresh().expect("started")).is_ok());
    assert_eq!(cache.peek(&1).as_deref(), Some(&11));
}

#[test]
fn closing_ends_a_refresh_that_hangs_on_a_thread_of_the_cache() {
    let clock = ManualClock::new();
    let cache = builder(&clock).build().expect("the settings agree");
    cache.set(1, 10);
    clock.set(STALE);
    let gate = Gate::new();
    drop(at_once(cache.get_swr_async(&1, gate.fetch())).expect("stale"));
    until("it is polled", || gate.begun() == 1);
    assert!(cache.close_timeout(PATIENCE), "it hangs no longer");
    assert_eq!(gate.dropped(), 1);
}

#[test]
fn a_blocking_wait_inside_a_poll_loses_no_wake_up_of_the_job() {
    // The thread that polls the job also parks inside it, for another flight: that wait may take the
    // token that was meant for the job.
    let (jobs, gate) = (Collected::default(), Gate::new());
    let clock = ManualClock::new();
    let cache = builder(&clock).executor(jobs.clone()).build().expect("the settings agree");
    cache.set(1, 10);
    clock.set(STALE);
    let source = super::controlled::Source::new();
    let other = {
        let (cache, source) = (cache.clone(), Arc::clone(&source));
        go(move || cache.get(&3, source.fetch()))
    };
    let run = source.started();
    let inside = cache.clone();
    let (inner, waker) = (gate.clone(), Arc::new(std::sync::Mutex::new(None)));
    let ring = Arc::clone(&waker);
    let fetch = async move {
        std::future::poll_fn(|cx| {
            *ring.lock().unwrap() = Some(cx.waker().clone());
            Poll::Ready(())
        })
        .await;
        let three = inside.get(&3, |_| Ok(0)).map_err(|_| "of another key")?;
        turns(1).await;
        inner.fetch().await.map(|value| value + three)
    };
    drop(at_once(cache.get_swr_async(&1, fetch)).expect("stale"));
    let job = jobs.next();
    let thread = go(move || job.run());
    until("the job waits for the other flight", || cache.stats().joins == 1);
    // Wakes the job, while its thread is parked further in.
    waker.lock().unwrap().take().expect("it was polled").wake();
    run.succeed(30);
    assert_eq!(other.end().expect("loaded"), 30);
    until("it has come to the gate", || gate.begun() == 1);
    gate.open(Ok(4));
    thread.end();
    assert_eq!(cache.peek(&1).as_deref(), Some(&34));
}

#[test]
fn a_refresh_that_panics_harms_nobody() {
    let (jobs, _) = (Collected::default(), Gate::new());
    let clock = ManualClock::new();
    let cache = builder(&clock).executor(jobs.clone()).build().expect("the settings agree");
    cache.set(1, 10);
    clock.set(STALE);
    let fetch = async {
        turns(1).await;
        panic!("boom")
    };
    let served = at_once(cache.get_swr_async(&1, fetch)).expect("stale");
    jobs.next().run();
    let refresh = served.refresh().expect("started by this call");
    assert!(matches!(block_on(refresh), Err(Error::Panicked)));
    assert_eq!(cache.stats().panics, 1);
    assert_eq!(*at_once(cache.get_swr_async(&1, async { Ok(11) })).expect("stale"), 10);
    jobs.next().run();
    assert_eq!(at_once(cache.get_async(&1, absurd())).expect("fresh"), 11);
}

#[test]
fn an_executor_may_tell_the_two_kinds_apart() {
    let clock = ManualClock::new();
    let jobs = Collected::default();
    let cache = builder(&clock)
        .executor(jobs.clone())
        .max_concurrent_refresh(2)
        .build()
        .expect("the settings agree");
    cache.set(1, 10);
    cache.set(2, 20);
    clock.set(STALE);
    drop(cache.get_swr(&1, |_| Ok(11)).expect("stale"));
    drop(at_once(cache.get_swr_async(&2, async { Ok(21) })).expect("stale"));
    let kinds: Vec<_> = [jobs.next(), jobs.next()].iter().map(Job::is_blocking).collect();
    assert_eq!(kinds, [true, false]);
}
