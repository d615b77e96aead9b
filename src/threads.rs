//! The cache's own threads: started on first need, at most one per permit, ended when idle.
//!
//! A stale reader hands a job over without a lock: it pushes the job, then wakes who is idle, or starts
//! one more. A thread that has nothing to do puts a *rest* on the idle list, then looks once more; one
//! that leaves counts itself out, then looks once more; who is refused a thread does as one that leaves.
//! A rest is over when somebody wakes its thread or that thread gets up by itself, whichever comes first: who
//! comes too late to wake it counts on others. Each of these is a read-modify-write of one word, so of the
//! two parties the later one sees what the earlier one did: no job is left behind.

use std::time::Duration;

use crate::fifo::{Fifo, Pile};
use crate::panics::contain;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicUsize, Ordering::*};
use crate::sync::thread::{self, Thread};
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
    /// Those that are over stay until the next job, which finds them to be no use.
    idle: Pile<Arc<Rest>>,
}

/// One time in which a thread has nothing to do.
struct Rest {
    thread: Thread,
    /// Not 0 once it is over.
    over: AtomicUsize,
}

impl Rest {
    /// Whether this ended it.
    fn end(&self) -> bool {
        // AcqRel: a thread that was woken sees the job that it was woken for, if nobody has taken it.
        self.over.swap(1, AcqRel) == 0
    }
}

impl<W: Work> Threads<W> {
    pub(crate) fn new(most: usize, patience: Duration) -> Self {
        Threads {
            most,
            patience,
            live: AtomicUsize::new(0),
            jobs: Fifo::new(),
            stopped: AtomicUsize::new(0),
            idle: Pile::new(),
        }
    }

    pub(crate) fn execute(threads: &Arc<Self>, job: W) {
        if let Err(refused) = threads.jobs.push(job) {
            return drop(refused);
        }
        if !threads.wake() {
            Threads::start(threads);
        }
    }

    /// Wakes the idle ones, if any. A read-modify-write of their list: a thread that puts itself on it
    /// later sees the job that was pushed before.
    fn wake(&self) -> bool {
        let mut idle = self.idle.take();
        let mut any = false;
        while let Some(rest) = idle.pop() {
            if rest.end() {
                rest.thread.unpark();
                any = true;
            }
        }
        any
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
                if !threads.jobs.is_empty() && !threads.wake() {
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
        let rest = Arc::new(Rest { thread: thread::current(), over: AtomicUsize::new(0) });
        drop(self.idle.push(Arc::clone(&rest)));
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
            self.wake();
        }
        left.is_none()
    }

    /// Lets each thread end as soon as it finds nothing to do.
    pub(crate) fn stop(&self) {
        // Relaxed: the idle list, which `wake` takes, carries it.
        self.stopped.store(1, Relaxed);
        self.wake();
    }
}
