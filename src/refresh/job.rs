//! The job: one background refresh as an executor sees it.
//!
//! It is run or polled by whoever has it, and holds a permit until it is over or dropped.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Wake, Waker};

use super::Permit;
use crate::nest;
use crate::panics::drop_payload;
use crate::sync::atomic::{AtomicUsize, Ordering::*};
use crate::sync::thread::{self, Thread};
use crate::threads::Work;

/// Where background refreshes run, in place of the cache's own threads.
///
/// Implemented for every `Fn(Job) + Send + Sync` (write `|job: Job|`: the type is not inferred),
/// and with the feature `tokio` for `tokio::runtime::Handle`. At most `max_concurrent_refresh` jobs are out at
/// once; each is to be run, polled to its end, or dropped.
///
/// # Concurrency
///
/// `execute` is called by the stale reader that started the refresh, or by whoever finished the one
/// before. It should return without waiting for the job: a stale read is as quick as this call. It
/// may panic: then so does that caller's `get_swr`, or that one's [`Job::run`] or poll, and the refresh is given up.
///
/// The executor is dropped with the cache's last handle, by the thread that drops the handle; or, if another thread
/// is inside `execute` just then, or beginning, ending or giving up a refresh, by that thread. Jobs that it still
/// keeps are given up with it. If dropping your executor waits for its threads, first let
/// [`close_timeout`](crate::Cache::close_timeout) say that nothing runs any more, then drop the last handle.
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

/// Runs each refresh at once, on the calling thread, or one that had to wait for a permit on the thread whose
/// refresh returned it: for tests and replays.
///
/// The one documented exception to "a stale read never blocks". The value that is served was chosen
/// before: the caller gets the old one. Not for async fetches that wait for something which only the calling
/// thread drives, such as a timer of a runtime with one thread: that call never returns.
///
/// ```
/// use std::time::Duration;
/// use lastcache::{Cache, CallerRuns, ManualClock};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let clock = ManualClock::new();
/// let cache: Cache<u32, u32> = Cache::builder().clock(&clock).executor(CallerRuns).build()?;
/// cache.set(1, 10);
/// clock.advance(Duration::from_secs(61));
/// assert_eq!(*cache.get_swr(&1, |_| Ok(20))?, 10);
/// assert_eq!(cache.peek(&1).as_deref(), Some(&20)); // by the time the call returned
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct CallerRuns;

impl Executor for CallerRuns {
    fn execute(&self, job: Job) {
        job.run();
    }
}

/// With the feature `tokio`: blocking jobs go to `spawn_blocking`, the others to `spawn`.
///
/// ```
/// use std::time::Duration;
/// use lastcache::{Cache, ManualClock};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let clock = ManualClock::new();
/// let cache: Cache<u32, u32> = Cache::builder()
///     .clock(&clock)
///     .executor(tokio::runtime::Handle::current())
///     .build()?;
/// cache.set(1, 10);
/// clock.advance(Duration::from_secs(61));
/// let served = cache.get_swr_async(&1, async { Ok(20) }).await?;
/// served.refresh().expect("started by this call").await?;
/// assert_eq!((*served, cache.peek(&1).as_deref()), (10, Some(&20)));
/// # Ok(())
/// # }
/// ```
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

/// A refresh to run. A panic of its fetch is its flight's outcome by the time it comes out of it; one of
/// a hook after the flight's end, or of a destructor, harms nobody.
pub(crate) enum Task {
    /// Takes a thread for as long as the fetch takes.
    Blocking(Box<dyn FnOnce() + Send>),
    /// Is polled.
    Async(Pin<Box<dyn Future<Output = ()> + Send>>),
}

