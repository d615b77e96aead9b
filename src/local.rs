//! Hot sets behind the plain calls: for each thread and cache one, found by the thread.
//!
//! A thread's sets are its own, so no other thread can take what they hold. When a cache closes or its
//! last handle goes, its sets are *retired*: a count that all threads see goes up, and each thread drops its
//! retired sets at its next call that looks here, or when it ends. The thread that closes does so at once, unless it is in
//! the middle of one.
//!
//! What runs of the user's in here, a read in place or a destructor, finds the thread's sets taken, and
//! goes the way of a thread that has none; so does what runs as the thread ends.

use std::any::Any;
use std::cell::RefCell;
use std::mem;

use crate::hot::HotSet;
use crate::panics::{contain, drop_each};
use crate::sync::atomic::{AtomicUsize, Ordering::*};
use crate::sync::{Arc, process_wide, thread_local};

process_wide! {
    /// How many times sets were retired, of any cache.
    static RETIRED: AtomicUsize = AtomicUsize::new(0);
}

thread_local! {
    static SETS: RefCell<Sets> = const { RefCell::new(Sets { looked: 0, sets: Vec::new() }) };
}

/// The sets of one thread, the one used last in front.
struct Sets {
    /// What `RETIRED` was when the retired ones were dropped.
    looked: usize,
    sets: Vec<(Arc<Life>, Box<dyn Any>)>,
}

/// Not 0 once retired. Its address names the cache.
struct Life(AtomicUsize);

/// The hot sets of one cache, one for each thread that reads it.
pub(crate) struct Local {
    spots: usize,
    life: Arc<Life>,
}

impl Local {
    pub(crate) fn new(spots: usize) -> Self {
        Local { spots, life: Arc::new(Life(AtomicUsize::new(0))) }
    }

    /// Calls `f` with this thread's set, unless the sets are retired or the thread is in here already.
    #[inline]
    pub(crate) fn with<K: 'static, V: 'static, E: 'static>(
        &self,
        f: impl FnOnce(&mut HotSet<K, V, E>),
    ) {
        let _ = SETS.try_with(|sets| {
            let Ok(mut sets) = sets.try_borrow_mut() else { return };
            sets.look();
            if let Some(set) = sets.of(self).and_then(|set| set.downcast_mut()) {
                f(set);
            } else if self.life.0.load(Relaxed) == 0 {
                let set = HotSet::<K, V, E>::new(self.spots);
                sets.sets.insert(0, (Arc::clone(&self.life), Box::new(set)));
            }
        });
    }

    /// Makes every thread drop its set, this one now.
    pub(crate) fn retire(&self) {
        // Relaxed: the count publishes it.
        if self.life.0.swap(1, Relaxed) == 0 {
            // Release: who sees the count sees the mark.
            RETIRED.fetch_add(1, Release);
        }
        // Also where another thread has retired them, which may not have counted yet, or this one, in the middle of
        // a read.
        let own = SETS.try_with(|sets| sets.try_borrow_mut().ok()?.take(self));
        drop(own);
    }
}

impl Drop for Sets {
    /// As the thread ends, where a panic would end the process.
    fn drop(&mut self) {
        contain(|| drop_each(mem::take(&mut self.sets)));
    }
}

impl Sets {
    #[inline]
    fn of(&mut self, local: &Local) -> Option<&mut dyn Any> {
        let is = |life: &Arc<Life>| Arc::ptr_eq(life, &local.life);
        if !self.sets.first().is_some_and(|(life, _)| is(life)) {
            let at = self.sets.iter().position(|(life, _)| is(life))?;
            self.sets.swap(0, at);
        }
        self.sets.first_mut().map(|(_, set)| &mut **set)
    }

    /// Takes out the set of a cache.
    fn take(&mut self, local: &Local) -> Option<Box<dyn Any>> {
        let at = self.sets.iter().position(|(life, _)| Arc::ptr_eq(life, &local.life))?;
        Some(self.sets.remove(at).1)
    }

    /// Drops the retired ones, if any were retired since it looked last. What they do as they go is no matter of
    /// the call that looks: they are another cache's.
    #[inline]
    fn look(&mut self) {
        // Acquire: pairs with `retire`, whose marks are then seen.
        let retired = RETIRED.load(Acquire);
        if self.looked != retired {
            self.looked = retired;
            contain(|| self.sweep());
        }
    }

    #[cold]
    fn sweep(&mut self) {
        // Relaxed: the count that led here published the marks; a later mark comes with a later count.
        let retired = |(life, _): &mut (Arc<Life>, _)| life.0.load(Relaxed) != 0;
        drop_each(self.sets.extract_if(.., retired));
    }
}
