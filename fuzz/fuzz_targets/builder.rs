//! Any settings: an error that names those at fault, or a cache that works. Never a panic.
//!
//! What is at fault is said here once more, from the builder's documentation.

#![no_main]

use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};
use lastcache::{BackOff, Cache, CallerRuns, Clock, Lifetime, ManualClock};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Settings {
    capacity: Option<Capacity>,
    ttl: Option<Time>,
    stale_if_error: Option<Time>,
    stale_ttl: Option<Time>,
    stale_while_revalidate: Option<Time>,
    back_off: Option<(Time, Time)>,
    jitter: Option<Fraction>,
    max_weight: Option<u64>,
    weigher: Option<u32>,
    lifetime: Option<(Time, Option<Time>)>,
    max_concurrent_refresh: Option<usize>,
    refresh_queue: Option<usize>,
    clock: Option<Which>,
    caller_runs: bool,
    /// Whether the hooks that take an error come before its type.
    verdict_first: bool,
    on_error_first: bool,
    thread_hot_set: Option<Spots>,
    on_panic: bool,
}

/// All memory is taken when a cache is built, so what is allowed is small, or too much by far.
#[derive(Clone, Copy, Debug)]
struct Capacity(usize);

impl Arbitrary<'_> for Capacity {
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        Ok(Self(match u.int_in_range(0..=4u8)? {
            0 => 0,
            1 => MOST + 1 + usize::from(u.arbitrary::<u16>()?),
            2 => usize::MAX - usize::from(u.arbitrary::<u16>()?),
            3 => usize::from(u.arbitrary::<u8>()?),
            _ => usize::from(u.arbitrary::<u16>()?),
        }))
    }
}

const MOST: usize = 1 << 31;

/// Around what is allowed.
#[derive(Clone, Copy, Debug)]
struct Spots(usize);

impl Arbitrary<'_> for Spots {
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        Ok(Self(match u.int_in_range(0..=3u8)? {
            0 => MOST_SPOTS - 1 + usize::from(u.int_in_range(0..=2u8)?),
            1 => u.arbitrary()?,
            _ => usize::from(u.arbitrary::<u8>()?),
        }))
    }
}

const MOST_SPOTS: usize = 1 << 16;

/// Any length of time, and often one of a few, so that two are equal at times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Time(Duration);

impl Arbitrary<'_> for Time {
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        Ok(Self(match u.int_in_range(0..=6u8)? {
            0 => Duration::ZERO,
            1 => Duration::MAX,
            2 => Duration::from_nanos(9_999_999),
            3 => Duration::from_millis(10),
            4 => Duration::from_secs(1),
            5 => Duration::from_millis(u.arbitrary::<u16>()?.into()),
            _ => u.arbitrary()?,
        }))
    }
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Precise,
    Coarse,
    Manual,
}

/// Any number, and often one that is allowed.
#[derive(Clone, Copy, Debug)]
struct Fraction(f64);

impl Arbitrary<'_> for Fraction {
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        Ok(Self(match u.int_in_range(0..=3u8)? {
            0 => 0.0,
            1 => 1.0,
            2 => f64::from(u.arbitrary::<u8>()?) / 255.0,
            _ => u.arbitrary()?,
        }))
    }
}

type Names = Vec<&'static str>;

impl Settings {
    fn stale_windows_are_off(&self) -> bool {
        let stale_if_error = self.stale_if_error.or(self.stale_ttl);
        // Unset, the one is off and the other unbounded.
        stale_if_error.is_none_or(|t| t.0.is_zero())
            && self.stale_while_revalidate.is_some_and(|t| t.0.is_zero())
    }

