//! The cache, called by any of its fronts, beside the naive one: with more capacity than keys nothing is evicted, and both must say
//! the same, call by call.
//!
//! Each has a clock of its own, that its fetches move; after each step both show the same time. The
//! naive one counts to `Duration::MAX`, so its clock is moved to where the ends of both ranges meet,
//! and sums past the end are never for both.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use arbitrary::Arbitrary;
use lastcache::{BackOff, Cache, CallerRuns, Error, ManualClock, Reader, Served, Verdict};

use super::hashing::Hashing;
use super::naive::{self, Naive};
use super::program::{Fault, KEYS, Op, fetch};
use super::said::{
    Said, left, naive_left, naive_told, naive_why, told, unless_panicked as caught, why,
};
use super::span::{NEVER, Span, back, now};
use super::tasks::block_on;

const CAPACITY: usize = 64;
const _: () = assert!(CAPACITY > KEYS as usize);

/// A cache with room for all keys, and what is done to it.
#[derive(Arbitrary, Debug)]
pub struct Roomy {
    front: Front,
    hashing: Hashing,
    ttl: Span,
    stale_while_revalidate: Span,
    stale_if_error: Span,
    back_off: (Span, Span),
    ops: Vec<Op>,
}

/// Who calls: plainly, with hot sets behind the plain calls, through a `Reader`, or as a task.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
enum Front {
    Plain,
    HotSets,
    Reader,
    Tasks,
}

/// One who calls the cache by one front.
struct Caller<K: Key> {
    front: Front,
    cache: Cache<K, u32, Fault, Hashing>,
    reader: RefCell<Reader<K, u32, Fault, Hashing>>,
}

impl<K: Key> Caller<K> {
    fn get(
        &self,
        key: &K::Ref,
        fetch: impl FnOnce() -> Result<u32, Fault>,
    ) -> Result<u32, Error<Fault>> {
        match self.front {
            Front::Plain | Front::HotSets => self.cache.get(key, |_| fetch()),
            Front::Reader => self.reader.borrow_mut().get(key, |_| fetch()),
            Front::Tasks => block_on(self.cache.get_async(key, async { fetch() })),
        }
    }

    fn get_stale(
        &self,
        key: &K::Ref,
        fetch: impl FnOnce() -> Result<u32, Fault>,
    ) -> Result<Served<K, u32, Fault>, Error<Fault>> {
        match self.front {
            Front::Plain | Front::HotSets => self.cache.get_stale(key, |_| fetch()),
            Front::Reader => self.reader.borrow_mut().get_stale(key, |_| fetch()),
            Front::Tasks => block_on(self.cache.get_stale_async(key, async { fetch() })),
        }
    }

    fn get_swr(
        &self,
        key: &K::Ref,
        fetch: impl FnOnce() -> Result<u32, Fault> + Send + 'static,
    ) -> Result<Served<K, u32, Fault>, Error<Fault>> {
        match self.front {
            Front::Plain | Front::HotSets => self.cache.get_swr(key, |_| fetch()),
            Front::Reader => self.reader.borrow_mut().get_swr(key, |_| fetch()),
            Front::Tasks => block_on(self.cache.get_swr_async(key, async { fetch() })),
        }
    }

    fn peek(&self, key: &K::Ref) -> Option<Served<K, u32, Fault>> {
        match self.front {
            Front::Reader => self.reader.borrow_mut().peek(key),
            _ => self.cache.peek(key),
        }
    }
}

/// A key that is looked up by its borrowed form.
pub trait Key: Borrow<Self::Ref> + Clone + Debug + Hash + Eq + Send + Sync + 'static {
    type Ref: Hash + Eq + ToOwned<Owned = Self> + ?Sized;
    fn of(number: u8) -> Self;
    fn number(&self) -> u8;
}

impl Key for u8 {
    type Ref = u8;
    fn of(number: u8) -> u8 {
        number
    }
    fn number(&self) -> u8 {
        *self
    }
}

