//! Running a load: the leader's fetch, the hooks that judge its result, and the end of its flight.
//!
//! The order is the contract: fetch, then `lifetime` and `weigher` (or `verdict`), then the end of
//! the flight, then `on_error` or `on_panic`. None of it runs inside a step of the protocol, and a
//! panic anywhere before the end counts as a failed fetch.

use std::any::Any;
use std::hash::{BuildHasher, Hash};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::core::{Core, Settings};
use crate::duty::{Claim, Ended};
use crate::error::Error;
use crate::nest;
use crate::panics::{First, beside, contain, drop_payload};
use crate::policy::{Late, Verdict, fresh_until};
use crate::snapshot::{Draft, Failure};
use crate::stats::Count;
use crate::sync::Arc;

/// A caught panic.
pub(crate) type Panic = Box<dyn Any + Send>;
/// What a fetch did.
pub(crate) type Fetched<V, E> = Result<Result<V, E>, Panic>;

/// Runs `fetch` for the claim, as this thread's own flight.
pub(crate) fn fetch<K, V, E, S>(
    claim: &Claim<K, V, E, S>,
    fetch: impl FnOnce(&K) -> Result<V, E>,
) -> Fetched<V, E> {
    let _inside = nest::enter(&**claim.flight());
    catch_unwind(AssertUnwindSafe(|| fetch(claim.key())))
}

/// Polls `fetch` for the claim: the flight is this thread's own while that takes.
pub(crate) fn poll<K, V, E, S>(
    claim: &Claim<K, V, E, S>,
    fetch: Pin<&mut Option<impl Future<Output = Result<V, E>>>>,
    cx: &mut Context<'_>,
) -> Poll<Fetched<V, E>> {
    let _inside = nest::enter(&**claim.flight());
    poll_unclaimed(fetch, cx)
}

/// Polls `fetch`. What is over is dropped at once, since its destructor is the fetch's too.
pub(crate) fn poll_unclaimed<V, E>(
    mut fetch: Pin<&mut Option<impl Future<Output = Result<V, E>>>>,
    cx: &mut Context<'_>,
) -> Poll<Fetched<V, E>> {
    let polled = catch_unwind(AssertUnwindSafe(|| {
        let Some(running) = fetch.as_mut().as_pin_mut() else {
            unreachable!("what is over is not polled again")
        };
        let polled = running.poll(cx);
        if polled.is_ready() {
            fetch.set(None);
        }
        polled
    }));
    match polled {
        Ok(polled) => polled.map(Ok),
        Err(panic) => {
            contain(|| fetch.set(None));
            Poll::Ready(Err(panic))
        }
    }
}

/// Ends the claim's flight with what its fetch did. A panic, of the fetch or of a hook before the
/// end, is told and given back: in the foreground it goes on.
pub(crate) fn end<K, V, E, S>(
    core: &Core<K, V, E, S>,
    claim: Claim<K, V, E, S>,
    fetched: Fetched<V, E>,
) -> (Ended<K, V, E>, Option<Panic>)
where
    K: Hash + Eq + Clone,
    S: BuildHasher,
{
    // Hooks, and destructors of what others displaced, may ask for the key too.
    let inside = nest::enter(&**claim.flight());
    let mut failed = None;
    let judged = match fetched {
        Err(panic) => Err(panic),
        Ok(Ok(value)) => {
            let draft = || Ok(core.draft(claim.hash(), claim.key(), value));
            catch_unwind(AssertUnwindSafe(draft))
        }
        Ok(Err(error)) => {
            let error = failed.insert(Arc::new(error));
            catch_unwind(AssertUnwindSafe(|| core.verdict(error)))
                .map(|verdict| Err((Error::Fetch(Arc::clone(error)), verdict)))
        }
    };
    let (failure, verdict, panic) = match judged {
        Ok(Ok(draft)) => {
            core.counters.add(Count::Loads);
            let ended = claim.publish(core, draft);
            drop(inside);
            return (ended, None);
        }
        Ok(Err((error, verdict))) => (error, verdict, None),
        Err(panic) => {
            core.counters.add(Count::Panics);
            (Error::Panicked, Verdict::ServeStale, Some(panic))
        }
    };
    let failure = core.failure(&claim, failure, verdict);
    let (mut hooks, mut destructors) = (First::default(), First::default());
    let (ended, key) = claim.fail(core, failure, verdict == Verdict::Remove, &mut destructors);
    drop(inside);
    if let Some(error) = &failed {
        hooks.of(|| core.tell_error(&key, error));
    }
    if let Some(panic) = &panic {
        hooks.of(|| core.tell_panic(&key, panic));
    }
    // Here and not at the end: what a panicking destructor meets half returned, it leaks.
    destructors.of(|| drop(key));
    destructors.of(|| drop(failed));
    // A hook's goes before the fetch's, and that before those of destructors.
    let first = if panic.is_some() {
        destructors.let_go();
        hooks
    } else {
        hooks.or(destructors)
    };
    let panic = match panic {
        Some(panic) if first.goes_on() => {
            drop_payload(panic);
            None
        }
        panic => panic,
    };
    (ended.behind(first), panic)
}

