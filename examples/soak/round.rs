//! One round: a cache with settings drawn at random, its threads, and what must hold when all is over.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use lastcache::{BackOff, CallerRuns, Stats, Verdict};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::conductor::{self, Time};
use crate::faults::Faults;
use crate::origin::Origin;
use crate::value::{Living, Value};
use crate::worker;

pub(crate) type Cache = lastcache::Cache<u32, Value, &'static str>;

/// How long no call may end before that counts as stuck.
const PATIENCE: Duration = Duration::from_secs(30);

/// The windows of a round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    pub(crate) ttl: Duration,
    pub(crate) revalidate: Duration,
    pub(crate) if_error: Duration,
}

/// What the threads of a round share.
pub(crate) struct Scene {
    pub(crate) cache: Cache,
    pub(crate) time: Time,
    pub(crate) origin: Origin,
    pub(crate) living: Living,
    pub(crate) windows: Windows,
    pub(crate) max_weight: u64,
    pub(crate) keys: u32,
    /// Calls that have ended; and those of the `get` family.
    pub(crate) calls: AtomicU64,
    pub(crate) gets: AtomicU64,
    pub(crate) faults: Arc<Faults>,
}

/// One round.
pub(crate) struct Round {
    dice: SmallRng,
    threads: usize,
    keys: u32,
}

impl Round {
    pub(crate) fn new(seed: u64, threads: usize, keys: u32) -> Round {
        Round { dice: SmallRng::seed_from_u64(seed), threads, keys }
    }

    fn scene(&mut self, faults: Arc<Faults>) -> Scene {
        let dice = &mut self.dice;
        let mut ms = |most| Duration::from_millis(dice.random_range(1..=most));
        let windows = Windows { ttl: ms(100), revalidate: ms(300), if_error: ms(600) };
        let time = Time::default();
        time.clock.set(Duration::from_secs(1_000));
        let max_weight = if dice.random() { 4 * u64::from(self.keys) } else { u64::MAX };
        let capacity = dice.random_range(self.keys / 8..=self.keys * 2) as usize;
        let base = lastcache::Cache::<u32, Value>::builder()
            .error_type()
            .capacity(capacity)
            .ttl(windows.ttl)
            .stale_while_revalidate(windows.revalidate)
            .stale_if_error(windows.if_error)
            .jitter(if dice.random() { 0.2 } else { 0.0 })
            .max_weight(max_weight)
            .weigher(|key, _| key % 8)
            .verdict(|error: &&str| match *error {
                "failed" => Verdict::Propagate,
                _ => Verdict::ServeStale,
            })
            .max_concurrent_refresh(dice.random_range(1..=4))
            .refresh_queue(dice.random_range(0..=64))
            .clock(&time.clock);
        let base = if dice.random() {
            base.back_off(BackOff::exponential(Duration::from_millis(5), Duration::from_millis(80)))
        } else {
            base
        };
        let base = if dice.random_ratio(1, 4) { base.executor(CallerRuns) } else { base };
        // Flights beyond the table's slots go uncached, and rightly: so many there must not be.
        self.threads = self.threads.min(capacity / 4).max(1);
        Scene {
            cache: base.build().expect("the settings agree"),
            time,
            origin: Origin::new(self.keys),
            living: Living::default(),
            windows,
            max_weight,
            keys: self.keys,
            calls: AtomicU64::new(0),
            gets: AtomicU64::new(0),
            faults,
        }
    }