impl Key for String {
    type Ref = str;
    fn of(number: u8) -> String {
        number.to_string()
    }
    fn number(&self) -> u8 {
        self.parse().expect("only `of` makes keys")
    }
}

/// One of the two, with the clock that it reads.
struct Side<C> {
    cache: C,
    clock: ManualClock,
    runs: Arc<AtomicU32>,
}

type Real<K> = Side<Caller<K>>;
type Model<K> = Side<Naive<K, u32, Fault, Hashing>>;

impl Roomy {
    /// First and longest delay, as far as the builder takes it: it wants a stale window for one.
    fn back_off(&self) -> (Duration, Duration) {
        let (first, cap) = (self.back_off.0.0, self.back_off.1.0);
        let stale = self.stale_while_revalidate.0.max(self.stale_if_error.0);
        if stale.is_zero() { (stale, stale) } else { (first, first.max(cap)) }
    }

    fn real<K: Key>(&self) -> Real<K> {
        let clock = ManualClock::new();
        let (first, cap) = self.back_off();
        let cache = Cache::<K, u32>::builder()
            .error_type::<Fault>()
            .hasher(self.hashing)
            .capacity(CAPACITY)
            .ttl(self.ttl.0)
            .stale_while_revalidate(self.stale_while_revalidate.0)
            .stale_if_error(self.stale_if_error.0)
            .back_off(BackOff::exponential(first, cap))
            .verdict(|fault| match fault {
                Fault::Down => Verdict::ServeStale,
                Fault::Definite => Verdict::Propagate,
                Fault::NoMore => Verdict::Remove,
            })
            .executor(CallerRuns)
            .thread_hot_set(if self.front == Front::HotSets { 8 } else { 0 })
            .clock(&clock)
            .build()
            .expect("the settings agree");
        let reader = RefCell::new(cache.reader());
        let caller = Caller { front: self.front, cache, reader };
        Side { cache: caller, clock, runs: Arc::default() }
    }

    fn model<K: Key>(&self) -> Model<K> {
        let clock = ManualClock::new();
        let (first, cap) = self.back_off();
        let time = clock.clone();
        let settings = naive::Settings {
            capacity: CAPACITY,
            ttl: self.ttl.0,
            stale_while_revalidate: self.stale_while_revalidate.0,
            stale_if_error: self.stale_if_error.0,
            back_off: naive::BackOff::Exponential { first, cap },
            verdict: |fault| match fault {
                Fault::Down => naive::Verdict::ServeStale,
                Fault::Definite => naive::Verdict::Propagate,
                Fault::NoMore => naive::Verdict::Remove,
            },
            background: naive::Background::Caller,
            time: Arc::new(move || Duration::MAX - NEVER + now(&time)),
        };
        Side { cache: Naive::with_hasher(settings, self.hashing), clock, runs: Arc::default() }
    }
}

impl<K: Key> Real<K> {
    fn step(&self, op: Op, value: u32) -> Said {
        let Self { cache: caller, clock, runs } = self;
        let cache = &caller.cache;
        let fetch = |plan| fetch(plan, clock, runs, move || value);
        match op {
            Op::Get(key, plan) => {
                Said::Value(caller.get(K::of(key).borrow(), fetch(plan)).map_err(why))
            }
            Op::GetStale(key, plan) => {
                let got = caller.get_stale(K::of(key).borrow(), fetch(plan));
                Said::Served(got.map(told).map_err(why))
            }
            Op::GetSwr(key, plan) => {
                let got = caller.get_swr(K::of(key).borrow(), fetch(plan));
                Said::Served(got.map(told).map_err(why))
            }
            Op::Peek(key) => Said::Seen(caller.peek(K::of(key).borrow()).map(told)),
            Op::Set(key) => Said::Flag(cache.set(K::of(key), value)),
            Op::Delete(key) => Said::Flag(cache.delete(K::of(key).borrow())),
            Op::Ttl(key) => Said::Left(cache.ttl(K::of(key).borrow()).map(left)),
            Op::Contains(key) => Said::Flag(cache.contains_key(K::of(key).borrow())),
            Op::Len => Said::Count(cache.len()),
            Op::Walk => {
                let entries = cache.iter();
                let mut seen: Vec<_> = entries
                    .map(|entry| (entry.key().number(), *entry.value(), left(entry.ttl())))
                    .collect();
                seen.sort_unstable();
                Said::Walked(seen)
            }
            Op::Clear => {
                cache.clear();
                Said::Nothing
            }
            Op::Purge => Said::Count(cache.purge()),
            Op::Forward(_) | Op::Back(_) | Op::EndOfTime => self.wait(op),
        }
    }
}

