//! The end of a load, where what it lets go of panics: everybody is told all the same, and the process goes on.

use std::cell::Cell;
use std::future::{pending, ready};
use std::hash::{Hash, Hasher};
use std::mem::ManuallyDrop;
use std::panic::panic_any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Waker};

use lastcache::{Cache, CallerRuns, ManualClock, Verdict};

use super::controlled::{Error, Failure, STALE, builder, ended, never};
use super::destructors::{Bomb, Fragile};
use super::tasks::at_once;
use super::twice::{Shelf, first};

const DESTRUCTOR: &str = "a destructor after 0 others";

/// A key of which every copy panics as it goes.
#[derive(Clone)]
struct Key(u32, Arc<AtomicUsize>);

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        let before = self.1.fetch_add(1, SeqCst);
        panic!("a destructor after {before} others");
    }
}

/// How often the hooks were told of an error, and of a panic.
#[derive(Clone, Default)]
struct Told(Arc<[AtomicUsize; 2]>);

impl Told {
    fn add(&self, which: usize) {
        self.0[which].fetch_add(1, SeqCst);
    }

    /// Since it was asked last.
    fn take(&self) -> [usize; 2] {
        [0, 1].map(|which| self.0[which].swap(0, SeqCst))
    }
}

#[test]
fn of_a_failed_load_the_hook_is_told_though_the_value_it_removes_panics() {
    let (clock, told, shelf) = (ManualClock::new(), Told::default(), Shelf::default());
    let theirs = told.clone();
    let cache: Cache<u32, Fragile, Failure> = builder(&clock)
        .executor(CallerRuns)
        .verdict(|_| Verdict::Remove)
        .on_error(move |_, _| theirs.add(0))
        .build()
        .expect("the settings agree");
    let stale = || {
        assert!(cache.set(1, shelf.one()));
        clock.advance(STALE);
    };
    stale();
    first(DESTRUCTOR, || cache.get_stale(&1, |_| Err("no more")));
    assert_eq!((told.take(), shelf.gone(), cache.len()), ([1, 0], 1, 0));
    stale();
    first(DESTRUCTOR, || at_once(cache.get_stale_async(&1, ready(Err("no more")))));
    assert_eq!((told.take(), shelf.gone(), cache.len()), ([1, 0], 1, 0));
    stale();
    let served = cache.get_swr(&1, |_| Err("no more")).expect("stale");
    let refresh = served.refresh().expect("it was started");
    first(DESTRUCTOR, || drop(served));
    assert!(matches!(ended(refresh), Err(Error::Fetch(_))));
    assert_eq!((told.take(), shelf.gone(), cache.len()), ([1, 0], 1, 0));
}

#[test]
fn a_removed_value_and_the_error_that_removes_it_may_panic() {
    let (clock, shelf) = (ManualClock::new(), Shelf::default());
    let cache = Cache::<u32, Fragile>::builder().error_type::<Fragile>().clock(&clock);
    let cache = cache.verdict(|_| Verdict::Remove).build().expect("the settings agree");
    for is_async in [false, true] {
        assert!(cache.set(1, shelf.one()));
        clock.advance(STALE * 10);
        first(DESTRUCTOR, || {
            if is_async {
                drop(at_once(cache.get_stale_async(&1, ready(Err(shelf.one())))));
            } else {
                drop(cache.get_stale(&1, |_| Err(shelf.one())));
            }
        });
        assert_eq!((shelf.gone(), cache.len()), (2, 0));
    }
}

