//! Background refresh: permits, the queue, the cache's own threads, executors, panics, and the end.

#[path = "support/controlled.rs"]
mod controlled;

use std::cell::RefCell;
use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex, OnceLock, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;

use controlled::{
    Cache, Collected, Error, Failure, Going, PATIENCE, STALE, Source, builder, ended, go, message,
    never, secs, until,
};
use lastcache::{BackOff, Builder, CallerRuns, Executor, Job, ManualClock, RefreshHandle, State};

type Refresh<V = u32> = RefreshHandle<u32, V, Failure>;

/// A cache in which so many keys, from 0 on, hold ten times themselves and have just become stale.
fn stale(
    keys: u32,
    settings: impl FnOnce(Builder<u32, u32, Failure>) -> Builder<u32, u32, Failure>,
) -> Cache {
    stale_at(&ManualClock::new(), keys, settings)
}

fn stale_at(
    clock: &ManualClock,
    keys: u32,
    settings: impl FnOnce(Builder<u32, u32, Failure>) -> Builder<u32, u32, Failure>,
) -> Cache {
    let cache = settings(builder(clock).capacity(20_000)).build().expect("the settings agree");
    for key in 0..keys {
        assert!(cache.set(key, 10 * key));
    }
    clock.set(STALE);
    cache
}

/// Starts or queues a refresh of each key.
fn refresh_all(cache: &Cache, source: &Source, keys: Range<u32>) -> Vec<Refresh> {
    let start = |key| {
        let served = cache.get_swr(&key, source.fetch()).expect("stale");
        served.refresh().expect("started or queued")
    };
    keys.map(start).collect()
}

fn ended_well(refresh: &Refresh) -> bool {
    matches!(refresh.wait_timeout(PATIENCE), Some(Ok(())))
}

fn ended_closed(refresh: &Refresh) -> bool {
    matches!(refresh.wait_timeout(PATIENCE), Some(Err(Error::Closed)))
}

#[test]
fn at_most_so_many_refreshes_run_at_once_over_all_keys() {
    const KEYS: u32 = 12;
    for most in [1, 3] {
        let cache = stale(KEYS, |b| b.max_concurrent_refresh(most));
        let source = Source::new();
        let refreshes = refresh_all(&cache, &source, 0..KEYS);
        let mut running: Vec<_> = (0..most).map(|_| source.started()).collect();
        for ended in 1..=KEYS as usize {
            assert_eq!(source.begun(), (ended - 1 + most).min(KEYS as usize));
            assert_eq!(cache.stats().refreshes, source.begun() as u64);
            let run = running.remove(0);
            let key = run.key;
            run.succeed(1_000 + key);
            assert!(ended_well(&refreshes[key as usize]));
            if ended + most <= KEYS as usize {
                running.push(source.started());
            }
        }
        for key in 0..KEYS {
            assert_eq!(cache.get(&key, never).expect("fresh"), 1_000 + key);
        }
        assert_eq!(cache.stats().queued, u64::from(KEYS) - most as u64);
    }
}

#[test]
fn a_key_waits_in_the_queue_once_however_often_it_is_read() {
    let cache = stale(2, |b| b);
    let source = Source::new();
    drop(cache.get_swr(&0, source.fetch()).expect("stale"));
    let hanging = source.started();
    let mut handles = Vec::new();
    for _ in 0..100 {
        let served = cache.get_swr(&1, source.fetch()).expect("stale");
        assert!(*served == 10 && matches!(served.state(), State::Stale));
        handles.push(served.refresh().expect("queued, and under way for those who came later"));
    }
    assert_eq!((cache.stats().queued, cache.stats().skipped), (1, 0));
    hanging.succeed(1);
    source.started().succeed(11);
    assert!(handles.iter().all(ended_well), "they all have the one flight");
    assert_eq!((source.begun(), cache.stats().refreshes), (2, 2));
}

#[test]
fn a_full_queue_skips_counts_and_the_next_stale_read_tries_again() {
    for room in [0, 2] {
        let cache = stale(8, |b| b.refresh_queue(room));
        let source = Source::new();
        drop(cache.get_swr(&0, source.fetch()).expect("stale"));
        let hanging = source.started();
        for key in 1..=room as u32 {
            assert!(cache.get_swr(&key, source.fetch()).expect("stale").refresh().is_some());
        }
        for tries in 1..=3 {
            let served = cache.get_swr(&7, source.fetch()).expect("stale");
            assert!(*served == 70 && matches!(served.state(), State::Stale));
            assert!(served.refresh().is_none(), "none is under way for this key");
            assert_eq!((cache.stats().skipped, cache.stats().queued), (tries, room as u64));
        }
        hanging.succeed(1);
        for _ in 0..room {
            source.started().succeed(2);
        }
        let tried = Mutex::new(None);
        until("there is room again", || {
            *tried.lock().expect("one thread") =
                cache.get_swr(&7, source.fetch()).expect("stale").refresh();
            tried.lock().expect("one thread").is_some()
        });
        source.started().succeed(71);
        let refresh = tried.into_inner().expect("one thread").expect("started");
        assert!(ended_well(&refresh));
        assert_eq!(cache.get(&7, never).expect("fresh"), 71);
        assert_eq!(source.begun(), room + 2);
    }
}

#[test]
fn room_in_the_queue_is_given_back_when_what_waited_starts() {
    let clock = ManualClock::new();
    let jobs = Collected::default();
    let cache = stale_at(&clock, 4, |b| {
        b.executor(jobs.clone()).refresh_queue(2).stale_while_revalidate(secs(1_000))
    });
    for round in 1..=5 {
        let refreshes = [0, 1, 2, 3].map(|key| {
            let served = cache.get_swr(&key, |_| Ok(1)).expect("stale");
            served.refresh()
        });
        let started = refreshes.each_ref().map(Option::is_some);
        assert_eq!(
            started,
            [true, true, true, false],
            "one is handed over, two wait, one is skipped"
        );
        assert_eq!((cache.stats().queued, cache.stats().skipped), (2 * round, round));
        for _ in 0..3 {
            assert_eq!(jobs.len(), 1, "one at a time");
            jobs.next().run();
        }
        assert_eq!(jobs.len(), 0);
        assert!(refreshes.iter().flatten().all(Refresh::is_done));
        clock.advance(STALE);
    }
}

