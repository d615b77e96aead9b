//! The published cell: arc-swap, under the names that the crate uses.

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr;
use std::sync::Arc;

use arc_swap::{ArcSwapOption, Guard};

/// One published cell: nothing, or an immutable `T` that readers share.
pub(crate) struct Published<T>(ManuallyDrop<ArcSwapOption<T>>);

impl<T> Published<T> {
    pub(crate) fn empty() -> Self {
        Published(ManuallyDrop::new(ArcSwapOption::empty()))
    }

    /// Drops what is published.
    pub(crate) fn clear(&self) {
        if self.0.load().is_some() {
            self.0.store(None);
        }
    }

    /// What is published now. Wait-free, and runs no destructor but, seldom, that of a value which this very cell
    /// has just published.
    #[inline]
    pub(crate) fn load(&self) -> Option<Held<T>> {
        let loaded = self.0.load();
        let held = Held(Kept(loaded), PhantomData);
        if held.0.0.is_some() {
            return Some(held);
        }
        held.release();
        None
    }

    /// Whether `expected` is what is published now.
    pub(crate) fn is(&self, expected: *const T) -> bool {
        self.0.load().as_ref().map_or(ptr::null(), Arc::as_ptr).eq(&expected)
    }

    /// Publishes `new` if `expected` (null: nothing) is what is published, and returns what was.
    ///
    /// `expected` must be kept from being freed by the caller, else its address proves nothing.
    /// arc-swap drops a refused `new` inside the call, so a caller that must not run user code
    /// here passes a clone. What was found in its place may have lost its other holders by then, and goes here, too.
    pub(crate) fn replace_if(
        &self,
        expected: *const T,
        new: Option<Arc<T>>,
    ) -> Result<Option<Arc<T>>, ()> {
        let previous = self.0.compare_and_swap(expected, new);
        if previous.as_ref().map_or(ptr::null(), Arc::as_ptr) == expected {
            Ok(Guard::into_inner(previous))
        } else {
            Err(())
        }
    }
}

impl<T> Drop for Published<T> {
    /// Leaves the cell empty, and that alone: an empty one owns nothing, and dropping it would walk
    /// every thread that ever loaded, once per slot of the table.
    fn drop(&mut self) {
        self.clear();
    }
}

/// A copy of what a cell publishes, kept by one thread and compared with the cell at every look;
/// `C` is what the cell is reached through.
///
/// It holds the last value it saw until it looks again, and so no other can have its address: the same
/// address is the same value.
pub(crate) struct Watch<C, T>(arc_swap::Cache<Through<C>, Option<Arc<T>>>);

struct Through<C>(C);

impl<T, C: Deref<Target = Published<T>>> Deref for Through<C> {
    type Target = ArcSwapOption<T>;

    #[inline]
    fn deref(&self) -> &ArcSwapOption<T> {
        &self.0.0
    }
}

impl<T, C: Deref<Target = Published<T>>> Watch<C, T> {
    pub(crate) fn new(cell: C) -> Self {
        Watch(arc_swap::Cache::new(Through(cell)))
    }

    /// What is published now: one load where that is what was seen last; else a load and a clone, and
    /// the drop of what was.
    #[inline]
    pub(crate) fn look(&mut self) -> Option<&Arc<T>> {
        // arc-swap compares by a Relaxed load. It suffices: what is kept was received when it was
        // loaded, and whoever knows of a later publish, or of an emptied cell, reads that or a
        // later one (coherence).
        self.0.load().as_ref()
    }
}

/// A reader's hold on a published value: keeps that value and nothing else alive.
///
/// Not `Send`, so that a future that held one across an await would not be either: the compiler
/// then says where. What is to outlive the call is [`kept`](Held::keep).
pub(crate) struct Held<T>(Kept<T>, PhantomData<*const ()>);

impl<T> Held<T> {
    /// The `Arc` behind it, to make a longer-lived reference from.
    #[inline]
    pub(crate) fn arc(&self) -> &Arc<T> {
        self.0.arc()
    }

    /// Gives it back, where that is rare: taken by value, it need not be in memory where it is common.
    #[cold]
    #[inline(never)]
    pub(crate) fn release(self) {}

    /// The same hold, for as long as somebody likes, on any thread.
    #[inline]
    pub(crate) fn keep(self) -> Kept<T> {
        self.0
    }
}

impl<T> Deref for Held<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.arc()
    }
}

/// A hold that was handed out.
pub(crate) struct Kept<T>(Guard<Option<Arc<T>>>);

impl<T> Kept<T> {
    #[inline]
    fn arc(&self) -> &Arc<T> {
        match &*self.0 {
            Some(arc) => arc,
            None => unreachable!("a hold is only made of something"),
        }
    }
}

impl<T> Deref for Kept<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.arc()
    }
}
