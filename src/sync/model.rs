//! loom's names, and stand-ins for what loom has not. Never in a real build.
//!
//! | real | here | why it is no stronger |
//! |---|---|---|
//! | std atomics, threads | loom's | loom explores them; it takes SeqCst accesses as AcqRel |
//! | `park_timeout` | `park` | a wait that gives up is not modelled |
//! | crossbeam-epoch | frees at the first moment it may; with the feature `crossbeam`, itself on loom's atomics | a pin is no fence, but for what its promise needs |
//! | `Arc`, `Weak` | counts with std's orderings, and a tracked cell | a use after the last drop, or an access that no ordering covers, is a loom failure |
//! | `Published` | an atomic index into an append-only list | loads are Acquire, exchanges AcqRel; arc-swap's are SeqCst |
//! | six slots in a bucket | two | overflow is reached with fewer keys |
//!
//! What is not modelled: arc-swap's inside, and that a replaced snapshot may be freed while the model
//! runs: the list keeps everything that was ever published until its cell is dropped. Values dropped
//! too early or not at all are for the tests on real memory.
#![allow(unsafe_code, dead_code)]

pub(crate) use loom::hint::spin_loop;

pub(crate) use counted::{Arc, Weak};
pub(crate) use published::{Held, Loaded, Published};

/// Atomics.
pub(crate) mod atomic {
    pub(crate) use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
}

/// Threads.
pub(crate) mod thread {
    use std::time::Duration;

    pub(crate) use loom::thread::{Thread, current, park};
    pub(crate) use std::thread::panicking;

    pub(crate) fn park_timeout(_: Duration) {
        park();
    }

    pub(crate) fn start(_name: String, run: impl FnOnce() + Send + 'static) -> bool {
        drop(loom::thread::spawn(run));
        true
    }
}

/// Slots of a bucket.
pub(crate) const SLOTS: usize = 2;

/// Begins an execution: forgets what the one before it left.
pub(crate) fn begin() {
    #[cfg(not(feature = "crossbeam"))]
    epoch::begin();
    counted::begin();
}

/// Deferred freeing, at the first moment that the epoch's promise allows: when the last of those who
/// were pinned then, or pinned while it waited, unpins. Whoever pins later sees what the deferring
/// thread did before, which is what the real one's fences are for; nothing else is ordered.
#[cfg(not(feature = "crossbeam"))]
pub(crate) mod epoch {
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

    thread_local! {
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
}

/// Deferred freeing by crossbeam-epoch itself: every pin is some thirty steps.
#[cfg(feature = "crossbeam")]
pub(crate) mod epoch {
    pub(crate) use crossbeam_epoch::{Guard, pin};
}

mod counted {
    use std::cell::{Cell, RefCell, UnsafeCell};
    use std::mem::{self, ManuallyDrop};
    use std::ops::Deref;
    use std::ptr::NonNull;

    use loom::alloc::Track;
    use loom::sync::atomic::{AtomicUsize, Ordering::*, fence};

    /// The value comes first, so that its address is the allocation's.
    #[repr(C)]
    struct Inner<T> {
        value: UnsafeCell<ManuallyDrop<T>>,
        strong: AtomicUsize,
        weak: AtomicUsize,
        /// Read with every use of the value, written when it is dropped.
        touched: loom::cell::UnsafeCell<()>,
        /// A value that is never dropped is a leak that loom reports.
        leak: UnsafeCell<ManuallyDrop<Track<()>>>,
        /// Whether its memory was given back.
        freed: Cell<bool>,
    }

    /// Memory that was given back is kept to the end of the execution, so that a use of it is a failed
    /// assertion and not undefined behaviour.
    struct Grave {
        inner: *mut (),
        free: unsafe fn(*mut ()),
    }

    thread_local! {
        static GRAVES: RefCell<Vec<Grave>> = const { RefCell::new(Vec::new()) };
    }

    pub(super) fn begin() {
        for Grave { inner, free } in GRAVES.take() {
            // SAFETY: of an execution that is over.
            unsafe { free(inner) };
        }
    }

    impl<T> Inner<T> {
        /// # Safety
        ///
        /// No count of either kind is left.
        unsafe fn bury(this: NonNull<Self>) {
            unsafe fn free<T>(inner: *mut ()) {
                // SAFETY: it came from a box, and is freed once.
                drop(unsafe { Box::from_raw(inner.cast::<Inner<T>>()) });
            }
            // SAFETY: it is freed in `begin`.
            unsafe { this.as_ref() }.freed.set(true);
            let grave = Grave { inner: this.as_ptr().cast(), free: free::<T> };
            GRAVES.with_borrow_mut(|graves| graves.push(grave));
        }

