//! Rests: threads that have nothing to do until somebody wakes them all.
//!
//! Such a thread **begins** a rest, which puts it on the list, looks once more whether there is something, and
//! sleeps. Who has something for them takes the list whole and ends each rest on it. A rest is over when it is
//! ended so, or when its thread gets up by itself, whichever comes first. Each is a thing of its own: who comes
//! too late to end one keeps nobody else from being woken.

use crate::fifo::Pile;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicUsize, Ordering::*};
use crate::sync::thread::{self, Thread};

/// One time in which a thread has nothing to do.
pub(crate) struct Rest {
    thread: Thread,
    /// Not 0 once it is over.
    over: AtomicUsize,
}

impl Rest {
    /// Whether this ended it.
    pub(crate) fn end(&self) -> bool {
        // AcqRel: a thread that was woken sees what it was woken for, if nobody has taken it.
        self.over.swap(1, AcqRel) == 0
    }
}

/// Who rests. Those whose rest is over stay on the list until it is taken or tidied.
pub(crate) struct Rests(Pile<Arc<Rest>>);

impl Rests {
    pub(crate) fn new() -> Self {
        Rests(Pile::new())
    }

    /// Puts the calling thread on the list; then it looks once more.
    pub(crate) fn begin(&self) -> Arc<Rest> {
        let rest = Arc::new(Rest { thread: thread::current(), over: AtomicUsize::new(0) });
        drop(self.0.push(Arc::clone(&rest)));
        rest
    }

    /// Wakes them all; whether anybody rested. A read-modify-write of their list: a thread that begins a rest
    /// later sees what was done before.
    pub(crate) fn wake(&self) -> bool {
        let mut resting = self.0.take();
        let mut any = false;
        while let Some(rest) = resting.pop() {
            if rest.end() {
                rest.thread.unpark();
                any = true;
            }
        }
        any
    }

    /// Takes those off that are over. The others are hidden for that time: the caller looks afterwards, as they
    /// would, and wakes them if there is something.
    pub(crate) fn tidy(&self) {
        let mut all = self.0.take();
        while let Some(rest) = all.pop() {
            // Relaxed: a hint. What is missed here goes with the next.
            if rest.over.load(Relaxed) == 0 {
                drop(self.0.push(rest));
            }
        }
    }
}
