//! shuttle's names: std's, with a choice of who goes on at every step. Never in a real build.
//!
//! Arc-swap and the epoch are the real ones. All tasks of a schedule are one thread to them, so they see
//! no contention: a step of theirs is one step here, and a guard held by one task pins all.

use std::ops::Deref;

use super::published;
pub(crate) use super::published::{Held, Kept};
pub(crate) use shuttle::hint::spin_loop;
pub(crate) use shuttle::thread_local;
pub(crate) use std::sync::{Arc, Weak};

/// Atomics.
pub(crate) mod atomic {
    pub(crate) use shuttle::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
}

/// Threads.
pub(crate) mod thread {
    pub(crate) use shuttle::thread::{Thread, current, park, park_timeout};
    pub(crate) use std::thread::panicking;

    pub(crate) fn start(_name: String, run: impl FnOnce() + Send + 'static) -> bool {
        drop(shuttle::thread::spawn(run));
        true
    }
}

/// An array that lives as long as any of its owners.
pub(crate) type Shared<T> = Arc<[T]>;

/// How often a seat is looked for that another thread has in hand.
pub(crate) const SEAT_LOOKS: usize = 2;

/// Slots of a bucket.
pub(crate) const SLOTS: usize = 2;

/// Slots for each value of the capacity.
pub(crate) const SLOTS_PER_VALUE: usize = 2;

/// The real cell, and somebody else's turn before each of its steps.
pub(crate) struct Published<T>(published::Published<T>);

impl<T> Published<T> {
    pub(crate) fn empty() -> Self {
        Published(published::Published::empty())
    }

    pub(crate) fn clear(&self) {
        self.0.clear();
    }

    pub(crate) fn load(&self) -> Option<Held<T>> {
        shuttle::thread::yield_now();
        self.0.load()
    }

    pub(crate) fn is(&self, expected: *const T) -> bool {
        shuttle::thread::yield_now();
        self.0.is(expected)
    }

    pub(crate) fn replace_if(
        &self,
        expected: *const T,
        new: Option<Arc<T>>,
    ) -> Result<Option<Arc<T>>, ()> {
        shuttle::thread::yield_now();
        self.0.replace_if(expected, new)
    }
}

/// The real watch, and somebody else's turn before each look.
pub(crate) struct Watch<C, T>(published::Watch<Inner<C>, T>);

struct Inner<C>(C);

impl<T, C: Deref<Target = Published<T>>> Deref for Inner<C> {
    type Target = published::Published<T>;

    fn deref(&self) -> &published::Published<T> {
        &self.0.0
    }
}

impl<T, C: Deref<Target = Published<T>>> Watch<C, T> {
    pub(crate) fn new(cell: C) -> Self {
        Watch(published::Watch::new(Inner(cell)))
    }

    pub(crate) fn look(&mut self) -> Option<&Arc<T>> {
        shuttle::thread::yield_now();
        self.0.look()
    }
}
