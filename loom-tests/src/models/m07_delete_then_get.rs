//! M7: a delete returns, then a get comes, then the old leader ends.

use loom::thread;

use super::model;
use super::support::{Got, NOW, STALE, Small, one_home};
use crate::table::Fate;

/// A load of 1, claimed already, against a delete and a get that may load 5.
fn a_get_after_a_delete(small: &std::sync::Arc<Small>, now: u64) {
    let claim = small.claim_alone(7, now);
    let deleter = {
        let small = small.clone();
        thread::spawn(move || {
            small.delete(7, now);
            small.get(7, now, 5)
        })
    };
    let led = small.fetch(claim, 1, now);
    assert_eq!(led.value(), Some(1), "the old leader keeps its own outcome");
    let got = deleter.join().unwrap();
    assert_eq!(got, Got::Led(Some(5), Fate::Stored), "loads what is there after the delete");
    assert_eq!(small.peek(7, now), Some(5));
}

#[test]
fn m07_a_get_after_a_delete_takes_no_older_cold_load() {
    model(2, || {
        let small = Small::new(2, one_home);
        a_get_after_a_delete(&small, NOW);
        small.check_rest();
    });
}

#[test]
fn m07_a_get_after_a_delete_takes_no_older_refresh() {
    model(2, || {
        let small = Small::new(2, one_home);
        small.set(7, 0, 0);
        a_get_after_a_delete(&small, STALE);
        small.check_rest();
    });
}

#[test]
fn m07_who_joined_before_the_delete_gets_the_old_load() {
    model(1, || {
        let small = Small::new(2, one_home);
        let claim = small.claim_alone(7, NOW);
        let joiner = {
            let small = small.clone();
            thread::spawn(move || small.get(7, NOW, 9))
        };
        let deleter = {
            let small = small.clone();
            thread::spawn(move || small.delete(7, NOW))
        };
        let led = small.fetch(claim, 1, NOW);
        assert_eq!(led.value(), Some(1));
        deleter.join().unwrap();
        match joiner.join().unwrap() {
            // Came before the delete took effect, or after it.
            Got::Joined(1) | Got::Hit(1) => {}
            Got::Led(Some(9), _) => assert_eq!(small.fetches(), 2),
            got => panic!("neither joined nor led: {got:?}"),
        }
        small.check_rest();
    });
}

#[test]
fn m07_a_clear_beside_the_end_of_a_load_leaves_nothing() {
    model(2, || {
        let small = Small::new(2, one_home);
        assert_eq!(small.set(7, 0, 0), Fate::Stored);
        let claim = small.claim_alone(7, STALE);
        let clearer = {
            let small = small.clone();
            thread::spawn(move || small.table().clear())
        };
        small.fetch(claim, 1, STALE);
        clearer.join().unwrap();
        assert_eq!(
            small.peek(7, STALE),
            None,
            "what was loaded before a clear is not seen after it"
        );
        small.check_rest();
    });
}

#[test]
fn m07_a_clear_beside_who_enters_takes_no_placeholder_that_is_undecided() {
    model(2, || {
        let small = Small::new(2, one_home);
        let clearer = {
            let small = small.clone();
            thread::spawn(move || small.table().clear())
        };
        assert_eq!(small.set(7, 1, NOW), Fate::Stored);
        clearer.join().unwrap();
        assert!(matches!(small.peek(7, NOW), None | Some(1)));
        small.check_rest();
    });
}
