//! Cancelled waits of several threads: a process of its own, as `cancelled_waits` is.

#[path = "support/controlled.rs"]
mod controlled;
#[path = "support/counting.rs"]
mod counting;

use std::future::pending;
use std::pin::pin;
use std::sync::Barrier;
use std::task::{Context, Waker};
use std::thread;

use controlled::{Cache, builder};
use counting::{BYTES, FREED};
use lastcache::ManualClock;

/// Bytes that this thread allocated and has not freed.
fn held() -> i64 {
    BYTES.get() as i64 - FREED.get() as i64
}

/// Seats change hands while another thread looks for one: where none was found then, one was added, for good.
#[test]
fn cancelled_waits_of_threads_beside_each_other_leave_next_to_nothing_behind() {
    let cache: Cache = builder(&ManualClock::new()).build().expect("the settings agree");
    let mut leader = Box::pin(cache.get_async(&1, pending()));
    let mut context = Context::from_waker(Waker::noop());
    assert!(leader.as_mut().poll(&mut context).is_pending());
    let start = Barrier::new(2);
    let waits = || {
        let wait = || {
            let mut context = Context::from_waker(Waker::noop());
            assert!(pin!(cache.get_async(&1, pending())).poll(&mut context).is_pending());
        };
        // Each has what a thread has, and there are two seats.
        wait();
        start.wait();
        let before = held();
        (0..50_000).for_each(|_| wait());
        held() - before
    };
    let left: i64 = thread::scope(|scope| {
        let threads = [scope.spawn(waits), scope.spawn(waits)];
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    // A seat is some hundred and fifty bytes: a hundred of them would be as many times that a thread lost its
    // processor in the middle.
    assert!(left < 15_000, "{left} bytes");
}
