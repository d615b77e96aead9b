//! `Arc` and `Weak`: counts with std's orderings, a tracked cell, and memory that stays to be checked.

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
    /// Frees it: the `free` in `bury` of its type.
    free: unsafe fn(*mut ()),
}

std::thread_local! {
    static GRAVES: RefCell<Vec<Grave>> = const { RefCell::new(Vec::new()) };
}

pub(super) fn begin() {
    for Grave { inner, free } in GRAVES.take() {
        // SAFETY: of an execution that is over, so nobody has it any more; taken out of the list, so
        // it is freed once, by the function that was put in with it.
        unsafe { free(inner) };
    }
}

impl<T> Inner<T> {
    /// # Safety
    ///
    /// No count of either kind is left.
    unsafe fn bury(this: NonNull<Self>) {
        /// # Safety
        ///
        /// `inner` is a leaked box of an `Inner<T>`, nobody uses it any more, and this is called once.
        unsafe fn free<T>(inner: *mut ()) {
            // SAFETY: the caller's promise.
            drop(unsafe { Box::from_raw(inner.cast::<Inner<T>>()) });
        }
        // SAFETY: it is still memory: given back in `begin` only, which nobody has told of it yet.
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

// SAFETY: as std's: what is shared are counts that are atomics and a value that is `Send + Sync`.
unsafe impl<T: Send + Sync> Send for Arc<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Arc<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Send for Weak<T> {}
// SAFETY: as above.
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
    /// As std's: `value` came from `into_raw` of this type, and the count it carries is taken once.
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
        // loom reports the read here if the value's drop is not ordered with it.
        self.inner().touched.with(|_| ());
        // SAFETY: a strong count keeps the value, so its drop comes after this borrow.
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
        // SAFETY: the last strong count is gone: nobody else has the cell, and it is dropped once.
        unsafe { ManuallyDrop::drop(&mut *self.inner().leak.get()) };
        // SAFETY: as above; nobody reads the value any more.
        unsafe { ManuallyDrop::drop(&mut *self.inner().value.get()) };
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
    /// As std's: `value` came from an `Arc` or a `Weak` of this type, and the count is taken once.
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
