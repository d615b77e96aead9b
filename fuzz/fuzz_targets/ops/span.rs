//! Lengths of time whose sums often meet, and the far end of time.

use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};
use lastcache::ManualClock;

/// One of a few lengths of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

const SPANS: [Duration; 10] = [
    Duration::ZERO,
    Duration::from_nanos(1),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(3),
    Duration::from_secs(7),
    Duration::from_secs(60),
    // Half of the clock's range: two of them are its end, or a nanosecond less.
    Duration::from_nanos(u64::MAX / 2),
    Duration::from_secs(u64::MAX),
    Duration::MAX,
];

impl Arbitrary<'_> for Span {
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        Ok(Self(*u.choose(&SPANS)?))
    }
}

/// The cache counts nanoseconds in 64 bits, of which the last stands for never; so the last instant
/// that it can show is the one before.
pub const NEVER: Duration = Duration::from_nanos(u64::MAX - 1);

/// What the cache takes the time to be.
pub fn now(clock: &ManualClock) -> Duration {
    clock.now().min(NEVER - Duration::from_nanos(1))
}

/// Moves the time back, at most to the origin.
pub fn back(clock: &ManualClock, span: Duration) {
    clock.set(clock.now().saturating_sub(span));
}
