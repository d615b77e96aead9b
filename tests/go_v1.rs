//! The test cases of the Go module LastCache v1, row by row, in this crate's terms.
//!
//! v1's calls are small adapters here (`load_or_store`, `async_load_or_store`); its injected `now` is the manual clock,
//! and its goroutines are a tray of jobs that the test runs when it wants to. Each test names the Go test that its rows
//! come from. Where this crate differs on purpose, the row says what v1 did and asserts what happens here.

use lastcache::{
    BackOff, Cache, Error, Job, ManualClock, RefreshHandle, Served, State, Ttl, Verdict,
};
use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

// v1's vocabulary.

/// What a callback fails with: v1's `(nil, useStale, err)`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Failure {
    message: &'static str,
    use_stale: bool,
}

/// v1's callback result: a value, or an error with `useStale`.
type Answer = Result<&'static str, Failure>;
type V1 = Cache<String, &'static str, Failure>;
type Channel = RefreshHandle<String, &'static str, Failure>;

const fn down(use_stale: bool) -> Answer {
    Err(Failure { message: "unavailable", use_stale })
}

/// v1's `Config`. A zero `extend_ttl` is off, as in v1.
#[derive(Clone, Copy)]
struct Config {
    global_ttl: Duration,
    extend_ttl: Duration,
    async_semaphore: usize,
}

impl Config {
    const fn ttl(global_ttl: Duration) -> Self {
        Self { global_ttl, extend_ttl: Duration::ZERO, async_semaphore: 1 }
    }

    const fn extend(self, extend_ttl: Duration) -> Self {
        Self { extend_ttl, ..self }
    }

    const fn semaphore(self, async_semaphore: usize) -> Self {
        Self { async_semaphore, ..self }
    }
}

/// A cache with v1's behaviour as far as it is wanted, its clock, and its background jobs.
struct Bench {
    cache: V1,
    clock: ManualClock,
    tray: Arc<Mutex<VecDeque<Job>>>,
}

impl Bench {
    fn new(config: Config) -> Self {
        let clock = ManualClock::new();
        let tray = Arc::new(Mutex::new(VecDeque::new()));
        let jobs = Arc::clone(&tray);
        let cache = Cache::builder()
            .error_type::<Failure>()
            .capacity(64) // v1 had no bound; no row needs more
            .ttl(config.global_ttl)
            .stale_if_error(Duration::MAX) // v1 knows no end of the stale time
            .back_off(if config.extend_ttl.is_zero() {
                BackOff::NONE
            } else {
                BackOff::fixed(config.extend_ttl)
            })
            .verdict(
                |failure: &Failure| {
                    if failure.use_stale { Verdict::ServeStale } else { Verdict::Propagate }
                },
            )
            .max_concurrent_refresh(config.async_semaphore)
            .executor(move |job: Job| jobs.lock().unwrap().push_back(job))
            .clock(&clock)
            .build()
            .unwrap();
        Self { cache, clock, tray }
    }

    /// Jobs handed out and not yet run.
    fn waiting_jobs(&self) -> usize {
        self.tray.lock().unwrap().len()
    }

    /// Lets the background work until there is none.
    fn run_background(&self) {
        loop {
            let job = self.tray.lock().unwrap().pop_front();
            match job {
                Some(job) => job.run(),
                None => break,
            }
        }
    }

    /// A new value or failure to be produced by a background callback, which counts its runs.
    fn async_callback(
        answer: Answer,
        runs: &Arc<AtomicUsize>,
    ) -> impl FnOnce(&String) -> Answer + Send + 'static {
        let runs = Arc::clone(runs);
        move |_: &String| {
            runs.fetch_add(1, Ordering::SeqCst);
            answer
        }
    }
}

/// v1's `Entry`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Entry {
    value: &'static str,
    stale: bool,
    err: Option<&'static str>,
}

const fn fresh(value: &'static str) -> Entry {
    Entry { value, stale: false, err: None }
}

const fn stale(value: &'static str) -> Entry {
    Entry { value, stale: true, err: None }
}

const fn masked(value: &'static str, err: &'static str) -> Entry {
    Entry { value, stale: true, err: Some(err) }
}

