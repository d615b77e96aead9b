//! Values that know what they are: whose, when loaded, and that they live.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

/// How many values live.
#[derive(Clone, Default)]
pub(crate) struct Living(Arc<AtomicUsize>);

impl Living {
    pub(crate) fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

/// A moment: the clock, and how often it had stepped back by then. Two moments compare only where it had
/// not in between.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Moment {
    pub(crate) clock: Duration,
    pub(crate) steps_back: u64,
}

pub(crate) struct Value {
    pub(crate) key: u32,
    again: Box<u32>,
    steps_back: u64,
    /// The first moment, in nanoseconds, after which somebody saw it: it was published before.
    seen: AtomicU64,
    living: Living,
}

impl Value {
    pub(crate) fn new(key: u32, now: Moment, living: &Living) -> Value {
        living.0.fetch_add(1, SeqCst);
        let (again, living) = (Box::new(key), living.clone());
        Value { key, again, steps_back: now.steps_back, seen: AtomicU64::new(u64::MAX), living }
    }

    /// Whether it is whole, and this key's.
    pub(crate) fn is_of(&self, key: u32) -> bool {
        self.key == key && *self.again == key
    }

    /// It was published before `now`.
    pub(crate) fn was_seen(&self, now: Moment) {
        if now.steps_back == self.steps_back {
            self.seen.fetch_min(now.clock.as_nanos() as u64, SeqCst);
        }
    }

    /// Whether a window of this length after its publication was over for certain before `asked`, where the
    /// clock never stepped back from its load until `answered`.
    pub(crate) fn outlasted(&self, window: Duration, asked: Moment, answered: Moment) -> bool {
        let steady = self.steps_back == asked.steps_back && asked.steps_back == answered.steps_back;
        let seen = self.seen.load(SeqCst);
        steady
            && seen != u64::MAX
            && asked.clock >= Duration::from_nanos(seen).saturating_add(window)
    }
}

impl Clone for Value {
    fn clone(&self) -> Value {
        self.living.0.fetch_add(1, SeqCst);
        Value {
            key: self.key,
            again: self.again.clone(),
            steps_back: self.steps_back,
            seen: AtomicU64::new(self.seen.load(SeqCst)),
            living: self.living.clone(),
        }
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.living.0.fetch_sub(1, SeqCst);
    }
}