#[test]
fn every_copy_of_a_key_may_panic_however_its_load_ends() {
    let (told, dropped) = (Told::default(), Arc::new(AtomicUsize::new(0)));
    let (errors, panics) = (told.clone(), told.clone());
    let cache = Cache::<Key, u32>::builder()
        .error_type::<Failure>()
        .on_error(move |_, _| errors.add(0))
        .on_panic(move |_, _| panics.add(1))
        .build()
        .expect("the settings agree");
    let key = ManuallyDrop::new(Key(1, Arc::clone(&dropped)));
    let gone = || dropped.swap(0, SeqCst);

    first(DESTRUCTOR, || cache.get(&*key, |_| Err("down")));
    assert_eq!((told.take(), gone(), cache.len()), ([1, 0], 2, 0));
    first(DESTRUCTOR, || at_once(cache.get_async(&*key, ready(Err("down")))));
    assert_eq!((told.take(), gone(), cache.len()), ([1, 0], 2, 0));
    // Its own caller's panic is the one that goes on.
    first("fetch", || cache.get(&*key, |_| panic!("fetch")));
    assert_eq!((told.take(), gone(), cache.len()), ([0, 1], 2, 0));
    first("fetch", || at_once(cache.get_async(&*key, async { panic!("fetch") })));
    assert_eq!((told.take(), gone(), cache.len()), ([0, 1], 2, 0));
    // Given up.
    let mut load = Box::pin(cache.get_async(&*key, pending()));
    assert!(load.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    first(DESTRUCTOR, || drop(load));
    assert_eq!((told.take(), gone(), cache.len()), ([0, 0], 2, 0));
    // With a value: the placeholder's copy goes.
    first(DESTRUCTOR, || cache.get(&*key, |_| Ok(10)));
    assert_eq!((gone(), cache.len()), (1, 1));
    assert!(matches!(cache.get(&*key, |_| Err("it is there")), Ok(10)));
    first(DESTRUCTOR, || cache.set(Key(1, Arc::clone(&dropped)), 11));
    assert_eq!((gone(), cache.len()), (1, 1));
    first(DESTRUCTOR, || drop(cache));
}

/// A value whose destructor panics with what panics as it goes.
struct Mined(Shelf);

impl Drop for Mined {
    fn drop(&mut self) {
        panic_any(Bomb(self.0.one()));
    }
}

#[test]
fn what_the_panic_of_a_destructor_carries_may_panic_behind_that_of_a_hook() {
    let (clock, shelf) = (ManualClock::new(), Shelf::default());
    let cache: Cache<u32, Mined, Failure> = builder(&clock)
        .verdict(|_| Verdict::Remove)
        .on_error(|_, _| panic!("hook"))
        .build()
        .expect("the settings agree");
    assert!(cache.set(1, Mined(shelf.clone())));
    clock.advance(STALE);
    first("hook", || cache.get_stale(&1, |_| Err("no more")));
    assert_eq!((shelf.gone(), cache.len()), (1, 0));
}

#[test]
fn a_late_value_and_the_one_that_was_set_and_deleted_before_it_may_panic() {
    let shelf = Shelf::default();
    let cache: Cache<u32, Fragile, Failure> =
        builder(&ManualClock::new()).build().expect("the settings agree");
    let overtaken = || {
        assert!(cache.set(1, shelf.one()));
        assert!(cache.delete(&1));
        Ok(shelf.one())
    };
    first(DESTRUCTOR, || cache.get_stale(&1, |_| overtaken()));
    assert_eq!(shelf.gone(), 2);
    first(DESTRUCTOR, || at_once(cache.get_stale_async(&1, async { overtaken() })));
    assert_eq!((shelf.gone(), cache.len()), (2, 0));
}

thread_local! {
    static DELETES: Cell<bool> = const { Cell::new(false) };
}

/// A value whose clone panics, and that panics as it goes.
struct Torn(
    #[allow(dead_code, reason = "for its destructor")] Fragile,
    Option<Cache<u32, Torn, Failure>>,
);

impl Clone for Torn {
    fn clone(&self) -> Self {
        if let Some(cache) = self.1.as_ref().filter(|_| DELETES.get()) {
            cache.delete(&1);
        }
        panic!("clone")
    }
}

#[test]
fn the_clone_of_a_value_that_nobody_else_holds_may_panic() {
    let shelf = Shelf::default();
    let cache: Cache<u32, Torn, Failure> = builder(&ManualClock::new())
        .max_weight(1)
        .weigher(|key, _| 2 - key % 2)
        .build()
        .expect("the settings agree");
    let torn = || Torn(shelf.one(), None);
    // Too heavy to be kept.
    first("clone", || cache.get(&2, |_| Ok(torn())));
    first("clone", || at_once(cache.get_async(&2, async { Ok(torn()) })));
    assert_eq!(shelf.gone(), 2);
    DELETES.set(true);
    for is_async in [false, true] {
        assert!(cache.set(1, Torn(shelf.one(), Some(cache.clone()))));
        first("clone", || {
            if is_async {
                drop(at_once(cache.get_async(&1, ready(Err("it is there")))));
            } else {
                drop(cache.get(&1, never));
            }
        });
        assert_eq!((shelf.gone(), cache.len()), (1, 0));
    }
}

#[test]
fn who_walks_and_what_it_deleted_may_panic() {
    let shelf = Shelf::default();
    let cache: Cache<u32, Fragile, Failure> =
        builder(&ManualClock::new()).build().expect("the settings agree");
    (1..=3).for_each(|key| assert!(cache.set(key, shelf.one())));
    first("walk", || {
        cache.range(|key, _, _| {
            cache.delete(key);
            panic!("walk")
        });
    });
    assert_eq!((shelf.gone(), cache.len()), (1, 2));
    first(DESTRUCTOR, || drop(cache));
}

/// What an unneeded fetch holds: deletes key 1 as it goes, and panics.
struct Guard(Cache<u32, Fragile, Failure>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.delete(&1);
        panic!("fetch");
    }
}