fn entry_of(served: &Served<String, &'static str, Failure>) -> Entry {
    Entry {
        value: **served,
        stale: served.is_stale(),
        err: served.error().map(|error| message(&error)),
    }
}

fn message(error: &Error<Failure>) -> &'static str {
    match error {
        Error::Fetch(failure) => failure.message,
        Error::Closed => "closed",
        Error::Panicked => "panicked",
        _ => "other",
    }
}

/// v1's `LoadOrStore`.
fn load_or_store(
    cache: &V1,
    key: &str,
    callback: impl FnOnce(&String) -> Answer,
) -> Result<Entry, &'static str> {
    cache.get_stale(key, callback).map(|served| entry_of(&served)).map_err(|error| message(&error))
}

/// v1's `AsyncLoadOrStore`: the entry, and the channel that tells how the refresh ended.
fn async_load_or_store(
    cache: &V1,
    key: &str,
    callback: impl FnOnce(&String) -> Answer + Send + 'static,
) -> Result<(Entry, Option<Channel>), &'static str> {
    cache
        .get_swr(key, callback)
        .map(|served| (entry_of(&served), served.refresh()))
        .map_err(|error| message(&error))
}

/// What v1's channel told; a failure instead of a hang when the refresh never ends.
fn told(channel: Option<&Channel>) -> Result<(), &'static str> {
    channel
        .expect("a stale read has started or joined a refresh")
        .wait_timeout(PATIENCE)
        .expect("the refresh has not ended")
        .map_err(|error| message(&error))
}

/// How long to wait in real time for what has to happen before the test is given up.
const PATIENCE: Duration = Duration::from_secs(20);

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

const NANO: Duration = Duration::from_nanos(1);

// TestCache_Set_LoadOrStore_Expired, TestCache_Set_LoadOrStore_NonExpired, TestCache_Set_LoadOrStore_InvalidKey,
// TestCache_LoadOrStore.

struct LoadRow {
    says: &'static str,
    ttl: Duration,
    /// Whether "value" was set under "storeKey" at time zero.
    stored: bool,
    /// The time of the call.
    at: Duration,
    asks: &'static str,
    answer: Answer,
    want: Result<Entry, &'static str>,
    callbacks: usize,
}

const BASE: LoadRow = LoadRow {
    says: "",
    ttl: ms(1),
    stored: true,
    at: ms(10),
    asks: "storeKey",
    answer: down(true),
    want: Ok(fresh("value")),
    callbacks: 1,
};

const JUST_EXPIRED: LoadRow = LoadRow { ttl: ms(10), at: ms(10).saturating_add(NANO), ..BASE };

const LOADS: &[LoadRow] = &[
    // TestCache_Set_LoadOrStore_Expired
    LoadRow {
        says: "nine milliseconds after its ttl a value is served because the callback failed",
        want: Ok(masked("value", "unavailable")),
        ..BASE
    },
    LoadRow {
        says: "an expired value is replaced by what the callback returns",
        answer: Ok("value2"),
        want: Ok(fresh("value2")),
        ..BASE
    },
    LoadRow {
        says: "within its ttl a value is served and the callback is not run",
        ttl: ms(1000),
        answer: Ok("value2"),
        callbacks: 0,
        ..BASE
    },
    LoadRow {
        says: "within its ttl a value is served although the callback would fail (v1 lists the row above twice)",
        ttl: ms(1000),
        callbacks: 0,
        ..BASE
    },
    // TestCache_Set_LoadOrStore_NonExpired, which looks one nanosecond after the ttl
    LoadRow {
        says: "one nanosecond after its ttl a value is served if the error allows a stale one",
        want: Ok(masked("value", "unavailable")),
        ..JUST_EXPIRED
    },
    LoadRow {
        says: "an error that allows no stale value is returned although there is one",
        ttl: NANO,
        at: NANO.saturating_add(NANO),
        answer: down(false),
        want: Err("unavailable"),
        ..BASE
    },
    LoadRow {
        says: "one nanosecond after its ttl a value is loaded again, an equal one too",
        answer: Ok("value"),
        ..JUST_EXPIRED
    },
    // TestCache_Set_LoadOrStore_InvalidKey
    LoadRow {
        says: "the error for a key without a value is returned although another key has a value",
        asks: "key2",
        answer: down(false),
        want: Err("unavailable"),
        ..JUST_EXPIRED
    },
    LoadRow {
        says: "a key without a value is loaded although another key has a value",
        asks: "key2",
        answer: Ok("value for key2"),
        want: Ok(fresh("value for key2")),
        ..JUST_EXPIRED
    },
    LoadRow {
        says: "a masked failure gives the value, that it is stale, and the error",
        want: Ok(masked("value", "unavailable")),
        ..JUST_EXPIRED
    },
    // TestCache_LoadOrStore
    LoadRow {
        says: "a first load that fails returns its error",
        stored: false,
        answer: down(false),
        want: Err("unavailable"),
        ..BASE
    },
    LoadRow {
        says: "a first load that succeeds is fresh",
        stored: false,
        answer: Ok("value"),
        ..BASE
    },
    // Not among v1's rows, but of its rules.
    LoadRow {
        says: "a first load that fails returns its error even when a stale value would be allowed",
        stored: false,
        want: Err("unavailable"),
        ..BASE
    },
    LoadRow {
        says: "one nanosecond before the deadline the value is fresh",
        ttl: ms(10),
        at: ms(10).saturating_sub(NANO),
        answer: Ok("value2"),
        callbacks: 0,
        ..BASE
    },
    LoadRow {
        says: "at the deadline itself the value is stale and is loaded again (v1 asked now.After, and served it as fresh)",
        ttl: ms(10),
        at: ms(10),
        answer: Ok("value2"),
        want: Ok(fresh("value2")),
        ..BASE
    },
];

