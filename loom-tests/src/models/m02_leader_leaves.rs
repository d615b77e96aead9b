//! M2: the leader goes away without an outcome; its one joiner is woken, and may lead next.

use loom::thread;

use super::flights::*;
use super::model;
use super::support::{Got, NOW, STALE, Small, one_home};
use crate::table::Fate;

#[test]
fn m02_the_joiner_of_a_leader_that_left_is_woken() {
    model(2, || {
        let flight = Flight::running(None);
        let lease = Lease::of(Arc::clone(&flight));
        let joiner = thread::spawn(move || {
            assert!(matches!(Ticket::on(flight).wait(), Outcome::Abandoned));
        });
        drop(lease);
        joiner.join().unwrap();
    });
}

#[test]
fn m02_the_joiner_of_a_leader_that_left_leads_next() {
    model(2, || {
        let word = idle();
        let lease = lead(&word);
        let joiner = {
            let word = Arc::clone(&word);
            thread::spawn(move || {
                let mut joined = 0;
                loop {
                    match approach(&word) {
                        Step::Join(ticket) => {
                            assert!(matches!(ticket.wait(), Outcome::Abandoned));
                            joined += 1;
                            assert_eq!(joined, 1, "one leader, so one flight to join");
                        }
                        Step::Lead(lease) => return publish(lease, 7),
                        Step::Over => panic!("nobody published"),
                    }
                }
            })
        };
        give_up(&word, lease);
        joiner.join().unwrap();
        check_rest(&word);
        let flight = word.close().expect("the joiner's flight is in the word");
        assert_eq!(flight.outcome().as_ref().and_then(value), Some(7));
        drop(word.discard(&flight));
    });
}

/// The real duty: a leader that drops its claim, cold and with a stale value.
fn drops_its_claim(small: &std::sync::Arc<Small>, now: u64) {
    let claim = small.claim_alone(7, now);
    let caller = {
        let small = small.clone();
        thread::spawn(move || small.get(7, now, 5))
    };
    drop(claim);
    assert_eq!(caller.join().unwrap(), Got::Led(Some(5), Fate::Stored), "leads next");
    assert_eq!(small.fetches(), 1);
    small.check_rest();
}

#[test]
fn m02_a_claim_that_is_dropped_frees_its_key() {
    model(2, || drops_its_claim(&Small::new(2, one_home), NOW));
}

#[test]
fn m02_a_refresh_that_is_dropped_frees_its_key() {
    model(2, || {
        let small = Small::new(2, one_home);
        assert_eq!(small.set(7, 0, 0), Fate::Stored);
        drops_its_claim(&small, STALE);
    });
}

/// Nobody else comes: what was inserted for the load is taken out again.
#[test]
fn m02_a_claim_that_is_dropped_leaves_nothing() {
    model(2, || {
        let small = Small::new(2, one_home);
        let dropper = {
            let small = small.clone();
            thread::spawn(move || drop(small.claim_alone(7, NOW)))
        };
        assert_eq!(small.set(8, 3, NOW), Fate::Stored);
        dropper.join().unwrap();
        small.check_rest();
    });
}
