//! What each call allocates, counted per thread by a global allocator: a binary of its own.
//!
//! Two things beside the cache allocate now and then: arc-swap's node at a thread's first load, and
//! crossbeam-epoch's bags: each thread's participant once, and one full bag (64 deferred frees) that is
//! handed to the global queue. An operation that displaces a flight defers one free, so the epoch's share
//! is one allocation in 64 operations, 0.016 each. Where a mean is asserted, so much is allowed for.

#[path = "support/controlled.rs"]
mod controlled;
#[path = "support/counting.rs"]
mod counting;

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;

use controlled::{Failure, STALE, secs, until};
use counting::{BYTES, COUNT, FREED, allocations};
use lastcache::{Builder, CallerRuns, Job, Lifetime, ManualClock};

/// The mean over so many operations.
const MANY: u64 = 10_000;
/// What the epoch's bags may add to a mean.
const EPOCH: f64 = 0.1;

fn mean(mut f: impl FnMut(u64)) -> f64 {
    // Thread-locals, the epoch's participant and the first bags come before what is counted.
    for n in 0..200 {
        f(n);
    }
    let all = allocations(|| {
        for n in 200..200 + MANY {
            f(n);
        }
    });
    all as f64 / MANY as f64
}

fn about(name: &str, mean: f64, most: f64) {
    println!("{name}: {mean:.4} allocations");
    assert!(
        mean <= most + EPOCH,
        "{name}: {mean} on average, at most {most} and the epoch's share"
    );
    assert!(mean > most - 1.0, "{name}: {mean} on average, and the limit says {most}");
}

type Cache = lastcache::Cache<u64, u64, Failure>;

fn built(
    clock: &ManualClock,
    settings: impl FnOnce(Builder<u64, u64, Failure>) -> Builder<u64, u64, Failure>,
) -> Cache {
    let builder = lastcache::Cache::<u64, u64>::builder()
        .error_type::<Failure>()
        .ttl(STALE)
        .stale_while_revalidate(secs(1_000))
        .stale_if_error(secs(1_000))
        .executor(CallerRuns)
        .clock(clock);
    settings(builder).build().expect("the settings agree")
}

fn never(key: &u64) -> Result<u64, Failure> {
    panic!("nothing is to be fetched for {key}")
}

#[test]
fn the_count_counts() {
    assert_eq!(allocations(|| drop(Box::new(1u64))), 1);
    assert_eq!(allocations(|| drop(vec![Box::new(1u64), Box::new(2)])), 3);
    assert_eq!(allocations(|| ()), 0);
}

#[test]
fn a_hit_allocates_nothing() {
    let clock = ManualClock::new();
    let cache = built(&clock, |b| b);
    for key in 0..1_000 {
        cache.set(key, key);
    }
    let mut sum = 0;
    let hits: [(&str, &mut dyn FnMut(u64)); 7] = [
        ("get", &mut |key| sum += cache.get(&key, never).expect("fresh")),
        ("get_with", &mut |key| assert!(cache.get_with(&key, |v| v + 1, never).is_ok())),
        ("get_stale", &mut |key| drop(cache.get_stale(&key, never).expect("fresh"))),
        ("get_swr", &mut |key| drop(cache.get_swr(&key, never).expect("fresh"))),
        ("peek", &mut |key| drop(cache.peek(&key).expect("fresh"))),
        ("ttl", &mut |key| assert!(cache.ttl(&key).is_some())),
        ("contains_key", &mut |key| assert!(cache.contains_key(&key) && !cache.is_empty())),
    ];
    for (name, hit) in hits {
        hit(0); // The thread's first.
        let count = allocations(|| (0..MANY).for_each(|n| hit(n % 1_000)));
        assert_eq!(count, 0, "{name}");
    }
    assert!(sum > 0);
}

