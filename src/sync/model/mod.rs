//! loom's names, and stand-ins for what loom has not. Never in a real build.
//!
//! | real | here | why it is no stronger |
//! |---|---|---|
//! | std atomics, threads | loom's | loom explores them; it takes SeqCst accesses as AcqRel |
//! | `park`, `unpark` | a token with std's orderings | orders only by the token, and is a step of its own |
//! | `park_timeout` | `park` | a wait that gives up is not modelled |
//! | a thread that the system refuses | refused to those who run in `thread::refused` | nothing of it has run, as with std's |
//! | a static of the process | of the execution | orders later looks after what came before the first one: models look before they start threads |
//! | crossbeam-epoch | frees at the first moment it may; with the feature `crossbeam`, itself on loom's atomics | a pin is no fence, but for what its promise needs |
//! | `Arc`, `Weak` | counts with std's orderings, and a tracked cell | a use after the last drop, or an access that no ordering covers, is a loom failure |
//! | `Published` | an atomic index into an append-only list | loads are Acquire, exchanges AcqRel; arc-swap's are SeqCst |
//! | `Watch` | the same comparison and reload | compares by a Relaxed load, as arc-swap's `Cache` |
//! | six slots in a bucket, two for a value | two, one | overflow is reached with fewer keys |
//!
//! What is not modelled: arc-swap's inside, and that a replaced snapshot may be freed while the model
//! runs: the list keeps everything that was ever published until its cell is dropped. So no address is
//! used again either, which in the real `Watch` is for its count to prevent. Values dropped
//! too early or not at all are for the tests on real memory.
#![allow(unsafe_code, dead_code, unused_imports)]

pub(crate) use loom::hint::spin_loop;

pub(crate) use counted::{Arc, Weak};
pub(crate) use published::{Held, Published, Watch};

/// An array that lives as long as any of its owners. Invisible to loom: nothing but its end hangs on it.
pub(crate) type Shared<T> = std::sync::Arc<[T]>;

/// As std's, of loom's threads: all of them are one thread of the system.
macro_rules! locals {
    ($(#[$attr:meta])* static $name:ident: $t:ty = const $init:block;) => {
        loom::thread_local! { $(#[$attr])* static $name: $t = $init; }
    };
}
pub(crate) use locals as thread_local;

/// A static of the execution, made by who looks first.
macro_rules! process_wide {
    ($(#[$attr:meta])* static $name:ident: $t:ty = $init:expr;) => {
        loom::lazy_static! { $(#[$attr])* static ref $name: $t = $init; }
    };
}
pub(crate) use process_wide;

/// Atomics.
pub(crate) mod atomic {
    pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
}

/// Threads.
pub(crate) mod thread {
    use std::cell::Cell;
    use std::time::Duration;

    pub(crate) use super::parking::{Thread, current, park};
    pub(crate) use std::thread::panicking;

    pub(crate) fn park_timeout(_: Duration) {
        park();
    }

    loom::thread_local! {
        static REFUSED: Cell<bool> = Cell::new(false);
    }

    /// Runs `f`; meanwhile the system refuses this thread every start.
    pub(crate) fn refused<R>(f: impl FnOnce() -> R) -> R {
        REFUSED.with(|refused| refused.set(true));
        let result = f();
        REFUSED.with(|refused| refused.set(false));
        result
    }

    pub(crate) fn start(_name: String, run: impl FnOnce() + Send + 'static) -> bool {
        let starts = !REFUSED.with(Cell::get);
        if starts {
            drop(loom::thread::spawn(run));
        }
        starts
    }
}

/// How often a seat is looked for that another thread has in hand.
pub(crate) const SEAT_LOOKS: usize = 1;

/// Slots of a bucket.
pub(crate) const SLOTS: usize = 2;

/// Slots for each value of the capacity.
pub(crate) const SLOTS_PER_VALUE: usize = 1;

/// Begins an execution: forgets what the one before it left.
pub(crate) fn begin() {
    #[cfg(not(feature = "crossbeam"))]
    epoch::begin();
    counted::begin();
}

#[cfg(not(feature = "crossbeam"))]
pub(crate) mod epoch;

/// Deferred freeing by crossbeam-epoch itself: every pin is some thirty steps.
#[cfg(feature = "crossbeam")]
pub(crate) mod epoch {
    pub(crate) use crossbeam_epoch::{Guard, pin};
}

mod counted;
mod parking;
mod published;
