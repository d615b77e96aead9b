//! The core: what a caller is to do about a key, decided in one place.
//!
//! `lookup` goes down once and comes up with an owned [`Step`]: what the caller now *is* (a hit, a
//! leader, a joiner). It runs no fetch and never waits; of the user's code it runs `Hash`, `Eq` and
//! key clones, all before the step of the protocol that they are for.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::time::Duration;

use crate::duty::{Claim, Load, Queued};
use crate::nest;
use crate::policy::{Ask, BackOff, Lifetime, Verdict};
use crate::refresh::{Admitted, Refresher};
use crate::snapshot::{Draft, Failure, Flight, Hold, Lease, Snapshot, Ticket};
use crate::state::Phase;
use crate::stats::{Count, Counters};
use crate::sync::{Arc, Loaded};
use crate::table::{Fate, Hashed, Place, Table, Tally};
use crate::time::{Clock, Tick};
use crate::word::Outcome::{Failed, Published};

/// Says what an error means.
pub(crate) type Judge<E> = dyn Fn(&E) -> Verdict + Send + Sync;
/// Decides a value's windows.
pub(crate) type Span<K, V> = dyn Fn(&K, &V) -> Lifetime + Send + Sync;
/// Weighs a value.
pub(crate) type Weigher<K, V> = dyn Fn(&K, &V) -> u32 + Send + Sync;
/// Is told of something that happened to a key.
pub(crate) type Listener<K, T> = dyn Fn(&K, &T) + Send + Sync;

/// The user's hooks, each optional.
pub(crate) struct Hooks<K, V, E> {
    pub(crate) verdict: Option<Box<Judge<E>>>,
    pub(crate) lifetime: Option<Box<Span<K, V>>>,
    pub(crate) weigher: Option<Box<Weigher<K, V>>>,
    pub(crate) on_error: Option<Box<Listener<K, E>>>,
    pub(crate) on_panic: Option<Box<Listener<K, str>>>,
}

/// What the builder settled.
pub(crate) struct Settings<K, V, E> {
    pub(crate) ttl: Duration,
    pub(crate) jitter: f64,
    pub(crate) back_off: BackOff,
    pub(crate) hooks: Hooks<K, V, E>,
}

/// Everything behind a cache's handles.
pub(crate) struct Core<K, V, E, S> {
    pub(crate) hasher: S,
    pub(crate) clock: Clock,
    pub(crate) settings: Settings<K, V, E>,
    pub(crate) table: Table<K, V, E>,
    pub(crate) counters: Counters,
    pub(crate) refresher: Arc<Refresher>,
}

/// A refresh to start, and the leave to.
pub(crate) type Start<K, V, E, S> = (Queued<K, V, E, S>, Admitted);

/// What a caller is to do, as of `now`.
pub(crate) enum Step<K, V, E, S> {
    /// Serve this fresh value.
    Hit(Hold<K, V, E>, Tick),
    /// Serve this stale value, and start the refresh if there is one to start.
    Stale(Hold<K, V, E>, Tick, Option<Start<K, V, E, S>>),
    /// Serve this stale value: a load failed not long ago.
    BackOff(Hold<K, V, E>, Tick, Arc<Flight<K, V, E>>, Arc<Failure<E>>),
    /// Run the fetch.
    Lead(Claim<K, V, E, S>),
    /// Wait for the leader.
    Join(Ticket<K, V, E>),
    /// The leader is this thread, further up.
    Reentrant,
    /// Run the fetch, and keep nothing: every slot the key could have is taken by flights.
    Uncached,
}

/// As [`Step`], of an entry whose snapshot the caller has at hand.
enum Next<K, V, E, S> {
    /// It changed: look up again.
    Again,
    Stale(Option<Start<K, V, E, S>>),
    BackOff(Arc<Flight<K, V, E>>, Arc<Failure<E>>),
    Lead(Claim<K, V, E, S>),
    Join(Ticket<K, V, E>),
    Reentrant,
}

