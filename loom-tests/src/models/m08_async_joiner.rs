//! M8: joiners that are tasks: polled, polled with another waker, dropped, against the end; and a
//! background refresh that a thread polls.

use std::future::poll_fn;
use std::sync::{Arc as Untracked, OnceLock};
use std::task::Poll;
use std::time::Duration;

use loom::sync::atomic::{AtomicUsize, Ordering::*};
use loom::thread;

use super::flights::*;
use super::model;
use super::polls::*;
use super::support::Tracked;
use crate::refresh::{Refresher, Task};

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

/// Runs an async refresh on the cache's own thread, to its end: who is never polled again waits for ever.
fn refresh(task: impl Future<Output = ()> + Send + 'static) {
    let refresher = Arc::new(Refresher::new(1, 1, None));
    let admitted = Refresher::admit(&refresher).expect("nobody else is there");
    admitted.submit(Task::Async(Box::pin(task)));
    assert!(refresher.close_timeout(Duration::MAX));
}

#[test]
fn m08_a_refresh_sees_what_was_done_before_its_bell_rang() {
    model(2, || {
        // Neither orders anything in the model. A panic of the task's would be taken for the fetch's.
        let (written, read) = (Untracked::new(OnceLock::new()), Untracked::new(OnceLock::new()));
        let (to_read, known) = (Untracked::clone(&written), Untracked::clone(&read));
        let mut to_write = Some(written);
        refresh(poll_fn(move |cx| {
            let Some(written) = to_write.take() else {
                let seen = to_read.get().map(Tracked::read);
                known.set(seen).expect("polled again once");
                return Poll::Ready(());
            };
            let waker = cx.waker().clone();
            drop(thread::spawn(move || {
                assert!(written.set(Tracked::new(7)).is_ok());
                waker.wake();
            }));
            Poll::Pending
        }));
        assert_eq!(read.get(), Some(&Some(7)));
    });
}

#[test]
fn m08_a_refresh_that_two_wake_sees_what_both_did() {
    model(2, || {
        let done: [_; 2] = std::array::from_fn(|_| Untracked::new(AtomicUsize::new(0)));
        let mut to_do = Some(done.clone());
        refresh(poll_fn(move |cx| {
            for done in to_do.take().into_iter().flatten() {
                let waker = cx.waker().clone();
                drop(thread::spawn(move || {
                    // Relaxed: the bell is to hand it on.
                    done.store(1, Relaxed);
                    waker.wake();
                }));
            }
            let all = done.iter().all(|done| done.load(Relaxed) == 1);
            if all { Poll::Ready(()) } else { Poll::Pending }
        }));
    });
}

#[test]
fn m08_a_refresh_whose_poll_waits_for_something_else_is_polled_again() {
    model(2, || {
        let flight = Flight::running(None);
        let mut to_end = Some(Lease::of(Arc::clone(&flight)));
        refresh(poll_fn(move |cx| {
            let Some(lease) = to_end.take() else { return Poll::Ready(()) };
            let waker = cx.waker().clone();
            drop(thread::spawn(move || {
                waker.wake();
                publish(lease, 7);
            }));
            // It may take the token that the bell left.
            assert_eq!(value(&Ticket::on(Arc::clone(&flight)).wait()), Some(7));
            Poll::Pending
        }));
    });
}
