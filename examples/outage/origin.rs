//! Where the values come from: something that takes its time, and goes through a bad spell.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use rand_distr::{Distribution, LogNormal};

use crate::timeline::{Phase, Timeline};

/// The usual time of an answer; half of them take longer, one in a hundred more than twice as long.
const MEDIAN: Duration = Duration::from_millis(8);
const SPREAD: f64 = 0.35;
/// How many times slower it has become when it stops answering.
const SLOWEST: f64 = 20.0;
/// How long it takes a call to find out that there is no answer.
const TIME_OUT: Duration = Duration::from_millis(250);

/// What the origin answers.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    pub(crate) key: u64,
}

/// The call timed out.
#[derive(Debug)]
pub(crate) struct TimedOut;

pub(crate) struct Origin {
    timeline: Timeline,
    spread: LogNormal<f64>,
    calls: Vec<AtomicU64>,
}

impl Origin {
    pub(crate) fn new(timeline: Timeline) -> Self {
        Self {
            timeline,
            spread: LogNormal::new(0.0, SPREAD).expect("a finite spread"),
            calls: (0..Timeline::STEPS).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// One call. How it goes is settled when it starts.
    pub(crate) fn fetch(&self, key: u64) -> Result<Page, TimedOut> {
        let now = self.timeline.now();
        self.calls[self.timeline.step(now)].fetch_add(1, Relaxed);
        let fraction = self.timeline.fraction(now);
        let usual = MEDIAN.mul_f64(self.spread.sample(&mut rand::rng()));
        match Phase::at(fraction) {
            Phase::Healthy | Phase::Recovered => thread::sleep(usual),
            Phase::Slowing => {
                let (from, to) = Phase::Slowing.span();
                let progress = (fraction - from) / (to - from);
                thread::sleep(usual.mul_f64(SLOWEST.powf(progress)));
            }
            Phase::Failing => {
                thread::sleep(TIME_OUT);
                return Err(TimedOut);
            }
        }
        Ok(Page { key })
    }

    /// Calls that started in each step of the timeline.
    pub(crate) fn calls(&self) -> Vec<u64> {
        self.calls.iter().map(|step| step.load(Relaxed)).collect()
    }
}
