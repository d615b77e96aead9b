//! When the origin is well, slow, failing and well again, and the steps in which things are counted.

use std::time::{Duration, Instant};

/// What the origin is going through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Healthy,
    Slowing,
    Failing,
    Recovered,
}

impl Phase {
    pub(crate) const ALL: [Self; 4] =
        [Self::Healthy, Self::Slowing, Self::Failing, Self::Recovered];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Slowing => "slowing down",
            Self::Failing => "failing",
            Self::Recovered => "recovered",
        }
    }

    /// From where to where in the timeline, as fractions of it.
    pub(crate) fn span(self) -> (f64, f64) {
        match self {
            Self::Healthy => (0.0, 0.3),
            Self::Slowing => (0.3, 0.5),
            Self::Failing => (0.5, 0.75),
            Self::Recovered => (0.75, 1.0),
        }
    }

    pub(crate) fn at(fraction: f64) -> Self {
        let begun = Self::ALL.into_iter().rev().find(|phase| fraction >= phase.span().0);
        begun.unwrap_or(Self::Healthy)
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeline {
    start: Instant,
    total: Duration,
}

impl Timeline {
    /// Steps in which things are counted and drawn; every phase is a whole number of them.
    pub(crate) const STEPS: usize = 40;

    pub(crate) fn new(start: Instant, total: Duration) -> Self {
        Self { start, total }
    }

    pub(crate) fn start(self) -> Instant {
        self.start
    }

    pub(crate) fn total(self) -> Duration {
        self.total
    }

    /// Time since the start.
    pub(crate) fn now(self) -> Duration {
        self.start.elapsed()
    }

    /// Where in the timeline `at` is, from 0 to 1.
    pub(crate) fn fraction(self, at: Duration) -> f64 {
        (at.as_secs_f64() / self.total.as_secs_f64()).min(1.0)
    }

    pub(crate) fn step(self, at: Duration) -> usize {
        let step = (self.fraction(at) * Self::STEPS as f64) as usize;
        step.min(Self::STEPS - 1)
    }

    pub(crate) fn step_length(self) -> Duration {
        self.total / Self::STEPS as u32
    }

    /// The phase that a step belongs to.
    pub(crate) fn phase_of(step: usize) -> Phase {
        Phase::at((step as f64 + 0.5) / Self::STEPS as f64)
    }
}
