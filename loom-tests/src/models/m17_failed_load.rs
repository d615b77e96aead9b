//! M17: a load that fails, against a set, a delete, a joiner and the next leader.
//!
//! The flight ends before its word is marked done, so whoever finds the mark finds the failure and its
//! back-off. A placeholder is closed before it is taken out, so the next leader is not left without
//! an entry; a value that the source says is gone is taken out before the flight ends.

use loom::sync::atomic::{AtomicBool, Ordering::*};
use loom::thread;

use super::model;
use super::support::{GONE, Got, NOW, Outcome, STALE, Small, forgot_its_flight, one_home};
use crate::sync::Arc;
use crate::table::Fate;
use crate::word::Outcome::{Failed, Published};

/// Whether the failure may be covered by a stale value; `None` if a set ended the load first.
fn masked(outcome: &Outcome) -> Option<bool> {
    match outcome {
        Failed(why) => Some(why.masked),
        Published(n) => {
            assert_eq!(n.value().read(), 2, "only the set's value ends a load that fails");
            None
        }
        _ => panic!("a leader that fails does not give up"),
    }
}

/// With a value that is stale by now.
fn stale() -> std::sync::Arc<Small> {
    let small = Small::new(2, one_home);
    assert_eq!(small.set(7, 0, 0), Fate::Stored);
    small
}

/// A load, claimed already, fails against a set of 2.
fn fails_against_a_set(small: &std::sync::Arc<Small>, now: u64, remove: bool) {
    let claim = small.claim_alone(7, now);
    let (_, old) = small.entry(7, now).expect("it is there");
    let setter = {
        let small = small.clone();
        thread::spawn(move || small.set(7, 2, now))
    };
    let masked = masked(&small.fail(claim, GONE, remove));
    assert!(masked != Some(remove), "the set's value covers it, or the one before");
    assert_eq!(setter.join().unwrap(), Fate::Stored);
    assert_eq!(small.peek(7, now), Some(2), "the set stays");
    forgot_its_flight(&old);
    small.check_rest();
}

#[test]
fn m17_a_set_during_a_cold_load_that_fails_stays() {
    model(2, || fails_against_a_set(&Small::new(2, one_home), NOW, false));
}

#[test]
fn m17_a_set_during_a_refresh_that_fails_stays() {
    model(2, || fails_against_a_set(&stale(), STALE, false));
}

#[test]
fn m17_a_set_while_the_source_says_gone_stays() {
    model(2, || fails_against_a_set(&stale(), STALE, true));
}

#[test]
fn m17_what_was_deleted_covers_no_failure() {
    model(2, || {
        let small = stale();
        let claim = small.claim_alone(7, STALE);
        let (_, old) = small.entry(7, STALE).expect("it is there");
        let gone = Arc::new(AtomicBool::new(false));
        let deleter = {
            let (small, gone) = (small.clone(), Arc::clone(&gone));
            thread::spawn(move || {
                assert!(small.delete(7, STALE));
                gone.store(true, Release);
                small.get(7, STALE, 5)
            })
        };
        let was_gone = gone.load(Acquire);
        let masked = masked(&small.fail(claim, GONE, false)).expect("nobody set it");
        assert!(!(was_gone && masked), "a deleted value covers a failure");
        let got = deleter.join().unwrap();
        assert_eq!(got, Got::Led(Some(5), Fate::Stored), "loads what is there after the delete");
        assert_eq!(small.peek(7, STALE), Some(5));
        forgot_its_flight(&old);
        small.check_rest();
    });
}

#[test]
fn m17_a_delete_and_a_cold_load_that_fails_free_one_slot_once() {
    model(2, || {
        let small = Small::new(2, one_home);
        let claim = small.claim_alone(7, NOW);
        let deleter = {
            let small = small.clone();
            thread::spawn(move || {
                assert!(!small.delete(7, NOW), "it never had a value");
                small.set(8, 3, NOW)
            })
        };
        assert!(masked(&small.fail(claim, GONE, false)).is_some());
        assert_eq!(deleter.join().unwrap(), Fate::Stored);
        assert_eq!(small.peek(8, NOW), Some(3), "nobody freed its slot");
        small.check_rest();
    });
}

/// The caller joins and fails with the leader, or comes later and leads.
#[test]
fn m17_a_caller_joins_a_cold_load_that_fails_or_leads_the_next() {
    model(2, || {
        let small = Small::new(2, one_home);
        let claim = small.claim_alone(7, NOW);
        let caller = {
            let small = small.clone();
            thread::spawn(move || small.get(7, NOW, 5))
        };
        assert!(masked(&small.fail(claim, GONE, false)).is_some());
        match caller.join().unwrap() {
            Got::Failed(_) => assert_eq!(small.peek(7, NOW), None),
            // Nobody wrote, so nothing made its load late.
            got => {
                assert_eq!(got, Got::Led(Some(5), Fate::Stored));
                assert_eq!(small.peek(7, NOW), Some(5));
            }
        }
        small.check_rest();
    });
}

#[test]
fn m17_a_caller_joins_a_refresh_that_fails_or_backs_off() {
    model(2, || {
        let small = stale();
        let claim = small.claim_alone(7, STALE);
        let caller = {
            let small = small.clone();
            thread::spawn(move || small.get(7, STALE, 5))
        };
        assert_eq!(masked(&small.fail(claim, GONE, false)), Some(true), "the value still stands");
        let got = caller.join().unwrap();
        assert!(matches!(got, Got::Failed(true) | Got::Stale(0)), "{got:?}");
        assert_eq!(small.fetches(), 1, "no fetch before the back-off is over");
        assert_eq!(small.get(7, STALE, 5), Got::Stale(0));
        small.check_rest();
    });
}

#[test]
fn m17_who_hears_that_the_source_says_gone_finds_no_stale_value() {
    model(2, || {
        let small = stale();
        let claim = small.claim_alone(7, STALE);
        let caller = {
            let small = small.clone();
            thread::spawn(move || {
                let got = small.get(7, STALE, 5);
                (got, small.peek(7, STALE))
            })
        };
        assert_eq!(masked(&small.fail(claim, STALE, true)), Some(false));
        assert!(small.peek(7, STALE) != Some(0), "the source says it is gone");
        match caller.join().unwrap() {
            (Got::Failed(false), None) => {}
            (got, there) => {
                assert_eq!(got, Got::Led(Some(5), Fate::Stored));
                assert_eq!(there, Some(5));
            }
        }
        small.check_rest();
    });
}
