//! The cache's own threads: started on first need, at most one per permit, ended when idle.
//!
//! A stale reader hands a job over without a lock: it pushes the job, then wakes who is idle, or starts
//! one more. A thread that has nothing to do rests, then looks once more; one that leaves counts itself out, then
//! looks once more; who is refused a thread does as one that leaves. A reader that can neither wake nor start one
//! relies on those that are there. Each of these is a read-modify-write of one word, so of the two parties the later one sees what the
//! earlier one did: no job is left behind.

use std::time::Duration;

use crate::fifo::Fifo;
use crate::panics::contain;
use crate::rest::Rests;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicUsize, Ordering::*};
use crate::sync::thread;
use crate::time::Patience;

/// What the threads do.
pub(crate) trait Work: Send + 'static {
    /// Does it. Never panics.
    fn work(self);
}

/// The cache's own threads.
pub(crate) struct Threads<W> {
    most: usize,
    /// How long a thread waits for more before it ends.
    patience: Duration,
    live: AtomicUsize,
    jobs: Fifo<W>,
    /// Not 0 once threads need not wait for more.
    stopped: AtomicUsize,
    /// Rests that are over stay until the next job, which finds them to be no use.
    idle: Rests,
}

impl<W: Work> Threads<W> {
    pub(crate) fn new(most: usize, patience: Duration) -> Self {
        Threads {
            most,
            patience,
            live: AtomicUsize::new(0),
            jobs: Fifo::new(),
            stopped: AtomicUsize::new(0),
            idle: Rests::new(),
        }
    }

    pub(crate) fn execute(threads: &Arc<Self>, job: W) {
        if let Err(refused) = threads.jobs.push(job) {
            return drop(refused);
        }
        if !threads.idle.wake() {
            Threads::start(threads);
        }
    }

    fn enlist(&self) -> bool {
        let more = |live| (live < self.most).then(|| live + 1);
        // Release: a thread that leaves sees, after it counted itself out, what was pushed before a
        // failed attempt here; so its own second look finds the job.
        let mut live = self.live.fetch_add(0, Release);
        while let Some(new) = more(live) {
            // Relaxed: a count; what a thread is to do comes through the jobs.
            match self.live.compare_exchange_weak(live, new, Relaxed, Relaxed) {
                Ok(_) => return true,
                Err(now) => live = now,
            }
        }
        false
    }

    fn start(threads: &Arc<Self>) {
        if !threads.enlist() {
            return;
        }
        let started = Arc::clone(threads);
        if thread::start("lastcache-refresh".to_owned(), move || Threads::live(&started)) {
            return;
        }
        // The system has no thread left: give up what waits, counted in as a thread is. Those that live may
        // be busy for as long as a fetch hangs; the next stale read asks again.
        loop {
            while let Some(job) = threads.jobs.pop() {
                // A destructor's panic is its own, and keeps no other job waiting.
                contain(|| drop(job));
            }
            if threads.leave() {
                return;
            }
        }
    }

    /// Counts a thread out; or `false`, and in again, if there is something left to do.
    fn leave(&self) -> bool {
        // Acquire: pairs with `enlist`.
        self.live.fetch_sub(1, Acquire);
        self.jobs.is_empty() || !self.enlist()
    }

    fn live(threads: &Arc<Self>) {
        let mut patience = Patience::lasting(threads.patience);
        loop {
            while let Some(job) = threads.jobs.pop() {
                // Who pushed the next may have counted on this thread, which the job may keep for long.
                if !threads.jobs.is_empty() && !threads.idle.wake() {
                    Threads::start(threads);
                }
                job.work();
                patience = Patience::lasting(threads.patience);
            }
            if threads.rest(patience) && threads.leave() {
                return;
            }
        }
    }

    /// Waits for more. Whether the time for that is over, or the threads were stopped.
    fn rest(&self, patience: Patience) -> bool {
        let rest = self.idle.begin();
        // Relaxed: `stop` wakes those on the idle list; who puts itself there later receives this
        // with it.
        let left = patience.left().filter(|_| self.stopped.load(Relaxed) == 0);
        if let Some(left) = left
            && self.jobs.is_empty()
        {
            thread::park_timeout(left);
        }
        // What it was woken for, if it was, it finds now, before it leaves at the latest.
        rest.end();
        // Who stops the threads meanwhile missed those that the push above put back. Relaxed: as above.
        if self.stopped.load(Relaxed) != 0 {
            self.idle.wake();
        }
        left.is_none()
    }

    /// Lets each thread end as soon as it finds nothing to do.
    pub(crate) fn stop(&self) {
        // Relaxed: the idle list, which `wake` takes, carries it.
        self.stopped.store(1, Relaxed);
        self.idle.wake();
    }
}
