//! Hot sets behind the plain calls: what each thread holds on to, and until when.

#[path = "support/controlled.rs"]
mod controlled;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, mpsc};

use controlled::{Collected, Dice, Failure, PATIENCE, STALE, builder, go, never, scaled, until};
use foldhash::fast::FixedState;
use lastcache::ManualClock;

/// A value that is counted while it lives.
struct Living(Arc<()>);

type Tracked = lastcache::Cache<u32, Living, Failure>;

const SPOTS: usize = 64;

fn tracked(spots: usize) -> (Tracked, Arc<()>) {
    let cache = builder(&ManualClock::new()).thread_hot_set(spots).build();
    (cache.expect("the settings agree"), Arc::new(()))
}

/// How many live, beside the counter itself.
fn living(count: &Arc<()>) -> usize {
    Arc::strong_count(count) - 1
}

fn set(cache: &Tracked, key: u32, count: &Arc<()>) {
    assert!(cache.set(key, Living(Arc::clone(count))));
}

/// Often enough to be in this thread's hot set.
fn read(cache: &Tracked, key: u32) {
    for _ in 0..3 {
        assert!(cache.get_with(&key, |value| living(&value.0) > 0, |_| Err("asked")).is_ok());
    }
}

/// A thread that does what it is told, step by step, and rests in between.
struct Obedient(mpsc::Sender<Box<dyn FnOnce() + Send>>, mpsc::Receiver<()>);

impl Obedient {
    fn new() -> (Self, controlled::Going<()>) {
        let (order, orders) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        let (report, reports) = mpsc::channel();
        let going = go(move || {
            for order in orders {
                order();
                report.send(()).expect("the test listens");
            }
        });
        (Obedient(order, reports), going)
    }

    fn does(&self, what: impl FnOnce() + Send + 'static) {
        self.begins(what);
        self.1.recv_timeout(PATIENCE).expect("it is done");
    }

    fn begins(&self, what: impl FnOnce() + Send + 'static) {
        self.0.send(Box::new(what)).expect("it runs");
    }

    /// Whether it is done, said once.
    fn is_done(&self) -> bool {
        self.1.try_recv().is_ok()
    }
}

#[test]
fn without_the_setting_a_replaced_value_is_dropped_at_once() {
    for spots in [0, SPOTS] {
        let (cache, count) = tracked(spots);
        set(&cache, 1, &count);
        read(&cache, 1);
        cache.delete(&1);
        assert_eq!(living(&count), usize::from(spots > 0));
    }
}

#[test]
fn a_thread_holds_at_most_one_old_value_for_each_spot() {
    let (cache, count) = tracked(SPOTS);
    for _ in 0..3 {
        for key in 0..500 {
            set(&cache, key, &count);
            read(&cache, key);
        }
        cache.clear();
        assert!((1..=SPOTS).contains(&living(&count)), "{}", living(&count));
    }
}

#[test]
fn an_old_value_goes_when_it_is_read_again() {
    let (cache, count) = tracked(SPOTS);
    set(&cache, 1, &count);
    read(&cache, 1);
    set(&cache, 1, &count);
    assert_eq!(living(&count), 2);
    read(&cache, 1);
    assert_eq!(living(&count), 1);
    cache.delete(&1);
    assert!(cache.get_with(&1, |_| (), |_| Err("asked")).is_err());
    assert_eq!(living(&count), 0);
}

#[test]
fn what_a_thread_holds_goes_when_it_ends() {
    let (cache, count) = tracked(SPOTS);
    let (thread, going) = Obedient::new();
    let theirs = cache.clone();
    set(&cache, 1, &count);
    thread.does(move || read(&theirs, 1));
    cache.delete(&1);
    assert_eq!(living(&count), 1);
    drop(thread);
    going.end();
    // The thread's locals may go a little after its last word.
    controlled::until("its hot set is dropped", || living(&count) == 0);
}

