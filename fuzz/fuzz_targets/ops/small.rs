//! A cache with less room than keys: who is evicted is its own affair, but what it promises holds
//! whatever it does.
//!
//! After each step: a served value is of its key and the last one of it, and inside the window that it
//! was served for; nothing is over capacity or weight; the counters balance. The windows may be each
//! value's own, and jittered.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};
use lastcache::{BackOff, Cache, CallerRuns, Lifetime, ManualClock, Verdict};

use super::hashing::Hashing;
use super::program::{End, Fault, KEYS, Op, Plan, fetch};
use super::said::{How, Told, Why, left, told, unless_panicked, why};
use super::span::{NEVER, Span, back, now};

/// A small cache, and what is done to it.
#[derive(Arbitrary, Debug)]
pub struct Small {
    hashing: Hashing,
    capacity: Room,
    max_weight: Option<Room>,
    jitter: Jitter,
    windows: Windows,
    /// The windows of the values that are numbered by an odd number, if they have their own.
    own: Option<Windows>,
    back_off: (Span, Span),
    ops: Vec<(Weight, Op)>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Windows {
    ttl: Span,
    stale_while_revalidate: Span,
    stale_if_error: Span,
}

/// From 1 to 8.
#[derive(Clone, Copy, Debug)]
struct Room(u8);

impl Arbitrary<'_> for Room {
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        u.int_in_range(1..=8).map(Self)
    }
}

/// From none to more than any cache here holds.
#[derive(Clone, Copy, Debug)]
struct Weight(u32);

impl Arbitrary<'_> for Weight {
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        u.choose(&[0, 1, 1, 1, 2, 3, 5, 9, u32::MAX]).copied().map(Self)
    }
}

#[derive(Clone, Copy, Debug)]
struct Jitter(f64);

impl Arbitrary<'_> for Jitter {
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        u.choose(&[0.0, 0.0, 0.1, 1.0]).copied().map(Self)
    }
}

/// A value that knows what it is.
#[derive(Clone, Copy, Debug)]
struct Value {
    key: u8,
    number: u32,
    weight: u32,
    born: Duration,
    windows: Windows,
}

/// Whether `until` is ahead of `now`; a sum past the clock's range always is.
fn ahead(now: Duration, until: Duration) -> bool {
    now < until || until >= NEVER
}

impl Value {
    fn fresh_until(&self) -> Duration {
        self.born.saturating_add(self.windows.ttl.0)
    }

    /// Without a time to live never, whatever the clock shows.
    fn fresh(&self, now: Duration) -> bool {
        !self.windows.ttl.0.is_zero() && ahead(now, self.fresh_until())
    }

    fn swr_until(&self) -> Duration {
        self.fresh_until().saturating_add(self.windows.stale_while_revalidate.0)
    }

    fn sie_until(&self) -> Duration {
        self.fresh_until().saturating_add(self.windows.stale_if_error.0)
    }

    fn gone_at(&self) -> Duration {
        self.swr_until().max(self.sie_until())
    }
}

/// Which call served a value.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    Get,
    Swr,
    Peek,
}

/// The cache, and what is known of it.
struct Run<'a> {
    small: &'a Small,
    cache: Cache<u8, Value, Fault, Hashing>,
    clock: ManualClock,
    runs: Arc<AtomicU32>,
    /// The last value of each key, which may have been evicted.
    last: [Option<u32>; KEYS as usize],
    gets: u64,
    loads: u64,
    failures: u64,
    not_stored: u64,
}

/// Runs the program.
pub fn run(small: &Small) {
    let mut run = Run::new(small);
    for (number, (weight, op)) in (0..).zip(small.ops.iter().copied()) {
        run.step(op, number, weight.0);
        run.check();
    }
}

impl<'a> Run<'a> {
    fn new(small: &'a Small) -> Self {
        let clock = ManualClock::new();
        let Windows { ttl, stale_while_revalidate, stale_if_error } = small.windows;
        let stale = stale_while_revalidate.0.max(stale_if_error.0);
        let (first, cap) = (small.back_off.0.0, small.back_off.1.0);
        let back_off = if stale.is_zero() && small.own.is_none() {
            // The builder wants a stale window for one.
            BackOff::NONE
        } else {
            BackOff::exponential(first, first.max(cap))
        };
        let mut builder = Cache::<u8, Value>::builder()
            .error_type::<Fault>()
            .hasher(small.hashing)
            .capacity(small.capacity.0.into())
            .ttl(ttl.0)
            .stale_while_revalidate(stale_while_revalidate.0)
            .stale_if_error(stale_if_error.0)
            .back_off(back_off)
            .jitter(small.jitter.0)
            .verdict(|fault| match fault {
                Fault::Down => Verdict::ServeStale,
                Fault::Definite => Verdict::Propagate,
                Fault::NoMore => Verdict::Remove,
            })
            .executor(CallerRuns)
            .clock(&clock);
        if let Some(most) = small.max_weight {
            builder = builder.max_weight(most.0.into()).weigher(|_, value| value.weight);
        }
        if small.own.is_some() {
            builder = builder.lifetime(|_, value| {
                Lifetime::new()
                    .ttl(value.windows.ttl.0)
                    .stale_while_revalidate(value.windows.stale_while_revalidate.0)
                    .stale_if_error(value.windows.stale_if_error.0)
            });
        }
        Run {
            small,
            cache: builder.build().expect("the settings agree"),
            clock,
            runs: Arc::default(),
            last: [None; KEYS as usize],
            gets: 0,
            loads: 0,
            failures: 0,
            not_stored: 0,
        }
    }

