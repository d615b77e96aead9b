//! Duties: what a caller took on when it claimed a key, each released by its `Drop`.
//!
//! A [`Claim`] is the leader's: run the fetch, then publish or fail. A [`Queued`] is the duty to start
//! a refresh that nobody leads yet. On return, error, panic and cancellation alike, what is not done
//! is undone: the flight ends, its joiners start over, the key is free.

use std::hash::{BuildHasher, Hash};

use crate::core::Core;
use crate::panics::{First, beside};
use crate::snapshot::{Draft, Failure, Flight, Lease, Outcome, Snapshot};
use crate::sync::{Arc, Weak};
use crate::table::{Place, Tally};
use crate::word::Outcome::Abandoned;

/// A load somebody has to run: of which key, and where its value goes.
pub(crate) struct Load<K, V, E, S> {
    /// Weak, so that a refresh that hangs keeps no cache alive.
    pub(crate) core: Weak<Core<K, V, E, S>>,
    pub(crate) place: Place<K, V, E>,
    pub(crate) key: K,
    pub(crate) hash: u32,
}

impl<K, V, E, S> Load<K, V, E, S> {
    /// Abandons its flight.
    fn give_up(self, lease: Lease<K, V, E>) {
        let Load { core, place, key, .. } = self;
        let mut first = First::default();
        first.of(|| {
            if let Some(core) = core.upgrade() {
                core.table.abandon(&place, lease);
            }
        });
        // On its own: the copy in the placeholder may have panicked.
        first.of(|| drop(key));
        first.go_on();
    }
}

/// The leader's duty. Dropping it abandons the flight and frees the key.
#[must_use]
pub(crate) struct Claim<K, V, E, S>(Option<(Lease<K, V, E>, Load<K, V, E, S>)>);

/// How a led load ended.
pub(crate) struct Ended<K, V, E> {
    /// What everybody of the flight gets.
    pub(crate) outcome: Outcome<K, V, E>,
    pub(crate) flight: Arc<Flight<K, V, E>>,
}

impl<K, V, E> Ended<K, V, E> {
    fn of(flight: Arc<Flight<K, V, E>>) -> Self {
        Ended { outcome: flight.outcome().unwrap_or(Abandoned), flight }
    }

    /// If there was a panic, goes on with it, but drops what is in here first: this may be the last to hold a value,
    /// whose destructor may panic too, and beside a panic on its way that would end the process.
    pub(crate) fn behind(self, mut first: First) -> Self {
        if first.goes_on() {
            first.of(|| drop(self.outcome));
            first.of(|| drop(self.flight));
            first.go_on();
            unreachable!("it went on")
        }
        first.go_on();
        self
    }
}

impl<K, V, E, S> Claim<K, V, E, S> {
    pub(crate) fn new(lease: Lease<K, V, E>, load: Load<K, V, E, S>) -> Self {
        Claim(Some((lease, load)))
    }

    fn parts(&self) -> &(Lease<K, V, E>, Load<K, V, E, S>) {
        match &self.0 {
            Some(parts) => parts,
            None => unreachable!("taken only by what consumes the claim"),
        }
    }

    fn take(mut self) -> (Lease<K, V, E>, Load<K, V, E, S>) {
        match self.0.take() {
            Some(parts) => parts,
            None => unreachable!("taken only by what consumes the claim"),
        }
    }

    pub(crate) fn key(&self) -> &K {
        &self.parts().1.key
    }

    pub(crate) fn hash(&self) -> u32 {
        self.parts().1.hash
    }

    /// Ends a load that a write overtook, as its second look has found.
    pub(crate) fn overtaken(self, core: &Core<K, V, E, S>)
    where
        K: Eq,
    {
        let (lease, load) = self.take();
        let (load, ()) = beside(load, |load| core.table.overtaken(&load.place, lease, &load.key));
        drop(load);
    }

    pub(crate) fn flight(&self) -> &Arc<Flight<K, V, E>> {
        self.parts().0.flight()
    }

    /// Ends the load with a value.
    pub(crate) fn publish(self, core: &Core<K, V, E, S>, draft: Draft<V>) -> Ended<K, V, E>
    where
        K: Hash + Eq + Clone,
        S: BuildHasher,
    {
        let (lease, load) = self.take();
        let flight = Arc::clone(lease.flight());
        let (now, mut tally, mut first) = (draft.published, Tally::default(), First::default());
        let n = Snapshot::new(load.hash, load.key, draft);
        let fate = core.table.publish(&load.place, lease, &n, now, &mut tally, &mut first);
        core.count(fate);
        first.of(|| drop(n));
        first.of(|| drop(tally));
        Ended::of(flight).behind(first)
    }

    /// Ends the load without one; `remove` drops the stale value too. Gives the key back. What panics meanwhile
    /// goes to `first`.
    pub(crate) fn fail(
        self,
        core: &Core<K, V, E, S>,
        failure: Failure<E>,
        remove: bool,
        first: &mut First,
    ) -> (Ended<K, V, E>, K) {
        let (lease, load) = self.take();
        let flight = Arc::clone(lease.flight());
        core.table.fail(&load.place, lease, failure, remove, first);
        (Ended::of(flight), load.key)
    }
}

impl<K, V, E, S> Drop for Claim<K, V, E, S> {
    fn drop(&mut self) {
        if let Some((lease, load)) = self.0.take() {
            load.give_up(lease);
        }
    }
}

/// A refresh that nobody has started: the duty to start it. Dropping it abandons the flight, unless
/// a caller that could not wait has taken it over.
#[must_use]
pub(crate) struct Queued<K, V, E, S> {
    flight: Arc<Flight<K, V, E>>,
    load: Option<Load<K, V, E, S>>,
}

impl<K, V, E, S> Queued<K, V, E, S> {
    pub(crate) fn new(flight: Arc<Flight<K, V, E>>, load: Load<K, V, E, S>) -> Self {
        Queued { flight, load: Some(load) }
    }

    pub(crate) fn flight(&self) -> &Arc<Flight<K, V, E>> {
        &self.flight
    }

    /// As [`Claim::overtaken`], unless somebody leads it by now.
    pub(crate) fn overtaken(self)
    where
        K: Eq,
    {
        // Who starts it looks, too.
        drop(self.start());
    }

    /// Starts it, unless it has been taken over or has ended. With the core, if there still is one.
    ///
    /// What it is to replace may be gone by now, set anew, deleted or cleared: then it ends, and only holders of
    /// handles are there to be told.
    pub(crate) fn start(mut self) -> Option<(Claim<K, V, E, S>, Weak<Core<K, V, E, S>>)>
    where
        K: Eq,
    {
        let lease = Flight::start(&self.flight)?;
        let load = self.load.take()?;
        let weak = Weak::clone(&load.core);
        let claim = Claim::new(lease, load);
        let core = weak.upgrade()?;
        let claim = if claim.parts().1.place.is_current(&core.table) {
            Some(claim)
        } else {
            claim.overtaken(&core);
            None
        };
        // The last handle may have gone meanwhile: the core's destructors, before the result is made.
        drop(core);
        Some((claim?, weak))
    }
}

impl<K, V, E, S> Drop for Queued<K, V, E, S> {
    fn drop(&mut self) {
        let Some(load) = self.load.take() else { return };
        if let Some(lease) = Flight::start(&self.flight) {
            load.give_up(lease);
        }
    }
}