        fn alive(&self) -> &Self {
            assert!(!self.freed.get(), "memory is used after it was given back");
            self
        }
    }

    pub(crate) struct Arc<T>(NonNull<Inner<T>>);
    pub(crate) struct Weak<T>(NonNull<Inner<T>>);

    // SAFETY: as std's.
    unsafe impl<T: Send + Sync> Send for Arc<T> {}
    // SAFETY: as std's.
    unsafe impl<T: Send + Sync> Sync for Arc<T> {}
    // SAFETY: as std's.
    unsafe impl<T: Send + Sync> Send for Weak<T> {}
    // SAFETY: as std's.
    unsafe impl<T: Send + Sync> Sync for Weak<T> {}

    impl<T> Arc<T> {
        pub(crate) fn new(value: T) -> Self {
            Arc(NonNull::from(Box::leak(Box::new(Inner {
                value: UnsafeCell::new(ManuallyDrop::new(value)),
                strong: AtomicUsize::new(1),
                weak: AtomicUsize::new(1),
                touched: loom::cell::UnsafeCell::new(()),
                leak: UnsafeCell::new(ManuallyDrop::new(Track::new(()))),
                freed: Cell::new(false),
            }))))
        }

        fn inner(&self) -> &Inner<T> {
            // SAFETY: a strong count keeps the allocation.
            unsafe { self.0.as_ref() }.alive()
        }

        pub(crate) fn as_ptr(this: &Self) -> *const T {
            this.0.as_ptr().cast()
        }

        pub(crate) fn ptr_eq(this: &Self, other: &Self) -> bool {
            this.0 == other.0
        }

        pub(crate) fn downgrade(this: &Self) -> Weak<T> {
            this.inner().weak.fetch_add(1, Relaxed);
            Weak(this.0)
        }

        pub(crate) fn strong_count(this: &Self) -> usize {
            this.inner().strong.load(Acquire)
        }

        /// A second handle that is not counted.
        pub(super) fn uncounted(this: &Self) -> ManuallyDrop<Self> {
            ManuallyDrop::new(Arc(this.0))
        }

        /// # Safety
        ///
        /// As std's.
        pub(crate) unsafe fn from_raw(value: *const T) -> Self {
            // SAFETY: the value is the allocation's first field, and `value` came from one.
            Arc(unsafe { NonNull::new_unchecked(value.cast_mut().cast()) })
        }
    }

    impl<T> Clone for Arc<T> {
        fn clone(&self) -> Self {
            self.inner().strong.fetch_add(1, Relaxed);
            Arc(self.0)
        }
    }

    impl<T> Deref for Arc<T> {
        type Target = T;
        fn deref(&self) -> &T {
            // SAFETY (of the read): loom reports it if the value's drop is not ordered with it.
            self.inner().touched.with(|_| ());
            // SAFETY: a strong count keeps the value.
            unsafe { &*self.inner().value.get() }
        }
    }

    impl<T> Drop for Arc<T> {
        fn drop(&mut self) {
            if self.inner().strong.fetch_sub(1, Release) != 1 {
                return;
            }
            fence(Acquire);
            let rest = Weak(self.0);
            self.inner().touched.with_mut(|_| ());
            // SAFETY: the last strong count is gone; nobody reads the value any more.
            unsafe {
                ManuallyDrop::drop(&mut *self.inner().leak.get());
                ManuallyDrop::drop(&mut *self.inner().value.get());
            }
            drop(rest);
        }
    }

    impl<T> Weak<T> {
        fn inner(&self) -> &Inner<T> {
            // SAFETY: a weak count keeps the allocation.
            unsafe { self.0.as_ref() }.alive()
        }

        pub(crate) fn as_ptr(&self) -> *const T {
            self.0.as_ptr().cast()
        }

        pub(crate) fn upgrade(&self) -> Option<Arc<T>> {
            let strong = &self.inner().strong;
            let mut count = strong.load(Relaxed);
            // Others ran up to that load: was it still memory?
            self.inner();
            while count != 0 {
                match strong.compare_exchange(count, count + 1, Acquire, Relaxed) {
                    Ok(_) => return Some(Arc(self.0)),
                    Err(now) => count = now,
                }
            }
            None
        }

