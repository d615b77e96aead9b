//! Panics of the user's where something else is yet to be done.
//!
//! A destructor, a waker or an executor may panic in the middle of a row of others. Nobody's is to keep
//! another from its turn; a second one on its way would end the process; and what a panic carries may
//! panic as it is dropped.

use std::any::Any;
use std::mem::needs_drop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::sync::thread;

/// What a panic carries.
type Payload = Box<dyn Any + Send>;

/// Of the panics in a row of calls the first, to go on when all had their turn.
#[derive(Default)]
#[must_use]
pub(crate) struct First(Option<Payload>);

impl First {
    pub(crate) fn of(&mut self, f: impl FnOnce()) {
        match catch_unwind(AssertUnwindSafe(f)) {
            Ok(()) => {}
            Err(panic) if self.0.is_none() => self.0 = Some(panic),
            Err(panic) => drop_payload(panic),
        }
    }

    /// Whether there is one, and none on its way already.
    pub(crate) fn goes_on(&self) -> bool {
        self.0.is_some() && !thread::panicking()
    }

    /// Itself, or else the later one.
    pub(crate) fn or(self, later: First) -> First {
        if self.0.is_none() {
            return later;
        }
        later.let_go();
        self
    }

    /// Goes no further.
    pub(crate) fn let_go(self) {
        if let Some(panic) = self.0 {
            drop_payload(panic);
        }
    }

    /// Goes on with it, unless another one is on its way.
    pub(crate) fn go_on(self) {
        match self.0 {
            Some(panic) if thread::panicking() => drop_payload(panic),
            Some(panic) => resume_unwind(panic),
            None => {}
        }
    }
}

/// Drops each; then the first panic goes on.
pub(crate) fn drop_each<T>(items: impl IntoIterator<Item = T>) {
    let mut first = First::default();
    items.into_iter().for_each(|item| first.of(|| drop(item)));
    first.go_on();
}

/// Calls what may panic for itself alone.
pub(crate) fn contain(f: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(f)) {
        drop_payload(panic);
    }
}

/// Runs `f` over what is kept meanwhile. If it panics, that goes first: its destructor may panic too, and beside a
/// panic on its way it would end the process.
#[inline]
pub(crate) fn beside<T, R>(kept: T, f: impl FnOnce(&T) -> R) -> (T, R) {
    match catch_unwind(AssertUnwindSafe(|| f(&kept))) {
        Ok(result) => (kept, result),
        Err(panic) => {
            contain(|| drop(kept));
            resume_unwind(panic)
        }
    }
}

/// Drops what nobody needs, beside what is kept.
#[inline(always)]
pub(crate) fn without<T, R>(kept: T, unneeded: R) -> T {
    if needs_drop::<T>() && needs_drop::<R>() {
        beside(kept, move |_| drop(unneeded)).0
    } else {
        drop(unneeded);
        kept
    }
}

/// Drops what a caught panic carried; what panics in that is left alone.
pub(crate) fn drop_payload(panic: Payload) {
    if let Err(further) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(further);
    }
}
