//! What a replay found, and its two printed forms.

use serde::Serialize;

/// The figures of one replay. Every access is in exactly one of the five outcomes.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    /// Accesses replayed.
    pub(crate) accesses: u64,
    /// Outcome: served fresh, nothing fetched.
    pub(crate) fresh: u64,
    /// Outcome: served stale, nothing fetched by this caller.
    pub(crate) stale: u64,
    /// Outcome: served stale because this caller's fetch failed.
    pub(crate) fallback: u64,
    /// Outcome: fetched by this caller.
    pub(crate) loaded: u64,
    /// Outcome: an error, because this caller's fetch failed and nothing could stand in.
    pub(crate) errors: u64,
    /// Calls to the origin, background ones included.
    pub(crate) fetches: u64,
    /// Calls to the origin that failed, background ones included.
    pub(crate) failed_fetches: u64,
    /// Background refreshes started.
    pub(crate) refreshes: u64,
    /// Servable values removed for room.
    pub(crate) evictions: u64,
    /// Values served under a key that is not theirs.
    pub(crate) wrong_values: u64,
    /// The age of the oldest value served that was not fetched by its caller.
    pub(crate) max_age_ms: u64,
    /// Entries in the cache at the end.
    pub(crate) stored: u64,
}

impl Report {
    /// One JSON object on one line.
    pub(crate) fn json(&self) -> String {
        let object = serde_json::to_string(self).expect("a struct of numbers has a JSON form");
        object + "\n"
    }

    /// The same figures to be read.
    pub(crate) fn text(&self) -> String {
        let share = |count: u64| match self.accesses {
            0 => String::new(),
            all => format!("{:>8.2} %", 100.0 * count as f64 / all as f64),
        };
        let outcome = |name: &str, count: u64| format!("  {name:<24}{count:>12}{}\n", share(count));
        let figure = |name: &str, count: u64| format!("{name:<26}{count:>12}\n");
        [
            figure("accesses", self.accesses),
            outcome("fresh", self.fresh),
            outcome("stale", self.stale),
            outcome("fallback", self.fallback),
            outcome("loaded", self.loaded),
            outcome("errors", self.errors),
            figure("fetches", self.fetches),
            figure("failed fetches", self.failed_fetches),
            figure("background refreshes", self.refreshes),
            figure("evictions", self.evictions),
            figure("wrong values", self.wrong_values),
            figure("oldest value served, ms", self.max_age_ms),
            figure("stored at the end", self.stored),
        ]
        .concat()
    }
}