#[test]
fn a_waiting_refresh_that_is_taken_over_keeps_its_place_until_a_permit_comes_free() {
    let jobs = Collected::default();
    let cache = stale(3, |b| b.executor(jobs.clone()).refresh_queue(1));
    for key in 0..2 {
        assert!(cache.get_swr(&key, |_| Ok(1)).expect("stale").refresh().is_some());
    }
    assert_eq!(cache.get(&1, |_| Ok(11)).expect("taken over"), 11);
    assert!(cache.get_swr(&2, never).expect("stale").refresh().is_none(), "still no room");
    assert_eq!((cache.stats().queued, cache.stats().skipped), (1, 1));
    jobs.next().run();
    let refresh = cache.get_swr(&2, |_| Ok(22)).expect("stale").refresh().expect("there is room");
    // What has ended is passed over, and runs nothing.
    jobs.next().run();
    jobs.next().run();
    assert!(ended_well(&refresh));
    assert_eq!(cache.get(&1, never).expect("fresh"), 11);
    assert_eq!((cache.get(&2, never).expect("fresh"), cache.stats().refreshes), (22, 2));
}

#[test]
fn refreshes_that_ended_while_they_waited_are_no_more_than_fit_and_go_with_the_next_permit() {
    const ROOM: usize = 1_024;
    let clock = ManualClock::new();
    let cache = stale_at(&clock, 3, |b| b.stale_while_revalidate(std::time::Duration::MAX));
    let source = Source::new();
    drop(cache.get_swr(&0, source.fetch()).expect("stale"));
    let hanging = source.started();
    let alive = Arc::new(());
    for _ in 0..3 * ROOM {
        let owned = Arc::clone(&alive);
        let fetch = move |key: &u32| {
            drop(owned);
            never(key)
        };
        drop(cache.get_swr(&1, fetch).expect("stale"));
        assert!(cache.set(1, 11));
        clock.advance(STALE);
    }
    assert_eq!(Arc::strong_count(&alive) - 1, ROOM, "those that were skipped are gone");
    assert_eq!((cache.stats().queued, cache.stats().skipped), (ROOM as u64, 2 * ROOM as u64));
    hanging.succeed(1);
    until("they are passed over", || Arc::strong_count(&alive) == 1);
    let refresh = cache.get_swr(&2, source.fetch()).expect("stale").refresh();
    source.started().succeed(22);
    assert!(ended_well(&refresh.expect("there is room again")));
    assert_eq!((source.begun(), cache.stats().refreshes), (2, 2), "none of them was run");
}

#[test]
fn a_stale_read_returns_while_every_permit_hangs() {
    let cache = stale(6, |b| b.max_concurrent_refresh(2).refresh_queue(2));
    let source = Source::new();
    // Two run, two wait, two are skipped: on a thread of its own, so that blocking would be seen.
    let (reader, theirs) = (cache.clone(), Arc::clone(&source));
    let read = go(move || {
        for _ in 0..50 {
            for key in 0..6 {
                let served = reader.get_swr(&key, theirs.fetch()).expect("stale");
                assert_eq!(*served, 10 * key);
            }
        }
    });
    let hanging = [source.started(), source.started()];
    read.end();
    let stats = cache.stats();
    assert_eq!((stats.stale_hits, stats.queued, stats.refreshes), (300, 2, 2));
    assert_eq!(stats.skipped, 100, "two keys, fifty times");
    hanging.into_iter().for_each(|run| run.succeed(1));
    [source.started(), source.started()].into_iter().for_each(|run| run.succeed(1));
}

#[test]
fn its_own_threads_are_named_and_no_more_than_the_permits() {
    const PERMITS: usize = 3;
    const KEYS: u32 = 60;
    let cache = stale(KEYS, |b| b.max_concurrent_refresh(PERMITS));
    let source = Source::new();
    for key in 0..KEYS {
        drop(cache.get_swr(&key, source.fetch()).expect("stale"));
    }
    let mut ids = HashSet::new();
    let mut running: Vec<_> = (0..PERMITS).map(|_| source.started()).collect();
    for n in 0..KEYS as usize {
        let run = running.remove(0);
        assert_ne!(run.thread.id(), thread::current().id());
        assert!(run.thread.name().is_some_and(|name| name.contains("lastcache")), "named");
        ids.insert(run.thread.id());
        run.succeed(1);
        if n + PERMITS < KEYS as usize {
            running.push(source.started());
        }
    }
    assert_eq!(ids.len(), PERMITS, "one thread per permit did all of it");
}

#[test]
fn a_permit_comes_back_only_after_the_value_is_published() {
    let cache = stale(2, |b| b);
    let reader = cache.clone();
    let source = Source::new();
    drop(cache.get_swr(&0, source.fetch()).expect("stale"));
    let first = source.started();
    let served = cache.get_swr(&1, move |_| Ok(*reader.peek(&0).expect("published before")));
    let refresh = served.expect("stale").refresh().expect("queued");
    first.succeed(123);
    assert!(ended_well(&refresh));
    assert_eq!(cache.get(&1, never).expect("fresh"), 123, "what the next refresh saw of the first");
}

#[test]
fn an_executor_may_be_a_closure() {
    let (threads, seen) = mpsc::channel();
    let cache = stale(1, |b| {
        b.executor(move |job: Job| {
            assert!(job.is_blocking());
            let threads = threads.clone();
            drop(thread::spawn(move || {
                job.run();
                let _ = threads.send(());
            }));
        })
    });
    let served = cache.get_swr(&0, |_| Ok(1)).expect("stale");
    assert!(ended_well(&served.refresh().expect("started")));
    seen.recv_timeout(PATIENCE).expect("the closure's thread ran it");
    assert_eq!(cache.get(&0, never).expect("fresh"), 1);
}

