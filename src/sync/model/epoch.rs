//! Deferred freeing, at the first moment that the epoch's promise allows: when the last of those who
//! were pinned then, or pinned while it waited, unpins. Whoever pins later sees what the deferring
//! thread did before, which is what the real one's fences are for; nothing else is ordered.

use std::cell::RefCell;
use std::mem;
use std::sync::Arc;

use loom::sync::atomic::{AtomicUsize, Ordering::*};

/// More deferrals than these share seals, which orders more than need be.
const SEALS: usize = 8;

/// All threads of an execution are one thread of the system.
#[derive(Default)]
struct Pins {
    next: usize,
    pinned: Vec<usize>,
    waiting: Vec<Deferred>,
    deferred: usize,
    /// The seals of what has been run.
    run: Vec<usize>,
    seals: Option<Arc<[AtomicUsize; SEALS]>>,
}

struct Deferred {
    blockers: Vec<usize>,
    seal: usize,
    run: Box<dyn FnOnce()>,
}

std::thread_local! {
    static PINS: RefCell<Pins> = RefCell::default();
}

pub(super) fn begin() {
    let seals = Arc::new(std::array::from_fn(|_| AtomicUsize::new(0)));
    // What a failed execution left behind is of another model.
    mem::forget(PINS.replace(Pins { seals: Some(seals), ..Pins::default() }));
}

fn seals() -> Arc<[AtomicUsize; SEALS]> {
    PINS.with_borrow(|pins| pins.seals.clone().expect("the execution was begun"))
}

pub(crate) struct Guard(usize);

pub(crate) fn pin() -> Guard {
    let (id, run) = PINS.with_borrow_mut(|pins| {
        pins.next += 1;
        pins.pinned.push(pins.next);
        pins.waiting.iter_mut().for_each(|item| item.blockers.push(pins.next));
        (pins.next, pins.run.clone())
    });
    for seal in run {
        seals()[seal].fetch_add(0, Acquire);
    }
    Guard(id)
}

impl Guard {
    /// # Safety
    ///
    /// As crossbeam-epoch's.
    pub(crate) unsafe fn defer_unchecked<F: FnOnce() -> R, R>(&self, f: F) {
        let run: Box<dyn FnOnce() + '_> = Box::new(move || drop(f()));
        // SAFETY: the caller's promise.
        let run: Box<dyn FnOnce()> = unsafe { mem::transmute(run) };
        let seal = PINS.with_borrow_mut(|pins| {
            pins.deferred += 1;
            pins.deferred % SEALS
        });
        seals()[seal].fetch_add(1, Release);
        PINS.with_borrow_mut(|pins| {
            let blockers = pins.pinned.clone();
            pins.waiting.push(Deferred { blockers, seal, run });
        });
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let ready: Vec<_> = PINS.with_borrow_mut(|pins| {
            pins.pinned.retain(|id| *id != self.0);
            pins.waiting.iter_mut().for_each(|item| item.blockers.retain(|id| *id != self.0));
            let ready = pins.waiting.extract_if(.., |item| item.blockers.is_empty());
            let ready: Vec<_> = ready.collect();
            for item in &ready {
                if !pins.run.contains(&item.seal) {
                    pins.run.push(item.seal);
                }
            }
            ready
        });
        for item in ready {
            // Whoever runs it, what was done before the deferral comes before it.
            seals()[item.seal].fetch_add(0, Acquire);
            (item.run)();
        }
    }
}
