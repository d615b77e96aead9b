//! Writes win: what `set`, `delete`, `clear` and eviction do to a load that is under way.

#[path = "support/controlled.rs"]
mod controlled;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::thread;

use controlled::{
    Cache, Collected, Dice, Error, GONE, Going, PATIENCE, Run, STALE, Source, builder, ended, go,
    never, scaled, until,
};
use lastcache::{CallerRuns, ManualClock, RefreshHandle, State, Verdict};

/// What the key held before, where it held anything.
const OLD: u32 = 10;
/// What the load that is under way brings in the end.
const LATE: u32 = 11;
/// What is set meanwhile.
const SET: u32 = 77;
/// What a later load brings.
const NEXT: u32 = 12;

/// How the load of key 1 came to be under way.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Load {
    Cold,
    Stale,
    Background,
}

const LOADS: [Load; 3] = [Load::Cold, Load::Stale, Load::Background];

/// A load that hangs, with one caller who has joined it.
struct Scene {
    cache: Cache,
    source: Arc<Source>,
    run: Run<u32>,
    /// In the foreground there is a leader.
    leader: Option<Going<Result<u32, Error>>>,
    /// In the background there is a handle.
    refresh: Option<RefreshHandle<u32, u32, controlled::Failure>>,
    joiner: Going<Result<u32, Error>>,
}

fn caller(cache: &Cache, source: &Arc<Source>) -> Going<Result<u32, Error>> {
    let (cache, source) = (cache.clone(), Arc::clone(source));
    go(move || cache.get(&1, source.fetch()))
}

fn under_way(load: Load) -> Scene {
    let clock = ManualClock::new();
    let cache = builder(&clock).build().expect("the settings agree");
    if load != Load::Cold {
        assert!(cache.set(1, OLD));
        clock.set(STALE);
    }
    let source = Source::new();
    let (mut leader, mut refresh) = (None, None);
    if load == Load::Background {
        refresh = cache.get_swr(&1, source.fetch()).expect("stale").refresh();
        assert!(refresh.is_some());
    } else {
        leader = Some(caller(&cache, &source));
    }
    let run = source.started();
    let joiner = caller(&cache, &source);
    until("the second joins", || cache.stats().joins == 1);
    Scene { cache, source, run, leader, refresh, joiner }
}

impl Scene {
    /// Lets the load end with [`LATE`] and waits for that; what its leader got, or its refresh.
    fn land(
        run: Run<u32>,
        leader: Option<Going<Result<u32, Error>>>,
        cache: &Cache,
    ) -> Option<u32> {
        run.succeed(LATE);
        let got = leader.map(|leader| leader.end().expect("a value"));
        until("the load ends", || cache.stats().loads > 0);
        until("it is counted as late", || cache.stats().late_loads == 1);
        got
    }
}

#[test]
fn a_set_during_a_load_wakes_its_callers_at_once_and_stays() {
    for load in LOADS {
        let Scene { cache, source, run, leader, refresh, joiner } = under_way(load);
        assert!(cache.set(1, SET));
        assert_eq!(joiner.end().expect("while the fetch still hangs"), SET, "{load:?}");
        if let Some(refresh) = &refresh {
            assert!(refresh.is_done() && refresh.wait().is_ok(), "ended by the set");
        }
        assert_eq!(cache.get(&1, never).expect("fresh"), SET);
        assert_eq!(cache.stats().late_loads, 0, "it has not come yet");
        let led = Scene::land(run, leader, &cache);
        assert!(led.is_none_or(|got| got == SET), "the first outcome is the leader's too: {led:?}");
        assert_eq!(cache.peek(&1).as_deref(), Some(&SET), "{load:?}: the late value is not stored");
        assert_eq!((source.begun(), cache.stats().late_loads, cache.len()), (1, 1, 1));
    }
}

