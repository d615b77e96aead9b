//! A panic, and on its way a destructor that panics too: the first one goes on, and so does the process.

use std::cell::Cell;
use std::future::pending;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::Pin;
use std::ptr;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

use lastcache::{Builder, Cache, Executor, Job, Lifetime, ManualClock, WeakCache};

use super::controlled::{
    Collected, Error, Failure, PATIENCE, STALE, builder, ended, message, never, until,
};
use super::destructors::{Bomb, Fragile};
use super::tasks::{Moved, at_once, await_moved};

type Frail = Cache<u32, Fragile, Failure>;

/// What `call` must panic with.
pub(super) fn first<T>(says: &str, call: impl FnOnce() -> T) {
    let panic = catch_unwind(AssertUnwindSafe(|| drop(call()))).expect_err(says);
    assert_eq!(message(&*panic), says);
}

/// Fragile values, and how many have gone.
#[derive(Clone, Default)]
pub(super) struct Shelf(Arc<AtomicUsize>);

impl Shelf {
    pub(super) fn one(&self) -> Fragile {
        Fragile(Arc::clone(&self.0))
    }

    /// How many went since it was asked last.
    pub(super) fn gone(&self) -> usize {
        self.0.swap(0, SeqCst)
    }
}

/// Calls `f` while no slot is left in a cache of capacity 1: each of twelve is taken by a load.
fn full<V, E>(cache: &Cache<u32, V, E>, f: impl FnOnce())
where
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    let keys: [u32; 12] = std::array::from_fn(|n| 100 + n as u32);
    let mut hung = keys.each_ref().map(|key| Box::pin(cache.get_stale_async(key, pending())));
    for load in &mut hung {
        assert!(load.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    let before = cache.stats().uncached;
    f();
    assert_eq!(cache.stats().uncached, before + 1);
}

fn frail(
    clock: &ManualClock,
    set: impl FnOnce(Builder<u32, Fragile, Failure>) -> Builder<u32, Fragile, Failure>,
) -> Frail {
    set(builder(clock)).build().expect("the settings agree")
}

#[test]
fn a_hook_that_judges_and_what_it_judges_may_panic() {
    for weighs in [false, true] {
        let (clock, shelf) = (ManualClock::new(), Shelf::default());
        let armed = Arc::new(AtomicBool::new(true));
        let burns = Arc::clone(&armed);
        let burn = move || assert!(!burns.load(SeqCst), "hook");
        let cache = frail(&clock, |b| {
            if weighs {
                b.capacity(1).max_weight(1).weigher(move |_, _| {
                    burn();
                    1
                })
            } else {
                b.capacity(1).lifetime(move |_, _| {
                    burn();
                    Lifetime::new()
                })
            }
        });
        first("hook", || cache.set(1, shelf.one()));
        first("hook", || cache.get_stale(&1, |_| Ok(shelf.one())));
        first("hook", || at_once(cache.get_stale_async(&1, async { Ok(shelf.one()) })));
        full(&cache, || first("hook", || cache.get_stale(&1, |_| Ok(shelf.one()))));
        assert_eq!(shelf.gone(), 4);

        // On a thread of the cache's own, which goes on.
        armed.store(false, SeqCst);
        assert!(cache.set(1, shelf.one()));
        armed.store(true, SeqCst);
        clock.advance(STALE);
        for _ in 0..2 {
            let value = shelf.one();
            let refresh = cache.get_swr(&1, |_| Ok(value)).expect("stale").refresh();
            assert!(matches!(ended(refresh.expect("started")), Err(Error::Panicked)));
        }
        until("the second is over", || cache.close_timeout(PATIENCE));
        assert_eq!(shelf.gone(), 2);
        first("a destructor after 0 others", || drop(cache));
    }
}

#[test]
fn a_hook_that_is_told_and_the_error_may_panic() {
    let shelf = Shelf::default();
    let builder = Cache::<u32, u32>::builder().error_type::<Fragile>().capacity(1);
    let cache = builder.on_error(|_, _| panic!("hook")).build().expect("the settings agree");
    first("hook", || cache.get(&1, |_| Err(shelf.one())));
    first("hook", || at_once(cache.get_async(&1, async { Err(shelf.one()) })));
    assert_eq!(shelf.gone(), 2);
    full(&cache, || first("hook", || cache.get(&1, |_| Err(shelf.one()))));
    assert_eq!(shelf.gone(), 1);
}

#[test]
fn a_hook_that_is_told_and_what_the_panic_carries_may_panic() {
    let shelf = Shelf::default();
    let cache: Cache<u32, u32, Failure> = builder(&ManualClock::new())
        .capacity(1)
        .on_panic(|_, _| panic!("hook"))
        .build()
        .expect("the settings agree");
    let asks = || {
        first("hook", || cache.get(&1, |_| panic_any(Bomb(shelf.one()))));
        assert_eq!(shelf.gone(), 1);
    };
    asks();
    full(&cache, asks);
}

/// Panics as it is polled, and as it goes.
struct Torn;

impl Future for Torn {
    type Output = Result<u32, Failure>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        panic!("poll")
    }
}