#[test]
fn ten_thousand_queued_refreshes_run_on_the_caller_without_recursion() {
    const KEYS: u32 = 10_000;
    let small = thread::Builder::new().stack_size(128 * 1024);
    let all = small.spawn(|| {
        let cache = stale(KEYS + 1, |b| b.executor(CallerRuns).refresh_queue(KEYS as usize));
        let inner = cache.clone();
        let deepest = Arc::new(AtomicUsize::new(0));
        let inside = Arc::new(AtomicUsize::new(0));
        let served = cache.get_swr(&KEYS, move |_| {
            // The one permit is this fetch's: all these wait until it has ended.
            for key in 0..KEYS {
                let (deepest, inside) = (Arc::clone(&deepest), Arc::clone(&inside));
                let queued = inner.get_swr(&key, move |_| {
                    deepest.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
                    inside.fetch_sub(1, SeqCst);
                    Ok(deepest.load(SeqCst) as u32)
                });
                drop(queued.expect("stale"));
            }
            assert_eq!(inner.stats().queued, u64::from(KEYS));
            Ok(1)
        });
        assert_eq!(*served.expect("stale"), 10 * KEYS, "the old one was chosen before");
        for key in 0..KEYS {
            assert_eq!(cache.get(&key, never).expect("refreshed"), 1, "one inside at a time");
        }
        cache.stats().refreshes
    });
    let refreshes = all.expect("a thread starts").join().expect("the stack is large enough");
    assert_eq!(refreshes, u64::from(KEYS) + 1);
}

#[test]
fn queued_refreshes_that_are_dropped_in_turn_do_not_recurse_either() {
    const KEYS: u32 = 10_000;
    let small = thread::Builder::new().stack_size(128 * 1024);
    let all = small.spawn(|| {
        let (kept, first) = mpsc::channel::<Job>();
        let seen = AtomicUsize::new(0);
        let cache = stale(KEYS + 1, |b| {
            b.refresh_queue(KEYS as usize).executor(move |job: Job| {
                if seen.fetch_add(1, SeqCst) == 0 {
                    kept.send(job).expect("the test listens");
                }
            })
        });
        let refreshes: Vec<_> = (0..=KEYS)
            .map(|key| cache.get_swr(&key, never).expect("stale").refresh().expect("queued"))
            .collect();
        drop(first.recv().expect("the first was kept"));
        assert!(refreshes.iter().all(Refresh::is_done));
        assert!(refreshes.iter().all(ended_closed));
        cache.stats().refreshes
    });
    assert_eq!(all.expect("a thread starts").join().expect("the stack is large enough"), 0);
}

/// As above, of whom a refresh is queued, and a permit given back, in the middle of a job of this thread.
fn in_the_middle_of_a_job(fails: bool) {
    let held: Arc<Mutex<Option<Job>>> = Arc::default();
    let kept = Arc::clone(&held);
    // The first job is held back, all others are run at once.
    let first = AtomicBool::new(true);
    let executor = move |job: Job| match first.swap(false, SeqCst) {
        true => *kept.lock().expect("whole") = Some(job),
        false => job.run(),
    };
    let itself: Arc<OnceLock<Cache>> = Arc::default();
    let inner = Arc::clone(&itself);
    let at_once = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&at_once);
    let inside = move || {
        let cache = inner.get().expect("it is built");
        let waiting = cache.get_swr(&2, |_| Ok(12)).expect("stale").refresh().expect("queued");
        assert!(!waiting.is_done(), "no permit, so it waits");
        let job = held.lock().expect("whole").take();
        drop(job);
        seen.store(waiting.is_done(), SeqCst);
    };
    let asks_inside = inside.clone();
    let cache = stale(3, |b| {
        let builder = b.max_concurrent_refresh(2).executor(executor);
        builder.on_error(move |_, _| asks_inside())
    });
    assert!(itself.set(cache.clone()).is_ok());
    drop(cache.get_swr(&0, never).expect("stale"));
    let fetch = move |_: &u32| match fails {
        true => Err("down"),
        false => {
            inside();
            Ok(11)
        }
    };
    let refresh = cache.get_swr(&1, fetch).expect("stale").refresh().expect("started");
    assert_eq!(refresh.wait().is_err(), fails);
    assert!(at_once.load(SeqCst), "with the permit that came back");
    assert_eq!((cache.stats().refreshes, cache.stats().panics), (2, 0));
    assert_eq!(cache.get(&2, never).expect("fresh"), 12);
}

#[test]
fn a_waiting_refresh_waits_for_no_fetch_on_whose_thread_a_permit_comes_back() {
    in_the_middle_of_a_job(false);
}

#[test]
fn a_waiting_refresh_waits_for_no_hook_on_whose_thread_a_permit_comes_back() {
    in_the_middle_of_a_job(true);
}

#[test]
fn jobs_that_are_run_inside_fetches_of_another_cache_do_not_recurse_either() {
    let other = builder(&ManualClock::new()).build().expect("the settings agree");
    let jobs = Collected::default();
    let collecting = Arc::new(AtomicBool::new(true));
    let (deep, deepest) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let executor = {
        let (jobs, collecting) = (jobs.clone(), Arc::clone(&collecting));
        let (deepest, keys) = (Arc::clone(&deepest), AtomicUsize::new(0));
        move |job: Job| {
            if collecting.load(SeqCst) {
                return Executor::execute(&jobs, job);
            }
            let key = keys.fetch_add(1, SeqCst) as u32;
            deepest.fetch_max(deep.fetch_add(1, SeqCst) + 1, SeqCst);
            let ran = other.get(&key, |_| {
                job.run();
                Ok(0)
            });
            assert_eq!(ran.expect("loaded"), 0);
            deep.fetch_sub(1, SeqCst);
        }
    };
    let cache = stale(100, |b| b.executor(executor));
    for key in 0..100 {
        drop(cache.get_swr(&key, |_| Ok(1)).expect("stale"));
    }
    collecting.store(false, SeqCst);
    jobs.next().run();
    assert_eq!((cache.stats().refreshes, deepest.load(SeqCst)), (100, 1));
}

