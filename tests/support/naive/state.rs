//! What the naive cache decides under its lock: what a value is worth now, who loads, what a write
//! does to a load.
//!
//! No user code but `Hash`, `Eq` and `Clone` runs in here, and nothing waits.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, OnceLock};
use std::thread::{self, ThreadId};
use std::time::Duration;

use super::words::{Answer, Error, Served, Settings, Stats, Time, Ttl};

/// Whether `until` is still ahead. The boundary belongs to the later state; `Duration::MAX` never
/// comes.
pub fn ahead(now: Duration, until: Duration) -> bool {
    now < until || until == Duration::MAX
}

pub fn left(now: Duration, until: Duration) -> Duration {
    if until == Duration::MAX { until } else { until.saturating_sub(now) }
}

/// One published value, with the deadlines it was given then.
#[derive(Clone)]
pub struct Snapshot<V> {
    pub value: V,
    pub published: Duration,
    pub fresh_until: Duration,
    pub swr_until: Duration,
    pub sie_until: Duration,
}

impl<V: Clone> Snapshot<V> {
    pub fn new<E>(value: V, now: Duration, settings: &Settings<E>) -> Self {
        let fresh_until = now.saturating_add(settings.ttl);
        // What is over as it begins covers nothing, whatever the clock shows.
        let after = |window| {
            let end = fresh_until.saturating_add(window);
            if ahead(now, end) { end } else { Duration::ZERO }
        };
        Self {
            value,
            published: now,
            fresh_until,
            swr_until: after(settings.stale_while_revalidate),
            sie_until: after(settings.stale_if_error),
        }
    }

    pub fn gone(&self, now: Duration) -> bool {
        !ahead(now, self.swr_until.max(self.sie_until))
    }

    /// Without a time to live never, whatever the clock shows.
    pub fn fresh(&self, now: Duration) -> bool {
        ahead(self.published, self.fresh_until) && ahead(now, self.fresh_until)
    }

    pub fn ttl(&self, now: Duration) -> Ttl {
        if self.fresh(now) {
            Ttl::Left(left(now, self.fresh_until))
        } else {
            Ttl::Overdue(now.saturating_sub(self.fresh_until))
        }
    }

    pub fn answer<E>(&self, now: Duration, state: Served<E>) -> Answer<V, E> {
        Answer { value: self.value.clone(), age: now.saturating_sub(self.published), state }
    }

    /// The answer to somebody who needs no excuse: fresh, or stale by now.
    pub fn plain<E>(&self, now: Duration) -> Answer<V, E> {
        self.answer(now, if self.fresh(now) { Served::Fresh } else { Served::Stale })
    }
}

/// The last failed load of a key that has a value.
pub struct Failed<E> {
    pub error: Error<E>,
    pub retry_at: Duration,
    pub attempts: u32,
}

pub struct Entry<V, E> {
    pub snapshot: Snapshot<V>,
    pub failed: Option<Failed<E>>,
    pub used: bool,
    pub place: usize,
}

pub enum Outcome<V, E> {
    Value(Snapshot<V>),
    Failed { error: Error<E>, fallback: Option<Snapshot<V>> },
}

/// One load. The first outcome wins; it is queued until somebody is its leader.
pub struct Flight<V, E> {
    pub leader: OnceLock<ThreadId>,
    pub outcome: OnceLock<Outcome<V, E>>,
}

impl<V: Clone, E> Flight<V, E> {
    pub fn end(&self, outcome: Outcome<V, E>) {
        drop(self.outcome.set(outcome));
    }

    /// Waits for the outcome and judges it by the time when it is handed out.
    pub fn answer(&self, time: &Time) -> Result<Answer<V, E>, Error<E>> {
        let outcome = self.outcome.wait();
        let now = time();
        match outcome {
            Outcome::Value(snapshot) => Ok(snapshot.plain(now)),
            Outcome::Failed { error, fallback: Some(old) } if ahead(now, old.sie_until) => {
                Ok(old.answer(now, Served::Fallback { error: error.clone() }))
            }
            Outcome::Failed { error, .. } => Err(error.clone()),
        }
    }
}

/// What a call has to do next.
pub enum Step<V, E> {
    Serve(Answer<V, E>),
    ServeAndRefresh(Answer<V, E>, Arc<Flight<V, E>>),
    Lead(Arc<Flight<V, E>>),
    Join(Arc<Flight<V, E>>),
    Refuse(Error<E>),
}

pub struct State<K, V, E, S> {
    pub values: HashMap<K, Entry<V, E>, S>,
    pub flights: HashMap<K, Arc<Flight<V, E>>, S>,
    /// The keys of `values`, in the order in which the hand of the clock visits them.
    pub ring: Vec<K>,
    pub hand: usize,
    pub closed: bool,
    pub stats: Stats,
}

impl<K: Hash + Eq + Clone, V: Clone, E, S: BuildHasher + Clone> State<K, V, E, S> {
    pub fn new(capacity: usize, hasher: S) -> Self {
        Self {
            values: HashMap::with_capacity_and_hasher(capacity, hasher.clone()),
            flights: HashMap::with_hasher(hasher),
            ring: Vec::with_capacity(capacity),
            hand: 0,
            closed: false,
            stats: Stats::default(),
        }
    }

    /// The first row of the table for a caller who wants the value alone; the commonest case by far.
    pub fn hit(&mut self, key: &K, now: Duration) -> Option<V> {
        let entry = self.values.get_mut(key)?;
        entry.snapshot.fresh(now).then(|| {
            entry.used = true;
            self.stats.hits += 1;
            entry.snapshot.value.clone()
        })
    }