#[test]
fn a_fetch_that_is_not_needed_and_what_is_served_may_panic() {
    type Call = fn(&Cache<u32, Fragile, Failure>, Guard);
    let calls: [Call; 6] = [
        |cache, guard| drop(cache.get_with(&1, |_| (), |_| kept(guard))),
        |cache, guard| drop(cache.get_stale(&1, |_| kept(guard))),
        |cache, guard| drop(cache.get_swr(&1, |_| kept(guard))),
        |cache, guard| drop(at_once(cache.get_stale_async(&1, async { kept(guard) }))),
        |cache, guard| drop(at_once(cache.get_swr_async(&1, async { kept(guard) }))),
        |cache, guard| drop(cache.reader().get_stale(&1, |_| kept(guard))),
    ];
    fn kept(_: Guard) -> Result<Fragile, Failure> {
        unreachable!("the value is fresh")
    }
    for hot in [0, 8] {
        for call in calls {
            let shelf = Shelf::default();
            let cache: Cache<u32, Fragile, Failure> = builder(&ManualClock::new())
                .thread_hot_set(hot)
                .build()
                .expect("the settings agree");
            assert!(cache.set(1, shelf.one()));
            (0..4 * hot).for_each(|_| drop(cache.get_stale(&1, never)));
            first("fetch", || call(&cache, Guard(cache.clone())));
            // A hot set holds on to it for a while.
            assert_eq!(cache.len(), 0);
            if hot == 0 {
                assert_eq!(shelf.gone(), 1);
            }
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(cache)));
            assert!(hot == 0 || shelf.gone() == 1);
        }
    }
}

thread_local! {
    /// Whether the next comparison panics.
    static FUSE: Cell<bool> = const { Cell::new(false) };
}

/// A key whose first comparison after it was cloned panics, and whose every copy does as it goes, while it is `armed`.
struct Touchy(u32, &'static AtomicBool);

impl Clone for Touchy {
    fn clone(&self) -> Self {
        FUSE.set(self.1.load(SeqCst));
        Touchy(self.0, self.1)
    }
}

impl PartialEq for Touchy {
    fn eq(&self, other: &Self) -> bool {
        assert!(!FUSE.take(), "a comparison");
        self.0 == other.0
    }
}

impl Eq for Touchy {}

/// All of one home.
impl Hash for Touchy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        0.hash(state);
    }
}

impl Drop for Touchy {
    fn drop(&mut self) {
        assert!(!self.1.load(SeqCst), "a destructor");
    }
}

#[test]
fn a_comparison_as_a_key_enters_and_the_copy_that_enters_may_panic() {
    static ARMED: AtomicBool = AtomicBool::new(false);
    let builder = Cache::<Touchy, u32>::builder().error_type::<Failure>();
    let cache = builder.build().expect("the settings agree");
    let keys = [1, 2].map(|key| Touchy(key, &ARMED));
    assert!(cache.set(Touchy(1, &ARMED), 10));
    ARMED.store(true, SeqCst);
    first("a comparison", || cache.get(&keys[1], |_| Ok(20)));
    first("a comparison", || cache.set(Touchy(2, &ARMED), 20));
    ARMED.store(false, SeqCst);
    assert_eq!(cache.len(), 1);
    let got = |at: usize| cache.get(&keys[at], |_| Ok(21)).expect("loaded, or there");
    assert_eq!([got(1), got(0)], [21, 10]);
}
