//! What the current thread is in the middle of, by address.
//!
//! Two things must not be begun again inside themselves: the fetch of a flight must not wait for
//! that flight, and the loop that hands out refreshes must not recurse. A thread-local stack names
//! both. A load that runs uncached has no flight, and would recurse: a second stack names the keys of
//! those. In a thread whose locals are being destroyed nothing is remembered.

use std::any::Any;
use std::cell::RefCell;

use crate::sync::{Arc, thread_local};

thread_local! {
    static NESTED: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

thread_local! {
    // Of which cache, by address, and of which key.
    static UNCACHED: RefCell<Vec<(usize, Box<dyn Any>)>> = const { RefCell::new(Vec::new()) };
}

/// Being in the middle of it, until dropped.
pub(crate) struct Inside(usize);

/// Whether this thread is in the middle of `what`.
pub(crate) fn is_inside<T: ?Sized>(what: &T) -> bool {
    let address = address(what);
    NESTED.try_with(|nested| nested.borrow().contains(&address)).unwrap_or(false)
}

/// Whether this thread is in the middle of `what`, and has begun no `other` in there.
pub(crate) fn is_inside_but<T: ?Sized, U: ?Sized>(what: &T, other: &U) -> bool {
    let (what, other) = (address(what), address(other));
    let last = |nested: &RefCell<Vec<usize>>| {
        nested.borrow().iter().rev().find(|it| **it == what || **it == other).copied()
    };
    NESTED.try_with(|nested| last(nested) == Some(what)).unwrap_or(false)
}

/// Begins `what`; more than once is remembered as often.
pub(crate) fn enter<T: ?Sized>(what: &T) -> Inside {
    let address = address(what);
    let _ = NESTED.try_with(|nested| nested.borrow_mut().push(address));
    Inside(address)
}

/// Being in the middle of an uncached load, until dropped.
pub(crate) struct Uncached(());

/// Begins an uncached load of a key.
pub(crate) fn enter_uncached<C: ?Sized, K: 'static>(cache: &C, key: &Arc<K>) -> Uncached {
    let load: (usize, Box<dyn Any>) = (address(cache), Box::new(Arc::clone(key)));
    let _ = UNCACHED.try_with(|all| all.borrow_mut().push(load));
    Uncached(())
}

/// Whether this thread is in the middle of an uncached load of a key that `is` the one meant.
pub(crate) fn is_uncached<C: ?Sized, K: 'static>(cache: &C, is: impl Fn(&K) -> bool) -> bool {
    let address = address(cache);
    // Cloned, since the user's `Eq` may call the cache.
    let keys = |all: &RefCell<Vec<(usize, Box<dyn Any>)>>| -> Vec<Arc<K>> {
        let all = all.borrow();
        let own = all.iter().filter(|(cache, _)| *cache == address);
        own.filter_map(|(_, key)| key.downcast_ref().cloned()).collect()
    };
    UNCACHED.try_with(keys).unwrap_or_default().iter().any(|key| is(key))
}

impl Drop for Uncached {
    fn drop(&mut self) {
        let ended = UNCACHED.try_with(|all| all.borrow_mut().pop());
        drop(ended);
    }
}

fn address<T: ?Sized>(what: &T) -> usize {
    std::ptr::from_ref(what).addr()
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = NESTED.try_with(|nested| {
            let mut nested = nested.borrow_mut();
            if let Some(at) = nested.iter().rposition(|address| *address == self.0) {
                nested.remove(at);
            }
        });
    }
}
