//! M3: the leader ends; both joiners are woken and get the same outcome.

use loom::thread;

use super::flights::*;
use super::model;
use super::polls::wait_as;

/// Each of them a task or a thread.
fn two_joiners(
    are_tasks: [bool; 2],
    outcome: fn() -> Outcome<u64, u64>,
    right: fn(&Outcome<u64, u64>) -> bool,
) {
    model(2, move || {
        let flight = Flight::running(None);
        let lease = Lease::of(Arc::clone(&flight));
        let joiners = are_tasks.map(|is_task| {
            let ticket = Ticket::on(Arc::clone(&flight));
            thread::spawn(move || assert!(right(&wait_as(is_task, ticket))))
        });
        drop(flight);
        lease.flight().complete(outcome());
        assert!(lease.flight().outcome().is_some_and(|got| right(&got)), "the leader gets it too");
        for joiner in joiners {
            joiner.join().unwrap();
        }
    });
}

fn is_seven(outcome: &Outcome<u64, u64>) -> bool {
    value(outcome) == Some(7)
}

#[test]
fn m03_two_joiners_get_the_value() {
    two_joiners([false; 2], || Outcome::Published(Arc::new(7)), is_seven);
}

#[test]
fn m03_two_joiners_that_are_tasks_get_the_value() {
    two_joiners([true; 2], || Outcome::Published(Arc::new(7)), is_seven);
}

#[test]
fn m03_two_joiners_get_the_failure() {
    two_joiners(
        [false, true],
        || Outcome::Failed(Arc::new(8)),
        |outcome| matches!(outcome, Outcome::Failed(why) if **why == 8),
    );
}
