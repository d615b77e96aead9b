//! What a caller is to do, and what it is answered: the same for blocking and async callers.
//!
//! The fronts run fetches, wait and hand out; all they decide on is in here and below. So they differ
//! only in how they wait, and in how they hold what they hand out.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::core::Core;
use crate::duty::{Claim, Ended};
use crate::error::Error;
use crate::load::{self, Fetched};
use crate::lookup::{Start, Step};
use crate::nest;
use crate::panics::{beside, contain};
use crate::policy::Ask;
use crate::served::{Hold, Keep, Served, Why};
use crate::snapshot::{Flight, Outcome, Snapshot, Ticket};
use crate::stats::Count;
use crate::sync::Arc;
use crate::table::Hashed;
use crate::word::Outcome::{Abandoned, Failed, Published};

/// What the `get` family returns, but for how the value is handed out.
pub(crate) type Answer<K, V, E> = Result<Served<K, V, E>, Error<E>>;

/// What a caller asks for, and how its front holds what it gets.
pub(crate) struct Asked<'a, Q: ?Sized, K, V, E> {
    pub(crate) key: &'a Q,
    pub(crate) hashed: Hashed,
    pub(crate) ask: Ask,
    pub(crate) keep: Keep<K, V, E>,
}

/// What a front is to do next.
pub(crate) enum Turn<K, V, E, S> {
    Answer(Answer<K, V, E>),
    /// Hand this out, and start the refresh behind it.
    Start(Served<K, V, E>, Start<K, V, E, S>),
    /// Run the fetch, and come back with what it did.
    Lead(Claim<K, V, E, S>),
    /// Wait, and come back with the outcome.
    Join(Ticket<K, V, E>),
    /// Run the fetch, and keep nothing.
    Uncached,
}