impl Drop for Torn {
    fn drop(&mut self) {
        panic!("a future")
    }
}

#[test]
fn a_fetch_that_is_polled_may_panic_and_panic_again_as_it_goes() {
    let cache: Cache<u32, u32, Failure> =
        builder(&ManualClock::new()).capacity(1).build().expect("the settings agree");
    let asks = || first("poll", || at_once(cache.get_async(&1, Torn)));
    asks();
    full(&cache, asks);
    assert_eq!(cache.get(&1, |_| Ok(1)).expect("the key is free"), 1);
}

#[test]
fn who_reads_and_the_value_it_deleted_may_panic() {
    let shelf = Shelf::default();
    let cache = frail(&ManualClock::new(), |b| b);
    let mut reader = cache.reader();
    let read = |_: &Fragile| {
        assert!(cache.delete(&1));
        panic!("read")
    };
    assert!(cache.set(1, shelf.one()));
    first("read", || cache.get_with(&1, read, never).map(|(): ()| ()));
    first("read", || cache.get_with(&1, read, |_| Ok(shelf.one())).map(|(): ()| ()));
    assert!(cache.set(1, shelf.one()));
    first("read", || reader.get_with(&1, read, never).map(|(): ()| ()));
    assert_eq!(shelf.gone(), 3);
}

#[test]
fn a_fetch_and_what_the_read_captured_may_panic() {
    let shelf = Shelf::default();
    let cache: Cache<u32, u32, Failure> =
        builder(&ManualClock::new()).build().expect("the settings agree");
    let captured = shelf.one();
    let read = move |_: &u32| drop(captured);
    first("fetch", || cache.get_with(&1, read, |_| panic!("fetch")));
    let captured = shelf.one();
    let read = move |_: &u32| drop(captured);
    first("fetch", || cache.reader().get_with(&1, read, |_| panic!("fetch")));
    assert_eq!(shelf.gone(), 2);
}

#[test]
fn an_executor_and_the_value_that_its_job_replaced_may_panic() {
    let (clock, shelf) = (ManualClock::new(), Shelf::default());
    let cache = frail(&clock, |b| {
        b.executor(|job: Job| {
            job.run();
            panic!("after it");
        })
    });
    assert!(cache.set(1, shelf.one()));
    for is_async in [false, true] {
        clock.advance(STALE);
        let value = shelf.one();
        if is_async {
            first("after it", || at_once(cache.get_swr_async(&1, async { Ok(value) })));
        } else {
            first("after it", || cache.get_swr(&1, |_| Ok(value)));
        }
        assert_eq!(shelf.gone(), 1, "the one that was served");
    }
    first("a destructor after 0 others", || drop(cache));
}

/// Deletes key 1 as it goes, and panics.
struct Deleting(Arc<OnceLock<WeakCache<u32, Deleting, Failure>>>);

impl Drop for Deleting {
    fn drop(&mut self) {
        if let Some(cache) = self.0.get().and_then(WeakCache::upgrade) {
            cache.delete(&1);
        }
        panic!("a value")
    }
}