#[test]
fn load_or_store_answers_as_v1_did_but_for_the_boundary() {
    for row in LOADS {
        let bench = Bench::new(Config::ttl(row.ttl));
        if row.stored {
            bench.cache.set("storeKey".to_owned(), "value");
        }
        bench.clock.advance(row.at);
        let callbacks = Cell::new(0);
        let got = load_or_store(&bench.cache, row.asks, |key| {
            assert_eq!(key, row.asks, "{}", row.says);
            callbacks.set(callbacks.get() + 1);
            row.answer
        });
        assert_eq!(got, row.want, "{}", row.says);
        assert_eq!(callbacks.get(), row.callbacks, "{}", row.says);
    }
}

// TestCache_LoadOrStore_NrCalls.

struct CallsRow {
    says: &'static str,
    extend_ttl: Duration,
    /// The times of the two reads; the value is set at zero and its ttl is one millisecond.
    at: [Duration; 2],
    callbacks: usize,
    /// Time to the next attempt as the second read saw it; `None` when the second read made an attempt itself.
    retry_in: Option<Duration>,
}

const CALLS: &[CallsRow] = &[
    CallsRow {
        says: "without ExtendTTL every stale read tries again",
        extend_ttl: Duration::ZERO,
        at: [ms(10), ms(10)],
        callbacks: 2,
        retry_in: None,
    },
    CallsRow {
        says: "with ExtendTTL a read after a failure does not try again",
        extend_ttl: ms(12),
        at: [ms(10), ms(10)],
        callbacks: 1,
        retry_in: Some(ms(12)),
    },
    CallsRow {
        says: "once ExtendTTL is over the next read tries again",
        extend_ttl: ms(5),
        at: [ms(10), ms(16)],
        callbacks: 2,
        retry_in: None,
    },
    CallsRow {
        says: "the end of ExtendTTL itself is after it (v1 asked now.After, and waited one tick more)",
        extend_ttl: ms(5),
        at: [ms(10), ms(15)],
        callbacks: 2,
        retry_in: None,
    },
];

