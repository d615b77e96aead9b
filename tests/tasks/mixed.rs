//! Threads and tasks on the same flights.

use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Barrier};

use lastcache::{Error, ManualClock, State, Verdict};

use super::controlled::{Cache, GONE, STALE, Source, builder, go, message, until};
use super::fetches::{Gate, absurd};
use super::support::{Bell, Moved, await_moved, block_on, turns};

fn cache(clock: &ManualClock) -> Cache {
    builder(clock).build().expect("the settings agree")
}

#[test]
fn a_task_waits_for_the_fetch_of_a_thread() {
    let cache = cache(&ManualClock::new());
    let source = Source::new();
    let thread = {
        let (cache, source) = (cache.clone(), Arc::clone(&source));
        go(move || cache.get(&1, source.fetch()))
    };
    let run = source.started();
    let task = {
        let cache = cache.clone();
        go(move || block_on(cache.get_async(&1, absurd())))
    };
    until("the task joins", || cache.stats().joins == 1);
    run.succeed(7);
    assert_eq!(task.end().expect("joined"), 7);
    assert_eq!(thread.end().expect("led"), 7);
}

#[test]
fn a_thread_waits_for_the_fetch_of_a_task() {
    let cache = cache(&ManualClock::new());
    let gate = Gate::new();
    let task = {
        let (cache, fetch) = (cache.clone(), gate.fetch());
        go(move || block_on(cache.get_async(&1, fetch)))
    };
    until("the task leads", || gate.begun() == 1);
    let thread = {
        let cache = cache.clone();
        go(move || cache.get(&1, super::controlled::never))
    };
    until("the thread joins", || cache.stats().joins == 1);
    gate.open(Ok(7));
    assert_eq!((task.end().expect("led"), thread.end().expect("joined")), (7, 7));
}

#[test]
fn one_cold_key_for_32_threads_and_1_000_tasks_is_one_fetch() {
    const THREADS: usize = 32;
    const TASKS: usize = 1_000;
    let cache = cache(&ManualClock::new());
    let gate = Gate::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build();
    let runtime = runtime.expect("a runtime");
    let start = Arc::new(Barrier::new(THREADS));
    let source = Source::new();
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (cache, start, source) = (cache.clone(), Arc::clone(&start), Arc::clone(&source));
            go(move || {
                start.wait();
                cache.get(&1, source.fetch())
            })
        })
        .collect();
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (cache, fetch) = (cache.clone(), gate.fetch());
            runtime.spawn(async move { cache.get_async(&1, fetch).await })
        })
        .collect();
    until("everybody is in", || cache.stats().joins == (THREADS + TASKS - 1) as u64);
    until("one leads", || gate.begun() + source.begun() > 0);
    assert_eq!(gate.begun() + source.begun(), 1, "one fetch");
    match source.begun() {
        1 => source.started().succeed(7),
        _ => gate.open(Ok(7)),
    }
    for thread in threads {
        assert_eq!(thread.end().expect("served"), 7);
    }
    for task in tasks {
        assert_eq!(runtime.block_on(task).expect("no panic").expect("served"), 7);
    }
    assert_eq!((gate.begun() + source.begun(), cache.stats().loads), (1, 1));
}

#[test]
fn threads_and_tasks_share_one_error_behind_their_fallback() {
    let clock = ManualClock::new();
    let cache = cache(&clock);
    cache.set(1, 10);
    clock.set(STALE);
    let gate = Gate::new();
    let mut leader = Box::pin(cache.get_stale_async(&1, gate.fetch()));
    let bell = Bell::new();
    assert!(bell.poll(leader.as_mut()).is_pending());
    let thread = {
        let cache = cache.clone();
        go(move || cache.get_stale(&1, super::controlled::never))
    };
    until("the thread joins", || cache.stats().joins == 1);
    gate.open(Err("down"));
    let error = |served: &super::controlled::Served| match served.state() {
        State::Fallback { error: Error::Fetch(error) } => error,
        state => panic!("{state:?}"),
    };
    let led = block_on(leader).expect("covered");
    let joined = thread.end().expect("covered");
    assert!(Arc::ptr_eq(&error(&led), &error(&joined)));
    assert_eq!((*led, *joined), (10, 10));
}

#[test]
fn what_the_verdict_makes_of_an_error_holds_for_all_who_joined() {
    for verdict in [Verdict::ServeStale, Verdict::Propagate, Verdict::Remove] {
        let clock = ManualClock::new();
        let cache = builder(&clock).verdict(move |_| verdict).build().expect("they agree");
        cache.set(1, 10);
        clock.set(STALE);
        let source = Source::new();
        let leader = {
            let (cache, source) = (cache.clone(), Arc::clone(&source));
            go(move || cache.get(&1, source.fetch()))
        };
        let run = source.started();
        let thread = {
            let cache = cache.clone();
            go(move || cache.get(&1, super::controlled::never))
        };
        until("the thread joins", || cache.stats().joins == 1);
        let mut task = Box::pin(cache.get_async(&1, absurd()));
        assert!(Bell::new().poll(task.as_mut()).is_pending());
        run.fail("down");
        let answers = [leader.end(), thread.end(), block_on(task)];
        let covered = answers.iter().all(|answer| matches!(answer, Ok(10)));
        let told = |answer: &Result<_, Error<_>>| {
            answer.as_ref().is_err_and(|error| error.fetch_error() == Some(&"down"))
        };
        assert_eq!(covered, verdict == Verdict::ServeStale, "{answers:?}");
        assert_eq!(answers.iter().all(told), !covered, "{verdict:?}: {answers:?}");
        assert_eq!(cache.contains_key(&1), verdict != Verdict::Remove, "{verdict:?}");
    }
}