    /// What makes a value of this key, dated when it is made.
    fn make(&self, key: u8, number: u32, weight: u32) -> impl Fn() -> Value + use<> {
        let own = self.small.own.filter(|_| number % 2 == 1);
        let windows = own.unwrap_or(self.small.windows);
        let clock = self.clock.clone();
        move || Value { key, number, weight, born: now(&clock), windows }
    }

    fn step(&mut self, op: Op, number: u32, weight: u32) {
        match op {
            Op::Get(key, plan) => self.get(key, plan, number, weight),
            Op::GetStale(key, plan) => {
                let fetch = self.fetch(key, plan, number, weight);
                self.serve(Call::Get, key, plan, number, |cache| {
                    cache.get_stale(&key, |_| fetch()).map(told).map_err(why)
                });
            }
            Op::GetSwr(key, plan) => {
                let fetch = self.fetch(key, plan, number, weight);
                self.serve(Call::Swr, key, plan, number, |cache| {
                    cache.get_swr(&key, |_| fetch()).map(told).map_err(why)
                });
            }
            Op::Peek(key) | Op::Ttl(key) | Op::Contains(key) => self.look(key),
            Op::Set(key) => {
                let kept = self.cache.set(key, self.make(key, number, weight)());
                self.last[usize::from(key)] = kept.then_some(number);
                self.not_stored += u64::from(!kept);
            }
            Op::Delete(key) => {
                let servable = self.cache.contains_key(&key);
                assert_eq!(self.cache.delete(&key), servable, "one and the same moment");
                self.last[usize::from(key)] = None;
            }
            Op::Clear => {
                self.cache.clear();
                self.last = [None; KEYS as usize];
                assert_eq!((self.cache.len(), self.cache.weight()), (0, 0));
            }
            Op::Purge => {
                let before = self.cache.len();
                let purged = self.cache.purge();
                let left = self.cache.iter().count();
                assert_eq!((before - purged, self.cache.len()), (left, left), "no more, no less");
            }
            Op::Len | Op::Walk => {}
            Op::Forward(span) => self.clock.advance(span.0),
            Op::Back(span) => back(&self.clock, span.0),
            Op::EndOfTime => self.clock.advance(Duration::MAX),
        }
    }

    fn fetch(
        &self,
        key: u8,
        plan: Plan,
        number: u32,
        weight: u32,
    ) -> impl FnOnce() -> std::result::Result<Value, Fault> + use<> {
        fetch(plan, &self.clock, &self.runs, self.make(key, number, weight))
    }

    /// `get` does not say why it served a value: it was fresh, or covered by stale-if-error. By the value alone it
    /// cannot be told, whose time to live the jitter shortens: who fetched in vain was served a fallback.
    fn get(&mut self, key: u8, plan: Plan, number: u32, weight: u32) {
        let fetch = self.fetch(key, plan, number, weight);
        let (clock, runs) = (self.clock.clone(), Arc::clone(&self.runs));
        let before = runs.load(Relaxed);
        self.serve(Call::Get, key, plan, number, |cache| {
            let value = cache.get(&key, |_| fetch()).map_err(why)?;
            let now = now(&clock);
            let new = value.number == number;
            let how = if value.fresh(now) && (new || runs.load(Relaxed) == before) {
                How::Fresh
            } else if new {
                How::Stale
            } else {
                How::Fallback(Why::Closed)
            };
            Ok(Told { value, age: now.saturating_sub(value.born), how })
        });
    }

