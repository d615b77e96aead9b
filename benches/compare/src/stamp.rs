//! The time of every candidate: one coarse clock, and deadlines beside the values of those that know no TTL.

use std::time::Duration;
#[cfg(not(target_os = "linux"))]
use std::{sync::OnceLock, time::Instant};

/// A lifetime that no run outlasts, and that every candidate is asked to honour.
pub(crate) const TTL: Duration = Duration::from_secs(24 * 3600);

/// Nanoseconds on the kernel's coarse monotonic clock where there is one, as in the cache.
#[inline]
pub(crate) fn coarse() -> u64 {
    #[cfg(target_os = "linux")]
    {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
        now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
    }
    #[cfg(not(target_os = "linux"))]
    {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        ORIGIN.get_or_init(Instant::now).elapsed().as_nanos() as u64
    }
}

/// What a candidate without a TTL of its own holds in place of a value.
pub(crate) trait Stamp<V>: Clone + Send + Sync + 'static {
    fn now() -> u64;
    fn put(value: V) -> Self;
    /// The value, if it is fresh.
    fn fresh(&self, now: u64) -> Option<&V>;
}

/// A value and its deadline.
#[derive(Clone)]
pub(crate) struct Dated<V> {
    value: V,
    until: u64,
}

impl<V: Clone + Send + Sync + 'static> Stamp<V> for Dated<V> {
    #[inline]
    fn now() -> u64 {
        coarse()
    }

    #[inline]
    fn put(value: V) -> Self {
        Self { value, until: coarse() + TTL.as_nanos() as u64 }
    }

    #[inline]
    fn fresh(&self, now: u64) -> Option<&V> {
        (now < self.until).then_some(&self.value)
    }
}

/// A value for ever: what a candidate does by default.
#[derive(Clone)]
pub(crate) struct Bare<V>(V);

impl<V: Clone + Send + Sync + 'static> Stamp<V> for Bare<V> {
    #[inline]
    fn now() -> u64 {
        0
    }

    #[inline]
    fn put(value: V) -> Self {
        Self(value)
    }

    #[inline]
    fn fresh(&self, _now: u64) -> Option<&V> {
        Some(&self.0)
    }
}