#[test]
fn a_reader_allocates_nothing_but_when_it_is_made() {
    let clock = ManualClock::new();
    let cache = built(&clock, |b| b);
    let mut reader = None;
    assert_eq!(allocations(|| reader = Some(cache.reader())), 1);
    let mut reader = reader.expect("just made");
    for key in 0..1_000 {
        cache.set(key, key);
    }
    reader.get(&0, never).expect("fresh"); // The thread's first load.
    // Hits of the hot set, misses, entries into it, and values replaced under it.
    let count = allocations(|| {
        for n in 0..MANY {
            for key in [n % 10, n % 1_000, n % 1_000] {
                assert_eq!(reader.get(&key, never).expect("fresh"), key);
                assert!(reader.get_with(&key, |v| *v == key, never).expect("fresh"));
                drop(reader.get_stale(&key, never).expect("fresh"));
                drop(reader.get_swr(&key, never).expect("fresh"));
                drop(reader.peek(&key).expect("fresh"));
            }
        }
        reader.forget();
    });
    assert_eq!(count, 0);
    let sets = allocations(|| (0..100).for_each(|key| assert!(cache.set(key, key))));
    let read = allocations(|| {
        (0..100).for_each(|key| assert_eq!(reader.get(&key, never).expect("fresh"), key));
    });
    assert_eq!((sets, read), (100, 0));
}

#[test]
fn a_threads_hot_set_is_allocated_at_its_first_call() {
    let clock = ManualClock::new();
    let cache = built(&clock, |b| b.thread_hot_set(64));
    for key in 0..1_000 {
        cache.set(key, key);
    }
    let mut read = |n: u64| {
        for key in [n % 10, n % 1_000, n % 1_000] {
            assert_eq!(cache.get(&key, never).expect("fresh"), key);
            drop(cache.get_stale(&key, never).expect("fresh"));
            drop(cache.get_swr(&key, never).expect("fresh"));
        }
    };
    // The list of the thread's sets, the set in its box, its spots; and arc-swap's node.
    assert!((3..=4).contains(&allocations(|| read(0))));
    assert_eq!(allocations(|| (0..MANY).for_each(&mut read)), 0);
    assert_eq!(allocations(|| cache.close()), 0);
}

#[test]
fn a_stale_hit_allocates_nothing_while_a_refresh_is_under_way() {
    let clock = ManualClock::new();
    // A job that is kept is a refresh under way.
    let jobs = controlled::Collected::default();
    let cache = built(&clock, |b| b.executor(jobs.clone()));
    cache.set(1, 10);
    clock.set(STALE);
    drop(cache.get_swr(&1, never).expect("stale"));
    assert_eq!(jobs.len(), 1);
    let count = allocations(|| {
        for _ in 0..MANY {
            let served = cache.get_swr(&1, never).expect("stale");
            assert!(*served == 10 && served.is_stale());
        }
    });
    assert_eq!((count, jobs.len()), (0, 1));
    drop(jobs.next());
}

#[test]
fn a_stale_hit_allocates_nothing_while_the_queue_is_full_or_the_cache_closed() {
    for closed in [false, true] {
        let clock = ManualClock::new();
        let jobs = controlled::Collected::default();
        let cache = built(&clock, |b| b.executor(jobs.clone()).refresh_queue(0));
        cache.set(1, 10);
        cache.set(2, 20);
        clock.set(STALE);
        drop(cache.get_swr(&2, never).expect("stale"));
        if closed {
            cache.close();
        }
        drop(cache.get_swr(&1, never).expect("stale"));
        let count = allocations(|| {
            for _ in 0..MANY {
                let served = cache.get_swr(&1, never).expect("stale");
                assert!(*served == 10 && served.is_stale());
            }
        });
        assert_eq!(count, 0);
        assert_eq!(cache.stats().skipped, if closed { 0 } else { MANY + 1 });
        drop(jobs.next());
    }
}

#[test]
fn a_cold_miss_allocates_three_times() {
    // Placeholder, flight, snapshot.
    let clock = ManualClock::new();
    let cache = built(&clock, |b| b.capacity(20_000));
    let mean = mean(|n| assert_eq!(cache.get(&n, |_| Ok(n)).expect("loaded"), n));
    about("cold miss", mean, 3.0);
    assert_eq!(cache.stats().misses, cache.len() as u64, "all were misses");
}

