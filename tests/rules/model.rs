//! Random sequential programs, run on the cache and on the naive one: every return value is the same.
//!
//! Also from inside a fetch: the clock moves there, and the cache is called again. Capacity is never
//! reached, so nothing is evicted and both must agree to the letter.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use lastcache::{
    BackOff, Cache, CallerRuns, Error, ManualClock, Served, State, Stats, Ttl, Verdict,
};
use proptest::prelude::*;

use super::bench::unless_panicked;
use super::naive::{self, Naive};
use super::tasks::{block_on, turns};

const KEYS: u8 = 4;

/// What a fetch does: how long it takes, what it does to the cache meanwhile, how it ends.
#[derive(Clone, Copy, Debug)]
struct Plan {
    takes: u8,
    meanwhile: Option<Deed>,
    end: End,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Value(u16),
    /// 0 is masked, 1 propagated, 2 says that the value is no more.
    Error(u8),
    Panic,
}

/// A call that runs no fetch.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Peek(u8),
    Set(u8, u16),
    Delete(u8),
    Clear,
    Purge,
    Ttl(u8),
    Contains(u8),
    Len,
    Walk,
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Get(u8, Plan),
    GetStale(u8, Plan),
    GetSwr(u8, Plan),
    /// A fetch that asks for a key of its own, perhaps the same.
    Nested(u8, u8, Plan),
    Deed(Deed),
    Advance(u8),
}

