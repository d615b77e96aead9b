//! M15: one key entered from two sides of an overflowing bucket.

use loom::thread;

use super::support::{GONE, Got, NOW, Small, Step, light, looking, one_home, spared};
use super::{large_model, model};
use crate::policy::Ask;
use crate::sync::Arc;
use crate::table::Fate;

/// The home bucket is full.
fn full_home() -> std::sync::Arc<Small> {
    let small = Small::new(3, one_home);
    for key in 1..=2 {
        assert_eq!(small.set(key, u32::from(key) * 10, NOW), Fate::Stored);
    }
    small
}

#[test]
fn m15_two_who_enter_across_buckets_get_one_entry() {
    model(2, || {
        let small = full_home();
        let other = {
            let small = small.clone();
            thread::spawn(move || {
                // Makes room in the home bucket, where the other caller may have found none.
                assert!(small.delete(1, NOW));
                small.entry(7, NOW).expect("there is room").1
            })
        };
        let (_, mine) = small.entry(7, NOW).expect("there is room");
        let its = other.join().unwrap();
        assert!(Arc::ptr_eq(&mine, &its), "two committed entries of one key");
        assert_eq!(small.standing(7), 1);
        assert_eq!(small.set(7, 70, NOW), Fate::Stored);
        small.check_rest();
    });
}

/// Beside this thread: deletes what stands at home, then gets 7.
fn other_makes_room_and_gets(small: &std::sync::Arc<Small>, value: u32) -> thread::JoinHandle<Got> {
    let small = small.clone();
    thread::spawn(move || {
        assert!(small.delete(1, NOW));
        small.get(7, NOW, value)
    })
}

#[test]
fn m15_two_callers_across_buckets_fetch_once() {
    model(1, || {
        let small = full_home();
        let other = other_makes_room_and_gets(&small, 1);
        let mine = small.get(7, NOW, 0);
        let its = other.join().unwrap();
        assert_eq!(mine.value(), its.value());
        assert!([&mine, &its].iter().any(|got| matches!(got, Got::Led(_, Fate::Stored))));
        assert_eq!(small.fetches(), 1, "{mine:?} {its:?}");
        small.check_rest();
    });
}

#[test]
fn m15_an_overflow_key_that_was_set_is_found() {
    model(1, || {
        let small = full_home();
        let setter = {
            let small = small.clone();
            thread::spawn(move || small.set(7, 70, NOW))
        };
        let got = small.get(7, NOW, 0);
        assert_eq!(setter.join().unwrap(), Fate::Stored);
        assert_eq!(small.peek(7, NOW), Some(70), "{got:?}");
        small.check_rest();
    });
}

#[test]
fn m15_who_finds_no_slot_leaves_nothing_behind() {
    model(1, || {
        let small = full_home();
        assert_eq!(small.set(3, 30, NOW), Fate::Stored);
        let claim = small.claim_alone(7, NOW);
        assert!(
            matches!(small.lookup(8, Ask::IfError, NOW), Step::Uncached),
            "all slots are taken"
        );
        drop(claim);
        small.check_rest();
    });
}

/// The slot that one of them frees may go to the other, and there are more.
#[test]
fn m15_two_who_enter_where_all_are_gone_find_a_slot_each() {
    model(1, || {
        let small = Small::new(4, one_home);
        for key in 1..=4 {
            assert_eq!(small.set(key, 0, 0), Fate::Stored);
        }
        let other = {
            let small = small.clone();
            thread::spawn(move || small.claim_alone(7, GONE))
        };
        let mine = small.claim_alone(8, GONE);
        drop((mine, other.join().unwrap()));
        small.check_rest();
    });
}

/// One thread is enough to show it.
#[test]
fn m15_who_finds_the_only_slot_half_freed_gets_it() {
    model(1, || {
        let small = Small::new(4, one_home);
        let loads = [1, 2, 3].map(|key| small.claim_alone(key, NOW));
        assert_eq!(small.set(4, 0, 0), Fate::Stored);
        let (_, gone) = small.entry(4, GONE).expect("it is there");
        assert!(gone.word.close_quiet());
        drop((small.claim_alone(8, GONE), loads));
        small.check_rest();
    });
}

/// A load displaces nothing, but may take the slot that a set got in a full group.
#[test]
fn m15_a_set_that_loses_the_slot_of_what_it_displaced_displaces_another() {
    large_model(1, || {
        let small = Small::new(4, one_home);
        let loads = [1, 2].map(|key| small.claim_alone(key, NOW));
        for key in [3, 4] {
            assert_eq!(small.set(key, 0, NOW), Fate::Stored);
        }
        let other = {
            let small = small.clone();
            thread::spawn(move || small.lookup(7, Ask::IfError, NOW))
        };
        assert_eq!(small.set(8, 80, NOW), Fate::Stored);
        drop((other.join().unwrap(), loads));
        small.check_rest();
    });
}

/// The other makes room before it, enters there and so wins; what lost is taken out all the same.
#[test]
fn m15_who_panics_after_its_placeholder_lost_leaves_nothing_behind() {
    model(1, || {
        let small = full_home();
        let other = other_makes_room_and_gets(&small, 2);
        // The first comparison after its placeholder stands.
        let mine = looking(|| light(0), || spared(|| small.get(7, NOW, 1)));
        let its = other.join().unwrap();
        assert_eq!(small.peek(7, NOW), its.value(), "{mine:?}");
        small.check_rest();
    });
}