#[test]
fn closing_ends_the_hot_set_of_this_thread_at_once_and_that_of_others_at_their_next_call() {
    let (cache, count) = tracked(SPOTS);
    let (other, others) = tracked(SPOTS);
    let (thread, going) = Obedient::new();
    let (theirs, their_other) = (cache.clone(), other.clone());
    set(&cache, 1, &count);
    set(&other, 1, &others);
    read(&cache, 1);
    thread.does(move || read(&theirs, 1));
    cache.delete(&1);
    assert_eq!(living(&count), 1, "one value, that both hold");
    cache.close();
    cache.close();
    assert_eq!(living(&count), 1, "the other thread rests");
    // On any cache that has hot sets.
    thread.does(move || read(&their_other, 1));
    assert_eq!(living(&count), 0);

    // The calls go on without.
    set(&cache, 2, &count);
    read(&cache, 2);
    assert_eq!(cache.stats().hits, 9);
    cache.delete(&2);
    assert_eq!(living(&count), 0);
    drop(thread);
    going.end();
}

#[test]
fn this_thread_lets_go_at_once_when_it_closes_the_cache() {
    let (cache, count) = tracked(SPOTS);
    set(&cache, 1, &count);
    read(&cache, 1);
    cache.delete(&1);
    assert_eq!(living(&count), 1);
    assert!(cache.close_timeout(PATIENCE));
    assert_eq!(living(&count), 0);
}

#[test]
fn this_thread_lets_go_when_the_last_handle_goes_whoever_closed_the_cache_before() {
    for in_a_read in [false, true] {
        let (cache, count) = tracked(SPOTS);
        set(&cache, 1, &count);
        read(&cache, 1);
        if in_a_read {
            assert!(cache.get_with(&1, |_| cache.close(), |_| Err("asked")).is_ok());
        } else {
            let theirs = cache.clone();
            go(move || theirs.close()).end();
        }
        assert_eq!(living(&count), 1);
        drop(cache);
        assert_eq!(living(&count), 0);
    }
}

/// A value that is counted while it lives, and may panic as it goes.
struct Fragile {
    _living: Living,
    breaks: bool,
}

impl Drop for Fragile {
    fn drop(&mut self) {
        assert!(!self.breaks, "a destructor that panics");
    }
}

#[test]
fn when_the_last_handle_goes_all_values_do_although_a_destructor_panics() {
    let clock = ManualClock::new();
    let cache: lastcache::Cache<u32, Fragile, Failure> =
        builder(&clock).thread_hot_set(SPOTS).build().expect("the settings agree");
    let count = Arc::new(());
    for key in 0..500 {
        let _living = Living(Arc::clone(&count));
        assert!(cache.set(key, Fragile { _living, breaks: key == 250 }));
    }
    let (thread, going) = Obedient::new();
    let theirs = cache.clone();
    thread.does(move || {
        for _ in 0..3 {
            assert!(theirs.get_with(&1, |_| (), |_| Err("asked")).is_ok());
        }
    });
    assert!(catch_unwind(AssertUnwindSafe(|| drop(cache))).is_err());
    assert_eq!(living(&count), 1, "the one that their hot set holds");
    drop(thread);
    going.end();
}

#[test]
fn what_closed_caches_leave_to_a_thread_is_no_matter_of_the_call_that_lets_them_go() {
    type Frail = lastcache::Cache<u32, Fragile, Failure>;
    let built = || -> Frail {
        builder(&ManualClock::new()).thread_hot_set(SPOTS).build().expect("the settings agree")
    };
    let read = |cache: &Frail| {
        assert!(cache.get_with(&1, |_| (), |_| Err("asked")).is_ok());
    };
    for closes in [false, true] {
        let (cache, count) = (built(), Arc::new(()));
        let others = [built(), built(), built()];
        for (at, cache) in others.iter().chain([&cache]).enumerate() {
            let _living = Living(Arc::clone(&count));
            assert!(cache.set(1, Fragile { _living, breaks: at < 2 }));
            (0..3).for_each(|_| read(cache));
        }
        // Only this thread's hot sets hold what the others had.
        assert!(others.iter().all(|other| other.delete(&1)));
        go(move || drop(others)).end();
        assert_eq!(living(&count), 4);
        if closes {
            cache.close();
        }
        read(&cache);
        assert_eq!(living(&count), 1);
    }
}

