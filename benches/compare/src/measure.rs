//! The stopwatch: interleaved rounds, threads that start and stop together, each on a processor of its own as
//! long as there are enough.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Barrier, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::candidates::LOOP;
use crate::figures::{Block, Spread, metric};
use crate::keys::{Key, Stretch, Walk};
use crate::subject::Lap;
use crate::workloads::is_large;

/// How long and how often something is measured.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    /// Of one measurement of one candidate on so many threads as there are processors.
    pub(crate) window: Duration,
    /// How many calls for each key warm up.
    pub(crate) warm_up: u64,
    /// Which of the processes that measure it this is: each deals everything out in another order.
    pub(crate) stand: u64,
}

impl Effort {
    /// Many keys take long to warm up: as much time in fewer rounds, dealt out to so many processes.
    pub(crate) fn over(self, keys: u64, stands: usize) -> Self {
        let (rounds, window) = if is_large(keys) {
            (self.rounds.div_ceil(3), self.window * 3)
        } else {
            (self.rounds, self.window)
        };
        Self { rounds: rounds.div_ceil(stands), window, ..self }
    }

    /// More threads than processors take turns: each must get several of them.
    pub(crate) fn on(self, threads: usize) -> Self {
        let (factor, fewer) = match threads.div_ceil(processors()) {
            0 | 1 => (1, 1),
            2..=4 => (4, 3),
            5..=15 => (10, 6),
            _ => (60, 20),
        };
        let rounds = self.rounds.div_ceil(fewer);
        Self { rounds, window: self.window * factor, ..self }
    }
}

/// As many as the process may use; a thread that stays on one would see that one alone.
pub(crate) fn processors() -> usize {
    static ALL: OnceLock<usize> = OnceLock::new();
    *ALL.get_or_init(|| thread::available_parallelism().map_or(1, usize::from))
}

/// Keeps this thread on a processor of its own among those that the process may use. Where that cannot be said,
/// it runs where the system puts it.
fn stay_on(thread: usize) {
    #[cfg(target_os = "linux")]
    {
        use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
        let Ok(all) = sched_getaffinity(None) else { return };
        let allowed: Vec<_> = (0..CpuSet::MAX_CPU).filter(|it| all.is_set(*it)).collect();
        let mut one = CpuSet::new();
        one.set(allowed[thread % allowed.len()]);
        // In vain, it is as if nothing had been asked for.
        let _ = sched_setaffinity(None, &one);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = thread;
}

/// Where threads wait for one another. Who has a processor of its own spins: to be woken takes as long as a
/// thousand hits.
struct Together {
    threads: usize,
    arrived: AtomicUsize,
    barrier: Barrier,
}

impl Together {
    fn new(threads: usize) -> Self {
        Self { threads, arrived: AtomicUsize::new(0), barrier: Barrier::new(threads) }
    }

    fn wait(&self) {
        if self.threads > processors() {
            self.barrier.wait();
            return;
        }
        self.arrived.fetch_add(1, Ordering::AcqRel);
        while self.arrived.load(Ordering::Acquire) < self.threads {
            spin_loop();
        }
    }
}

/// Where the next measurement starts to count: no two see the same steps, so that steps taken as
/// keys are all missing. The threads of one lie 2^36 apart.
static NEXT: AtomicU64 = AtomicU64::new(1 << 44);

/// The first step of each of the threads of one measurement.
fn starts(threads: usize) -> impl Fn(usize) -> u64 {
    let first = NEXT.fetch_add(1 << 44, Ordering::Relaxed);
    assert!(threads <= 256, "no two threads may see the same steps");
    move |thread| first + ((thread as u64) << 36)
}

/// One round: every candidate once, in an order of its own, all along the same stretch of the walk.
pub(crate) struct Round {
    pub(crate) order: Vec<usize>,
    offset: u64,
    warm_up: u64,
}

impl Round {
    pub(crate) fn new(number: usize, candidates: usize, effort: Effort) -> Self {
        let mut random = StdRng::seed_from_u64(effort.stand << 32 | number as u64);
        let mut order: Vec<_> = (0..candidates).collect();
        order.shuffle(&mut random);
        Self { order, offset: random.random(), warm_up: effort.warm_up }
    }

    /// Where each of so many threads goes along a walk: as far from one another as it allows.
    pub(crate) fn along<'a, K: Key>(
        &self,
        walk: &'a Walk<K>,
        threads: usize,
    ) -> impl Fn(usize) -> Stretch<'a, K> {
        let (start_of, offset, warm_up) = (starts(threads), self.offset, self.warm_up);
        move |thread| {
            let at = offset.wrapping_add(walk.steps() * thread as u64 / threads as u64);
            walk.from(start_of(thread) + at % walk.steps(), warm_up, threads)
        }
    }
}

