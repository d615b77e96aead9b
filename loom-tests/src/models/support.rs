//! What the models share: a small real table, the steps of a lookup, and the checks at rest.
//!
//! The table is the real one. What the layer above it does between its calls (look up, approach,
//! claim, publish or give up, wait) is re-enacted here step by step, without counters and hooks.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use crate::error::Error;
use crate::policy::{Ask, Late};
use crate::snapshot::{self, Draft, Snapshot};
use crate::state::{Phase, Standing};
use crate::sync::Arc;
use crate::table::{Fate, Hashed, Place, Table, Tally};
use crate::time::Tick;
use crate::word::Outcome::{Failed, Published};

pub(super) type Snap = Snapshot<u8, Tracked, u8>;
pub(super) type Flight = snapshot::Flight<u8, Tracked, u8>;
pub(super) type Lease = snapshot::Lease<u8, Tracked, u8>;
pub(super) type Ticket = snapshot::Ticket<u8, Tracked, u8>;
pub(super) type Outcome = snapshot::Outcome<u8, Tracked, u8>;
pub(super) type Failure = snapshot::Failure<u8>;
pub(super) type Hold = snapshot::Hold<u8, Tracked, u8>;

/// A value whose every read loom checks against its one write.
pub(super) struct Tracked(loom::cell::UnsafeCell<u32>);

// SAFETY: written once, by its maker; that every read comes after is what the models check.
#[allow(unsafe_code)]
unsafe impl Sync for Tracked {}

impl Tracked {
    pub(super) fn new(value: u32) -> Self {
        let tracked = Tracked(loom::cell::UnsafeCell::new(0));
        // SAFETY: nobody else has it yet.
        #[allow(unsafe_code)]
        tracked.0.with_mut(|at| unsafe { *at = value });
        tracked
    }

    pub(super) fn read(&self) -> u32 {
        // SAFETY: loom has reported it by now if the write does not come first.
        #[allow(unsafe_code)]
        self.0.with(|at| unsafe { *at })
    }
}

/// Values of the models are fresh until here, stale until twice this, then gone.
pub(super) const FRESH: u64 = 10;
/// Within the freshness of every value.
pub(super) const NOW: u64 = 1;
/// Within the stale windows.
pub(super) const STALE: u64 = 15;
/// Past every window.
pub(super) const GONE: u64 = 25;

pub(super) fn at(tick: u64) -> Tick {
    Tick::from_nanos(tick)
}

/// Hashes a key to itself; `Small` chooses what it hands over.
struct AsItIs;
struct Last(u64);

impl BuildHasher for AsItIs {
    type Hasher = Last;
    fn build_hasher(&self) -> Last {
        Last(0)
    }
}

impl Hasher for Last {
    fn write(&mut self, _: &[u8]) {
        unreachable!("only whole numbers are hashed here");
    }
    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

/// A real table of two buckets with two slots each, and a count of the fetches.
pub(super) struct Small {
    pub(super) table: Table<u8, Tracked, u8>,
    /// Of each home bucket, a hash that chooses it. All keys of a home have the same tag, too.
    homes: [Hashed; 2],
    home: fn(u8) -> usize,
    /// Not loom's: no step of the protocol hangs on it.
    fetches: AtomicUsize,
}

/// Every key's home is the first bucket.
pub(super) fn one_home(_: u8) -> usize {
    0
}

impl Small {
    /// Of this capacity, one to three.
    pub(super) fn new(capacity: usize, home: fn(u8) -> usize) -> std::sync::Arc<Small> {
        let window = Duration::from_nanos(FRESH);
        let late = Late { stale_while_revalidate: window, stale_if_error: window };
        let table = Table::new(capacity, u64::MAX, late, false);
        assert_eq!(table.buckets(), 2, "two buckets, so an overflow stands in the other");
        let homes = [0, 1].map(|home| {
            let hashes = (0..).map(|n: u64| Hashed::of(&AsItIs, &n));
            hashes.into_iter().find(|h| h.upper() >> 31 == home).expect("half of all hashes")
        });
        std::sync::Arc::new(Small { table, homes, home, fetches: AtomicUsize::new(0) })
    }

    pub(super) fn hashed(&self, key: u8) -> Hashed {
        self.homes[(self.home)(key)]
    }

    /// How often a leader fetched.
    pub(super) fn fetches(&self) -> usize {
        self.fetches.load(Relaxed)
    }

    fn snapshot(&self, key: u8, value: u32, published: u64) -> Arc<Snap> {
        Snapshot::new(self.hashed(key).upper(), key, draft(value, published))
    }

    /// The value that a plain read finds, servable at `now`.
    pub(super) fn peek(&self, key: u8, now: u64) -> Option<u32> {
        let (_, held) = self.table.find(self.hashed(key), &key)?;
        held.servable(self.table.late(), at(now)).then(|| held.value().read())
    }

    pub(super) fn set(&self, key: u8, value: u32, now: u64) -> Fate {
        let n = self.snapshot(key, value, now);
        self.table.set(self.hashed(key), &n, at(now), &mut Tally::default())
    }

