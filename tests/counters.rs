//! Counters: exact at rest, however many threads count, come and go.

#[path = "support/bench.rs"]
mod bench;

use std::sync::Barrier;
use std::thread;

use bench::{Plain, never, plain};
use lastcache::ManualClock;

const HITS: usize = 3_000;

fn hit(cache: &Plain, times: usize) {
    for _ in 0..times {
        assert_eq!(cache.get(&1, never).unwrap(), 10);
    }
}

/// As many threads stay as leave, and twice as many come when those have left.
fn crowd(half: usize) {
    let cache = plain(&ManualClock::new()).build().unwrap();
    assert!(cache.set(1, 10));
    let [early, late] = [Barrier::new(2 * half), Barrier::new(3 * half)];
    // A thread's first count decides where it goes on counting; then all count at once.
    let first = |barrier: &Barrier| {
        hit(&cache, 1);
        barrier.wait();
        hit(&cache, HITS);
    };
    thread::scope(|scope| {
        let leaving: Vec<_> = (0..half)
            .map(|_| {
                let leaving = scope.spawn(|| first(&early));
                scope.spawn(|| {
                    first(&early);
                    late.wait();
                    hit(&cache, HITS);
                });
                leaving
            })
            .collect();
        for thread in leaving {
            thread.join().unwrap();
        }
        for _ in 0..2 * half {
            scope.spawn(|| first(&late));
        }
    });
    let [stayed, left, came] = [1 + 2 * HITS, 1 + HITS, 2 * (1 + HITS)];
    assert_eq!(cache.stats().hits, (half * (stayed + left + came)) as u64);
}

// One test, as the cells are the process's.
#[test]
fn no_count_is_lost_though_threads_outnumber_the_cells_and_come_and_go() {
    crowd(40);
    for _ in 0..20 {
        crowd(1);
    }
}
