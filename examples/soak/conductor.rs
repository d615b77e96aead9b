//! The conductor: moves the clock, forwards and back, takes the origin down, clears the cache.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use lastcache::ManualClock;
use rand::RngExt;
use rand::rngs::SmallRng;

use crate::origin::Origin;
use crate::round::Cache;
use crate::value::Moment;

/// The clock, and how often it stepped back.
#[derive(Default)]
pub(crate) struct Time {
    pub(crate) clock: ManualClock,
    steps_back: AtomicU64,
}

impl Time {
    pub(crate) fn now(&self) -> Moment {
        loop {
            let steps_back = self.steps_back.load(SeqCst);
            let clock = self.clock.now();
            if self.steps_back.load(SeqCst) == steps_back {
                return Moment { clock, steps_back };
            }
        }
    }

    fn step_back(&self, by: Duration) {
        // Counted before and after: whoever reads in between compares with nobody.
        self.steps_back.fetch_add(1, SeqCst);
        self.clock.set(self.clock.now().saturating_sub(by));
        self.steps_back.fetch_add(1, SeqCst);
    }
}

/// One step of what happens around the cache, about once in a millisecond.
pub(crate) fn step(cache: &Cache, time: &Time, origin: &Origin, dice: &mut SmallRng) {
    match dice.random_range(0..1_000) {
        0..=1 => time.step_back(Duration::from_millis(dice.random_range(1..1_000))),
        2..=5 => time.clock.advance(Duration::from_millis(dice.random_range(1..10_000))),
        6..=9 => {
            origin.clears.fetch_add(1, SeqCst);
            cache.clear();
            origin.clears.fetch_add(1, SeqCst);
        }
        10..=14 => origin.down.store(true, SeqCst),
        15..=24 => origin.down.store(false, SeqCst),
        _ => time.clock.advance(Duration::from_millis(dice.random_range(0..3))),
    }
}