/// What one thread does along a stretch of a walk, until the time that it is told when ready.
pub(crate) type Work<'a, S, K> =
    &'a (dyn Fn(&S, Stretch<'_, K>, &mut dyn FnMut() -> Instant) -> Lap + Sync);

/// What the threads of one measurement did.
pub(crate) struct Measured {
    laps: Vec<Lap>,
    /// When they were let go.
    start: Instant,
}

/// How often a measurement is repeated whose threads did not run at once, at most.
const TRIES: u32 = 5;

/// One measurement: all threads work from a common start to a common end.
fn run<K: Key, S: ?Sized + Sync>(
    subject: &S,
    work: Work<'_, S, K>,
    walk: &Walk<K>,
    threads: usize,
    window: Duration,
    round: &Round,
) -> Measured {
    let along = round.along(walk, threads);
    let (together, end) = (Together::new(threads), OnceLock::new());
    let lap = |thread: usize| {
        if threads <= processors() {
            stay_on(thread);
        }
        let mut ready = || {
            together.wait();
            *end.get_or_init(|| Instant::now() + window)
        };
        work(subject, along(thread), &mut ready)
    };
    let laps = thread::scope(|scope| {
        let lap = &lap;
        // All of them: what one does to its thread is not to last.
        let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(move || lap(thread))).collect();
        threads.into_iter().map(|it| it.join().expect("no candidate panics")).collect()
    });
    Measured { laps, start: end.into_inner().expect("all were ready") - window }
}

/// Every candidate once per round. The first round warms up and is forgotten. What is measured is kept by
/// `keep`, with the candidate's number.
pub(crate) fn rounds<K: Key, S: ?Sized + Sync>(
    subjects: &[&S],
    work: Work<'_, S, K>,
    walk: &Walk<K>,
    threads: usize,
    effort: Effort,
    mut keep: impl FnMut(usize, &Measured, u32),
    mut tick: impl FnMut(),
) {
    let Effort { rounds, window, .. } = effort.on(threads);
    for number in 0..=rounds {
        let round = Round::new(number, subjects.len(), effort);
        for &turn in &round.order {
            let mut again = 0;
            let measured = loop {
                let measured = run(subjects[turn], work, walk, threads, window, &round);
                if measured.at_once(window) || again == TRIES {
                    break measured;
                }
                again += 1;
            };
            if number > 0 {
                keep(turn, &measured, again);
            }
            tick();
        }
    }
}

impl Measured {
    /// Whether the threads ran side by side nearly all the time; of those that must take turns nobody asks it.
    fn at_once(&self, window: Duration) -> bool {
        let begun = self.laps.iter().map(|lap| lap.begun).max();
        let ended = self.laps.iter().map(|lap| lap.ended).min();
        let both = begun.zip(ended).map(|(begun, ended)| ended.saturating_duration_since(begun));
        self.laps.len() > processors() || both.is_some_and(|both| both >= window * 19 / 20)
    }

    pub(crate) fn note(&self, block: &mut Block, name: &str, again: u32) {
        let calls: u64 = self.laps.iter().map(|lap| lap.calls).sum();
        let missed: u64 = self.laps.iter().map(|lap| lap.missed).sum();
        let threads = self.laps.len();
        let last = self.laps.iter().map(|lap| lap.ended).max();
        let Some(last) = last.filter(|_| calls > 0) else { return };
        // All time by all calls: the mean of the threads' own means would be that of the one that starved.
        // Where threads take turns, those that wait for theirs are part of it.
        let (nanos, elapsed) = if threads <= processors() {
            let nanos: u128 = self.laps.iter().map(|lap| (lap.ended - lap.begun).as_nanos()).sum();
            let first = self.laps.iter().map(|lap| lap.begun).min().unwrap_or(last);
            (nanos as f64, last - first)
        } else {
            let elapsed = last - self.start;
            (threads as f64 * elapsed.as_nanos() as f64, elapsed)
        };
        block.push(name, metric::NS, nanos / calls as f64);
        block.push(name, metric::MOPS, calls as f64 / elapsed.as_secs_f64() / 1e6);
        block.push(name, metric::MISSED, missed as f64 * 100.0 / calls as f64);
        if threads > 1 && threads <= processors() {
            block.push(name, metric::AGAIN, f64::from(again));
        }
    }
}

/// Notes how long a cache line takes from one processor to the next, where there are two: what hosts change
/// without a word, and what decides how threads fare that share one.
pub(crate) fn note_line(block: &mut Block) {
    if processors() > 1 {
        let nanos = Spread::of((0..5).map(|_| line()).collect());
        nanos.into_iter().for_each(|it| block.push(LOOP, metric::LINE_NS, it.median));
    }
}

