//! M8: joiners that are tasks: polled, polled with another waker, dropped, against the end.

use std::pin::pin;
use std::task::{Context, Poll, Wake, Waker};

use loom::sync::atomic::{AtomicUsize, Ordering::*};
use loom::thread::{self, Thread};

use super::flights::*;
use super::model;

/// Wakes a thread that polls, and counts.
struct Bell {
    thread: Thread,
    rung: AtomicUsize,
}

impl Wake for Bell {
    fn wake(self: std::sync::Arc<Self>) {
        self.rung.fetch_add(1, Release);
        self.thread.unpark();
    }
}

/// Of the calling thread.
fn bell() -> std::sync::Arc<Bell> {
    std::sync::Arc::new(Bell { thread: thread::current(), rung: AtomicUsize::new(0) })
}

fn poll(bell: &std::sync::Arc<Bell>, ticket: &mut Ticket<u64, u64>) -> Poll<Outcome<u64, u64>> {
    let waker = Waker::from(std::sync::Arc::clone(bell));
    pin!(ticket).poll(&mut Context::from_waker(&waker))
}

/// Sleeps until this very bell has rung.
fn sleep(bell: &Bell) {
    while bell.rung.load(Acquire) == 0 {
        thread::park();
    }
}

/// Polls with each bell in turn; then the last one must ring, unless the end was seen.
fn wait(mut ticket: Ticket<u64, u64>, polls: usize) -> Outcome<u64, u64> {
    let mut last = bell();
    for poll_now in 0..polls {
        if poll_now > 0 {
            last = bell();
        }
        if let Poll::Ready(outcome) = poll(&last, &mut ticket) {
            return outcome;
        }
    }
    sleep(&last);
    match poll(&last, &mut ticket) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("it was woken by the end, and the end is not there"),
    }
}

#[test]
fn m08_a_task_that_joins_while_the_leader_ends_is_not_forgotten() {
    model(2, || {
        let flight = Flight::running(0);
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
        let flight = Flight::running(0);
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
        let flight = Flight::running(0);
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
        let flight = Flight::running(0);
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
fn m08_a_thread_and_a_task_join_the_same_leader() {
    model(2, || {
        let flight = Flight::running(0);
        let lease = Lease::of(Arc::clone(&flight));
        let task = {
            let ticket = Ticket::on(Arc::clone(&flight));
            thread::spawn(move || assert_eq!(value(&wait(ticket, 2)), Some(7)))
        };
        let thread = thread::spawn(move || {
            assert_eq!(value(&Ticket::on(flight).wait()), Some(7));
        });
        publish(lease, 7);
        task.join().unwrap();
        thread.join().unwrap();
    });
}

#[test]
fn m08_of_a_thread_and_a_task_one_leads_when_the_leader_leaves() {
    model(2, || {
        let word = idle();
        let lease = lead(&word);
        let callers = [false, true].map(|is_task| {
            let word = Arc::clone(&word);
            thread::spawn(move || {
                loop {
                    match approach(&word) {
                        Step::Join(ticket) => {
                            let outcome = if is_task { wait(ticket, 2) } else { ticket.wait() };
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
