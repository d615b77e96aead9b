//! What the calls of tasks allocate, counted per thread by a global allocator: a binary of its own.

#[path = "support/controlled.rs"]
mod controlled;
#[path = "support/counting.rs"]
mod counting;

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use controlled::{Cache, Collected, Failure, STALE, builder};
use counting::allocations;
use lastcache::ManualClock;

const MANY: u32 = 10_000;

fn built(clock: &ManualClock, jobs: &Collected) -> Cache {
    let cache = builder(clock).capacity(20_000).executor(jobs.clone());
    cache.build().expect("the settings agree")
}

async fn absurd() -> Result<u32, Failure> {
    panic!("no fetch is due")
}

/// Polls once, without a waker that would cost anything.
fn poll<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

#[test]
fn a_hit_of_a_task_allocates_nothing() {
    let clock = ManualClock::new();
    let cache = built(&clock, &Collected::default());
    for key in 0..1_000 {
        cache.set(key, key);
    }
    let hits: [(&str, &dyn Fn(u32) -> Option<u32>); 3] = [
        ("get", &|key| poll(cache.get_async(&key, absurd()))?.ok()),
        ("get_stale", &|key| poll(cache.get_stale_async(&key, absurd()))?.ok().map(|s| *s)),
        ("get_swr", &|key| poll(cache.get_swr_async(&key, absurd()))?.ok().map(|s| *s)),
    ];
    for (name, hit) in hits {
        assert_eq!(hit(0), Some(0)); // The thread's first.
        let count = allocations(|| {
            for n in 0..MANY {
                assert_eq!(hit(n % 1_000), Some(n % 1_000));
            }
        });
        assert_eq!(count, 0, "{name}");
    }
}

#[test]
fn a_stale_hit_of_a_task_allocates_nothing_while_a_refresh_is_under_way() {
    let (clock, jobs) = (ManualClock::new(), Collected::default());
    let cache = built(&clock, &jobs);
    cache.set(1, 10);
    clock.set(STALE);
    drop(poll(cache.get_swr_async(&1, absurd())).expect("stale"));
    let count = allocations(|| {
        for _ in 0..MANY {
            let served = poll(cache.get_swr_async(&1, absurd())).expect("at once").expect("stale");
            assert!(*served == 10 && served.is_stale());
        }
    });
    assert_eq!((count, jobs.len()), (0, 1));
    drop(jobs.next());
}

#[test]
fn a_load_of_a_task_allocates_as_often_as_one_of_a_thread() {
    let clock = ManualClock::new();
    let cache = built(&clock, &Collected::default());
    let load = |key: u32| {
        assert!(matches!(poll(cache.get_async(&key, async move { Ok(key) })), Some(Ok(_))));
    };
    (0..200).for_each(load);
    let count = allocations(|| (200..200 + MANY).for_each(load));
    let mean = count as f64 / f64::from(MANY);
    // Placeholder, flight, snapshot; and a bag of the epoch's now and then.
    assert!((3.0..3.1).contains(&mean), "{mean} on average");
}

#[test]
fn a_refresh_that_is_ready_at_its_first_poll_allocates_three_times() {
    let (clock, jobs) = (ManualClock::new(), Collected::default());
    let cache = built(&clock, &jobs);
    (0..200 + MANY).for_each(|key| assert!(cache.set(key, 1)));
    clock.set(STALE);
    let refresh = |key: u32| {
        drop(poll(cache.get_swr_async(&key, async { Ok(2) })).expect("stale"));
        assert!(poll(jobs.next()).is_some());
    };
    (0..200).for_each(refresh);
    let count = allocations(|| (200..200 + MANY).for_each(refresh));
    let mean = count as f64 / f64::from(MANY);
    // Flight, task, snapshot; and a bag of the epoch's now and then.
    assert!((3.0..3.1).contains(&mean), "{mean} on average");
    assert_eq!(cache.stats().refreshes, u64::from(200 + MANY));
}

#[test]
fn a_refresh_that_is_polled_again_allocates_no_more() {
    let (clock, jobs) = (ManualClock::new(), Collected::default());
    let cache = built(&clock, &jobs);
    (0..200 + MANY).for_each(|key| assert!(cache.set(key, 1)));
    clock.set(STALE);
    let refresh = |key: u32| {
        let mut polled = false;
        let fetch = poll_fn(move |_| match std::mem::replace(&mut polled, true) {
            false => Poll::Pending,
            true => Poll::Ready(Ok(2)),
        });
        drop(poll(cache.get_swr_async(&key, fetch)).expect("stale"));
        let mut job = pin!(jobs.next());
        let mut context = Context::from_waker(Waker::noop());
        assert!(job.as_mut().poll(&mut context).is_pending());
        assert!(job.as_mut().poll(&mut context).is_ready());
    };
    (0..200).for_each(refresh);
    let count = allocations(|| (200..200 + MANY).for_each(refresh));
    let mean = count as f64 / f64::from(MANY);
    // As above: the waker that a close would wake sits where the one before it sat.
    assert!((3.0..3.1).contains(&mean), "{mean} on average");
}
