//! Cancelled waits leave nothing behind: a process of its own, since a thread's pins also free what other
//! threads deferred.

#[path = "support/controlled.rs"]
mod controlled;
#[path = "support/counting.rs"]
mod counting;
#[path = "support/tasks.rs"]
mod tasks;

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use controlled::{Cache, Collected, Failure, GONE, STALE, builder};
use counting::{BYTES, FREED};
use lastcache::ManualClock;
use tasks::turns;

async fn absurd() -> Result<u32, Failure> {
    panic!("no fetch is due")
}

async fn slow() -> Result<u32, Failure> {
    turns(1).await;
    Ok(7)
}

/// Bytes that this thread allocated and has not freed.
fn held() -> i64 {
    BYTES.get() as i64 - FREED.get() as i64
}

/// One wait after another, each cancelled before the next.
fn alone(cache: &Cache) {
    let wait = || {
        let polled =
            pin!(cache.get_async(&1, absurd())).poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
    };
    // The first one takes the one seat that all others take over.
    wait();
    let before = held();
    (0..100_000).for_each(|_| wait());
    assert_eq!(held() - before, 0, "bytes");
}

/// So many waits at once, all cancelled before the next so many.
fn together(cache: &Cache, crowd: u32, waves: u32) {
    let wave = || {
        let mut joiners: Vec<_> =
            (0..crowd).map(|_| Box::pin(cache.get_async(&1, absurd()))).collect();
        for joiner in &mut joiners {
            let polled = joiner.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending());
        }
    };
    wave();
    let before = held();
    (0..waves).for_each(|_| wave());
    assert_eq!(held() - before, 0, "bytes");
}

#[test]
fn a_hundred_thousand_waits_for_a_close_in_vain_leave_nothing_behind() {
    let clock = ManualClock::new();
    let jobs = Collected::default();
    let built = builder(&clock).stale_while_revalidate(GONE).executor(jobs.clone()).build();
    let cache: Cache = built.expect("the settings agree");
    cache.set(1, 1);
    clock.advance(STALE);
    assert_eq!(cache.get_swr(&1, |_| Ok(2)).map(|served| *served).ok(), Some(1));
    // The first one takes the seat that all others take over.
    assert!(!cache.close_timeout(Duration::ZERO));
    let before = held();
    (0..100_000).for_each(|_| assert!(!cache.close_timeout(Duration::ZERO)));
    assert_eq!(held() - before, 0, "bytes");
    drop(jobs.next());
    assert!(cache.close_timeout(Duration::ZERO));
}

#[test]
fn a_hundred_thousand_cancelled_waits_leave_nothing_behind() {
    let cache: Cache = builder(&ManualClock::new()).build().expect("the settings agree");
    let mut leader = Box::pin(cache.get_async(&1, slow()));
    let mut context = Context::from_waker(Waker::noop());
    assert!(leader.as_mut().poll(&mut context).is_pending());
    alone(&cache);
    together(&cache, 100, 100);
    // Each takes a seat that was left: to look for one among all would take minutes.
    together(&cache, 100_000, 1);
    assert_eq!(cache.stats().joins, 100_001 + 101 * 100 + 2 * 100_000);
    assert!(matches!(leader.as_mut().poll(&mut context), Poll::Ready(Ok(7))));
    assert_eq!(cache.peek(&1).as_deref(), Some(&7));
}