    /// The table of states and answers. `swr` says that the caller would rather have a stale value
    /// than wait.
    pub fn look(&mut self, key: &K, now: Duration, swr: bool) -> Step<V, E> {
        if let Some(entry) = self.values.get_mut(key) {
            let snapshot = &entry.snapshot;
            if snapshot.fresh(now) {
                entry.used = true;
                self.stats.hits += 1;
                return Step::Serve(snapshot.answer(now, Served::Fresh));
            }
            let flight = self.flights.get(key);
            let window =
                if swr { snapshot.swr_until.max(snapshot.sie_until) } else { snapshot.sie_until };
            if let (None, Some(failed)) = (flight, &entry.failed)
                && ahead(now, failed.retry_at)
                && ahead(now, window)
            {
                entry.used = true;
                self.stats.stale_hits += 1;
                let state = Served::BackOff {
                    error: failed.error.clone(),
                    retry_in: left(now, failed.retry_at),
                };
                return Step::Serve(snapshot.answer(now, state));
            }
            if swr && ahead(now, snapshot.swr_until) {
                entry.used = true;
                self.stats.stale_hits += 1;
                let answer = snapshot.answer(now, Served::Stale);
                let start = flight.is_none() && !self.closed;
                return if start {
                    Step::ServeAndRefresh(answer, self.start(key))
                } else {
                    Step::Serve(answer)
                };
            }
        }
        self.stats.misses += 1;
        let flight = self.flights.get(key).cloned().unwrap_or_else(|| self.start(key));
        let me = thread::current().id();
        match flight.leader.set(me) {
            Ok(()) => Step::Lead(flight),
            Err(_) if flight.leader.get() == Some(&me) => self.refuse(key, now),
            Err(_) => {
                self.stats.joins += 1;
                Step::Join(flight)
            }
        }
    }

    /// The answer to a fetch that would have to wait for itself.
    fn refuse(&self, key: &K, now: Duration) -> Step<V, E> {
        let error = Error::Reentrant;
        match self.values.get(key) {
            Some(entry) if ahead(now, entry.snapshot.sie_until) => {
                Step::Serve(entry.snapshot.answer(now, Served::Fallback { error }))
            }
            _ => Step::Refuse(error),
        }
    }

    pub fn start(&mut self, key: &K) -> Arc<Flight<V, E>> {
        let flight = Arc::new(Flight { leader: OnceLock::new(), outcome: OnceLock::new() });
        self.flights.insert(key.clone(), Arc::clone(&flight));
        flight
    }

    pub fn attached(&self, key: &K, flight: &Arc<Flight<V, E>>) -> bool {
        self.flights.get(key).is_some_and(|it| Arc::ptr_eq(it, flight))
    }

    /// Stores a snapshot, ends the back-off; false if there is no room because flights hold
    /// everything.
    pub fn publish(
        &mut self,
        key: &K,
        snapshot: Snapshot<V>,
        now: Duration,
        capacity: usize,
    ) -> Published<V> {
        if let Some(entry) = self.values.get_mut(key) {
            entry.failed = None;
            let old = std::mem::replace(&mut entry.snapshot, snapshot);
            return Published { kept: true, displaced: Some(old) };
        }
        let (of_ring, of_values) = (key.clone(), key.clone());
        let (place, displaced) = if self.values.len() < capacity {
            self.ring.push(of_ring);
            (self.ring.len() - 1, None)
        } else if let Some((place, old)) = self.evict(now) {
            self.ring[place] = of_ring;
            (place, Some(old))
        } else {
            return Published { kept: false, displaced: None };
        };
        self.values.insert(of_values, Entry { snapshot, failed: None, used: false, place });
        Published { kept: true, displaced }
    }

    pub fn remove(&mut self, key: &K) -> Option<Snapshot<V>> {
        let entry = self.values.remove(key)?;
        self.ring.swap_remove(entry.place);
        if let Some(moved) = self.ring.get(entry.place) {
            self.values.get_mut(moved).expect("every key of the ring has a value").place =
                entry.place;
        }
        Some(entry.snapshot)
    }

    /// Makes room for one, and says where in the ring: takes the first gone or unused value that the
    /// hand meets, after 24 used ones the first of these. Passes over keys in flight.
    fn evict(&mut self, now: Duration) -> Option<(usize, Snapshot<V>)> {
        let mut victim = None;
        for looked in 0..self.ring.len() {
            if looked >= 24 && victim.is_some() {
                break;
            }
            self.hand = (self.hand + 1) % self.ring.len();
            let key = &self.ring[self.hand];
            if !self.flights.is_empty() && self.flights.contains_key(key) {
                continue;
            }
            let entry = self.values.get_mut(key).expect("every key of the ring has a value");
            if entry.snapshot.gone(now) || !std::mem::take(&mut entry.used) {
                victim = Some(self.hand);
                break;
            }
            victim.get_or_insert(self.hand);
        }
        let place = victim?;
        let evicted = self.values.remove(&self.ring[place])?.snapshot;
        self.stats.evictions += u64::from(!evicted.gone(now));
        Some((place, evicted))
    }
}

/// What became of a snapshot. What it displaced is dropped by the caller, after the lock.
pub struct Published<V> {
    pub kept: bool,
    pub displaced: Option<Snapshot<V>>,
}
