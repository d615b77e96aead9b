//! The real names: std, arc-swap, crossbeam-epoch.

pub(crate) use std::hint::spin_loop;
pub(crate) use std::sync::{Arc, Weak};

/// An array that lives as long as any of its owners.
pub(crate) type Shared<T> = Arc<[T]>;

/// Atomics.
pub(crate) mod atomic {
    pub(crate) use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
}

/// Threads: parking, and the few that the cache starts itself.
pub(crate) mod thread {
    pub(crate) use std::thread::{Thread, current, panicking, park, park_timeout};

    /// Starts a detached thread; `false` when the system refuses.
    pub(crate) fn start(name: String, run: impl FnOnce() + Send + 'static) -> bool {
        std::thread::Builder::new().name(name).spawn(run).is_ok()
    }
}

/// Slots of a bucket: with two control words, eight words make one cache line.
pub(crate) const SLOTS: usize = 6;

/// Slots for each value of the capacity: a load of a half. Two values in a hundred then stand
/// beyond their home bucket, and 96 bytes hold a `u64` under a `u64`.
pub(crate) const SLOTS_PER_VALUE: usize = 2;

/// Deferred freeing, on a collector of the crate's own: a pin here runs nobody else's destructors,
/// and nobody else's long pin holds back what is freed here.
pub(crate) mod epoch {
    use std::sync::LazyLock;

    pub(crate) use crossbeam_epoch::Guard;
    use crossbeam_epoch::{Collector, LocalHandle};

    static COLLECTOR: LazyLock<Collector> = LazyLock::new(Collector::new);

    thread_local! {
        static LOCAL: LocalHandle = COLLECTOR.register();
    }

    /// Pins the current thread; also from a thread-local destructor that runs after `LOCAL`'s.
    #[inline]
    pub(crate) fn pin() -> Guard {
        LOCAL.try_with(LocalHandle::pin).unwrap_or_else(|_| COLLECTOR.register().pin())
    }
}

pub(crate) use published::{Held, Published, Watch};

mod published {
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

        /// What is published now. Wait-free, and never runs a destructor of another value.
        #[inline]
        pub(crate) fn load(&self) -> Option<Held<T>> {
            let loaded = self.0.load();
            loaded.is_some().then_some(Held(loaded))
        }

        /// Whether `expected` is what is published now.
        pub(crate) fn is(&self, expected: *const T) -> bool {
            self.0.load().as_ref().map_or(ptr::null(), Arc::as_ptr).eq(&expected)
        }

        /// Publishes `new` if `expected` (null: nothing) is what is published, and returns what was.
        ///
        /// `expected` must be kept from being freed by the caller, else its address proves nothing.
        /// arc-swap drops a refused `new` inside the call, so a caller that must not run user code
        /// here passes a clone.
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
    pub(crate) struct Held<T>(Guard<Option<Arc<T>>>);

    impl<T> Held<T> {
        /// The `Arc` behind it, to make a longer-lived reference from.
        #[inline]
        pub(crate) fn arc(&self) -> &Arc<T> {
            match &*self.0 {
                Some(arc) => arc,
                None => unreachable!("a hold is only made of something"),
            }
        }
    }

    impl<T> Deref for Held<T> {
        type Target = T;

        #[inline]
        fn deref(&self) -> &T {
            self.arc()
        }
    }
}
