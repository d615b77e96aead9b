//! Stress: a tiny table, many keys, real threads, all calls mixed, those of tasks and of `Reader`s too.
//! Whatever is read is its own key's.

#[path = "support/controlled.rs"]
mod controlled;
#[path = "support/tasks.rs"]
mod tasks;

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;

use controlled::{Dice, Failure, PATIENCE, STALE, builder, scaled, secs};
use lastcache::{BackOff, Builder, CallerRuns, Error, ManualClock, Reader, Served, Verdict};
use tasks::{block_on, turns};

const THREADS: usize = 8;
const CAPACITY: usize = 8;
/// Operations of one thread, before scaling: about two seconds in all.
const EACH: usize = 40_000;

/// A value that says whose it is, on the heap, so that one that was freed is seen as such.
#[derive(Clone, Debug)]
struct Value {
    key: u32,
    again: Box<[u32; 4]>,
}

impl Value {
    fn of(key: u32) -> Self {
        Value { key, again: Box::new([key; 4]) }
    }

    fn check(&self, key: u32) {
        assert_eq!((self.key, *self.again), (key, [key; 4]), "another key's value, or a freed one");
    }
}

type Cache = lastcache::Cache<u32, Value, Failure>;

/// How one thread calls the cache.
enum Front {
    Thread,
    Task,
    Reader(Box<Reader<u32, Value, Failure>>),
}

impl Front {
    fn of(cache: &Cache, thread: usize) -> Self {
        match thread % 4 {
            0 | 1 => Front::Thread,
            2 => Front::Task,
            _ => Front::Reader(Box::new(cache.reader())),
        }
    }

    fn get(&mut self, cache: &Cache, key: u32, fetch: impl Fetch) -> Result<Value, Error<Failure>> {
        match self {
            Front::Thread => cache.get(&key, fetch),
            Front::Task => block_on(cache.get_async(&key, slow(key, fetch))),
            Front::Reader(reader) => reader.get(&key, fetch),
        }
    }

    fn check(&mut self, cache: &Cache, key: u32, fetch: impl Fetch) -> Result<(), Error<Failure>> {
        let check = |value: &Value| value.check(key);
        match self {
            Front::Reader(reader) => reader.get_with(&key, check, fetch),
            _ => cache.get_with(&key, check, fetch),
        }
    }

    fn get_stale(&mut self, cache: &Cache, key: u32, fetch: impl Fetch) -> Answer {
        match self {
            Front::Thread => cache.get_stale(&key, fetch),
            Front::Task => block_on(cache.get_stale_async(&key, slow(key, fetch))),
            Front::Reader(reader) => reader.get_stale(&key, fetch),
        }
    }

    fn get_swr(&mut self, cache: &Cache, key: u32, fetch: impl Fetch) -> Answer {
        match self {
            Front::Thread => cache.get_swr(&key, fetch),
            Front::Task => block_on(cache.get_swr_async(&key, slow(key, fetch))),
            Front::Reader(reader) => reader.get_swr(&key, fetch),
        }
    }

    fn peek(&mut self, cache: &Cache, key: u32) -> Option<Served<u32, Value, Failure>> {
        match self {
            Front::Reader(reader) => reader.peek(&key),
            _ => cache.peek(&key),
        }
    }
}

type Answer = Result<Served<u32, Value, Failure>, Error<Failure>>;

trait Fetch: FnOnce(&u32) -> Result<Value, Failure> + Send + 'static {}

impl<F: FnOnce(&u32) -> Result<Value, Failure> + Send + 'static> Fetch for F {}

/// A fetch that is pending once or not at all: the key says which.
async fn slow(key: u32, fetch: impl Fetch) -> Result<Value, Failure> {
    turns(key as usize % 2).await;
    fetch(&key)
}

fn refused(error: &Error<Failure>) {
    match error {
        Error::Fetch(error) => assert!(**error == "down" || **error == "removed"),
        Error::Panicked => {}
        other => panic!("no fetch asks for its own key, and no cache is closed: {other:?}"),
    }
}

/// One call, chosen by the dice; whether it was one that is counted.
fn act(front: &mut Front, cache: &Cache, clock: &ManualClock, dice: &mut Dice, keys: u32) -> bool {
    let key = dice.roll(keys);
    let fate = dice.roll(16);
    let pauses = dice.roll(4) == 0;
    let fetch = move |fetched: &u32| {
        assert_eq!(*fetched, key, "fetched for the key that was asked for");
        if pauses {
            thread::yield_now();
        }
        match fate {
            0..=2 => Err("down"),
            3 => Err("removed"),
            4 => std::panic::resume_unwind(Box::new("quietly")),
            _ => Ok(Value::of(key)),
        }
    };
    // A panic of the leader's own fetch comes back here; it is part of the mix.
    let guarded =
        |call: &mut dyn FnMut() -> Result<(), Error<Failure>>| match std::panic::catch_unwind(
            std::panic::AssertUnwindSafe(call),
        ) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => refused(&error),
            Err(panic) => match panic.downcast_ref::<&str>() {
                Some(&"quietly") => {}
                _ => std::panic::resume_unwind(panic),
            },
        };
    let kind = dice.roll(20);
    match kind {
        0..=3 => guarded(&mut || front.get(cache, key, fetch).map(|value| value.check(key))),
        4..=5 => guarded(&mut || front.check(cache, key, fetch)),
        6..=8 => guarded(&mut || {
            front.get_stale(cache, key, fetch).map(|served| {
                assert_eq!(*served.key(), key);
                served.check(key);
            })
        }),
        9..=12 => guarded(&mut || {
            front.get_swr(cache, key, fetch).map(|served| {
                assert_eq!(*served.key(), key);
                served.check(key);
                let _ = served.refresh().map(|refresh| refresh.is_done());
            })
        }),
        13 => drop(cache.set(key, Value::of(key))),
        14 => drop(cache.delete(&key)),
        15 => {
            if let Some(served) = front.peek(cache, key) {
                served.check(key);
            }
        }
        16 => {
            let mut seen = Vec::new();
            cache.range(|key, value, _| {
                value.check(*key);
                seen.push(*key);
                true
            });
            // Buckets are read one after the other, so there may be more than fit at once, but
            // within the walk no key comes twice.
            seen.sort_unstable();
            assert!(seen.windows(2).all(|pair| pair[0] != pair[1]), "no key twice: {seen:?}");
        }
        17 => {
            let _ = (cache.ttl(&key), cache.contains_key(&key), cache.is_empty(), cache.stats());
            assert!(cache.len() <= CAPACITY);
            assert!(cache.weight() <= 4 * CAPACITY as u64);
        }
        18 if fate == 0 => cache.clear(),
        18 if fate < 4 => assert!(cache.purge() <= CAPACITY),
        _ => clock.advance(secs(1)),
    }
    kind <= 12
}

