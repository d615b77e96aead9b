//! What a caller is answered once its load is over: the same for blocking and async callers.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::core::Core;
use crate::error::Error;
use crate::served::{Hold, Served, Why};
use crate::snapshot::{Failure, Flight, Outcome, Snapshot};
use crate::stats::Count;
use crate::sync::Arc;
use crate::table::Hashed;
use crate::word::Outcome::{Abandoned, Failed, Published};

/// What the `get` family returns, but for how the value is handed out.
pub(crate) type Answer<K, V, E> = Result<Served<K, V, E>, Error<E>>;

impl<K, V, E, S> Core<K, V, E, S>
where
    K: Hash + Eq + Clone,
    S: BuildHasher,
{
    /// What a flight's outcome is worth to one of its callers; `None` when it was given up.
    pub(crate) fn outcome<Q>(
        &self,
        hashed: Hashed,
        key: &Q,
        outcome: Outcome<K, V, E>,
        flight: Arc<Flight<K, V, E>>,
    ) -> Option<Answer<K, V, E>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        match outcome {
            Published(s) => {
                // Published for this caller, yet no longer fresh if its time to live was nothing, or
                // this joiner slow.
                let now = self.clock.now();
                let why = if s.is_fresh(now) { Why::Fresh } else { Why::Stale };
                Some(Ok(Served::new(Hold::Shared(s), now, why, Some(flight))))
            }
            Failed(why) => {
                let Failure { error, masked, .. } = &*why;
                Some(if *masked {
                    self.cover(hashed, key, error.clone(), Some(flight))
                } else {
                    Err(error.clone())
                })
            }
            Abandoned => None,
        }
    }

    /// Covers an error with what is in the cache at this moment, if a window allows it.
    pub(crate) fn cover<Q>(
        &self,
        hashed: Hashed,
        key: &Q,
        error: Error<E>,
        flight: Option<Arc<Flight<K, V, E>>>,
    ) -> Answer<K, V, E>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let Some((_, held)) = self.table.find(hashed, key) else { return Err(error) };
        let now = self.clock.now();
        if held.is_fresh(now) {
            return Ok(Served::hit(held, now));
        }
        if !held.deadlines(self.table.late()).falls_back(now) {
            return Err(error);
        }
        Ok(Served::new(Hold::Guard(held), now, Why::Fallback(error), flight))
    }

    /// Runs a fetch whose value has no place in the table.
    pub(crate) fn uncached<F>(&self, key: K, hashed: Hashed, fetch: F) -> Answer<K, V, E>
    where
        F: FnOnce(&K) -> Result<V, E>,
    {
        self.counters.add(Count::Uncached);
        match catch_unwind(AssertUnwindSafe(|| fetch(&key).map(|value| self.draft(&key, value)))) {
            Ok(Ok(draft)) => {
                self.counters.add(Count::Loads);
                let now = draft.published;
                let s = Snapshot::new(hashed.upper(), key, draft);
                let why = if s.is_fresh(now) { Why::Fresh } else { Why::Stale };
                Ok(Served::new(Hold::Shared(s), now, why, None))
            }
            Ok(Err(error)) => {
                self.counters.add(Count::Failures);
                self.tell_error(&key, &error);
                Err(Error::Fetch(Arc::new(error)))
            }
            Err(panic) => {
                self.counters.add(Count::Failures);
                self.counters.add(Count::Panics);
                self.tell_panic(&key, &panic);
                resume_unwind(panic)
            }
        }
    }
}