#[test]
fn a_long_queue_that_a_close_drops_is_not_dropped_by_recursion() {
    const KEYS: u32 = 10_000;
    let small = thread::Builder::new().stack_size(128 * 1024);
    let all = small.spawn(|| {
        let (kept, _first) = mpsc::channel::<Job>();
        let cache = stale(KEYS + 1, |b| {
            b.refresh_queue(KEYS as usize).executor(move |job: Job| drop(kept.send(job)))
        });
        let refreshes: Vec<_> = (0..=KEYS)
            .map(|key| cache.get_swr(&key, never).expect("stale").refresh().expect("queued"))
            .collect();
        cache.close();
        // But the one that has begun.
        assert_eq!(refreshes.iter().filter(|refresh| refresh.is_done()).count(), KEYS as usize);
    });
    all.expect("a thread starts").join().expect("the stack is large enough");
}

#[test]
fn what_waits_behind_a_destructor_that_panics_is_not_dropped_by_recursion_either() {
    const KEYS: u32 = 10_000;
    let small = thread::Builder::new().stack_size(128 * 1024);
    let all = small.spawn(|| {
        let (kept, _first) = mpsc::channel::<Job>();
        let cache = stale(KEYS + 2, |b| {
            b.refresh_queue(KEYS as usize + 1).executor(move |job: Job| drop(kept.send(job)))
        });
        let refreshes: Vec<_> = (0..=KEYS)
            .map(|key| cache.get_swr(&key, never).expect("stale").refresh().expect("queued"))
            .collect();
        // The newest is dropped first.
        drop(cache.get_swr(&(KEYS + 1), fragile()).expect("stale"));
        assert!(catch_unwind(AssertUnwindSafe(|| cache.close())).is_err());
        assert_eq!(refreshes.iter().filter(|refresh| refresh.is_done()).count(), KEYS as usize);
    });
    all.expect("a thread starts").join().expect("the stack is large enough");
}

#[test]
fn an_executor_that_drops_its_jobs_gives_them_up_and_keeps_no_permit() {
    let cache = stale(1, |b| b.executor(|job: Job| drop(job)));
    for _ in 0..5 {
        let served = cache.get_swr(&0, never).expect("stale");
        assert_eq!(*served, 0);
        assert!(ended_closed(&served.refresh().expect("given up at once")), "next one tries again");
    }
    let stats = cache.stats();
    assert_eq!((stats.skipped, stats.queued, stats.refreshes, stats.failures), (0, 0, 0, 0));
    assert_eq!(cache.get(&0, |_| Ok(1)).expect("the foreground goes on"), 1);
}

#[test]
fn a_refresh_that_was_given_up_starts_no_back_off() {
    let jobs = Collected::default();
    let cache = stale(1, |b| b.executor(jobs.clone()).back_off(BackOff::fixed(secs(5))));
    drop(cache.get_swr(&0, never).expect("stale"));
    drop(jobs.next());
    let served = cache.get_swr(&0, |_| Ok(1)).expect("stale");
    assert!(matches!(served.state(), State::Stale), "not in back-off");
    jobs.next().run();
    assert_eq!(cache.get(&0, never).expect("fresh"), 1);
}

#[test]
fn whoever_holds_a_handle_on_a_refresh_that_is_dropped_is_told_closed() {
    // A caller who has to wait takes such a refresh over at once: who is left behind holds a handle.
    let jobs = Collected::default();
    let cache = stale(1, |b| b.executor(jobs.clone()));
    let refresh = cache.get_swr(&0, never).expect("stale").refresh().expect("handed over");
    let waiting = go(move || refresh.wait());
    drop(jobs.next());
    let told = waiting.end().expect_err("it has no outcome");
    assert!(matches!(told, Error::Closed) && !cache.is_closed());
    assert_eq!(told.to_string(), "refresh given up without an outcome");
}

#[test]
fn an_executor_that_panics_harms_only_the_call_that_it_was_called_in() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let cache = stale(2, |b| {
        b.executor(move |job: Job| {
            assert!(counted.fetch_add(1, SeqCst) > 0, "refused");
            job.run();
        })
    });
    let panic = catch_unwind(AssertUnwindSafe(|| cache.get_swr(&0, never).map(drop)));
    assert_eq!(message(&*panic.expect_err("the executor's panic")), "refused");
    assert_eq!(*cache.peek(&0).expect("still there"), 0);
    let served = cache.get_swr(&0, |_| Ok(1)).expect("the permit is back, the key is free");
    assert!(ended_well(&served.refresh().expect("started")));
    assert_eq!(cache.get(&0, never).expect("fresh"), 1);
}

#[test]
fn a_job_is_a_future_too() {
    let jobs = Collected::default();
    let cache = stale(1, |b| b.executor(jobs.clone()));
    let refresh = cache.get_swr(&0, |_| Ok(1)).expect("stale").refresh().expect("handed over");
    {
        let mut job = pin!(jobs.next());
        let mut context = Context::from_waker(Waker::noop());
        assert!(!refresh.is_done(), "not before it is polled");
        assert_eq!(job.as_mut().poll(&mut context), Poll::Ready(()));
    }
    assert!(refresh.is_done() && ended_well(&refresh));
    assert_eq!(cache.get(&0, never).expect("fresh"), 1);
}

#[test]
fn a_job_can_be_sent_and_run_on_another_thread() {
    let jobs = Collected::default();
    let cache = stale(1, |b| b.executor(jobs.clone()));
    let refresh = cache.get_swr(&0, |_| Ok(1)).expect("stale").refresh().expect("handed over");
    let job = jobs.next();
    go(move || job.run()).end();
    assert!(ended_well(&refresh));
}

