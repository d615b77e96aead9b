//! M1: callers of one cold key.

use loom::thread;

use super::model;
use super::support::{Flight, Got, NOW, Small, light, looking, one_home, spared};
use crate::sync::Arc;
use crate::table::Fate;

/// So many callers enter at once, and try to claim what they got.
fn one_entry_for(callers: usize) {
    let small = Small::new(2, one_home);
    let enter = {
        let small = small.clone();
        move || {
            let (_, s) = small.entry(7, NOW).expect("there is room");
            let claimed = s.word.claim(None, &Flight::running(None)).is_some();
            (s, claimed)
        }
    };
    let others: Vec<_> = (1..callers).map(|_| thread::spawn(enter.clone())).collect();
    let mut got = vec![enter()];
    got.extend(others.into_iter().map(|other| other.join().unwrap()));
    assert!(got.iter().all(|(s, _)| Arc::ptr_eq(s, &got[0].0)), "two committed entries of one key");
    assert_eq!(got.iter().filter(|(_, claimed)| *claimed).count(), 1, "one claim of one load");
    assert_eq!(small.table().standing().len(), 1);
}

#[test]
fn m01_two_who_enter_a_cold_key_get_one_entry_and_one_claim() {
    model(2, || one_entry_for(2));
}

#[test]
fn m01_three_who_enter_a_cold_key_get_one_entry_and_one_claim() {
    model(0, || one_entry_for(3));
}

/// So many callers at once: one leads, the others get its value, and nothing is fetched twice.
fn one_fetch_for(callers: u32) {
    let small = Small::new(2, one_home);
    let call = |value: u32| {
        let small = small.clone();
        move || small.get(7, NOW, value)
    };
    let others: Vec<_> = (1..callers).map(|value| thread::spawn(call(value))).collect();
    let mut got = vec![call(0)()];
    got.extend(others.into_iter().map(|other| other.join().unwrap()));
    let led = got.iter().position(|got| matches!(got, Got::Led(..))).expect("somebody leads");
    assert!(got.iter().all(|got| got.value() == Some(led as u32)), "{got:?}");
    assert_eq!(small.fetches(), 1, "{got:?}");
    assert_eq!(small.peek(7, NOW), Some(led as u32));
    small.check_rest();
}

#[test]
fn m01_two_callers_of_a_cold_key_fetch_once() {
    model(1, || one_fetch_for(2));
}

/// Another key stands before it, so that whoever enters compares the two.
fn beside_another() -> std::sync::Arc<Small> {
    let small = Small::new(2, one_home);
    assert_eq!(small.set(1, 10, NOW), Fate::Stored);
    small
}

/// As `get`, but if it enters the key, its next comparison panics: the placeholder stands by then.
fn enters_and_panics(small: &std::sync::Arc<Small>) -> Option<Got> {
    looking(|| light(0), || spared(|| small.get(7, NOW, 1)))
}

/// The other may have met the placeholder, committed it and claimed it before the panic: it stays.
#[test]
fn m01_who_panics_while_it_enters_takes_no_entry_from_who_leads() {
    model(2, || {
        let small = beside_another();
        let other = {
            let small = small.clone();
            thread::spawn(move || small.get(7, NOW, 2))
        };
        let mine = enters_and_panics(&small);
        let its = other.join().unwrap();
        match mine {
            None => assert_eq!(its, Got::Led(Some(2), Fate::Stored)),
            Some(mine) => assert_eq!(mine.value(), its.value()),
        }
        assert_eq!(small.peek(7, NOW), its.value());
        assert_eq!(small.fetches(), 1, "{its:?}");
        small.check_rest();
    });
}

/// The other commits the placeholder, and panics before it can do anything with it.
#[test]
fn m01_two_who_panic_over_one_placeholder_leave_nothing_behind() {
    model(2, || {
        let small = beside_another();
        let other = {
            let small = small.clone();
            thread::spawn(move || {
                // It compares both entries, both again to decide the one, and then panics.
                light(4);
                spared(|| assert!(!small.delete(7, NOW), "it never had a value"));
            })
        };
        let got = enters_and_panics(&small);
        other.join().unwrap();
        assert_eq!(small.peek(7, NOW), got.and_then(|got| got.value()));
        small.check_rest();
    });
}
