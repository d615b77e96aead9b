//! Stale hits while a refresh of the key is under way, and fresh hits through the same call: only the subject
//! and the naive cache serve stale values.

use std::hint::black_box;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use lastcache::{Cache, Clock, Job};

use crate::candidates::{Naive, naive_settings};
use crate::figures::{Block, metric};
use crate::keys::{Skew, Walk};
use crate::measure::{Effort, processors, starts};
use crate::memory::counting::allocations;
use crate::stamp::{TTL, coarse};
use crate::workloads::{Plan, block_name};

const KEYS: u64 = 1_000;
/// Over soon, and yet longer than a step of the coarse clock.
const SHORT: Duration = Duration::from_millis(50);

/// A cache that serves stale values while it refreshes them.
trait Revalidating: Sync {
    fn get_swr(&self, key: u64) -> u64;
    fn set(&self, key: u64);
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

impl Revalidating for Own {
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

impl Revalidating for OneMutex {
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

fn all_set<C: Revalidating>(it: C) -> C {
    (0..KEYS).for_each(|key| it.set(key));
    it
}

/// All keys stale, each with a refresh under way.
fn all_stale<C: Revalidating>(it: C) -> C {
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
    fn mean<C: Revalidating>(it: &C) -> f64 {
        let calls = 10 * KEYS;
        allocations(|| (0..calls).for_each(|n| _ = it.get_swr(n % KEYS))) as f64 / calls as f64
    }
    [
        ("lastcache", mean(&all_stale(Own::new(SHORT)))),
        ("naive SWR", mean(&all_stale(OneMutex::new(SHORT)))),
    ]
}

const THREADS: [usize; 2] = [1, 2];
const MEASURED: u64 = 4;

pub(crate) fn ticks(plan: Plan, effort: Effort) -> u64 {
    MEASURED * (effort.rounds as u64 + 1) * plan.threads(&THREADS).len() as u64
}

pub(crate) fn run(name: &str, plan: Plan, effort: Effort, tick: &mut dyn FnMut()) -> Vec<Block> {
    let walk = Walk::new(KEYS, Skew::Zipf);
    let (fresh, stale) = (all_set(Own::new(TTL)), all_stale(Own::new(SHORT)));
    let (naive_fresh, naive_stale) = (all_set(OneMutex::new(TTL)), all_stale(OneMutex::new(SHORT)));
    type Time<'a> = Box<dyn Fn(usize) -> f64 + 'a>;
    let configurations: [(&str, &str, Time<'_>); MEASURED as usize] = [
        ("fresh", "lastcache", Box::new(|threads| time(&fresh, &walk, threads, effort))),
        ("stale", "lastcache", Box::new(|threads| time(&stale, &walk, threads, effort))),
        ("fresh", "naive SWR", Box::new(|threads| time(&naive_fresh, &walk, threads, effort))),
        ("stale", "naive SWR", Box::new(|threads| time(&naive_stale, &walk, threads, effort))),
    ];
    let blocks = plan.threads(&THREADS).into_iter().flat_map(|threads| {
        let named = |what: &str| Block::new(block_name(&name.replace("stale", what), threads));
        let (mut fresh, mut stale) = (named("get_swr fresh"), named("get_swr stale"));
        for round in 0..=effort.rounds {
            for turn in 0..configurations.len() {
                let (state, candidate, time) = &configurations[(round + turn) % MEASURED as usize];
                let nanos = time(threads);
                let block = if *state == "fresh" { &mut fresh } else { &mut stale };
                if round > 0 {
                    block.push(candidate, metric::NS, nanos);
                    let at_once = threads.min(processors()) as f64;
                    block.push(candidate, metric::MOPS, at_once * 1e3 / nanos);
                }
                tick();
            }
        }
        [fresh, stale]
    });
    blocks.collect()
}

/// Nanoseconds per call, as each thread sees it.
fn time<C: Revalidating>(it: &C, walk: &Walk<u64>, threads: usize, effort: Effort) -> f64 {
    let start_of = starts(threads);
    let run = |thread: usize| {
        let (start, mut step) = (Instant::now(), start_of(thread));
        let first = step;
        while start.elapsed() < effort.window {
            for _ in 0..256 {
                black_box(it.get_swr(*walk.key(step)));
                step += 1;
            }
        }
        start.elapsed().as_nanos() as f64 / (step - first) as f64
    };
    let sum: f64 = thread::scope(|scope| {
        let run = &run;
        let others: Vec<_> = (1..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        let own = run(0);
        own + others.into_iter().map(|it| it.join().expect("nothing panics")).sum::<f64>()
    });
    sum / threads as f64
}
