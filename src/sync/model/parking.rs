//! Parking: std's token, on loom's atomics.
//!
//! loom's own `unpark` comes with the step before it and hands over what was done before at once, also to
//! a thread that never parks: it would hide what only the token orders. Here it is for who is parked.

use std::sync::Arc;

use loom::sync::atomic::{AtomicUsize, Ordering::*};
use loom::thread::{self, ThreadId};

const EMPTY: usize = 0;
const NOTIFIED: usize = 1;
const PARKED: usize = 2;

loom::thread_local! {
    static TOKEN: Arc<AtomicUsize> = Arc::new(AtomicUsize::new(EMPTY));
}

#[derive(Clone)]
pub(crate) struct Thread {
    thread: thread::Thread,
    token: Arc<AtomicUsize>,
}

pub(crate) fn current() -> Thread {
    Thread { thread: thread::current(), token: TOKEN.with(Arc::clone) }
}

impl Thread {
    pub(crate) fn id(&self) -> ThreadId {
        self.thread.id()
    }

    pub(crate) fn unpark(&self) {
        if self.token.swap(NOTIFIED, Release) == PARKED {
            self.thread.unpark();
        }
    }
}

pub(crate) fn park() {
    let token = TOKEN.with(Arc::clone);
    if token.compare_exchange(EMPTY, PARKED, Acquire, Acquire).is_ok() {
        thread::park();
    }
    token.swap(EMPTY, Acquire);
}
