//! Executors that own what they run jobs on, and go with their cache.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use lastcache::{Executor, Job, ManualClock};

use crate::controlled::{Cache, Error, PATIENCE, STALE, builder, go, message, until};

/// Says when it goes.
struct Told(Arc<AtomicBool>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// What a fetch that waits panics with as it goes.
struct Behind;

impl Drop for Behind {
    fn drop(&mut self) {
        panic!("what waits");
    }
}

/// A cache on this executor, with stale values of keys 1 and 2.
fn stale(executor: impl Executor) -> Cache {
    let clock = ManualClock::new();
    let cache = builder(&clock).executor(executor).build().expect("the settings agree");
    cache.set(1, 10);
    cache.set(2, 10);
    clock.advance(STALE);
    cache
}

/// A cache whose executor keeps each job, and whether that has gone.
fn kept_jobs() -> (Cache, Arc<AtomicBool>) {
    let gone = Arc::new(AtomicBool::new(false));
    let (told, kept) = (Told(Arc::clone(&gone)), Mutex::new(Vec::new()));
    let cache = stale(move |job: Job| {
        let _owned = &told;
        kept.lock().expect("nobody panics with it").push(job);
    });
    (cache, gone)
}

#[test]
fn jobs_that_an_executor_keeps_go_with_the_last_handle_and_keep_nothing_alive() {
    let (cache, gone) = kept_jobs();
    let refresh = cache.get_swr(&1, |_| Ok(20)).expect("stale").refresh().expect("started");
    assert!(refresh.wait_timeout(Duration::ZERO).is_none());
    drop(cache);
    assert!(gone.load(SeqCst), "the executor and its jobs keep one another");
    assert!(matches!(refresh.wait_timeout(PATIENCE), Some(Err(Error::Closed))));
}

#[test]
fn jobs_that_an_executor_keeps_go_although_what_waits_behind_them_panics_as_it_goes() {
    let (cache, gone) = kept_jobs();
    let refresh = cache.get_swr(&1, |_| Ok(20)).expect("stale").refresh().expect("started");
    let behind = Behind;
    let waits = cache.get_swr(&2, move |_| {
        let _owned = &behind;
        Ok(20)
    });
    drop(waits.expect("stale"));
    assert_eq!(cache.stats().queued, 1);
    let went = catch_unwind(AssertUnwindSafe(|| drop(cache)));
    assert_eq!(message(&*went.expect_err("its panic goes on")), "what waits");
    assert!(gone.load(SeqCst));
    assert!(matches!(refresh.wait_timeout(PATIENCE), Some(Err(Error::Closed))));
}

/// One thread of its own, waited for as it goes.
struct Pool {
    jobs: Option<mpsc::Sender<Job>>,
    worker: Option<JoinHandle<()>>,
    going: Arc<AtomicBool>,
}

impl Pool {
    fn new(going: &Arc<AtomicBool>) -> Self {
        let (jobs, taken) = mpsc::channel::<Job>();
        let worker = thread::spawn(move || taken.into_iter().for_each(Job::run));
        Pool { jobs: Some(jobs), worker: Some(worker), going: Arc::clone(going) }
    }
}

impl Executor for Pool {
    fn execute(&self, job: Job) {
        let jobs = self.jobs.as_ref().expect("it is not going");
        jobs.send(job).expect("the worker listens");
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.going.store(true, SeqCst);
        drop(self.jobs.take());
        let worker = self.worker.take().expect("it goes once");
        assert_ne!(worker.thread().id(), thread::current().id(), "it would wait for itself");
        worker.join().expect("no job panics");
    }
}

#[test]
fn an_executor_that_waits_for_its_threads_goes_on_the_thread_of_the_last_handle() {
    let going = Arc::new(AtomicBool::new(false));
    let cache = stale(Pool::new(&going));
    let (began, begun) = mpsc::channel();
    let seen = Arc::clone(&going);
    let fetch = move |_: &u32| {
        began.send(()).expect("the test listens");
        // Still running as the last handle goes.
        until("the executor goes", || seen.load(SeqCst));
        Ok(20)
    };
    let refresh = cache.get_swr(&1, fetch).expect("stale").refresh().expect("started");
    begun.recv_timeout(PATIENCE).expect("the fetch begins");
    go(move || drop(cache)).end();
    assert!(going.load(SeqCst));
    assert!(refresh.wait_timeout(PATIENCE).is_some());
}

#[test]
fn a_panic_of_an_executor_that_goes_harms_nobody() {
    struct Fragile;
    impl Executor for Fragile {
        fn execute(&self, job: Job) {
            job.run();
        }
    }
    impl Drop for Fragile {
        fn drop(&mut self) {
            panic!("an executor");
        }
    }
    let cache = stale(Fragile);
    assert_eq!(*cache.get_swr(&1, |_| Ok(20)).expect("stale"), 10);
    assert_eq!(cache.peek(&1).as_deref(), Some(&20));
    drop(cache);
}