fn deed() -> impl Strategy<Value = Deed> {
    let key = || 0..KEYS;
    prop_oneof![
        2 => key().prop_map(Deed::Peek),
        4 => (key(), any::<u16>()).prop_map(|(key, value)| Deed::Set(key, value)),
        2 => key().prop_map(Deed::Delete),
        1 => Just(Deed::Clear),
        1 => Just(Deed::Purge),
        2 => key().prop_map(Deed::Ttl),
        1 => key().prop_map(Deed::Contains),
        1 => Just(Deed::Len),
        1 => Just(Deed::Walk),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let end = prop_oneof![
        4 => any::<u16>().prop_map(End::Value),
        4 => (0..3u8).prop_map(End::Error),
        1 => Just(End::Panic),
    ];
    // The meanwhile comes after the time: see `run` for why.
    (prop_oneof![3 => Just(0), 1 => 0..8u8], proptest::option::weighted(0.2, deed()), end)
        .prop_map(|(takes, meanwhile, end)| Plan { takes, meanwhile, end })
}

fn op() -> impl Strategy<Value = Op> {
    let key = || 0..KEYS;
    prop_oneof![
        2 => (key(), plan()).prop_map(|(key, plan)| Op::Get(key, plan)),
        4 => (key(), plan()).prop_map(|(key, plan)| Op::GetStale(key, plan)),
        4 => (key(), plan()).prop_map(|(key, plan)| Op::GetSwr(key, plan)),
        1 => (key(), key(), plan()).prop_map(|(outer, inner, plan)| Op::Nested(outer, inner, plan)),
        4 => deed().prop_map(Op::Deed),
        4 => (0..12u8).prop_map(Op::Advance),
    ]
}

#[derive(Clone, Copy, Debug)]
struct Windows {
    ttl: u64,
    swr: u64,
    sie: u64,
    back_off: Option<(u64, u64)>,
}

fn windows() -> impl Strategy<Value = Windows> {
    let span = || prop_oneof![Just(0), 1..30u64, Just(u64::MAX)];
    let back_off = proptest::option::of((1..6u64, 0..20u64));
    (prop_oneof![4 => 1..12u64, 1 => Just(u64::MAX)], span(), span(), back_off).prop_map(
        |(ttl, swr, sie, back_off)| Windows {
            ttl,
            swr,
            sie,
            // Without a stale window the settings refuse one.
            back_off: back_off.filter(|_| swr > 0 || sie > 0),
        },
    )
}

fn span(seconds: u64) -> Duration {
    if seconds == u64::MAX { Duration::MAX } else { Duration::from_secs(seconds) }
}

/// One answer, in words that both sides share.
#[derive(Debug, PartialEq)]
enum Said {
    Nothing,
    Flag(bool),
    Count(usize),
    Left(Option<(bool, Duration)>),
    Value(Result<u16, Why>),
    Served(Result<(u16, Duration, How), Why>),
    Seen(Option<(u16, Duration, How)>),
    Walked(Vec<(u8, u16, bool, Duration)>),
    Panicked,
}

#[derive(Debug, PartialEq)]
enum Why {
    Fetch(u8),
    Panicked,
    Reentrant,
    Closed,
}

#[derive(Debug, PartialEq)]
enum How {
    Fresh,
    Stale,
    BackOff(Why, Duration),
    Fallback(Why),
}

/// Both caches behind the same calls.
trait Side: Clone + Send + 'static {
    fn get(&self, key: u8, fetch: impl FnOnce() -> Result<u16, u8>) -> Said;
    fn get_stale(&self, key: u8, fetch: impl FnOnce() -> Result<u16, u8>) -> Said;
    fn get_swr(&self, key: u8, fetch: impl FnOnce() -> Result<u16, u8> + Send + 'static) -> Said;
    fn deed(&self, deed: Deed) -> Said;
}

#[derive(Clone)]
struct Real(Cache<u8, u16, u8>);

fn why(error: Error<u8>) -> Why {
    match error {
        Error::Fetch(error) => Why::Fetch(*error),
        Error::Panicked => Why::Panicked,
        Error::Reentrant => Why::Reentrant,
        Error::Closed => Why::Closed,
        other => panic!("unknown {other:?}"),
    }
}

fn told(served: Served<u8, u16, u8>) -> (u16, Duration, How) {
    let how = match served.state() {
        State::Fresh => How::Fresh,
        State::Stale => How::Stale,
        State::BackOff { error, retry_in } => How::BackOff(why(error), retry_in),
        State::Fallback { error } => How::Fallback(why(error)),
        other => panic!("unknown {other:?}"),
    };
    (*served, served.age(), how)
}

fn left(ttl: Ttl) -> (bool, Duration) {
    match ttl {
        Ttl::Left(d) => (true, d),
        Ttl::Overdue(d) => (false, d),
    }
}

impl Side for Real {
    fn get(&self, key: u8, fetch: impl FnOnce() -> Result<u16, u8>) -> Said {
        Said::Value(self.0.get(&key, |_| fetch()).map_err(why))
    }

    fn get_stale(&self, key: u8, fetch: impl FnOnce() -> Result<u16, u8>) -> Said {
        Said::Served(self.0.get_stale(&key, |_| fetch()).map(told).map_err(why))
    }

    fn get_swr(&self, key: u8, fetch: impl FnOnce() -> Result<u16, u8> + Send + 'static) -> Said {
        Said::Served(self.0.get_swr(&key, |_| fetch()).map(told).map_err(why))
    }

    fn deed(&self, deed: Deed) -> Said {
        match deed {
            Deed::Peek(key) => Said::Seen(self.0.peek(&key).map(told)),
            Deed::Set(key, value) => Said::Flag(self.0.set(key, value)),
            Deed::Delete(key) => Said::Flag(self.0.delete(&key)),
            Deed::Clear => {
                self.0.clear();
                Said::Nothing
            }
            Deed::Purge => Said::Count(self.0.purge()),
            Deed::Ttl(key) => Said::Left(self.0.ttl(&key).map(left)),
            Deed::Contains(key) => Said::Flag(self.0.contains_key(&key)),
            Deed::Len => Said::Count(self.0.len()),
            Deed::Walk => {
                let mut seen = Vec::new();
                self.0.range(|key, value, ttl| {
                    let (fresh, d) = left(ttl);
                    seen.push((*key, *value, fresh, d));
                    true
                });
                seen.sort_unstable();
                Said::Walked(seen)
            }
        }
    }
}

/// The same cache, called by tasks: each fetch is pending once or twice.
#[derive(Clone)]
struct Tasks(Real);

/// The key says how often.
async fn slow(key: u8, fetch: impl FnOnce() -> Result<u16, u8>) -> Result<u16, u8> {
    turns(1 + usize::from(key % 2)).await;
    fetch()
}

impl Side for Tasks {
    fn get(&self, key: u8, fetch: impl FnOnce() -> Result<u16, u8>) -> Said {
        let Tasks(Real(cache)) = self;
        Said::Value(block_on(cache.get_async(&key, slow(key, fetch))).map_err(why))
    }

    fn get_stale(&self, key: u8, fetch: impl FnOnce() -> Result<u16, u8>) -> Said {
        let Tasks(Real(cache)) = self;
        Said::Served(block_on(cache.get_stale_async(&key, slow(key, fetch))).map(told).map_err(why))
    }

    fn get_swr(&self, key: u8, fetch: impl FnOnce() -> Result<u16, u8> + Send + 'static) -> Said {
        let Tasks(Real(cache)) = self;
        Said::Served(block_on(cache.get_swr_async(&key, slow(key, fetch))).map(told).map_err(why))
    }

    fn deed(&self, deed: Deed) -> Said {
        self.0.deed(deed)
    }
}

#[derive(Clone)]
struct Model(Naive<u8, u16, u8>);

fn naive_why(error: naive::Error<u8>) -> Why {
    match error {
        naive::Error::Fetch(error) => Why::Fetch(*error),
        naive::Error::Panicked => Why::Panicked,
        naive::Error::Reentrant => Why::Reentrant,
        naive::Error::Closed => Why::Closed,
    }
}

fn naive_told(answer: naive::Answer<u16, u8>) -> (u16, Duration, How) {
    let how = match answer.state {
        naive::Served::Fresh => How::Fresh,
        naive::Served::Stale => How::Stale,
        naive::Served::BackOff { error, retry_in } => How::BackOff(naive_why(error), retry_in),
        naive::Served::Fallback { error } => How::Fallback(naive_why(error)),
    };
    (answer.value, answer.age, how)
}

fn naive_left(ttl: naive::Ttl) -> (bool, Duration) {
    match ttl {
        naive::Ttl::Left(d) => (true, d),
        naive::Ttl::Overdue(d) => (false, d),
    }
}

impl Side for Model {
    fn get(&self, key: u8, fetch: impl FnOnce() -> Result<u16, u8>) -> Said {
        Said::Value(self.0.get(&key, |_| fetch()).map_err(naive_why))
    }

    fn get_stale(&self, key: u8, fetch: impl FnOnce() -> Result<u16, u8>) -> Said {
        Said::Served(self.0.get_stale(&key, |_| fetch()).map(naive_told).map_err(naive_why))
    }

    fn get_swr(&self, key: u8, fetch: impl FnOnce() -> Result<u16, u8> + Send + 'static) -> Said {
        Said::Served(self.0.get_swr(&key, |_| fetch()).map(naive_told).map_err(naive_why))
    }

    fn deed(&self, deed: Deed) -> Said {
        match deed {
            Deed::Peek(key) => Said::Seen(self.0.peek(&key).map(naive_told)),
            Deed::Set(key, value) => Said::Flag(self.0.set(key, value)),
            Deed::Delete(key) => Said::Flag(self.0.delete(&key)),
            Deed::Clear => {
                self.0.clear();
                Said::Nothing
            }
            Deed::Purge => Said::Count(self.0.purge()),
            Deed::Ttl(key) => Said::Left(self.0.ttl(&key).map(naive_left)),
            Deed::Contains(key) => Said::Flag(self.0.contains_key(&key)),
            Deed::Len => Said::Count(self.0.len()),
            Deed::Walk => {
                let mut seen = Vec::new();
                self.0.range(|key, value, ttl| {
                    let (fresh, d) = naive_left(ttl);
                    seen.push((*key, *value, fresh, d));
                    true
                });
                seen.sort_unstable();
                Said::Walked(seen)
            }
        }
    }
}

/// The fetch of a plan. The time passes first, so that what it sets is as young as its answer.
fn fetch<T: Side>(
    side: &T,
    clock: &ManualClock,
    plan: Plan,
) -> impl FnOnce() -> Result<u16, u8> + Send + use<T> {
    let (side, clock) = (side.clone(), clock.clone());
    move || {
        clock.advance(Duration::from_secs(plan.takes.into()));
        if let Some(deed) = plan.meanwhile {
            side.deed(deed);
        }
        match plan.end {
            End::Value(value) => Ok(value),
            End::Error(error) => Err(error),
            // Without the hook: thousands of reports would tell nothing.
            End::Panic => resume_unwind(Box::new("planned")),
        }
    }
}

/// Everything that one side says to a program, in order.
fn run<T: Side>(side: &T, clock: &ManualClock, ops: &[Op]) -> Vec<Said> {
    let mut said = Vec::new();
    for op in ops {
        let mut inner = None;
        let one = unless_panicked(|| match *op {
            Op::Get(key, plan) => side.get(key, fetch(side, clock, plan)),
            Op::GetStale(key, plan) => side.get_stale(key, fetch(side, clock, plan)),
            Op::GetSwr(key, plan) => side.get_swr(key, fetch(side, clock, plan)),
            Op::Nested(outer, key, plan) => side.get_stale(outer, || {
                inner = Some(side.get_stale(key, fetch(side, clock, plan)));
                Ok(9)
            }),
            Op::Deed(deed) => side.deed(deed),
            Op::Advance(seconds) => {
                clock.advance(Duration::from_secs(seconds.into()));
                Said::Nothing
            }
        });
        said.push(one.unwrap_or(Said::Panicked));
        said.extend(inner);
        // The state of everything, after every step.
        said.push(side.deed(Deed::Walk));
        said.push(side.deed(Deed::Len));
    }
    said
}

fn judge(error: &u8) -> u8 {
    *error
}

fn real(windows: Windows, clock: &ManualClock) -> Real {
    let back_off = windows.back_off.map_or(BackOff::NONE, |(first, more)| {
        BackOff::exponential(span(first), span(first + more))
    });
    Real(
        Cache::<u8, u16>::builder()
            .error_type::<u8>()
            .capacity(64)
            .ttl(span(windows.ttl))
            .stale_while_revalidate(span(windows.swr))
            .stale_if_error(span(windows.sie))
            .back_off(back_off)
            .verdict(|error| match judge(error) {
                0 => Verdict::ServeStale,
                1 => Verdict::Propagate,
                _ => Verdict::Remove,
            })
            .executor(CallerRuns)
            .clock(clock)
            .build()
            .unwrap(),
    )
}

fn by_threads(windows: Windows, ops: &[Op]) -> (Vec<Said>, Stats) {
    let clock = ManualClock::new();
    let real = real(windows, &clock);
    (run(&real, &clock, ops), real.0.stats())
}

fn by_tasks(windows: Windows, ops: &[Op]) -> (Vec<Said>, Stats) {
    let clock = ManualClock::new();
    let tasks = Tasks(real(windows, &clock));
    (run(&tasks, &clock, ops), tasks.0.0.stats())
}

fn by_model(windows: Windows, ops: &[Op]) -> (Vec<Said>, naive::Stats) {
    let clock = ManualClock::new();
    let time = clock.clone();
    let model = Model(Naive::new(naive::Settings {
        capacity: 64,
        ttl: span(windows.ttl),
        stale_while_revalidate: span(windows.swr),
        stale_if_error: span(windows.sie),
        back_off: windows.back_off.map_or(naive::BackOff::None, |(first, more)| {
            naive::BackOff::Exponential { first: span(first), cap: span(first + more) }
        }),
        verdict: |error| match judge(error) {
            0 => naive::Verdict::ServeStale,
            1 => naive::Verdict::Propagate,
            _ => naive::Verdict::Remove,
        },
        background: naive::Background::Caller,
        time: Arc::new(move || time.now()),
    }));
    (run(&model, &clock, ops), model.0.stats())
}

/// 500 programs, or as many more as `PROPTEST_CASES` says.
fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig { cases: default.cases.max(500), failure_persistence: None, ..default }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_cache_says_what_the_naive_cache_says(
        windows in windows(),
        ops in proptest::collection::vec(op(), 1..60),
    ) {
        let (model, counted) = by_model(windows, &ops);
        for (real, stats) in [by_threads(windows, &ops), by_tasks(windows, &ops)] {
            for (at, (real, model)) in real.iter().zip(&model).enumerate() {
                prop_assert_eq!(real, model, "answer {}", at);
            }
            prop_assert_eq!(real.len(), model.len());
            prop_assert_eq!(
                (stats.hits, stats.stale_hits, stats.misses, stats.loads, stats.failures),
                (counted.hits, counted.stale_hits, counted.misses, counted.loads, counted.failures)
            );
            prop_assert_eq!(
                (stats.panics, stats.refreshes, stats.late_loads, stats.evictions),
                (counted.panics, counted.refreshes, counted.late_loads, 0)
            );
            prop_assert_eq!(stats.not_stored, 0);
        }
    }
}