#[test]
fn a_waiting_fetch_whose_destructor_panics_in_a_close_keeps_no_hot_set() {
    let clock = ManualClock::new();
    let jobs = Collected::default();
    let cache: Tracked =
        builder(&clock).thread_hot_set(SPOTS).executor(jobs.clone()).build().expect("they agree");
    let count = Arc::new(());
    (1..=2).for_each(|key| set(&cache, key, &count));
    clock.set(STALE);
    for key in 1..=2 {
        let owned = Fragile { _living: Living(Arc::clone(&count)), breaks: key == 2 };
        let fetch = move |_: &u32| {
            let _whole = &owned;
            Err("never asked")
        };
        drop(cache.get_swr(&key, fetch).expect("stale"));
    }
    set(&cache, 3, &count);
    read(&cache, 3);
    assert!(catch_unwind(AssertUnwindSafe(|| cache.close())).is_err());
    drop(jobs.next());
    cache.clear();
    assert_eq!(living(&count), 0);
}

#[test]
fn when_the_last_handle_goes_others_hold_on_to_no_more_than_their_spots_until_their_next_call() {
    let (cache, count) = tracked(SPOTS);
    let (thread, going) = Obedient::new();
    for key in 0..500 {
        set(&cache, key, &count);
        read(&cache, key);
    }
    let theirs = cache.clone();
    thread.does(move || (0..500).for_each(|key| read(&theirs, key)));
    assert_eq!(living(&count), 500);
    drop(cache);
    assert!((1..=SPOTS).contains(&living(&count)), "theirs; mine are gone: {}", living(&count));
    let held = living(&count);
    let (other, others) = tracked(SPOTS);
    set(&other, 1, &others);
    assert_eq!(living(&count), held, "it rests");
    let theirs = other.clone();
    thread.does(move || read(&theirs, 1));
    assert_eq!(living(&count), 0);
    drop((thread, other));
    going.end();
}

#[test]
fn caches_of_one_type_and_of_others_are_kept_apart() {
    let clock = ManualClock::new();
    // The same hash for a key in all of them.
    let seed = FixedState::with_seed(1);
    let caches: Vec<lastcache::Cache<u32, u32, Failure, _>> = (0..3)
        .map(|_| builder(&clock).thread_hot_set(SPOTS).hasher(seed.clone()).build())
        .map(|built| built.expect("the settings agree"))
        .collect();
    let texts: lastcache::Cache<u32, String, Failure, _> =
        builder(&clock).thread_hot_set(SPOTS).hasher(seed).build().expect("the settings agree");
    for n in 0..5_u32 {
        texts.set(7, format!("text {n}"));
        for (at, cache) in (0..).zip(&caches) {
            cache.set(7, 100 * n + at);
        }
        for _ in 0..4 {
            for (at, cache) in (0..).zip(&caches) {
                assert_eq!(cache.get(&7, never).ok(), Some(100 * n + at));
                assert_eq!(cache.get_swr(&7, never).map(|v| *v).ok(), Some(100 * n + at));
            }
            assert_eq!(texts.get_stale(&7, never).expect("fresh").as_str(), format!("text {n}"));
        }
    }
}

#[test]
fn what_another_thread_wrote_is_read_once_that_call_returned() {
    let clock = ManualClock::new();
    let cache: controlled::Cache =
        builder(&clock).thread_hot_set(SPOTS).build().expect("the settings agree");
    let (writer, going) = Obedient::new();
    let value = || cache.get(&0, |_| Err("asked")).ok();
    for n in 0..scaled(300) as u32 {
        let (before, after) = ((n % 3 > 0).then(|| n - 1), (n % 3 < 2).then_some(n));
        let writes = cache.clone();
        writer.begins(move || match n % 3 {
            2 => assert!(writes.delete(&0)),
            _ => assert!(writes.set(0, n)),
        });
        // Beside the write: what was, or what will be.
        until("the write ends", || {
            let over = writer.is_done();
            let beside = value();
            assert!([before, after].contains(&beside), "{beside:?} in {n}");
            over
        });
        for _ in 0..3 {
            assert_eq!(value(), after);
        }
    }
    drop(writer);
    going.end();
}

