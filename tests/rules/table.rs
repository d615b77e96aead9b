//! Every cell of the table of answers: call × front × age × outcome of the fetch × back-off.
//!
//! A value published at 0 is fresh until 10. It is stale until 30 and 50, where either window may be
//! the longer one. The rows name zones; each zone lists every age that is worth trying, both sides of
//! each boundary among them. The test fails when a combination is covered by no row, or by two.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use lastcache::{BackOff, Error, ManualClock, State, Ttl};

use super::bench::{Fault, Plain, Tray, plain, secs, unless_panicked};
use super::tasks::{block_on, turns};

const TICK: Duration = Duration::from_nanos(1);
const KEY: u32 = 7;
const OLD: u32 = 1;
const NEW: u32 = 2;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    Get,
    GetStale,
    GetSwr,
}
use Call::*;

/// Who calls: a thread, or a task whose fetch is pending twice.
#[derive(Clone, Copy, Debug)]
enum Front {
    Thread,
    Task,
}

/// Which windows still cover the value.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Zone {
    Fresh,
    Both,
    OnlySwr,
    OnlySie,
    Gone,
    Absent,
}
use Zone::*;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Back {
    /// No load of the value has failed.
    No,
    /// One has, a second ago or less, and the back-off is five.
    In,
    /// One has, exactly as long ago as the back-off lasts.
    Over,
}
use Back::*;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fetch {
    Ok,
    Fails,
    Panics,
}
use Fetch::{Fails, Ok as Works, Panics};

/// What the caller gets, and where the fetch runs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    /// The old value, fresh; no fetch.
    Hit,
    /// The old value, stale, at once; one background refresh.
    AtOnce,
    /// The old value, flagged with the last error; no fetch.
    Refused,
    /// The new value; the caller ran the fetch.
    Loaded,
    /// The old value, flagged with the error of the fetch that the caller ran.
    Covered,
    /// The error of the fetch that the caller ran.
    Fault,
    /// The panic of the fetch that the caller ran goes on.
    Unwinds,
}
use Answer::*;

const WAITING: &[Call] = &[Get, GetStale];
const ALL: &[Call] = &[Get, GetStale, GetSwr];
const FREE: &[Back] = &[No, Over];
const ANY: &[Back] = &[No, In, Over];

type Row = (&'static [Call], &'static [Zone], &'static [Back], &'static [Fetch], Answer);

const TABLE: &[Row] = &[
    (ALL, &[Fresh], ANY, &[Works, Fails, Panics], Hit),
    // Waiting calls: the stale-if-error window is what counts.
    (WAITING, &[Both, OnlySie], FREE, &[Works], Loaded),
    (WAITING, &[Both, OnlySie], FREE, &[Fails], Covered),
    (WAITING, &[Both, OnlySie], FREE, &[Panics], Unwinds),
    (WAITING, &[Both, OnlySie], &[In], &[Works, Fails, Panics], Refused),
    (WAITING, &[OnlySwr], ANY, &[Works], Loaded),
    (WAITING, &[OnlySwr], ANY, &[Fails], Fault),
    (WAITING, &[OnlySwr], ANY, &[Panics], Unwinds),
    // `get_swr`: at once inside the first window, as the others past it.
    (&[GetSwr], &[Both, OnlySwr], FREE, &[Works, Fails, Panics], AtOnce),
    (&[GetSwr], &[OnlySie], FREE, &[Works], Loaded),
    (&[GetSwr], &[OnlySie], FREE, &[Fails], Covered),
    (&[GetSwr], &[OnlySie], FREE, &[Panics], Unwinds),
    (&[GetSwr], &[Both, OnlySwr, OnlySie], &[In], &[Works, Fails, Panics], Refused),
    // Nothing to serve: back-off or not.
    (ALL, &[Gone, Absent], ANY, &[Works], Loaded),
    (ALL, &[Gone, Absent], ANY, &[Fails], Fault),
    (ALL, &[Gone, Absent], ANY, &[Panics], Unwinds),
];

