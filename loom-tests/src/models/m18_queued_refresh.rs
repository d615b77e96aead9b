//! M18: a caller that cannot wait takes over a refresh that is queued, against whoever gives it up.
//!
//! A claimer whose second look finds its snapshot replaced ends what it queued, and a closing cache drops
//! it. By then a caller may lead that flight: it must keep it.
//!
//! And a set that has not yet ended the load which it replaced, against whoever begins that load: nobody
//! gave it up, so nobody is told so.

use loom::sync::atomic::{AtomicBool, Ordering::*};
use loom::thread;

use super::model;
use super::support::{
    Flight, Got, Key, Queued, STALE, Small, Step, forgot_its_flight, light, one_home, spared, value,
};
use crate::duty::Load;
use crate::policy::Ask;
use crate::state::Phase;
use crate::sync::Arc;
use crate::table::Fate;
use crate::word::Outcome::Abandoned;

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
        queued.overtaken();
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

/// Nor must what was deleted, and set anew, before the job begins: then it is given up. A value that came
/// after the delete is none of its own.
#[test]
fn m18_no_refresh_is_started_for_what_was_deleted() {
    model(2, || {
        let (small, queued) = queued();
        let flight = Arc::clone(queued.flight());
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
        } else {
            assert!(matches!(flight.outcome(), Some(Abandoned)), "it was deleted");
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

/// What the holders of handles on it are told.
fn told(flight: &Flight) -> u32 {
    value(&flight.outcome().expect("it has ended")).expect("nobody gave it up")
}

/// As `queued`, with a set of its key under way, and what is so once that has ended.
fn queued_beside_a_set() -> (std::sync::Arc<Small>, Queued, Arc<Flight>, impl FnOnce()) {
    let (small, queued) = queued();
    let (_, old) = small.entry(7, STALE).expect("it is there");
    let flight = Arc::clone(queued.flight());
    let setter = {
        let small = small.clone();
        thread::spawn(move || small.set(7, 2, STALE))
    };
    let end_of_set = move || {
        assert_eq!(setter.join().unwrap(), Fate::Stored);
        forgot_its_flight(&old);
    };
    (small, queued, flight, end_of_set)
}

#[test]
fn m18_a_set_ends_a_refresh_that_its_job_starts_beside_it() {
    model(2, || {
        let (small, queued, flight, end_of_set) = queued_beside_a_set();
        let start = queued.start();
        let started = start.is_some();
        if let Some((claim, _)) = start {
            small.fetch(claim, 1, STALE);
        }
        assert!(started || told(&flight) == 2, "the set's value, and at once");
        end_of_set();
        assert!(matches!(told(&flight), 1 | 2));
        small.check_rest();
    });
}

#[test]
fn m18_a_set_ends_a_refresh_that_is_taken_over_beside_it() {
    model(2, || {
        let (small, queued) = queued();
        let (_, old) = small.entry(7, STALE).expect("it is there");
        let setter = {
            let small = small.clone();
            thread::spawn(move || small.set(7, 2, STALE))
        };
        let got = small.get(7, STALE, 1);
        assert_eq!(setter.join().unwrap(), Fate::Stored);
        let led = matches!(got, Got::Led(Some(1 | 2), _));
        assert!(led || got == Got::Hit(2), "{got:?}");
        assert!(matches!(told(queued.flight()), 1 | 2));
        drop(queued);
        forgot_its_flight(&old);
        small.check_rest();
    });
}

/// Who holds the stale value finds the flight of a claim that comes too late, and asks how it goes.
fn claimed_beside_a_set(claim: fn(&Small)) {
    let small = Small::new(2, one_home);
    assert_eq!(small.set(7, 0, 0), Fate::Stored);
    let (_, old) = small.entry(7, STALE).expect("it is there");
    let claimer = {
        let small = small.clone();
        thread::spawn(move || claim(&small))
    };
    let holder = {
        let old = Arc::clone(&old);
        thread::spawn(move || match old.word.phase() {
            Phase::Flight(flight) => Some(flight),
            _ => None,
        })
    };
    assert_eq!(small.set(7, 2, STALE), Fate::Stored);
    claimer.join().unwrap();
    if let Some(flight) = holder.join().unwrap() {
        assert!(matches!(told(&flight), 1 | 2));
    }
    forgot_its_flight(&old);
    small.check_rest();
}

#[test]
fn m18_a_set_ends_a_load_that_is_claimed_beside_it() {
    model(2, || claimed_beside_a_set(|small| _ = small.get(7, STALE, 1)));
}

#[test]
fn m18_a_set_ends_a_refresh_that_is_claimed_beside_it() {
    model(2, || {
        claimed_beside_a_set(|small| {
            let step = small.lookup(7, Ask::WhileRevalidate, STALE);
            if let Step::Stale(_, _, Some((queued, _admitted))) = step
                && let Some((claim, _)) = queued.start()
            {
                small.fetch(claim, 1, STALE);
            }
        });
    });
}

/// A delete that has not come to the flight yet, while `other` takes the slot: none of that is a value of the
/// key, and so the load that begins is given up.
fn begun_beside_a_delete(other: fn(&Small)) -> std::sync::Arc<Small> {
    let (small, queued) = queued();
    let other = {
        let small = small.clone();
        thread::spawn(move || other(&small))
    };
    let starter = {
        let small = small.clone();
        thread::spawn(move || {
            let flight = Arc::clone(queued.flight());
            match queued.start() {
                Some((claim, _)) => _ = small.fetch(claim, 1, STALE),
                None => assert!(matches!(flight.outcome(), Some(Abandoned)), "it was deleted"),
            }
        })
    };
    assert!(small.delete(7, STALE));
    other.join().unwrap();
    starter.join().unwrap();
    assert_eq!(small.peek(7, STALE), None);
    small
}

#[test]
fn m18_a_refresh_that_starts_beside_a_delete_is_not_ended_by_another_key() {
    model(2, || {
        let small = begun_beside_a_delete(|small| _ = small.set(8, 3, STALE));
        assert_eq!(small.peek(8, STALE), Some(3));
        small.check_rest();
    });
}

#[test]
fn m18_a_refresh_that_starts_beside_a_delete_is_not_ended_by_a_placeholder() {
    model(2, || {
        let small = begun_beside_a_delete(|small| drop(small.entry(7, STALE)));
        assert_eq!(small.get(7, STALE, 5), Got::Led(Some(5), Fate::Stored));
        small.check_rest();
    });
}

/// The key is compared by whoever starts it: should that panic, the refresh is given up.
#[test]
fn m18_a_refresh_whose_start_panics_beside_a_set_ends() {
    model(2, || {
        let (small, queued, flight, end_of_set) = queued_beside_a_set();
        light(0);
        if let Some(Some((claim, _))) = spared(|| queued.start()) {
            small.fetch(claim, 1, STALE);
        }
        assert!(!flight.is_pending(), "whoever waits for it waits for ever");
        end_of_set();
        assert_eq!(small.peek(7, STALE), Some(2), "the set stays");
        small.check_rest();
    });
}