#[test]
fn extend_ttl_is_a_back_off_that_never_makes_the_value_fresh_again() {
    for row in CALLS {
        let bench = Bench::new(Config::ttl(ms(1)).extend(row.extend_ttl));
        let callbacks = Cell::new(0);
        let failing = |_: &String| {
            callbacks.set(callbacks.get() + 1);
            down(true)
        };
        bench.cache.set("storeKey".to_owned(), "value");

        bench.clock.set(row.at[0]);
        let first = load_or_store(&bench.cache, "storeKey", failing);
        assert_eq!(first, Ok(masked("value", "unavailable")), "{}", row.says);

        bench.clock.set(row.at[1]);
        let second = bench.cache.get_stale("storeKey", failing).unwrap();
        assert_eq!(callbacks.get(), row.callbacks, "{}", row.says);

        // v1 moved the deadline, so its second read saw a fresh entry without an error, and a positive ttl.
        assert_eq!(entry_of(&second), masked("value", "unavailable"), "{}", row.says);
        let retry_in = match second.state() {
            State::BackOff { retry_in, .. } => Some(retry_in),
            State::Fallback { .. } => None,
            _ => panic!("neither back-off nor fallback: {}", row.says),
        };
        assert_eq!(retry_in, row.retry_in, "{}", row.says);
        assert_eq!(
            bench.cache.ttl("storeKey"),
            Some(Ttl::Overdue(row.at[1] - ms(1))),
            "{}",
            row.says
        );
    }
}

#[test]
fn an_error_that_allows_no_stale_value_starts_no_back_off() {
    let bench = Bench::new(Config::ttl(ms(1)).extend(ms(12)));
    bench.cache.set("key".to_owned(), "value");
    bench.clock.advance(ms(10));
    let refused = load_or_store(&bench.cache, "key", |_| down(false));
    assert_eq!(refused, Err("unavailable"));
    let again = load_or_store(&bench.cache, "key", |_| Ok("value2"));
    assert_eq!(again, Ok(fresh("value2")));
}

// TestCache_Range.

#[test]
fn range_shows_every_entry_with_its_time_left() {
    // v1's row, then the same after the ttl: v1 gave negative durations there.
    for (at, want) in [(ms(10), Ttl::Left(ms(90))), (ms(130), Ttl::Overdue(ms(30)))] {
        let bench = Bench::new(Config::ttl(ms(100)));
        bench.cache.set("key1".to_owned(), "value1");
        bench.cache.set("key2".to_owned(), "value2");
        bench.clock.advance(at);
        let mut seen = BTreeMap::new();
        bench.cache.range(|key, value, ttl| {
            let before = seen.insert(key.clone(), (*value, ttl));
            assert_eq!(before, None, "{key} came twice");
            true
        });
        assert_eq!(
            seen,
            BTreeMap::from([
                ("key1".to_owned(), ("value1", want)),
                ("key2".to_owned(), ("value2", want)),
            ])
        );
    }
}

#[test]
fn range_stops_when_its_callback_says_so() {
    let bench = Bench::new(Config::ttl(ms(100)));
    bench.cache.set("key1".to_owned(), "value1");
    bench.cache.set("key2".to_owned(), "value2");
    let mut seen = 0;
    bench.cache.range(|_, _, _| {
        seen += 1;
        false
    });
    assert_eq!(seen, 1);
}

// TestCache_Expiry.

#[test]
fn ttl_tells_time_left_time_overdue_or_nothing() {
    for (says, ttl, at, key, want) in [
        ("expired 9 ms ago (v1: -9 ms)", ms(1), ms(10), "storeKey", Some(Ttl::Overdue(ms(9)))),
        (
            "expired 9 s ago (v1: -9 s)",
            ms(1_000),
            ms(10_000),
            "storeKey",
            Some(Ttl::Overdue(ms(9_000))),
        ),
        ("not expired yet", ms(1_000), ms(10), "storeKey", Some(Ttl::Left(ms(990)))),
        ("a key that is not there has no ttl (v1: 0)", ms(1_000), ms(10), "nonExistingKey", None),
        (
            "at the deadline it is overdue by nothing (v1: 0, as for an absent key)",
            ms(10),
            ms(10),
            "storeKey",
            Some(Ttl::Overdue(ms(0))),
        ),
    ] {
        let bench = Bench::new(Config::ttl(ttl));
        bench.cache.set("storeKey".to_owned(), "value");
        bench.clock.advance(at);
        assert_eq!(bench.cache.ttl(key), want, "{says}");
    }
}

// TestCache_Delete.

