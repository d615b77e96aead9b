//! M12: removals against what comes in their place.

use std::cell::RefCell;

use loom::thread;

use super::support::{GONE, Key, NOW, Small, at, one_home};
use super::{large_model, model};
use crate::table::Fate;

#[test]
fn m12_a_set_renews_a_gone_entry_that_is_being_removed() {
    model(2, || {
        let small = Small::new(1, one_home);
        small.set(7, 0, 0);
        let evictor = {
            let small = small.clone();
            thread::spawn(move || small.set(8, 3, GONE))
        };
        let renewed = small.set(7, 1, GONE);
        let other = evictor.join().unwrap();
        // Each may have evicted the other's, but never a value without its own taking the room.
        let there = [small.peek(7, GONE), small.peek(8, GONE)];
        match there {
            [Some(1), None] => assert_eq!(renewed, Fate::Stored),
            [None, Some(3)] => assert_eq!(other, Fate::Stored),
            [None, None] => assert!([renewed, other].contains(&Fate::NoRoom)),
            _ => panic!("{there:?}"),
        }
        small.check_rest();
    });
}

#[test]
fn m12_two_sets_of_a_gone_entry_leave_one() {
    model(2, || {
        let small = Small::new(1, one_home);
        small.set(7, 0, 0);
        let other = {
            let small = small.clone();
            thread::spawn(move || small.set(7, 2, GONE))
        };
        assert_eq!(small.set(7, 1, GONE), Fate::Stored);
        assert_eq!(other.join().unwrap(), Fate::Stored);
        assert!(matches!(small.peek(7, GONE), Some(1 | 2)));
        small.check_rest();
    });
}

#[test]
fn m12_a_removal_that_stalls_is_finished_by_those_who_meet_it() {
    large_model(2, || {
        let small = Small::new(2, one_home);
        small.set(7, 0, 0);
        // The first half of an eviction.
        let (_, gone) = small.entry(7, GONE).expect("it is there");
        assert!(gone.word.close_quiet());
        let other = {
            let small = small.clone();
            thread::spawn(move || small.set(7, 2, GONE))
        };
        let got = small.get(7, GONE, 1);
        assert_eq!(other.join().unwrap(), Fate::Stored);
        assert!(matches!(got.value(), Some(1 | 2)), "{got:?}");
        assert_eq!(small.peek(7, GONE), Some(2), "set during the load, or after it");
        small.check_rest();
    });
}

/// One thread is enough to show it.
#[test]
fn m12_a_removal_that_stalls_is_finished_by_a_purge() {
    model(1, || {
        let small = Small::new(2, one_home);
        small.set(7, 0, 0);
        let (_, gone) = small.entry(7, GONE).expect("it is there");
        assert!(gone.word.close_quiet());
        assert_eq!((small.table().purge(at(GONE)), small.table().len()), (1, 0));
        small.check_rest();
    });
}

/// The entry of 7 is closed by an eviction that stalls, and renewed by a set that found it before
/// that: what is left of the set runs in the thread that is returned, and says whether it came first.
fn closed_then_renewed(small: &std::sync::Arc<Small>) -> thread::JoinHandle<bool> {
    let (there, old) = small.entry(7, NOW).expect("it is there");
    assert!(old.word.close_quiet());
    let small = small.clone();
    thread::spawn(move || small.set_there(&there, 7, 2, NOW))
}

/// Who finds the closed entry completes its eviction, unless the set has renewed it; whether it has.
fn renewed_or_evicted(small: &Small, setter: thread::JoinHandle<bool>) -> bool {
    let renewed = setter.join().unwrap();
    assert_eq!(small.table().evictions(), u64::from(!renewed), "renewed: {renewed}");
    renewed
}

/// Without another look at its cell the renewed entry is missed.
#[test]
fn m12_a_closed_entry_that_is_renewed_is_found() {
    model(2, || {
        let small = Small::new(4, one_home);
        for key in [7, 1, 2, 3] {
            assert_eq!(small.set(key, 0, NOW), Fate::Stored);
        }
        let setter = closed_then_renewed(&small);
        let found = small.table().committed(small.hashed(7), &Key(7), at(NOW)).is_some();
        assert_eq!(found, renewed_or_evicted(&small, setter), "or it is out");
        assert_eq!(small.set(7, 3, NOW), Fate::Stored);
        small.check_rest();
    });
}