#[test]
fn a_panic_in_a_background_fetch_kills_neither_the_process_nor_the_worker() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let cache = stale(2, |b| {
        b.on_panic(move |key, message| {
            tell.lock().expect("no panic with it").push((*key, message.to_owned()));
        })
    });
    let source = Source::new();
    let first = cache.get_swr(&0, source.fetch()).expect("stale").refresh().expect("started");
    let second = cache.get_swr(&1, source.fetch()).expect("stale").refresh().expect("queued");
    let run = source.started();
    let worker = run.thread.id();
    run.panic("boom");
    assert!(matches!(first.wait_timeout(PATIENCE), Some(Err(Error::Panicked))));
    let run = source.started();
    assert_eq!(run.thread.id(), worker, "the worker goes on");
    run.succeed(11);
    assert!(ended_well(&second));
    assert_eq!(*told.lock().expect("no panic with it"), [(0, "boom".to_owned())]);
    assert_eq!((cache.stats().panics, cache.stats().failures), (1, 1));
    let served = cache.get_swr(&0, source.fetch()).expect("stale, and tried again");
    source.started().succeed(1);
    assert!(ended_well(&served.refresh().expect("started")));
}

#[test]
fn on_error_is_told_of_every_failed_background_fetch() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let cache = stale(1, |b| {
        b.executor(CallerRuns).on_error(move |key, error| {
            tell.lock().expect("no panic with it").push((*key, *error));
        })
    });
    for error in ["first", "second"] {
        assert_eq!(*cache.get_swr(&0, move |_| Err(error)).expect("stale"), 0);
    }
    assert_eq!(*told.lock().expect("no panic with it"), [(0, "first"), (0, "second")]);
}

#[test]
fn hooks_that_panic_in_the_background_harm_nobody() {
    let cache =
        stale(3, |b| b.on_error(|_, _| panic!("on_error")).on_panic(|_, _| panic!("on_panic")));
    let source = Source::new();
    let refreshes = refresh_all(&cache, &source, 0..3);
    source.started().fail("down");
    source.started().panic("boom");
    source.started().succeed(1);
    let failed = refreshes[0].wait_timeout(PATIENCE).expect("it ends");
    assert_eq!(failed.expect_err("it failed").fetch_error(), Some(&"down"));
    assert!(matches!(refreshes[1].wait_timeout(PATIENCE), Some(Err(Error::Panicked))));
    assert!(ended_well(&refreshes[2]), "the permit came back, twice");
    for key in 0..2 {
        let served = cache.get_swr(&key, source.fetch()).expect("stale, and tried again");
        source.started().succeed(9);
        assert!(ended_well(&served.refresh().expect("started")));
    }
}

#[test]
fn hooks_that_judge_and_panic_in_the_background_fail_the_refresh() {
    let cache = stale(2, |b| {
        b.executor(CallerRuns).verdict(|_| panic!("verdict")).lifetime(|_, value| {
            if *value == 666 { panic!("lifetime") } else { Default::default() }
        })
    });
    let one = cache.get_swr(&0, |_| Err("down")).expect("stale").refresh().expect("started");
    assert!(matches!(ended(one), Err(Error::Panicked)));
    let two = cache.get_swr(&1, |_| Ok(666)).expect("stale").refresh().expect("started");
    assert!(matches!(ended(two), Err(Error::Panicked)));
    assert_eq!((cache.stats().panics, cache.stats().failures, cache.stats().loads), (2, 2, 0));
}

#[test]
fn close_drops_what_waits_and_lets_what_runs_go_on() {
    let cache = stale(4, |b| b);
    let source = Source::new();
    let running = cache.get_swr(&0, source.fetch()).expect("stale").refresh().expect("started");
    let run = source.started();
    let queued = refresh_all(&cache, &source, 1..3);
    assert!(!cache.is_closed());
    cache.close();
    assert!(cache.is_closed());
    assert!(queued.iter().all(ended_closed));
    assert!(!running.is_done());
    // Reads, writes and foreground fetches go on; no refresh is taken.
    let served = cache.get_swr(&3, never).expect("stale, in its window");
    assert!(*served == 30 && matches!(served.state(), State::Stale) && served.refresh().is_none());
    assert_eq!(cache.stats().skipped, 0, "that was not for want of room");
    assert_eq!(cache.get(&1, |_| Ok(11)).expect("in the foreground"), 11);
    assert_eq!(cache.get(&100, |_| Ok(5)).expect("cold"), 5);
    assert!(cache.set(2, 22) && cache.delete(&2) && cache.peek(&3).is_some());
    run.succeed(1);
    assert!(ended_well(&running));
    assert_eq!(cache.get(&0, never).expect("fresh"), 1);
    assert_eq!(source.begun(), 1);
    cache.close();
}

#[test]
fn close_drops_what_is_left_of_a_batch_as_well() {
    let cache = stale(4, |b| b);
    let source = Source::new();
    let refreshes = refresh_all(&cache, &source, 0..4);
    // When the first has ended, the second is taken off those that wait, and leaves two of its batch.
    source.started().succeed(1);
    let run = source.started();
    cache.close();
    assert!(refreshes[2..].iter().all(ended_closed));
    run.succeed(2);
    assert!(refreshes[..2].iter().all(ended_well));
}

/// What a fetch owns, and panics as it goes.
struct Fragile;

impl Drop for Fragile {
    fn drop(&mut self) {
        panic!("a destructor that panics");
    }
}

/// A fetch that does nothing but break when it is let go unrun.
fn fragile() -> impl FnOnce(&u32) -> Result<u32, Failure> + Send + 'static {
    let owned = Fragile;
    move |_| {
        std::mem::forget(owned);
        Ok(1)
    }
}

#[test]
fn a_waiting_fetch_whose_destructor_panics_in_a_close_keeps_nothing_else_from_it() {
    let jobs = Collected::default();
    let cache = stale(5, |b| b.executor(jobs.clone()));
    let mut refreshes: Vec<_> = (0..4)
        .map(|key| cache.get_swr(&key, never).expect("stale").refresh().expect("queued"))
        .collect();
    // The second is handed over, and leaves two of its batch; then comes the one that breaks.
    drop(jobs.next());
    let second = jobs.next();
    let served = cache.get_swr(&4, fragile()).expect("stale");
    refreshes.push(served.refresh().expect("queued"));
    let panic = catch_unwind(AssertUnwindSafe(|| cache.close()));
    assert_eq!(message(&*panic.expect_err("the destructor's")), "a destructor that panics");
    assert!(refreshes[2..].iter().all(ended_closed), "all that waited");
    drop(second);
    assert_eq!(jobs.len(), 0, "nothing is handed out any more");
    assert!(cache.is_closed() && cache.close_timeout(PATIENCE));
}