#[test]
fn a_cold_miss_in_a_full_cache_allocates_no_more() {
    let clock = ManualClock::new();
    let cache = built(&clock, |b| b.capacity(100));
    let mean = mean(|n| assert_eq!(cache.get(&n, |_| Ok(n)).expect("loaded"), n));
    about("cold miss at capacity", mean, 3.0);
    assert!(cache.stats().evictions >= MANY);
}

#[test]
fn a_foreground_refresh_allocates_twice() {
    // Flight, snapshot.
    let clock = ManualClock::new();
    let cache = built(&clock, |b| b);
    cache.set(1, 0);
    let mean = mean(|n| {
        clock.advance(STALE);
        assert_eq!(cache.get(&1, |_| Ok(n)).expect("loaded"), n);
    });
    about("foreground refresh", mean, 2.0);
    assert_eq!(cache.stats().loads, MANY + 200);
}

#[test]
fn a_background_refresh_allocates_three_times() {
    // Flight, job, snapshot.
    let clock = ManualClock::new();
    let cache = built(&clock, |b| b);
    cache.set(1, 0);
    let mean = mean(|n| {
        clock.advance(STALE);
        drop(cache.get_swr(&1, move |_| Ok(n)).expect("stale"));
    });
    about("background refresh", mean, 3.0);
    assert_eq!(cache.stats().refreshes, MANY + 200);
}

#[test]
fn a_refresh_that_has_to_queue_allocates_once_more() {
    // Flight, job, snapshot, and its place in the queue.
    let clock = ManualClock::new();
    let (kept, jobs) = (Arc::new(AtomicBool::new(true)), controlled::Collected::default());
    let (keep, keeper) = (Arc::clone(&kept), jobs.clone());
    let cache = built(&clock, |b| {
        b.refresh_queue(20_000).executor(move |job: Job| {
            use lastcache::Executor;
            if keep.swap(false, SeqCst) { keeper.execute(job) } else { job.run() }
        })
    });
    for key in 0..9_000 {
        cache.set(key, key);
    }
    clock.set(STALE);
    drop(cache.get_swr(&0, |_| Ok(1)).expect("stale"));
    let job = jobs.next();
    let all = allocations(|| {
        for key in 1..9_000 {
            drop(cache.get_swr(&key, |_| Ok(1)).expect("stale"));
        }
        job.run();
    });
    assert_eq!((cache.stats().queued, cache.stats().refreshes), (8_999, 9_000));
    about("queued refresh", all as f64 / 9_000.0, 4.0);
}

#[test]
fn a_failed_refresh_allocates_its_flight_its_error_and_its_record() {
    let clock = ManualClock::new();
    let cache = built(&clock, |b| b.stale_if_error(std::time::Duration::MAX));
    cache.set(1, 10);
    clock.set(STALE);
    let mean = mean(|_| assert_eq!(cache.get(&1, |_| Err("down")).expect("the fallback"), 10));
    about("failed refresh", mean, 3.0);
    assert_eq!(cache.stats().failures, MANY + 200);
}

#[test]
fn a_set_allocates_once_over_a_value_and_twice_where_there_is_none() {
    let clock = ManualClock::new();
    let cache = built(&clock, |b| b.capacity(20_000));
    about("set of a new key", mean(|n| assert!(cache.set(n, n))), 2.0);
    about("set over a value", mean(|n| assert!(cache.set(7, n))), 1.0);
    let before = allocations(|| (0..1_000).for_each(|key| assert!(cache.delete(&key))));
    assert_eq!(before, 0, "a delete of a value that nobody loads");
}

