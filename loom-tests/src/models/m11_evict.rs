//! M11: eviction against claims, sets and the ends of loads.

use loom::thread;

use super::model;
use super::support::{GONE, Got, STALE, Small, at, one_home};
use crate::policy::Ask;
use crate::table::Fate;

/// Of one value, stale, which the next insertion must evict.
fn full() -> std::sync::Arc<Small> {
    let small = Small::new(1, one_home);
    assert_eq!(small.set(7, 0, 0), Fate::Stored);
    small
}

#[test]
fn m11_no_load_is_evicted_under_its_leader() {
    model(2, || {
        let small = full();
        let evictor = {
            let small = small.clone();
            thread::spawn(move || small.set(8, 3, STALE))
        };
        let got = small.get(7, STALE, 1);
        let set = evictor.join().unwrap();
        // No write of its key came between the claim and the end.
        assert!(matches!(got, Got::Led(Some(1), Fate::Stored | Fate::NoRoom)), "{got:?}");
        assert!(small.table().len() <= 1);
        if set == Fate::NoRoom {
            assert_eq!(small.peek(8, STALE), None);
            assert_eq!(got, Got::Led(Some(1), Fate::Stored), "there was one to refuse it");
        }
        small.check_rest();
    });
}

#[test]
fn m11_a_claim_against_a_set_leads_in_vain_or_not_at_all() {
    model(2, || {
        let small = full();
        let setter = {
            let small = small.clone();
            thread::spawn(move || small.set(7, 2, STALE))
        };
        let got = small.get(7, STALE, 1);
        assert_eq!(setter.join().unwrap(), Fate::Stored);
        match got {
            Got::Hit(2) | Got::Joined(2) => assert_eq!(small.fetches(), 0),
            Got::Led(Some(1), _) | Got::Led(Some(2), Fate::Late) => {}
            _ => panic!("{got:?}"),
        }
        assert_eq!(small.peek(7, STALE), Some(2), "the set stays");
        small.check_rest();
    });
}

/// Between the set's exchange of the cell and its close, a claim of the old snapshot goes through. What
/// was there before the claim was made must not be loaded again. (loom finds that schedule from the
/// order in which the setter comes first.)
///
/// Not told apart: the same look *before* the claim. It misses a set that comes between the two, which ends
/// like one that comes right after the claim; that the value was there first is known to nobody but one
/// who reads both the cell and the word by a read-modify-write in between.
#[test]
fn m11_no_load_starts_for_a_value_that_is_there() {
    model(2, || {
        let small = full();
        let getter = {
            let small = small.clone();
            thread::spawn(move || small.get_what_is(2, 7, STALE, 1))
        };
        assert_eq!(small.set(7, 2, STALE), Fate::Stored);
        getter.join().unwrap();
        small.check_rest();
    });
}

/// One thread is enough to show it.
#[test]
fn m11_an_eviction_that_stalls_is_finished_by_who_wants_the_room() {
    model(1, || {
        let small = full();
        // The first half of an eviction.
        let (_, s) = small.entry(7, STALE).expect("it is there");
        assert!(s.word.close_quiet());
        assert_eq!(small.set(8, 3, STALE), Fate::Stored);
        assert_eq!((small.peek(7, STALE), small.table().evictions()), (None, 1));
        small.check_rest();
    });
}

#[test]
fn m11_a_purge_beside_a_load_of_what_is_gone_keeps_its_value() {
    model(2, || {
        // With room to spare: a purge gives a unit back after its value is gone.
        let small = Small::new(2, one_home);
        assert_eq!(small.set(7, 0, 0), Fate::Stored);
        let purger = {
            let small = small.clone();
            thread::spawn(move || small.table().purge(at(GONE)))
        };
        let got = small.get(7, GONE, 1);
        assert_eq!(got, Got::Led(Some(1), Fate::Stored));
        assert!(purger.join().unwrap() <= 1);
        assert_eq!((small.peek(7, GONE), small.table().len()), (Some(1), 1));
        small.check_rest();
    });
}

