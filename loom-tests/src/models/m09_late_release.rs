//! M9: a leader that is slow to wake its joiners, against the joiners of the next flight.
//!
//! The first flight has its outcome, so the next one may begin, while the first leader has not yet
//! woken anybody. Its wakes must reach its own joiners and take nothing from those of the next.

use loom::thread;

use super::flights::*;
use super::model;
use super::polls::wait_as;

/// Joins whatever is under way, and leads when nothing is: the value it gets.
fn caller(word: &Word, own: u64) -> u64 {
    loop {
        match approach(word) {
            Step::Join(ticket) => {
                if let Some(value) = value(&ticket.wait()) {
                    return value;
                }
            }
            Step::Lead(lease) => {
                publish(lease, own);
                return own;
            }
            Step::Over => {
                let published = word.close().and_then(|flight| flight.outcome());
                return published.as_ref().and_then(value).expect("over by being published");
            }
        }
    }
}

#[test]
fn m09_a_late_release_takes_nothing_from_the_next_flights_joiner() {
    model(2, || {
        let word = idle();
        let lease = lead(&word);
        let callers: Vec<_> = [1, 2]
            .into_iter()
            .map(|own| {
                let word = Arc::clone(&word);
                thread::spawn(move || caller(&word, own))
            })
            .collect();
        give_up(&word, lease);
        let got: Vec<_> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
        assert!(got.iter().all(|value| *value == got[0]), "one load succeeded, for all of them");
        check_rest(&word);
        let flight = word.close().expect("the last flight is in the word");
        assert_eq!(flight.outcome().as_ref().and_then(value), Some(got[0]));
        drop(word.discard(&flight));
    });
}

/// The first leader, who is late to wake; one of its joiners, who leads the next load; and two
/// joiners of that.
fn two_joiners_of_the_next_flight(are_tasks: [bool; 2]) {
    model(2, move || {
        let [first, next] = [None, None].map(Flight::running);
        let late = Lease::of(Arc::clone(&first));
        let leader = {
            let lease = Lease::of(Arc::clone(&next));
            thread::spawn(move || {
                assert!(matches!(Ticket::on(first).wait(), Outcome::Abandoned));
                publish(lease, 7);
            })
        };
        let joiners = are_tasks.map(|is_task| {
            let ticket = Ticket::on(Arc::clone(&next));
            thread::spawn(move || assert_eq!(value(&wait_as(is_task, ticket)), Some(7)))
        });
        drop((late, next));
        leader.join().unwrap();
        for joiner in joiners {
            joiner.join().unwrap();
        }
    });
}

#[test]
fn m09_a_late_release_takes_nothing_from_two_joiners_of_the_next_flight() {
    two_joiners_of_the_next_flight([false; 2]);
}

#[test]
fn m09_a_late_release_takes_nothing_from_a_thread_and_a_task_of_the_next_flight() {
    two_joiners_of_the_next_flight([false, true]);
}
