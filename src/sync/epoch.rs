//! Deferred freeing, on a collector of the crate's own: a pin here runs nobody else's destructors,
//! and nobody else's long pin holds back what is freed here.

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