fn stressed(
    name: &str,
    keys: u32,
    share: usize,
    settings: impl FnOnce(Builder<u32, Value, Failure>) -> Builder<u32, Value, Failure>,
) {
    let clock = ManualClock::new();
    let builder = builder(&clock).capacity(CAPACITY).max_concurrent_refresh(2).refresh_queue(4);
    let cache = settings(builder)
        .verdict(|error| if *error == "removed" { Verdict::Remove } else { Verdict::ServeStale })
        .build()
        .expect("the settings agree");
    let calls = AtomicU64::new(0);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (cache, clock, calls) = (&cache, &clock, &calls);
            scope.spawn(move || {
                let (mut dice, mut front) = (Dice::new(thread as u64), Front::of(cache, thread));
                let mut counted = 0;
                for _ in 0..scaled(EACH / share) {
                    counted += u64::from(act(&mut front, cache, clock, &mut dice, keys));
                    assert!(cache.len() <= CAPACITY, "not even for a moment");
                }
                calls.fetch_add(counted, SeqCst);
            });
        }
    });
    assert!(cache.close_timeout(PATIENCE), "what runs ends");
    let stats = cache.stats();
    let calls = calls.load(SeqCst);
    assert_eq!(stats.hits + stats.stale_hits + stats.misses, calls, "{name}: {stats:?}");
    // Of what ran something was stored, late, refused or failed; and everything happened at all.
    assert!(stats.loads + stats.failures <= stats.misses + stats.refreshes, "{name}: {stats:?}");
    assert!(stats.hits > 0 && stats.misses > 0 && stats.stale_hits > 0, "{name}: {stats:?}");
    assert!(stats.refreshes > 0 && stats.failures > 0 && stats.panics > 0, "{name}: {stats:?}");
    assert!(stats.evictions > 0 || keys <= CAPACITY as u32, "{name}: {stats:?}");
    let here = cache.iter().inspect(|entry| entry.value().check(*entry.key())).count();
    assert!(here <= cache.len() && cache.len() <= CAPACITY, "{name}");
    cache.clear();
    assert_eq!((cache.len(), cache.weight(), cache.iter().count()), (0, 0, 0), "{name}");
    // Nothing was leaked that the next tenants would miss.
    for key in 0..CAPACITY as u32 {
        assert!(cache.set(1_000 + key, Value::of(key)), "{name}: all the room is back");
    }
    assert_eq!(cache.len(), CAPACITY, "{name}");
}

#[test]
fn many_keys_in_a_tiny_table_on_its_own_threads() {
    stressed("own threads", 64, 1, |b| b);
}

#[test]
fn many_keys_in_a_tiny_table_refreshed_by_their_callers() {
    stressed("callers", 64, 2, |b| b.executor(CallerRuns));
}

#[test]
fn a_handful_of_keys_that_are_always_stale() {
    stressed("always stale", 6, 2, |b| b.ttl(secs(2)).stale_while_revalidate(STALE));
}

#[test]
fn many_keys_with_a_hot_set_for_each_thread() {
    stressed("hot sets", 64, 2, |b| b.thread_hot_set(16));
}

#[test]
fn keys_with_weights_and_back_off() {
    stressed("weights", 24, 2, |b| {
        b.max_weight(4 * CAPACITY as u64)
            .weigher(|key, _| key % 7)
            .back_off(BackOff::exponential(secs(1), secs(4)))
    });
}

#[test]
fn a_cache_filled_up_to_its_capacity_keeps_every_value() {
    for capacity in [8, 100, 1_000, 10_000] {
        for _ in 0..scaled(20_000 / capacity).min(100) {
            let cache = lastcache::Cache::<usize, usize>::builder().capacity(capacity).build();
            let cache = cache.expect("the settings agree");
            for key in 0..capacity {
                assert!(cache.set(key, key));
                assert_eq!((cache.len(), cache.stats().evictions), (key + 1, 0), "of {capacity}");
            }
            let all = (0..capacity).all(|key| cache.peek(&key).as_deref() == Some(&key));
            assert!(all, "nothing is evicted below capacity");
        }
    }
}
