//! M18: a caller that cannot wait takes over a refresh that is queued, against whoever gives it up.
//!
//! A claimer whose second look finds its snapshot replaced drops what it queued, as a closing cache
//! does. By then a caller may lead that flight: it must keep it.

use loom::sync::atomic::{AtomicBool, Ordering::*};
use loom::thread;

use super::model;
use super::support::{Flight, Got, Key, Queued, STALE, Small, Step, one_home};
use crate::duty::Load;
use crate::policy::Ask;
use crate::sync::Arc;
use crate::table::Fate;

/// The stale entry of 7 with a refresh of it that nobody has started, claimed by hand.
fn queued() -> (std::sync::Arc<Small>, Queued) {
    let small = Small::new(2, one_home);
    assert_eq!(small.set(7, 0, 0), Fate::Stored);
    let (place, s) = small.entry(7, STALE).expect("it is there");
    let flight = Flight::queued(None);
    assert!(s.word.claim(None, &flight).is_some(), "nobody else is there");
    let load = Load { core: Arc::downgrade(&small.core), place, key: Key(7), hash: s.hash };
    (small, Queued::new(flight, load))
}

#[test]
fn m18_a_refresh_that_is_given_up_is_not_taken_from_its_new_leader() {
    model(2, || {
        let (small, queued) = queued();
        let caller = {
            let small = small.clone();
            thread::spawn(move || small.get(7, STALE, 1))
        };
        drop(queued);
        assert_eq!(caller.join().unwrap(), Got::Led(Some(1), Fate::Stored));
        assert_eq!(small.fetches(), 1);
        small.check_rest();
    });
}

/// As the claimer's second look would have it: a set has replaced the snapshot.
#[test]
fn m18_a_refresh_of_a_replaced_value_is_not_taken_from_its_new_leader() {
    model(1, || {
        let (small, queued) = queued();
        let caller = {
            let small = small.clone();
            thread::spawn(move || small.get(7, STALE, 1))
        };
        let setter = {
            let small = small.clone();
            thread::spawn(move || small.set(7, 2, STALE))
        };
        drop(queued);
        assert_eq!(setter.join().unwrap(), Fate::Stored);
        let got = caller.join().unwrap();
        let led = matches!(got, Got::Led(Some(1), _) | Got::Led(Some(2), Fate::Late));
        assert!(led || matches!(got, Got::Hit(2) | Got::Joined(2)), "{got:?}");
        assert_eq!(small.peek(7, STALE), Some(2), "the set stays");
        small.check_rest();
    });
}

#[test]
fn m18_one_of_the_job_and_a_caller_starts_a_queued_refresh() {
    model(2, || {
        let (small, queued) = queued();
        let caller = {
            let small = small.clone();
            thread::spawn(move || small.get(7, STALE, 1))
        };
        if let Some((claim, _)) = queued.start() {
            assert_eq!(small.fetch(claim, 2, STALE), Got::Led(Some(2), Fate::Stored));
            let got = caller.join().unwrap();
            assert!(matches!(got, Got::Joined(2) | Got::Hit(2)), "{got:?}");
        } else {
            assert_eq!(caller.join().unwrap(), Got::Led(Some(1), Fate::Stored));
        }
        assert_eq!(small.fetches(), 1);
        small.check_rest();
    });
}

/// As for a claim: what was there before the refresh is taken over must not be loaded again.
#[test]
fn m18_no_refresh_is_taken_over_for_a_value_that_is_there() {
    model(2, || {
        let (small, queued) = queued();
        let caller = {
            let small = small.clone();
            thread::spawn(move || small.get_what_is(2, 7, STALE, 1))
        };
        assert_eq!(small.set(7, 2, STALE), Fate::Stored);
        drop(queued);
        caller.join().unwrap();
        assert_eq!(small.peek(7, STALE), Some(2), "the set stays");
        small.check_rest();
    });
}

/// Nor must what was deleted, and set anew, before the job begins.
#[test]
fn m18_no_refresh_is_started_for_what_was_deleted() {
    model(2, || {
        let (small, queued) = queued();
        let over = Arc::new(AtomicBool::new(false));
        let writer = {
            let (small, over) = (small.clone(), Arc::clone(&over));
            thread::spawn(move || {
                assert!(small.delete(7, STALE));
                assert_eq!(small.set(7, 2, STALE), Fate::Stored);
                over.store(true, Release);
            })
        };
        let was_over = over.load(Acquire);
        if let Some((claim, _)) = queued.start() {
            assert!(!was_over, "loads what is there");
            small.fetch(claim, 1, STALE);
        }
        writer.join().unwrap();
        assert_eq!(small.peek(7, STALE), Some(2), "the set stays");
        small.check_rest();
    });
}

/// Else the key would be served stale for as long as its window lasts, and nobody would load it.
#[test]
fn m18_a_refresh_that_is_given_up_can_be_started_again() {
    model(2, || {
        let (small, queued) = queued();
        let reader = |small: &Small| match small.lookup(7, Ask::WhileRevalidate, STALE) {
            Step::Stale(_, _, to_start) => to_start.is_some(),
            _ => panic!("a stale value in its window is served at once"),
        };
        let other = {
            let small = small.clone();
            thread::spawn(move || reader(&small))
        };
        drop(queued);
        // What it may have started it gave up, too.
        other.join().unwrap();
        assert!(reader(&small), "nobody refreshes it");
        small.check_rest();
    });
}