/// One background refresh, with its permit.
///
/// Run it, or await it. Dropping it gives the refresh up, unless a caller has taken it over: its flight ends, callers that joined it
/// start over, whoever waits by a [`RefreshHandle`](crate::RefreshHandle) is told
/// [`Closed`](crate::Error::Closed), its permit is returned, and the next stale read tries again.
///
/// ```
/// use std::time::Duration;
/// use lastcache::{Cache, Job, ManualClock};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (jobs, run_later) = std::sync::mpsc::channel::<Job>();
/// let clock = ManualClock::new();
/// let cache: Cache<u32, u32> = Cache::builder()
///     .max_concurrent_refresh(2)
///     .clock(&clock)
///     .executor(move |job: Job| drop(jobs.send(job)))
///     .build()?;
/// cache.set(1, 10);
/// cache.set(2, 10);
/// clock.advance(Duration::from_secs(61));
/// cache.get_swr(&1, |_| Ok(20))?;
/// cache.get_swr(&2, |_| Ok(20))?;
/// let job = run_later.recv()?;
/// assert!(job.is_blocking()); // not to be polled where tasks are
/// job.run();
/// drop(run_later.recv()?); // given up
/// assert_eq!((cache.peek(&1).as_deref(), cache.peek(&2).as_deref()), (Some(&20), Some(&10)));
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping a job gives the refresh up"]
pub struct Job {
    /// Dropped before the permit is.
    task: Option<Task>,
    permit: Option<Permit>,
}

impl Job {
    pub(super) fn new(task: Task, permit: Permit) -> Self {
        Job { task: Some(task), permit: Some(permit) }
    }

    /// Runs the refresh to its end on this thread, also if the cache has been closed since; an async
    /// fetch is then cancelled. Never panics for the fetch's sake.
    pub fn run(mut self) {
        if self.is_blocking() {
            // Over at the first poll: nobody needs to be woken.
            let _ = Pin::new(&mut self).poll(&mut Context::from_waker(Waker::noop()));
        } else {
            block_on(self);
        }
    }

    /// Whether polling it may block the thread for as long as the fetch takes: so it is for the fetches
    /// of [`get_swr`](crate::Cache::get_swr), and not for those of
    /// [`get_swr_async`](crate::Cache::get_swr_async).
    pub fn is_blocking(&self) -> bool {
        matches!(self.task, Some(Task::Blocking(_)))
    }
}

impl Work for Job {
    fn work(self) {
        self.run();
    }
}

impl Future for Job {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let inside = self.permit.as_ref().map(|permit| nest::enter(super::a_job(&permit.0)));
        let polled = catch_unwind(AssertUnwindSafe(|| match self.task.take() {
            Some(Task::Blocking(task)) => {
                task();
                Poll::Ready(())
            }
            Some(Task::Async(mut task)) => {
                let polled = task.as_mut().poll(cx);
                if polled.is_pending() {
                    self.task = Some(Task::Async(task));
                }
                polled
            }
            None => Poll::Ready(()),
        }));
        let polled = polled.unwrap_or_else(|panic| {
            drop_payload(panic);
            Poll::Ready(())
        });
        drop(inside);
        if polled.is_ready() {
            // Now, and not when the executor drops what is over: the next refresh waits for it.
            drop(self.permit.take());
        }
        polled
    }
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("is_blocking", &self.is_blocking()).finish_non_exhaustive()
    }
}

/// Wakes a thread that polls, and says so: a token alone could be taken by another wait of that thread,
/// inside the poll.
struct Bell {
    thread: Thread,
    rung: AtomicUsize,
}

impl Wake for Bell {
    fn wake(self: std::sync::Arc<Self>) {
        // Release: pairs with the swap in `block_on`. A read-modify-write: of two who ring, the later one
        // hands on what the earlier one did.
        self.rung.swap(1, Release);
        self.thread.unpark();
    }
}

/// Polls a future to its end on this thread.
fn block_on(future: impl Future<Output = ()>) {
    let bell = std::sync::Arc::new(Bell { thread: thread::current(), rung: AtomicUsize::new(0) });
    let waker = Waker::from(std::sync::Arc::clone(&bell));
    let mut future = pin!(future);
    while future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
        // Acquire: sees what the waking thread did before.
        while bell.rung.swap(0, Acquire) == 0 {
            thread::park();
        }
    }
}
