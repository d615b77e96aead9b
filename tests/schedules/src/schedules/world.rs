//! What the programs share: a small cache, fetches that are counted, calls that are cancelled.

use std::future::poll_fn;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use shuttle::rand::{Rng, thread_rng};
use shuttle::{future, thread};

use crate::{Builder, Cache, Job, ManualClock};

pub(super) const KEYS: u8 = 4;

/// A value says whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) key: u8,
    pub(super) serial: usize,
}

/// Hashes alike in every run, so that a printed schedule replays what it was printed for.
type Fixed = BuildHasherDefault<DefaultHasher>;
type Settings = Builder<u8, Value, &'static str, Fixed>;
pub(super) type Small = Cache<u8, Value, &'static str, Fixed>;

/// A cache, its clock, and what is known of the fetches. Std's atomics: no step hangs on them.
#[derive(Clone)]
pub(super) struct World {
    pub(super) cache: Small,
    pub(super) clock: ManualClock,
    known: Arc<Known>,
}

#[derive(Default)]
struct Known {
    serial: AtomicUsize,
    fetches: AtomicUsize,
    /// Of each key, which fetch began last.
    latest: [AtomicUsize; KEYS as usize],
    /// How often a fetch was polled after another of its key had begun.
    overtaken: AtomicUsize,
}

impl Known {
    fn value(&self, key: u8) -> Value {
        Value { key, serial: self.serial.fetch_add(1, SeqCst) }
    }

    /// A fetch begins: its number.
    fn begin(&self, key: u8) -> usize {
        let number = self.fetches.fetch_add(1, SeqCst) + 1;
        self.latest[usize::from(key)].store(number, SeqCst);
        number
    }

    /// It goes on.
    fn go_on(&self, key: u8, number: usize) {
        if self.latest[usize::from(key)].load(SeqCst) != number {
            self.overtaken.fetch_add(1, SeqCst);
        }
    }

    fn end(&self, key: u8, fails: bool) -> Result<Value, &'static str> {
        if fails { Err("down") } else { Ok(self.value(key)) }
    }
}

impl World {
    /// Fresh for 10 s, stale for 20 more.
    pub(super) fn new(settings: impl FnOnce(Settings) -> Settings) -> World {
        let clock = ManualClock::new();
        let builder = Cache::<u8, Value>::builder()
            .error_type::<&'static str>()
            .hasher(Fixed::new())
            .ttl(Duration::from_secs(10))
            .stale_while_revalidate(Duration::from_secs(20))
            .stale_if_error(Duration::from_secs(20))
            .clock(&clock)
            .executor(|job: Job| {
                if job.is_blocking() {
                    drop(thread::spawn(move || job.run()));
                } else {
                    drop(future::spawn(job));
                }
            });
        World {
            cache: settings(builder).build().expect("the settings agree"),
            clock,
            known: Arc::default(),
        }
    }

    pub(super) fn value(&self, key: u8) -> Value {
        self.known.value(key)
    }

    /// A fetch that gives way to others while it runs. It has no handle of the cache.
    pub(super) fn fetch(
        &self,
        fails: bool,
    ) -> impl FnOnce(&u8) -> Result<Value, &'static str> + Send + 'static {
        let known = Arc::clone(&self.known);
        move |key| {
            let number = known.begin(*key);
            thread::yield_now();
            known.go_on(*key, number);
            known.end(*key, fails)
        }
    }

    pub(super) fn fetch_async(
        &self,
        key: u8,
        fails: bool,
    ) -> impl Future<Output = Result<Value, &'static str>> + Send + 'static {
        let known = Arc::clone(&self.known);
        async move {
            let number = known.begin(key);
            for _ in 0..2 {
                future::yield_now().await;
                known.go_on(key, number);
            }
            known.end(key, fails)
        }
    }

    pub(super) fn fetches(&self) -> usize {
        self.known.fetches.load(SeqCst)
    }

    /// How often a fetch went on after another of its key had begun: what was cancelled does not.
    pub(super) fn overtaken(&self) -> usize {
        self.known.overtaken.load(SeqCst)
    }

    /// What must hold when nobody is inside a call.
    pub(super) fn check_rest(&self) {
        assert!(self.cache.len() <= self.cache.capacity());
        for key in 0..KEYS {
            if let Some(held) = self.cache.peek(&key) {
                assert_eq!(held.key, key);
            }
            // Nothing pending is left behind: a call of this one thread would wait for ever.
            let got = self.cache.get(&key, |key| Ok(self.value(*key)));
            assert_eq!(got.expect("it can be had").key, key);
        }
        self.cache.clear();
        assert_eq!((self.cache.len(), self.cache.iter().count()), (0, 0));
    }
}

/// The waker of one poll: worth nothing after the next one.
struct OfOnePoll {
    polls: Arc<AtomicUsize>,
    this: usize,
    task: Waker,
}

impl Wake for OfOnePoll {
    fn wake(self: Arc<Self>) {
        if self.polls.load(SeqCst) == self.this {
            self.task.wake_by_ref();
        }
    }
}

/// Polls `call` so many times at the most, each time with another waker, and then drops it; without a
/// bound, to its end.
pub(super) async fn cancelled<F: Future>(call: F, bound: Option<usize>) -> Option<F::Output> {
    let mut call = pin!(call);
    let polls = Arc::new(AtomicUsize::new(0));
    poll_fn(|cx| {
        let this = polls.fetch_add(1, SeqCst) + 1;
        if bound.is_some_and(|bound| this > bound) {
            return Poll::Ready(None);
        }
        let task = cx.waker().clone();
        let waker = Waker::from(Arc::new(OfOnePoll { polls: Arc::clone(&polls), this, task }));
        let polled = call.as_mut().poll(&mut Context::from_waker(&waker)).map(Some);
        // One that is bounded comes round without being woken, and now and then any other does.
        if polled.is_pending() && (bound.is_some() || this == 1) {
            cx.waker().wake_by_ref();
        }
        polled
    })
    .await
}

/// One of `0..sides`.
pub(super) fn roll(sides: u32) -> u32 {
    thread_rng().gen_range(0..sides)
}

/// A worker: half of them are threads, half tasks.
pub(super) enum Worker {
    Thread(thread::JoinHandle<()>),
    Task(future::JoinHandle<()>),
}

impl Worker {
    pub(super) fn thread(f: impl FnOnce() + Send + 'static) -> Worker {
        Worker::Thread(thread::spawn(f))
    }

    pub(super) fn task(f: impl Future<Output = ()> + Send + 'static) -> Worker {
        Worker::Task(future::spawn(f))
    }

    pub(super) fn end(self) {
        match self {
            Worker::Thread(thread) => thread.join().expect("no panic"),
            Worker::Task(task) => future::block_on(task).expect("no panic"),
        }
    }
}
