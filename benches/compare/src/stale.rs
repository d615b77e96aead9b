//! Stale hits while a refresh of the key is under way, and fresh hits through the same call: of the subject,
//! the naive cache and fibre_cache, which serve stale values.

use std::hint::black_box;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use lastcache::{Cache, Clock, Job};

use crate::candidates::{Naive, naive_settings};
use crate::figures::Block;
use crate::keys::{Skew, Stretch, Walk};
use crate::measure::{Effort, Measured, Work, rounds};
use crate::memory::counting::allocations;
use crate::stamp::{TTL, coarse};
use crate::subject::{Lap, repeat};
use crate::workloads::{Plan, block_name};

const KEYS: u64 = 1_000;
/// Over soon, and yet longer than a step of the coarse clock.
const SHORT: Duration = Duration::from_millis(50);

/// A cache that serves stale values while it refreshes them.
trait Revalidates: Sync {
    fn get_swr(&self, key: u64) -> u64;
    fn set(&self, key: u64);
}

/// The same behind one interface, the loop compiled for each.
trait Revalidating: Sync {
    fn read_on(&self, along: Stretch<'_, u64>, ready: &mut dyn FnMut() -> Instant) -> Lap;
}

impl<C: Revalidates> Revalidating for C {
    fn read_on(&self, along: Stretch<'_, u64>, ready: &mut dyn FnMut() -> Instant) -> Lap {
        repeat(&along, ready, |step, _| _ = black_box(self.get_swr(*along.walk.key(step))))
    }
}

struct Own(Cache<u64, u64, (), FixedState>);

impl Own {
    fn new(ttl: Duration) -> Self {
        // Refreshes are handed out, and nobody runs them: they stay under way.
        let held: Mutex<Vec<Job>> = Mutex::default();
        let builder = Cache::builder().capacity(KEYS as usize).ttl(ttl).clock(Clock::coarse());
        let builder = builder.max_concurrent_refresh(KEYS as usize).hasher(FixedState::default());
        let builder = builder.executor(move |job| {
            held.lock().unwrap_or_else(PoisonError::into_inner).push(job);
        });
        Self(builder.error_type::<()>().build().expect("valid settings"))
    }
}

impl Revalidates for Own {
    #[inline]
    fn get_swr(&self, key: u64) -> u64 {
        self.0.get_swr(&key, |key| Ok(*key)).map(|served| *served).unwrap_or_default()
    }

    fn set(&self, key: u64) {
        self.0.set(key, key);
    }
}

struct OneMutex(Naive<u64, u64, (), FixedState>);

impl OneMutex {
    fn new(ttl: Duration) -> Self {
        Self(Naive::with_hasher(naive_settings(KEYS as usize, ttl), FixedState::default()))
    }
}

/// Never opened: every refresh of the naive cache hangs here, or waits for one that does.
static GATE: OnceLock<()> = OnceLock::new();

impl Revalidates for OneMutex {
    #[inline]
    fn get_swr(&self, key: u64) -> u64 {
        let answer = self.0.get_swr(&key, |key| {
            GATE.wait();
            Ok(*key)
        });
        answer.map(|answer| answer.value).unwrap_or_default()
    }

    fn set(&self, key: u64) {
        self.0.set(key, key);
    }
}

/// One refresh hangs, all others are queued behind it.
struct Loading(fibre_cache::Cache<u64, u64, FixedState>);

impl Loading {
    fn new(ttl: Duration) -> Self {
        let builder = fibre_cache::CacheBuilder::<u64, u64, FixedState>::new();
        let builder = builder.capacity(4 * KEYS).time_to_live(ttl).stale_while_revalidate(TTL);
        let builder = builder.max_concurrent_refreshes(1).loader(|key| {
            GATE.wait();
            (key, 1)
        });
        Self(builder.build().expect("valid settings"))
    }
}

impl Revalidates for Loading {
    #[inline]
    fn get_swr(&self, key: u64) -> u64 {
        *self.0.fetch_with(&key)
    }

    fn set(&self, key: u64) {
        self.0.insert(key, key, 1);
    }
}

fn all_set<C: Revalidates>(it: C) -> C {
    (0..KEYS).for_each(|key| it.set(key));
    it
}

/// All keys stale, each with a refresh under way.
fn all_stale<C: Revalidates>(it: C) -> C {
    let it = all_set(it);
    let end = coarse() + 2 * SHORT.as_nanos() as u64;
    while coarse() <= end {
        thread::yield_now();
    }
    (0..KEYS).for_each(|key| _ = it.get_swr(key));
    it
}

/// The mean number of allocations per stale hit of the subject and of the naive cache.
pub(crate) fn allocations_per_hit() -> [(&'static str, f64); 2] {
    fn mean<C: Revalidates>(it: &C) -> f64 {
        let calls = 10 * KEYS;
        allocations(|| (0..calls).for_each(|n| _ = it.get_swr(n % KEYS))) as f64 / calls as f64
    }
    [
        ("lastcache", mean(&all_stale(Own::new(SHORT)))),
        ("naive SWR", mean(&all_stale(OneMutex::new(SHORT)))),
    ]
}

const THREADS: [usize; 2] = [1, 2];
/// Each fresh and stale.
const CANDIDATES: [&str; 3] = ["lastcache", "naive SWR", "fibre_cache"];
const MEASURED: u64 = 2 * CANDIDATES.len() as u64;

pub(crate) fn ticks(plan: Plan, effort: Effort) -> u64 {
    let threads = plan.threads(&THREADS);
    threads.iter().map(|n| MEASURED * (effort.on(*n).rounds as u64 + 1)).sum()
}

pub(crate) fn run(name: &str, plan: Plan, effort: Effort, tick: &mut dyn FnMut()) -> Vec<Block> {
    let walk = Walk::new(KEYS, Skew::Zipf);
    let (fresh, stale) = (all_set(Own::new(TTL)), all_stale(Own::new(SHORT)));
    let (naive_fresh, naive_stale) = (all_set(OneMutex::new(TTL)), all_stale(OneMutex::new(SHORT)));
    let (fibre_fresh, fibre_stale) = (all_set(Loading::new(TTL)), all_stale(Loading::new(SHORT)));
    let subjects: [&dyn Revalidating; MEASURED as usize] =
        [&fresh, &stale, &naive_fresh, &naive_stale, &fibre_fresh, &fibre_stale];
    let work: Work<'_, dyn Revalidating, u64> = &|it, along, ready| it.read_on(along, ready);
    let blocks = plan.threads(&THREADS).into_iter().flat_map(|threads| {
        let named = |what: &str| Block::new(block_name(&name.replace("stale", what), threads));
        let mut blocks = [named("get_swr fresh"), named("get_swr stale")];
        let keep = |at: usize, measured: &Measured, again| {
            measured.note(&mut blocks[at % 2], CANDIDATES[at / 2], again);
        };
        rounds(&subjects, work, &walk, threads, effort, keep, &mut *tick);
        blocks
    });
    blocks.collect()
}