#[test]
fn a_fetch_that_panics_at_a_later_poll_unwinds_in_its_task_and_is_told_to_the_others() {
    let clock = ManualClock::new();
    let cache = cache(&clock);
    for stale in [false, true] {
        if stale {
            cache.set(1, 10);
            clock.set(STALE);
        }
        let fetch = async {
            turns(2).await;
            panic!("boom")
        };
        let mut leader = Box::pin(cache.get_stale_async(&1, fetch));
        let mut joiner = Box::pin(cache.get_stale_async(&1, absurd()));
        let bell = Bell::new();
        assert!(bell.poll(leader.as_mut()).is_pending());
        assert!(bell.poll(joiner.as_mut()).is_pending());
        let panic = go_here(|| block_on(leader)).expect_err("the panic goes on");
        assert_eq!(message(&*panic), "boom");
        match block_on(joiner) {
            Ok(served) => {
                assert!(stale && *served == 10);
                assert!(matches!(served.state(), State::Fallback { error: Error::Panicked }));
            }
            Err(error) => assert!(!stale && matches!(error, Error::Panicked)),
        }
    }
    clock.set(GONE);
    assert_eq!(block_on(cache.get_async(&1, async { Ok(3) })).expect("the key is free"), 3);
}

fn go_here<T>(f: impl FnOnce() -> T) -> std::thread::Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(f))
}

#[test]
fn a_fetch_that_asks_for_its_own_key_is_refused_by_either_front() {
    go(|| {
        let clock = ManualClock::new();
        let cache = cache(&clock);
        let fetch = async {
            turns(1).await;
            let by_task = cache.get_async(&1, absurd()).await;
            assert!(matches!(by_task, Err(Error::Reentrant)), "{by_task:?}");
            let by_thread = cache.get(&1, super::controlled::never);
            assert!(matches!(by_thread, Err(Error::Reentrant)), "{by_thread:?}");
            // Another key, and then the same again from inside that.
            cache.get_async(&2, async { Ok(2) }).await.map_err(|_| "of another key")
        };
        assert_eq!(block_on(cache.get_async(&1, fetch)).expect("loaded"), 2);
    })
    .end();
}

/// It joined from outside, and is awaited inside.
#[test]
fn a_call_that_is_moved_into_the_fetch_that_it_joined_is_refused() {
    let cache: &'static Cache = Box::leak(Box::new(cache(&ManualClock::new())));
    let moved = Moved::default();
    let fetch = {
        let moved = Rc::clone(&moved);
        async move {
            let refused = await_moved(moved).await;
            assert!(matches!(refused, Err(Error::Reentrant)), "{refused:?}");
            Ok(7)
        }
    };
    let bell = Bell::new();
    let mut leader = pin!(cache.get_async(&1, fetch));
    assert!(bell.poll(leader.as_mut()).is_pending());
    let mut joiner = Box::pin(cache.get_async(&1, absurd()));
    assert!(bell.poll(joiner.as_mut()).is_pending());
    moved.replace(Some(joiner));
    assert_eq!(block_on(leader).expect("loaded"), 7);
}

#[test]
fn two_calls_for_one_key_in_one_task_do_not_wait_for_themselves() {
    let cache = cache(&ManualClock::new());
    let both = async {
        let slow = async {
            turns(3).await;
            Ok(7)
        };
        tokio::join!(cache.get_async(&1, slow), cache.get_async(&1, absurd()))
    };
    let (led, joined) = block_on(both);
    assert_eq!((led.expect("led"), joined.expect("joined")), (7, 7));
}

#[test]
fn a_task_that_needs_no_stale_value_takes_over_a_refresh_that_a_thread_queued() {
    let clock = ManualClock::new();
    let jobs = super::controlled::Collected::default();
    let cache = builder(&clock).executor(jobs.clone()).build().expect("they agree");
    cache.set(1, 10);
    clock.set(STALE);
    assert_eq!(*cache.get_swr(&1, |_| Ok(20)).expect("stale"), 10);
    // Handed over, and not begun: the task's own fetch is quicker.
    let taken = async {
        turns(2).await;
        Ok(30)
    };
    assert_eq!(block_on(cache.get_async(&1, taken)).expect("loaded"), 30);
    jobs.next().run();
    assert_eq!(cache.peek(&1).as_deref(), Some(&30), "the job found nothing to do");
}
