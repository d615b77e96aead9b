//! Hooks, readers and executors that panic or let the cache go, and fetches whose threads outlive them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread;

use lastcache::{Builder, CallerRuns, Job, ManualClock, Verdict, WeakCache};

use crate::controlled::{
    Cache, Collected, Error, Failure, PATIENCE, STALE, builder, ended, go, message, never, until,
};

type Setting = fn(Builder<u32, u32, Failure>, Arc<AtomicBool>) -> Builder<u32, u32, Failure>;

fn burn(armed: &AtomicBool, name: &'static str) {
    if armed.load(SeqCst) {
        panic!("{name}");
    }
}

/// Each hook, as one that panics while it is armed; and whether it runs before the flight has ended.
const HOOKS: [(&str, Setting, bool); 5] = [
    (
        "verdict",
        |b, armed| {
            b.verdict(move |_| {
                burn(&armed, "verdict");
                Default::default()
            })
        },
        true,
    ),
    (
        "lifetime",
        |b, armed| {
            b.lifetime(move |_, _| {
                burn(&armed, "lifetime");
                Default::default()
            })
        },
        true,
    ),
    (
        "weigher",
        |b, armed| {
            b.max_weight(100).weigher(move |_, _| {
                burn(&armed, "weigher");
                1
            })
        },
        true,
    ),
    ("on_error", |b, armed| b.on_error(move |_, _| burn(&armed, "on_error")), false),
    ("on_panic", |b, armed| b.on_panic(move |_, _| burn(&armed, "on_panic")), false),
];