/// The windows past `fresh_until` (swr, sie) and the age that put a value into the zone.
fn ages(zone: Zone) -> Vec<(u64, u64, Duration)> {
    let both_ways = |ages: &[Duration]| -> Vec<_> {
        ages.iter().flat_map(|age| [(20, 40, *age), (40, 20, *age)]).collect()
    };
    let longer = [secs(30), secs(30) + TICK, secs(40), secs(50) - TICK];
    match zone {
        Fresh => both_ways(&[secs(0), secs(9), secs(10) - TICK]),
        Both => both_ways(&[secs(10), secs(10) + TICK, secs(29), secs(30) - TICK]),
        OnlySwr => longer
            .iter()
            .map(|age| (40, 20, *age))
            .chain([(20, 0, secs(10)), (20, 0, secs(30) - TICK)])
            .collect(),
        OnlySie => longer
            .iter()
            .map(|age| (20, 40, *age))
            .chain([(0, 20, secs(10)), (0, 20, secs(30) - TICK)])
            .collect(),
        Gone => [(0, 0, secs(10)), (20, 0, secs(30)), (0, 20, secs(30))]
            .into_iter()
            .chain(both_ways(&[secs(50), secs(50) + TICK, secs(1_000_000)]))
            .collect(),
        Absent => both_ways(&[secs(0)]),
    }
}

struct Case {
    call: Call,
    front: Front,
    zone: Zone,
    back: Back,
    fetch: Fetch,
    swr: u64,
    sie: u64,
    age: Duration,
}

impl Case {
    /// The clock at `age`, and the cache as the case wants it; `None` where it cannot be so.
    fn set_up(&self, tray: &Tray) -> Option<(ManualClock, Plain)> {
        let clock = ManualClock::new();
        // In back-off: failed at most a second ago. Over: failed two seconds ago, to the tick.
        let lasting = if self.back == Over { secs(2) } else { secs(5) };
        let build = plain(&clock)
            .ttl(secs(10))
            .stale_while_revalidate(secs(self.swr))
            .stale_if_error(secs(self.sie))
            .executor(tray.clone());
        // The settings refuse a back-off that could never matter.
        let build = if self.swr + self.sie > 0 {
            build.back_off(BackOff::fixed(lasting))
        } else if self.back == No {
            build
        } else {
            return None;
        };
        let cache = build.build().unwrap();
        if self.zone == Absent {
            // Absent has no back-off: a failed cold load must leave none.
            if self.back != No {
                assert!(cache.get(&KEY, |_| Err("before")).is_err());
            }
            if self.back == Over {
                clock.advance(secs(2));
            }
            return Some((clock, cache));
        }
        assert!(cache.set(KEY, OLD));
        let failed_at = match (self.back, self.zone) {
            (No, _) => None,
            // A fresh value has no failed load: a `set` ended the back-off of the one before.
            (_, Fresh) => {
                clock.set(secs(10));
                drop(cache.get(&KEY, |_| Err("before")));
                assert!(cache.set(KEY, OLD));
                clock.advance(self.age);
                return Some((clock, cache));
            }
            (In, _) => Some(self.age.saturating_sub(secs(1)).max(secs(10))),
            (Over, _) => Some(self.age.checked_sub(secs(2)).filter(|at| *at >= secs(10))?),
        };
        if let Some(at) = failed_at {
            clock.set(at);
            drop(cache.get(&KEY, |_| Err("before")));
        }
        clock.set(self.age);
        Some((clock, cache))
    }

    fn run(&self, expected: Answer) {
        let tray = Tray::default();
        let Some((_clock, cache)) = self.set_up(&tray) else { return };
        let before = cache.peek(&KEY).map(|held| held.age());
        let ttl = cache.ttl(&KEY);
        assert_eq!(ttl.is_some(), !matches!(self.zone, Gone | Absent));
        let runs = Arc::new(AtomicUsize::new(0));
        let (outcome, counter) = (self.fetch, Arc::clone(&runs));
        let fetch = move |key: &u32| {
            assert_eq!(*key, KEY);
            counter.fetch_add(1, SeqCst);
            match outcome {
                Fetch::Ok => Ok(NEW),
                Fails => Err("down"),
                Panics => panic!("boom"),
            }
        };
        let (answer, ran) = self.ask(&cache, fetch, &runs);
        assert_eq!(answer, expected);
        let in_front = matches!(expected, Loaded | Covered | Fault | Unwinds);
        assert_eq!(ran, usize::from(in_front), "fetches in front");
        assert_eq!(tray.len(), usize::from(expected == AtOnce), "background refreshes");
        match expected {
            Loaded => {
                assert_eq!(cache.ttl(&KEY), Some(Ttl::Left(secs(10))));
                assert_eq!(cache.peek(&KEY).map(|held| *held), Some(NEW));
            }
            _ => {
                // Whatever did not load has not made the old value look any younger.
                assert_eq!(cache.ttl(&KEY), ttl);
                assert_eq!(cache.peek(&KEY).map(|held| held.age()), before);
            }
        }
        if expected == AtOnce {
            // A second stale read starts nothing more.
            let again = cache.get_swr(&KEY, super::bench::never).unwrap();
            assert_eq!((*again, tray.len()), (OLD, 1));
            assert_eq!(tray.run(), 1);
            assert_eq!(runs.load(SeqCst), 1, "the background fetch ran");
            if self.fetch == Fetch::Ok {
                assert_eq!(cache.ttl(&KEY), Some(Ttl::Left(secs(10))));
            } else {
                assert_eq!(cache.ttl(&KEY), ttl);
                let state = cache.get_swr(&KEY, super::bench::never).unwrap().state();
                assert!(matches!(state, State::BackOff { .. }), "{state:?}");
            }
        }
        let stats = cache.stats();
        let panicked = self.fetch == Panics && runs.load(SeqCst) > 0;
        assert_eq!(stats.panics, u64::from(panicked));
    }

