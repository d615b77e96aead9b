//! Where background refreshes run: permits, the queue, executors, the cache's own threads.

mod job;

use std::ptr;
use std::task::{Context, Poll};
use std::time::Duration;

pub(crate) use job::Task;
pub use job::{CallerRuns, Executor, Job};

use crate::fifo::List;
use crate::nest;
use crate::panics::{First, beside, contain};
use crate::queue::{Admission, Queue};
use crate::rest::{Rest, Rests};
use crate::sync::thread;
use crate::sync::{Arc, Published};
use crate::threads::Threads;
use crate::time::Patience;
use crate::waiters::{Stay, Waiters};

/// The right of one refresh to run; returning it starts the next.
struct Permit(Arc<Refresher>);

impl Drop for Permit {
    fn drop(&mut self) {
        Refresher::returned(&self.0);
    }
}

/// How long a thread of the cache's own waits for more before it ends.
const IDLE: Duration = Duration::from_secs(1);

/// Names the loop that hands out jobs, in `nest`.
fn the_loop(refresher: &Refresher) -> &impl Sized {
    &refresher.queue
}

/// Names a job of it that is being run or polled.
fn a_job(refresher: &Refresher) -> &impl Sized {
    &refresher.running
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
    pub(crate) fn submit(mut self, task: Task) {
        let refresher = Arc::clone(&self.refresher);
        match self.admission.take() {
            Some(Admission::Permit) => {
                let permit = Permit(Arc::clone(&refresher));
                Refresher::dispatch(&refresher, Some(Job::new(task, permit)));
            }
            Some(Admission::Room) => {
                if let Err(refused) = refresher.queue.push(task) {
                    refresher.queue.vacate();
                    drop(refused);
                }
                Refresher::dispatch(&refresher, None);
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
    queue: Queue<Task>,
    /// Nothing once the last handle has gone: an executor may own jobs, and threads that end them, and each job
    /// leads here.
    runner: Published<Runner>,
    /// The async ones that run: closing cancels them.
    running: Waiters,
    /// Those who wait for the running ones to end.
    closers: Rests,
}

impl Refresher {
    pub(crate) fn new(permits: usize, room: usize, executor: Option<Box<dyn Executor>>) -> Self {
        let run = match executor {
            Some(executor) => Runner::Given(executor),
            None => Runner::Threads(Arc::new(Threads::new(permits, IDLE))),
        };
        let runner = Published::empty();
        let filled = runner.replace_if(ptr::null(), Some(Arc::new(run)));
        debug_assert!(filled.is_ok(), "it was empty");
        Refresher {
            queue: Queue::new(permits, room),
            runner,
            running: Waiters::new(),
            closers: Rests::new(),
        }
    }

    /// A permit or room in the queue, if there is any. Allocates nothing.
    pub(crate) fn admit(refresher: &Arc<Self>) -> Option<Admitted> {
        let admission = refresher.queue.admit()?;
        let admitted = Admitted { refresher: Arc::clone(refresher), admission: Some(admission) };
        // A close that waits finds this permit out, and then its return wakes it; or it found none, and
        // then it is seen here: both are read-modify-writes of one word, so the later one sees the other.
        (!refresher.is_closed()).then_some(admitted)
    }

    fn runner(&self) -> Option<Arc<Runner>> {
        self.runner.load().map(|held| Arc::clone(held.arc()))
    }

    /// Gives the job up where there is nothing left to run it.
    fn execute(&self, job: Job) {
        let (runner, ()) = beside(self.runner(), |runner| match runner.as_deref() {
            Some(Runner::Threads(threads)) => Threads::execute(threads, job),
            Some(Runner::Given(executor)) => executor.execute(job),
            None => contain(|| drop(job)),
        });
        // The last handle may have gone meanwhile: as in `retire`.
        contain(|| drop(runner));
    }

    fn returned(refresher: &Arc<Self>) {
        if refresher.queue.release() && refresher.queue.is_ended() {
            refresher.closers.wake();
        }
        Refresher::dispatch(refresher, None);
    }

    /// Hands out `first` and then what waits, as long as there are permits. A permit that is returned inside this very
    /// loop, on this thread, is served by it: a loop, never recursion. But what is returned or queued in the middle of a
    /// job that the loop runs does not wait for that job: a loop of its own, at most one for each permit.
    fn dispatch(refresher: &Arc<Self>, first: Option<Job>) {
        if first.is_none() && nest::is_inside_but(the_loop(refresher), a_job(refresher)) {
            return;
        }
        let next = || {
            while refresher.queue.offer() {
                // Before the look, and dropped if there is nothing: who closes may have seen it out.
                let permit = Permit(Arc::clone(refresher));
                if let Some(task) = refresher.queue.pop() {
                    return Some(Job::new(task, permit));
                }
            }
            None
        };
        let mut panicked = First::default();
        let inside = nest::enter(the_loop(refresher));
        let mut ready = first.or_else(next);
        while let Some(job) = ready {
            panicked.of(|| refresher.execute(job));
            ready = next();
        }
        drop(inside);
        panicked.go_on();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.queue.is_ended()
    }

    /// Admits nothing more, and cancels what is polled; what has a thread goes on. What waits for a permit, to
    /// be dropped when nothing is left to do: its destructors are the user's.
    #[must_use]
    pub(crate) fn close(&self) -> [List<Task>; 2] {
        let waiting = self.queue.end();
        self.running.end();
        if let Some(Runner::Threads(threads)) = self.runner().as_deref() {
            threads.stop();
        }
        waiting
    }

    /// Drops the executor, and with it the jobs that it keeps, after the close: the cache's last handle has gone.
    /// Here, and not when the last job does, on a thread that the executor may be about to wait for. A panic of it beside
    /// one of a value's destructor would end the process.
    pub(crate) fn retire(&self) {
        contain(|| self.runner.clear());
    }

    /// Closes, then waits for what runs: whether all of it ended within `d`.
    pub(crate) fn close_timeout(&self, d: Duration) -> bool {
        let patience = Patience::lasting(d);
        drop(self.close());
        loop {
            let _waiting = Waiting { refresher: self, rest: self.closers.begin() };
            if self.queue.is_quiet() {
                return true;
            }
            let Some(left) = patience.left() else { return false };
            thread::park_timeout(left);
        }
    }
}

/// One who waits for a close; dropped, it leaves nothing of it behind.
struct Waiting<'a> {
    refresher: &'a Refresher,
    rest: Arc<Rest>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.rest.end();
        let Refresher { closers, queue, .. } = self.refresher;
        closers.tidy();
        // Who returned the last permit meanwhile found nobody.
        if queue.is_quiet() {
            closers.wake();
        }
    }
}

/// A running refresh's look-out for the close.
pub(crate) struct LookOut {
    refresher: Arc<Refresher>,
    stay: Stay,
}

impl LookOut {
    pub(crate) fn new(refresher: &Arc<Refresher>) -> Self {
        LookOut { refresher: Arc::clone(refresher), stay: Stay::default() }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.refresher.is_closed()
    }

    /// Ready as soon as the cache is closed; else the close wakes this task.
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.refresher.running.attend(&mut self.stay, cx.waker()) {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }
}

impl Drop for LookOut {
    fn drop(&mut self) {
        self.refresher.running.leave(&mut self.stay);
    }
}