#[test]
fn a_deleted_key_is_gone_in_every_view() {
    let bench = Bench::new(Config::ttl(ms(1)));
    bench.cache.set("storeKey".to_owned(), "value");
    assert!(bench.cache.delete("storeKey"));
    assert!(!bench.cache.delete("storeKey"));
    assert!(bench.cache.peek("storeKey").is_none());
    assert!(!bench.cache.contains_key("storeKey"));
    assert_eq!(bench.cache.ttl("storeKey"), None);
    assert_eq!(bench.cache.len(), 0);
    let after = load_or_store(&bench.cache, "storeKey", |_| down(true));
    assert_eq!(after, Err("unavailable"));
}

// TestNew.

#[test]
fn the_ttl_is_the_default_or_what_was_given_and_never_silently_another() {
    let left = |ttl: Option<Duration>| {
        let clock = ManualClock::new();
        let mut builder = Cache::<String, &str>::builder().clock(&clock);
        if let Some(ttl) = ttl {
            builder = builder.ttl(ttl);
        }
        let cache = builder.build().unwrap();
        cache.set("key".to_owned(), "value");
        cache.ttl("key")
    };
    let second = Duration::from_secs(1);
    // v1's "default ttl" and "config with ttl".
    assert_eq!(left(None), Some(Ttl::Left(60 * second)));
    assert_eq!(left(Some(10 * second)), Some(Ttl::Left(10 * second)));
    // v1's "config with negative ttl" became one minute, and so did zero. A `Duration` cannot be negative; zero is zero.
    assert_eq!(left(Some(Duration::ZERO)), Some(Ttl::Overdue(Duration::ZERO)));
}

// TestCache_LoadOrStore_Race.

#[test]
fn a_hundred_threads_that_set_load_look_and_delete_never_see_a_key_without_a_value() {
    let cache = V1::clone(&Bench::new(Config::ttl(Duration::from_secs(60))).cache);
    let start = Barrier::new(100);
    thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                start.wait();
                cache.set("key".to_owned(), "value");
                // v1 kept values and deadlines in two maps: between two deletes this could be a hit with a nil value.
                let got = load_or_store(&cache, "key", |_| Ok("value"));
                assert_eq!(got, Ok(fresh("value")));
                if let Some(ttl) = cache.ttl("key") {
                    assert!(matches!(ttl, Ttl::Left(_)), "{ttl:?}");
                }
                cache.delete("key");
            });
        }
    });
    // Every thread deletes last, so nothing may come back.
    assert_eq!(cache.ttl("key"), None);
    assert_eq!(cache.len(), 0);
}

// TestCache_AsyncLoadOrStoreNonExistingKey, TestCache_AsyncLoadOrStoreNonExistingKeyWithError.

#[test]
fn the_first_async_load_runs_on_the_caller_and_answers_with_its_outcome() {
    for (says, answer, want) in
        [("a value", Ok("value"), Ok(fresh("value"))), ("an error", down(true), Err("unavailable"))]
    {
        let bench = Bench::new(Config::ttl(ms(10)));
        let runs = Arc::new(AtomicUsize::new(0));
        let got = async_load_or_store(&bench.cache, "key", Bench::async_callback(answer, &runs));
        assert_eq!(got.map(|(entry, _)| entry), want, "{says}");
        assert_eq!(runs.load(Ordering::SeqCst), 1, "{says}");
        assert_eq!(bench.waiting_jobs(), 0, "{says}");
        assert_eq!(bench.cache.len(), usize::from(want.is_ok()), "{says}");
    }
}

// TestCache_AsyncLoadOrStore.

#[test]
fn an_expired_value_is_served_at_once_and_replaced_in_the_background() {
    let bench = Bench::new(Config::ttl(ms(10)).extend(ms(10)));
    bench.cache.set("key".to_owned(), "value");

    bench.clock.advance(ms(11));
    let clock = bench.clock.clone();
    let (entry, channel) = async_load_or_store(&bench.cache, "key", move |_| {
        clock.advance(ms(5)); // v1's callback took 5 ms
        Ok("new_value")
    })
    .unwrap();
    assert_eq!(entry, stale("value"));
    assert!(channel.as_ref().is_some_and(|channel| !channel.is_done()));

    bench.run_background();
    assert_eq!(told(channel.as_ref()), Ok(()));
    // v1's channel gave its message once; here everybody may ask, as often as wanted.
    assert!(channel.is_some_and(|channel| channel.is_done() && channel.wait().is_ok()));

    bench.clock.advance(ms(1));
    let runs = Arc::new(AtomicUsize::new(0));
    let (entry, channel) =
        async_load_or_store(&bench.cache, "key", Bench::async_callback(Ok("x"), &runs)).unwrap();
    assert_eq!(entry, fresh("new_value"));
    assert!(channel.is_none());
    assert_eq!(runs.load(Ordering::SeqCst), 0);
    // The ttl counts from the end of the load, at 16 ms.
    assert_eq!(bench.cache.ttl("key"), Some(Ttl::Left(ms(9))));
}