/// A fetch that makes the named hook run.
fn reaching(hook: &'static str) -> impl FnOnce(&u32) -> Result<u32, Failure> + Send + 'static {
    move |_| match hook {
        "verdict" | "on_error" => Err("down"),
        "on_panic" => panic!("fetch"),
        _ => Ok(1),
    }
}

fn hooked(setting: Setting) -> (ManualClock, Cache, Arc<AtomicBool>) {
    let (clock, armed) = (ManualClock::new(), Arc::new(AtomicBool::new(false)));
    let built = setting(builder(&clock).executor(CallerRuns), Arc::clone(&armed)).build();
    (clock, built.expect("the settings agree"), armed)
}

#[test]
fn a_hook_that_panics_in_front_harms_only_its_call() {
    for (name, setting, judges) in HOOKS {
        for stale in [false, true] {
            let (clock, cache, armed) = hooked(setting);
            cache.set(2, 20);
            if stale {
                cache.set(1, 10);
                clock.advance(STALE);
            }
            armed.store(true, SeqCst);
            let panic = catch_unwind(AssertUnwindSafe(|| cache.get(&1, reaching(name)).map(drop)));
            let said = message(&*panic.expect_err(name));
            assert_eq!(said, name, "stale: {stale}");
            let stats = cache.stats();
            assert_eq!((stats.failures, stats.loads), (1, 0), "{name} counts as what it judged");
            assert_eq!(stats.panics, u64::from(judges || name == "on_panic"), "{name}");
            // The key is free, what was there is there, the cache goes on.
            assert_eq!(cache.contains_key(&1), stale, "{name}");
            armed.store(false, SeqCst);
            assert_eq!(cache.get(&1, |_| Ok(2)).expect("loaded"), 2, "{name}");
            assert_eq!(cache.get(&1, never).expect("fresh"), 2, "{name}");
            assert!(cache.set(3, 3) && cache.delete(&3), "{name}");
        }
    }
}

#[test]
fn who_joined_a_load_whose_hook_panics_is_told_and_the_key_is_free() {
    for (name, setting, judges) in HOOKS {
        let (_clock, cache, armed) = hooked(setting);
        armed.store(true, SeqCst);
        let (go_on, going_on) = mpsc::channel::<()>();
        let (began, begun) = mpsc::channel();
        let leader = go({
            let cache = cache.clone();
            move || {
                drop(cache.get(&1, move |key| {
                    began.send(()).expect("the test listens");
                    going_on.recv_timeout(PATIENCE).expect("the test goes on");
                    reaching(name)(key)
                }));
            }
        });
        begun.recv_timeout(PATIENCE).expect("the fetch begins");
        let joiner = go({
            let cache = cache.clone();
            move || cache.get(&1, never)
        });
        until("it joins", || cache.stats().joins == 1);
        go_on.send(()).expect("the fetch waits");
        assert_eq!(leader.panic(), name);
        let told = joiner.end().expect_err("no value");
        assert_eq!(
            matches!(told, Error::Panicked),
            judges || name == "on_panic",
            "{name}: {told:?}"
        );
        armed.store(false, SeqCst);
        assert_eq!(cache.get(&1, |_| Ok(2)).expect("loaded"), 2, "{name}");
    }
}

#[test]
fn a_failed_fetch_is_told_also_where_its_verdict_panics() {
    let (told, panicked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (errors, panics) = (Arc::clone(&told), Arc::clone(&panicked));
    let hooked = builder(&ManualClock::new()).verdict(|_| panic!("verdict"));
    let hooked = hooked.on_error(move |_, _| _ = errors.fetch_add(1, SeqCst));
    let hooked = hooked.on_panic(move |_, _| _ = panics.fetch_add(1, SeqCst));
    let cache: Cache = hooked.build().expect("the settings agree");
    let led = catch_unwind(AssertUnwindSafe(|| cache.get(&1, |_| Err("down"))));
    assert_eq!(message(&*led.expect_err("its verdict panics")), "verdict");
    assert_eq!((told.load(SeqCst), panicked.load(SeqCst)), (1, 1));
}

#[test]
fn every_failed_fetch_is_told_whatever_its_verdict_and_whoever_came_first() {
    for verdict in [Verdict::ServeStale, Verdict::Propagate, Verdict::Remove] {
        for [stale, overtaken, behind] in (0..8).map(|n| [n & 1, n & 2, n & 4].map(|bit| bit > 0)) {
            let (clock, told) = (ManualClock::new(), Arc::new(AtomicUsize::new(0)));
            let heard = Arc::clone(&told);
            let hooked = builder(&clock).executor(CallerRuns).verdict(move |_| verdict);
            let hooked = hooked.on_error(move |key, error| {
                heard.fetch_add(if (*key, *error) == (1, "down") { 1 } else { 100 }, SeqCst);
            });
            let cache: Cache = hooked.build().expect("the settings agree");
            if stale {
                cache.set(1, 10);
                clock.advance(STALE);
            }
            let theirs = cache.clone();
            let fetch = move |key: &u32| {
                if overtaken {
                    theirs.set(*key, 5);
                }
                Err("down")
            };
            if behind {
                drop(cache.get_swr(&1, fetch));
            } else {
                drop(cache.get(&1, fetch));
            }
            let case = format!("{verdict:?}, {stale} {overtaken} {behind}");
            assert_eq!((told.load(SeqCst), cache.stats().failures), (1, 1), "{case}");
        }
    }
}

#[test]
fn the_verdict_is_not_asked_of_a_panic_nor_is_on_error_told() {
    for background in [false, true] {
        let clock = ManualClock::new();
        let (asked, told) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (judge, hear, listen) = (Arc::clone(&asked), Arc::clone(&asked), Arc::clone(&told));
        let base = builder(&clock).executor(CallerRuns).verdict(move |_| {
            judge.fetch_add(1, SeqCst);
            Verdict::Remove
        });
        let base = base.on_error(move |_, _| {
            hear.fetch_add(1, SeqCst);
        });
        let base = base.on_panic(move |key, message| {
            listen.lock().expect("no panic with it").push((*key, message.to_owned()));
        });
        let cache = base.build().expect("the settings agree");
        cache.set(1, 10);
        clock.advance(STALE);
        if background {
            let served = cache.get_swr(&1, |_| panic!("boom")).expect("stale");
            let ended = ended(served.refresh().expect("started"));
            assert!(matches!(ended, Err(Error::Panicked)));
        } else {
            let panic = catch_unwind(AssertUnwindSafe(|| cache.get(&1, |_| panic!("boom"))));
            assert_eq!(message(&*panic.expect_err("it goes on")), "boom");
        }
        assert_eq!(asked.load(SeqCst), 0, "background: {background}");
        assert_eq!(*told.lock().expect("no panic with it"), [(1, "boom".to_owned())]);
        assert_eq!((cache.stats().failures, cache.stats().panics), (1, 1));
        assert_eq!(cache.peek(&1).as_deref(), Some(&10), "a source that is down removes nothing");
    }
}

#[test]
fn a_set_whose_hook_panics_changes_nothing() {
    for (name, setting, _) in
        HOOKS.into_iter().filter(|(name, ..)| ["lifetime", "weigher"].contains(name))
    {
        let (_clock, cache, armed) = hooked(setting);
        cache.set(1, 10);
        armed.store(true, SeqCst);
        for key in [1, 2] {
            let panic = catch_unwind(AssertUnwindSafe(|| cache.set(key, 5)));
            assert_eq!(message(&*panic.expect_err(name)), name);
        }
        armed.store(false, SeqCst);
        assert_eq!((cache.peek(&1).as_deref(), cache.len()), (Some(&10), 1), "{name}");
        assert!(cache.set(1, 11), "{name}");
    }
}

#[test]
fn a_reader_that_panics_harms_only_its_call() {
    let clock = ManualClock::new();
    let cache = builder(&clock).build().expect("the settings agree");
    cache.set(1, 10);
    let read = |key: u32| {
        let read = |_: &u32| -> u32 { panic!("read") };
        let panic =
            catch_unwind(AssertUnwindSafe(|| cache.get_with(&key, read, |_| Ok(20)).map(drop)));
        message(&*panic.expect_err("it panics"))
    };
    assert_eq!((read(1), read(2)), ("read".into(), "read".into()), "of a hit, and of a load");
    assert_eq!(cache.get(&1, never).expect("fresh"), 10);
    assert_eq!(cache.get(&2, never).expect("loaded before it was read"), 20);
}

#[test]
fn an_executor_that_panics_after_it_ran_the_job_loses_nothing() {
    let clock = ManualClock::new();
    let built = builder(&clock).executor(|job: Job| {
        job.run();
        panic!("after it");
    });
    let cache = built.build().expect("the settings agree");
    cache.set(1, 10);
    for round in 0..5 {
        clock.advance(STALE);
        let panic =
            catch_unwind(AssertUnwindSafe(|| cache.get_swr(&1, move |_| Ok(round)).map(drop)));
        assert_eq!(message(&*panic.expect_err("the executor's")), "after it");
        assert_eq!(cache.get(&1, never).expect("refreshed all the same"), round);
    }
    assert!(cache.close_timeout(PATIENCE), "every permit came back");
}

#[test]
fn an_executor_that_panics_over_a_queued_job_gives_it_up_and_keeps_no_permit() {
    let clock = ManualClock::new();
    let (jobs, calls) = (Collected::default(), Arc::new(AtomicUsize::new(0)));
    let executor = {
        let (jobs, calls) = (jobs.clone(), Arc::clone(&calls));
        move |job: Job| {
            // The first is kept for later; the second, handed out as the first ends, is refused.
            assert!(calls.fetch_add(1, SeqCst) != 1, "refused");
            lastcache::Executor::execute(&jobs, job);
        }
    };
    let cache = builder(&clock).executor(executor).build().expect("the settings agree");
    cache.set(1, 10);
    cache.set(2, 20);
    clock.advance(STALE);
    let first = cache.get_swr(&1, |_| Ok(11)).expect("stale").refresh().expect("handed over");
    let second = cache.get_swr(&2, |_| Ok(21)).expect("stale").refresh().expect("queued");
    let job = jobs.next();
    let panic = catch_unwind(AssertUnwindSafe(|| job.run()));
    assert_eq!(message(&*panic.expect_err("in whoever handed it out")), "refused");
    assert!(matches!(first.wait_timeout(PATIENCE), Some(Ok(()))));
    assert!(matches!(second.wait_timeout(PATIENCE), Some(Err(Error::Closed))));
    let again =
        cache.get_swr(&2, |_| Ok(22)).expect("stale").refresh().expect("the permit is back");
    jobs.next().run();
    assert!(matches!(again.wait_timeout(PATIENCE), Some(Ok(()))));
    assert_eq!(cache.get(&2, never).expect("refreshed"), 22);
}

#[test]
fn a_hook_reaches_its_cache_by_a_weak_handle_and_does_not_keep_it_alive() {
    let own = Arc::new(OnceLock::<WeakCache<u32, Arc<()>, Failure>>::new());
    let (value, hooks) = (Arc::new(()), Arc::clone(&own));
    let mark = Arc::clone(&value);
    let hooked = builder(&ManualClock::new()).on_error(move |key, _| {
        let cache = hooks.get().and_then(WeakCache::upgrade).expect("its call is under way");
        assert!(cache.set(key + 1, Arc::clone(&mark)));
    });
    let cache: Cache<Arc<()>> = hooked.build().expect("the settings agree");
    assert!(own.set(cache.downgrade()).is_ok());
    assert!(cache.get(&1, |_| Err("down")).is_err());
    assert!(cache.contains_key(&2));
    let weak = own.get().expect("set above").clone();
    let again = weak.upgrade().expect("there is a handle");
    drop(cache);
    assert!(again.contains_key(&2), "a handle like any other");
    drop(again);
    assert!(weak.upgrade().is_none());
    assert_eq!(Arc::strong_count(&value), 1, "hook and value are gone with the last handle");
}

#[test]
fn the_last_handle_may_go_in_a_weigher_or_an_executor() {
    type Kept = Arc<Mutex<Option<Cache>>>;
    let take = |kept: &Kept| {
        let kept = Arc::clone(kept);
        move || drop(kept.lock().expect("no panic with it").take())
    };
    for hook in ["weigher", "executor"] {
        let (clock, kept) = (ManualClock::new(), Kept::default());
        let base = builder(&clock);
        let base = if hook == "weigher" {
            let take = take(&kept);
            base.max_weight(100).weigher(move |_, value| {
                if *value == 1 {
                    take();
                }
                1
            })
        } else {
            let take = take(&kept);
            base.executor(move |job: Job| {
                take();
                job.run();
            })
        };
        let cache = base.build().expect("the settings agree");
        cache.set(1, 10);
        clock.advance(STALE);
        let theirs = cache.clone();
        *kept.lock().expect("no panic with it") = Some(cache);
        let ended = go(move || {
            let served = theirs.get_swr(&1, |_| Ok(1)).expect("stale");
            let refresh = served.refresh().expect("started");
            drop(theirs);
            (*served, refresh.wait_timeout(PATIENCE).is_some())
        });
        assert_eq!(ended.end(), (10, true), "{hook}");
        drop(kept.lock().expect("no panic with it").take());
    }
}

#[test]
fn a_thread_that_a_fetch_starts_may_outlive_it_and_the_cache() {
    for background in [false, true] {
        let clock = ManualClock::new();
        let cache = builder(&clock).build().expect("the settings agree");
        cache.set(1, 10);
        clock.advance(STALE);
        let (go_on, going_on) = mpsc::channel::<()>();
        let (ended, end) = mpsc::channel();
        let fetch = {
            let cache = cache.clone();
            move |_: &u32| {
                thread::spawn(move || {
                    going_on.recv_timeout(PATIENCE).expect("the test goes on");
                    // By now its flight has ended: it is no fetch of this key any more.
                    let fresh = cache.get(&1, never);
                    let loaded = cache.get(&2, |_| Ok(20));
                    cache.set(1, 12);
                    let _ = ended.send((fresh.ok(), loaded.ok(), cache.get(&1, never).ok()));
                });
                Ok(11)
            }
        };
        if background {
            let refresh = cache.get_swr(&1, fetch).expect("stale").refresh().expect("started");
            assert!(matches!(refresh.wait_timeout(PATIENCE), Some(Ok(()))));
        } else {
            assert_eq!(cache.get(&1, fetch).expect("loaded"), 11);
        }
        drop(cache);
        go_on.send(()).expect("the thread waits");
        let told = end.recv_timeout(PATIENCE).expect("it ends");
        assert_eq!(told, (Some(11), Some(20), Some(12)));
    }
}

#[test]
fn a_fetch_that_waits_for_a_thread_of_its_own_may_ask_for_other_keys_in_it() {
    let clock = ManualClock::new();
    let cache = builder(&clock).build().expect("the settings agree");
    let inner = cache.clone();
    let all = go(move || {
        cache.get(&1, |_| {
            let (other, stale) = thread::scope(|scope| {
                let other = scope.spawn(|| inner.get(&2, |_| Ok(20)));
                let own = scope.spawn(|| inner.peek(&1).is_some());
                (other.join().expect("no panic"), own.join().expect("no panic"))
            });
            assert!(!stale, "nothing is there yet");
            other.map(|value| value + 1).map_err(|_| "down")
        })
    });
    assert_eq!(all.end().expect("loaded"), 21);
}
