//! Guards and comparisons that show without a race: each test fails when one of them is gone.

#[path = "support/constant.rs"]
mod constant;
#[path = "support/controlled.rs"]
mod controlled;
#[path = "support/counting.rs"]
mod counting;
#[path = "support/tasks.rs"]
mod tasks;

use std::pin::pin;
use std::time::Duration;

use constant::Constant;
use controlled::{Cache, Collected, Failure, STALE, builder, never};
use counting::{BYTES, FREED};
use lastcache::ManualClock;
use tasks::{Bell, turns};

/// Keys 1 and 2 are stale; what is handed over is collected.
fn stale() -> (Cache, Collected) {
    let (clock, jobs) = (ManualClock::new(), Collected::default());
    let cache = builder(&clock).executor(jobs.clone()).build().expect("the settings agree");
    cache.set(1, 10);
    cache.set(2, 20);
    clock.set(STALE);
    (cache, jobs)
}

#[test]
fn keys_of_one_hash_are_told_apart() {
    let cache = lastcache::Cache::<u32, u32>::builder().hasher(Constant).capacity(100).build();
    let cache = cache.expect("the settings agree");
    let keys = 0..20;
    for key in keys.clone() {
        assert!(cache.set(key, 10 * key));
    }
    assert_eq!((cache.len(), cache.iter().count()), (20, 20));
    for key in keys.clone() {
        assert_eq!(cache.get(&key, |_| unreachable!("it was set")).expect("fresh"), 10 * key);
        assert_eq!(cache.peek(&key).as_deref(), Some(&(10 * key)));
    }
    for key in keys {
        assert!(cache.delete(&key) && cache.peek(&key).is_none());
    }
}

#[test]
fn a_set_that_ends_a_queued_refresh_leaves_nothing_to_start() {
    let (cache, jobs) = stale();
    drop(cache.get_swr(&1, never).expect("stale"));
    assert!(cache.set(1, 11));
    jobs.next().run();
    assert_eq!(cache.stats().refreshes, 0, "it had ended");
}

#[test]
fn a_thread_leaves_what_it_was_in_the_middle_of() {
    let (cache, jobs) = stale();
    for key in [1, 2] {
        drop(cache.get_swr(&key, |key| Ok(key + 100)).expect("stale"));
    }
    assert_eq!((jobs.len(), cache.stats().queued), (1, 1));
    drop(jobs.next());
    assert_eq!(jobs.len(), 1, "the second one is handed out on the same thread");
    jobs.next().run();
    assert_eq!(cache.peek(&2).as_deref(), Some(&102));
}

#[test]
fn a_fetch_may_join_the_load_of_another_key() {
    let (cache, _) = stale();
    let mut leader = pin!(cache.get_async(&3, async {
        turns(1).await;
        Ok(30)
    }));
    let bell = Bell::new();
    assert!(bell.poll(leader.as_mut()).is_pending());
    let value = cache.get(&4, |_| {
        let joined = bell.poll(pin!(cache.get_async(&3, async { unreachable!("it is led") })));
        assert!(joined.is_pending(), "it waits for another fetch, not for itself");
        Ok(40)
    });
    assert_eq!(value.expect("loaded"), 40);
    assert!(bell.poll(leader.as_mut()).is_ready());
}

#[test]
fn a_wait_in_vain_gives_its_seat_back() {
    let (cache, _jobs) = stale();
    let refresh = cache.get_swr(&1, never).expect("stale").refresh().expect("handed over");
    let wait = || assert!(refresh.wait_timeout(Duration::from_nanos(1)).is_none());
    let held = || BYTES.get() as i64 - FREED.get() as i64;
    wait();
    let before = held();
    (0..100).for_each(|_| wait());
    assert_eq!(held() - before, 0, "bytes");
}

#[test]
fn a_refresh_that_is_over_keeps_no_waker() {
    let (cache, jobs) = stale();
    let bell = Bell::new();
    let fetch = async {
        turns(1).await;
        Ok::<u32, Failure>(11)
    };
    drop(bell.poll(pin!(cache.get_swr_async(&1, fetch))));
    let mut job = jobs.next();
    assert!(bell.poll(pin!(&mut job)).is_pending());
    assert!(bell.wakers() > 0, "the close would wake it");
    assert!(bell.poll(pin!(&mut job)).is_ready());
    assert_eq!(bell.wakers(), 0);
}
