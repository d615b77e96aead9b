//! Bad input, row by row: what the cache answers to settings, times, keys and values that misbehave.

#[path = "bad_input/busy.rs"]
mod busy;
#[path = "bad_input/grudging.rs"]
mod grudging;

#[path = "support/bench.rs"]
mod bench;

use std::cell::Cell;
use std::hash::{Hash, Hasher, RandomState};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

use bench::{Fault, down, never, panics, plain, secs, try_unless_panicked};
use busy::{Busy, at_next_clone, at_next_eq};
use foldhash::fast::FixedState;
use grudging::{
    CALLS, Deed, Grudging, Key, Name, Val, as_good_as_new, burnt, cache_of, disarm,
    forget_the_living, light, live, prepare,
};
use lastcache::{BackOff, BoxError, BuildError, Cache, CallerRuns, ManualClock, State, Ttl};

// Row: contradictory or out-of-range settings. Each setting has its test in `settings.rs`.

#[test]
fn contradictory_settings_are_refused_by_both_names() {
    let error: BuildError = Cache::<u32, u32>::builder()
        .stale_if_error(secs(1))
        .stale_ttl(secs(2))
        .build()
        .unwrap_err();
    assert_eq!(error.settings(), ["stale_if_error", "stale_ttl"]);
    assert!(error.to_string().contains("1s") && error.to_string().contains("2s"));
}

// Row: `Duration::ZERO` as ttl.

#[test]
fn a_zero_ttl_coalesces_concurrent_loads() {
    const CALLERS: usize = 6;
    let cache = plain(&ManualClock::new()).ttl(Duration::ZERO).build().unwrap();
    let fetches = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                let got = cache.get(&1, |_| {
                    fetches.fetch_add(1, SeqCst);
                    // Everybody else has joined before this ends.
                    while cache.stats().joins < CALLERS as u64 - 1 {
                        thread::yield_now();
                    }
                    Ok(1)
                });
                assert_eq!(got.unwrap(), 1);
            });
        }
    });
    assert_eq!(fetches.load(SeqCst), 1);
    assert_eq!(cache.get(&1, |_| Ok(2)).unwrap(), 2, "nothing is fresh afterwards");
}

// Row: `Duration::MAX`, or sums past the clock's range.

#[test]
fn everything_for_ever_at_the_end_of_time() {
    let clock = ManualClock::new();
    let last = Duration::from_nanos(u64::MAX);
    for now in
        [last - Duration::from_nanos(10), last - Duration::from_nanos(1), last, Duration::MAX]
    {
        clock.set(now);
        let cache = plain(&clock)
            .ttl(Duration::MAX)
            .stale_while_revalidate(Duration::MAX)
            .stale_if_error(Duration::MAX)
            .back_off(BackOff::exponential(Duration::MAX, Duration::MAX))
            .jitter(1.0)
            .build()
            .unwrap();
        cache.set(1, 1);
        assert_eq!(cache.ttl(&1), Some(Ttl::Left(Duration::MAX)), "at {now:?}");
        assert_eq!(cache.get(&1, never).unwrap(), 1);
        assert_eq!(cache.iter().count(), 1);
    }
}

// Row: a `Hash`/`Eq`/`Clone`/`Drop`/`Borrow` of the user's that panics.

