//! M4: a joiner sits down while the leader ends the flight: it is woken, or sees the end itself.

use std::time::Duration;

use loom::thread;

use super::flights::*;
use super::model;
use super::polls::wait_as;

#[test]
fn m04_a_joiner_that_comes_while_the_leader_ends_is_not_forgotten() {
    model(2, || {
        let flight = Flight::running(None);
        let lease = Lease::of(Arc::clone(&flight));
        let joiner = thread::spawn(move || {
            assert_eq!(value(&Ticket::on(flight).wait()), Some(7));
        });
        publish(lease, 7);
        joiner.join().unwrap();
    });
}

#[test]
fn m04_two_joiners_that_come_while_the_leader_ends_are_not_forgotten() {
    model(2, || {
        let flight = Flight::running(None);
        let lease = Lease::of(Arc::clone(&flight));
        let joiners = [(); 2].map(|()| {
            let ticket = Ticket::on(Arc::clone(&flight));
            thread::spawn(move || assert_eq!(value(&ticket.wait()), Some(7)))
        });
        drop(flight);
        publish(lease, 7);
        for joiner in joiners {
            joiner.join().unwrap();
        }
    });
}

#[test]
fn m04_a_thread_and_a_task_that_come_while_the_leader_ends_are_not_forgotten() {
    model(2, || {
        let flight = Flight::running(None);
        let lease = Lease::of(Arc::clone(&flight));
        let joiners = [false, true].map(|is_task| {
            let ticket = Ticket::on(Arc::clone(&flight));
            thread::spawn(move || assert_eq!(value(&wait_as(is_task, ticket)), Some(7)))
        });
        drop(flight);
        publish(lease, 7);
        for joiner in joiners {
            joiner.join().unwrap();
        }
    });
}

#[test]
fn m04_a_joiner_with_a_bound_that_comes_while_the_leader_ends_is_not_forgotten() {
    model(2, || {
        let flight = Flight::running(None);
        let lease = Lease::of(Arc::clone(&flight));
        let joiner = thread::spawn(move || {
            let outcome = Ticket::on(flight).wait_timeout(Duration::MAX);
            assert_eq!(value(&outcome.expect("it never gives up")), Some(7));
        });
        publish(lease, 7);
        joiner.join().unwrap();
    });
}

/// A wait of no time sits down, looks, and leaves its seat.
fn look_in(flight: &Arc<Flight>) {
    if let Some(outcome) = Ticket::on(Arc::clone(flight)).wait_timeout(Duration::ZERO) {
        assert_eq!(value(&outcome), Some(7));
    }
}

#[test]
fn m04_a_joiner_in_a_seat_that_was_left_is_not_forgotten() {
    model(2, || {
        let flight = Flight::running(None);
        let lease = Lease::of(Arc::clone(&flight));
        look_in(&flight);
        let joiner = thread::spawn(move || {
            assert_eq!(value(&Ticket::on(flight).wait()), Some(7));
        });
        publish(lease, 7);
        joiner.join().unwrap();
    });
}

#[test]
fn m04_a_joiner_is_not_forgotten_while_another_leaves() {
    model(2, || {
        let flight = Flight::running(None);
        let lease = Lease::of(Arc::clone(&flight));
        let leaver = {
            let flight = Arc::clone(&flight);
            thread::spawn(move || look_in(&flight))
        };
        let joiner = thread::spawn(move || {
            assert_eq!(value(&Ticket::on(flight).wait()), Some(7));
        });
        publish(lease, 7);
        leaver.join().unwrap();
        joiner.join().unwrap();
    });
}
