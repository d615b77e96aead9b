//! In place of `src/stats.rs`: counts publish nothing, and a thousand atomics of loom's would drown
//! what is checked. What a thread counted is kept for its model to ask.

use std::cell::RefCell;

/// Those that the files compiled here count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    Hits,
    StaleHits,
    Queued,
    Skipped,
    LateLoads,
    NotStored,
}

loom::thread_local! {
    static COUNTED: RefCell<Vec<Count>> = RefCell::new(Vec::new());
}

/// What this thread counted since it was asked last.
pub(crate) fn counted() -> Vec<Count> {
    COUNTED.with(|counted| counted.take())
}

pub(crate) struct Counters;

impl Counters {
    pub(crate) fn add(&self, count: Count) {
        COUNTED.with(|counted| counted.borrow_mut().push(count));
    }
}

/// One more, counted when this is dropped.
#[must_use]
pub(crate) struct Due<'a>(&'a Counters, Count);

impl Drop for Due<'_> {
    fn drop(&mut self) {
        self.0.add(self.1);
    }
}

impl Counters {
    pub(crate) fn due(&self, count: Count) -> Due<'_> {
        Due(self, count)
    }
}
