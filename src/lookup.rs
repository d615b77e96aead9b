//! What a caller is to do about a key, decided in one place.
//!
//! `lookup` goes down once and comes up with an owned [`Step`]: what the caller now *is* (a hit, a
//! leader, a joiner). It runs no fetch of its key and never waits; of the user's code it runs `Eq` and
//! key clones, all before the step of the protocol that they are for; `Eq` once more where a write
//! overtook the load that it has claimed; destructors of what was displaced, once its duty has an owner; and the
//! executor, where it gives back a permit that it turns out not to need.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};

use crate::core::Core;
use crate::duty::{Claim, Load, Queued};
use crate::nest;
use crate::policy::Ask;
use crate::refresh::{Admitted, Refresher};
use crate::snapshot::{Failure, Flight, Hold, Lease, Snapshot, Ticket};
use crate::state::Phase;
use crate::stats::Count;
use crate::sync::Arc;
use crate::table::{Hashed, Place, Pos};
use crate::time::Tick;
use crate::word::Outcome::Published;

/// A refresh to start, and the leave to.
pub(crate) type Start<K, V, E, S> = (Queued<K, V, E, S>, Admitted);

/// What a caller is to do, as of `now`.
pub(crate) enum Step<K, V, E, S> {
    /// Serve this fresh value.
    Hit(Hold<K, V, E>, Tick),
    /// Serve this stale value, and start the refresh if there is one to start.
    Stale(Hold<K, V, E>, Tick, Option<Start<K, V, E, S>>),
    /// Serve this stale value: a load failed not long ago.
    BackOff(Hold<K, V, E>, Tick, Arc<Failure<E>>),
    /// Run the fetch.
    Lead(Claim<K, V, E, S>),
    /// Wait for the leader.
    Join(Ticket<K, V, E>),
    /// The leader is this thread, further up.
    Reentrant,
    /// Run the fetch, and keep nothing: every slot the key could have is taken by flights, or, where keys were chosen
    /// to share their slots, by servable values. One of them by its own key, if that one's caller is just entering.
    Uncached,
}

/// As [`Step`], of an entry whose snapshot the caller has at hand.
enum Next<K, V, E, S> {
    /// It changed: look up again.
    Again,
    Stale(Option<Start<K, V, E, S>>),
    BackOff(Arc<Failure<E>>),
    Lead(Claim<K, V, E, S>),
    Join(Ticket<K, V, E>),
    Reentrant,
}

impl<K: Eq, V, E, S> Next<K, V, E, S> {
    /// Ends the load that was to begin: a write overtook it.
    #[cold]
    fn overtaken(self, core: &Core<K, V, E, S>) -> Self {
        match self {
            Next::Lead(claim) => claim.overtaken(core),
            Next::Stale(Some((queued, _admitted))) => queued.overtaken(),
            _ => {}
        }
        Next::Again
    }
}