/// As above, by one who enters: between its search and its placeholder somebody else enters the key,
/// and that entry is closed and renewed while the placeholder is decided.
#[test]
fn m12_a_closed_entry_that_is_renewed_wins_over_a_placeholder() {
    model(2, || {
        let small = Small::new(3, one_home);
        let setter = RefCell::new(None);
        let owned = || {
            if setter.borrow().is_none() {
                assert_eq!(small.set(7, 1, NOW), Fate::Stored);
                setter.replace(Some(closed_then_renewed(&small)));
            }
            Key(7)
        };
        let entered = small.table().entry(small.hashed(7), &Key(7), owned, at(NOW));
        assert!(entered.is_some(), "there is room");
        renewed_or_evicted(&small, setter.take().expect("the key was entered"));
        assert_eq!(small.standing(7), 1, "two committed entries of one key");
        assert_eq!(small.set(7, 3, NOW), Fate::Stored);
        small.check_rest();
    });
}

#[test]
fn m12_a_slot_is_free_only_when_its_cell_is_empty() {
    model(2, || {
        let small = Small::new(2, one_home);
        small.set(1, 10, NOW);
        let deleter = {
            let small = small.clone();
            thread::spawn(move || small.delete(1, NOW))
        };
        assert_eq!(small.set(2, 20, NOW), Fate::Stored);
        assert!(deleter.join().unwrap());
        assert_eq!([small.peek(1, NOW), small.peek(2, NOW)], [None, Some(20)]);
        small.check_rest();
    });
}

#[test]
fn m12_of_two_deletes_one_frees_the_slot() {
    model(2, || {
        let small = Small::new(2, one_home);
        small.set(1, 10, NOW);
        let other = {
            let small = small.clone();
            thread::spawn(move || small.delete(1, NOW))
        };
        let mine = small.delete(1, NOW);
        assert_eq!(small.set(2, 20, NOW), Fate::Stored);
        assert!(mine != other.join().unwrap(), "one of them deleted it");
        assert_eq!(small.peek(2, NOW), Some(20), "nobody freed its slot");
        small.check_rest();
    });
}

/// The first bucket is full, 3 stands further on.
fn overflowing() -> std::sync::Arc<Small> {
    let small = Small::new(3, one_home);
    for key in 1..=3 {
        assert_eq!(small.set(key, u32::from(key) * 10, NOW), Fate::Stored);
    }
    small
}

#[test]
fn m12_an_overflow_key_is_found_while_its_home_bucket_churns() {
    model(2, || {
        let small = overflowing();
        let churn = {
            let small = small.clone();
            thread::spawn(move || {
                assert!(small.delete(1, NOW));
                assert_eq!(small.set(4, 40, NOW), Fate::Stored);
            })
        };
        assert_eq!(small.peek(3, NOW), Some(30));
        assert_eq!(small.peek(3, NOW), Some(30));
        churn.join().unwrap();
        small.check_rest();
    });
}

#[test]
fn m12_an_overflow_key_is_found_while_another_comes_and_goes() {
    model(2, || {
        let small = Small::new(3, one_home);
        assert_eq!(small.set(1, 10, NOW), Fate::Stored);
        // A load that is about to start, in the home bucket's other slot.
        let _ = small.entry(9, NOW).expect("there is room");
        for key in 3..=4 {
            assert_eq!(small.set(key, u32::from(key) * 10, NOW), Fate::Stored);
        }
        let churn = {
            let small = small.clone();
            thread::spawn(move || {
                assert!(small.delete(4, NOW));
                assert_eq!(small.set(5, 50, NOW), Fate::Stored);
                assert!(small.delete(5, NOW));
            })
        };
        assert_eq!(small.peek(3, NOW), Some(30));
        assert_eq!(small.peek(3, NOW), Some(30));
        churn.join().unwrap();
        assert!(!small.delete(9, NOW), "it had no value yet");
        small.check_rest();
    });
}

/// The walk has passed the key's first slot when the key is deleted; another key takes that slot, and the
/// key comes back further on, where the walk is yet to come.
#[test]
fn m12_a_key_that_moves_on_is_met_once() {
    model(2, || {
        let small = Small::new(3, one_home);
        for key in 1..=2 {
            assert_eq!(small.set(key, u32::from(key) * 10, NOW), Fate::Stored);
        }
        let mover = {
            let small = small.clone();
            thread::spawn(move || {
                assert!(small.delete(1, NOW));
                assert_eq!([4, 1].map(|key| small.set(key, 0, NOW)), [Fate::Stored; 2]);
            })
        };
        let mut met: Vec<u8> =
            small.table().group(0, at(NOW)).into_iter().map(|s| s.key.0).collect();
        mover.join().unwrap();
        met.sort();
        assert!(met.contains(&2), "it stood all the time: {met:?}");
        assert!(met.is_sorted_by(|a, b| a < b), "a key twice: {met:?}");
        small.check_rest();
    });
}
