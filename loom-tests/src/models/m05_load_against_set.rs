//! M5: a load ends while its key is set.

use loom::thread;

use super::model;
use super::support::{Got, NOW, STALE, Small, forgot_its_flight, one_home};
use crate::table::Fate;

/// A load of 1, claimed already, ends against a set of 2.
fn ends_against_a_set(small: &std::sync::Arc<Small>, now: u64) {
    let claim = small.claim_alone(7, now);
    let (_, old) = small.entry(7, now).expect("it is there");
    let setter = {
        let small = small.clone();
        thread::spawn(move || small.set(7, 2, now))
    };
    let led = small.fetch(claim, 1, now);
    assert_eq!(setter.join().unwrap(), Fate::Stored);
    assert_eq!(small.peek(7, now), Some(2), "the set stays");
    match led {
        Got::Led(Some(1), _) | Got::Led(Some(2), Fate::Late) => {}
        _ => panic!("the leader got {led:?}"),
    }
    forgot_its_flight(&old);
}

#[test]
fn m05_a_set_wakes_who_joined_a_load_that_hangs() {
    model(2, || {
        let small = Small::new(2, one_home);
        let claim = small.claim_alone(7, NOW);
        let (_, old) = small.entry(7, NOW).expect("it is there");
        let joiner = {
            let small = small.clone();
            thread::spawn(move || small.get(7, NOW, 9))
        };
        assert_eq!(small.set(7, 2, NOW), Fate::Stored);
        forgot_its_flight(&old);
        let got = joiner.join().unwrap();
        assert!(matches!(got, Got::Joined(2) | Got::Hit(2)), "{got:?}");
        assert_eq!(
            small.fetch(claim, 1, NOW),
            Got::Led(Some(2), Fate::Late),
            "one outcome for all"
        );
        small.check_rest();
    });
}

#[test]
fn m05_a_set_during_a_cold_load_stays() {
    model(2, || {
        let small = Small::new(2, one_home);
        ends_against_a_set(&small, NOW);
        small.check_rest();
    });
}

#[test]
fn m05_a_set_during_a_refresh_stays() {
    model(2, || {
        let small = Small::new(2, one_home);
        small.set(7, 0, 0);
        ends_against_a_set(&small, STALE);
        small.check_rest();
    });
}

#[test]
fn m05_a_late_load_makes_no_room_at_the_cost_of_the_set() {
    model(2, || {
        let small = Small::new(1, one_home);
        let claim = small.claim_alone(7, NOW);
        let setter = {
            let small = small.clone();
            thread::spawn(move || small.set(7, 2, NOW))
        };
        small.fetch(claim, 1, NOW);
        // The load may have the only unit at the moment at which the set looks for one.
        let stored = setter.join().unwrap() == Fate::Stored;
        assert_eq!(small.peek(7, NOW), stored.then_some(2));
        small.check_rest();
    });
}

#[test]
fn m05_a_joiner_gets_what_the_leader_gets_or_what_stands() {
    model(1, || {
        let small = Small::new(2, one_home);
        let claim = small.claim_alone(7, NOW);
        let [setter, joiner] = [true, false].map(|sets| {
            let small = small.clone();
            thread::spawn(move || {
                if sets {
                    small.set(7, 2, NOW)
                } else {
                    return Some(small.get(7, NOW, 9));
                };
                None
            })
        });
        let led = small.fetch(claim, 1, NOW);
        assert_eq!(setter.join().unwrap(), None);
        match joiner.join().unwrap().expect("a get's") {
            Got::Joined(value) => assert_eq!(led.value(), Some(value), "one outcome for all"),
            Got::Hit(1) => assert_eq!(led, Got::Led(Some(1), Fate::Stored)),
            got => assert_eq!(got, Got::Hit(2)),
        }
        assert_eq!(small.fetches(), 1);
        assert_eq!(small.peek(7, NOW), Some(2), "the set stays");
        small.check_rest();
    });
}