#[test]
fn a_value_with_a_stale_window_of_its_own_allocates_once_more() {
    let all = Lifetime::new().ttl(STALE).stale_while_revalidate(secs(1_000));
    let cases = [
        (all.stale_if_error(secs(1_000)), 0.0, "the builder's"),
        (Lifetime::new().ttl(STALE), 0.0, "no stale window"),
        (Lifetime::new().stale_if_error(secs(1_001)), 1.0, "its own"),
        (Lifetime::new().stale_while_revalidate(secs(999)), 1.0, "its own"),
    ];
    for (lifetime, more, whose) in cases {
        let clock = ManualClock::new();
        let cache = built(&clock, |b| b.capacity(100).lifetime(move |_, _| lifetime));
        println!("{whose}:");
        about("set of a new key", mean(|n| assert!(cache.set(n, n))), 2.0 + more);
        about("set over a value", mean(|n| assert!(cache.set(7, n))), 1.0 + more);
        let load = |n: u64| assert_eq!(cache.get(&(1 << 20 | n), |_| Ok(n)).expect("loaded"), n);
        about("cold miss", mean(load), 3.0 + more);
        let foreground = |n| {
            clock.advance(STALE);
            assert_eq!(cache.get(&7, |_| Ok(n)).expect("loaded"), n);
        };
        assert!(cache.set(7, 7));
        about("foreground refresh", mean(foreground), 2.0 + more);
        let background = |n| {
            clock.advance(STALE);
            drop(cache.get_swr(&7, move |_| Ok(n)).expect("stale"));
        };
        about("background refresh", mean(background), 3.0 + more);
    }
}

thread_local! {
    static CLONES: Cell<usize> = const { Cell::new(0) };
}

/// A key whose clones are counted.
#[derive(PartialEq, Eq, Hash)]
struct Key(u32);

impl Clone for Key {
    fn clone(&self) -> Key {
        CLONES.set(CLONES.get() + 1);
        Key(self.0)
    }
}

#[test]
fn a_key_is_cloned_once_for_a_snapshot_at_most_and_never_to_look() {
    let clock = ManualClock::new();
    let builder = lastcache::Cache::<Key, u32>::builder().clock(&clock).executor(CallerRuns);
    let cache = builder.stale_if_error(secs(1_000)).build().expect("the settings agree");
    let clones = |f: &dyn Fn()| {
        let before = CLONES.get();
        f();
        CLONES.get() - before
    };
    let never =
        |_: &Key| -> Result<u32, lastcache::BoxError> { panic!("nothing is to be fetched") };
    let down = |_: &Key| Err("down".into());

    // A placeholder and a value; a load that fails has taken the key for its value, too.
    assert_eq!(clones(&|| drop(cache.get(&Key(1), |_| Ok(1)))), 2, "cold load");
    assert_eq!(clones(&|| drop(cache.get(&Key(2), down))), 2, "cold load that fails");
    // The value has the key that came with it.
    assert_eq!(clones(&|| assert!(cache.set(Key(2), 1))), 1, "set of a new key");
    assert_eq!(clones(&|| assert!(cache.set(Key(2), 1))), 0, "set over a value");
    let mut reader = cache.reader();
    (0..5).for_each(|_| drop(reader.get(&Key(2), never)));
    let reader = RefCell::new(reader);
    let look = || {
        assert!(cache.get(&Key(1), never).is_ok() && cache.get_swr(&Key(1), never).is_ok());
        assert!(reader.borrow_mut().get(&Key(2), never).is_ok());
        assert!(cache.peek(&Key(1)).is_some() && cache.ttl(&Key(1)).is_some());
        assert!(cache.iter().count() == 2 && !cache.delete(&Key(3)));
    };
    assert_eq!(clones(&look), 0, "hits, and looking");

    clock.advance(secs(60));
    assert_eq!(clones(&|| drop(cache.get(&Key(1), down))), 1, "foreground refresh that fails");
    assert_eq!(clones(&|| drop(cache.get(&Key(1), |_| Ok(1)))), 1, "foreground refresh");
    assert_eq!(clones(&|| drop(cache.get_swr(&Key(2), |_| Ok(1)))), 1, "background refresh");
    clock.advance(secs(60));
    cache.close();
    assert_eq!(clones(&|| drop(cache.get_swr(&Key(1), never))), 0, "stale hit");
    assert_eq!(clones(&|| assert!(cache.delete(&Key(1)))), 0, "delete");
    assert_eq!(clones(&|| cache.clear()), 0, "clear");
}

/// The bytes that this thread allocated in `f`, in how many allocations, and what `f` returned.
fn taken<T>(f: impl FnOnce() -> T) -> (u64, u64, T) {
    let (bytes, count) = (BYTES.get(), COUNT.get());
    let result = f();
    (BYTES.get() - bytes, COUNT.get() - count, result)
}