/// Two threads hand a counter to and fro: nanoseconds each way.
fn line() -> f64 {
    const WAYS: u64 = 2_000;
    let (counter, together) = (AtomicU64::new(0), Together::new(2));
    let side = |own: u64| {
        stay_on(own as usize);
        together.wait();
        let start = Instant::now();
        for n in 0..WAYS / 2 {
            while counter.load(Ordering::Relaxed) != 2 * n + own {
                spin_loop();
            }
            counter.store(2 * n + own + 1, Ordering::Relaxed);
        }
        start.elapsed().as_nanos() as f64 / WAYS as f64
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| side(1));
        scope.spawn(|| side(0)).join().expect("it panics nowhere");
        other.join().expect("it panics nowhere")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::candidates::all;
    use crate::keys::Skew;
    use crate::subject::{Op, Worker};

    const EFFORT: Effort =
        Effort { rounds: 1, window: Duration::from_millis(5), warm_up: 4, stand: 0 };

    fn lap(start: Instant, calls: u64, millis: [u64; 2]) -> Lap {
        let [begun, ended] = millis.map(|it| start + Duration::from_millis(it));
        Lap { calls, missed: 0, begun, ended }
    }

    fn noted(start: Instant, laps: Vec<Lap>) -> Block {
        let mut block = Block::new("hit");
        Measured { laps, start }.note(&mut block, "moka", 0);
        block
    }

    #[test]
    fn a_thread_that_starved_does_not_stand_for_the_others() {
        let start = Instant::now();
        let mut laps = vec![lap(start, 99_000, [0, 1])];
        laps.resize(processors(), lap(start, 1_000, [0, 1]));
        let block = noted(start, laps);
        let calls = 98_000.0 + 1_000.0 * processors() as f64;
        assert_eq!(block.rounds("moka", metric::NS).unwrap(), [1e6 * processors() as f64 / calls]);
        assert!(noted(start, vec![lap(start, 0, [0, 1])]).rounds("moka", metric::NS).is_none());
    }

    #[test]
    fn to_wait_for_ones_turn_is_part_of_what_a_call_takes() {
        let start = Instant::now();
        let threads = 2 * processors();
        // Each runs for a millisecond, one after the other; the last one never gets its turn.
        let turns = (0..threads as u64 - 1).map(|turn| lap(start, 1_000, [turn, turn + 1]));
        let laps: Vec<_> = turns.chain([lap(start, 0, [threads as u64; 2])]).collect();
        let block = noted(start, laps);
        let (elapsed, calls) = (threads as f64 * 1e6, 1e3 * (threads - 1) as f64);
        assert_eq!(block.rounds("moka", metric::NS).unwrap(), [threads as f64 * elapsed / calls]);
        let mops = block.rounds("moka", metric::MOPS).unwrap()[0];
        assert!((mops - calls * 1e3 / elapsed).abs() < 1e-9, "{mops}");
    }

    #[test]
    fn threads_that_run_one_after_the_other_are_not_at_once() {
        let (start, window) = (Instant::now(), Duration::from_millis(10));
        let at_once = |laps| Measured { laps, start }.at_once(window);
        if processors() > 1 {
            assert!(at_once(vec![lap(start, 1, [0, 10]), lap(start, 1, [0, 11])]));
            assert!(!at_once(vec![lap(start, 1, [0, 10]), lap(start, 1, [5, 15])]));
        }
        assert!(at_once((0..=processors() as u64).map(|n| lap(start, 1, [n, n + 1])).collect()));
    }

    #[test]
    fn an_insertion_never_meets_a_key_twice_whatever_the_thread() {
        let entries = all();
        let entry = entries.iter().find(|it| it.name == "Mutex<HashMap>").unwrap();
        let subject = (entry.make)(1_000_000);
        let walk = Walk::new(10, Skew::Uniform);
        let work: Work<'_, dyn Worker, u64> =
            &|it, along, ready| it.work_on(Op::Insert, along, ready);
        for _ in 0..2 {
            let round = Round::new(0, 1, EFFORT);
            let it = run(&*subject, work, &walk, 3, Duration::from_millis(5), &round);
            it.laps.iter().for_each(|lap| assert_eq!(lap.missed, lap.calls));
        }
    }

    #[test]
    fn the_threads_of_a_round_lie_apart_and_all_candidates_of_it_on_the_same_stretch() {
        let walk = Walk::<u64>::new(1_000, Skew::Zipf);
        let at = |round: &Round, thread| round.along(&walk, 2)(thread).from % walk.steps();
        let (one, other) = (Round::new(1, 3, EFFORT), Round::new(2, 3, EFFORT));
        assert_eq!(at(&one, 0), at(&one, 0));
        assert_ne!(at(&one, 0), at(&other, 0));
        assert_eq!(at(&one, 0).abs_diff(at(&one, 1)), walk.steps() / 2);
        let mut order = one.order;
        order.sort_unstable();
        assert_eq!(order, [0, 1, 2]);
    }
}
