//! The stopwatch: interleaved rounds, threads that start and stop together.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Barrier, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use crate::figures::{Block, metric};
use crate::keys::{Key, Walk};
use crate::subject::Lap;

/// How long and how often something is measured.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    /// Of one measurement of one candidate on so many threads as there are processors.
    pub(crate) window: Duration,
}

impl Effort {
    /// More threads than processors take turns: each must get several of them.
    pub(crate) fn on(self, threads: usize) -> Self {
        let (factor, fewer) = match threads.div_ceil(processors()) {
            0 | 1 => (1, 1),
            2..=4 => (4, 3),
            5..=15 => (10, 6),
            _ => (20, 10),
        };
        let rounds = self.rounds.div_ceil(fewer);
        Self { rounds, window: self.window * factor }
    }
}

pub(crate) fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Where the next measurement starts to count: no two see the same steps, so that steps taken as
/// keys are all missing. The threads of one lie 2^40 apart, and at another place of the walk.
static NEXT: AtomicU64 = AtomicU64::new(1 << 44);

/// The first step of each of the threads of one measurement.
pub(crate) fn starts(threads: usize) -> impl Fn(usize) -> u64 {
    let first = NEXT.fetch_add(1 << 44, Ordering::Relaxed);
    assert!(threads <= 256, "no two threads may see the same steps");
    move |thread| first + thread as u64 * ((1 << 36) + 7_919)
}

/// What one thread does from a step on, over a walk, until the time that it is told when ready.
pub(crate) type Work<'a, S, K> =
    &'a (dyn Fn(&S, &Walk<K>, u64, &mut dyn FnMut() -> Instant) -> Lap + Sync);

/// One measurement: all threads work from a common start to a common end.
pub(crate) fn run<K: Key, S: ?Sized + Sync>(
    subject: &S,
    work: Work<'_, S, K>,
    walk: &Walk<K>,
    threads: usize,
    window: Duration,
) -> Vec<Lap> {
    let start_of = starts(threads);
    let (together, end) = (Barrier::new(threads), OnceLock::new());
    let lap = |thread: usize| {
        let mut ready = || {
            together.wait();
            *end.get_or_init(|| Instant::now() + window)
        };
        work(subject, walk, start_of(thread), &mut ready)
    };
    if threads == 1 {
        return vec![lap(0)];
    }
    thread::scope(|scope| {
        let lap = &lap;
        let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(move || lap(thread))).collect();
        threads.into_iter().map(|it| it.join().expect("no candidate panics")).collect()
    })
}

/// Every candidate once per round, in an order that turns by one each time. The first round warms up and
/// is forgotten.
pub(crate) fn rounds<K: Key, S: ?Sized + Sync>(
    subjects: &[(&'static str, Box<S>)],
    work: Work<'_, S, K>,
    walk: &Walk<K>,
    threads: usize,
    effort: Effort,
    block: &mut Block,
    mut tick: impl FnMut(),
) {
    let Effort { rounds, window } = effort.on(threads);
    for round in 0..=rounds {
        for turn in 0..subjects.len() {
            let (name, subject) = &subjects[(round + turn) % subjects.len()];
            let laps = run(&**subject, work, walk, threads, window);
            if round > 0 {
                note(block, name, &laps, window);
            }
            tick();
        }
    }
}

fn note(block: &mut Block, name: &'static str, laps: &[Lap], window: Duration) {
    let calls: u64 = laps.iter().map(|lap| lap.calls).sum();
    let missed: u64 = laps.iter().map(|lap| lap.missed).sum();
    let threads = laps.len();
    // A thread that never got its turn within the window has no time of its own.
    let laps: Vec<_> = laps.iter().filter(|lap| lap.calls > 0).collect();
    if laps.is_empty() {
        return;
    }
    // All time by all calls: the mean of the threads' own means would be that of the one that starved.
    let nanos: u64 = laps.iter().map(|lap| lap.nanos).sum();
    let each = nanos as f64 / calls as f64;
    block.push(name, metric::NS, each);
    let mops = if threads <= processors() {
        laps.len() as f64 * 1e3 / each
    } else {
        calls as f64 / window.as_secs_f64() / 1e6
    };
    block.push(name, metric::MOPS, mops);
    block.push(name, metric::MISSED, missed as f64 * 100.0 / calls as f64);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::candidates::all;
    use crate::keys::Skew;
    use crate::subject::{Op, Worker};

    #[test]
    fn a_thread_that_starved_does_not_stand_for_the_others() {
        let mut block = Block::new("hit");
        let lap = |calls| Lap { calls, nanos: 1_000_000, missed: 0 };
        note(&mut block, "moka", &[lap(99_000), lap(1_000)], Duration::from_millis(1));
        assert_eq!(block.rounds("moka", metric::NS).unwrap(), [20.0]);
        note(&mut block, "papaya", &[Lap::default()], Duration::from_millis(1));
        assert!(block.rounds("papaya", metric::NS).is_none());
    }

    #[test]
    fn an_insertion_never_meets_a_key_twice_whatever_the_thread() {
        let entries = all();
        let entry = entries.iter().find(|it| it.name == "Mutex<HashMap>").unwrap();
        let subject = (entry.make)(1_000_000);
        let walk = Walk::new(10, Skew::Uniform);
        let work: Work<'_, dyn Worker, u64> =
            &|it, walk, from, ready| it.work_on(Op::Insert, walk, from, ready);
        for _ in 0..2 {
            let laps = run(&*subject, work, &walk, 3, Duration::from_millis(5));
            laps.iter().for_each(|lap| assert_eq!(lap.missed, lap.calls));
        }
    }
}
