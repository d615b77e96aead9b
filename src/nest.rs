//! What the current thread is in the middle of, by address.
//!
//! Two things must not be begun again inside themselves: the fetch of a flight must not wait for
//! that flight, and the loop that hands out refreshes must not recurse. A thread-local stack names
//! both. In a thread whose locals are being destroyed nothing is remembered.

use std::cell::RefCell;

use crate::sync::thread_local;

thread_local! {
    static NESTED: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
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
