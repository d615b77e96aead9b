//! Destructors that panic, not one of them but each.

use std::cell::RefCell;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::Pin;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, RawWaker, RawWakerVTable, Wake, Waker};
use std::thread;

use lastcache::{Builder, Cache, ManualClock, Reader};

use super::constant::Constant;
use super::controlled::{
    Collected, Failure, GONE, PATIENCE, STALE, Source, builder, message, until,
};
use super::tasks::{Bell, at_once, turns};

/// Panics whenever it goes, and is counted.
pub(super) struct Fragile(pub(super) Arc<AtomicUsize>);

impl Drop for Fragile {
    fn drop(&mut self) {
        let before = self.0.fetch_add(1, SeqCst);
        panic!("a destructor after {before} others");
    }
}

/// How many go in a call in which some panic, whose first panic comes out of it.
fn gone(gone: &AtomicUsize, call: impl FnOnce()) -> usize {
    let panic = catch_unwind(AssertUnwindSafe(call)).expect_err("the first panic goes on");
    assert_eq!(message(&*panic), "a destructor after 0 others");
    gone.swap(0, SeqCst)
}

#[test]
fn any_number_of_victims_of_one_value_may_panic() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let weigher = |key: &u32, _: &Fragile| if *key < 100 { 1 } else { 4 };
    let builder = Cache::builder().error_type::<Failure>().max_weight(4).weigher(weigher);
    let cache = builder.build().expect("the settings agree");
    for key in 0..4 {
        assert!(cache.set(key, Fragile(Arc::clone(&dropped))));
    }
    let heavy = Fragile(Arc::clone(&dropped));
    assert_eq!(gone(&dropped, || assert!(cache.set(100, heavy))), 4);
    assert_eq!((cache.len(), cache.weight()), (1, 4));
    assert_eq!(gone(&dropped, || drop(cache)), 1);
}

#[test]
fn what_finds_no_room_and_what_it_was_to_replace_may_both_panic() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let fragile = || Fragile(Arc::clone(&dropped));
    for loads in [false, true] {
        let clock = ManualClock::new();
        let weighed = AtomicUsize::new(0);
        let weigher = move |_: &u32, _: &Fragile| [1, 5][weighed.fetch_add(1, SeqCst)];
        let builder = builder(&clock).error_type::<Failure>().max_weight(4).weigher(weigher);
        let cache: Cache<u32, Fragile, Failure> = builder.build().expect("the settings agree");
        assert!(cache.set(1, fragile()));
        clock.advance(STALE);
        let heavy = fragile();
        let both = gone(&dropped, || {
            if loads {
                drop(cache.get_stale(&1, |_| Ok(heavy)));
            } else {
                cache.set(1, heavy);
            }
        });
        assert_eq!((both, cache.len(), cache.weight()), (2, 0, 0));
    }
}

/// As many victims as one value may cost, and the older one: the set is over before any of them goes.
#[test]
fn the_most_victims_and_what_was_to_be_replaced_may_panic_behind_a_set() {
    let (clock, dropped) = (ManualClock::new(), Arc::new(AtomicUsize::new(0)));
    let (weight, fragile) = (Arc::new(AtomicUsize::new(1)), || Fragile(Arc::clone(&dropped)));
    let weighs = Arc::clone(&weight);
    let cache: Cache<u32, Fragile, Failure> = builder(&clock)
        .max_weight(40)
        .weigher(move |_, _| weighs.load(SeqCst) as u32)
        .build()
        .expect("the settings agree");
    for key in 0..31 {
        assert!(cache.set(key, fragile()));
    }
    clock.advance(STALE);
    let (bells, key) = ([Bell::new(), Bell::new()], 30);
    let mut leader = Box::pin(cache.get_stale_async(&key, std::future::pending()));
    assert!(bells[0].poll(leader.as_mut()).is_pending());
    let mut joiner = Box::pin(cache.get_stale_async(&key, std::future::pending()));
    assert!(bells[1].poll(joiner.as_mut()).is_pending());
    weight.store(40, SeqCst);
    assert_eq!(gone(&dropped, || assert!(cache.set(key, fragile()))), 17);
    assert_eq!((cache.len(), bells[1].rung()), (14, 1));
    let joined = bells[1].poll(joiner.as_mut());
    assert_eq!(gone(&dropped, || drop((joined, leader, joiner))), 1);
    assert_eq!(gone(&dropped, || drop(cache)), 14);
}

