//! What the tests control: a fetch that announces itself and waits to be told its outcome, an
//! executor that collects jobs, threads whose end can be waited for with a bound, and dice.
//!
//! Nothing here orders by sleeping. Every wait is bounded, so that a lost wake-up fails its test
//! instead of hanging it.
#![allow(dead_code, reason = "each file of tests uses its own part of this")]

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use lastcache::{Builder, Executor, Job, ManualClock, RefreshHandle};

/// How long a test waits for what must happen before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) type Failure = &'static str;
pub(crate) type Cache<V = u32> = lastcache::Cache<u32, V, Failure>;
pub(crate) type Served<V = u32> = lastcache::Served<u32, V, Failure>;
pub(crate) type Error = lastcache::Error<Failure>;

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// From this second on what was published at 0 is stale, inside both stale windows.
pub(crate) const STALE: Duration = secs(10);
/// From this second on it is stale inside stale-if-error only.
pub(crate) const OVERDUE: Duration = secs(30);
/// From this second on it is gone.
pub(crate) const GONE: Duration = secs(50);

/// Fresh until 10 s, stale-while-revalidate until 30 s, stale-if-error until 50 s.
pub(crate) fn builder<V>(clock: &ManualClock) -> Builder<u32, V, Failure> {
    lastcache::Cache::<u32, V>::builder()
        .error_type::<Failure>()
        .ttl(STALE)
        .stale_while_revalidate(OVERDUE - STALE)
        .stale_if_error(GONE - STALE)
        .clock(clock)
}

/// Goes on as soon as `condition` holds, and fails when it never does.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "never happened: {what}");
        thread::yield_now();
    }
}

/// How the test wants a fetch to end.
enum Outcome<V> {
    Value(V),
    Error(Failure),
    Panic(&'static str),
}

/// A fetch that has begun and hangs until it is told how to end.
#[must_use = "a fetch that is let go of panics"]
pub(crate) struct Run<V> {
    pub(crate) key: u32,
    pub(crate) thread: thread::Thread,
    end: mpsc::Sender<Outcome<V>>,
}

impl<V> Run<V> {
    pub(crate) fn succeed(self, value: V) {
        self.tell(Outcome::Value(value));
    }

    pub(crate) fn fail(self, error: Failure) {
        self.tell(Outcome::Error(error));
    }

    pub(crate) fn panic(self, message: &'static str) {
        self.tell(Outcome::Panic(message));
    }

    fn tell(self, outcome: Outcome<V>) {
        assert!(self.end.send(outcome).is_ok(), "the fetch waits for its outcome");
    }
}

/// Where controlled fetches come from.
pub(crate) struct Source<V = u32> {
    begun: Arc<AtomicUsize>,
    announce: mpsc::Sender<Run<V>>,
    runs: Mutex<mpsc::Receiver<Run<V>>>,
}

impl<V: Send + 'static> Source<V> {
    pub(crate) fn new() -> Arc<Self> {
        let (announce, runs) = mpsc::channel();
        Arc::new(Source { begun: Arc::default(), announce, runs: Mutex::new(runs) })
    }

    /// A fetch that announces its run and hangs.
    pub(crate) fn fetch(&self) -> impl FnOnce(&u32) -> Result<V, Failure> + Send + 'static {
        let (begun, announce) = (Arc::clone(&self.begun), self.announce.clone());
        move |key| {
            begun.fetch_add(1, SeqCst);
            let (end, outcome) = mpsc::channel();
            let run = Run { key: *key, thread: thread::current(), end };
            assert!(announce.send(run).is_ok(), "the test still listens");
            match outcome.recv() {
                Ok(Outcome::Value(value)) => Ok(value),
                Ok(Outcome::Error(error)) => Err(error),
                Ok(Outcome::Panic(message)) => panic!("{message}"),
                Err(_) => panic!("the test let go of this fetch"),
            }
        }
    }

    /// The next fetch that begins, or has begun.
    pub(crate) fn started(&self) -> Run<V> {
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.recv_timeout(PATIENCE).expect("a fetch begins")
    }

    /// How many fetches have begun so far.
    pub(crate) fn begun(&self) -> usize {
        self.begun.load(SeqCst)
    }
}

/// A fetch that must not run.
pub(crate) fn never<V>(key: &u32) -> Result<V, Failure> {
    panic!("nothing is to be fetched for {key}")
}

/// A thread that the test waits for with a bound.
#[must_use]
pub(crate) struct Going<T>(mpsc::Receiver<thread::Result<T>>);

/// Starts a thread.
pub(crate) fn go<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Going<T> {
    let (end, ended) = mpsc::channel();
    drop(thread::spawn(move || end.send(catch_unwind(AssertUnwindSafe(f))).is_ok()));
    Going(ended)
}

impl<T> Going<T> {
    /// What it returned, or the panic it ended with.
    pub(crate) fn outcome(self) -> thread::Result<T> {
        self.0.recv_timeout(PATIENCE).expect("the thread ends")
    }

    /// What it returned; its panic goes on here.
    pub(crate) fn end(self) -> T {
        self.outcome().unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// The message of the panic that it must have ended with.
    pub(crate) fn panic(self) -> String {
        match self.outcome() {
            Ok(_) => panic!("it ended without a panic"),
            Err(panic) => message(&*panic),
        }
    }
}

/// How a refresh ended. Who waits for it must be woken: a bounded wait would look once more by itself.
pub(crate) fn ended<V: Send + Sync + 'static>(
    refresh: RefreshHandle<u32, V, Failure>,
) -> Result<(), Error> {
    go(move || refresh.wait()).end()
}

/// A panic's message.
pub(crate) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// An executor that keeps its jobs, oldest first, until the test asks for them.
#[derive(Clone, Default)]
pub(crate) struct Collected(Arc<Mutex<VecDeque<Job>>>);

impl Executor for Collected {
    fn execute(&self, job: Job) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(job);
    }
}

impl Collected {
    pub(crate) fn next(&self) -> Job {
        self.take().expect("a job was handed over")
    }

    pub(crate) fn take(&self) -> Option<Job> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Numbers that look random and are the same every time.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Dice(seed)
    }

    /// One of `0..sides`.
    pub(crate) fn roll(&mut self, sides: u32) -> u32 {
        // Splitmix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
        (((x >> 32) * u64::from(sides)) >> 32) as u32
    }
}

/// How many times a stress test repeats what it does `base` times by default: scaled by the environment
/// variable `LASTCACHE_STRESS`, a factor.
pub(crate) fn scaled(base: usize) -> usize {
    let factor = std::env::var("LASTCACHE_STRESS").ok().map_or(1.0, |text| {
        text.parse::<f64>().unwrap_or_else(|_| panic!("LASTCACHE_STRESS is a factor, not {text}"))
    });
    (base as f64 * factor).ceil() as usize
}
