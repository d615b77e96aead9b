//! M20: the cache's own threads: whatever is pushed is done, by a thread that is idle, that leaves at
//! that moment, or that starts, or it is given up where the system has none; and none sleeps on when
//! they are stopped.
//!
//! A wait with a bound has none here, so one that is not woken is loom's deadlock.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc as Untracked;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use loom::sync::{Condvar, Mutex};
use loom::thread::{self, Thread};

use super::model;
use crate::sync::Arc;
use crate::sync::thread::refused;
use crate::threads::{Threads, Work};

/// Longer than any model takes.
const IDLE: Duration = Duration::MAX;

/// How many were pushed and are not done; nobody's order hangs on it.
struct Undone {
    jobs: AtomicUsize,
    /// Who pushes them and waits for them. Only who parks may be unparked: loom takes it for the end of
    /// any other wait too.
    pusher: Option<Thread>,
}

impl Undone {
    fn none() -> Untracked<Self> {
        Untracked::new(Undone { jobs: AtomicUsize::new(0), pusher: None })
    }

    /// As `none`, and this thread will wait.
    fn awaited() -> Untracked<Self> {
        let pusher = Some(thread::current());
        Untracked::new(Undone { jobs: AtomicUsize::new(0), pusher })
    }

    /// One was done or given up.
    fn ends(&self) {
        self.jobs.fetch_sub(1, SeqCst);
        if let Some(pusher) = &self.pusher {
            pusher.unpark();
        }
    }

    fn wait(&self) {
        while self.jobs.load(SeqCst) > 0 {
            thread::park();
        }
    }
}

impl Drop for Undone {
    fn drop(&mut self) {
        let undone = self.jobs.load(SeqCst);
        assert!(undone == 0 || std::thread::panicking(), "{undone} jobs are left behind");
    }
}

struct Job(Untracked<Undone>);

impl Work for Job {
    fn work(self) {
        self.0.ends();
    }
}

/// Ends where it is dropped, too: only for models that look before the threads themselves are dropped.
struct Dropped {
    undone: Untracked<Undone>,
    panics: bool,
}

impl Work for Dropped {
    fn work(self) {
        drop(self);
    }
}

impl Drop for Dropped {
    fn drop(&mut self) {
        self.undone.ends();
        if self.panics {
            panic!("the destructor's own");
        }
    }
}

fn execute(threads: &Arc<Threads<Job>>, undone: &Untracked<Undone>) {
    undone.jobs.fetch_add(1, SeqCst);
    Threads::execute(threads, Job(Untracked::clone(undone)));
}

#[test]
fn m20_jobs_beside_a_thread_that_leaves_are_done() {
    model(2, || {
        let (threads, undone) = (Arc::new(Threads::new(1, IDLE)), Undone::none());
        threads.stop();
        (0..3).for_each(|_| execute(&threads, &undone));
    });
}

#[test]
fn m20_threads_that_others_put_back_end_with_the_stop() {
    model(1, || {
        let (threads, undone) = (Arc::new(Threads::new(2, IDLE)), Undone::none());
        let other = {
            let (threads, undone) = (Arc::clone(&threads), Untracked::clone(&undone));
            thread::spawn(move || execute(&threads, &undone))
        };
        execute(&threads, &undone);
        other.join().unwrap();
        threads.stop();
    });
}

#[test]
fn m20_a_job_beside_a_thread_that_goes_idle_is_done() {
    model(2, || {
        let (threads, undone) = (Arc::new(Threads::new(1, IDLE)), Undone::awaited());
        (0..2).for_each(|_| execute(&threads, &undone));
        undone.wait();
        threads.stop();
    });
}

/// Two threads that find nothing more to do at the same time, wait for nothing, and leave.
#[test]
fn m20_nobody_counts_on_a_thread_that_has_left() {
    model(2, || {
        let (threads, undone) = (Arc::new(Threads::new(2, Duration::ZERO)), Undone::awaited());
        (0..2).for_each(|_| execute(&threads, &undone));
        undone.wait();
        execute(&threads, &undone);
        undone.wait();
    });
}

/// One of two jobs that each end only when both have begun.
struct Meets(Untracked<Meeting>);

struct Meeting {
    begun: Mutex<usize>,
    more: Condvar,
}

impl Work for Meets {
    fn work(self) {
        let mut begun = self.0.begun.lock().unwrap();
        *begun += 1;
        self.0.more.notify_all();
        while *begun < 2 {
            begun = self.0.more.wait(begun).unwrap();
        }
    }
}

#[test]
fn m20_a_job_behind_one_that_hangs_gets_a_thread_of_its_own() {
    model(2, || {
        let threads = Arc::new(Threads::new(2, IDLE));
        let meeting = Untracked::new(Meeting { begun: Mutex::new(0), more: Condvar::new() });
        for _ in 0..2 {
            Threads::execute(&threads, Meets(Untracked::clone(&meeting)));
        }
        threads.stop();
    });
}

/// Pushes a job and is refused a thread, as often as it asks for one.
fn execute_in_vain(threads: &Arc<Threads<Dropped>>, undone: &Untracked<Undone>, panics: bool) {
    undone.jobs.fetch_add(1, SeqCst);
    let job = Dropped { undone: Untracked::clone(undone), panics };
    refused(|| Threads::execute(threads, job));
}

#[test]
fn m20_where_the_system_has_no_thread_all_jobs_are_given_up() {
    for most in [1, 2] {
        model(2, move || {
            let (threads, undone) = (Arc::new(Threads::new(most, IDLE)), Undone::none());
            let other = {
                let (threads, undone) = (Arc::clone(&threads), Untracked::clone(&undone));
                thread::spawn(move || execute_in_vain(&threads, &undone, false))
            };
            execute_in_vain(&threads, &undone, false);
            other.join().unwrap();
            assert_eq!(undone.jobs.load(SeqCst), 0, "jobs are left behind");
        });
    }
}

#[test]
fn m20_a_destructor_that_panics_where_there_is_no_thread_leaves_no_other_job_behind() {
    model(2, || {
        let (threads, undone) = (Arc::new(Threads::new(2, IDLE)), Undone::none());
        let other = {
            let (threads, undone) = (Arc::clone(&threads), Untracked::clone(&undone));
            thread::spawn(move || execute_in_vain(&threads, &undone, false))
        };
        // As the refresher does.
        let executed = || execute_in_vain(&threads, &undone, true);
        let _ = catch_unwind(AssertUnwindSafe(executed));
        other.join().unwrap();
        assert_eq!(undone.jobs.load(SeqCst), 0, "jobs are left behind");
    });
}

#[test]
fn m20_a_job_beside_one_that_gets_no_thread_is_done_or_given_up() {
    model(2, || {
        let (threads, undone) = (Arc::new(Threads::new(1, IDLE)), Undone::awaited());
        let other = {
            let (threads, undone) = (Arc::clone(&threads), Untracked::clone(&undone));
            move || execute_in_vain(&threads, &undone, false)
        };
        drop(thread::spawn(other));
        undone.jobs.fetch_add(1, SeqCst);
        let job = Dropped { undone: Untracked::clone(&undone), panics: false };
        Threads::execute(&threads, job);
        undone.wait();
        threads.stop();
    });
}