#[test]
fn any_number_of_values_may_panic_that_an_iteration_holds() {
    let dropped = Arc::new(AtomicUsize::new(0));
    for stops in [false, true] {
        // One hash for all, so that one bucket's keys are all that there are.
        let builder = Cache::builder().error_type::<Failure>().hasher(Constant);
        let cache: Cache<u32, Fragile, Failure, Constant> =
            builder.build().expect("the settings agree");
        for key in 0..5 {
            assert!(cache.set(key, Fragile(Arc::clone(&dropped))));
        }
        if stops {
            let all = gone(&dropped, || {
                cache.range(|_, _, _| {
                    cache.clear();
                    false
                });
            });
            assert_eq!(all, 5);
        } else {
            let mut iter = cache.iter();
            let first = iter.next().expect("there are five");
            cache.clear();
            assert_eq!(dropped.load(SeqCst), 0, "the iteration holds all of them");
            assert_eq!(gone(&dropped, || drop(iter)), 4);
            assert_eq!(gone(&dropped, || drop(first)), 1);
        }
    }
}

#[test]
fn any_number_of_values_may_panic_as_their_cache_goes() {
    let dropped = Arc::new(AtomicUsize::new(0));
    for hot in [0, 8] {
        let builder = Cache::builder().error_type::<Failure>().thread_hot_set(hot);
        let cache = builder.build().expect("the settings agree");
        for key in 0..100_u32 {
            assert!(cache.set(key, Fragile(Arc::clone(&dropped))));
            for _ in 0..3 {
                assert!(cache.get_with(&key, |_| (), |_| Err("asked")).is_ok());
            }
        }
        assert_eq!(gone(&dropped, || drop(cache)), 100);
    }
}

/// A reader that holds on to twenty values that are deleted.
fn reader_of_deleted(
    dropped: &Arc<AtomicUsize>,
) -> Reader<u32, Fragile, Failure, BuildHasherDefault<DefaultHasher>> {
    // Hashes alike in every run: none takes another's spot.
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    let builder = Cache::builder().error_type::<Failure>().hasher(hasher);
    let cache = builder.build().expect("the settings agree");
    let mut reader = cache.reader();
    for key in 0..20_u32 {
        assert!(cache.set(key, Fragile(Arc::clone(dropped))));
        for _ in 0..3 {
            assert!(reader.get_with(&key, |_| (), |_| Err("asked")).is_ok());
        }
    }
    // They stay with the reader when the table lets go of them.
    (0..20).for_each(|key| assert!(cache.delete(&key)));
    assert_eq!(dropped.load(SeqCst), 0);
    reader
}

#[test]
fn any_number_of_values_may_panic_as_a_reader_goes_or_forgets_them() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let reader = reader_of_deleted(&dropped);
    assert_eq!(gone(&dropped, || drop(reader)), 20);
    let mut reader = reader_of_deleted(&dropped);
    assert_eq!(gone(&dropped, || reader.forget()), 20);
    drop(reader);
    assert_eq!(dropped.load(SeqCst), 0, "nothing is left");
}

#[test]
fn any_number_of_values_may_panic_as_their_cache_is_cleared() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let cache = Cache::builder().error_type::<Failure>().build().expect("the settings agree");
    (0..20_u32).for_each(|key| assert!(cache.set(key, Fragile(Arc::clone(&dropped)))));
    assert_eq!(gone(&dropped, || cache.clear()), 20);
    assert!(cache.is_empty());
}

#[test]
fn any_number_of_values_may_panic_as_they_are_purged() {
    let (clock, dropped) = (ManualClock::new(), Arc::new(AtomicUsize::new(0)));
    let cache: Cache<u32, Fragile, Failure> = builder(&clock).build().expect("the settings agree");
    (0..20).for_each(|key| assert!(cache.set(key, Fragile(Arc::clone(&dropped)))));
    clock.set(GONE);
    assert_eq!(gone(&dropped, || _ = cache.purge()), 20);
    assert!(cache.is_empty());
}

#[test]
fn any_number_of_values_may_panic_as_a_thread_ends() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let caches = [(); 2].map(|()| {
        let builder = Cache::builder().error_type::<Failure>().thread_hot_set(64);
        builder.build().expect("the settings agree")
    });
    thread::scope(|scope| {
        let reads = || {
            for cache in &caches {
                assert!(cache.set(1_u32, Fragile(Arc::clone(&dropped))));
                for _ in 0..3 {
                    assert!(cache.get_with(&1, |_| (), |_| Err("asked")).is_ok());
                }
                assert!(cache.delete(&1));
            }
            assert_eq!(dropped.load(SeqCst), 0, "the thread holds on to them");
        };
        // A panic there would end the process.
        scope.spawn(reads).join().expect("it only read");
    });
    assert_eq!(dropped.load(SeqCst), 2);
}

