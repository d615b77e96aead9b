//! Callers: threads that ask one front for keys at a steady pace and note what came of it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand_distr::{Distribution, Zipf};

use crate::front::Front;
use crate::timeline::Timeline;

/// How often a caller asks.
const PACE: Duration = Duration::from_millis(12);
/// How uneven the keys are asked for: 1 is what web pages are like.
const SKEW: f64 = 1.0;

/// One request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// When it was made, from the start of the timeline.
    pub(crate) at: Duration,
    pub(crate) took: Duration,
    pub(crate) failed: bool,
    /// Whether an earlier request for this key had been answered with a value before this one was made.
    pub(crate) had_value: bool,
}

/// The callers of one front.
pub(crate) struct Load {
    front: Box<dyn Front>,
    timeline: Timeline,
    threads: u64,
    /// For each key, whether a request for it has been answered with a value.
    answered: Vec<AtomicBool>,
    errors: AtomicU64,
}

impl Load {
    pub(crate) fn new(front: Box<dyn Front>, timeline: Timeline, threads: u64, keys: u64) -> Self {
        Self {
            front,
            timeline,
            threads,
            answered: (0..keys).map(|_| AtomicBool::new(false)).collect(),
            errors: AtomicU64::new(0),
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.front.name()
    }

    /// Requests that got an error so far.
    pub(crate) fn errors(&self) -> u64 {
        self.errors.load(Relaxed)
    }

    pub(crate) fn start<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
    ) -> Vec<ScopedJoinHandle<'scope, Vec<Sample>>> {
        (0..self.threads).map(|caller| scope.spawn(move || self.call(caller))).collect()
    }

    /// One caller. Callers of the same number ask every front for the same sequence of keys, and the turns
    /// of different callers are spread evenly.
    fn call(&self, caller: u64) -> Vec<Sample> {
        let mut rng = SmallRng::seed_from_u64(caller);
        let keys = Zipf::new(self.answered.len() as f64, SKEW).expect("at least one key");
        let mut samples = Vec::new();
        let mut turn = PACE.mul_f64(caller as f64 / self.threads as f64);
        while turn < self.timeline.total() {
            let due = self.timeline.start() + turn;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let key = keys.sample(&mut rng) as usize - 1;
            samples.push(self.ask(key));
            let late = self.timeline.now().saturating_sub(turn);
            turn += PACE * (late.div_duration_f64(PACE).floor() as u32 + 1);
        }
        samples
    }

    fn ask(&self, key: usize) -> Sample {
        let had_value = self.answered[key].load(Relaxed);
        let at = self.timeline.now();
        let asked = Instant::now();
        let answer = self.front.get(key as u64);
        let took = asked.elapsed();
        match answer {
            Ok(written) => {
                assert_eq!(written, key as u64, "a page of another key");
                self.answered[key].store(true, Relaxed);
            }
            Err(_) => {
                self.errors.fetch_add(1, Relaxed);
            }
        }
        Sample { at, took, failed: answer.is_err(), had_value }
    }
}

/// Waits for callers and puts together what they noted.
pub(crate) fn collect(callers: Vec<ScopedJoinHandle<'_, Vec<Sample>>>) -> Vec<Sample> {
    let notes = callers.into_iter().map(|caller| match caller.join() {
        Ok(samples) => samples,
        Err(panic) => std::panic::resume_unwind(panic),
    });
    notes.flatten().collect()
}
