//! What several test files share: a cache on a manual clock, a tray for background jobs, caught panics.

// Each target that includes this file uses another part of it, and none exports it.
#![allow(dead_code, unreachable_pub)]

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lastcache::{Builder, Cache, Executor, Job, ManualClock};

/// A fetch's error, by its message.
pub type Fault = &'static str;
/// The cache of most tests.
pub type Plain = Cache<u32, u32, Fault>;

/// Seconds.
pub const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A builder of [`Plain`] on this clock.
pub fn plain(clock: &ManualClock) -> Builder<u32, u32, Fault> {
    Cache::<u32, u32>::builder().error_type::<Fault>().clock(clock)
}

/// A fetch that must not be run.
pub fn never<K>(_: &K) -> Result<u32, Fault> {
    panic!("no fetch is due")
}

/// A fetch that fails.
pub fn down<K>(_: &K) -> Result<u32, Fault> {
    Err("down")
}

/// What `f` returned, or `None` when it panicked.
pub fn unless_panicked<R>(f: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(f)).ok()
}

/// What `f` returned, or the message of its panic.
pub fn try_unless_panicked<R>(f: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|panic| match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(panic) => panic.downcast_ref::<&str>().copied().unwrap_or("a panic").to_owned(),
    })
}

/// Whether `f` panics.
pub fn panics<R>(f: impl FnOnce() -> R) -> bool {
    unless_panicked(|| drop(f())).is_none()
}

/// An executor that keeps the jobs until the test runs them.
#[derive(Clone, Default)]
pub struct Tray(Arc<Mutex<VecDeque<Job>>>);

impl Executor for Tray {
    fn execute(&self, job: Job) {
        self.0.lock().unwrap().push_back(job);
    }
}

impl Tray {
    pub fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Takes the oldest job.
    pub fn take(&self) -> Job {
        self.0.lock().unwrap().pop_front().expect("a job is waiting")
    }

    /// Runs jobs until none is left; how many there were.
    pub fn run(&self) -> usize {
        let mut ran = 0;
        loop {
            let job = self.0.lock().unwrap().pop_front();
            let Some(job) = job else { return ran };
            job.run();
            ran += 1;
        }
    }
}
