//! What the models share: a small real core, how a blocking caller uses it, and the checks at rest.
//!
//! Everything below the fronts is the real thing: `lookup` decides, duties end what it claimed. A
//! `get` does here what `blocking` does, with a value in place of a fetch.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

pub(super) use super::keys::{Key, light, looking, spared};
use crate::core::{Hooks, Settings};
use crate::error::Error;
use crate::panics::First;
use crate::policy::{Ask, BackOff, Late};
use crate::refresh::{CallerRuns, Refresher};
use crate::snapshot::{self, Draft, Snapshot};
use crate::state::Standing;
use crate::stats::{self, Count, Counters};
use crate::sync::Arc;
use crate::table::{Fate, Hashed, Place, Table, Tally};
use crate::time::{ManualClock, Tick};
use crate::word::Outcome::{Failed, Published};
use crate::{core, duty, lookup};

pub(super) type Core = core::Core<Key, Tracked, u8, Homes>;
pub(super) type Step = lookup::Step<Key, Tracked, u8, Homes>;
pub(super) type Claim = duty::Claim<Key, Tracked, u8, Homes>;
pub(super) type Queued = duty::Queued<Key, Tracked, u8, Homes>;
pub(super) type Snap = Snapshot<Key, Tracked, u8>;
pub(super) type Flight = snapshot::Flight<Key, Tracked, u8>;
pub(super) type Lease = snapshot::Lease<Key, Tracked, u8>;
pub(super) type Outcome = snapshot::Outcome<Key, Tracked, u8>;
pub(super) type Failure = snapshot::Failure<u8>;

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

/// Values of the models are fresh for so long, stale for as long again, then gone.
pub(super) const FRESH: u64 = 10;
/// Within the freshness of every value.
pub(super) const NOW: u64 = 1;
/// Within the stale windows of what was published at 0.
pub(super) const STALE: u64 = 15;
/// Past every window of that.
pub(super) const GONE: u64 = 25;

pub(super) fn at(tick: u64) -> Tick {
    Tick::from_nanos(tick)
}

/// Hashes a key to what chooses its home bucket. All keys of a home have the same tag, too.
pub(super) struct Homes {
    hashes: [u64; 2],
    home: fn(u8) -> usize,
}

pub(super) struct Home {
    hashes: [u64; 2],
    home: fn(u8) -> usize,
    hash: u64,
}

impl Homes {
    fn chosen_by(home: fn(u8) -> usize) -> Homes {
        let hashes = [0, 1].map(|home| {
            let to =
                |hash: &u64| Hashed::of(&Homes { hashes: [*hash; 2], home: one_home }, &Key(0));
            (0..).find(|hash| to(hash).upper() >> 31 == home).expect("half of all hashes")
        });
        Homes { hashes, home }
    }
}

impl BuildHasher for Homes {
    type Hasher = Home;
    fn build_hasher(&self) -> Home {
        Home { hashes: self.hashes, home: self.home, hash: 0 }
    }
}

impl Hasher for Home {
    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are of one byte");
    }
    fn write_u8(&mut self, key: u8) {
        self.hash = self.hashes[(self.home)(key)];
    }
    fn finish(&self) -> u64 {
        self.hash
    }
}

/// Every key's home is the first bucket.
pub(super) fn one_home(_: u8) -> usize {
    0
}

/// A real core whose table has two buckets of two slots each, and a count of the fetches.
pub(super) struct Small {
    pub(super) core: Arc<Core>,
    /// Not loom's, as the count below: no step of the protocol hangs on either.
    clock: ManualClock,
    fetches: AtomicUsize,
}

impl Small {
    /// Of this capacity, one to three.
    pub(super) fn new(capacity: usize, home: fn(u8) -> usize) -> std::sync::Arc<Small> {
        Small::weighing(capacity, u64::MAX, home)
    }