    /// Plays until the given moment, then looks at what is left.
    pub(crate) fn play(
        mut self,
        until: Instant,
        faults: &Arc<Faults>,
        mut tick: impl FnMut(),
    ) -> Summary {
        let scene = Arc::new(self.scene(Arc::clone(faults)));
        let mut threads = Vec::new();
        let (mut calls, mut alive) = (0, Instant::now());
        while Instant::now() < until {
            // Threads end after some calls, and others come.
            threads.retain(|thread: &thread::JoinHandle<()>| !thread.is_finished());
            while threads.len() < self.threads {
                let (scene, seed) = (Arc::clone(&scene), self.dice.random());
                threads.push(thread::spawn(move || worker::work(&scene, seed, until)));
            }
            conductor::step(&scene.cache, &scene.time, &scene.origin, &mut self.dice);
            let now = scene.calls.load(SeqCst);
            if now != calls {
                (calls, alive) = (now, Instant::now());
            }
            if alive.elapsed() > PATIENCE {
                faults.check("somebody always makes progress", false, || format!("stuck at {now}"));
                return Summary::default();
            }
            let room = scene.cache.capacity() + 64 * self.threads + 1_024;
            let living = scene.living.count();
            faults.check("values live no longer than they are held", living <= room, || {
                format!("{living} values live for a capacity of {}", scene.cache.capacity())
            });
            tick();
            thread::sleep(Duration::from_millis(1));
        }
        for thread in threads {
            faults.check("no thread panics", thread.join().is_ok(), || "a worker did".into());
        }
        rest(&scene, faults);
        let stats = scene.cache.stats();
        let summary = Summary { rounds: 1, calls: scene.calls.load(SeqCst), stats };
        let living = scene.living.clone();
        drop(scene);
        let left = living.count();
        faults.check("nothing cached outlives its cache", left == 0, || format!("{left} values"));
        summary
    }
}

/// What must hold when nobody calls any more.
fn rest(scene: &Scene, faults: &Faults) {
    let cache = &scene.cache;
    faults.check("refreshes end", cache.close_timeout(PATIENCE), || "one did not".into());
    let stats = cache.stats();
    let gets = scene.gets.load(SeqCst);
    let answered = stats.hits + stats.stale_hits + stats.misses;
    faults.check("counters balance", answered == gets, || format!("{gets} gets, and {stats:?}"));
    let ran = stats.misses + stats.refreshes;
    faults.check("fetches have their callers", stats.loads + stats.failures <= ran, || {
        format!("{stats:?}")
    });
    faults.check("slots are there for flights", stats.uncached == 0, || format!("{stats:?}"));
    let (met, len) = (cache.iter().count(), cache.len());
    faults.check("what is met is counted", met <= len && len <= cache.capacity(), || {
        format!("{met} met, {len} counted")
    });
    cache.clear();
    let (len, weight) = (cache.len(), cache.weight());
    faults
        .check("cleared is empty", (len, weight) == (0, 0), || format!("{len}, weighing {weight}"));
    for key in 0..cache.capacity().min(1_000) as u32 {
        // Of weight nothing.
        let value = Value::new(8 * key, scene.time.now(), &scene.living);
        faults
            .check("all room comes back", cache.set(8 * key, value), || format!("none for {key}"));
    }
}

/// What was done.
#[derive(Default)]
pub(crate) struct Summary {
    pub(crate) rounds: u64,
    pub(crate) calls: u64,
    stats: Stats,
}

impl Summary {
    pub(crate) fn add(&mut self, other: Summary) {
        self.rounds += other.rounds;
        self.calls += other.calls;
        let (sum, more) = (&mut self.stats, other.stats);
        sum.hits += more.hits;
        sum.stale_hits += more.stale_hits;
        sum.misses += more.misses;
        sum.loads += more.loads;
        sum.failures += more.failures;
        sum.panics += more.panics;
        sum.joins += more.joins;
        sum.refreshes += more.refreshes;
        sum.queued += more.queued;
        sum.skipped += more.skipped;
        sum.evictions += more.evictions;
        sum.late_loads += more.late_loads;
        sum.not_stored += more.not_stored;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = &self.stats;
        writeln!(f, "{} rounds, {} calls", self.rounds, self.calls)?;
        writeln!(f, "hits {}, stale hits {}, misses {}", s.hits, s.stale_hits, s.misses)?;
        writeln!(
            f,
            "loads {}, failures {}, panics {}, joins {}, late {}, not stored {}",
            s.loads, s.failures, s.panics, s.joins, s.late_loads, s.not_stored
        )?;
        write!(
            f,
            "refreshes {}, queued {}, skipped {}, evictions {}",
            s.refreshes, s.queued, s.skipped, s.evictions
        )
    }
}
