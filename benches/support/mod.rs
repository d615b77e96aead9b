//! What the benchmark programs share: the candidates, the keys, the clock, the stopwatch.
//!
//! Every candidate holds `u64 → u64`, hashes with the same hasher and seed, has room for 1,000 values, and
//! asks the same coarse clock on every read, before it takes its lock if it has one. The two plain
//! maps are what people write first: a deadline beside the value and nothing else. They do not
//! combine concurrent loads, know no fallback and count nothing, so they have less to do.

// Each program uses another part of this file, and none exports it.
#![allow(dead_code, unreachable_pub)]

#[path = "../../tests/support/naive.rs"]
pub mod naive;

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use lastcache::{Cache, Clock};
use naive::{Naive, Settings};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, Zipf};

/// How many keys there are, and how many values a candidate may hold.
pub const KEYS: u64 = 1_000;

/// All keys once, in an order that has nothing to do with how often they are asked for: what is allocated for the
/// hottest one after the other lies side by side, as it would in no program.
fn keys() -> impl Iterator<Item = u64> {
    (0..KEYS).map(|n| n * 387 % KEYS)
}
/// A lifetime that no run outlasts.
pub const LONG: Duration = Duration::from_secs(24 * 3600);
/// A lifetime that is over soon, and yet longer than a step of the coarse clock.
pub const SHORT: Duration = Duration::from_millis(50);

/// Nanoseconds on the kernel's coarse monotonic clock where there is one, as in the cache.
pub fn coarse() -> u64 {
    #[cfg(target_os = "linux")]
    {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
        now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
    }
    #[cfg(not(target_os = "linux"))]
    {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        ORIGIN.get_or_init(Instant::now).elapsed().as_nanos() as u64
    }
}

/// The end of a lifetime that begins now.
fn after(ttl: Duration) -> u64 {
    coarse() + ttl.as_nanos() as u64
}

const STEPS: usize = 1 << 14;

/// A fixed walk over the keys, skewed by Zipf's law with exponent 0.99.
pub struct Walk(Box<[u64; STEPS]>);

impl Walk {
    pub fn new() -> Self {
        let law = Zipf::new(KEYS as f64, 0.99).expect("a valid exponent");
        let mut random = StdRng::seed_from_u64(42);
        let mut keys = Box::new([0; STEPS]);
        keys.fill_with(|| law.sample(&mut random) as u64 - 1);
        Self(keys)
    }

    pub fn key(&self, step: u64) -> u64 {
        self.0[step as usize % STEPS]
    }
}

/// What a load gives for a key.
fn value_of(key: u64) -> u64 {
    key ^ 0x5555
}

/// Opened when no more stale hits are measured; until then every background refresh hangs.
pub static GATE: OnceLock<()> = OnceLock::new();

fn hang(key: &u64) -> Result<u64, ()> {
    GATE.wait();
    Ok(value_of(*key))
}

/// Something that is measured.
pub trait Candidate: Send + Sync + Sized {
    const NAME: &'static str;

    /// An empty one with room for [`KEYS`] values.
    fn new(ttl: Duration) -> Self;
    /// The fresh value; one that is missing is loaded and stored.
    fn get(&self, key: u64) -> u64;
    /// The value, stale or not; the first stale read starts a refresh that hangs.
    fn get_swr(&self, key: u64) -> u64;
    fn set(&self, key: u64, value: u64);

    /// All keys present and fresh.
    fn full() -> Self {
        let it = Self::new(LONG);
        keys().for_each(|key| it.set(key, value_of(key)));
        (0..KEYS).for_each(|key| assert_eq!(it.get(key), value_of(key)));
        it
    }

    /// All keys present and stale, each with a refresh under way.
    fn stale() -> Self {
        let it = Self::new(SHORT);
        keys().for_each(|key| it.set(key, value_of(key)));
        let end = after(2 * SHORT);
        while coarse() <= end {
            thread::yield_now();
        }
        (0..KEYS).for_each(|key| assert_eq!(it.get_swr(key), value_of(key)));
        it
    }
}

