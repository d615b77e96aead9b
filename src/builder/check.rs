//! Which settings disagree, and what would be right.

use std::time::Duration;

use super::Builder;
use crate::error::BuildError;
use crate::policy::BackOff;
use crate::time::Clock;

/// The most entries a cache can be built for.
const MOST: usize = 1 << 31;
/// The most spots that a thread's hot set may have: 4 MiB.
const MOST_SPOTS: usize = 1 << 16;
/// A table of so many bytes is asked for once before it is made; where there is no room for a smaller one,
/// nothing else gets on either.
const LARGE: usize = 0x1000_0000;
/// The coarse clock's longest step on any common kernel.
const COARSE_STEP: Duration = Duration::from_millis(10);

impl<K, V, E, S> Builder<K, V, E, S> {
    /// The times that are set, by name; zero is off, not a time.
    fn times(&self) -> impl Iterator<Item = (&'static str, Duration)> {
        [
            ("ttl", self.given.ttl),
            ("stale_if_error", self.given.stale_if_error.unwrap_or_default()),
            ("stale_ttl", self.given.stale_ttl.unwrap_or_default()),
            ("stale_while_revalidate", self.given.stale_while_revalidate),
            ("back_off", self.given.back_off.first),
        ]
        .into_iter()
        .filter(|(_, d)| !d.is_zero())
    }

    pub(super) fn fits_coarse(&self, least: Duration) -> bool {
        self.hooks.lifetime.is_none() && self.times().all(|(_, d)| d >= least)
    }

    /// Whether the system gives so many bytes: said here, and not by an abort in the middle of it.
    pub(super) fn check_memory(&self, bytes: usize) -> Result<(), BuildError> {
        if bytes < LARGE || Vec::<u8>::new().try_reserve_exact(bytes).is_ok() {
            return Ok(());
        }
        let capacity = self.given.capacity;
        let why = format!(
            "capacity is {capacity}: its table takes {bytes} bytes, which the system refuses: give less"
        );
        Err(BuildError::new(&["capacity"], why))
    }

    pub(super) fn check(&self) -> Result<(), BuildError> {
        let given = &self.given;
        let refuse = |settings: &[&'static str], why: String| Err(BuildError::new(settings, why));
        if given.capacity == 0 {
            return refuse(&["capacity"], "capacity is 0: give at least 1 entry".into());
        }
        if given.capacity > MOST {
            let why = format!("capacity is {}: give at most 2^31 entries", given.capacity);
            return refuse(&["capacity"], why);
        }
        match (given.max_weight, &self.hooks.weigher) {
            (Some(_), None) => {
                let why = "max_weight without weigher: say what a value weighs, or drop max_weight";
                return refuse(&["max_weight", "weigher"], why.into());
            }
            (None, Some(_)) => {
                let why = "weigher without max_weight: give the limit, or drop weigher";
                return refuse(&["weigher", "max_weight"], why.into());
            }
            (Some(0), Some(_)) => {
                return refuse(&["max_weight"], "max_weight is 0: give at least 1".into());
            }
            _ => {}
        }
        if !(0.0..=1.0).contains(&given.jitter) {
            let why = format!("jitter is {}: give a fraction from 0.0 to 1.0", given.jitter);
            return refuse(&["jitter"], why);
        }
        if let (Some(a), Some(b)) = (given.stale_if_error, given.stale_ttl)
            && a != b
        {
            let why = format!(
                "stale_if_error is {a:?} and stale_ttl is {b:?}: they are the same setting, give one"
            );
            return refuse(&["stale_if_error", "stale_ttl"], why);
        }
        if given.back_off.first > given.back_off.cap {
            let BackOff { first, cap } = given.back_off;
            let why =
                format!("back_off starts at {first:?}, above its cap of {cap:?}: raise the cap");
            return refuse(&["back_off"], why);
        }
        let stale_if_error = given.stale_if_error.or(given.stale_ttl).unwrap_or_default();
        let no_stale = stale_if_error.is_zero() && given.stale_while_revalidate.is_zero();
        if given.back_off.first > Duration::ZERO && no_stale && self.hooks.lifetime.is_none() {
            let why = "back_off without a stale window: it serves stale values between attempts, so \
                       set stale_if_error or stale_while_revalidate, or drop back_off";
            let settings = ["back_off", "stale_if_error", "stale_while_revalidate"];
            return refuse(&settings, why.into());
        }
        if given.max_concurrent_refresh == 0 {
            let why =
                "max_concurrent_refresh is 0: give at least 1, or call close() to stop refreshes";
            return refuse(&["max_concurrent_refresh"], why.into());
        }
        if given.thread_hot_set > MOST_SPOTS {
            let why = format!(
                "thread_hot_set is {}: give at most 2^16 spots, as every thread takes them",
                given.thread_hot_set
            );
            return refuse(&["thread_hot_set"], why);
        }
        if given.clock.as_ref().is_some_and(Clock::is_coarse)
            && let Some((name, d)) = self.times().find(|(_, d)| *d < COARSE_STEP)
        {
            let why = format!(
                "clock is coarse, with steps of up to {COARSE_STEP:?}, and {name} is {d:?}: use \
                 Clock::precise()"
            );
            return refuse(&["clock", name], why);
        }
        if let Some(hook) = given.lost {
            let why = format!("error_type after {hook}: call error_type first, then set {hook}");
            return refuse(&["error_type", hook], why);
        }
        Ok(())
    }
}