    pub(super) fn delete(&self, key: u8, now: u64) -> bool {
        self.table.delete(self.hashed(key), &key, at(now))
    }

    /// The entry to claim, as a caller without a value makes or finds it.
    pub(super) fn entry(&self, key: u8, now: u64) -> Option<(Place<u8, Tracked, u8>, Arc<Snap>)> {
        let (pos, s) = self.table.entry(self.hashed(key), &key, || key, at(now))?;
        Some((Place::of(pos, &s), s))
    }

    /// The claim of a load that nobody else is after.
    pub(super) fn claim_alone(&self, key: u8, now: u64) -> Claim<'_> {
        match self.lookup(key, Ask::IfError, now, &|| false) {
            Step::Lead(claim) => claim,
            _ => unreachable!("nobody else is there, and nothing fresh"),
        }
    }

    /// What a caller is to do about a key, as of `now`; `admit` says whether a refresh may start.
    pub(super) fn lookup(&self, key: u8, ask: Ask, now: u64, admit: &dyn Fn() -> bool) -> Step<'_> {
        let hashed = self.hashed(key);
        let now = at(now);
        loop {
            let Some((pos, held)) = self.table.find(hashed, &key) else {
                let entry = self.table.entry(hashed, &key, || key, now);
                let Some((pos, s)) = entry else { return Step::Uncached };
                // Published since the search above: it may be fresh.
                if s.has_value() {
                    continue;
                }
                match self.approach(|| Place::of(pos, &s), &s, ask, now, admit) {
                    Next::Lead(claim) => return Step::Lead(claim),
                    Next::Join(ticket) => return Step::Join(ticket),
                    Next::Again => continue,
                    Next::Stale(_) | Next::BackOff(_) => {
                        unreachable!("nothing is served from a placeholder")
                    }
                }
            };
            if held.is_fresh(now) {
                self.table.touch(pos);
                return Step::Hit(held);
            }
            let next = self.approach(|| Place::of(pos, held.arc()), held.arc(), ask, now, admit);
            if !matches!(next, Next::Again) {
                self.table.touch(pos);
            }
            match next {
                Next::Again => {}
                Next::Stale(queued) => return Step::Stale(held, queued),
                Next::BackOff(why) => return Step::BackOff(held, why),
                Next::Lead(claim) => return Step::Lead(claim),
                Next::Join(ticket) => return Step::Join(ticket),
            }
        }
    }

    fn approach(
        &self,
        place: impl Fn() -> Place<u8, Tracked, u8>,
        s: &Arc<Snap>,
        ask: Ask,
        now: Tick,
        admit: &dyn Fn() -> bool,
    ) -> Next<'_> {
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
                        return Next::BackOff(why);
                    }
                    (Some(flight), why.attempts)
                }
                _ => (Some(flight), 0),
            },
            Phase::Idle => (None, 0),
        };
        if at_once && !admit() {
            return Next::Stale(None);
        }
        let place = place();
        let flight = if at_once { Flight::queued(failures) } else { Flight::running(failures) };
        let Some(claimed) = self.table.claim(&place, s, over.as_ref(), &flight) else {
            return Next::Again;
        };
        let next = if at_once {
            Next::Stale(Some(Queued { small: self, flight, load: Some((place, s.key)) }))
        } else {
            Next::Lead(self.lead(Lease::of(flight), place, s.key))
        };
        // Dropped, the duty abandons the flight, unless somebody has taken it over by now.
        if claimed.current { next } else { Next::Again }
    }

    fn join(
        &self,
        place: impl Fn() -> Place<u8, Tracked, u8>,
        s: &Arc<Snap>,
        flight: Arc<Flight>,
        at_once: bool,
    ) -> Next<'_> {
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
            return match Flight::start(&flight) {
                Some(lease) => Next::Lead(self.lead(lease, place(), s.key)),
                None => Next::Again,
            };
        }
        Next::Join(Ticket::on(flight))
    }

    fn lead(&self, lease: Lease, place: Place<u8, Tracked, u8>, key: u8) -> Claim<'_> {
        Claim { small: self, key, parts: Some((lease, place)) }
    }

    /// As the blocking `get`: a fresh value if there is one, else the load of `value`, led or joined.
    pub(super) fn get(&self, key: u8, now: u64, value: u32) -> Got {
        loop {
            match self.lookup(key, Ask::IfError, now, &|| false) {
                Step::Hit(held) => return Got::Hit(held.value().read()),
                Step::Lead(claim) => return claim.fetch(value, now),
                Step::Join(ticket) => match ticket.wait() {
                    Published(n) => return Got::Joined(n.value().read()),
                    Failed(_) => return Got::Failed,
                    _ => {}
                },
                Step::Stale(held, _) | Step::BackOff(held, _) => {
                    return Got::Stale(held.value().read());
                }
                Step::Uncached => return Got::Uncached,
            }
        }
    }

    /// What must hold whenever nobody is inside a call: `keys` are those the model used.
    ///
    /// Takes everything out at the end, to see that no slot, tag or count is left behind.
    pub(super) fn check_rest(&self) {
        let standing = self.table.standing();
        let keys: BTreeSet<u8> = standing.iter().map(|s| s.key).collect();
        assert_eq!(keys.len(), standing.len(), "at most one committed slot per key");
        for s in &standing {
            assert!(s.word.standing() == Standing::Committed, "nothing half in or half out");
            assert!(s.has_value(), "no placeholder without a load");
            assert!(!s.word.in_flight(), "no load without a leader");
            let found = self.table.find(self.hashed(s.key), &s.key);
            assert!(found.is_some_and(|(_, held)| Arc::ptr_eq(held.arc(), s)), "{} found", s.key);
        }
        assert_eq!(self.table.len(), standing.len(), "`len` equals the residents");
        assert!(self.table.len() <= self.table.capacity());
        for key in keys {
            self.delete(key, NOW);
        }
        assert!(self.table.is_clean(), "no slot, tag or passed count leaked");
        assert_eq!((self.table.len(), self.table.weight()), (0, 0), "all room given back");
    }
}