    /// As above, with a limit of weight.
    pub(super) fn weighing(
        capacity: usize,
        max_weight: u64,
        home: fn(u8) -> usize,
    ) -> std::sync::Arc<Small> {
        let window = Duration::from_nanos(FRESH);
        let late = Late { stale_while_revalidate: window, stale_if_error: window };
        let table = Table::new(capacity, max_weight, late);
        assert_eq!(table.buckets(), 2, "two buckets, so an overflow stands in the other");
        let clock = ManualClock::new();
        let core = Arc::new(Core {
            hasher: Homes::chosen_by(home),
            clock: (&clock).into(),
            settings: Settings {
                ttl: window,
                jitter: 0.0,
                back_off: BackOff::NONE,
                hooks: Hooks {
                    verdict: None,
                    lifetime: None,
                    weigher: None,
                    on_error: None,
                    on_panic: None,
                },
            },
            table,
            counters: Counters,
            local: None,
            refresher: Arc::new(Refresher::new(1, 1, Some(Box::new(CallerRuns)))),
        });
        std::sync::Arc::new(Small { core, clock, fetches: AtomicUsize::new(0) })
    }

    pub(super) fn table(&self) -> &Table<Key, Tracked, u8> {
        &self.core.table
    }

    pub(super) fn hashed(&self, key: u8) -> Hashed {
        self.core.hash(&Key(key))
    }

    /// Moves the clock, which stands still while threads run beside each other.
    fn is_now(&self, now: u64) -> Tick {
        self.clock.set(Duration::from_nanos(now));
        at(now)
    }

    /// How often a leader fetched.
    pub(super) fn fetches(&self) -> usize {
        self.fetches.load(Relaxed)
    }

    /// The value that a plain read finds, servable at `now`.
    pub(super) fn peek(&self, key: u8, now: u64) -> Option<u32> {
        self.is_now(now);
        self.core.servable(&Key(key)).map(|(held, _)| held.value().read())
    }

    pub(super) fn set(&self, key: u8, value: u32, now: u64) -> Fate {
        let now_tick = self.is_now(now);
        self.core.set(self.hashed(key), Key(key), draft(value, now), now_tick)
    }

    pub(super) fn delete(&self, key: u8, now: u64) -> bool {
        self.table().delete(self.hashed(key), &Key(key), at(now))
    }

    /// The entry to claim, as a caller without a value makes or finds it.
    pub(super) fn entry(&self, key: u8, now: u64) -> Option<(Place<Key, Tracked, u8>, Arc<Snap>)> {
        let (pos, s) = self.table().entry(self.hashed(key), &Key(key), || Key(key), at(now))?;
        Some((Place::of(pos, &s), s))
    }

    /// The second half of a set that found its entry before: publishes `value` in place of it, if it is there.
    pub(super) fn set_there(
        &self,
        there: &Place<Key, Tracked, u8>,
        key: u8,
        value: u32,
        now: u64,
    ) -> bool {
        let n = Snapshot::new(self.hashed(key).upper(), Key(key), draft(value, now));
        let (lease, mut first) = (Lease::of(Flight::running(None)), First::default());
        let tally = &mut Tally::default();
        let fate = self.table().publish(there, lease, &n, at(now), tally, &mut first);
        first.go_on();
        fate == Fate::Stored
    }

    /// What stands for a key.
    pub(super) fn standing(&self, key: u8) -> usize {
        self.table().standing().iter().filter(|s| s.key.0 == key).count()
    }

    /// The claim of a load that nobody else is after.
    pub(super) fn claim_alone(&self, key: u8, now: u64) -> Claim {
        match self.lookup(key, Ask::IfError, now) {
            Step::Lead(claim) => claim,
            _ => unreachable!("nobody else is there, and nothing fresh"),
        }
    }

    /// What a caller is to do about a key, as of `now`.
    pub(super) fn lookup(&self, key: u8, ask: Ask, now: u64) -> Step {
        self.is_now(now);
        Core::lookup(&self.core, self.hashed(key), &Key(key), ask)
    }

    /// As the blocking `get`: a fresh value if there is one, else the load of `value`, led or joined.
    pub(super) fn get(&self, key: u8, now: u64, value: u32) -> Got {
        self.get_or(key, now, |claim| self.fetch(claim, value, now))
    }

    /// As `get`, which must not lead where `there` was to be seen before it claimed or took over.
    pub(super) fn get_what_is(
        self: &std::sync::Arc<Self>,
        there: u32,
        key: u8,
        now: u64,
        value: u32,
    ) -> Got {
        let seen = Rc::new(Cell::new(false));
        let look = {
            let (small, seen) = (self.clone(), seen.clone());
            move || seen.set(small.peek(key, now) == Some(there))
        };
        let got = looking(look, || self.get(key, now, value));
        assert!(!(seen.get() && matches!(got, Got::Led(..))), "loaded beside {there}: {got:?}");
        got
    }