#[test]
fn m11_a_claim_is_passed_over_by_the_hand() {
    model(2, || {
        let small = full();
        let claim = small.claim_alone(7, STALE);
        let evictor = {
            let small = small.clone();
            thread::spawn(move || small.set(8, 3, STALE))
        };
        assert_eq!(small.fetch(claim, 1, STALE), Got::Led(Some(1), Fate::Stored));
        match evictor.join().unwrap() {
            // The load ended first, and its value was as good as any other.
            Fate::Stored => assert_eq!([7, 8].map(|k| small.peek(k, STALE)), [None, Some(3)]),
            _ => assert_eq!([7, 8].map(|k| small.peek(k, STALE)), [Some(1), None]),
        }
        small.check_rest();
    });
}

#[test]
fn m11_a_set_and_an_eviction_during_a_load_leave_one_value() {
    model(2, || {
        let small = full();
        let claim = small.claim_alone(7, STALE);
        let writer = {
            let small = small.clone();
            thread::spawn(move || [(7, 2), (8, 3)].map(|(key, value)| small.set(key, value, STALE)))
        };
        let got = small.fetch(claim, 1, STALE);
        assert!(matches!(got.value(), Some(1 | 2)), "{got:?}");
        // The set ended the load, so nothing kept the hand from what it published.
        assert_eq!(writer.join().unwrap(), [Fate::Stored; 2]);
        assert_eq!([7, 8].map(|key| small.peek(key, STALE)), [None, Some(3)]);
        small.check_rest();
    });
}

#[test]
fn m11_two_sets_and_one_unit_leave_one_value() {
    model(2, || {
        let small = Small::new(1, one_home);
        let other = {
            let small = small.clone();
            thread::spawn(move || small.set(8, 1, STALE))
        };
        small.set(7, 0, STALE);
        other.join().unwrap();
        small.check_rest();
    });
}

/// Three cold loads that hang leave a `set` no slot but that of the value: it is evicted for the set, or
/// loaded again, and not both.
#[test]
fn m11_no_load_is_displaced_under_its_leader() {
    model(1, || {
        let small = full();
        let hung = [1, 2, 3].map(|key| small.claim_alone(key, STALE));
        let setter = {
            let small = small.clone();
            thread::spawn(move || small.set(8, 3, STALE))
        };
        let got = small.get(7, STALE, 1);
        let set = setter.join().unwrap();
        // No write of its key came between the claim and the end.
        assert!(!matches!(got, Got::Led(_, Fate::Late)), "a load lost its entry");
        match [7, 8].map(|key| small.peek(key, STALE)) {
            [Some(1), None] => {
                assert_eq!((got, set), (Got::Led(Some(1), Fate::Stored), Fate::NoRoom))
            }
            [None, Some(3)] => assert_eq!(set, Fate::Stored),
            // Evicted for the set, whose slot its next load took, and whose room that load found taken.
            [None, None] => assert_eq!((got, set), (Got::Led(Some(1), Fate::NoRoom), Fate::NoRoom)),
            there => panic!("{there:?}"),
        }
        drop(hung);
        small.check_rest();
    });
}

/// Beside `other`, a set for which the value of 7 may go: how many evictions were counted, what stands at
/// the end, and what came of both.
///
/// Between the two halves of an eviction another call finds the value closed and takes the second half, or
/// removes it as one that it had found before.
fn evicting<R: 'static>(
    small: &std::sync::Arc<Small>,
    now: u64,
    other: impl FnOnce(&Small) -> R + 'static,
) -> (u64, Fate, R) {
    let other = {
        let small = small.clone();
        thread::spawn(move || other(&small))
    };
    let set = small.set(8, 3, now);
    let other = other.join().unwrap();
    (small.table().evictions(), set, other)
}

#[test]
fn m11_an_eviction_beside_a_delete_counts_once_whoever_completes_it() {
    for now in [STALE, GONE] {
        model(2, move || {
            let small = full();
            let (evictions, _, deleted) = evicting(&small, now, move |small| small.delete(7, now));
            assert_eq!(evictions, u64::from(!deleted && now != GONE), "deleted: {deleted}");
            small.check_rest();
        });
    }
}

/// As above, beside one who claims the key and gives up: what does not stand was evicted.
#[test]
fn m11_an_eviction_beside_a_lookup_counts_once_whoever_completes_it() {
    model(2, || {
        let small = full();
        let look = |small: &Small| drop(small.lookup(7, Ask::IfError, STALE));
        let (evictions, set, ()) = evicting(&small, STALE, look);
        let values = 1 + u64::from(set == Fate::Stored);
        assert_eq!(evictions, values - small.table().len() as u64, "{set:?}");
        small.check_rest();
    });
}