pub type Lastcache = Cache<u64, u64, (), FixedState>;

impl Candidate for Lastcache {
    const NAME: &'static str = "lastcache";

    fn new(ttl: Duration) -> Self {
        let builder = Cache::builder().capacity(KEYS as usize).ttl(ttl).clock(Clock::coarse());
        let builder = builder.refresh_queue(KEYS as usize).hasher(FixedState::default());
        builder.error_type::<()>().build().expect("valid settings")
    }

    fn get(&self, key: u64) -> u64 {
        self.get(&key, |key| Ok(value_of(*key))).unwrap_or_default()
    }

    fn get_swr(&self, key: u64) -> u64 {
        self.get_swr(&key, hang).map(|served| *served).unwrap_or_default()
    }

    fn set(&self, key: u64, value: u64) {
        black_box(self.set(key, value));
    }
}

/// With a hot set for each thread behind the plain calls, which has room for all keys.
pub fn with_hot_sets() -> Lastcache {
    let builder = Cache::builder().capacity(KEYS as usize).ttl(LONG).clock(Clock::coarse());
    let builder = builder.thread_hot_set(4 * KEYS as usize).hasher(FixedState::default());
    let cache = builder.error_type::<()>().build().expect("valid settings");
    keys().for_each(|key| assert!(cache.set(key, value_of(key))));
    cache
}

/// A hit through a [`lastcache::Reader`] whose hot set has room for all keys.
pub fn read<'a>(cache: &Lastcache, walk: &'a Walk) -> impl FnMut(u64) -> u64 + use<'a> {
    let mut reader = cache.reader_with(4 * KEYS as usize);
    let mut read = move |key| reader.get(&key, |key| Ok(value_of(*key))).unwrap_or_default();
    for key in (0..KEYS).flat_map(|key| [key; 3]) {
        assert_eq!(read(key), value_of(key));
    }
    move |step| read(walk.key(step))
}

/// The same semantics behind one mutex.
pub type OneMutex = Naive<u64, u64, (), FixedState>;

impl Candidate for OneMutex {
    const NAME: &'static str = "naive (one mutex)";

    fn new(ttl: Duration) -> Self {
        let settings = Settings {
            capacity: KEYS as usize,
            ttl,
            time: Arc::new(|| Duration::from_nanos(coarse())),
            ..Settings::default()
        };
        Self::with_hasher(settings, FixedState::default())
    }

    fn get(&self, key: u64) -> u64 {
        self.get(&key, |key| Ok(value_of(*key))).unwrap_or_default()
    }

    fn get_swr(&self, key: u64) -> u64 {
        self.get_swr(&key, hang).map(|answer| answer.value).unwrap_or_default()
    }

    fn set(&self, key: u64, value: u64) {
        black_box(self.set(key, value));
    }
}

/// A hash map with deadlines, bounded by a ring of its keys: first in, first out.
struct Map {
    values: HashMap<u64, Held, FixedState>,
    ring: Vec<u64>,
    hand: usize,
}

struct Held {
    value: u64,
    fresh_until: u64,
    refreshing: bool,
}

impl Map {
    fn new() -> Self {
        let values = HashMap::with_capacity_and_hasher(KEYS as usize, FixedState::default());
        Self { values, ring: Vec::with_capacity(KEYS as usize), hand: 0 }
    }

    fn fresh(&self, key: u64, now: u64) -> Option<u64> {
        self.values.get(&key).filter(|held| now < held.fresh_until).map(|held| held.value)
    }

    fn put(&mut self, key: u64, value: u64, fresh_until: u64) {
        let old = self.values.insert(key, Held { value, fresh_until, refreshing: false });
        if old.is_some() {
        } else if self.ring.len() < KEYS as usize {
            self.ring.push(key);
        } else {
            let oldest = std::mem::replace(&mut self.ring[self.hand], key);
            self.values.remove(&oldest);
            self.hand = (self.hand + 1) % KEYS as usize;
        }
    }
}

pub struct MutexMap {
    ttl: Duration,
    map: Mutex<Map>,
}