/// A value published at this tick.
pub(super) fn draft(value: u32, published: u64) -> Draft<Tracked> {
    Draft {
        value: Tracked::new(value),
        weight: 0,
        published: at(published),
        fresh_until: at(published + FRESH),
        late: None,
    }
}

/// A failed load, to be tried again from this tick on.
pub(super) fn failure(retry_at: u64) -> Failure {
    snapshot::Failure { error: Error::Closed, masked: true, retry_at: at(retry_at), attempts: 1 }
}

/// What a caller is to do.
pub(super) enum Step<'a> {
    Hit(Hold),
    Stale(Hold, Option<Queued<'a>>),
    BackOff(Hold, Arc<Failure>),
    Lead(Claim<'a>),
    Join(Ticket),
    Uncached,
}

enum Next<'a> {
    Again,
    Stale(Option<Queued<'a>>),
    BackOff(Arc<Failure>),
    Lead(Claim<'a>),
    Join(Ticket),
}

/// What a `get` came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Got {
    Hit(u32),
    Stale(u32),
    /// Led the load: the outcome everybody gets, and whether it was stored.
    Led(Option<u32>, Fate),
    Joined(u32),
    Failed,
    Uncached,
}

impl Got {
    /// The value, however it was had.
    pub(super) fn value(&self) -> Option<u32> {
        match *self {
            Got::Hit(value) | Got::Stale(value) | Got::Joined(value) => Some(value),
            Got::Led(value, _) => value,
            Got::Failed | Got::Uncached => None,
        }
    }
}

/// The value of an outcome.
pub(super) fn value(outcome: &Outcome) -> Option<u32> {
    match outcome {
        Published(n) => Some(n.value().read()),
        _ => None,
    }
}

/// The leader's duty; dropping it gives the load up.
#[must_use]
pub(super) struct Claim<'a> {
    small: &'a Small,
    key: u8,
    parts: Option<(Lease, Place<u8, Tracked, u8>)>,
}

impl Claim<'_> {
    pub(super) fn flight(&self) -> &Arc<Flight> {
        self.parts.as_ref().expect("not ended yet").0.flight()
    }

    /// Fetches `value` and publishes it.
    pub(super) fn fetch(self, value: u32, now: u64) -> Got {
        self.small.fetches.fetch_add(1, Relaxed);
        self.publish(value, now)
    }

    pub(super) fn publish(mut self, value: u32, now: u64) -> Got {
        let (lease, place) = self.parts.take().expect("not ended yet");
        let n = self.small.snapshot(self.key, value, now);
        let landed = self.small.table.publish(&place, lease, n, at(now));
        Got::Led(self::value(&landed.outcome), landed.fate)
    }

    pub(super) fn fail(mut self, retry_at: u64, remove: bool) -> Outcome {
        let (lease, place) = self.parts.take().expect("not ended yet");
        self.small.table.fail(&place, lease, failure(retry_at), remove)
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if let Some((lease, place)) = self.parts.take() {
            let flight = Arc::clone(lease.flight());
            drop(lease);
            self.small.table.abandon(&place, &flight);
        }
    }
}

/// The duty to start a refresh that nobody leads yet; dropping it gives the refresh up.
#[must_use]
pub(super) struct Queued<'a> {
    small: &'a Small,
    pub(super) flight: Arc<Flight>,
    load: Option<(Place<u8, Tracked, u8>, u8)>,
}

impl<'a> Queued<'a> {
    /// Starts it, unless it has been taken over or has ended.
    pub(super) fn start(mut self) -> Option<Claim<'a>> {
        let lease = Flight::start(&self.flight)?;
        let (place, key) = self.load.take()?;
        Some(self.small.lead(lease, place, key))
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        let Some((place, _)) = self.load.take() else { return };
        let Some(lease) = Flight::start(&self.flight) else { return };
        drop(lease);
        self.small.table.abandon(&place, &self.flight);
    }
}