// TestCache_AsyncLoadOrStoreWithContext.

#[test]
fn a_cancelled_callback_tells_its_error_and_the_value_stays_stale() {
    let bench = Bench::new(Config::ttl(ms(10)).extend(ms(10)));
    let cancelled = Arc::new(AtomicBool::new(false));
    let callback = |context: &Arc<AtomicBool>| {
        // The callback captures what v1 was given as a context.
        let context = Arc::clone(context);
        move |_: &String| {
            if context.load(Ordering::SeqCst) {
                Err(Failure { message: "context canceled", use_stale: true })
            } else {
                Ok("new_value")
            }
        }
    };
    bench.cache.set("key".to_owned(), "value");

    bench.clock.set(ms(11));
    cancelled.store(true, Ordering::SeqCst);
    let (entry, channel) = async_load_or_store(&bench.cache, "key", callback(&cancelled)).unwrap();
    assert_eq!(entry, stale("value"));
    bench.run_background();
    assert_eq!(told(channel.as_ref()), Err("context canceled"));

    // v1 had moved the deadline to 21 ms and called the old value fresh. Here it is stale, with the reason.
    bench.clock.set(ms(17));
    let served = bench.cache.get_swr("key", callback(&cancelled)).unwrap();
    assert_eq!(entry_of(&served), masked("value", "context canceled"));
    let State::BackOff { retry_in, .. } = served.state() else {
        panic!("not in back-off");
    };
    assert_eq!(retry_in, ms(4));
    assert_eq!(bench.waiting_jobs(), 0);
    assert_eq!(bench.cache.ttl("key"), Some(Ttl::Overdue(ms(7))));
}