impl<K, V, E, S> Core<K, V, E, S>
where
    K: Hash + Eq + Clone,
    S: BuildHasher,
{
    /// What a caller is to do about a key. Counts nothing.
    pub(crate) fn lookup<Q>(core: &Arc<Self>, hashed: Hashed, key: &Q, ask: Ask) -> Step<K, V, E, S>
    where
        K: Borrow<Q>,
        Q: Eq + ToOwned<Owned = K> + ?Sized,
    {
        loop {
            let found = core.table.find(hashed, key);
            let now = core.clock.now();
            let Some((pos, held)) = found else {
                let entry = core.table.entry(hashed, key, || key.to_owned(), now);
                let Some((pos, s)) = entry else { return Step::Uncached };
                if s.has_value() {
                    // Published since the search above: it may be fresh.
                    continue;
                }
                let next = Core::approach(core, pos, &s, ask, now);
                // Here, not on return: what is half returned when a destructor panics is leaked, and
                // so would be a duty.
                drop(s);
                match next {
                    Next::Lead(claim) => return Step::Lead(claim),
                    Next::Join(ticket) => return Step::Join(ticket),
                    Next::Reentrant => return Step::Reentrant,
                    Next::Again => continue,
                    Next::Stale(_) | Next::BackOff(..) => {
                        unreachable!("nothing is served from a placeholder")
                    }
                }
            };
            core.table.touch(pos);
            if held.is_fresh(now) {
                return Step::Hit(held, now);
            }
            match Core::approach(core, pos, held.arc(), ask, now) {
                Next::Again => {}
                Next::Stale(queued) => return Step::Stale(held, now, queued),
                Next::BackOff(why) => return Step::BackOff(held, now, why),
                Next::Lead(claim) => {
                    // As above.
                    drop(held);
                    return Step::Lead(claim);
                }
                Next::Join(ticket) => {
                    // As above: the ticket may be the last to hold its flight.
                    drop(held);
                    return Step::Join(ticket);
                }
                Next::Reentrant => return Step::Reentrant,
            }
        }
    }

    /// What is to be done about an entry whose snapshot `s` is not fresh.
    fn approach(
        core: &Arc<Self>,
        pos: Pos,
        s: &Arc<Snapshot<K, V, E>>,
        ask: Ask,
        now: Tick,
    ) -> Next<K, V, E, S> {
        let deadlines = s.has_value().then(|| s.deadlines(core.table.late()));
        let at_once = deadlines.is_some_and(|d| d.at_once(ask, now));
        if at_once && s.word.in_flight() {
            return Next::Stale(None);
        }
        let (over, before) = match s.word.phase() {
            Phase::Tentative | Phase::Killed => return Next::Again,
            Phase::Closed => {
                core.table.finish(pos, s, now);
                return Next::Again;
            }
            Phase::Flight(flight) => return Core::join(core, pos, s, flight, at_once),
            Phase::Done(flight) => match (flight.on_record(), deadlines) {
                (Some(why), Some(deadlines)) if deadlines.backs_off(ask, now, why.retry_at) => {
                    return Next::BackOff(why);
                }
                (before, _) => (Some(flight), before),
            },
            Phase::Idle => (None, None),
        };
        let admitted = if at_once { Refresher::admit(&core.refresher) } else { None };
        if at_once && admitted.is_none() {
            if !core.refresher.is_closed() {
                core.counters.add(Count::Skipped);
            }
            return Next::Stale(None);
        }
        // Everything of the user's, and every allocation, comes before the claim; but for the comparison
        // where a write overtook it, by when the duty has its owner.
        let key = s.key.clone();
        let place = Place::of(pos, s);
        let flight = if at_once { Flight::queued(before) } else { Flight::running(before) };
        let Some(displaced) = s.word.claim(over.as_ref(), &flight) else { return Next::Again };
        // The displaced failure's destructor may ask for this key, whose leader this thread may be by now.
        let leads = (over.is_some() && admitted.is_none()).then(|| Arc::clone(&flight));
        let load = Load { core: Arc::downgrade(core), place, key, hash: s.hash };
        let mut next = match admitted {
            Some(admitted) => Next::Stale(Some((Queued::new(flight, load), admitted))),
            None => Next::Lead(Claim::new(Lease::of(flight), load)),
        };
        if !core.table.is_current(pos, Arc::as_ptr(s)) {
            next = next.overtaken(core);
        } else if matches!(&next, Next::Stale(Some((_, admitted))) if admitted.must_queue()) {
            core.counters.add(Count::Queued);
        }
        // The displaced flight's destructor may be the user's: the duty has its owner by now.
        let inside = leads.as_deref().map(nest::enter);
        drop((displaced, over));
        drop(inside);
        drop(leads);
        next
    }

    /// What is to be done about an entry somebody else loads.
    fn join(
        core: &Arc<Self>,
        pos: Pos,
        s: &Arc<Snapshot<K, V, E>>,
        flight: Arc<Flight<K, V, E>>,
        at_once: bool,
    ) -> Next<K, V, E, S> {
        if !flight.is_pending() {
            if !matches!(flight.outcome(), Some(Published(_))) {
                s.word.end(&flight);
            }
            return Next::Again;
        }
        if at_once {
            return Next::Stale(None);
        }
        if flight.is_queued() {
            let key = s.key.clone();
            let place = Place::of(pos, s);
            let load = Load { core: Arc::downgrade(core), place, key, hash: s.hash };
            let Some(lease) = Flight::start(&flight) else { return Next::Again };
            let next = Next::Lead(Claim::new(lease, load));
            // As after a claim. What has ended it meanwhile replaced `s` before.
            let is_current = core.table.is_current(pos, Arc::as_ptr(s));
            return if is_current { next } else { next.overtaken(core) };
        }
        if nest::is_inside(&*flight) {
            return Next::Reentrant;
        }
        Next::Join(Ticket::on(flight))
    }
}
