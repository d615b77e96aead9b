//! The cache beside the naive one: with more capacity than keys nothing is evicted, and both must say
//! the same, call by call.
//!
//! Each has a clock of its own, that its fetches move; after each step both show the same time. The
//! naive one counts to `Duration::MAX`, so its clock is moved to where the ends of both ranges meet,
//! and sums past the end are never for both.

use std::borrow::Borrow;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use arbitrary::Arbitrary;
use lastcache::{BackOff, Cache, CallerRuns, ManualClock, Verdict};

use super::hashing::Hashing;
use super::naive::{self, Naive};
use super::program::{Fault, KEYS, Op, fetch};
use super::said::{
    Said, left, naive_left, naive_told, naive_why, told, unless_panicked as caught, why,
};
use super::span::{NEVER, Span, back, now};

const CAPACITY: usize = 64;
const _: () = assert!(CAPACITY > KEYS as usize);

/// A cache with room for all keys, and what is done to it.
#[derive(Arbitrary, Debug)]
pub struct Roomy {
    hashing: Hashing,
    ttl: Span,
    stale_while_revalidate: Span,
    stale_if_error: Span,
    back_off: (Span, Span),
    ops: Vec<Op>,
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

type Real<K> = Side<Cache<K, u32, Fault, Hashing>>;
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
            .clock(&clock)
            .build()
            .expect("the settings agree");
        Side { cache, clock, runs: Arc::default() }
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
        let Self { cache, clock, runs } = self;
        match op {
            Op::Get(key, plan) => {
                let fetch = fetch(plan, clock, runs, move || value);
                Said::Value(cache.get(K::of(key).borrow(), |_| fetch()).map_err(why))
            }
            Op::GetStale(key, plan) => {
                let fetch = fetch(plan, clock, runs, move || value);
                let got = cache.get_stale(K::of(key).borrow(), |_| fetch());
                Said::Served(got.map(told).map_err(why))
            }
            Op::GetSwr(key, plan) => {
                let fetch = fetch(plan, clock, runs, move || value);
                let got = cache.get_swr(K::of(key).borrow(), |_| fetch());
                Said::Served(got.map(told).map_err(why))
            }
            Op::Peek(key) => Said::Seen(cache.peek(K::of(key).borrow()).map(told)),
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
    let (stats, counted) = (real.cache.stats(), model.cache.stats());
    assert_eq!(
        (stats.hits, stats.stale_hits, stats.misses, stats.loads, stats.failures),
        (counted.hits, counted.stale_hits, counted.misses, counted.loads, counted.failures)
    );
    assert_eq!(
        (stats.panics, stats.refreshes, stats.late_loads, stats.evictions, stats.not_stored),
        (counted.panics, counted.refreshes, 0, 0, 0)
    );
}