impl<K, V, E, S> Core<K, V, E, S>
where
    K: Hash + Eq + Clone,
    S: BuildHasher,
{
    #[inline]
    pub(crate) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> Hashed {
        Hashed::of(&self.hasher, key)
    }

    /// The fresh value of a key, where it is found at once: the whole of a hit.
    #[inline]
    pub(crate) fn hit<Q>(&self, hashed: Hashed, key: &Q) -> (Loaded<Snapshot<K, V, E>>, Tick)
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        // The clock first: its loads overlap with those of the bucket, and not with what comes after
        // the first read-modify-write.
        let now = self.clock.now();
        let loaded = self.table.hit(hashed, key, now);
        if loaded.get().is_some() {
            self.counters.add(Count::Hits);
        }
        (loaded, now)
    }

    /// The value of a key if some window still covers it.
    pub(crate) fn servable<Q>(&self, key: &Q) -> Option<(Hold<K, V, E>, Tick)>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let (_, held) = self.table.find(self.hash(key), key)?;
        let now = self.clock.now();
        held.servable(self.table.late(), now).then_some((held, now))
    }

    /// What a caller is to do about a key. Counts nothing.
    pub(crate) fn lookup<Q>(self: &Arc<Self>, hashed: Hashed, key: &Q, ask: Ask) -> Step<K, V, E, S>
    where
        K: Borrow<Q>,
        Q: Eq + ToOwned<Owned = K> + ?Sized,
    {
        loop {
            let found = self.table.find(hashed, key);
            let now = self.clock.now();
            let Some((pos, held)) = found else {
                let entry = self.table.entry(hashed, key, || key.to_owned(), now);
                let Some((pos, s)) = entry else { return Step::Uncached };
                if s.has_value() {
                    // Published since the search above: it may be fresh.
                    continue;
                }
                let place = || Place::of(pos, &s);
                match self.approach(place, &s, ask, now) {
                    Next::Lead(claim) => return Step::Lead(claim),
                    Next::Join(ticket) => return Step::Join(ticket),
                    Next::Reentrant => return Step::Reentrant,
                    Next::Again => continue,
                    Next::Stale(_) | Next::BackOff(..) => {
                        unreachable!("nothing is served from a placeholder")
                    }
                }
            };
            if held.is_fresh(now) {
                self.table.touch(pos);
                return Step::Hit(held, now);
            }
            let next = self.approach(|| Place::of(pos, held.arc()), held.arc(), ask, now);
            if !matches!(next, Next::Again) {
                self.table.touch(pos);
            }
            match next {
                Next::Again => {}
                Next::Stale(queued) => return Step::Stale(held, now, queued),
                Next::BackOff(flight, why) => return Step::BackOff(held, now, flight, why),
                Next::Lead(claim) => return Step::Lead(claim),
                Next::Join(ticket) => return Step::Join(ticket),
                Next::Reentrant => return Step::Reentrant,
            }
        }
    }

    /// What is to be done about an entry whose snapshot `s` is not fresh.
    fn approach(
        self: &Arc<Self>,
        place: impl Fn() -> Place<K, V, E>,
        s: &Arc<Snapshot<K, V, E>>,
        ask: Ask,
        now: Tick,
    ) -> Next<K, V, E, S> {
        let deadlines = s.has_value().then(|| s.deadlines(self.table.late()));
        let at_once = deadlines.is_some_and(|d| d.at_once(ask, now));
        if at_once && s.word.in_flight() {
            return Next::Stale(None);
        }
        let (over, failures) = match s.word.phase() {
            Phase::Tentative | Phase::Killed => return Next::Again,
            Phase::Closed => {
                self.table.finish(&place(), s);
                return Next::Again;
            }
            Phase::Flight(flight) => return self.join(place, s, flight, at_once),
            Phase::Done(flight) => match flight.outcome() {
                Some(Failed(why)) => {
                    if deadlines.is_some_and(|d| d.backs_off(ask, now, why.retry_at)) {
                        return Next::BackOff(flight, why);
                    }
                    (Some(flight), why.attempts)
                }
                _ => (Some(flight), 0),
            },
            Phase::Idle => (None, 0),
        };
        let admitted = if at_once { self.refresher.admit() } else { None };
        if at_once && admitted.is_none() {
            if !self.refresher.is_closed() {
                self.counters.add(Count::Skipped);
            }
            return Next::Stale(None);
        }
        // Everything of the user's, and every allocation, comes before the claim.
        let key = s.key.clone();
        let place = place();
        let flight = if at_once { Flight::queued(failures) } else { Flight::running(failures) };
        if !self.table.claim(&place, s, over.as_ref(), &flight) {
            return Next::Again;
        }
        let load = Load { core: Arc::downgrade(self), place, key, hash: s.hash };
        match admitted {
            Some(admitted) => {
                if admitted.must_queue() {
                    self.counters.add(Count::Queued);
                }
                Next::Stale(Some((Queued::new(flight, load), admitted)))
            }
            None => Next::Lead(Claim::new(Lease::of(flight), load)),
        }
    }

    /// What is to be done about an entry somebody else loads.
    fn join(
        self: &Arc<Self>,
        place: impl Fn() -> Place<K, V, E>,
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
            let load = Load { core: Arc::downgrade(self), place: place(), key, hash: s.hash };
            return match Flight::start(&flight) {
                Some(lease) => Next::Lead(Claim::new(lease, load)),
                None => Next::Again,
            };
        }
        if nest::is_inside(&*flight) {
            return Next::Reentrant;
        }
        Next::Join(Ticket::on(flight))
    }

    /// Publishes a value at once.
    pub(crate) fn set(&self, key: K, draft: Draft<V>, now: Tick) -> Fate {
        let hashed = self.hash(&key);
        let n = Snapshot::new(hashed.upper(), key, draft);
        let (fate, tally) = self.table.set(hashed, n, now);
        self.count(fate, &tally);
        fate
    }

    pub(crate) fn count(&self, fate: Fate, tally: &Tally) {
        match fate {
            Fate::Stored => {}
            Fate::Late => self.counters.add(Count::LateLoads),
            Fate::NoRoom => self.counters.add(Count::NotStored),
        }
        if tally.evicted > 0 {
            self.counters.add_many(Count::Evictions, tally.evicted);
        }
    }
}

impl<K, V, E, S> Drop for Core<K, V, E, S> {
    fn drop(&mut self) {
        self.refresher.close();
    }
}