#[test]
fn a_load_that_fails_after_a_set_changes_nothing() {
    for load in LOADS {
        for panics in [false, true] {
            let Scene { cache, run, leader, joiner, .. } = under_way(load);
            assert!(cache.set(1, SET));
            assert_eq!(joiner.end().expect("at once"), SET);
            match (panics, leader) {
                (false, leader) => {
                    run.fail("down");
                    let got = leader.map(|leader| leader.end().expect("the set value"));
                    assert!(got.is_none_or(|got| got == SET));
                }
                (true, leader) => {
                    run.panic("boom");
                    let message = leader.map(Going::panic);
                    assert!(message.is_none_or(|message| message == "boom"));
                }
            }
            until("the failure is counted", || cache.stats().failures == 1);
            let served = cache.get_stale(&1, never).expect("fresh");
            assert!(*served == SET && matches!(served.state(), State::Fresh), "{load:?}");
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Removal {
    Delete,
    Clear,
}

const REMOVALS: [Removal; 2] = [Removal::Delete, Removal::Clear];

fn remove(cache: &Cache, removal: Removal, load: Load) {
    match removal {
        Removal::Delete => assert_eq!(cache.delete(&1), load != Load::Cold, "{load:?}"),
        Removal::Clear => cache.clear(),
    }
    assert!(cache.peek(&1).is_none() && cache.is_empty() && !cache.contains_key(&1));
}

#[test]
fn a_late_load_after_a_removal_goes_to_its_callers_and_nowhere_else() {
    for load in LOADS {
        for removal in REMOVALS {
            let Scene { cache, source, run, leader, refresh, joiner } = under_way(load);
            remove(&cache, removal, load);
            let led = Scene::land(run, leader, &cache);
            assert!(led.is_none_or(|got| got == LATE));
            assert_eq!(joiner.end().expect("its load's own result"), LATE, "{load:?} {removal:?}");
            assert!(refresh.is_none_or(|refresh| ended(refresh).is_ok()));
            assert!(cache.peek(&1).is_none() && cache.is_empty(), "{load:?} {removal:?}");
            assert_eq!(source.begun(), 1);
        }
    }
}

#[test]
fn a_removed_snapshot_is_no_fallback() {
    for load in LOADS {
        for removal in REMOVALS {
            let Scene { cache, run, leader, refresh, joiner, .. } = under_way(load);
            remove(&cache, removal, load);
            run.fail("down");
            let error = joiner.end().expect_err("nothing to fall back on");
            assert_eq!(error.fetch_error(), Some(&"down"), "{load:?} {removal:?}");
            assert!(leader.is_none_or(|leader| leader.end().is_err()));
            let refused = refresh.map(|refresh| ended(refresh).expect_err("it failed"));
            assert!(refused.is_none_or(|error| error.fetch_error() == Some(&"down")));
            assert!(cache.is_empty());
        }
    }
}

#[test]
fn callers_after_a_removal_start_a_flight_of_their_own() {
    for load in LOADS {
        for removal in REMOVALS {
            for old_ends_first in [true, false] {
                let Scene { cache, source, run, leader, joiner, .. } = under_way(load);
                remove(&cache, removal, load);
                let later = caller(&cache, &source);
                let next = source.started();
                let joined_later = caller(&cache, &source);
                until("one joins the later flight", || cache.stats().joins == 2);
                if old_ends_first {
                    let led = Scene::land(run, leader, &cache);
                    assert!(led.is_none_or(|got| got == LATE));
                    assert_eq!(joiner.end().expect("its own flight's"), LATE);
                    assert!(cache.peek(&1).is_none(), "the later flight is still under way");
                    next.succeed(NEXT);
                    assert_eq!(later.end().expect("loaded"), NEXT);
                    assert_eq!(joined_later.end().expect("loaded"), NEXT);
                } else {
                    next.succeed(NEXT);
                    assert_eq!(later.end().expect("loaded"), NEXT);
                    assert_eq!(joined_later.end().expect("loaded"), NEXT);
                    let led = Scene::land(run, leader, &cache);
                    assert!(led.is_none_or(|got| got == LATE));
                    assert_eq!(joiner.end().expect("its own flight's"), LATE);
                }
                assert_eq!(cache.get(&1, never).expect("fresh"), NEXT, "{load:?} {removal:?}");
                assert_eq!((source.begun(), cache.stats().late_loads, cache.len()), (2, 1, 1));
            }
        }
    }
}

#[test]
fn an_old_flight_that_fails_leaves_the_later_one_alone() {
    for load in LOADS {
        for panics in [false, true] {
            let Scene { cache, source, run, leader, joiner, .. } = under_way(load);
            remove(&cache, Removal::Delete, load);
            let later = caller(&cache, &source);
            let next = source.started();
            if panics {
                run.panic("boom")
            } else {
                run.fail("down")
            }
            assert!(joiner.end().is_err(), "its own flight's");
            drop(leader.map(Going::outcome));
            let joined_later = caller(&cache, &source);
            until("one joins the later flight", || cache.stats().joins == 2);
            next.succeed(NEXT);
            assert_eq!(later.end().expect("loaded"), NEXT);
            assert_eq!(joined_later.end().expect("loaded"), NEXT);
            assert_eq!(cache.get(&1, never).expect("fresh"), NEXT, "{load:?}");
            assert_eq!(source.begun(), 2);
        }
    }
}

#[test]
fn a_value_set_after_a_removal_outlives_the_late_load() {
    for load in LOADS {
        for removal in REMOVALS {
            let Scene { cache, source, run, leader, joiner, .. } = under_way(load);
            remove(&cache, removal, load);
            assert!(cache.set(1, SET));
            assert_eq!(cache.get(&1, never).expect("fresh"), SET);
            let led = Scene::land(run, leader, &cache);
            assert!(led.is_none_or(|got| got == LATE), "the flight was detached before the set");
            assert_eq!(joiner.end().expect("its load's own result"), LATE, "{load:?} {removal:?}");
            assert_eq!(cache.get(&1, never).expect("fresh"), SET);
            assert_eq!((source.begun(), cache.len()), (1, 1));
        }
    }
}

#[test]
fn a_removal_after_a_set_is_not_undone_by_the_late_load() {
    for load in LOADS {
        for removal in REMOVALS {
            let Scene { cache, run, leader, joiner, .. } = under_way(load);
            assert!(cache.set(1, SET));
            remove(&cache, removal, Load::Stale);
            assert_eq!(joiner.end().expect("woken by the set"), SET);
            let led = Scene::land(run, leader, &cache);
            assert!(led.is_none_or(|got| got == SET), "the first outcome");
            assert!(cache.peek(&1).is_none() && cache.is_empty(), "{load:?} {removal:?}");
        }
    }
}

#[test]
fn a_delete_of_what_is_gone_says_no_and_detaches_its_load_all_the_same() {
    let clock = ManualClock::new();
    let cache = builder(&clock).build().expect("the settings agree");
    assert!(cache.set(1, OLD));
    clock.set(GONE);
    let source = Source::new();
    let leader = caller(&cache, &source);
    let run = source.started();
    assert_eq!(cache.len(), 1, "past its windows, and not freed");
    assert!(!cache.delete(&1) && cache.is_empty());
    assert_eq!(cache.get(&1, |_| Ok(NEXT)).expect("a flight of its own"), NEXT);
    run.succeed(LATE);
    assert_eq!(leader.end().expect("its own load's"), LATE);
    assert_eq!((cache.get(&1, never).expect("fresh"), cache.stats().late_loads), (NEXT, 1));
}

#[test]
fn a_removing_verdict_takes_nothing_that_was_set_meanwhile() {
    for load in LOADS {
        for deleted in [false, true] {
            let clock = ManualClock::new();
            let base = builder(&clock).verdict(|_| Verdict::Remove).executor(CallerRuns);
            let cache = base.build().expect("the settings agree");
            if load != Load::Cold {
                assert!(cache.set(1, OLD));
                clock.set(STALE);
            }
            let theirs = cache.clone();
            let fetch = move |_: &u32| {
                assert!(!deleted || theirs.delete(&1) == (load != Load::Cold));
                assert!(theirs.set(1, SET));
                Err("not found")
            };
            let has_the_set_value = match load {
                Load::Background => {
                    let served = cache.get_swr(&1, fetch).expect("stale");
                    ended(served.refresh().expect("started")).is_ok()
                }
                _ => cache.get(&1, fetch).is_ok_and(|got| got == SET),
            };
            // The set ended the flight, unless that had been detached from the key before.
            assert_eq!(has_the_set_value, !deleted, "{load:?}");
            assert_eq!(cache.get(&1, never).expect("fresh"), SET, "{load:?} {deleted}");
        }
    }
}

#[test]
fn a_second_set_does_not_change_what_the_first_one_answered() {
    for load in LOADS {
        let Scene { cache, run, leader, joiner, .. } = under_way(load);
        assert!(cache.set(1, SET));
        assert!(cache.set(1, SET + 1));
        assert_eq!(joiner.end().expect("woken by the first"), SET, "{load:?}");
        let led = Scene::land(run, leader, &cache);
        assert!(led.is_none_or(|got| got == SET), "the first outcome wins");
        assert_eq!(cache.peek(&1).as_deref(), Some(&(SET + 1)));
    }
}

/// A cache whose refresh of key 1 is handed over and not begun.
fn handed_over() -> (Cache, Collected, RefreshHandle<u32, u32, controlled::Failure>) {
    let clock = ManualClock::new();
    let jobs = Collected::default();
    let cache = builder(&clock).executor(jobs.clone()).build().expect("the settings agree");
    cache.set(1, OLD);
    clock.set(STALE);
    let refresh = cache.get_swr(&1, never).expect("stale").refresh().expect("handed over");
    assert_eq!(jobs.len(), 1);
    (cache, jobs, refresh)
}

#[test]
fn a_set_ends_a_refresh_that_has_not_begun_and_its_fetch_never_runs() {
    let (cache, jobs, refresh) = handed_over();
    assert!(!refresh.is_done());
    assert!(cache.set(1, SET));
    assert!(refresh.is_done() && refresh.wait().is_ok());
    jobs.next().run();
    let stats = cache.stats();
    assert_eq!((stats.refreshes, stats.loads, stats.failures, stats.late_loads), (0, 0, 0, 0));
    assert_eq!(cache.get(&1, never).expect("fresh"), SET);
}

#[test]
fn a_removal_ends_a_refresh_that_has_not_begun_and_its_fetch_never_runs() {
    for removal in REMOVALS {
        let clock = ManualClock::new();
        let jobs = Collected::default();
        let cache = builder(&clock).executor(jobs.clone()).build().expect("the settings agree");
        cache.set(1, OLD);
        clock.set(STALE);
        let refresh = cache.get_swr(&1, never).expect("stale").refresh().expect("started");
        remove(&cache, removal, Load::Background);
        assert_eq!(cache.get(&1, |_| Ok(NEXT)).expect("loaded"), NEXT);
        jobs.next().run();
        assert!(refresh.is_done() && matches!(refresh.wait(), Err(Error::Closed)));
        let stats = cache.stats();
        assert_eq!((stats.refreshes, stats.loads, stats.late_loads), (0, 1, 0), "{removal:?}");
        assert_eq!(cache.get(&1, never).expect("fresh"), NEXT);
    }
}

#[test]
fn eviction_never_takes_an_entry_that_is_being_loaded() {
    for load in [Load::Stale, Load::Background] {
        let clock = ManualClock::new();
        let cache = builder(&clock).capacity(8).build().expect("the settings agree");
        assert!(cache.set(1, OLD));
        clock.set(STALE);
        let source = Source::new();
        let leader = match load {
            Load::Background => {
                drop(cache.get_swr(&1, source.fetch()).expect("stale"));
                None
            }
            _ => Some(caller(&cache, &source)),
        };
        let run = source.started();
        for key in 1_000..3_000 {
            cache.set(key, key);
            assert!(cache.len() <= 8);
        }
        assert!(cache.stats().evictions > 1_000, "there was pressure");
        assert_eq!(cache.peek(&1).as_deref(), Some(&OLD), "{load:?}: still there");
        run.succeed(LATE);
        assert!(leader.is_none_or(|leader| leader.end().expect("loaded") == LATE));
        until("the load is stored", || cache.peek(&1).as_deref() == Some(&LATE));
        assert_eq!(cache.stats().late_loads, 0);
    }
}

#[test]
fn a_cold_load_is_stored_in_a_full_cache_however_much_came_and_went_meanwhile() {
    let clock = ManualClock::new();
    let cache = builder(&clock).capacity(8).build().expect("the settings agree");
    let source = Source::new();
    let leader = caller(&cache, &source);
    let run = source.started();
    for key in 1_000..3_000 {
        cache.set(key, key);
    }
    let joiner = caller(&cache, &source);
    until("the flight is still the key's", || cache.stats().joins == 1);
    run.succeed(LATE);
    assert_eq!((leader.end().expect("loaded"), joiner.end().expect("loaded")), (LATE, LATE));
    assert_eq!(cache.get(&1, never).expect("stored"), LATE);
    assert!(cache.len() <= 8);
}

#[test]
fn flights_alone_never_evict_anything() {
    let clock = ManualClock::new();
    let cache = builder(&clock).capacity(8).build().expect("the settings agree");
    for key in 0..8 {
        assert!(cache.set(key, key));
    }
    let source = Source::new();
    let loads: Vec<_> = (100..132)
        .map(|key| {
            let (cache, source) = (cache.clone(), Arc::clone(&source));
            go(move || cache.get(&key, source.fetch()))
        })
        .collect();
    let runs: Vec<_> = loads.iter().map(|_| source.started()).collect();
    assert!((0..8).all(|key| cache.peek(&key).is_some()), "a wave of cold fetches flushes nothing");
    assert!(cache.stats().uncached > 0, "there are fewer slots than flights");
    for run in runs {
        let key = run.key;
        run.succeed(key);
    }
    let got: Vec<u32> = loads.into_iter().map(|load| load.end().expect("loaded")).collect();
    assert_eq!(got, (100..132).collect::<Vec<_>>());
    assert!(cache.len() <= 8);
}

#[test]
fn of_many_concurrent_sets_and_late_loads_a_last_set_stays() {
    const SETTERS: u32 = 4;
    const EACH: u32 = 200;
    for round in 0..scaled(40) {
        let load = LOADS[round % LOADS.len()];
        let Scene { cache, run, leader, joiner, .. } = under_way(load);
        let gate = Arc::new(Barrier::new(SETTERS as usize + 1));
        let setters: Vec<_> = (0..SETTERS)
            .map(|setter| {
                let (cache, gate) = (cache.clone(), Arc::clone(&gate));
                go(move || {
                    gate.wait();
                    for n in 1..=EACH {
                        cache.set(1, 1_000 * (setter + 1) + n);
                        assert_ne!(
                            cache.get(&1, never).expect("set"),
                            LATE,
                            "the load began before"
                        );
                    }
                })
            })
            .collect();
        gate.wait();
        run.succeed(LATE);
        setters.into_iter().for_each(Going::end);
        // Each setter's last is after all its earlier ones, and after the load that began before them.
        let last = *cache.peek(&1).expect("set");
        assert_eq!(last % 1_000, EACH, "{load:?}: {last} was overwritten by its own setter");
        let woken = joiner.end().expect("a value");
        assert!(woken == LATE || woken > 1_000);
        assert!(leader.is_none_or(|leader| leader.end().expect("a value") == woken));
        assert_eq!(cache.len(), 1);
    }
}

#[test]
fn nothing_loaded_before_a_write_is_seen_after_it() {
    // The version is raised before each write, and every fetch reads it when it starts: so whatever is
    // seen after the write is of that version or a later one, unless an older load came back.
    let rounds = scaled(20_000);
    let clock = ManualClock::new();
    let cache = builder(&clock).ttl(controlled::secs(0)).build().expect("the settings agree");
    let version = Arc::new(AtomicU32::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let fetch = |version: &Arc<AtomicU32>| {
        let version = Arc::clone(version);
        move |_: &u32| {
            let seen = version.load(SeqCst);
            thread::yield_now();
            Ok(seen)
        }
    };
    let readers: Vec<_> = (0..3)
        .map(|reader| {
            let (cache, version, over) = (cache.clone(), Arc::clone(&version), Arc::clone(&over));
            go(move || {
                while !over.load(SeqCst) {
                    match reader {
                        0 => drop(cache.get_swr(&1, fetch(&version)).expect("never fails")),
                        _ => drop(cache.get(&1, fetch(&version)).expect("never fails")),
                    }
                }
            })
        })
        .collect();
    let mut dice = Dice::new(1);
    for _ in 0..rounds {
        let now = version.fetch_add(1, SeqCst) + 1;
        match dice.roll(3) {
            0 => drop(cache.set(1, now)),
            1 => drop(cache.delete(&1)),
            _ => cache.clear(),
        }
        let seen = match dice.roll(3) {
            0 => cache.peek(&1).map(|served| *served),
            1 => Some(cache.get(&1, fetch(&version)).expect("never fails")),
            _ => Some(*cache.get_swr(&1, fetch(&version)).expect("never fails")),
        };
        assert!(seen.is_none_or(|seen| seen == now), "{seen:?} is not of the write of {now}");
    }
    over.store(true, SeqCst);
    readers.into_iter().for_each(Going::end);
    assert!(cache.close_timeout(PATIENCE));
    assert!(cache.stats().late_loads > 0, "some loads were late");
}

#[test]
fn a_load_that_took_over_a_refresh_keeps_its_outcome_whatever_is_set_meanwhile() {
    // Three steps have to meet: a stale read queues a refresh of a value that is just being replaced,
    // a `get` takes that refresh over, and the stale read then sees the replacement and gives up. The
    // flight has another leader by then, and must not be given up under it.
    // In parts, so that no wait is for more than 6,000 calls.
    let clock = ManualClock::new();
    let cache = builder(&clock).ttl(controlled::secs(0)).build().expect("the settings agree");
    cache.set(1, OLD);
    for _ in 0..scaled(60) {
        let gate = Arc::new(Barrier::new(6));
        let threads: Vec<_> = (0..6)
            .map(|thread| {
                let (cache, gate) = (cache.clone(), Arc::clone(&gate));
                go(move || {
                    gate.wait();
                    for _ in 0..1_000 {
                        match thread {
                            0 | 1 => assert!(cache.set(1, SET)),
                            2 | 3 => drop(cache.get_swr(&1, |_| Ok(LATE)).expect("never fails")),
                            _ => assert_ne!(cache.get(&1, |_| Ok(NEXT)).expect("never fails"), OLD),
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(Going::end);
    }
}

#[test]
fn where_there_is_no_room_a_late_load_takes_nobodys() {
    for capacity in 1..=8 {
        for first in (0..20).map(|n| 100 * (n + 1)) {
            let clock = ManualClock::new();
            let cache = builder(&clock).capacity(capacity as usize).build().expect("they agree");
            let others = first..first + capacity - 1;
            for key in others.clone() {
                assert!(cache.set(key, OLD));
            }
            let got = cache.get(&1, |_| {
                assert!(cache.set(1, SET));
                Ok(LATE)
            });
            assert_eq!(got.expect("it was set"), SET);
            assert_eq!(cache.peek(&1).as_deref(), Some(&SET), "{:?}", cache.stats());
            assert!(others.clone().all(|key| cache.contains_key(&key)));

            // Without an entry of its own any more.
            assert!(cache.delete(&1) && cache.set(2, OLD));
            let got = cache.get(&1, |_| {
                cache.delete(&1);
                Ok(LATE)
            });
            assert_eq!(got.expect("it was loaded"), LATE);
            assert!(cache.contains_key(&2) && others.clone().all(|key| cache.contains_key(&key)));
            let stats = cache.stats();
            assert_eq!((stats.late_loads, stats.evictions), (2, 0), "{stats:?}");
        }
    }
}

#[test]
fn a_late_load_weighs_nothing() {
    for load in LOADS {
        let clock = ManualClock::new();
        let weighing = builder(&clock).max_weight(10).weigher(|_, value| *value);
        let cache = weighing.executor(CallerRuns).build().expect("the settings agree");
        if load != Load::Cold {
            assert!(cache.set(1, 5));
            clock.set(STALE);
        }
        let meanwhile = cache.clone();
        let fetch = move |_: &u32| {
            assert!(meanwhile.set(1, 6));
            Ok(10)
        };
        match load {
            Load::Background => drop(cache.get_swr(&1, fetch).expect("it is stale")),
            _ => assert_eq!(cache.get(&1, fetch).expect("it was set"), 6),
        }
        assert_eq!(cache.peek(&1).as_deref(), Some(&6), "{load:?}, {:?}", cache.stats());

        let got = cache.get(&2, |_| {
            cache.clear();
            (3..8).for_each(|key| assert!(cache.set(key, 2)));
            Ok(10)
        });
        assert_eq!(got.expect("it was loaded"), 10);
        assert_eq!((cache.len(), cache.stats().evictions), (5, 0), "{load:?}");
    }
}