/// Every call with the deed panicking at its first, second, … time, again and again on one cache.
fn sweep(deed: Deed) {
    let mut burned = 0;
    let mut wrong = Vec::new();
    for collide in [false, true] {
        for &(name, call, in_front) in CALLS {
            for nth in 0..40 {
                let tried =
                    try_unless_panicked(|| again_and_again(deed, nth, call, in_front, collide));
                disarm();
                match tried {
                    Ok(0) => break,
                    Ok(times) => burned += times,
                    Err(why) => {
                        wrong.push(format!("{name}, time {nth}, colliding {collide}: {why}"))
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{deed:?}: {wrong:#?}");
    assert!(burned > 0, "{deed:?} was never reached");
}

/// How often the deed panicked. More calls than there are slots: what leaks one each time runs out
/// of them.
fn again_and_again(
    deed: Deed,
    nth: usize,
    call: fn(&Grudging),
    in_front: bool,
    collide: bool,
) -> usize {
    forget_the_living();
    let (clock, cache) = cache_of(collide);
    let mut times = 0;
    for _ in 0..30 {
        prepare(&clock, &cache);
        light(deed, nth);
        let panicked = panics(|| call(&cache));
        disarm();
        // Not reached: by the hash of the absent key, or because the call has fewer such deeds.
        if !burnt() {
            assert!(!panicked, "what panicked?");
            continue;
        }
        times += 1;
        assert!(panicked || !in_front, "the call returned");
    }
    as_good_as_new(&cache);
    assert!(cache.close_timeout(Duration::ZERO), "a permit was kept");
    drop(cache);
    assert_eq!(live(), (0, 0), "keys and values are left");
    times
}

#[test]
fn a_panicking_hash_harms_only_its_call() {
    sweep(Deed::Hash);
}

#[test]
fn a_panicking_eq_harms_only_its_call() {
    sweep(Deed::Eq);
}

#[test]
fn a_panicking_borrow_harms_only_its_call() {
    sweep(Deed::Borrow);
}

#[test]
fn a_panicking_to_owned_harms_only_its_call() {
    sweep(Deed::ToOwned);
}

#[test]
fn a_panicking_clone_of_a_key_harms_only_its_call() {
    sweep(Deed::CloneKey);
}

#[test]
fn a_panicking_clone_of_a_value_harms_only_its_call() {
    sweep(Deed::CloneValue);
}

#[test]
fn a_panicking_drop_of_a_key_harms_only_its_call() {
    sweep(Deed::DropKey);
}

#[test]
fn a_panicking_drop_of_a_value_harms_only_its_call() {
    sweep(Deed::DropValue);
}

#[test]
fn a_panicking_drop_while_the_cache_is_dropped_leaves_nothing_behind() {
    for deed in [Deed::DropKey, Deed::DropValue] {
        for nth in 0..3 {
            let (clock, cache) = cache_of(false);
            prepare(&clock, &cache);
            light(deed, nth);
            assert!(panics(|| drop(cache)), "{deed:?} {nth}");
            disarm();
            assert_eq!(live(), (0, 0), "{deed:?} {nth}");
        }
    }
}

/// A caller enters its key beyond the full home bucket, and panics in the next comparison. Before that another,
/// who had looked for the key already, enters it in the home bucket, where there is room by now, and wins.
#[test]
fn an_eq_that_panics_after_its_entry_lost_holds_no_slot() {
    const CAPACITY: u32 = 9;
    let builder = Cache::<Busy, u32>::builder().hasher(FixedState::with_seed(1));
    let cache = builder.capacity(CAPACITY as usize).build().expect("they agree");
    // One for each slot beyond the home bucket.
    for _ in 0..2 * CAPACITY - 6 {
        for key in 1..=6 {
            assert!(cache.set(Busy(key), key));
        }
        let [entered, lost] = [0; 2].map(|_| Arc::new(Barrier::new(2)));
        let loser = {
            let (cache, entered, lost) = (cache.clone(), entered.clone(), lost.clone());
            move || {
                at_next_clone(|| {
                    at_next_eq(move || {
                        entered.wait();
                        lost.wait();
                        resume_unwind(Box::new("a grudge"));
                    })
                });
                panics(|| cache.get(&Busy(7), |_| Ok(8)))
            }
        };
        let (others, (started, threads)) = (cache.clone(), mpsc::channel());
        at_next_clone(move || {
            started.send(thread::spawn(loser)).expect("it is waited for");
            entered.wait();
            assert!(others.delete(&Busy(1)));
        });
        assert_eq!(cache.get(&Busy(7), |_| Ok(7)).unwrap(), 7);
        lost.wait();
        assert!(threads.recv().unwrap().join().unwrap(), "the comparison did not panic");
        assert_eq!(cache.get(&Busy(7), |_| Ok(9)).unwrap(), 7);
        cache.clear();
    }
    for key in 0..CAPACITY {
        assert!(cache.set(Busy(key), key));
    }
    assert_eq!(cache.len(), CAPACITY as usize, "slots are held back");
}

// Row: inconsistent `Hash`/`Eq`.

/// Of which no two are unequal, though most are not equal either.
#[derive(Clone)]
struct Agreeable(u32);

#[allow(clippy::partialeq_ne_impl, reason = "that is the fault")]
impl PartialEq for Agreeable {
    fn eq(&self, other: &Agreeable) -> bool {
        self.0 == other.0
    }
    fn ne(&self, _: &Agreeable) -> bool {
        false
    }
}
impl Eq for Agreeable {}
impl Hash for Agreeable {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

#[test]
fn keys_are_compared_by_eq_alone() {
    let cache = Cache::<Agreeable, u32>::builder().build().unwrap();
    (0..20).for_each(|key| assert!(cache.set(Agreeable(100 + key), key)));
    assert_eq!(cache.len(), 20);
    for key in 0..20 {
        assert_eq!(cache.get(&Agreeable(key), |key| Ok(key.0)).unwrap(), key);
    }
    assert_eq!(cache.len(), 40);
    assert!(cache.delete(&Agreeable(3)) && !cache.delete(&Agreeable(3)));
}

thread_local! {
    static DICE: Cell<u64> = const { Cell::new(88_172_645_463_325_252) };
}

fn dice() -> u64 {
    let mut x = DICE.get();
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    DICE.set(x);
    x
}

static ALIVE: AtomicUsize = AtomicUsize::new(0);

/// Hashes as it likes and equals what it likes.
#[derive(Debug)]
struct Fickle(u32);

impl Fickle {
    fn new(n: u32) -> Fickle {
        ALIVE.fetch_add(1, SeqCst);
        Fickle(n)
    }
}
impl Clone for Fickle {
    fn clone(&self) -> Fickle {
        Fickle::new(self.0)
    }
}
impl Drop for Fickle {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, SeqCst);
    }
}
impl Hash for Fickle {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (dice() % 5).hash(state);
    }
}
impl PartialEq for Fickle {
    fn eq(&self, _: &Fickle) -> bool {
        dice().is_multiple_of(3)
    }
}
impl Eq for Fickle {}

#[test]
fn fickle_keys_get_wrong_answers_and_nothing_worse() {
    let clock = ManualClock::new();
    let cache = Cache::<Fickle, String>::builder()
        .error_type::<Fault>()
        .hasher(FixedState::with_seed(1))
        .capacity(30)
        .stale_if_error(secs(100))
        .executor(CallerRuns)
        .clock(&clock)
        .build()
        .unwrap();
    let (one, two) = (cache.clone(), cache.clone());
    let work = move |cache: Cache<Fickle, String, Fault, FixedState>, clock: ManualClock, seed| {
        DICE.set(seed);
        for _ in 0..20_000 {
            let key = Fickle::new(dice() as u32 % 50);
            match dice() % 8 {
                0 => drop(cache.set(key, "set".into())),
                1 => drop(cache.delete(&key)),
                2 => drop(cache.get(&key, |key| Ok(key.0.to_string()))),
                3 => drop(cache.get_stale(&key, |_| Err("down"))),
                4 => drop(cache.get_swr(&key, |key| Ok(key.0.to_string()))),
                5 => drop(cache.peek(&key).map(|held| held.len())),
                6 => clock.advance(secs(10)),
                _ => cache.range(|key, value, _| {
                    assert!(
                        key.0 < 50 && (value == "set" || value.parse().is_ok_and(|n: u32| n < 50))
                    );
                    true
                }),
            }
            assert!(cache.len() <= 30);
        }
    };
    let clocks = (clock.clone(), clock.clone());
    let other = thread::spawn(move || work(one, clocks.0, 7));
    work(two, clocks.1, 8);
    other.join().unwrap();
    cache.clear();
    assert_eq!((cache.len(), cache.iter().count()), (0, 0));
    drop(cache);
    assert_eq!(ALIVE.load(SeqCst), 0);
}

// Row: more keys than memory.

#[test]
fn capacity_bounds_what_is_alive() {
    let (_clock, cache) = cache_of(false);
    for n in 0..10_000 {
        assert!(cache.set(Key::new(n), Val::new(n)));
        let (_, values) = live();
        assert!(values <= 3, "{values} values alive");
    }
    drop(cache);
    assert_eq!(live(), (0, 0));
}

// Row: attacker-chosen keys.

#[test]
fn the_default_hasher_is_randomly_keyed() {
    let cache: Cache<u32, u32, BoxError, RandomState> = Cache::builder().build().unwrap();
    assert!(cache.set(1, 1));
}

thread_local! {
    static COMPARED: Cell<usize> = const { Cell::new(0) };
}

#[derive(Clone)]
struct Counted(u64);

impl Hash for Counted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
impl PartialEq for Counted {
    fn eq(&self, other: &Counted) -> bool {
        COMPARED.set(COMPARED.get() + 1);
        self.0 == other.0
    }
}
impl Eq for Counted {}

/// A hasher that mixes nothing, whose keys an attacker would choose.
#[derive(Clone, Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte));
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

#[test]
fn no_choice_of_keys_makes_a_lookup_linear() {
    let series: [fn(u64) -> u64; 6] = [
        |n| n,
        |n| n << 32,
        |n| n << 48,
        |n| n.wrapping_mul(0x0101_0101_0101_0101),
        |n| n.reverse_bits(),
        |n| n % 2,
    ];
    for key in series {
        for entries in [500, 5_000] {
            let cache = Cache::<Counted, u64>::builder()
                .hasher(std::hash::BuildHasherDefault::<Identity>::default())
                .capacity(5_000)
                .build()
                .unwrap();
            let mut most = 0;
            for n in 0..entries {
                let before = COMPARED.get();
                cache.set(Counted(key(n)), n);
                most = most.max(COMPARED.get() - before);
                let before = COMPARED.get();
                assert!(cache.peek(&Counted(key(n))).is_some_and(|held| *held == n));
                most = most.max(COMPARED.get() - before);
            }
            assert!(most <= 400, "{most} comparisons among {entries}");
        }
    }
}

// Row: a clock that steps back or stands still.

#[test]
fn a_step_back_prolongs_a_value_by_no_more_than_the_step() {
    let clock = ManualClock::new();
    clock.set(secs(100));
    let windows = plain(&clock).ttl(secs(10)).stale_while_revalidate(secs(20));
    let cache = windows.stale_if_error(secs(40)).executor(CallerRuns).build().unwrap();
    cache.set(1, 1);
    clock.set(secs(70));
    let served = cache.get_stale(&1, never).unwrap();
    assert_eq!((served.age(), served.is_stale()), (Duration::ZERO, false));
    assert_eq!(cache.ttl(&1), Some(Ttl::Left(secs(40))));
    clock.set(secs(110) - Duration::from_nanos(1));
    assert_eq!(cache.get(&1, never).unwrap(), 1);
    clock.set(secs(110));
    assert!(matches!(cache.get_swr(&1, down).unwrap().state(), State::Stale));
    clock.set(secs(150));
    assert!(cache.get_stale(&1, down).is_err(), "the windows end where they ended");
}

#[test]
fn a_step_back_during_a_fetch_does_no_harm() {
    let clock = ManualClock::new();
    clock.set(secs(100));
    let windows = plain(&clock).ttl(secs(10)).stale_if_error(secs(40));
    let cache = windows.back_off(BackOff::fixed(secs(5))).build().unwrap();
    let back = |to, end: Result<u32, Fault>| {
        let clock = clock.clone();
        move |_: &u32| {
            clock.set(secs(to));
            end
        }
    };
    assert_eq!(cache.get(&1, back(50, Ok(1))).unwrap(), 1);
    assert_eq!(cache.ttl(&1), Some(Ttl::Left(secs(10))));
    clock.set(secs(60));
    // At 20 the value is not even published: it is fresh, and so no fallback is needed.
    let served = cache.get_stale(&1, back(20, Err("down"))).unwrap();
    assert_eq!((*served, served.age()), (1, Duration::ZERO));
    clock.set(secs(0));
    assert_eq!(cache.get(&1, never).unwrap(), 1);
}

#[test]
fn random_steps_never_panic_and_never_outlast_the_windows() {
    DICE.set(99);
    let clock = ManualClock::new();
    let windows = plain(&clock).ttl(secs(10)).stale_while_revalidate(secs(10)).jitter(0.3);
    let cache = windows
        .stale_if_error(secs(15))
        .back_off(BackOff::exponential(secs(1), secs(20)))
        .executor(CallerRuns)
        .capacity(8)
        .build()
        .unwrap();
    for _ in 0..50_000 {
        let key = dice() as u32 % 12;
        let now = clock.now().as_secs();
        match dice() % 8 {
            0 => clock.set(secs(now.saturating_sub(dice() % 40))),
            1 => clock.set(secs(now + dice() % 20)),
            2 => drop(cache.set(key, now as u32)),
            3 => drop(cache.get(&key, down)),
            4 => drop(cache.get_swr(&key, down)),
            5 => drop(cache.get_stale(&key, move |_| Ok(now as u32))),
            6 => drop(cache.delete(&key)),
            _ => {
                if let Some(held) = cache.peek(&key) {
                    let windows_end = u64::from(*held) + 25;
                    assert!(now < windows_end, "published {}, served at {now}", *held);
                    assert!(held.age() <= secs(25));
                }
            }
        }
    }
}

#[test]
fn a_clock_that_stands_still_serves_fresh_values_for_ever() {
    let cache = plain(&ManualClock::new()).ttl(Duration::from_nanos(1)).build().unwrap();
    cache.set(1, 1);
    for _ in 0..1_000 {
        assert_eq!(cache.get(&1, never).unwrap(), 1);
    }
    assert_eq!(cache.stats().hits, 1_000);
}

#[test]
fn lookups_by_a_borrowed_form_are_the_same_key() {
    let (_clock, cache) = cache_of(false);
    assert_eq!(cache.get(&Name(1), |key| Ok(Val::new(key.number()))).unwrap().number(), 1);
    assert!(cache.contains_key(&Key::new(1)) && cache.contains_key(&Name(1)));
    drop(cache);
    assert_eq!(live(), (0, 0));
}
