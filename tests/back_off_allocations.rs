//! A back-off answer allocates nothing: a process of its own.
//!
//! The answer reads the failed flight under an epoch pin, and every 128th pin frees what other threads
//! deferred, for which the epoch now and then allocates a bag. Here there is no other thread.

#[path = "support/controlled.rs"]
mod controlled;
#[path = "support/counting.rs"]
mod counting;

use controlled::{STALE, builder, secs};
use counting::allocations;
use lastcache::{BackOff, ManualClock, State};

const MANY: u64 = 10_000;

fn never(key: &u32) -> Result<u32, controlled::Failure> {
    panic!("nothing is to be fetched for {key}")
}

#[test]
fn a_back_off_answer_allocates_nothing() {
    let clock = ManualClock::new();
    let cache = builder(&clock).back_off(BackOff::fixed(secs(100))).build().expect("they agree");
    cache.set(1, 10);
    clock.set(STALE);
    assert!(cache.get_stale(&1, |_| Err("down")).is_ok());
    for _ in 0..200 {
        drop(cache.get_stale(&1, never).expect("in back-off"));
    }
    let count = allocations(|| {
        for _ in 0..MANY {
            let served = cache.get_stale(&1, never).expect("in back-off");
            assert!(matches!(served.state(), State::BackOff { .. }));
            drop(cache.get_swr(&1, never).expect("in back-off"));
        }
    });
    assert_eq!(count, 0);
}