#[test]
fn any_number_of_waiting_fetches_may_panic_as_a_close_drops_them() {
    let jobs = Collected::default();
    let cache = stale(6, |b| b.executor(jobs.clone()));
    let stale_reader = |key| {
        cache.get_swr(&key, fragile()).expect("stale").refresh().expect("handed over or queued")
    };
    let mut refreshes: Vec<_> = (0..4).map(stale_reader).collect();
    // The second is handed over, and leaves two of its batch; two more come.
    jobs.next().run();
    let second = jobs.next();
    refreshes.extend((4..6).map(stale_reader));
    let panic = catch_unwind(AssertUnwindSafe(|| cache.close()));
    assert_eq!(message(&*panic.expect_err("the first's")), "a destructor that panics");
    assert!(refreshes[2..].iter().all(ended_closed), "all that waited");
    second.run();
    assert!(cache.close_timeout(PATIENCE), "nothing runs");
}

#[test]
fn a_refresh_dropped_by_close_starts_no_back_off() {
    let clock = ManualClock::new();
    let cache = stale_at(&clock, 2, |b| b.back_off(BackOff::fixed(secs(5))));
    let source = Source::new();
    drop(cache.get_swr(&0, source.fetch()).expect("stale"));
    let run = source.started();
    drop(cache.get_swr(&1, source.fetch()).expect("stale"));
    cache.close();
    let served = cache.get_stale(&1, |_| Ok(11)).expect("not in back-off");
    assert!(*served == 11 && matches!(served.state(), State::Fresh));
    run.succeed(1);
}

#[test]
fn close_timeout_says_whether_what_ran_has_ended() {
    let cache = stale(1, |b| b);
    assert!(stale(1, |b| b).close_timeout(PATIENCE), "nothing ran");
    let source = Source::new();
    drop(cache.get_swr(&0, source.fetch()).expect("stale"));
    let run = source.started();
    assert!(!cache.close_timeout(std::time::Duration::from_millis(20)), "it hangs");
    let closers: Vec<_> = (0..4)
        .map(|_| {
            let cache = cache.clone();
            go(move || cache.close_timeout(2 * PATIENCE))
        })
        .collect();
    run.succeed(1);
    assert!(closers.into_iter().all(|closer| closer.end()), "all are woken by its end");
    assert!(cache.close_timeout(std::time::Duration::ZERO), "and it stays ended");
    assert_eq!(cache.get(&0, never).expect("published"), 1);
}

#[test]
fn the_last_handle_may_go_inside_a_foreground_fetch() {
    let cache = stale(1, |b| b);
    let all = go(move || {
        let handle = Mutex::new(None);
        let served = {
            let cache = cache;
            let other = cache.clone();
            *handle.lock().expect("one thread") = Some(other);
            cache.get_stale(&0, |_| {
                drop(handle.lock().expect("one thread").take());
                Ok(1)
            })
        };
        *served.expect("loaded")
    });
    assert_eq!(all.end(), 1);
}

#[test]
fn the_last_handle_may_go_inside_a_background_fetch() {
    for permits in [1, 2] {
        let cache = stale(2, |b| b.max_concurrent_refresh(permits));
        let weakly = Arc::new(Mutex::new(Some(cache.clone())));
        let (told, tell) = mpsc::channel();
        let (go_on, going_on) = mpsc::channel::<()>();
        let inside = Arc::clone(&weakly);
        let served = cache.get_swr(&0, move |_| {
            going_on.recv().expect("the test goes on");
            drop(inside.lock().expect("no panic with it").take());
            let _ = told.send(());
            Ok(1)
        });
        let served = served.expect("stale");
        let refresh = served.refresh().expect("started");
        let second = cache.get_swr(&1, |_| Ok(2)).expect("stale").refresh().expect("waits or runs");
        drop(cache);
        go_on.send(()).expect("the fetch waits");
        tell.recv_timeout(PATIENCE).expect("no deadlock");
        if permits == 1 {
            assert!(ended_closed(&refresh), "its cache is gone");
        } else {
            // The second one, where it runs, may hold the cache for the moment that this one ends in.
            assert!(refresh.wait_timeout(PATIENCE).is_some(), "it ends");
        }
        assert!(second.wait_timeout(PATIENCE).is_some(), "it ended either way");
        assert_eq!(*served, 0, "a value that is held stays");
    }
}

#[test]
fn the_last_handle_may_go_inside_any_callback() {
    // One hook each that takes the last handle away, in the foreground and in the background.
    type Kept = Arc<Mutex<Option<Cache>>>;
    let take = |kept: &Kept| {
        let kept = Arc::clone(kept);
        move || drop(kept.lock().expect("no panic with it").take())
    };
    type Setting = Box<dyn Fn(Builder<u32, u32, Failure>, &Kept) -> Builder<u32, u32, Failure>>;
    let hooks: Vec<(&str, Setting)> = vec![
        (
            "on_error",
            Box::new(move |b, kept| {
                let take = take(kept);
                b.on_error(move |_, _| take())
            }),
        ),
        (
            "on_panic",
            Box::new(move |b, kept| {
                let take = take(kept);
                b.on_panic(move |_, _| take())
            }),
        ),
        (
            "verdict",
            Box::new(move |b, kept| {
                let take = take(kept);
                b.verdict(move |_| {
                    take();
                    Default::default()
                })
            }),
        ),
        (
            "lifetime",
            Box::new(move |b, kept| {
                let take = take(kept);
                b.lifetime(move |_, value| {
                    if *value == 1 {
                        take();
                    }
                    Default::default()
                })
            }),
        ),
    ];
    for (name, hook) in hooks {
        for background in [true, false] {
            let kept: Kept = Arc::default();
            let cache = stale(1, |b| hook(b, &kept));
            *kept.lock().expect("no panic with it") = Some(cache.clone());
            let source = Source::new();
            let ended = if background {
                let served = cache.get_swr(&0, source.fetch()).expect("stale");
                let refresh = served.refresh().expect("started");
                go(move || drop(refresh.wait()))
            } else {
                let (cache, source) = (cache.clone(), Arc::clone(&source));
                go(move || drop(cache.get(&0, source.fetch())))
            };
            let run = source.started();
            drop(cache);
            match name {
                "on_panic" => run.panic("boom"),
                "lifetime" => run.succeed(1),
                _ => run.fail("down"),
            }
            drop(ended.outcome());
            until(name, || kept.lock().expect("no panic with it").is_none());
        }
    }
}

