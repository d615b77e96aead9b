//! Where background refreshes run: permits, the queue, executors, the cache's own threads.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::fifo::Pile;
use crate::nest;
use crate::queue::{Admission, Queue};
use crate::sync::Arc;
use crate::sync::thread::{self, Thread};
use crate::threads::{Threads, Work};
use crate::time::Patience;

/// Where background refreshes run, in place of the cache's own threads.
///
/// Implemented for every `Fn(Job) + Send + Sync`. At most `max_concurrent_refresh` jobs are out at
/// once; each is to be run, polled to its end, or dropped.
///
/// # Concurrency
///
/// `execute` is called by the stale reader that started the refresh, or by whoever finished the one
/// before. It should return without waiting for the job: a stale read is as quick as this call. It
/// may panic: that caller's `get_swr` panics, and the refresh is given up.
///
/// ```
/// use std::sync::mpsc;
/// use lastcache::{Cache, Job, ManualClock};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (jobs, run_later) = mpsc::channel::<Job>();
/// let clock = ManualClock::new();
/// let cache: Cache<u32, &str> = Cache::builder()
///     .clock(&clock)
///     .executor(move |job: Job| drop(jobs.send(job)))
///     .build()?;
/// cache.set(1, "old");
/// clock.advance(std::time::Duration::from_secs(61));
/// assert_eq!(*cache.get_swr(&1, |_| Ok("new"))?, "old");
/// run_later.recv()?.run();
/// assert_eq!(*cache.get_swr(&1, |_| Ok("newer"))?, "new");
/// # Ok(())
/// # }
/// ```
pub trait Executor: Send + Sync + 'static {
    /// Takes one job.
    fn execute(&self, job: Job);
}

impl<F: Fn(Job) + Send + Sync + 'static> Executor for F {
    fn execute(&self, job: Job) {
        self(job);
    }
}

/// Runs each refresh on the calling thread, at once: for tests and replays.
///
/// The one documented exception to "a stale read never blocks". The value that is served was chosen
/// before: the caller gets the old one.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallerRuns;

impl Executor for CallerRuns {
    fn execute(&self, job: Job) {
        job.run();
    }
}

#[cfg(feature = "tokio")]
impl Executor for tokio::runtime::Handle {
    fn execute(&self, job: Job) {
        if job.is_blocking() {
            drop(self.spawn_blocking(move || job.run()));
        } else {
            drop(self.spawn(job));
        }
    }
}

/// A refresh to run. Never panics: what its fetch does ends up in its flight.
pub(crate) trait Task: Send {
    fn run(self: Box<Self>);
}

/// One background refresh, with its permit.
///
/// Run it, or await it. Dropping it gives the refresh up: its flight ends, whoever waits for it
/// starts over, its permit is returned, and the next stale read tries again.
#[must_use = "dropping a job gives the refresh up"]
pub struct Job {
    /// Dropped before the permit is.
    task: Option<Box<dyn Task>>,
    _permit: Permit,
}

impl Job {
    /// Runs the refresh to its end on this thread, also if the cache has been closed since. Never
    /// panics for the fetch's sake.
    pub fn run(mut self) {
        self.start();
    }

    fn start(&mut self) {
        if let Some(task) = self.task.take() {
            task.run();
        }
    }

    /// Whether running or polling it may block the thread for as long as the fetch takes.
    pub fn is_blocking(&self) -> bool {
        true
    }
}

impl Work for Job {
    fn work(self) {
        self.run();
    }
}

impl Future for Job {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        self.start();
        Poll::Ready(())
    }
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("is_blocking", &self.is_blocking()).finish_non_exhaustive()
    }
}

/// The right of one refresh to run; returning it starts the next.
struct Permit(Arc<Refresher>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.returned();
    }
}

/// What runs jobs.
enum Runner {
    Threads(Arc<Threads<Job>>),
    Given(Box<dyn Executor>),
}

/// Leave to run a refresh, at once or from the queue; given back unless it is used.
#[must_use]
pub(crate) struct Admitted {
    refresher: Arc<Refresher>,
    admission: Option<Admission>,
}