impl<K, V, E, S> Core<K, V, E, S>
where
    K: Hash + Eq + Clone + 'static,
    S: BuildHasher,
{
    /// What the caller is to do. Its `first` turn is what the call counts as.
    pub(crate) fn turn<Q>(
        self: &Arc<Self>,
        asked: &Asked<'_, Q, K, V, E>,
        first: bool,
    ) -> Turn<K, V, E, S>
    where
        K: Borrow<Q>,
        Q: Eq + ToOwned<Owned = K> + ?Sized,
    {
        let step = Core::lookup(self, asked.hashed, asked.key, asked.ask);
        if first {
            self.counters.add(match &step {
                Step::Hit(..) => Count::Hits,
                Step::Stale(..) | Step::BackOff(..) => Count::StaleHits,
                _ => Count::Misses,
            });
        }
        match step {
            Step::Hit(held, now) => Turn::Answer(Ok(Served::hit((asked.keep)(held), now))),
            Step::Stale(held, now, to_start) => {
                let flight = to_start.as_ref().map(|(queued, _)| Arc::clone(queued.flight()));
                let served = Served::new((asked.keep)(held), now, Why::Stale, flight);
                match to_start {
                    Some(to_start) => Turn::Start(served, to_start),
                    None => Turn::Answer(Ok(served)),
                }
            }
            Step::BackOff(held, now, why) => {
                Turn::Answer(Ok(Served::new((asked.keep)(held), now, Why::BackOff(why), None)))
            }
            Step::Lead(claim) => Turn::Lead(claim),
            Step::Join(ticket) => {
                self.counters.add(Count::Joins);
                Turn::Join(ticket)
            }
            Step::Reentrant => Turn::Answer(self.reentrant(asked)),
            Step::Uncached if nest::is_uncached(&**self, |own: &K| own.borrow() == asked.key) => {
                Turn::Answer(self.reentrant(asked))
            }
            Step::Uncached => {
                self.counters.add(Count::Uncached);
                Turn::Uncached
            }
        }
    }

    /// Ends the load that the caller led; a panic of its fetch goes on here, once the key is free.
    pub(crate) fn led<Q>(
        &self,
        asked: &Asked<'_, Q, K, V, E>,
        claim: Claim<K, V, E, S>,
        fetched: Fetched<V, E>,
    ) -> Answer<K, V, E>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let (Ended { outcome, flight }, panic) = load::end(self, claim, fetched);
        if let Some(panic) = panic {
            // Nobody else may hold these: a second panic would end the process.
            contain(|| drop(outcome));
            contain(|| drop(flight));
            resume_unwind(panic);
        }
        self.outcome(asked, outcome, flight).unwrap_or(Err(Error::Closed))
    }

    /// What a flight's outcome is worth to one of its callers; `None` when it was given up.
    pub(crate) fn outcome<Q>(
        &self,
        asked: &Asked<'_, Q, K, V, E>,
        outcome: Outcome<K, V, E>,
        flight: Arc<Flight<K, V, E>>,
    ) -> Option<Answer<K, V, E>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        match outcome {
            Published(s) => Some(Ok(self.loaded(s, Some(flight)))),
            Failed(why) => {
                // What runs a destructor of the user's goes before the result is made, here and in `cover`: should it
                // panic, a result made before would leak.
                let (error, masked) = (why.error.clone(), why.masked);
                drop(why);
                Some(if masked {
                    self.cover(asked, error, Some(flight))
                } else {
                    drop(flight);
                    Err(error)
                })
            }
            Abandoned => None,
        }
    }

    /// What was published for this caller, and yet is no longer fresh if its time to live was nothing,
    /// or this joiner slow.
    fn loaded(
        &self,
        s: Arc<Snapshot<K, V, E>>,
        flight: Option<Arc<Flight<K, V, E>>>,
    ) -> Served<K, V, E> {
        let now = self.clock.now();
        let why = if s.is_fresh(now) { Why::Fresh } else { Why::Stale };
        Served::new(Hold::Shared(s), now, why, flight)
    }

    /// What a caller is answered who would wait for itself.
    pub(crate) fn reentrant<Q>(&self, asked: &Asked<'_, Q, K, V, E>) -> Answer<K, V, E>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        self.cover(asked, Error::Reentrant, None)
    }

    /// Covers an error with what is in the cache at this moment, if a window allows it.
    fn cover<Q>(
        &self,
        asked: &Asked<'_, Q, K, V, E>,
        error: Error<E>,
        flight: Option<Arc<Flight<K, V, E>>>,
    ) -> Answer<K, V, E>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let Some((_, held)) = self.table.find(asked.hashed, asked.key) else {
            drop(flight);
            return Err(error);
        };
        let now = self.clock.now();
        if held.is_fresh(now) {
            return Ok(Served::new((asked.keep)(held), now, Why::Fresh, flight));
        }
        if !held.deadlines(self.table.late()).falls_back(now) {
            drop((held, flight));
            return Err(error);
        }
        Ok(Served::new((asked.keep)(held), now, Why::Fallback(error), flight))
    }

    /// Ends a load whose value has no place in the table.
    pub(crate) fn uncached(
        &self,
        hashed: Hashed,
        key: Arc<K>,
        fetched: Fetched<V, E>,
    ) -> Answer<K, V, E> {
        let Some(key) = Arc::into_inner(key) else { unreachable!("its fetch is over") };
        let drafted = fetched.and_then(|fetched| {
            let draft = |value| self.draft(hashed.upper(), &key, value);
            catch_unwind(AssertUnwindSafe(|| fetched.map(draft)))
        });
        match drafted {
            Ok(Ok(draft)) => {
                self.counters.add(Count::Loads);
                Ok(self.loaded(Snapshot::new(hashed.upper(), key, draft), None))
            }
            Ok(Err(error)) => {
                self.counters.add(Count::Failures);
                let (error, ()) = beside(error, |error| {
                    let (key, ()) = beside(key, |key| self.tell_error(key, error));
                    drop(key);
                });
                Err(Error::Fetch(Arc::new(error)))
            }
            Err(panic) => {
                self.counters.add(Count::Failures);
                self.counters.add(Count::Panics);
                let (panic, ()) = beside(panic, |panic| {
                    let (key, ()) = beside(key, |key| self.tell_panic(key, panic));
                    contain(|| drop(key));
                });
                resume_unwind(panic)
            }
        }
    }
}
