//! Counters: exact at rest, however many threads count, come and go, and wherever the entry stands.

#[path = "support/bench.rs"]
mod bench;

use std::cell::Cell;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::thread;

use bench::{Fault, Plain, never, panics, plain, secs};
use lastcache::{Cache, CallerRuns, ManualClock};

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

#[test]
fn no_count_is_lost_though_threads_outnumber_the_cells_and_come_and_go() {
    crowd(40);
    for _ in 0..20 {
        crowd(1);
    }
}

#[test]
fn a_hit_is_counted_also_where_reading_it_panics() {
    let cache = plain(&ManualClock::new()).build().unwrap();
    assert!(cache.set(1, 10));
    let read = |_: &u32| -> u32 { panic!("as it is read") };
    assert!(panics(|| cache.get_with(&1, read, never)));
    assert_eq!(cache.stats().hits, 1);
    assert!(panics(|| cache.reader().get_with(&1, read, never)));
    assert_eq!(cache.stats().hits, 2);
}

thread_local!(static BRITTLE: Cell<bool> = const { Cell::new(false) });

/// A weight, and whether it may panic as it goes.
struct Heavy(u32, bool);

impl Drop for Heavy {
    fn drop(&mut self) {
        assert!(!(self.1 && BRITTLE.take()), "as it goes");
    }
}

#[test]
fn evictions_are_counted_although_a_destructor_panics() {
    for by_a_load in [false, true] {
        let clock = ManualClock::new();
        let builder = Cache::<u32, Heavy>::builder().clock(&clock).capacity(10);
        let cache = builder.max_weight(10).weigher(|_, value| value.0).build().unwrap();
        for key in 0..10 {
            assert!(cache.set(key, Heavy(1, key == 0)));
        }
        clock.advance(secs(61));
        BRITTLE.set(true);
        assert!(panics(|| {
            if by_a_load {
                drop(cache.get_stale(&0, |_| Ok(Heavy(5, false))));
            } else {
                cache.set(0, Heavy(5, false));
            }
        }));
        let (left, stats) = (cache.len() as u64, cache.stats());
        assert_eq!((left, stats.evictions), (6, 4), "{stats:?}");
    }
}

/// The same for all keys.
#[derive(Default)]
struct Constant;

impl Hasher for Constant {
    fn write(&mut self, _: &[u8]) {}

    fn finish(&self) -> u64 {
        7
    }
}

#[test]
fn hits_and_stale_hits_are_counted_as_such_wherever_the_entry_stands() {
    const KEYS: u32 = 30;
    let clock = ManualClock::new();
    let hasher = BuildHasherDefault::<Constant>::default();
    let cache = plain(&clock).executor(CallerRuns).hasher(hasher).build().unwrap();
    for key in 0..KEYS {
        assert!(cache.set(key, key));
    }
    for key in 0..KEYS {
        assert_eq!(cache.get(&key, never).unwrap(), key);
        assert!(!cache.get_swr(&key, never).unwrap().is_stale());
    }
    clock.set(secs(61));
    for key in 0..KEYS {
        assert!(cache.get_swr(&key, |_| Err::<u32, Fault>("down")).unwrap().is_stale());
    }
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.stale_hits, stats.misses), (60, 30, 0));
}

/// Each key is set once, and deleted by others while it may be on its way out: a value that was stored is
/// there, or was deleted, or was evicted.
#[test]
fn every_value_is_there_or_deleted_or_evicted() {
    for capacity in [1, 2, 10] {
        let cache = plain(&ManualClock::new()).capacity(capacity).build().unwrap();
        let next = AtomicU32::new(0);
        let [stored, deleted] = [AtomicU64::new(0), AtomicU64::new(0)];
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for n in 0..10_000 {
                        let key = next.fetch_add(1, Relaxed);
                        stored.fetch_add(cache.set(key, n).into(), Relaxed);
                        let older = key.saturating_sub(1 + n % (capacity as u32 + 2));
                        deleted.fetch_add(cache.delete(&older).into(), Relaxed);
                    }
                });
            }
        });
        let [stored, deleted] = [stored, deleted].map(AtomicU64::into_inner);
        let evicted = cache.stats().evictions;
        assert_eq!(
            stored,
            cache.len() as u64 + deleted + evicted,
            "{deleted} of {capacity} deleted"
        );
    }
}
