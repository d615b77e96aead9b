//! Who is told that a load has ended finds it over, on the spot: it asks for the key from within its waker.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use lastcache::{BackOff, ManualClock, State};

use crate::controlled::{Cache, Collected, STALE, builder, never, secs};
use crate::support::{Bell, turns};

/// A waker that asks for key 1, and keeps whether it was answered that the key is in back-off.
struct Asking {
    cache: Cache,
    told: Mutex<Option<bool>>,
}

impl Asking {
    fn of(cache: &Cache) -> Arc<Asking> {
        Arc::new(Asking { cache: cache.clone(), told: Mutex::new(None) })
    }

    fn poll<F: Future>(self: &Arc<Self>, future: Pin<&mut F>) -> Poll<F::Output> {
        let waker = Waker::from(Arc::clone(self));
        future.poll(&mut Context::from_waker(&waker))
    }

    fn was_told_of_a_back_off(&self) -> bool {
        self.told.lock().expect("one thread").expect("it was woken")
    }
}

impl Wake for Asking {
    fn wake(self: Arc<Self>) {
        let served = self.cache.get_swr(&1, |_| Ok(11)).expect("stale");
        let backs_off = matches!(served.state(), State::BackOff { .. });
        *self.told.lock().expect("one thread") = Some(backs_off);
    }
}

/// Key 1 is stale; what is handed over is collected.
fn stale(back_off: BackOff) -> (Cache, Collected) {
    let (clock, jobs) = (ManualClock::new(), Collected::default());
    let built = builder(&clock).executor(jobs.clone()).back_off(back_off).build();
    let cache = built.expect("the settings agree");
    cache.set(1, 10);
    clock.set(STALE);
    (cache, jobs)
}

#[test]
fn who_is_woken_by_a_failed_refresh_is_in_its_back_off() {
    let (cache, jobs) = stale(BackOff::fixed(secs(5)));
    let asking = Asking::of(&cache);
    let served = cache.get_swr(&1, |_| Err("down")).expect("stale");
    let mut refresh = pin!(served.refresh().expect("handed over"));
    assert!(asking.poll(refresh.as_mut()).is_pending());
    jobs.next().run();
    assert!(asking.was_told_of_a_back_off());
    assert!(jobs.take().is_none(), "no other one is started");
}

#[test]
fn who_is_woken_by_a_failed_refresh_starts_the_next_where_there_is_no_back_off() {
    let (cache, jobs) = stale(BackOff::NONE);
    let asking = Asking::of(&cache);
    let served = cache.get_swr(&1, |_| Err("down")).expect("stale");
    let mut refresh = pin!(served.refresh().expect("handed over"));
    assert!(asking.poll(refresh.as_mut()).is_pending());
    jobs.next().run();
    assert!(!asking.was_told_of_a_back_off());
    jobs.next().run();
    assert_eq!(cache.get(&1, never).expect("fresh"), 11);
}

#[test]
fn who_is_woken_by_a_refresh_that_is_given_up_starts_the_next() {
    let (cache, jobs) = stale(BackOff::fixed(secs(5)));
    let asking = Asking::of(&cache);
    let served = cache.get_swr(&1, never).expect("stale");
    let mut refresh = pin!(served.refresh().expect("handed over"));
    assert!(asking.poll(refresh.as_mut()).is_pending());
    drop(jobs.next());
    assert!(!asking.was_told_of_a_back_off(), "given up is not failed");
    jobs.next().run();
    assert_eq!(cache.get(&1, never).expect("fresh"), 11);
}