#[test]
fn what_a_set_replaces_may_delete_what_it_set_and_both_may_panic() {
    let own = Arc::new(OnceLock::new());
    let cache: Cache<u32, Deleting, Failure> =
        builder(&ManualClock::new()).build().expect("the settings agree");
    assert!(own.set(cache.downgrade()).is_ok());
    assert!(cache.set(1, Deleting(Arc::clone(&own))));
    first("a value", || cache.set(1, Deleting(Arc::clone(&own))));
    assert!(cache.is_empty());
}

/// Lets the cache go that it holds, if any, before it keeps the job; panics as it goes.
struct Holding {
    cache: Arc<Mutex<Option<Cache<u32, u32, Failure>>>>,
    jobs: Collected,
}

impl Executor for Holding {
    fn execute(&self, job: Job) {
        let last = self.cache.lock().expect("nobody panics with it").take();
        drop(last);
        self.jobs.execute(job);
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        panic!("an executor");
    }
}

#[test]
fn an_executor_may_panic_that_lets_its_cache_go_as_a_job_ends() {
    let (clock, jobs, held) = (ManualClock::new(), Collected::default(), Arc::default());
    let executor = Holding { cache: Arc::clone(&held), jobs: jobs.clone() };
    let cache: Cache<u32, u32, Failure> =
        builder(&clock).executor(executor).build().expect("the settings agree");
    (1..=2).for_each(|key| assert!(cache.set(key, key)));
    clock.advance(STALE);
    let [ran, queued] = [1, 2].map(|key| {
        let served = cache.get_swr(&key, move |_| Ok(10 * key)).expect("stale");
        served.refresh().expect("under way")
    });
    *held.lock().expect("nobody panics with it") = Some(cache);
    jobs.next().run();
    assert!(matches!(ended(ran), Ok(())));
    drop(jobs.next());
    assert!(matches!(ended(queued), Err(Error::Closed)));
}

thread_local! {
    /// So many wakers go before one panics.
    static SOUND: Cell<usize> = const { Cell::new(usize::MAX) };
}

const COUNTED: &RawWakerVTable = &RawWakerVTable::new(
    |_| RawWaker::new(ptr::null(), COUNTED),
    |_| {},
    |_| {},
    |_| {
        let sound = SOUND.get();
        SOUND.set(sound.wrapping_sub(1));
        assert!(sound > 0, "a waker");
    },
);

#[allow(unsafe_code, reason = "a waker that is made by hand")]
#[test]
fn a_refused_joiner_whose_waker_panics_as_it_goes_leaks_nothing() {
    type Value = Arc<()>;
    let clock = ManualClock::new();
    let cache: &'static Cache<u32, Value, Failure> =
        Box::leak(Box::new(builder(&clock).build().expect("the settings agree")));
    // SAFETY: it has no data, and its functions may be called from anywhere.
    let waker = ManuallyDrop::new(unsafe { Waker::new(ptr::null(), COUNTED) });
    let cx = &mut Context::from_waker(&waker);
    let panicked = (0..10).filter(|sound| {
        let value = Value::default();
        assert!(cache.set(1, Arc::clone(&value)));
        clock.advance(STALE);
        let moved = Moved::default();
        let theirs = Rc::clone(&moved);
        let fetch = async {
            // Covered by the stale value.
            drop(await_moved(theirs).await);
            Err("down")
        };
        let mut leader = Box::pin(cache.get_stale_async(&1, fetch));
        assert!(leader.as_mut().poll(cx).is_pending());
        let mut joiner = Box::pin(cache.get_stale_async(&1, async { Err("joined") }));
        assert!(joiner.as_mut().poll(cx).is_pending());
        moved.replace(Some(joiner));
        SOUND.set(*sound);
        let polled = catch_unwind(AssertUnwindSafe(|| drop(leader.as_mut().poll(cx))));
        SOUND.set(usize::MAX);
        drop(leader);
        assert!(cache.delete(&1));
        assert_eq!(Arc::strong_count(&value), 1, "after {sound} that went");
        polled.is_err()
    });
    assert!(panicked.count() > 1, "as it is polled again, and as it is refused");
}