#[test]
fn all_memory_of_the_table_is_taken_when_it_is_built() {
    const KEYS: u64 = 10_000;
    let clock = ManualClock::new();
    drop(built(&clock, |b| b)); // The thread's first.
    let (small, small_count, _) = taken(|| built(&clock, |b| b.capacity(1_000)));
    let (table, table_count, cache) = taken(|| built(&clock, |b| b.capacity(KEYS as usize)));
    assert!(table > 5 * small, "{small} bytes for 1,000 entries, {table} for {KEYS}");
    assert_eq!(small_count, table_count, "as many allocations, of other sizes");

    // Each set allocates a placeholder, which it frees again, and a snapshot, both of one type: half
    // of the bytes stay. Nothing grows beside, from the first key to the last.
    let mut sizes = Vec::with_capacity(KEYS as usize);
    for key in 0..KEYS {
        let (bytes, count, stored) = taken(|| cache.set(key, key));
        assert!(stored && count <= 3, "two, and now and then a bag of the epoch's: {count}");
        if count == 2 {
            sizes.push(bytes);
        }
    }
    assert!(sizes.len() as u64 > KEYS - KEYS / 10, "{} sets took two", sizes.len());
    assert!(sizes.iter().all(|size| *size == sizes[0]), "the same for all");

    let snapshot = sizes[0] / 2;
    // The counters are the cache's, and not the entries'.
    let slots = (table - small) as f64 / (KEYS - 1_000) as f64;
    let entry = slots + snapshot as f64;
    println!("u64 -> u64: {entry:.1} bytes per entry, {snapshot} of them its snapshot");
    assert!(entry <= 96.0, "{entry} bytes per entry");
    assert!(snapshot > 24, "key, value and deadline at least: {snapshot}");

    let freed = FREED.get();
    drop(cache);
    let freed = FREED.get() - freed;
    let all = table + KEYS * snapshot;
    // Settings are freed with it, temporaries of `build` were before: they are small.
    assert!(freed + 1_024 > all, "{freed} bytes came back of {all}");
}

#[test]
fn what_the_caches_threads_allocate_is_theirs() {
    // The caller of a stale read pays for the flight, the job, and handing it over; and for a new thread, by
    // what the standard library takes for one, where none is idle.
    const OWN: u64 = 3;
    let captured = Arc::new(());
    let new_thread = allocations(|| {
        let named = thread::Builder::new().name("lastcache-refresh".to_owned());
        drop(named.spawn(move || drop(captured)).expect("a thread"));
    });
    let clock = ManualClock::new();
    let cache = {
        let builder = lastcache::Cache::<u64, u64>::builder().error_type::<Failure>();
        // A value is there before the permit of its refresh is back: with one permit, the next might queue.
        let builder = builder.ttl(STALE).max_concurrent_refresh(8);
        builder.clock(&clock).build().expect("the settings agree")
    };
    cache.set(1, 0);
    let refreshed = Arc::new(AtomicUsize::new(0));
    let mut counts = Vec::new();
    for n in 0..200u64 {
        clock.advance(STALE);
        let theirs = Arc::clone(&refreshed);
        let count = allocations(|| {
            let served = cache.get_swr(&1, move |_| {
                theirs.fetch_add(1, SeqCst);
                Ok(n + 1)
            });
            drop(served.expect("stale"));
        });
        // And not when it is counted: its flight ends after that.
        until("it is refreshed", || cache.peek(&1).is_some_and(|value| *value == n + 1));
        // The first ones pay for what a thread takes once.
        if n > 20 {
            counts.push(count);
        }
    }
    let own = |count: &u64| {
        let own = if *count > OWN + 1 { count.saturating_sub(new_thread) } else { *count };
        assert!(
            own <= OWN + 1,
            "{count}, and {new_thread} for a new thread: one may be the epoch's bag"
        );
        own
    };
    let mean = counts.iter().map(own).sum::<u64>() as f64 / counts.len() as f64;
    about("a stale read that starts a refresh on the cache's thread", mean, OWN as f64);
    assert_eq!(refreshed.load(SeqCst), 200);
}