impl<K: Key> Model<K> {
    fn step(&self, op: Op, value: u32) -> Said {
        let Self { cache, clock, runs } = self;
        match op {
            Op::Get(key, plan) => {
                let fetch = fetch(plan, clock, runs, move || value);
                Said::Value(cache.get(&K::of(key), |_| fetch()).map_err(naive_why))
            }
            Op::GetStale(key, plan) => {
                let fetch = fetch(plan, clock, runs, move || value);
                let got = cache.get_stale(&K::of(key), |_| fetch());
                Said::Served(got.map(naive_told).map_err(naive_why))
            }
            Op::GetSwr(key, plan) => {
                let fetch = fetch(plan, clock, runs, move || value);
                let got = cache.get_swr(&K::of(key), |_| fetch());
                Said::Served(got.map(naive_told).map_err(naive_why))
            }
            Op::Peek(key) => Said::Seen(cache.peek(&K::of(key)).map(naive_told)),
            Op::Set(key) => Said::Flag(cache.set(K::of(key), value)),
            Op::Delete(key) => Said::Flag(cache.delete(&K::of(key))),
            Op::Ttl(key) => Said::Left(cache.ttl(&K::of(key)).map(naive_left)),
            Op::Contains(key) => Said::Flag(cache.contains_key(&K::of(key))),
            Op::Len => Said::Count(cache.len()),
            Op::Walk => {
                let entries = cache.iter();
                let mut seen: Vec<_> = entries
                    .map(|(key, value, ttl)| (key.number(), value, naive_left(ttl)))
                    .collect();
                seen.sort_unstable();
                Said::Walked(seen)
            }
            Op::Clear => {
                cache.clear();
                Said::Nothing
            }
            Op::Purge => Said::Count(cache.purge()),
            Op::Forward(_) | Op::Back(_) | Op::EndOfTime => self.wait(op),
        }
    }
}

impl<C> Side<C> {
    fn wait(&self, op: Op) -> Said {
        match op {
            Op::Forward(span) => self.clock.advance(span.0),
            Op::Back(span) => back(&self.clock, span.0),
            _ => self.clock.advance(Duration::MAX),
        }
        Said::Nothing
    }

    /// How often a fetch was run, and what the clock shows after it.
    fn trail(&self) -> (u32, Duration) {
        (self.runs.load(Relaxed), self.clock.now())
    }
}

/// Runs the program on both.
pub fn run<K: Key>(roomy: &Roomy) {
    let (real, model) = (roomy.real::<K>(), roomy.model::<K>());
    for (value, op) in (0..).zip(roomy.ops.iter().copied()) {
        let by_real = caught(|| real.step(op, value)).unwrap_or(Said::Panicked);
        let by_model = caught(|| model.step(op, value)).unwrap_or(Said::Panicked);
        assert_eq!(by_real, by_model, "step {value}: {op:?}");
        assert_eq!(real.trail(), model.trail(), "after step {value}: {op:?}");
    }
    assert_eq!(real.step(Op::Walk, 0), model.step(Op::Walk, 0), "in the end");
    let (stats, counted) = (real.cache.cache.stats(), model.cache.stats());
    assert_eq!(
        (stats.hits, stats.stale_hits, stats.misses, stats.loads, stats.failures),
        (counted.hits, counted.stale_hits, counted.misses, counted.loads, counted.failures)
    );
    assert_eq!(
        (stats.panics, stats.refreshes, stats.late_loads, stats.evictions, stats.not_stored),
        (counted.panics, counted.refreshes, 0, 0, 0)
    );
}
