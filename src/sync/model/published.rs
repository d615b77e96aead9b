//! The published cell: an atomic index into an append-only list.

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

    pub(crate) fn clear(&self) {}

    pub(crate) fn load(&self) -> Option<Held<T>> {
        let at = self.at.load(Acquire);
        let list = self.list.lock().unwrap();
        at.checked_sub(1).map(|at| {
            let arc = list[at].as_ref().expect("published once, kept to the end");
            Held(Arc::uncounted(arc))
        })
    }

    fn load_full(&self) -> Option<Arc<T>> {
        self.load().map(|held| Arc::clone(held.arc()))
    }

    /// As arc-swap's comparison: a Relaxed load, of an address and not of an index.
    fn address(&self) -> *const T {
        let at = self.at.load(Relaxed);
        let list = self.list.lock().unwrap();
        at.checked_sub(1).map_or(std::ptr::null(), |at| {
            Arc::as_ptr(list[at].as_ref().expect("published once, kept to the end"))
        })
    }

    pub(crate) fn is(&self, expected: *const T) -> bool {
        self.load().map_or(std::ptr::null(), |held| Arc::as_ptr(held.arc())) == expected
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

pub(crate) struct Watch<C, T> {
    cell: C,
    seen: Option<Arc<T>>,
}

impl<T, C: Deref<Target = Published<T>>> Watch<C, T> {
    pub(crate) fn new(cell: C) -> Self {
        let seen = cell.load_full();
        Watch { cell, seen }
    }

    pub(crate) fn look(&mut self) -> Option<&Arc<T>> {
        let seen = self.seen.as_ref().map_or(std::ptr::null(), Arc::as_ptr);
        if self.cell.address() != seen {
            self.seen = self.cell.load_full();
        }
        self.seen.as_ref()
    }
}

/// Not counted: the list keeps it.
pub(crate) struct Held<T>(ManuallyDrop<Arc<T>>);

impl<T> Held<T> {
    pub(crate) fn arc(&self) -> &Arc<T> {
        &self.0
    }

    pub(crate) fn release(self) {}
}

impl<T> Deref for Held<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}