    /// What the call answered, as a word, and how often the fetch ran inside it.
    fn ask(
        &self,
        cache: &Plain,
        fetch: impl FnOnce(&u32) -> Result<u32, Fault> + Send + 'static,
        runs: &AtomicUsize,
    ) -> (Answer, usize) {
        let said = |s: lastcache::Served<u32, u32, Fault>| (*s, Some((s.state(), s.is_stale())));
        let served = unless_panicked(|| match (self.front, self.call) {
            (Front::Thread, Get) => cache.get(&KEY, fetch).map(|value| (value, None)),
            (Front::Thread, GetStale) => cache.get_stale(&KEY, fetch).map(said),
            (Front::Thread, GetSwr) => cache.get_swr(&KEY, fetch).map(said),
            (Front::Task, call) => {
                let fetch = async move {
                    turns(2).await;
                    fetch(&KEY)
                };
                match call {
                    Get => block_on(cache.get_async(&KEY, fetch)).map(|value| (value, None)),
                    GetStale => block_on(cache.get_stale_async(&KEY, fetch)).map(said),
                    GetSwr => block_on(cache.get_swr_async(&KEY, fetch)).map(said),
                }
            }
        });
        let ran = runs.load(SeqCst);
        let answer = match served {
            None => Unwinds,
            Some(Err(error)) => {
                assert_eq!(error.fetch_error(), Some(&"down"));
                Fault
            }
            Some(Ok((NEW, None))) => Loaded,
            // `get` says nothing of the state; what it did tells the rows apart.
            Some(Ok((OLD, None))) if ran == 1 => Covered,
            Some(Ok((OLD, None))) if matches!(cache.ttl(&KEY), Some(Ttl::Left(_))) => Hit,
            Some(Ok((OLD, None))) => Refused,
            Some(Ok((value, Some((state, is_stale))))) => {
                assert_eq!(is_stale, !matches!(state, State::Fresh));
                self.word(value, state)
            }
            Some(Ok((value, None))) => panic!("{value} comes from nowhere"),
        };
        (answer, ran)
    }

    fn word(&self, value: u32, state: State<Fault>) -> Answer {
        match (value, state) {
            (OLD, State::Fresh) => Hit,
            (NEW, State::Fresh) => Loaded,
            (OLD, State::Stale) => AtOnce,
            (OLD, State::BackOff { error, retry_in }) => {
                assert_eq!(error.fetch_error(), Some(&"before"));
                let failed = self.age.saturating_sub(secs(1)).max(secs(10));
                assert_eq!(retry_in, failed + secs(5) - self.age);
                Refused
            }
            (OLD, State::Fallback { error }) => {
                assert!(matches!(error, Error::Fetch(e) if *e == "down"));
                Covered
            }
            (value, state) => panic!("{value} as {state:?}"),
        }
    }
}

#[test]
fn every_call_answers_in_every_state_as_the_table_says() {
    let mut cases = 0;
    for call in [Get, GetStale, GetSwr] {
        for zone in [Fresh, Both, OnlySwr, OnlySie, Gone, Absent] {
            for back in [No, In, Over] {
                for fetch in [Works, Fails, Panics] {
                    let covers = |(calls, zones, backs, fetches, _): &&Row| {
                        calls.contains(&call)
                            && zones.contains(&zone)
                            && backs.contains(&back)
                            && fetches.contains(&fetch)
                    };
                    let rows: Vec<_> = TABLE.iter().filter(covers).collect();
                    let cell = format!("{call:?} {zone:?} {back:?} {fetch:?}");
                    assert_eq!(rows.len(), 1, "rows for {cell}");
                    for (swr, sie, age) in ages(zone) {
                        for front in [Front::Thread, Front::Task] {
                            println!("{front:?} {cell} at {age:?}, windows {swr} and {sie}");
                            Case { call, front, zone, back, fetch, swr, sie, age }.run(rows[0].4);
                            cases += 1;
                        }
                    }
                }
            }
        }
    }
    assert!(cases > 1_600, "only {cases} cases");
}