    /// Makes one of the `get` calls, and checks its answer.
    fn serve(
        &mut self,
        call: Call,
        key: u8,
        plan: Plan,
        number: u32,
        get: impl FnOnce(&Cache<u8, Value, Fault, Hashing>) -> std::result::Result<Told<Value>, Why>,
    ) {
        let (before, runs) = (now(&self.clock), self.runs.load(Relaxed));
        let servable = self.cache.contains_key(&key);
        let got = unless_panicked(|| get(&self.cache));
        let after = now(&self.clock);
        let ran = self.runs.load(Relaxed) - runs;
        self.gets += 1;
        assert!(ran <= 1, "a call fetches at most once");
        assert!(ran == 1 || servable, "nothing to serve, and no fetch");
        let earlier = self.last[usize::from(key)];
        if ran == 1 {
            match plan.end {
                End::Value => {
                    self.loads += 1;
                    self.last[usize::from(key)] = Some(number);
                }
                End::Error(fault) => {
                    self.failures += 1;
                    if fault == Fault::NoMore {
                        self.last[usize::from(key)] = None;
                    }
                }
                End::Panic => self.failures += 1,
            }
        }
        match got {
            Some(Ok(told)) if told.value.number == number => {
                assert!(ran == 1 && plan.end == End::Value, "{told:?} out of nowhere");
                assert!(matches!(told.how, How::Fresh | How::Stale), "{told:?}");
                self.judge(call, key, Some(number), after, true, &told);
            }
            Some(Ok(told)) => {
                // A fallback is chosen after the fetch, anything else before it.
                let fallback = matches!(told.how, How::Fallback(_));
                let last = if fallback { self.last[usize::from(key)] } else { earlier };
                self.judge(call, key, last, if fallback { after } else { before }, false, &told);
                assert!(
                    ran == 0 || fallback || call == Call::Swr && told.how == How::Stale,
                    "{told:?} needed no fetch"
                );
            }
            Some(Err(why)) => {
                assert_eq!(ran, 1, "{why:?} without a fetch");
                match plan.end {
                    End::Error(fault) => assert_eq!(why, Why::Fetch(fault)),
                    other => panic!("{why:?} after {other:?}"),
                }
            }
            None => assert!(ran == 1 && plan.end == End::Panic, "an unplanned panic"),
        }
    }

    /// Whether a value may be served: `last` is its key's last, `new` if this very call loaded it.
    fn judge(
        &self,
        call: Call,
        key: u8,
        last: Option<u32>,
        at: Duration,
        new: bool,
        told: &Told<Value>,
    ) {
        let Told { value, age, how } = told;
        assert_eq!(value.key, key, "of another key");
        assert_eq!(Some(value.number), last, "not the last of its key");
        assert_eq!(*age, at.saturating_sub(value.born));
        let swr = call == Call::Swr;
        let covered = match how {
            How::Fresh => value.fresh(at),
            How::Stale if new => true,
            How::Stale if swr => ahead(at, value.swr_until()),
            How::Stale => call == Call::Peek && ahead(at, value.gone_at()),
            How::BackOff(..) if swr => ahead(at, value.gone_at()),
            How::BackOff(..) | How::Fallback(_) => ahead(at, value.sie_until()),
        };
        assert!(covered, "past its window at {at:?} by {call:?}: {told:?}");
        // Jitter shortens the lifetime, so only without it is this known.
        if self.small.jitter.0 == 0.0 && *how != How::Fresh {
            assert!(!value.fresh(at), "fresh at {at:?}: {told:?}");
        }
    }

    /// The three ways to look at a key without loading it agree.
    fn look(&self, key: u8) {
        let seen = self.cache.peek(&key).map(told);
        assert_eq!(self.cache.contains_key(&key), seen.is_some());
        assert_eq!(self.cache.ttl(&key).is_some(), seen.is_some());
        if let (Some(told), Some(ttl)) = (seen, self.cache.ttl(&key)) {
            let last = self.last[usize::from(key)];
            self.judge(Call::Peek, key, last, now(&self.clock), false, &told);
            assert_eq!(left(ttl).0, told.how == How::Fresh);
        }
    }

    /// What holds between any two calls.
    fn check(&self) {
        let (len, weight) = (self.cache.len(), self.cache.weight());
        assert!(len <= usize::from(self.small.capacity.0), "{len} values");
        if let Some(most) = self.small.max_weight {
            assert!(weight <= u64::from(most.0), "weight {weight}");
        }
        let now = now(&self.clock);
        let (mut keys, mut weighed) = (HashSet::new(), 0);
        for entry in self.cache.iter() {
            let (key, value) = (*entry.key(), entry.value());
            assert!(keys.insert(key), "{key} twice");
            assert_eq!((key, self.last[usize::from(key)]), (value.key, Some(value.number)));
            assert!(ahead(now, value.gone_at()), "gone: {value:?}");
            weighed += u64::from(value.weight);
        }
        assert!(keys.len() <= len, "{len} values, and {keys:?}");
        if self.small.max_weight.is_some() {
            assert!(weighed <= weight, "{weighed} of {weight}");
        }
        let stats = self.cache.stats();
        assert_eq!(stats.hits + stats.stale_hits + stats.misses, self.gets);
        assert_eq!((stats.loads, stats.failures), (self.loads, self.failures));
        assert!(stats.not_stored >= self.not_stored, "{stats:?}");
    }
}
