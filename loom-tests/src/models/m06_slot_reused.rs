//! M6: while a load is under way its key is set and deleted, and its slot gets another tenant.
//!
//! A word per slot in place of one per snapshot is no patch but another cache. What it would do, that a
//! load's end reaches whatever the slot holds by then, is what its mutants do.

use loom::thread;

use super::model;
use super::support::{Got, NOW, Small, one_home};
use crate::table::Fate;

/// A load of 1 for key 7, claimed already, ends while 7 is set, deleted, and `next` happens.
fn ends_late(next: impl Fn(&Small) + Send + Sync + 'static) -> std::sync::Arc<Small> {
    let small = Small::new(2, one_home);
    let claim = small.claim_alone(7, NOW);
    let writer = {
        let small = small.clone();
        thread::spawn(move || {
            assert_eq!(small.set(7, 2, NOW), Fate::Stored);
            assert!(small.delete(7, NOW), "what was set, or loaded before, was there");
            next(&small);
        })
    };
    let led = small.fetch(claim, 1, NOW);
    assert!(matches!(led, Got::Led(Some(1), _) | Got::Led(Some(2), Fate::Late)), "{led:?}");
    writer.join().unwrap();
    small
}

#[test]
fn m06_a_late_load_leaves_another_keys_slot_alone() {
    model(2, || {
        let small = ends_late(|small| assert_eq!(small.set(8, 3, NOW), Fate::Stored));
        assert_eq!(small.peek(7, NOW), None, "deleted after it was set");
        assert_eq!(small.peek(8, NOW), Some(3));
        small.check_rest();
    });
}

#[test]
fn m06_a_late_load_leaves_a_later_value_of_its_key_alone() {
    model(2, || {
        let small = ends_late(|small| assert_eq!(small.set(7, 3, NOW), Fate::Stored));
        assert_eq!(small.peek(7, NOW), Some(3));
        small.check_rest();
    });
}

#[test]
fn m06_a_late_load_leaves_a_later_load_of_its_key_alone() {
    model(2, || {
        let small = ends_late(|small| {
            assert_eq!(small.get(7, NOW, 3), Got::Led(Some(3), Fate::Stored));
        });
        assert_eq!(small.peek(7, NOW), Some(3));
        small.check_rest();
    });
}