    /// Every fault, by the names of the settings that an error may give for it.
    fn faults(&self) -> Vec<Names> {
        let mut faults = Vec::new();
        let mut fault = |wrong: bool, names: &[&'static str]| {
            if wrong {
                faults.push(names.to_vec());
            }
        };
        fault(self.capacity.is_some_and(|n| n.0 == 0 || n.0 > MOST), &["capacity"]);
        fault(self.max_weight == Some(0), &["max_weight"]);
        fault(self.max_weight.is_some() && self.weigher.is_none(), &["max_weight", "weigher"]);
        fault(self.max_weight.is_none() && self.weigher.is_some(), &["max_weight", "weigher"]);
        fault(self.jitter.is_some_and(|x| !(0.0..=1.0).contains(&x.0)), &["jitter"]);
        let both = self.stale_if_error.zip(self.stale_ttl);
        fault(both.is_some_and(|(a, b)| a != b), &["stale_if_error", "stale_ttl"]);
        let back_off = self.back_off.map(|(first, cap)| (first.0, cap.0));
        fault(back_off.is_some_and(|(first, cap)| first > cap), &["back_off"]);
        fault(
            back_off.is_some_and(|(first, _)| !first.is_zero())
                && self.stale_windows_are_off()
                && self.lifetime.is_none(),
            &["back_off", "stale_if_error", "stale_while_revalidate"],
        );
        fault(self.max_concurrent_refresh == Some(0), &["max_concurrent_refresh"]);
        fault(self.thread_hot_set.is_some_and(|n| n.0 > MOST_SPOTS), &["thread_hot_set"]);
        let times = [
            ("ttl", self.ttl),
            ("stale_if_error", self.stale_if_error),
            ("stale_ttl", self.stale_ttl),
            ("stale_while_revalidate", self.stale_while_revalidate),
            ("back_off", self.back_off.map(|(first, _)| first)),
        ];
        for (name, time) in times {
            let short = time.is_some_and(|t| !t.0.is_zero() && t.0 < Duration::from_millis(10));
            let coarse = cfg!(target_os = "linux") && self.clock == Some(Which::Coarse);
            fault(coarse && short, &["clock", name]);
        }
        fault(self.verdict_first, &["error_type", "verdict"]);
        fault(self.on_error_first, &["error_type", "on_error"]);
        faults.iter_mut().for_each(|names| names.sort_unstable());
        faults
    }

    fn build(&self) -> std::result::Result<Cache<u8, u8, String>, lastcache::BuildError> {
        let mut early = Cache::<u8, u8>::builder();
        if self.verdict_first {
            early = early.verdict(|_| Default::default());
        }
        if self.on_error_first {
            early = early.on_error(|_, _| ());
        }
        let mut builder = early.error_type::<String>();
        macro_rules! set {
            ($($name:ident = $value:expr;)*) => {
                $(if let Some(value) = $value {
                    builder = builder.$name(value);
                })*
            };
        }
        set! {
            capacity = self.capacity.map(|n| n.0);
            ttl = self.ttl.map(|t| t.0);
            stale_if_error = self.stale_if_error.map(|t| t.0);
            stale_ttl = self.stale_ttl.map(|t| t.0);
            stale_while_revalidate = self.stale_while_revalidate.map(|t| t.0);
            back_off = self.back_off.map(|(first, cap)| BackOff::exponential(first.0, cap.0));
            jitter = self.jitter.map(|x| x.0);
            max_weight = self.max_weight;
            weigher = self.weigher.map(|weight| move |_: &u8, _: &u8| weight);
            lifetime = self.lifetime.map(|(ttl, stale)| move |_: &u8, _: &u8| {
                let lifetime = Lifetime::new().ttl(ttl.0);
                stale.map_or(lifetime, |t| lifetime.stale_while_revalidate(t.0))
            });
            max_concurrent_refresh = self.max_concurrent_refresh;
            refresh_queue = self.refresh_queue;
            clock = self.clock.map(|which| match which {
                Which::Precise => Clock::precise(),
                Which::Coarse => Clock::coarse(),
                Which::Manual => ManualClock::new().into(),
            });
            executor = self.caller_runs.then_some(CallerRuns);
            thread_hot_set = self.thread_hot_set.map(|n| n.0);
            on_panic = self.on_panic.then_some(|_: &u8, _: &str| ());
        }
        builder.build()
    }

    /// Whether a value stays fresh until the end of the test.
    fn keeps_fresh(&self) -> bool {
        self.clock == Some(Which::Manual)
            && self.jitter.is_none_or(|x| x.0 == 0.0)
            && self.lifetime.map_or(self.ttl, |(ttl, _)| Some(ttl)).is_none_or(|t| !t.0.is_zero())
    }
}

fuzz_target!(|settings: Settings| {
    let faults = settings.faults();
    let cache = match settings.build() {
        Ok(cache) => cache,
        Err(error) => {
            let (message, mut names) = (error.to_string(), error.settings().to_vec());
            assert!(names.iter().all(|name| message.contains(name)), "{error:?}");
            names.sort_unstable();
            assert!(faults.contains(&names), "{error:?}, and the faults are {faults:?}");
            return;
        }
    };
    assert!(faults.is_empty(), "built, in spite of {faults:?}");
    assert_eq!(cache.capacity(), settings.capacity.map_or(10_000, |n| n.0));
    let kept = cache.set(1, 10);
    let fits = settings.weigher.map(u64::from) <= settings.max_weight;
    assert_eq!((kept, cache.len()), (fits, usize::from(fits)));
    let got = cache.get(&1, |_| Ok(11));
    match got {
        Ok(10) => assert!(kept, "it was not kept"),
        Ok(11) => assert!(!kept || !settings.keeps_fresh(), "it was fresh"),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        cache.get(&2, |_| Err("down".into())).map_err(|e| e.to_string()),
        Err("fetch failed: down".into())
    );
});