    /// As `get`; if it leads, `lead` ends the load.
    pub(super) fn get_or(&self, key: u8, now: u64, lead: impl FnOnce(Claim) -> Got) -> Got {
        loop {
            match self.lookup(key, Ask::IfError, now) {
                Step::Hit(held, _) => return Got::Hit(held.value().read()),
                Step::Lead(claim) => return lead(claim),
                Step::Join(ticket) => match ticket.wait() {
                    Published(n) => return Got::Joined(n.value().read()),
                    Failed(why) => return Got::Failed(why.masked),
                    _ => {}
                },
                Step::Stale(held, ..) | Step::BackOff(held, ..) => {
                    return Got::Stale(held.value().read());
                }
                Step::Reentrant => unreachable!("no fetch is run here"),
                Step::Uncached => return Got::Uncached,
            }
        }
    }

    /// Fetches `value` and publishes it.
    pub(super) fn fetch(&self, claim: Claim, value: u32, now: u64) -> Got {
        self.fetches.fetch_add(1, Relaxed);
        drop(stats::counted());
        let ended = claim.publish(&self.core, draft(value, now));
        let fate = match stats::counted() {
            counted if counted.contains(&Count::LateLoads) => Fate::Late,
            counted if counted.contains(&Count::NotStored) => Fate::NoRoom,
            _ => Fate::Stored,
        };
        Got::Led(self::value(&ended.outcome), fate)
    }

    /// Fails the load, to be tried again from `retry_at` on; `remove` takes the stale value away too.
    pub(super) fn fail(&self, claim: Claim, retry_at: u64, remove: bool) -> Outcome {
        self.fetches.fetch_add(1, Relaxed);
        let mut first = First::default();
        let (ended, _) = claim.fail(&self.core, failure(retry_at, !remove), remove, &mut first);
        first.go_on();
        ended.outcome
    }

    /// What must hold whenever nobody is inside a call: `keys` are those the model used.
    ///
    /// Takes everything out at the end, to see that no slot, tag or count is left behind.
    pub(super) fn check_rest(&self) {
        let standing = self.table().standing();
        let keys: BTreeSet<u8> = standing.iter().map(|s| s.key.0).collect();
        assert_eq!(keys.len(), standing.len(), "at most one committed slot per key");
        for s in &standing {
            assert!(s.word.standing() == Standing::Committed, "nothing half in or half out");
            assert!(s.has_value(), "no placeholder without a load");
            assert!(!s.word.in_flight(), "no load without a leader");
            let found = self.table().find(self.hashed(s.key.0), &s.key);
            assert!(found.is_some_and(|(_, held)| Arc::ptr_eq(held.arc(), s)), "{} found", s.key.0);
        }
        assert_eq!(self.table().len(), standing.len(), "`len` equals the residents");
        assert!(self.table().len() <= self.table().capacity());
        for key in keys {
            self.delete(key, NOW);
        }
        assert!(self.table().is_clean(), "no slot, tag or passed count leaked");
        assert_eq!((self.table().len(), self.table().weight()), (0, 0), "all room given back");
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
pub(super) fn failure(retry_at: u64, masked: bool) -> Failure {
    snapshot::Failure { error: Error::Closed, masked, retry_at: Some(at(retry_at)), attempts: 1 }
}

/// What a `get` came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Got {
    Hit(u32),
    Stale(u32),
    /// Led the load: the outcome everybody gets, and whether it was stored.
    Led(Option<u32>, Fate),
    Joined(u32),
    /// Joined a load that failed, and whether a stale value covers it.
    Failed(bool),
    Uncached,
}

impl Got {
    /// The value, however it was had.
    pub(super) fn value(&self) -> Option<u32> {
        match *self {
            Got::Hit(value) | Got::Stale(value) | Got::Joined(value) => Some(value),
            Got::Led(value, _) => value,
            Got::Failed(_) | Got::Uncached => None,
        }
    }
}

/// A replaced snapshot is closed, and whoever holds it long holds no newer value through it.
pub(super) fn forgot_its_flight(old: &Snap) {
    assert!(old.word.standing() == Standing::Closed, "no claim of it can succeed");
    assert!(old.word.close().is_none(), "a replaced snapshot keeps no ended flight");
}

/// The value of an outcome.
pub(super) fn value(outcome: &Outcome) -> Option<u32> {
    match outcome {
        Published(n) => Some(n.value().read()),
        _ => None,
    }
}