/// A cache of some stale values.
fn stale(
    keys: u32,
    set: impl FnOnce(Builder<u32, u32, Failure>) -> Builder<u32, u32, Failure>,
) -> Cache<u32, u32, Failure> {
    let clock = ManualClock::new();
    let cache = set(builder(&clock)).build().expect("the settings agree");
    (0..keys).for_each(|key| assert!(cache.set(key, key)));
    clock.set(STALE);
    cache
}

/// What a panic may carry.
pub(super) struct Bomb(#[expect(dead_code, reason = "it is to go")] pub(super) Fragile);

#[test]
fn what_a_panic_carries_may_panic_as_it_goes() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let bomb = {
        let dropped = Arc::clone(&dropped);
        move || Bomb(Fragile(Arc::clone(&dropped)))
    };
    // On the cache's only thread: it goes on.
    let cache = stale(2, |b| b.max_concurrent_refresh(1).on_panic(move |_, _| panic_any(bomb())));
    let source = Source::new();
    for n in 0..2 {
        until("it is tried again", || {
            drop(cache.get_swr(&0, source.fetch()).expect("stale"));
            source.begun() > n
        });
        source.started().panic("boom");
        until("it has failed", || cache.stats().panics == n as u64 + 1);
    }
    let refresh = cache.get_swr(&1, source.fetch()).expect("stale").refresh().expect("started");
    source.started().succeed(1);
    assert!(refresh.wait_timeout(PATIENCE).expect("it ends").is_ok());
    assert!(cache.close_timeout(PATIENCE));
    assert_eq!(dropped.load(SeqCst), 2);
}

/// A waker that panics, carrying what panics as it goes.
struct Alarm(Arc<AtomicUsize>);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        panic_any(Bomb(Fragile(Arc::clone(&self.0))));
    }
}

#[test]
fn what_the_panic_of_a_waker_carries_keeps_nobody_else_asleep() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let jobs = Collected::default();
    let cache = stale(1, |b| b.executor(jobs.clone()));
    let mut refreshes: Vec<_> = (0..3)
        .map(|_| cache.get_swr(&0, |_| Ok(1)).expect("stale").refresh().expect("under way"))
        .collect();
    let bell = Bell::new();
    let wakers = [
        Waker::from(Arc::new(Alarm(Arc::clone(&dropped)))),
        Waker::from(Arc::clone(&bell)),
        Waker::from(Arc::new(Alarm(Arc::clone(&dropped)))),
    ];
    for (refresh, waker) in refreshes.iter_mut().zip(&wakers) {
        assert!(Pin::new(refresh).poll(&mut Context::from_waker(waker)).is_pending());
    }
    jobs.next().run();
    assert_eq!((bell.rung(), dropped.load(SeqCst)), (1, 2));
}

/// Panics as it goes, each clone for itself: what a waker may do that is no `Arc`.
const BRITTLE: &RawWakerVTable = &RawWakerVTable::new(
    |_| RawWaker::new(ptr::null(), BRITTLE),
    |_| {},
    |_| {},
    |_| panic!("a waker"),
);

#[allow(unsafe_code, reason = "a waker that is made by hand")]
#[test]
fn every_clone_of_a_waker_may_panic_as_it_goes() {
    let jobs = Collected::default();
    let cache = stale(1, |b| b.executor(jobs.clone()));
    let served = cache.get_swr(&0, |_| Ok(1)).expect("stale");
    let mut refresh = served.refresh().expect("under way");
    // SAFETY: it has no data, and its functions may be called from anywhere.
    let brittle = ManuallyDrop::new(unsafe { Waker::new(ptr::null(), BRITTLE) });
    assert!(Pin::new(&mut refresh).poll(&mut Context::from_waker(&brittle)).is_pending());
    let bell = Bell::new();
    let poll = AssertUnwindSafe(|| bell.poll(Pin::new(&mut refresh)));
    assert_eq!(message(&*catch_unwind(poll).expect_err("the first goes on")), "a waker");
    assert!(bell.poll(Pin::new(&mut refresh)).is_pending());
    jobs.next().run();
    assert_eq!(bell.rung(), 1);
    assert!(bell.poll(Pin::new(&mut refresh)).is_ready());
}