/// A value that says when it is gone.
#[derive(Debug)]
struct Tracked(u32, Arc<Mutex<BTreeSet<u32>>>);

impl Tracked {
    fn new(id: u32, living: &Arc<Mutex<BTreeSet<u32>>>) -> Self {
        assert!(living.lock().expect("no panic with it").insert(id), "ids are used once");
        Tracked(id, Arc::clone(living))
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        assert!(self.1.lock().expect("no panic with it").remove(&self.0), "dropped once");
    }
}

#[test]
fn nothing_cached_outlives_the_last_served_even_while_a_refresh_hangs() {
    let living = Arc::default();
    let clock = ManualClock::new();
    let cache = builder::<Tracked>(&clock).build().expect("the settings agree");
    for key in 0..100 {
        cache.set(key, Tracked::new(key, &living));
    }
    clock.set(STALE);
    let source = Source::<Tracked>::new();
    let served = cache.get_swr(&0, source.fetch()).expect("stale");
    let hanging = source.started();
    let refresh = served.refresh().expect("started");
    let queued = cache.get_swr(&1, source.fetch()).expect("stale").refresh().expect("queued");
    drop(cache);
    assert_eq!(*living.lock().expect("no panic with it"), BTreeSet::from([0]), "what is held");
    assert!(matches!(queued.wait_timeout(PATIENCE), Some(Err(Error::Closed))));
    assert_eq!(served.0, 0);
    drop(served);
    assert!(living.lock().expect("no panic with it").is_empty(), "while the fetch hangs");
    hanging.succeed(Tracked::new(1_000, &living));
    assert!(matches!(refresh.wait_timeout(PATIENCE), Some(Err(Error::Closed))));
    until("the late value goes too", || living.lock().expect("no panic with it").is_empty());
}

#[test]
fn dropping_the_last_handle_waits_for_no_refresh() {
    let cache = stale(1, |b| b);
    let source = Source::new();
    let refresh = cache.get_swr(&0, source.fetch()).expect("stale").refresh().expect("started");
    let run = source.started();
    go(move || drop(cache)).end();
    assert!(!refresh.is_done(), "its fetch hangs");
    run.fail("down");
    assert!(refresh.wait_timeout(PATIENCE).is_some());
}

#[test]
fn a_handle_waits_with_and_without_a_bound() {
    let cache = stale(1, |b| b);
    let source = Source::new();
    let served = cache.get_swr(&0, source.fetch()).expect("stale");
    let handle = served.refresh().expect("started");
    let run = source.started();
    assert!(!handle.is_done());
    assert!(handle.wait_timeout(std::time::Duration::ZERO).is_none());
    assert!(handle.wait_timeout(std::time::Duration::from_millis(5)).is_none());
    let waiting = go(move || handle.wait().map_err(|error| error.fetch_error().copied()));
    let second = served.refresh().expect("the same");
    run.fail("down");
    assert_eq!(waiting.end(), Err(Some("down")));
    assert!(matches!(second.wait_timeout(PATIENCE), Some(Err(Error::Fetch(_)))));
    assert!(second.is_done() && second.wait().is_err(), "it stays known");
    assert!(format!("{second:?}").contains("is_done: true"));
}

#[test]
fn a_hundred_thousand_waits_in_vain_leave_the_refresh_working() {
    let cache = stale(1, |b| b);
    let source = Source::new();
    let handle = cache.get_swr(&0, source.fetch()).expect("stale").refresh().expect("started");
    let run = source.started();
    for _ in 0..100_000 {
        assert!(handle.wait_timeout(std::time::Duration::ZERO).is_none());
    }
    run.succeed(1);
    assert!(ended_well(&handle));
}

#[test]
fn refresh_is_none_where_none_is_under_way() {
    let clock = ManualClock::new();
    let cache = stale_at(&clock, 2, |b| b.refresh_queue(0));
    assert!(cache.set(2, 20));
    let fresh = cache.get_swr(&2, never).expect("fresh");
    assert!(fresh.refresh().is_none());
    let idle = cache.peek(&0).expect("stale");
    assert!(idle.refresh().is_none(), "nobody asked for one");
    let source = Source::new();
    drop(cache.get_swr(&0, source.fetch()).expect("stale"));
    let run = source.started();
    let handle = idle.refresh().expect("now there is one, and the old answer finds it");
    run.succeed(1);
    assert!(ended_well(&handle));
    assert!(idle.refresh().is_none(), "it is over, and this value was replaced");
}

#[test]
fn after_a_failed_refresh_the_next_stale_read_starts_another() {
    let clock = ManualClock::new();
    let cache = stale_at(&clock, 1, |b| b.executor(CallerRuns));
    for n in 1..=3 {
        let served = cache.get_swr(&0, |_| Err("down")).expect("stale");
        assert!(ended(served.refresh().expect("started")).is_err());
        assert_eq!((cache.stats().refreshes, cache.stats().failures), (n, n));
        assert_eq!(served.age(), STALE, "a failure makes nothing look younger");
    }
    drop(cache.get_swr(&0, |_| Ok(1)).expect("stale"));
    assert_eq!(cache.get(&0, never).expect("fresh"), 1);
}

