//! What broke, if anything did.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Broken invariants, each with how often it broke and how it did first.
#[derive(Default)]
pub(crate) struct Faults(Mutex<BTreeMap<&'static str, (u64, String)>>);

impl Faults {
    /// Checks an invariant.
    pub(crate) fn check(&self, name: &'static str, holds: bool, how: impl FnOnce() -> String) {
        if !holds {
            let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            faults.entry(name).or_insert_with(|| (0, how())).0 += 1;
        }
    }

    pub(crate) fn count(&self) -> u64 {
        let faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        faults.values().map(|(times, _)| times).sum()
    }

    pub(crate) fn report(&self) {
        let faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, (times, how)) in &*faults {
            println!("BROKEN, {times} times: {name}; first: {how}");
        }
        if faults.is_empty() {
            println!("every invariant held");
        }
    }
}
