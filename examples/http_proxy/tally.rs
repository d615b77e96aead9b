//! How many requests were answered how.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::cache_status::{Handling, WhyForwarded, WhyStale};

/// How a request was answered, in the words of the page and the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Hit,
    Stale,
    Fallback,
    Miss,
    /// Not the cache's business.
    Pass,
    /// With an error.
    Failed,
}

impl Outcome {
    pub(crate) const ALL: [Self; 6] =
        [Self::Hit, Self::Stale, Self::Fallback, Self::Miss, Self::Pass, Self::Failed];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Fallback => "fallback",
            Self::Miss => "miss",
            Self::Pass => "pass",
            Self::Failed => "failed",
        }
    }

    /// What a request that was answered, and not with an error, counts as. Back-off is the time after a
    /// failure: what is served then is served because of it.
    pub(crate) fn of(handling: &Handling) -> Self {
        match handling {
            Handling::Hit { .. } => Self::Hit,
            Handling::Stale { why: WhyStale::WhileRevalidate, .. } => Self::Stale,
            Handling::Stale { why: WhyStale::BackOff, .. } | Handling::Fallback { .. } => {
                Self::Fallback
            }
            Handling::Forwarded { why: WhyForwarded::Method | WhyForwarded::Bypass, .. } => {
                Self::Pass
            }
            Handling::Forwarded { .. } => Self::Miss,
        }
    }
}

#[derive(Default)]
pub(crate) struct Tally([AtomicU64; Outcome::ALL.len()]);

impl Tally {
    pub(crate) fn add(&self, outcome: Outcome) {
        // Relaxed: a count, which publishes nothing.
        self.0[outcome as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn of(&self, outcome: Outcome) -> u64 {
        // Relaxed: as above.
        self.0[outcome as usize].load(Relaxed)
    }
}
