//! Freezing: one thread is stopped at a random instruction, and the others go on.
//!
//! A signal stops the thread: the handler waits until it is released. It does so only in a call of the cache,
//! and not in the allocator, whose lock is not the cache's to free. What waits for the frozen one is who joined
//! the load that it leads, and nobody else.
#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "signals, and an allocator that leaves a mark")]

#[path = "support/controlled.rs"]
mod controlled;
#[path = "freezing/freezer.rs"]
mod freezer;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use controlled::{Dice, GONE, STALE, builder, go, never, scaled, secs, until};
use freezer::{Freezer, calling, not_calling};
use lastcache::{CallerRuns, ManualClock};

/// Freezes inside the crate that the random test needs at least.
const FREEZES: usize = 1_000;
/// The keys of the thread that is frozen; all others are the observer's alone.
const THEIRS: u32 = 8;
const CAPACITY: usize = 16;

/// There is one signal handler: one test at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Any call on one of the victim's keys, and whether it is counted as one of the `get` family.
fn act(cache: &controlled::Cache, dice: &mut Dice) -> bool {
    let (key, kind, fails) = (dice.roll(THEIRS), dice.roll(12), dice.roll(4) == 0);
    // The fetch is the test's own code, not the crate's.
    let fetch = move |key: &u32| not_calling(|| if fails { Err("down") } else { Ok(key * 10) });
    calling(|| match kind {
        0..=2 => drop(cache.get(&key, fetch)),
        3..=4 => drop(cache.get_stale(&key, fetch)),
        5..=7 => drop(cache.get_swr(&key, fetch)),
        8 => drop(cache.peek(&key)),
        9 => drop(cache.set(key, key * 10)),
        10 => drop(cache.delete(&key)),
        _ => cache.range(|key, value, _| *value == key * 10),
    });
    kind <= 7
}

/// Everything that does not wait for the frozen thread, whatever it is in the middle of. How many of the
/// calls are counted.
fn observe(cache: &controlled::Cache, dice: &mut Dice) -> u64 {
    let (own, theirs) = (100 + dice.roll(4), dice.roll(THEIRS));
    // A miss, or a hit: also a miss when it has been evicted meanwhile.
    assert_eq!(cache.get(&own, |key| Ok(key * 10)).expect("no error"), own * 10);
    assert_eq!(*cache.get_stale(&own, |key| Ok(key * 10)).expect("loaded"), own * 10);
    assert_eq!(*cache.get_swr(&own, |key| Ok(key * 10)).expect("loaded"), own * 10);
    cache.set(own, own * 10);
    cache.delete(&own);
    assert_eq!(cache.get(&own, |key| Ok(key * 10)).expect("no error"), own * 10, "a miss");
    // On the very key that the other may be in the middle of: all but a wait for its load.
    if let Some(served) = cache.peek(&theirs) {
        assert_eq!((*served.key(), *served), (theirs, theirs * 10));
    }
    match dice.roll(8) {
        0..=2 => drop(cache.set(theirs, theirs * 10)),
        3..=4 => drop(cache.delete(&theirs)),
        5 => assert!(cache.iter().all(|entry| *entry.value() == entry.key() * 10)),
        6 => drop((cache.ttl(&theirs), cache.contains_key(&theirs), cache.stats())),
        _ => {}
    }
    assert!(cache.len() <= CAPACITY);
    4
}

#[test]
fn whoever_is_frozen_inside_the_cache_holds_up_nobody() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let clock = ManualClock::new();
    let built = builder(&clock).capacity(CAPACITY).executor(CallerRuns).build();
    let cache = built.expect("the settings agree");
    let stop = Arc::new(AtomicBool::new(false));
    let counted = Arc::new(AtomicU64::new(0));
    let freezer = Freezer::new();
    let victim = go({
        let (cache, stop, counted) = (cache.clone(), Arc::clone(&stop), Arc::clone(&counted));
        let frozen = freezer.victim();
        move || {
            let mut dice = Dice::new(1);
            let mut act = || counted.fetch_add(u64::from(act(&cache, &mut dice)), SeqCst);
            // What a thread does once only, in whatever call, is not what is frozen.
            for _ in 0..100 {
                act();
            }
            frozen.here();
            while !stop.load(SeqCst) {
                act();
            }
            frozen.gone();
        }
    });
    freezer.wait_for_victim();
    let (mut dice, mut calls, mut places) = (Dice::new(2), 0, BTreeSet::new());
    let (mut frozen, mut tries) = (0, 0);
    while frozen < scaled(FREEZES) {
        tries += 1;
        assert!(tries < 10 * scaled(FREEZES), "{frozen} times inside the crate only");
        // It goes on for a while first: where it was released is no random instruction.
        let before = counted.load(SeqCst);
        until("the victim goes on", || counted.load(SeqCst) > before);
        (0..dice.roll(3_000)).for_each(|_| std::hint::spin_loop());
        let Some(place) = freezer.freeze() else { continue };
        frozen += usize::from(place.in_text);
        places.insert(place.at);
        for _ in 0..3 {
            calls += observe(&cache, &mut dice);
        }
        clock.advance(secs(u64::from(dice.roll(4))));
        freezer.release();
    }
    stop.store(true, SeqCst);
    victim.end();
    assert!(places.len() > 100, "at {} different instructions only", places.len());
    // Nothing was lost on the way.
    let stats = cache.stats();
    let answered = stats.hits + stats.stale_hits + stats.misses;
    assert_eq!(answered, calls + counted.load(SeqCst));
    cache.clear();
    assert_eq!((cache.len(), cache.iter().count()), (0, 0));
    for key in 0..CAPACITY as u32 {
        assert!(cache.set(1_000 + key, key), "all the room is back");
    }
    assert_eq!(cache.len(), CAPACITY);
}

