//! The real names: std, arc-swap, crossbeam-epoch.

pub(crate) use std::hint::spin_loop;
pub(crate) use std::sync::{Arc, Weak};
pub(crate) use std::thread_local;

pub(crate) use super::published::{Held, Kept, Published, Watch};

/// An array that lives as long as any of its owners.
pub(crate) type Shared<T> = Arc<[T]>;

/// Atomics.
pub(crate) mod atomic {
    pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
}

/// Threads: parking, and the few that the cache starts itself.
pub(crate) mod thread {
    pub(crate) use std::thread::{Thread, current, panicking, park, park_timeout};

    /// Starts a detached thread; `false` when the system refuses.
    pub(crate) fn start(name: String, run: impl FnOnce() + Send + 'static) -> bool {
        std::thread::Builder::new().name(name).spawn(run).is_ok()
    }
}

/// How often a seat is looked for that another thread has in hand.
pub(crate) const SEAT_LOOKS: usize = 100;

/// Slots of a bucket: with two control words, eight words make one cache line.
pub(crate) const SLOTS: usize = 6;

/// Slots for each value of the capacity: a load of a half. Two values in a hundred then stand
/// beyond their home bucket, and 96 bytes hold a `u64` under a `u64`.
pub(crate) const SLOTS_PER_VALUE: usize = 2;
