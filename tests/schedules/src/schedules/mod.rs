//! Programs of ten to twenty threads and tasks, each run under many random schedules.
//!
//! Every other schedule is chosen by the PCT algorithm (few preemptions, at the worst moments).
//! `LASTCACHE_SCHEDULES` sets how many of each are tried; a failing one prints what replays it.

mod cancelled;
mod churn;
mod closing;
mod world;

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};

/// Tries schedules of `program`.
fn schedules(program: impl Fn() + Send + Sync + Clone + 'static) {
    let count = std::env::var("LASTCACHE_SCHEDULES")
        .map_or(300, |text| text.parse().expect("LASTCACHE_SCHEDULES is a number"));
    let config = || {
        let mut config = Config::new();
        config.stack_size = 1 << 18;
        config
    };
    Runner::new(RandomScheduler::new(count), config()).run(program.clone());
    Runner::new(PctScheduler::new(3, count), config()).run(program);
}