/// As `end`, of a refresh, whose outcome and panic go no further.
pub(crate) fn end_refresh<K, V, E, S>(
    core: &Core<K, V, E, S>,
    claim: Claim<K, V, E, S>,
    fetched: Fetched<V, E>,
) where
    K: Hash + Eq + Clone,
    S: BuildHasher,
{
    let (Ended { outcome, flight }, panic) = end(core, claim, fetched);
    // Nobody else may hold these.
    panic.into_iter().for_each(drop_payload);
    let mut first = First::default();
    first.of(|| drop(outcome));
    first.of(|| drop(flight));
    first.go_on();
}

impl<K, V, E, S> Core<K, V, E, S>
where
    K: Hash + Eq + Clone,
    S: BuildHasher,
{
    /// A value with its weight and deadlines, as of now. Runs `weigher` and `lifetime`.
    pub(crate) fn draft(&self, hash: u32, key: &K, value: V) -> Draft<V> {
        let Settings { hooks, ttl, jitter, .. } = &self.settings;
        let (value, (weight, lifetime)) = beside(value, |value| {
            let weight = hooks.weigher.as_ref().map_or(0, |weigher| weigher(key, value));
            (weight, hooks.lifetime.as_ref().map(|lifetime| lifetime(key, value)))
        });
        let lifetime = lifetime.unwrap_or_default();
        let defaults = self.table.late();
        let late = Late {
            stale_while_revalidate: lifetime
                .stale_while_revalidate
                .unwrap_or(defaults.stale_while_revalidate),
            stale_if_error: lifetime.stale_if_error.unwrap_or(defaults.stale_if_error),
        };
        let published = self.clock.now();
        let ttl = lifetime.ttl.unwrap_or(*ttl);
        let seed = (u64::from(hash) << 32).wrapping_add(published.bits());
        Draft {
            value,
            weight,
            published,
            fresh_until: fresh_until(published, ttl, *jitter, seed),
            late: (late != *defaults).then(|| Box::new(late)),
        }
    }

    pub(crate) fn verdict(&self, error: &E) -> Verdict {
        self.settings.hooks.verdict.as_ref().map_or(Verdict::ServeStale, |verdict| verdict(error))
    }

    fn failure(&self, claim: &Claim<K, V, E, S>, error: Error<E>, verdict: Verdict) -> Failure<E> {
        self.counters.add(Count::Failures);
        let before = claim.flight().before.as_ref().map_or(0, |before| before.attempts);
        let masked = verdict == Verdict::ServeStale;
        let attempts = before.saturating_add(1);
        let back_off = Some(self.settings.back_off.after(attempts));
        // None, and not one that is over: the clock may step back.
        let back_off = back_off.filter(|d| masked && !d.is_zero());
        let retry_at = back_off.map(|d| self.clock.now().after(d));
        Failure { error, masked, retry_at, attempts }
    }

    pub(crate) fn tell_error(&self, key: &K, error: &E) {
        if let Some(on_error) = &self.settings.hooks.on_error {
            on_error(key, error);
        }
    }

    pub(crate) fn tell_panic(&self, key: &K, panic: &Panic) {
        if let Some(on_panic) = &self.settings.hooks.on_panic {
            let message = panic
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            on_panic(key, message.unwrap_or("a panic without a message"));
        }
    }
}