impl Admitted {
    pub(crate) fn must_queue(&self) -> bool {
        self.admission == Some(Admission::Room)
    }

    /// Runs the task, or queues it.
    pub(crate) fn submit(mut self, task: Box<dyn Task>) {
        let refresher = Arc::clone(&self.refresher);
        match self.admission.take() {
            Some(Admission::Permit) => {
                let permit = Permit(Arc::clone(&refresher));
                refresher.dispatch(Some(Job { task: Some(task), _permit: permit }));
            }
            Some(Admission::Room) => {
                if let Err(refused) = refresher.queue.push(task) {
                    refresher.queue.vacate();
                    drop(refused);
                }
                refresher.dispatch(None);
            }
            None => unreachable!("submitted once"),
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        match self.admission.take() {
            Some(Admission::Permit) => drop(Permit(Arc::clone(&self.refresher))),
            Some(Admission::Room) => self.refresher.queue.vacate(),
            None => {}
        }
    }
}

/// Admits refreshes, and hands them to what runs them.
pub(crate) struct Refresher {
    queue: Queue<Box<dyn Task>>,
    runner: Runner,
    /// Those who wait for the running ones to end.
    closers: Pile<Thread>,
}

impl Refresher {
    pub(crate) fn new(permits: usize, room: usize, executor: Option<Box<dyn Executor>>) -> Self {
        let runner = match executor {
            Some(executor) => Runner::Given(executor),
            None => Runner::Threads(Arc::new(Threads::new(permits))),
        };
        Refresher { queue: Queue::new(permits, room), runner, closers: Pile::new() }
    }

    /// A permit or room in the queue, if there is any. Allocates nothing.
    pub(crate) fn admit(self: &Arc<Self>) -> Option<Admitted> {
        let admission = self.queue.admit()?;
        Some(Admitted { refresher: Arc::clone(self), admission: Some(admission) })
    }

    fn execute(&self, job: Job) {
        match &self.runner {
            Runner::Threads(threads) => threads.execute(job),
            Runner::Given(executor) => executor.execute(job),
        }
    }

    fn returned(self: &Arc<Self>) {
        if self.queue.release() && self.queue.is_ended() {
            self.wake_closers();
        }
        self.dispatch(None);
    }

    fn wake_closers(&self) {
        let mut closers = self.closers.take();
        while let Some(closer) = closers.pop() {
            closer.unpark();
        }
    }

    /// Hands out `first` and then what waits, as long as there are permits. A job that ends inside
    /// this very loop, on this thread, leaves the next one to it: a loop, never recursion.
    fn dispatch(self: &Arc<Self>, first: Option<Job>) {
        if first.is_none() && nest::is_inside(&**self) {
            return;
        }
        let next = || {
            let task = self.queue.next()?;
            Some(Job { task: Some(task), _permit: Permit(Arc::clone(self)) })
        };
        let mut panicked: Option<Box<dyn Any + Send>> = None;
        let inside = nest::enter(&**self);
        let mut job = first.or_else(next);
        while let Some(ready) = job {
            let executed = catch_unwind(AssertUnwindSafe(|| self.execute(ready)));
            panicked = panicked.or(executed.err());
            job = next();
        }
        drop(inside);
        if let Some(panic) = panicked
            && !thread::panicking()
        {
            resume_unwind(panic);
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.queue.is_ended()
    }

    /// Admits nothing more and drops what waits for a permit; what has one goes on.
    pub(crate) fn close(&self) {
        self.queue.end();
        if let Runner::Threads(threads) = &self.runner {
            threads.stop();
        }
    }

    /// Closes, then waits for what runs: whether all of it ended within `d`.
    pub(crate) fn close_timeout(&self, d: Duration) -> bool {
        let patience = Patience::lasting(d);
        self.close();
        loop {
            drop(self.closers.push(thread::current()));
            if self.queue.is_quiet() {
                // Also those whom the push above hid for a moment from who released last.
                self.wake_closers();
                return true;
            }
            let Some(left) = patience.left() else { return false };
            thread::park_timeout(left);
        }
    }
}