#[allow(unsafe_code, reason = "a waker that is made by hand")]
#[test]
fn a_joiner_whose_waker_panics_as_it_goes_leaks_nothing() {
    let cache: Cache<u32, Arc<()>, Failure> =
        builder(&ManualClock::new()).build().expect("the settings agree");
    let value = Arc::new(());
    let fetch = async {
        turns(1).await;
        Ok(Arc::clone(&value))
    };
    let mut leader = Box::pin(cache.get_stale_async(&1, fetch));
    let mut joiner = Box::pin(cache.get_stale_async(&1, async { Err("joined") }));
    // SAFETY: it has no data, and its functions may be called from anywhere.
    let brittle = ManuallyDrop::new(unsafe { Waker::new(ptr::null(), BRITTLE) });
    let poll =
        |future: Pin<&mut dyn Future<Output = _>>| future.poll(&mut Context::from_waker(&brittle));
    assert!(poll(leader.as_mut()).is_pending() && poll(joiner.as_mut()).is_pending());
    assert!(poll(leader.as_mut()).is_ready());
    let joined = catch_unwind(AssertUnwindSafe(|| drop(poll(joiner.as_mut()))));
    assert_eq!(message(&*joined.expect_err("its destructor")), "a waker");
    drop((leader, joiner));
    drop(cache);
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn what_a_fetch_that_panics_leaves_of_a_set_before_it_may_panic_as_it_goes() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let cache: Cache<u32, Fragile, Failure> =
        builder(&ManualClock::new()).build().expect("the settings agree");
    let fetch = |key: &u32| {
        // The outcome of this load, whose caller alone still holds it.
        assert!(cache.set(*key, Fragile(Arc::clone(&dropped))) && cache.delete(key));
        panic!("fetch")
    };
    let led = catch_unwind(AssertUnwindSafe(|| drop(cache.get_stale(&1, fetch))));
    assert_eq!(
        (message(&*led.expect_err("it goes on")).as_str(), dropped.load(SeqCst)),
        ("fetch", 1)
    );
}

thread_local! {
    /// What the next clone of an `INTRUSIVE` waker does.
    static INTRUSION: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

/// As `BRITTLE`, and its clones do something first.
const INTRUSIVE: &RawWakerVTable = &RawWakerVTable::new(
    |_| {
        let intrusion = INTRUSION.with_borrow_mut(Option::take);
        intrusion.into_iter().for_each(|intrude| intrude());
        RawWaker::new(ptr::null(), BRITTLE)
    },
    |_| {},
    |_| {},
    |_| panic!("a waker"),
);

#[allow(unsafe_code, reason = "a waker that is made by hand")]
#[test]
fn a_waker_that_finds_no_seat_may_panic_as_it_goes_with_its_other_clone() {
    let cache: Cache<u32, u32, Failure> =
        builder(&ManualClock::new()).build().expect("the settings agree");
    let mut leader = Box::pin(cache.get_async(&1, async {
        turns(1).await;
        Ok(1)
    }));
    let bell = Bell::new();
    assert!(bell.poll(leader.as_mut()).is_pending());
    let mut joiner = Box::pin(cache.get_async(&1, async { Err("joined") }));
    let theirs = cache.clone();
    // It joins, and the load ends as it is about to sit down.
    INTRUSION.set(Some(Box::new(move || assert!(theirs.set(1, 2)))));
    // SAFETY: it has no data, and its functions may be called from anywhere.
    let waker = ManuallyDrop::new(unsafe { Waker::new(ptr::null(), INTRUSIVE) });
    let poll = AssertUnwindSafe(|| drop(joiner.as_mut().poll(&mut Context::from_waker(&waker))));
    assert_eq!(message(&*catch_unwind(poll).expect_err("the first goes on")), "a waker");
    drop((joiner, leader));
    assert_eq!(cache.get(&1, |_| Err("fresh")).expect("set"), 2);
}

/// As above, behind a stale value: the outcome, and what the panic carries.
#[test]
fn what_a_refresh_that_panics_leaves_and_what_its_panic_carries_may_panic_as_they_go() {
    for is_async in [false, true] {
        let dropped = Arc::new(AtomicUsize::new(0));
        let (clock, jobs) = (ManualClock::new(), Collected::default());
        let built = builder(&clock).executor(jobs.clone()).build();
        let cache: Cache<u32, Fragile, Failure> = built.expect("the settings agree");
        let fragile = || Fragile(Arc::clone(&dropped));
        assert!(cache.set(1, fragile()));
        clock.advance(STALE);
        let (theirs, value, payload) = (cache.downgrade(), fragile(), fragile());
        let fetch = move || -> Result<Fragile, Failure> {
            let cache = theirs.upgrade().expect("it is there");
            // Here goes the stale one.
            let set = catch_unwind(AssertUnwindSafe(|| cache.set(1, value)));
            assert!(set.is_err() && cache.delete(&1));
            panic_any(payload)
        };
        let served = if is_async {
            at_once(cache.get_swr_async(&1, async { fetch() }))
        } else {
            cache.get_swr(&1, |_| fetch())
        };
        drop(served.expect("stale"));
        jobs.next().run();
        assert_eq!(dropped.load(SeqCst), 3);
        assert_eq!(cache.stats().panics, 1);
        assert!(cache.get_stale(&1, |_| Err("the key is free")).is_err());
    }
}