#[test]
fn closing_takes_the_place_of_cancelling_the_caches_context() {
    let bench = Bench::new(Config::ttl(ms(10)).semaphore(1));
    let runs = Arc::new(AtomicUsize::new(0));
    let read = |key| {
        let callback = Bench::async_callback(Ok("new_value"), &runs);
        let (entry, channel) = async_load_or_store(&bench.cache, key, callback).unwrap();
        assert_eq!(entry, stale("value"));
        channel
    };
    for key in ["key1", "key2", "key3"] {
        bench.cache.set(key.to_owned(), "value");
    }
    bench.clock.advance(ms(11));
    let with_a_permit = read("key1");
    let queued = read("key2");

    bench.cache.close();
    assert_eq!(told(queued.as_ref()), Err("closed"));
    // What has its permit goes on, as a goroutine does that does not look at its context.
    bench.run_background();
    assert_eq!(told(with_a_permit.as_ref()), Ok(()));
    assert_eq!(runs.load(Ordering::SeqCst), 1);

    // Stale reads go on and start nothing; loads on the caller's own thread go on.
    for key in ["key2", "key3"] {
        assert!(read(key).is_none(), "{key} has a refresh");
        assert_eq!(bench.waiting_jobs(), 0);
        let got = load_or_store(&bench.cache, key, |_| Ok("new_value"));
        assert_eq!(got, Ok(fresh("new_value")));
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[test]
fn a_job_that_its_executor_drops_tells_so_and_the_next_stale_read_starts_another() {
    let bench = Bench::new(Config::ttl(ms(10)));
    let runs = Arc::new(AtomicUsize::new(0));
    bench.cache.set("key".to_owned(), "value");
    bench.clock.advance(ms(11));
    let read = || {
        let callback = Bench::async_callback(Ok("new_value"), &runs);
        async_load_or_store(&bench.cache, "key", callback).unwrap()
    };
    let (_, dropped) = read();
    let jobs = std::mem::take(&mut *bench.tray.lock().unwrap());
    assert_eq!(jobs.len(), 1);
    drop(jobs);
    assert_eq!(told(dropped.as_ref()), Err("closed"));
    let (entry, again) = read();
    assert_eq!(entry, stale("value"));
    bench.run_background();
    assert_eq!(told(again.as_ref()), Ok(()));
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

// TestCache_AsyncLoadOrStoreConcurrentOneSemaphore, TestCache_AsyncLoadOrStoreConcurrentTwoSemaphore.

#[test]
fn two_stale_reads_of_one_key_make_one_refresh_whatever_the_semaphore() {
    // With two permits v1 ran both callbacks at once, and the value was that of the later one.
    for semaphore in [1, 2] {
        let bench = Bench::new(Config::ttl(ms(10)).extend(ms(10)).semaphore(semaphore));
        let first = Arc::new(AtomicUsize::new(0));
        let second = Arc::new(AtomicUsize::new(0));
        let (cache, clock) = (&bench.cache, &bench.clock);
        cache.set("key".to_owned(), "value");

        clock.set(ms(11));
        let callback = Bench::async_callback(Ok("new_value_1"), &first);
        let (entry1, ch1) = async_load_or_store(cache, "key", callback).unwrap();
        let callback = Bench::async_callback(Ok("new_value_2"), &second);
        let (entry2, ch2) = async_load_or_store(cache, "key", callback).unwrap();
        assert_eq!(entry1, stale("value"));
        assert_eq!(entry2, stale("value"));
        assert_eq!(bench.waiting_jobs(), 1, "semaphore {semaphore}");

        bench.run_background();
        // Both channels tell of the one refresh.
        assert_eq!(told(ch1.as_ref()), Ok(()));
        assert_eq!(told(ch2.as_ref()), Ok(()));
        clock.set(ms(17));
        let callback = Bench::async_callback(Ok("new_value_3"), &first);
        let (entry, _) = async_load_or_store(cache, "key", callback).unwrap();
        assert_eq!(entry, fresh("new_value_1"), "semaphore {semaphore}");
        assert_eq!(first.load(Ordering::SeqCst), 1, "semaphore {semaphore}");
        assert_eq!(second.load(Ordering::SeqCst), 0, "semaphore {semaphore}");
    }
}

#[test]
fn the_semaphore_counts_refreshes_over_all_keys() {
    // v1 started a goroutine per stale read and let it block; here what has no permit waits in a queue.
    for (semaphore, at_once) in [(1, 1), (2, 2)] {
        let bench = Bench::new(Config::ttl(ms(10)).semaphore(semaphore));
        let runs = Arc::new(AtomicUsize::new(0));
        for key in ["key1", "key2"] {
            bench.cache.set(key.to_owned(), "value");
        }
        bench.clock.advance(ms(11));
        for key in ["key1", "key2"] {
            let callback = Bench::async_callback(Ok("new_value"), &runs);
            let (entry, _) = async_load_or_store(&bench.cache, key, callback).unwrap();
            assert_eq!(entry, stale("value"));
        }
        assert_eq!(bench.waiting_jobs(), at_once, "semaphore {semaphore}");
        bench.run_background();
        assert_eq!(runs.load(Ordering::SeqCst), 2, "semaphore {semaphore}");
        for key in ["key1", "key2"] {
            assert_eq!(bench.cache.peek(key).as_deref(), Some(&"new_value"));
        }
    }
}

// The examples of v1's README, in their order.

#[test]
fn the_readme_of_v1_prints_the_same_lines() {
    let config = Config::ttl(NANO).extend(NANO);
    let bench = Bench::new(config);
    let (cache, clock) = (&bench.cache, &bench.clock);
    let failed = |message, use_stale| Err(Failure { message, use_stale });

    let line = load_or_store(cache, "key", |_| Ok("value"));
    assert_eq!(line, Ok(fresh("value")));
    clock.advance(ms(1));
    let line = load_or_store(cache, "key", |_| failed("connection lost", true));
    assert_eq!(line, Ok(masked("value", "connection lost")));
    clock.advance(ms(1));
    let line = load_or_store(cache, "key", |_| failed("resource not found", false));
    assert_eq!(line, Err("resource not found"));

    let (line, _) = async_load_or_store(cache, "key_2", |_| Ok("value")).unwrap();
    assert_eq!(line, fresh("value"));
    clock.advance(ms(1));
    let (line, channel) =
        async_load_or_store(cache, "key_2", move |_| failed("some query error", true)).unwrap();
    assert_eq!(line, stale("value"));
    bench.run_background();
    assert_eq!(told(channel.as_ref()), Err("some query error"));
}

// What v1 left open, and what happens here.

#[test]
fn callers_of_a_first_miss_share_one_callback_where_v1_ran_one_each() {
    const JOINERS: u64 = 7;
    let bench = Bench::new(Config::ttl(ms(10)));
    let cache = &bench.cache;
    let (entered, leader_is_in) = mpsc::channel();
    let (go_on, wait_for_joiners) = mpsc::channel();
    let runs = Arc::new(AtomicUsize::new(0));
    thread::scope(|scope| {
        let leader = scope.spawn(|| {
            load_or_store(cache, "key", move |_| {
                entered.send(()).unwrap();
                wait_for_joiners.recv().unwrap();
                Ok("value")
            })
        });
        leader_is_in.recv().unwrap();
        let joiners: Vec<_> = (0..JOINERS)
            .map(|_| {
                let callback = Bench::async_callback(Ok("other"), &runs);
                scope.spawn(|| async_load_or_store(cache, "key", callback).map(|(entry, _)| entry))
            })
            .collect();
        let patience = Instant::now() + PATIENCE;
        while cache.stats().joins < JOINERS && Instant::now() < patience {
            thread::yield_now();
        }
        go_on.send(()).unwrap();
        assert_eq!(leader.join().unwrap(), Ok(fresh("value")));
        for joiner in joiners {
            assert_eq!(joiner.join().unwrap(), Ok(fresh("value")));
        }
    });
    assert_eq!(cache.stats().joins, JOINERS);
    assert_eq!(runs.load(Ordering::SeqCst), 0);
}

#[test]
fn a_set_during_a_load_is_not_overwritten_by_the_late_result_as_it_was_in_v1() {
    let bench = Bench::new(Config::ttl(ms(10)));
    bench.cache.set("key".to_owned(), "value");
    bench.clock.advance(ms(11));
    let late = load_or_store(&bench.cache, "key", |key| {
        bench.cache.set(key.clone(), "newer");
        Ok("late")
    });
    assert_eq!(late, Ok(fresh("newer")));
    assert_eq!(bench.cache.peek("key").as_deref(), Some(&"newer"));

    // In the background too.
    bench.clock.advance(ms(11));
    let cache = bench.cache.clone();
    let (_, channel) = async_load_or_store(&bench.cache, "key", move |key| {
        cache.set(key.clone(), "newest");
        Ok("late")
    })
    .unwrap();
    bench.run_background();
    assert_eq!(told(channel.as_ref()), Ok(()));
    assert_eq!(bench.cache.peek("key").as_deref(), Some(&"newest"));
}

#[test]
fn a_delete_during_a_load_is_not_undone_by_the_late_result_as_it_was_in_v1() {
    let bench = Bench::new(Config::ttl(ms(10)));
    let late = load_or_store(&bench.cache, "key", |key| {
        bench.cache.delete(key);
        Ok("late")
    });
    assert_eq!(late, Ok(fresh("late")));
    assert!(bench.cache.peek("key").is_none());
}

#[test]
fn a_delete_during_a_failing_load_leaves_no_deadline_without_a_value_as_it_did_in_v1() {
    // v1 stored the extended deadline alone, and the next read was a fresh hit of nil.
    let bench = Bench::new(Config::ttl(ms(10)).extend(ms(10)));
    bench.cache.set("key".to_owned(), "value");
    bench.clock.advance(ms(11));
    let failed = load_or_store(&bench.cache, "key", |key| {
        assert!(bench.cache.delete(key));
        down(true)
    });
    assert_eq!(failed, Err("unavailable"));
    assert_eq!(bench.cache.ttl("key"), None);
    let next = load_or_store(&bench.cache, "key", |_| Ok("value2"));
    assert_eq!(next, Ok(fresh("value2")));
}
