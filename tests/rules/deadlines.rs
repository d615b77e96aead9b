//! Deadlines are fixed at publication: only a successful load or a `set` moves them.

use std::sync::mpsc;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use lastcache::{CallerRuns, Error, ManualClock, State, Ttl, Verdict};

use super::bench::{Fault, Plain, Tray, down, never, panics, plain, secs};

fn ten_twenty_forty() -> (ManualClock, Plain) {
    let clock = ManualClock::new();
    let windows = plain(&clock).ttl(secs(10)).stale_while_revalidate(secs(20));
    let cache = windows.stale_if_error(secs(40)).executor(CallerRuns).build().unwrap();
    (clock, cache)
}

#[test]
fn ttl_counts_from_the_end_of_the_load() {
    let (clock, cache) = ten_twenty_forty();
    let slow = |_: &u32| {
        clock.advance(secs(7));
        Ok(1)
    };
    let served = cache.get_stale(&1, slow).unwrap();
    assert_eq!(served.age(), Duration::ZERO);
    assert_eq!(cache.ttl(&1), Some(Ttl::Left(secs(10))));
    clock.set(secs(17) - Duration::from_nanos(1));
    assert_eq!(cache.get(&1, never).unwrap(), 1);
    clock.set(secs(17));
    assert_eq!(cache.get(&1, |_| Ok(2)).unwrap(), 2);
}

#[test]
fn failed_refreshes_never_extend_a_value() {
    let (clock, cache) = ten_twenty_forty();
    cache.set(1, 1);
    for now in 10..50 {
        clock.set(secs(now));
        let served = cache.get_stale(&1, down).unwrap();
        assert_eq!((served.age(), cache.ttl(&1)), (secs(now), Some(Ttl::Overdue(secs(now - 10)))));
        assert!(matches!(served.state(), State::Fallback { .. }));
        if now < 30 {
            let served = cache.get_swr(&1, down).unwrap();
            assert!(matches!(served.state(), State::Stale));
            assert_eq!(served.age(), secs(now));
        }
    }
    clock.set(secs(50));
    assert!(cache.get_stale(&1, down).is_err());
    assert!(cache.get_swr(&1, down).is_err());
    assert!(cache.peek(&1).is_none() && cache.ttl(&1).is_none() && !cache.contains_key(&1));
}

#[test]
fn a_success_and_a_set_move_every_deadline() {
    for by_set in [false, true] {
        let (clock, cache) = ten_twenty_forty();
        cache.set(1, 1);
        clock.set(secs(45));
        if by_set {
            cache.set(1, 2);
        } else {
            cache.get(&1, |_| Ok(2)).unwrap();
        }
        assert_eq!(cache.ttl(&1), Some(Ttl::Left(secs(10))));
        clock.set(secs(94));
        assert_eq!(cache.get(&1, down).unwrap(), 2);
        clock.set(secs(95));
        assert!(cache.get(&1, down).is_err());
    }
}

#[test]
fn a_background_refresh_counts_its_ttl_from_its_end_too() {
    let (clock, cache) = ten_twenty_forty();
    cache.set(1, 1);
    clock.set(secs(12));
    let late = clock.clone();
    let served = cache.get_swr(&1, move |_| {
        late.advance(secs(5));
        Ok(2)
    });
    // The caller's answer is of the moment before.
    assert_eq!(served.unwrap().age(), secs(12));
    assert_eq!(cache.ttl(&1), Some(Ttl::Left(secs(10))));
    assert_eq!(clock.now(), secs(17));
}

#[test]
fn the_fallback_is_judged_at_the_moment_of_answering() {
    let (clock, cache) = ten_twenty_forty();
    cache.set(1, 1);
    clock.set(secs(49));
    let slow = |_: &u32| {
        clock.advance(secs(1));
        Err("down")
    };
    assert!(cache.get_stale(&1, slow).is_err(), "the window closed during the fetch");

    let (clock, cache) = ten_twenty_forty();
    cache.set(1, 1);
    clock.set(secs(48));
    let served = cache.get_stale(&1, |_| {
        clock.advance(secs(1));
        Err("down")
    });
    assert_eq!(served.unwrap().age(), secs(49));
}

/// A caller that leads, in another thread, until told how its fetch ends.
fn lead(cache: &Plain) -> (mpsc::Sender<Result<u32, Fault>>, thread::JoinHandle<bool>) {
    let (end, ended) = mpsc::channel();
    let (began, running) = mpsc::channel();
    let cache = cache.clone();
    let leader = thread::spawn(move || {
        panics(|| {
            drop(cache.get_stale(&1, |_| {
                began.send(()).unwrap();
                ended.recv().expect("a fetch whose end is not told panics")
            }))
        })
    });
    running.recv().unwrap();
    (end, leader)
}

/// What two joiners of a flight get; they have joined when the flight ends.
fn joined(cache: &Plain, end: impl FnOnce()) -> Vec<Result<(u32, State<Fault>), Error<Fault>>> {
    let before = cache.stats().joins;
    thread::scope(|scope| {
        let join = || scope.spawn(|| cache.get_stale(&1, never).map(|s| (*s, s.state())));
        let joiners = [join(), join()];
        while cache.stats().joins < before + 2 {
            thread::yield_now();
        }
        end();
        joiners.map(|joiner| joiner.join().unwrap()).into()
    })
}