        /// # Safety
        ///
        /// As std's.
        pub(crate) unsafe fn from_raw(value: *const T) -> Self {
            // SAFETY: as `Arc::from_raw`.
            Weak(unsafe { NonNull::new_unchecked(value.cast_mut().cast()) })
        }
    }

    impl<T> Clone for Weak<T> {
        fn clone(&self) -> Self {
            self.inner().weak.fetch_add(1, Relaxed);
            Weak(self.0)
        }
    }

    impl<T> Drop for Weak<T> {
        fn drop(&mut self) {
            if self.inner().weak.fetch_sub(1, Release) == 1 {
                fence(Acquire);
                // SAFETY: no count of either kind is left.
                unsafe { Inner::bury(self.0) };
            }
        }
    }

    impl<T> Arc<T> {
        #[allow(clippy::mem_forget, reason = "the count goes with the address")]
        pub(crate) fn into_raw(this: Self) -> *const T {
            let value = Arc::as_ptr(&this);
            mem::forget(this);
            value
        }
    }
}

mod published {
    use std::mem::ManuallyDrop;
    use std::ops::Deref;
    use std::sync::Mutex;

    use loom::sync::atomic::{AtomicUsize, Ordering::*};

    use super::Arc;

    /// The std mutex is invisible to loom: it orders nothing in the model, and no schedule point lies
    /// inside it.
    pub(crate) struct Published<T> {
        at: AtomicUsize,
        list: Mutex<Vec<Option<Arc<T>>>>,
    }

    impl<T> Published<T> {
        pub(crate) fn empty() -> Self {
            Published { at: AtomicUsize::new(0), list: Mutex::new(Vec::new()) }
        }

        pub(crate) fn discard(self) {}

        pub(crate) fn load(&self) -> Loaded<T> {
            let at = self.at.load(Acquire);
            let list = self.list.lock().unwrap();
            Loaded(at.checked_sub(1).map(|at| {
                let arc = list[at].as_ref().expect("published once, kept to the end");
                Held(Arc::uncounted(arc))
            }))
        }

        pub(crate) fn is(&self, expected: *const T) -> bool {
            self.load().held().map_or(std::ptr::null(), |held| Arc::as_ptr(held.arc())) == expected
        }

        pub(crate) fn replace_if(
            &self,
            expected: *const T,
            new: Option<Arc<T>>,
        ) -> Result<Option<Arc<T>>, ()> {
            let (old, new_at) = {
                let mut list = self.list.lock().unwrap();
                let at = |arc: &Option<Arc<T>>| arc.as_ref().map(Arc::as_ptr) == Some(expected);
                let old = if expected.is_null() {
                    0
                } else {
                    list.iter().rposition(at).expect("expected was published here") + 1
                };
                let new_at = if new.is_some() { list.len() + 1 } else { 0 };
                if new.is_some() {
                    list.push(new);
                }
                (old, new_at)
            };
            match self.at.compare_exchange(old, new_at, AcqRel, Acquire) {
                Ok(_) => {
                    let kept = old.checked_sub(1).map(|old| {
                        let list = self.list.lock().unwrap();
                        Arc::uncounted(list[old].as_ref().expect("kept to the end"))
                    });
                    Ok(kept.map(|arc| Arc::clone(&arc)))
                }
                Err(_) => {
                    let refused =
                        new_at.checked_sub(1).and_then(|at| self.list.lock().unwrap()[at].take());
                    drop(refused);
                    Err(())
                }
            }
        }
    }

    pub(crate) struct Loaded<T>(Option<Held<T>>);

    impl<T> Loaded<T> {
        pub(crate) fn nothing() -> Self {
            Loaded(None)
        }

        pub(crate) fn get(&self) -> Option<&T> {
            self.0.as_deref()
        }

        pub(crate) fn held(self) -> Option<Held<T>> {
            self.0
        }
    }

    /// Not counted: the list keeps it.
    pub(crate) struct Held<T>(ManuallyDrop<Arc<T>>);

    impl<T> Held<T> {
        pub(crate) fn arc(&self) -> &Arc<T> {
            &self.0
        }
    }

    impl<T> Deref for Held<T> {
        type Target = T;
        fn deref(&self) -> &T {
            &self.0
        }
    }
}
