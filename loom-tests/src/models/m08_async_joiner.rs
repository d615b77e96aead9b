//! M8: joiners that are tasks: polled, polled with another waker, dropped, against the end.

use std::task::Poll;

use loom::sync::atomic::Ordering::Acquire;
use loom::thread;

use super::flights::*;
use super::model;
use super::polls::*;

#[test]
fn m08_a_task_that_joins_while_the_leader_ends_is_not_forgotten() {
    model(2, || {
        let flight = Flight::running(None);
        let lease = Lease::of(Arc::clone(&flight));
        let joiner = thread::spawn(move || {
            assert_eq!(value(&wait(Ticket::on(flight), 1)), Some(7));
        });
        publish(lease, 7);
        joiner.join().unwrap();
    });
}

#[test]
fn m08_a_task_is_woken_by_the_waker_of_its_last_poll() {
    model(2, || {
        let flight = Flight::running(None);
        let lease = Lease::of(Arc::clone(&flight));
        let joiner = thread::spawn(move || {
            assert_eq!(value(&wait(Ticket::on(flight), 3)), Some(7));
        });
        publish(lease, 7);
        joiner.join().unwrap();
    });
}

#[test]
fn m08_a_task_that_is_dropped_takes_no_wake_up_from_another() {
    model(2, || {
        let flight = Flight::running(None);
        let lease = Lease::of(Arc::clone(&flight));
        let leaver = {
            let mut ticket = Ticket::on(Arc::clone(&flight));
            thread::spawn(move || {
                let polled = poll(&bell(), &mut ticket);
                assert!(
                    polled.is_pending() || matches!(polled, Poll::Ready(o) if value(&o) == Some(7))
                );
            })
        };
        let joiner = thread::spawn(move || {
            assert_eq!(value(&wait(Ticket::on(flight), 2)), Some(7));
        });
        publish(lease, 7);
        leaver.join().unwrap();
        joiner.join().unwrap();
    });
}

#[test]
fn m08_the_waker_of_a_task_that_was_dropped_is_gone_when_another_has_its_seat() {
    model(2, || {
        let flight = Flight::running(None);
        let lease = Lease::of(Arc::clone(&flight));
        let left = bell();
        let mut ticket = Ticket::on(Arc::clone(&flight));
        assert!(poll(&left, &mut ticket).is_pending());
        drop(ticket);
        let joiner = thread::spawn(move || {
            assert_eq!(value(&wait(Ticket::on(flight), 1)), Some(7));
        });
        publish(lease, 7);
        joiner.join().unwrap();
        assert_eq!(left.rung.load(Acquire), 0, "nobody rings for who left");
    });
}

#[test]
fn m08_of_a_thread_and_a_task_one_leads_when_the_leader_leaves() {
    // Three who approach the word take many steps: one preemption, two in the slow tier.
    model(1, || {
        let word = idle();
        let lease = lead(&word);
        let callers = [false, true].map(|is_task| {
            let word = Arc::clone(&word);
            thread::spawn(move || {
                loop {
                    match approach(&word) {
                        Step::Join(ticket) => {
                            let outcome = wait_as(is_task, ticket);
                            if let Some(value) = value(&outcome) {
                                return value;
                            }
                        }
                        Step::Lead(lease) => {
                            publish(lease, 7);
                            return 7;
                        }
                        Step::Over => return 7,
                    }
                }
            })
        });
        give_up(&word, lease);
        for caller in callers {
            assert_eq!(caller.join().unwrap(), 7);
        }
        check_rest(&word);
        let flight = word.close().expect("the last flight is in the word");
        assert_eq!(flight.outcome().as_ref().and_then(value), Some(7));
        drop(word.discard(&flight));
    });
}
