//! Joiners that are tasks: polled by hand, woken through a bell.

use std::pin::pin;
use std::task::{Context, Poll, Wake, Waker};

use loom::sync::atomic::{AtomicUsize, Ordering::*};
use loom::thread::{self, Thread};

use super::flights::*;

/// Wakes a thread that polls, and counts.
pub(super) struct Bell {
    thread: Thread,
    pub(super) rung: AtomicUsize,
}

impl Wake for Bell {
    fn wake(self: std::sync::Arc<Self>) {
        self.rung.fetch_add(1, Release);
        self.thread.unpark();
    }
}

/// Of the calling thread.
pub(super) fn bell() -> std::sync::Arc<Bell> {
    std::sync::Arc::new(Bell { thread: thread::current(), rung: AtomicUsize::new(0) })
}

pub(super) fn poll(
    bell: &std::sync::Arc<Bell>,
    ticket: &mut Ticket<u64, u64>,
) -> Poll<Outcome<u64, u64>> {
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
pub(super) fn wait(mut ticket: Ticket<u64, u64>, polls: usize) -> Outcome<u64, u64> {
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

/// Waits as a thread or, polled twice, as a task.
pub(super) fn wait_as(is_task: bool, ticket: Ticket<u64, u64>) -> Outcome<u64, u64> {
    if is_task { wait(ticket, 2) } else { ticket.wait() }
}
