//! The same on tokio (both flavours), on smol, and on threads that poll by hand.

use std::pin::Pin;
use std::time::Duration;

use lastcache::{Job, ManualClock};

use super::controlled::{Cache, Error, STALE, builder, go};
use super::fetches::{Gate, absurd};
use super::support::{block_on, turns};

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a runtime has to do for the story below.
trait Runtime: Clone + Send + Sync + 'static {
    fn spawn(&self, task: Task);
    fn block_on<T>(&self, future: impl Future<Output = T>) -> T;
}

#[derive(Clone)]
struct Tokio(std::sync::Arc<tokio::runtime::Runtime>);

impl Runtime for Tokio {
    fn spawn(&self, task: Task) {
        drop(self.0.spawn(task));
    }
    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.0.block_on(future)
    }
}

#[derive(Clone)]
struct Smol(std::sync::Arc<smol::Executor<'static>>);

impl Runtime for Smol {
    fn spawn(&self, task: Task) {
        self.0.spawn(task).detach();
    }
    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        smol::block_on(self.0.run(future))
    }
}

#[derive(Clone)]
struct ByHand;

impl Runtime for ByHand {
    fn spawn(&self, task: Task) {
        drop(go(move || block_on(task)));
    }
    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        block_on(future)
    }
}

/// Thirty tasks of a cold key, a refresh behind a stale read, a leader that is cancelled.
fn story(runtime: impl Runtime) {
    let clock = ManualClock::new();
    let spawner = runtime.clone();
    let cache: Cache = builder(&clock)
        .executor(move |job: Job| spawner.spawn(Box::pin(job)))
        .build()
        .expect("the settings agree");
    let gate = Gate::new();
    let (told, heard) = smol::channel::unbounded();
    for _ in 0..30 {
        let (cache, fetch, told) = (cache.clone(), gate.fetch(), told.clone());
        runtime.spawn(Box::pin(async move {
            let got = cache.get_async(&1, fetch).await;
            told.send(got.ok()).await.expect("somebody listens");
        }));
    }
    runtime.block_on(async {
        while cache.stats().joins < 29 {
            turns(1).await;
            yield_to_others().await;
        }
        gate.open(Ok(7));
        for _ in 0..30 {
            assert_eq!(heard.recv().await, Ok(Some(7)));
        }
    });
    assert_eq!(gate.begun(), 1);

    clock.set(STALE);
    let refreshed = runtime.block_on(async {
        let fetch = async {
            turns(3).await;
            Ok(8)
        };
        let served = cache.get_swr_async(&1, fetch).await.expect("stale");
        assert_eq!(*served, 7);
        served.refresh().expect("started by this call").await
    });
    assert!(refreshed.is_ok());
    assert_eq!(runtime.block_on(cache.get_async(&1, absurd())).expect("fresh"), 8);

    // A leader that loses a race, and a joiner that then leads.
    let never = Gate::new();
    let led = runtime.block_on(async {
        let loser = cache.get_async(&2, never.fetch());
        smol::future::or(async { loser.await.ok() }, async {
            turns(3).await;
            None
        })
        .await
    });
    assert_eq!(led, None);
    assert_eq!((never.begun(), never.dropped()), (1, 1));
    let next = runtime.block_on(cache.get_async(&2, async { Ok(9) }));
    assert_eq!(next.expect("the key is free"), 9);
}

/// Gives way to tasks of the same thread, and to other threads.
async fn yield_to_others() {
    std::thread::yield_now();
    smol::future::yield_now().await;
}

#[test]
fn tokio_on_many_threads() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(3).build();
    story(Tokio(runtime.expect("a runtime").into()));
}

#[test]
fn tokio_on_one_thread() {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    story(Tokio(runtime.expect("a runtime").into()));
}

#[test]
fn smol_tasks() {
    story(Smol(smol::Executor::new().into()));
}

#[test]
fn a_hand_written_executor() {
    story(ByHand);
}

#[test]
fn a_joiner_bounds_its_wait_with_the_runtimes_own_timeout() {
    let mut paused = tokio::runtime::Builder::new_current_thread();
    let runtime = paused.enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let cache = builder(&ManualClock::new()).build().expect("the settings agree");
        let gate = Gate::new();
        let leader = tokio::spawn({
            let (cache, fetch) = (cache.clone(), gate.fetch());
            async move { cache.get_async(&1, fetch).await }
        });
        while gate.begun() == 0 {
            tokio::task::yield_now().await;
        }
        for joined in 1..=3 {
            let waiting = cache.get_async(&1, absurd());
            assert!(tokio::time::timeout(Duration::from_secs(1), waiting).await.is_err());
            assert_eq!(cache.stats().joins, joined, "it joined the same flight");
        }
        gate.open(Ok(7));
        assert_eq!(leader.await.expect("no panic").expect("led"), 7);
        assert_eq!(cache.get_async(&1, absurd()).await.expect("fresh"), 7);
    });
}

/// A fetch that needs a runtime finds one only where it is told to be polled.
#[test]
fn the_caches_own_thread_is_in_no_runtime() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build();
    let runtime = runtime.expect("a runtime");
    for spawns in [false, true] {
        let clock = ManualClock::new();
        let builder = builder(&clock);
        let builder =
            if spawns { builder.executor(|job: Job| drop(tokio::spawn(job))) } else { builder };
        let cache: Cache = builder.build().expect("the settings agree");
        let needs_it = || async {
            drop(tokio::runtime::Handle::current());
            Ok(11)
        };
        let (refreshed, stats) = runtime.block_on(async {
            assert!(matches!(cache.get_async(&1, needs_it()).await, Ok(11)), "its caller is in it");
            clock.set(STALE);
            let served = cache.get_swr_async(&1, needs_it()).await.expect("stale");
            (served.refresh().expect("started").await, cache.stats())
        });
        if spawns {
            assert!(refreshed.is_ok());
        } else {
            assert!(matches!(refreshed, Err(Error::Panicked)));
            assert_eq!(stats.panics, 1);
        }
    }
}

#[cfg(feature = "tokio")]
#[test]
fn a_tokio_handle_spawns_what_is_polled_and_gives_a_thread_to_what_blocks() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build();
    let runtime = runtime.expect("a runtime");
    let clock = ManualClock::new();
    let cache: Cache = builder(&clock)
        .executor(runtime.handle().clone())
        .max_concurrent_refresh(2)
        .build()
        .expect("the settings agree");
    cache.set(1, 10);
    cache.set(2, 20);
    clock.set(STALE);
    let gate = Gate::new();
    let refreshed = runtime.block_on(async {
        let polled = cache.get_swr_async(&1, gate.fetch()).await.expect("stale");
        // Blocks its thread until the other one is polled, on the one worker there is.
        let begun = gate.clone();
        let blocking = cache.get_swr(&2, move |_| {
            super::controlled::until("the other is polled", || begun.begun() == 1);
            Ok(21)
        });
        let blocking = blocking.expect("stale").refresh().expect("started").await;
        gate.open(Ok(11));
        blocking.and(polled.refresh().expect("started").await)
    });
    assert!(refreshed.is_ok());
    assert_eq!([1, 2].map(|key| *cache.peek(&key).expect("fresh")), [11, 21]);
}