#[test]
fn a_thousand_keys_that_expire_at_once_are_all_refreshed() {
    const KEYS: u32 = 1_000;
    let cache = stale(KEYS, |b| b.max_concurrent_refresh(4));
    let most = Arc::new(AtomicUsize::new(0));
    let inside = Arc::new(AtomicUsize::new(0));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (cache, most, inside) = (cache.clone(), Arc::clone(&most), Arc::clone(&inside));
            go(move || {
                for key in 0..KEYS {
                    let (most, inside) = (Arc::clone(&most), Arc::clone(&inside));
                    let served = cache.get_swr(&key, move |key| {
                        most.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
                        thread::yield_now();
                        inside.fetch_sub(1, SeqCst);
                        Ok(key + 1)
                    });
                    drop(served.expect("there is a value"));
                }
            })
        })
        .collect();
    readers.into_iter().for_each(controlled::Going::end);
    until("all are refreshed", || cache.stats().loads == u64::from(KEYS));
    assert!((0..KEYS).all(|key| cache.get(&key, never).expect("fresh") == key + 1));
    assert!(most.load(SeqCst) <= 4, "{most:?} at once");
    assert_eq!(cache.stats().refreshes, u64::from(KEYS), "one each");
}

#[test]
fn a_refresh_that_is_admitted_before_the_cache_closes_and_started_after_it_ends() {
    type OfClosing = lastcache::Cache<Closing, u32, Failure>;
    thread_local! {
        static AT_NEXT_CLONE: RefCell<Option<OfClosing>> = const { RefCell::new(None) };
    }
    /// Cloned for a refresh that has been admitted, and that nobody has started yet.
    #[derive(PartialEq, Eq, Hash)]
    struct Closing(u32);
    impl Clone for Closing {
        fn clone(&self) -> Closing {
            if let Some(cache) = AT_NEXT_CLONE.take() {
                cache.close();
            }
            Closing(self.0)
        }
    }
    for must_queue in [false, true] {
        let clock = ManualClock::new();
        let base = lastcache::Cache::<Closing, u32>::builder().error_type();
        let windows = base.ttl(STALE).stale_while_revalidate(STALE).clock(&clock);
        let built = windows.max_concurrent_refresh(1).build();
        let cache: OfClosing = built.expect("the settings agree");
        assert!(cache.set(Closing(0), 0) && cache.set(Closing(1), 10));
        clock.set(STALE);
        let source = Source::new();
        let running = must_queue.then(|| {
            let fetch = source.fetch();
            drop(cache.get_swr(&Closing(0), move |key| fetch(&key.0)).expect("stale"));
            source.started()
        });
        AT_NEXT_CLONE.set(Some(cache.clone()));
        let served = cache.get_swr(&Closing(1), |_| Ok(11)).expect("stale");
        assert!(AT_NEXT_CLONE.take().is_none(), "it was closed");
        let refresh = served.refresh().expect("started");
        match refresh.wait_timeout(PATIENCE).expect("it ends") {
            Ok(()) => assert!(!must_queue, "it had a permit"),
            Err(error) => assert!(must_queue && matches!(error, Error::Closed)),
        }
        if let Some(run) = running {
            run.succeed(1);
        }
        assert!(cache.close_timeout(PATIENCE));
        assert_eq!(cache.stats().refreshes, 1);
    }
}

#[test]
fn refreshes_started_before_and_while_the_cache_closes_all_end() {
    for round in 0..controlled::scaled(100) {
        let cache = stale(25, |b| b.max_concurrent_refresh(2));
        let source = Source::new();
        let running = refresh_all(&cache, &source, 0..2);
        let runs = [source.started(), source.started()];
        let gate = Arc::new(Barrier::new(3));
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let (cache, gate) = (cache.clone(), Arc::clone(&gate));
                go(move || {
                    let refresh = |key| {
                        let served = cache.get_swr(&key, |key| Ok(*key)).expect("a value");
                        served.refresh()
                    };
                    let queued: Vec<Option<Refresh>> = (2..8).map(refresh).collect();
                    gate.wait();
                    let beside: Vec<Option<Refresh>> = (8..24).map(refresh).collect();
                    (queued, beside)
                })
            })
            .collect();
        gate.wait();
        let end = || runs.into_iter().for_each(|run| run.succeed(1));
        // Permits come back while those that wait are dropped, or these are dropped before.
        let closed_first = round % 2 == 0;
        if closed_first {
            cache.close();
            end();
        } else {
            end();
            cache.close();
        }
        assert!(cache.get_swr(&24, never).expect("stale").refresh().is_none(), "it is closed");
        assert!(cache.close_timeout(PATIENCE), "what runs ends");
        assert!(running.iter().all(ended_well));
        for (queued, beside) in readers.into_iter().map(Going::end) {
            for refresh in queued {
                let refresh = refresh.expect("it waits for a permit");
                let ended = refresh.wait_timeout(PATIENCE).expect("one way or the other");
                assert!(!closed_first || matches!(ended, Err(Error::Closed)), "{ended:?}");
            }
            for refresh in beside.into_iter().flatten() {
                assert!(refresh.wait_timeout(PATIENCE).is_some(), "it ends as well");
            }
        }
        assert!(cache.close_timeout(PATIENCE));
    }
}

#[cfg(feature = "tokio")]
mod on_tokio {
    use super::*;

    #[test]
    fn refreshes_run_on_a_tokio_runtime() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build();
        let runtime = runtime.expect("a runtime");
        let cache = stale(4, |b| b.executor(runtime.handle().clone()).max_concurrent_refresh(2));
        let source = Source::new();
        let refreshes = refresh_all(&cache, &source, 0..4);
        // Both permits hang, and the runtime's one worker is still free for other tasks.
        let hanging = [source.started(), source.started()];
        let other = runtime.spawn(async { 42 });
        assert_eq!(runtime.block_on(other).expect("it runs"), 42);
        hanging.into_iter().for_each(|run| run.succeed(1));
        [source.started(), source.started()].into_iter().for_each(|run| run.succeed(1));
        assert!(refreshes.iter().all(ended_well));
        assert!((0..4).all(|key| cache.get(&key, never).expect("fresh") == 1));
    }

    #[test]
    fn a_runtime_that_has_shut_down_gives_refreshes_up() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build();
        let runtime = runtime.expect("a runtime");
        let cache = stale(1, |b| b.executor(runtime.handle().clone()));
        runtime.shutdown_background();
        for _ in 0..2 {
            let served = cache.get_swr(&0, never).expect("stale");
            assert!(ended_closed(&served.refresh().expect("given up")));
        }
    }
}