#[test]
fn threads_never_go_back_behind_what_was_announced() {
    const KEYS: u32 = 8;
    let clock = ManualClock::new();
    let cache: controlled::Cache =
        builder(&clock).capacity(6).thread_hot_set(8).build().expect("the settings agree");
    let announced: Arc<[AtomicU32; KEYS as usize]> = Arc::default();
    let rounds = scaled(20_000);
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let (cache, announced) = (cache.clone(), Arc::clone(&announced));
            go(move || {
                let (mut dice, mut hits) = (Dice::new(thread), 0);
                for n in 1..=rounds as u32 {
                    let key = dice.roll(KEYS);
                    // Each key has one writer, whose values count up.
                    if u64::from(key) % 4 == thread && dice.roll(4) == 0 {
                        cache.set(key, n << 4 | key);
                        announced[key as usize].store(n, SeqCst);
                    }
                    let least = announced[key as usize].load(SeqCst);
                    if let Ok(seen) = cache.get_with(&key, |v| *v, |_| Err("asked")) {
                        assert_eq!(seen & 15, key, "another key's value");
                        assert!(seen >> 4 >= least, "{} after {least}", seen >> 4);
                        hits += 1;
                    }
                }
                hits
            })
        })
        .collect();
    let hits: usize = threads.into_iter().map(controlled::Going::end).sum();
    assert!(hits > rounds, "{hits} hits of four times {rounds} reads, though most keys have room");
}

#[test]
fn a_value_is_served_to_its_deadline_and_hits_are_counted() {
    let clock = ManualClock::new();
    let cache: controlled::Cache =
        builder(&clock).thread_hot_set(SPOTS).build().expect("the settings agree");
    cache.set(1, 10);
    for _ in 0..10 {
        assert_eq!(cache.get(&1, never).ok(), Some(10));
    }
    clock.set(STALE);
    assert_eq!(cache.get(&1, |_| Ok(20)).ok(), Some(20));
    assert_eq!(cache.get(&1, never).ok(), Some(20));
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.loads), (11, 1, 1));
}

#[test]
fn a_read_in_place_may_ask_the_cache_and_close_it() {
    let clock = ManualClock::new();
    let cache: controlled::Cache =
        builder(&clock).thread_hot_set(SPOTS).build().expect("the settings agree");
    cache.set(1, 10);
    cache.set(2, 20);
    for _ in 0..4 {
        let inner = |v: &u32| {
            cache.set(1, v + 1);
            v + cache.get(&2, never).unwrap_or(0) + cache.get(&1, never).unwrap_or(0)
        };
        let before = *cache.peek(&1).expect("set");
        assert_eq!(cache.get_with(&1, inner, never).ok(), Some(before + 20 + before + 1));
    }
    // Closed while its set is in use, it goes at the next call.
    let (tracked, count) = tracked(SPOTS);
    set(&tracked, 1, &count);
    read(&tracked, 1);
    tracked.get_with(&1, |_| tracked.close(), |_| Err("asked")).expect("fresh");
    tracked.delete(&1);
    assert_eq!(living(&count), 1);
    assert_eq!(cache.get(&2, never).ok(), Some(20));
    assert_eq!(living(&count), 0);
}

#[test]
fn a_destructor_may_use_a_cache_also_as_its_thread_ends() {
    type Nested = lastcache::Cache<u32, Asks, Failure>;
    struct Asks(Option<(controlled::Cache, Arc<AtomicU32>)>);
    impl Drop for Asks {
        fn drop(&mut self) {
            if let Some((cache, asked)) = self.0.take() {
                assert_eq!(cache.get(&1, never).ok(), Some(10));
                asked.fetch_add(1, SeqCst);
            }
        }
    }
    let clock = ManualClock::new();
    let cache: controlled::Cache =
        builder(&clock).thread_hot_set(SPOTS).build().expect("the settings agree");
    let asking: Nested = builder(&clock).thread_hot_set(SPOTS).build().expect("the settings agree");
    let asked = Arc::new(AtomicU32::new(0));
    let asks = || Asks(Some((cache.clone(), Arc::clone(&asked))));
    cache.set(1, 10);
    asking.set(1, asks());
    for _ in 0..3 {
        assert!(asking.get_with(&1, |_| (), never).is_ok());
    }
    // The hot set holds it last, and finds it replaced.
    asking.set(1, asks());
    assert_eq!(asked.load(SeqCst), 0);
    assert!(asking.get_with(&1, |_| (), never).is_ok());
    assert_eq!(asked.load(SeqCst), 1);
    // Now a thread's hot set holds it last, and the thread ends.
    let theirs = asking.clone();
    let (thread, going) = Obedient::new();
    thread.does(move || (0..3).for_each(|_| assert!(theirs.get_with(&1, |_| (), never).is_ok())));
    asking.delete(&1);
    asking.close();
    assert_eq!(asked.load(SeqCst), 1);
    drop(thread);
    going.end();
    controlled::until("it asked as its thread ended", || asked.load(SeqCst) == 2);
}