/// A leader that is frozen in its fetch, somebody who joined it, and what a third may do meanwhile.
fn frozen_leader(meanwhile: impl FnOnce(&controlled::Cache, &dyn Fn() -> bool), joined_gets: u32) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let clock = ManualClock::new();
    let cache = builder(&clock).capacity(CAPACITY).build().expect("the settings agree");
    cache.set(2, 20);
    let freezer = Freezer::new();
    let leader = go({
        let (cache, frozen) = (cache.clone(), freezer.victim());
        move || {
            let led = cache.get(&1, |_| {
                frozen.here();
                calling(|| frozen.until_frozen());
                Ok(10)
            });
            frozen.gone();
            led
        }
    });
    freezer.wait_for_victim();
    until("it is frozen", || freezer.freeze().is_some());
    let joiner = go({
        let cache = cache.clone();
        move || cache.get(&1, never)
    });
    until("it joins", || cache.stats().joins == 1);
    let done = Arc::new(AtomicBool::new(false));
    let waiter = go({
        let done = Arc::clone(&done);
        move || {
            let got = joiner.end();
            done.store(true, SeqCst);
            got
        }
    });
    // Others go on, on other keys.
    for key in 2..50 {
        assert_eq!(cache.get(&key, |key| Ok(key * 10)).expect("no error"), key * 10);
        assert_eq!(cache.get(&key, never).expect("no error"), key * 10);
        cache.set(key + 100, 0);
        assert!(cache.delete(&key));
    }
    assert!(!done.load(SeqCst), "who joined waits");
    meanwhile(&cache, &|| done.load(SeqCst));
    freezer.release();
    assert_eq!(waiter.end().expect("no error"), joined_gets);
    assert_eq!(leader.end().expect("no error"), joined_gets);
}

#[test]
fn who_joined_a_frozen_leader_waits_for_it() {
    frozen_leader(|_, done| assert!(!done()), 10);
}

#[test]
fn a_set_frees_who_joined_a_frozen_leader() {
    let free = |cache: &controlled::Cache, done: &dyn Fn() -> bool| {
        assert!(cache.set(1, 11));
        until("who joined has the set value", done);
        assert_eq!(cache.get(&1, never).expect("no error"), 11, "and so has everybody after it");
    };
    frozen_leader(free, 11);
}

#[test]
fn a_delete_frees_the_key_of_a_frozen_leader() {
    let free = |cache: &controlled::Cache, done: &dyn Fn() -> bool| {
        assert!(!cache.delete(&1));
        assert_eq!(cache.get(&1, |_| Ok(12)).expect("no error"), 12, "a flight of its own");
        assert!(!done(), "who joined before waits on");
    };
    frozen_leader(free, 10);
}

#[test]
fn stale_readers_wait_for_no_frozen_refresh() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let clock = ManualClock::new();
    let cache = builder(&clock).build().expect("the settings agree");
    let freezer = Freezer::new();
    cache.set(1, 10);
    clock.advance(STALE);
    let frozen = freezer.victim();
    let served = cache.get_swr(&1, move |_| {
        frozen.here();
        calling(|| frozen.until_frozen());
        frozen.gone();
        Ok(11)
    });
    let refresh = served.expect("stale").refresh().expect("started");
    freezer.wait_for_victim();
    until("it is frozen", || freezer.freeze().is_some());
    for _ in 0..100 {
        assert_eq!(*cache.get_swr(&1, never).expect("stale"), 10);
        assert_eq!(cache.peek(&1).as_deref(), Some(&10));
    }
    assert!(!refresh.is_done());
    // Gone: a miss that would have to wait for it, freed by a write.
    clock.advance(GONE);
    assert!(cache.peek(&1).is_none());
    cache.set(1, 12);
    assert_eq!(cache.get(&1, never).expect("no error"), 12);
    freezer.release();
    assert!(matches!(refresh.wait_timeout(controlled::PATIENCE), Some(Ok(()))));
    assert_eq!(cache.get(&1, never).expect("no error"), 12, "the late value is not stored");
}