#[test]
fn joiners_get_the_leaders_outcome() {
    // Cold.
    let (_clock, cache) = ten_twenty_forty();
    let (end, _leader) = lead(&cache);
    for got in joined(&cache, || end.send(Ok(2)).unwrap()) {
        assert!(matches!(got, Ok((2, State::Fresh))));
    }
    let (_clock, cache) = ten_twenty_forty();
    let (end, _leader) = lead(&cache);
    let errors: Vec<_> = joined(&cache, || end.send(Err("down")).unwrap())
        .into_iter()
        .map(|got| match got {
            Err(Error::Fetch(error)) => error,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(Arc::ptr_eq(&errors[0], &errors[1]), "one error for all");

    // Stale: covered inside the window, by the error the leader got.
    let (clock, cache) = ten_twenty_forty();
    cache.set(1, 1);
    clock.set(secs(40));
    let (end, _leader) = lead(&cache);
    for got in joined(&cache, || end.send(Err("down")).unwrap()) {
        assert!(matches!(got, Ok((1, State::Fallback { error: Error::Fetch(_) }))), "{got:?}");
    }
}

#[test]
fn a_panic_unwinds_in_its_leader_and_is_covered_for_joiners() {
    let (clock, cache) = ten_twenty_forty();
    cache.set(1, 1);
    clock.set(secs(40));
    let (end, leader) = lead(&cache);
    for got in joined(&cache, || drop(end)) {
        assert!(matches!(got, Ok((1, State::Fallback { error: Error::Panicked }))), "{got:?}");
    }
    assert!(leader.join().unwrap());

    let (_clock, cache) = ten_twenty_forty();
    let (end, leader) = lead(&cache);
    for got in joined(&cache, || drop(end)) {
        assert!(matches!(got, Err(Error::Panicked)), "{got:?}");
    }
    assert!(leader.join().unwrap());
    assert_eq!(cache.get(&1, |_| Ok(3)).unwrap(), 3, "the key is free again");
}

#[test]
fn a_joiner_that_waited_past_the_window_gets_the_error() {
    let (clock, cache) = ten_twenty_forty();
    cache.set(1, 1);
    clock.set(secs(40));
    let (end, _leader) = lead(&cache);
    let got = joined(&cache, || {
        clock.set(secs(50));
        end.send(Err("down")).unwrap();
    });
    assert!(got.iter().all(Result::is_err), "{got:?}");
}

#[test]
fn only_one_refresh_of_a_key_runs_and_the_next_comes_after_it_failed() {
    let clock = ManualClock::new();
    let tray = Tray::default();
    let cache = plain(&clock).max_concurrent_refresh(8).executor(tray.clone()).build().unwrap();
    cache.set(1, 1);
    clock.set(secs(60));
    for _ in 0..100 {
        assert_eq!(*cache.get_swr(&1, down).unwrap(), 1);
    }
    assert_eq!((tray.len(), tray.run()), (1, 1));
    assert_eq!(*cache.get_swr(&1, |_| Ok(2)).unwrap(), 1);
    assert_eq!((tray.len(), tray.run()), (1, 1));
    assert_eq!(cache.get(&1, never).unwrap(), 2);
}

#[test]
fn many_callers_of_a_stale_key_run_one_fetch() {
    const CALLERS: usize = 8;
    let (clock, cache) = ten_twenty_forty();
    cache.set(1, 1);
    clock.set(secs(40));
    let start = Barrier::new(CALLERS);
    thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                start.wait();
                assert_eq!(cache.get(&1, |_| Ok(2)).unwrap(), 2);
            });
        }
    });
    assert_eq!(cache.stats().loads, 1);
}

#[test]
fn a_removing_verdict_drops_the_stale_value_too() {
    for in_back in [false, true] {
        let clock = ManualClock::new();
        let cache = plain(&clock)
            .stale_if_error(Duration::MAX)
            .verdict(|_| Verdict::Remove)
            .executor(CallerRuns)
            .build()
            .unwrap();
        cache.set(1, 1);
        clock.set(secs(60));
        if in_back {
            assert_eq!(*cache.get_swr(&1, down).unwrap(), 1, "decided before");
        } else {
            assert!(cache.get_stale(&1, down).is_err());
        }
        assert!(cache.peek(&1).is_none() && cache.is_empty());
        assert_eq!(cache.get(&1, |_| Ok(2)).unwrap(), 2);
    }
}

#[test]
fn a_propagating_verdict_masks_nothing_and_keeps_the_value() {
    let clock = ManualClock::new();
    let verdict = |e: &Fault| if *e == "404" { Verdict::Propagate } else { Verdict::ServeStale };
    let cache = plain(&clock).stale_if_error(Duration::MAX).verdict(verdict).build().unwrap();
    cache.set(1, 1);
    clock.set(secs(60));
    assert_eq!(cache.get(&1, |_| Err("404")).unwrap_err().fetch_error(), Some(&"404"));
    assert_eq!(*cache.peek(&1).unwrap(), 1);
    assert_eq!(cache.get(&1, down).unwrap(), 1);
}

#[test]
fn a_value_set_during_a_load_is_judged_at_the_moment_of_answering() {
    let (clock, cache) = ten_twenty_forty();
    let served = cache.get_stale(&1, |_| {
        cache.set(1, 5);
        clock.advance(secs(15));
        Ok(6)
    });
    // The set value is the flight's outcome, and it is 15 s old with a ttl of 10 s.
    let served = served.unwrap();
    assert_eq!((*served, served.age()), (5, secs(15)));
    assert_eq!(cache.ttl(&1), Some(Ttl::Overdue(secs(5))));
    assert!(served.is_stale(), "{:?}", served.state());
}