#[test]
fn who_joined_a_leader_that_fails_or_leaves_finds_the_key_free() {
    for leaves in [false, true] {
        let (cache, jobs) = stale(BackOff::NONE);
        let (asking, bell) = (Asking::of(&cache), Bell::new());
        let mut leader = Box::pin(cache.get_stale_async(&1, async {
            turns(1).await;
            Err("down")
        }));
        assert!(bell.poll(leader.as_mut()).is_pending());
        let mut joiner = pin!(cache.get_stale_async(&1, async { unreachable!("it joins") }));
        assert!(asking.poll(joiner.as_mut()).is_pending());
        if leaves {
            drop(leader);
        } else {
            assert!(bell.poll(leader.as_mut()).is_ready());
        }
        assert!(!asking.was_told_of_a_back_off());
        jobs.next().run();
        assert_eq!(cache.get(&1, never).expect("fresh"), 11);
    }
}

/// The key of a cold load's placeholder goes with the load; its destructor may panic.
#[test]
fn who_joined_a_cold_load_is_woken_although_its_keys_destructor_panics() {
    static BRITTLE: AtomicBool = AtomicBool::new(false);
    #[derive(Clone, PartialEq, Eq, Hash)]
    struct Key;
    impl Drop for Key {
        fn drop(&mut self) {
            if BRITTLE.swap(false, SeqCst) {
                std::panic::resume_unwind(Box::new("in Drop"));
            }
        }
    }
    let cache = lastcache::Cache::<Key, u32>::builder().build().expect("the settings agree");
    let bells = [Bell::new(), Bell::new()];
    let (key, fetch) = (Key, std::future::pending);
    let mut leader = Box::pin(cache.get_async(&key, fetch()));
    assert!(bells[0].poll(leader.as_mut()).is_pending());
    let mut joiner = Box::pin(cache.get_async(&key, fetch()));
    assert!(bells[1].poll(joiner.as_mut()).is_pending());
    BRITTLE.store(true, SeqCst);
    let panic = catch_unwind(AssertUnwindSafe(|| drop(leader)));
    assert!(panic.is_err() && bells[1].rung() == 1, "the placeholder's key, and then the end");
    assert!(bells[1].poll(joiner.as_mut()).is_pending(), "it leads now");
    drop(joiner);
    assert_eq!(cache.get(&key, |_| Ok(1)).expect("the key is free"), 1);
}

/// Does something once, when it is woken.
struct Errand(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Wake for Errand {
    fn wake(self: Arc<Self>) {
        let errand = self.0.lock().expect("one thread").take();
        errand.into_iter().for_each(|errand| errand());
    }
}

/// The set wakes whoever joined last first, and is not through with that when the leader ends.
#[test]
fn who_joined_is_woken_by_its_leader_though_a_set_that_came_first_is_held_up() {
    let cache: Cache = builder(&ManualClock::new()).build().expect("the settings agree");
    let bells = [Bell::new(), Bell::new()];
    let lead = |cache: Cache, bell: Arc<Bell>| async move {
        let led = cache.get_async(&1, async {
            turns(1).await;
            Ok(1)
        });
        assert_eq!(led.await.expect("the set's"), 2);
        assert_eq!(bell.rung(), 1, "the leader's call is over");
    };
    let mut leader = Box::pin(lead(cache.clone(), Arc::clone(&bells[1])));
    assert!(bells[0].poll(leader.as_mut()).is_pending());
    let mut joiner = pin!(cache.get_async(&1, async { unreachable!("it joins") }));
    assert!(bells[1].poll(joiner.as_mut()).is_pending());
    let mut last = pin!(cache.get_async(&1, async { unreachable!("it joins") }));
    let ended = Arc::new(AtomicBool::new(false));
    let errand: Box<dyn FnOnce() + Send> = Box::new({
        let (bell, ended) = (Arc::clone(&bells[0]), Arc::clone(&ended));
        // What panics in a waker goes no further.
        move || ended.store(bell.poll(leader.as_mut()).is_ready(), SeqCst)
    });
    let waker = Waker::from(Arc::new(Errand(Mutex::new(Some(errand)))));
    assert!(last.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(cache.set(1, 2));
    assert!(ended.load(SeqCst), "the leader ended well, and had woken the joiner");
    assert_eq!(bells[1].rung(), 1, "once");
}