impl MutexMap {
    fn lock(&self) -> MutexGuard<'_, Map> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Candidate for MutexMap {
    const NAME: &'static str = "Mutex<HashMap>";

    fn new(ttl: Duration) -> Self {
        Self { ttl, map: Mutex::new(Map::new()) }
    }

    fn get(&self, key: u64) -> u64 {
        let now = coarse();
        let found = self.lock().fresh(key, now);
        found.unwrap_or_else(|| {
            let value = value_of(key);
            self.set(key, value);
            value
        })
    }

    fn get_swr(&self, key: u64) -> u64 {
        let now = coarse();
        match self.lock().values.get_mut(&key) {
            Some(held) => {
                held.refreshing |= now >= held.fresh_until;
                held.value
            }
            None => 0,
        }
    }

    fn set(&self, key: u64, value: u64) {
        let until = after(self.ttl);
        self.lock().put(key, value, until);
    }
}

pub struct RwLockMap {
    ttl: Duration,
    map: RwLock<Map>,
}

impl Candidate for RwLockMap {
    const NAME: &'static str = "RwLock<HashMap>";

    fn new(ttl: Duration) -> Self {
        Self { ttl, map: RwLock::new(Map::new()) }
    }

    fn get(&self, key: u64) -> u64 {
        let now = coarse();
        let found = self.map.read().unwrap_or_else(PoisonError::into_inner).fresh(key, now);
        found.unwrap_or_else(|| {
            let value = value_of(key);
            self.set(key, value);
            value
        })
    }

    fn get_swr(&self, key: u64) -> u64 {
        let now = coarse();
        if let Some(held) = self.map.read().unwrap_or_else(PoisonError::into_inner).values.get(&key)
            && (now < held.fresh_until || held.refreshing)
        {
            return held.value;
        }
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        match map.values.get_mut(&key) {
            Some(held) => {
                held.refreshing = true;
                held.value
            }
            None => 0,
        }
    }

    fn set(&self, key: u64, value: u64) {
        let until = after(self.ttl);
        self.map.write().unwrap_or_else(PoisonError::into_inner).put(key, value, until);
    }
}

/// Where the next measurement starts to count: no two see the same steps, so that steps taken as
/// keys are all missing. The threads of one lie 2^40 apart, and at another place of the walk.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Runs `op` `count` times on each of `threads` threads at once: the mean time that a thread took.
///
/// A thread that is done goes on untimed until all are, so that none has the machine to itself.
pub fn time(threads: usize, count: u64, op: impl Fn(u64) -> u64 + Sync) -> Duration {
    time_own(threads, count, || &op)
}

/// As [`time`], of an `op` that each thread makes for itself, untimed.
pub fn time_own<F: FnMut(u64) -> u64>(
    threads: usize,
    count: u64,
    make: impl Fn() -> F + Sync,
) -> Duration {
    let first = NEXT.fetch_add(1 << 44, Ordering::Relaxed);
    let run = |from: u64, op: &mut F| {
        let start = Instant::now();
        for step in from..from + count {
            black_box(op(step));
        }
        start.elapsed()
    };
    if threads == 1 {
        return run(first, &mut make());
    }
    let (start, done) = (Barrier::new(threads), AtomicUsize::new(0));
    let total: Duration = thread::scope(|scope| {
        let runs: Vec<_> = (0..threads as u64)
            .map(|thread| {
                let (run, make, start, done) = (&run, &make, &start, &done);
                scope.spawn(move || {
                    let mut op = make();
                    let from = first + (thread << 40) + thread * 7_919;
                    start.wait();
                    let taken = run(from, &mut op);
                    done.fetch_add(1, Ordering::Relaxed);
                    let mut step = from + count;
                    while done.load(Ordering::Relaxed) < threads {
                        for _ in 0..64 {
                            black_box(op(step));
                            step += 1;
                        }
                    }
                    taken
                })
            })
            .collect();
        runs.into_iter().map(|run| run.join().expect("no candidate panics")).sum()
    });
    total / threads as u32
}
