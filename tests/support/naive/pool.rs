//! Threads for the background refreshes of the naive cache.
//!
//! They start on first need and end after a second without work. The caller starts them, so that it
//! can do so outside its own lock.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

pub type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
pub struct Pool {
    work: Mutex<Work>,
    more: Condvar,
}

#[derive(Default)]
struct Work {
    jobs: VecDeque<Job>,
    threads: usize,
    /// Threads that will look for a job, those about to start included.
    idle: usize,
}

/// Where a job went.
pub enum Place {
    /// To a thread that is waiting for one.
    Taken,
    /// To a thread that the caller has to start.
    NeedsThread,
    /// Into the queue, because all threads are busy.
    Queued,
    /// Nowhere: the queue is full.
    Refused,
}

impl Pool {
    pub fn submit(&self, job: Job, most: usize, room: usize) -> Place {
        let mut work = self.lock();
        let place = if work.jobs.len() < work.idle {
            Place::Taken
        } else if work.threads < most {
            work.threads += 1;
            work.idle += 1;
            Place::NeedsThread
        } else if work.jobs.len() - work.idle < room {
            Place::Queued
        } else {
            return Place::Refused;
        };
        work.jobs.push_back(job);
        drop(work);
        self.more.notify_one();
        place
    }

    pub fn start_thread(this: &Arc<Self>) {
        let pool = Arc::clone(this);
        let thread = thread::Builder::new().name("naive-refresh".into());
        thread.spawn(move || pool.run()).expect("a thread can be started");
    }

    fn run(&self) {
        let mut work = self.lock();
        loop {
            if let Some(job) = work.jobs.pop_front() {
                work.idle -= 1;
                drop(work);
                job();
                work = self.lock();
                work.idle += 1;
                continue;
            }
            let waited = self.more.wait_timeout(work, Duration::from_secs(1));
            let (woken, result) = waited.unwrap_or_else(PoisonError::into_inner);
            work = woken;
            if result.timed_out() && work.jobs.is_empty() {
                work.idle -= 1;
                work.threads -= 1;
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
