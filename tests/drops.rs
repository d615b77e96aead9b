//! Every key, value and error is dropped once: whatever was called, whoever panicked, whenever the cache went.

#[path = "support/controlled.rs"]
mod controlled;
#[path = "support/tasks.rs"]
mod tasks;

use std::borrow::Borrow;
use std::cell::{Cell, RefCell};
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst,
};
use std::sync::{Arc, Barrier, Mutex, OnceLock, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;

use controlled::{
    Collected, Dice, Failure, GONE, PATIENCE, STALE, builder, go, message, never, scaled, secs,
    until,
};
use lastcache::{BackOff, CallerRuns, ManualClock, Verdict};
use tasks::turns;

/// Counts what lives; each of what it counts is dropped once, or the test fails.
#[derive(Default)]
struct Ledger {
    living: AtomicI64,
    made: AtomicU64,
    twice: AtomicBool,
    /// One in so many drops panics; never where 0.
    panics: AtomicU32,
    drops: AtomicU32,
    /// The how manieth drop from now on panics; none where 0.
    armed: AtomicU32,
}

impl Ledger {
    fn settled(&self) {
        assert!(!self.twice.load(SeqCst), "something was dropped twice");
        assert!(self.made.load(SeqCst) > 0, "something was made");
        assert_eq!(self.living.load(SeqCst), 0, "all of it is gone");
    }
}

/// One of what is counted. Its heap part makes a second drop visible to checkers of memory, too.
struct Counted {
    id: Box<u32>,
    dropped: bool,
    ledger: Arc<Ledger>,
}

impl Counted {
    fn new(id: u32, ledger: &Arc<Ledger>) -> Self {
        ledger.living.fetch_add(1, SeqCst);
        ledger.made.fetch_add(1, SeqCst);
        Counted { id: Box::new(id), dropped: false, ledger: Arc::clone(ledger) }
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        Counted::new(*self.id, &self.ledger)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if std::mem::replace(&mut self.dropped, true) {
            self.ledger.twice.store(true, SeqCst);
        }
        self.ledger.living.fetch_sub(1, SeqCst);
        let every = self.ledger.panics.load(SeqCst);
        let nth = self.ledger.drops.fetch_add(1, SeqCst) + 1;
        let disarm = |left: u32| left.checked_sub(1);
        let armed = self.ledger.armed.fetch_update(SeqCst, SeqCst, disarm) == Ok(1);
        if (armed || every > 0 && nth.is_multiple_of(every)) && !thread::panicking() {
            // Without a message: hundreds of these are part of the test.
            std::panic::resume_unwind(Box::new("in Drop"));
        }
    }
}

/// A counted key; looked up by its number.
#[derive(Clone)]
struct Key(Counted);

impl Borrow<u32> for Key {
    fn borrow(&self) -> &u32 {
        &self.0.id
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id.hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for Key {}

type Cache = lastcache::Cache<Key, Counted, Counted>;

/// One call on counted keys, values and errors.
fn act(cache: &Cache, clock: &ManualClock, dice: &mut Dice, ledger: &Arc<Ledger>) {
    let id = dice.roll(24);
    let key = Key(Counted::new(id, ledger));
    let fate = dice.roll(8);
    let theirs = Arc::clone(ledger);
    let fetch = move |key: &Key| match fate {
        0 | 1 => Err(Counted::new(1_000, &theirs)),
        2 => Err(Counted::new(2_000, &theirs)),
        3 => std::panic::resume_unwind(Box::new("in a fetch")),
        _ => Ok(Counted::new(*key.0.id, &theirs)),
    };
    match dice.roll(16) {
        0..=2 => drop(cache.get(&key, fetch)),
        3..=5 => drop(cache.get_stale(&key, fetch)),
        6..=9 => {
            if let Ok(served) = cache.get_swr(&key, fetch) {
                assert_eq!(*served.id, id);
                drop(served.refresh());
            }
        }
        10 | 11 => _ = cache.set(key, Counted::new(id, ledger)),
        12 => _ = cache.delete(&key),
        13 => drop(cache.peek(&id).map(|served| assert_eq!(*served.id, id))),
        14 if fate == 0 => cache.clear(),
        14 => cache.range(|key, value, _| key.0.id == value.id),
        _ => clock.advance(secs(1)),
    }
}

fn randomised(panics: u32, threads: usize, own_threads: bool) {
    for round in 0..scaled(8) as u64 {
        let ledger = Arc::new(Ledger::default());
        ledger.panics.store(panics, SeqCst);
        let clock = ManualClock::new();
        let base = lastcache::Cache::<Key, Counted>::builder()
            .error_type::<Counted>()
            .capacity(8)
            .ttl(secs(3))
            .stale_while_revalidate(secs(6))
            .stale_if_error(secs(9))
            .back_off(BackOff::fixed(secs(1)))
            .max_concurrent_refresh(2)
            .refresh_queue(3)
            .verdict(|error: &Counted| match *error.id {
                1_000 => Verdict::ServeStale,
                _ => Verdict::Remove,
            })
            .clock(&clock);
        let base = if own_threads { base } else { base.executor(CallerRuns) };
        let cache: Cache = base.build().expect("the settings agree");
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                let (cache, clock, ledger) = (cache.clone(), clock.clone(), Arc::clone(&ledger));
                go(move || {
                    let mut dice = Dice::new(round * 100 + thread as u64);
                    let mut held = Vec::new();
                    for _ in 0..1_500 {
                        let acted = catch_unwind(AssertUnwindSafe(|| {
                            act(&cache, &clock, &mut dice, &ledger);
                            held.extend(cache.peek(&dice.roll(24)));
                            if held.len() > 8 {
                                drop(held.swap_remove(dice.roll(8) as usize));
                            }
                        }));
                        if let Err(panic) = acted {
                            let why = message(&*panic);
                            assert!(why == "in Drop" || why == "in a fetch", "{why}");
                        }
                    }
                    // The handle goes at some time, before or after what is held.
                    let mut held = held.into_iter();
                    let _ = catch_unwind(AssertUnwindSafe(|| drop(held.next())));
                    let _ = catch_unwind(AssertUnwindSafe(|| drop(cache)));
                    for served in held {
                        let _ = catch_unwind(AssertUnwindSafe(|| drop(served)));
                    }
                })
            })
            .collect();
        if panics == 0 {
            // This handle is dropped while they are at it, and one of them drops the last.
            drop(cache);
            running.into_iter().for_each(controlled::Going::end);
            controlled::until("all of it is gone", || ledger.living.load(SeqCst) == 0);
            ledger.settled();
        } else {
            running.into_iter().for_each(controlled::Going::end);
            ledger.panics.store(0, SeqCst);
            assert!(cache.close_timeout(PATIENCE), "no permit was lost");
            cache.clear();
            assert!(!ledger.twice.load(SeqCst), "something was dropped twice");
            assert_eq!(cache.len(), 0, "no room was lost");
            for id in 0..8 {
                let key = || Key(Counted::new(id, &ledger));
                assert!(cache.set(key(), Counted::new(id, &ledger)), "no room was lost");
                assert_eq!(*cache.get_stale(&key(), |_| unreachable!()).ok().expect("set").id, id);
            }
            assert_eq!(cache.len(), 8);
        }
    }
}

#[test]
fn everything_is_dropped_once_on_one_thread() {
    randomised(0, 1, false);
}

#[test]
fn everything_is_dropped_once_on_many_threads() {
    randomised(0, 4, false);
    randomised(0, 4, true);
}

#[test]
fn the_cache_stays_usable_and_drops_nothing_twice_though_drop_panics() {
    randomised(7, 1, false);
    randomised(13, 4, false);
    randomised(13, 4, true);
}

#[test]
fn a_victim_whose_drop_panics_gives_its_room_back() {
    for load in [false, true] {
        let ledger = Arc::new(Ledger::default());
        let clock = ManualClock::new();
        let cache = builder::<Counted>(&clock).capacity(1).build().expect("the settings agree");
        assert!(cache.set(1, Counted::new(1, &ledger)));
        ledger.armed.store(1, SeqCst);
        let panic = catch_unwind(AssertUnwindSafe(|| {
            if load {
                drop(cache.get_stale(&2, |_| Ok(Counted::new(2, &ledger))));
            } else {
                cache.set(2, Counted::new(2, &ledger));
            }
        }));
        assert_eq!(message(&*panic.expect_err("the victim's drop panics")), "in Drop");
        assert!(cache.peek(&1).is_none(), "it was evicted");
        assert!(cache.peek(&2).is_some(), "and dropped once the newcomer was there");
        cache.clear();
        assert_eq!(cache.len(), 0, "no room was lost");
        assert!(cache.set(3, Counted::new(3, &ledger)) && cache.peek(&3).is_some());
        drop(cache);
        ledger.settled();
    }
}

/// What the hand looks at may be taken out meanwhile, and the hand be the last to let go of it.
#[test]
fn a_value_that_panics_as_the_hand_lets_go_of_it_leaves_no_load_without_an_end_and_leaks_nothing() {
    thread_local!(static BRITTLE: Cell<bool> = const { Cell::new(false) });
    struct Value(u32, Arc<AtomicUsize>);
    impl Drop for Value {
        fn drop(&mut self) {
            self.1.fetch_sub(1, SeqCst);
            if BRITTLE.get() && !thread::panicking() {
                std::panic::resume_unwind(Box::new("in Drop"));
            }
        }
    }
    let (clock, jobs) = (ManualClock::new(), Collected::default());
    let cache = builder::<Value>(&clock).executor(jobs.clone()).capacity(100).max_weight(24);
    let cache = cache.weigher(|_, value: &Value| value.0).build().expect("the settings agree");
    let (over, living) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let value = |living: &Arc<AtomicUsize>, weight| {
        living.fetch_add(1, SeqCst);
        Value(weight, Arc::clone(living))
    };
    let writer = {
        let (cache, over, living) = (cache.clone(), Arc::clone(&over), Arc::clone(&living));
        go(move || {
            while !over.load(SeqCst) {
                for key in 2..=24 {
                    cache.set(key, value(&living, 1));
                    // Used, so that the hand looks at others before it takes the least used.
                    drop(cache.get_stale(&key, |_| Err("set a moment ago")));
                }
                for key in 2..=24 {
                    cache.delete(&key);
                }
            }
        })
    };
    let rounds = scaled(20_000);
    for round in 0..rounds {
        cache.set(1, value(&living, 1));
        clock.advance(STALE);
        // It has to make room.
        BRITTLE.set(true);
        let load = || cache.get_stale(&1, |_| Ok(value(&living, 12))).map(drop);
        let panicked = catch_unwind(AssertUnwindSafe(load)).is_err();
        BRITTLE.set(false);
        if panicked && cache.peek(&1).is_some_and(|served| served.is_stale()) {
            drop(cache.get_swr(&1, never).expect("stale"));
            assert!(jobs.take().is_some(), "a load without a leader, in round {round}");
        }
    }
    over.store(true, SeqCst);
    writer.end();
    drop(cache);
    assert_eq!(living.load(SeqCst), 0, "leaked");
}

#[test]
fn a_victim_may_ask_for_the_newcomer_while_it_is_dropped() {
    struct Asking(Arc<OnceLock<lastcache::Cache<u32, Asking, Failure>>>);
    impl Drop for Asking {
        fn drop(&mut self) {
            if let Some(cache) = self.0.get() {
                drop(cache.peek(&2));
                drop(cache.get_stale(&2, |_| Err("down")));
            }
        }
    }
    let all = go(|| {
        let clock = ManualClock::new();
        let shared = Arc::new(OnceLock::new());
        let cache = builder::<Asking>(&clock).capacity(1).build().expect("the settings agree");
        cache.set(1, Asking(Arc::clone(&shared)));
        assert!(shared.set(cache.clone()).is_ok());
        // The load of 2 evicts 1, whose drop asks for 2.
        assert!(cache.get_stale(&2, |_| Ok(Asking(Arc::default()))).is_ok());
        assert!(cache.peek(&1).is_none() && cache.peek(&2).is_some());
    });
    all.end();
}

#[test]
fn a_call_in_which_a_drop_panics_leaks_nothing() {
    /// Errors by which the value is no more, or upon which its key is deleted.
    const NO_MORE: u32 = 2_000;
    const TELLS: u32 = 3_000;
    type Call = fn(&Cache, &ManualClock, &Arc<Ledger>);
    fn key(id: u32, ledger: &Arc<Ledger>) -> Key {
        Key(Counted::new(id, ledger))
    }
    fn ok(ledger: &Arc<Ledger>) -> impl FnOnce(&Key) -> Result<Counted, Counted> + Send + 'static {
        let ledger = Arc::clone(ledger);
        move |key| Ok(Counted::new(*key.0.id, &ledger))
    }
    fn err(ledger: &Arc<Ledger>) -> impl FnOnce(&Key) -> Result<Counted, Counted> + Send + 'static {
        let ledger = Arc::clone(ledger);
        move |_| Err(Counted::new(1_000, &ledger))
    }
    /// Not asked, and yet it has something to drop.
    fn unasked(
        ledger: &Arc<Ledger>,
    ) -> impl FnOnce(&Key) -> Result<Counted, Counted> + Send + 'static {
        let held = Counted::new(2_000, ledger);
        move |_| Err(held)
    }
    fn unpolled(
        ledger: &Arc<Ledger>,
    ) -> impl Future<Output = Result<Counted, Counted>> + Send + 'static {
        let held = Counted::new(2_000, ledger);
        async move { Err(held) }
    }
    fn poll<F: Future>(future: F) -> F::Output {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => output,
            Poll::Pending => unreachable!("it is there at the first poll"),
        }
    }
    let calls: [(&str, Call); 30] = [
        ("get", |c, _, l| drop(c.get(&key(1, l), unasked(l)))),
        ("get_stale", |c, _, l| drop(c.get_stale(&key(1, l), unasked(l)))),
        ("get_swr", |c, _, l| drop(c.get_swr(&key(1, l), unasked(l)))),
        ("get_async", |c, _, l| drop(poll(c.get_async(&key(1, l), unpolled(l))))),
        ("get_stale_async", |c, _, l| drop(poll(c.get_stale_async(&key(1, l), unpolled(l))))),
        ("get_swr_async", |c, _, l| drop(poll(c.get_swr_async(&key(1, l), unpolled(l))))),
        ("a reader's get", |c, _, l| {
            let mut reader = c.reader();
            (0..3).for_each(|_| drop(reader.get(&key(1, l), unasked(l))));
            (0..3).for_each(|_| drop(reader.get_stale(&key(1, l), unasked(l))));
        }),
        ("get in back-off", |c, t, l| {
            t.advance(secs(3));
            drop(c.get_stale(&key(1, l), err(l)));
            drop(c.get_stale(&key(1, l), unasked(l)));
            drop(poll(c.get_stale_async(&key(1, l), unpolled(l))));
        }),
        ("get beside a delete", |c, _, l| {
            let read = |value: &Counted| {
                assert!(c.delete(&key(1, l)));
                value.clone()
            };
            drop(c.get_with(&key(1, l), read, unasked(l)));
        }),
        ("get_with that fails", |c, _, l| {
            let held = Counted::new(5, l);
            let read = move |_: &Counted| assert_eq!(*held.id, 5);
            drop(c.get_with(&key(100, l), read, err(l)));
        }),
        ("a reader's get_with that fails", |c, _, l| {
            let held = Counted::new(5, l);
            let read = move |_: &Counted| assert_eq!(*held.id, 5);
            drop(c.reader().get_with(&key(100, l), read, err(l)));
        }),
        ("a reader's get beside a delete", |c, _, l| {
            let read = |value: &Counted| {
                assert!(c.delete(&key(1, l)));
                value.clone()
            };
            drop(c.reader().get_with(&key(1, l), read, unasked(l)));
        }),
        ("cold get", |c, _, l| drop(c.get(&key(100, l), ok(l)))),
        ("cold get_stale", |c, _, l| drop(c.get_stale(&key(100, l), ok(l)))),
        ("cold failure", |c, _, l| drop(c.get_stale(&key(100, l), err(l)))),
        ("cold panic", |c, _, l| {
            drop(c.get_stale(&key(100, l), |_| std::panic::resume_unwind(Box::new("fetch"))));
        }),
        ("stale get", |c, t, l| {
            t.advance(secs(3));
            drop(c.get(&key(1, l), ok(l)));
        }),
        ("stale get_stale", |c, t, l| {
            t.advance(secs(3));
            drop(c.get_stale(&key(1, l), ok(l)));
        }),
        ("stale failure", |c, t, l| {
            t.advance(secs(3));
            drop(c.get_stale(&key(1, l), err(l)));
            t.advance(secs(1));
            drop(c.get_stale(&key(1, l), err(l)));
        }),
        ("failure after a failure, deleted meanwhile", |c, t, l| {
            t.advance(secs(3));
            drop(c.get_stale(&key(1, l), err(l)));
            t.advance(secs(1));
            let gone = |key: &Key| {
                assert!(c.delete(key));
                Err(Counted::new(1_000, l))
            };
            drop(c.get_stale(&key(1, l), gone));
        }),
        ("failure after a failure, deleted as it is told", |c, t, l| {
            t.advance(secs(3));
            drop(c.get_stale(&key(1, l), err(l)));
            t.advance(secs(1));
            drop(c.get_stale(&key(1, l), |_| Err(Counted::new(TELLS, l))));
        }),
        ("failure after a failure, by which the value is no more", |c, t, l| {
            t.advance(secs(3));
            drop(c.get_stale(&key(1, l), err(l)));
            t.advance(secs(1));
            drop(c.get_stale(&key(1, l), |_| Err(Counted::new(NO_MORE, l))));
        }),
        ("joined failure after a failure, deleted before it is taken", |c, t, l| {
            t.advance(secs(3));
            drop(c.get_stale(&key(1, l), err(l)));
            t.advance(secs(1));
            let (leading, joining) = (key(1, l), key(1, l));
            let fetch = async {
                turns(1).await;
                Err(Counted::new(1_000, l))
            };
            let mut leader = Box::pin(c.get_stale_async(&leading, fetch));
            let mut joiner = Box::pin(c.get_stale_async(&joining, unpolled(l)));
            let mut context = Context::from_waker(Waker::noop());
            assert!(leader.as_mut().poll(&mut context).is_pending());
            assert!(joiner.as_mut().poll(&mut context).is_pending());
            drop(leader.as_mut().poll(&mut context));
            assert!(c.delete(&key(1, l)));
            drop(joiner.as_mut().poll(&mut context));
        }),
        ("uncached failure", |c, _, l| {
            // Inside so many other loads that none has a slot of the key's.
            fn inside(c: &Cache, l: &Arc<Ledger>, depth: u32) {
                let key = key(1_000 + depth, l);
                if c.stats().uncached > 0 {
                    return;
                }
                assert!(depth < 100, "there are no more slots than that");
                drop(c.get(&key, |_| {
                    inside(c, l, depth + 1);
                    Err(Counted::new(1_000, l))
                }));
            }
            inside(c, l, 0);
        }),
        ("background refresh", |c, t, l| {
            t.advance(secs(3));
            drop(c.get_swr(&key(1, l), ok(l)));
        }),
        ("background failure", |c, t, l| {
            t.advance(secs(3));
            drop(c.get_swr(&key(1, l), err(l)));
        }),
        ("set", |c, _, l| assert!(c.set(key(1, l), Counted::new(1, l)))),
        ("set of a new key", |c, _, l| assert!(c.set(key(100, l), Counted::new(1, l)))),
        ("delete", |c, _, l| assert!(c.delete(&key(1, l)))),
        ("clear", |c, _, _| c.clear()),
    ];
    let mut leaks = Vec::new();
    for (name, call) in calls {
        let mut rest = 3;
        for nth in 1.. {
            let ledger = Arc::new(Ledger::default());
            let (clock, told) = (ManualClock::new(), Arc::new(Mutex::new(None)));
            let gone = Arc::clone(&told);
            let built = lastcache::Cache::<Key, Counted>::builder()
                .error_type::<Counted>()
                .capacity(8)
                .ttl(secs(3))
                .stale_if_error(secs(100))
                .back_off(BackOff::fixed(secs(1)))
                .verdict(|error| match *error.id {
                    NO_MORE => Verdict::Remove,
                    _ => Verdict::ServeStale,
                })
                .on_error(move |key: &Key, error: &Counted| {
                    if *error.id == TELLS {
                        let cache: Option<Cache> = gone.lock().unwrap().take();
                        assert!(cache.is_some_and(|cache| cache.delete(key)));
                    }
                })
                .executor(CallerRuns)
                .clock(&clock)
                .build();
            let cache: Cache = built.expect("the settings agree");
            for id in 0..8 {
                cache.set(key(id, &ledger), Counted::new(id, &ledger));
            }
            *told.lock().unwrap() = Some(cache.clone());
            ledger.armed.store(nth, SeqCst);
            let outcome = catch_unwind(AssertUnwindSafe(|| call(&cache, &clock, &ledger)));
            let panicked = ledger.armed.swap(0, SeqCst) == 0;
            drop(outcome);
            drop(told.lock().unwrap().take());
            drop(cache);
            assert!(!ledger.twice.load(SeqCst), "{name}, drop {nth}: dropped twice");
            let leaked = ledger.living.load(SeqCst);
            if panicked && leaked != 0 {
                leaks.push(format!("{name}, drop {nth}: {leaked}"));
            } else {
                assert_eq!(leaked, 0, "{name} without a panic");
            }
            // Each drop of the call had its turn.
            rest -= i32::from(!panicked);
            if rest == 0 {
                break;
            }
        }
    }
    assert!(leaks.is_empty(), "leaked: {leaks:#?}");
}

#[test]
fn a_cache_may_go_in_the_middle_of_anything() {
    let ledger = Arc::new(Ledger::default());
    let clock = ManualClock::new();
    let jobs = Collected::default();
    for when in 0..6 {
        let built = lastcache::Cache::<u32, Counted>::builder()
            .error_type::<Failure>()
            .ttl(STALE)
            .clock(&clock)
            .executor(jobs.clone())
            .build();
        let cache = built.expect("the settings agree");
        for key in 0..10 {
            cache.set(key, Counted::new(key, &ledger));
        }
        clock.advance(STALE);
        let served = cache.get_swr(&0, {
            let ledger = Arc::clone(&ledger);
            move |_| Ok(Counted::new(1, &ledger))
        });
        let served = served.expect("stale");
        let refresh = served.refresh();
        let job = jobs.next();
        let mut parts: [Option<Box<dyn FnOnce()>>; 4] = [
            Some(Box::new(move || drop(cache))),
            Some(Box::new(move || drop(served))),
            Some(Box::new(move || drop(refresh))),
            Some(if when % 2 == 0 { Box::new(move || job.run()) } else { Box::new(|| drop(job)) }),
        ];
        for part in 0..4 {
            let next = parts[(part * (1 + when % 3) + when) % 4].take();
            if let Some(go_away) = next {
                go_away();
            }
        }
        parts.into_iter().flatten().for_each(|go_away| go_away());
        ledger.settled();
    }
}

#[test]
fn an_iteration_that_is_abandoned_leaks_nothing() {
    let ledger = Arc::new(Ledger::default());
    let clock = ManualClock::new();
    let cache = builder::<Counted>(&clock).build().expect("the settings agree");
    for key in 0..1_000 {
        cache.set(key, Counted::new(key, &ledger));
    }
    let entry = cache.iter().nth(500).expect("there are more");
    assert_eq!(*entry.value().id, *entry.key());
    let stopped = catch_unwind(AssertUnwindSafe(|| cache.range(|_, _, _| panic!("enough"))));
    assert!(stopped.is_err());
    drop(cache);
    assert_eq!(ledger.living.load(SeqCst), 1, "the entry that is held");
    drop(entry);
    ledger.settled();
}

/// A value whose drop calls the cache that it was in.
struct Caller {
    key: u32,
    cache: Arc<OnceLock<lastcache::Cache<u32, Caller, Failure>>>,
    calls: Arc<AtomicUsize>,
}

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

impl Drop for Caller {
    fn drop(&mut self) {
        let Some(cache) = self.cache.get() else { return };
        if DEPTH.get() > 2 {
            return;
        }
        DEPTH.set(DEPTH.get() + 1);
        self.calls.fetch_add(1, SeqCst);
        drop(cache.peek(&self.key));
        let _ = (cache.len(), cache.ttl(&self.key), cache.stats());
        let again = || Caller {
            key: self.key + 1,
            cache: Arc::clone(&self.cache),
            calls: Arc::clone(&self.calls),
        };
        drop(cache.get_stale(&(self.key + 1), |_| Ok(again())));
        cache.set(self.key + 2, again());
        cache.delete(&(self.key + 3));
        cache.range(|_, _, _| true);
        drop(cache.get_swr(&self.key, |_| Err("down")));
        DEPTH.set(DEPTH.get() - 1);
    }
}

#[test]
fn a_value_may_call_its_cache_while_it_is_dropped() {
    go(values_that_call).end();
}

fn values_that_call() {
    let clock = ManualClock::new();
    let shared = Arc::new(OnceLock::new());
    let calls = Arc::new(AtomicUsize::new(0));
    let cache = builder::<Caller>(&clock).capacity(8).executor(CallerRuns).build();
    let cache = cache.expect("the settings agree");
    let value = |key| Caller { key, cache: Arc::clone(&shared), calls: Arc::clone(&calls) };
    assert!(shared.set(cache.clone()).is_ok());
    for key in 0..64 {
        cache.set(key, value(key)); // Evicts, and what is evicted calls.
    }
    for key in 0..64 {
        cache.set(key, value(key));
        cache.set(key, value(key)); // Replaces.
        cache.delete(&key);
    }
    clock.advance(STALE);
    for key in 0..64 {
        drop(cache.get_stale(&key, |_| Ok(value(key))));
        drop(cache.get_swr(&key, {
            let value = value(key);
            move |_| Ok(value)
        }));
    }
    clock.advance(GONE);
    for key in 100..164 {
        drop(cache.get_stale(&key, |_| Ok(value(key)))); // Takes the place of what is gone.
    }
    let before = calls.load(SeqCst);
    cache.clear();
    assert!(calls.load(SeqCst) > before && before > 64, "{before} drops called the cache");
    assert!(cache.len() <= 8);
}

thread_local! {
    /// Whom an error asks as it goes, and what it is told.
    static ASKED: RefCell<Option<(lastcache::Cache<u32, u32, Asking>, Vec<u32>)>> = const { RefCell::new(None) };
}

/// An error whose drop asks for the key that it is of.
#[derive(Debug)]
struct Asking;

impl Drop for Asking {
    fn drop(&mut self) {
        let Some((cache, mut told)) = ASKED.take() else { return };
        told.push(
            cache.get(&1, |_| panic!("the load that displaces it is under way")).expect("stale"),
        );
        ASKED.set(Some((cache, told)));
    }
}

#[test]
fn an_error_may_ask_for_its_key_as_the_next_load_displaces_it() {
    for back_off in [BackOff::NONE, BackOff::fixed(secs(1))] {
        let asked = go(move || {
            let clock = ManualClock::new();
            let base = lastcache::Cache::<u32, u32>::builder().error_type::<Asking>();
            let base = base.ttl(STALE).stale_if_error(GONE).back_off(back_off);
            let cache = base.clock(&clock).build().expect("the settings agree");
            cache.set(1, 10);
            clock.advance(STALE);
            ASKED.set(Some((cache.clone(), Vec::new())));
            // The second keeps the first where there is a back-off, and the third displaces both.
            for _ in 0..2 {
                assert_eq!(cache.get(&1, |_| Err(Asking)).expect("covered"), 10);
                clock.advance(secs(1));
            }
            assert_eq!(cache.get(&1, |_| Ok(20)).expect("loaded"), 20);
            ASKED.take().expect("nothing panics").1
        });
        // What goes as its load displaces it is served stale meanwhile.
        let told = asked.end();
        assert!(told.contains(&10) && told.iter().all(|it| [10, 20].contains(it)), "{told:?}");
    }
}

thread_local! {
    /// What the next error does as it goes.
    static DOES: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

/// An error whose drop does something, once.
#[derive(Debug)]
struct Doing;

impl Drop for Doing {
    fn drop(&mut self) {
        DOES.take().into_iter().for_each(|it| it());
    }
}

#[test]
fn an_error_may_wait_for_who_took_over_the_refresh_that_displaces_it() {
    type Theirs = lastcache::Cache<u32, u32, Doing>;
    fn waits(cache: &Theirs) {
        let (began, begun) = mpsc::channel();
        let (go_on, going_on) = mpsc::channel::<()>();
        let [theirs, watched] = [(); 2].map(|()| cache.clone());
        let leader = go(move || {
            theirs.get(&1, move |_| {
                began.send(()).expect("the test listens");
                going_on.recv_timeout(PATIENCE).expect("somebody joins");
                Ok(30)
            })
        });
        begun.recv_timeout(PATIENCE).expect("it takes the queued refresh over");
        let watch = go(move || {
            until("the error joins", || watched.stats().joins == 1);
            go_on.send(()).expect("the fetch waits");
        });
        assert_eq!(cache.get(&1, |_| panic!("there is a leader")).expect("joined"), 30);
        assert_eq!(leader.end().expect("led"), 30);
        watch.end();
    }
    go(|| {
        let clock = ManualClock::new();
        let base = lastcache::Cache::<u32, u32>::builder().error_type::<Doing>().ttl(STALE);
        let cache = base.executor(CallerRuns).clock(&clock).build().expect("the settings agree");
        cache.set(1, 10);
        clock.advance(STALE);
        assert_eq!(*cache.get_swr(&1, |_| Err(Doing)).expect("stale"), 10);
        let theirs = cache.clone();
        DOES.set(Some(Box::new(move || waits(&theirs))));
        assert_eq!(*cache.get_swr(&1, |_| Ok(20)).expect("stale"), 10);
        assert!(DOES.take().is_none(), "the failure was displaced");
        assert_eq!(cache.get(&1, |_| panic!("it is fresh")).expect("loaded"), 30);
    })
    .end();
}

thread_local! {
    /// Runs what it holds when the thread's locals are destroyed.
    static AT_EXIT: RefCell<Option<AtExit>> = const { RefCell::new(None) };
}

struct AtExit(Option<Box<dyn FnOnce()>>);

impl Drop for AtExit {
    fn drop(&mut self) {
        if let Some(f) = self.0.take() {
            f();
        }
    }
}

/// Runs `f` in the destruction of a thread's locals, after `first`; whether it came back.
fn in_a_destructor(first: impl FnOnce() + Send + 'static, f: impl FnOnce() + Send + 'static) {
    let (told, tell) = mpsc::channel();
    let thread = thread::spawn(move || {
        let at_exit = move || {
            let outcome = catch_unwind(AssertUnwindSafe(f)).map_err(|panic| message(&*panic));
            let _ = told.send(outcome);
        };
        AT_EXIT.with(|slot| *slot.borrow_mut() = Some(AtExit(Some(Box::new(at_exit)))));
        first();
    });
    let outcome = tell.recv_timeout(PATIENCE).expect("the destructor runs to its end");
    assert_eq!(outcome, Ok(()));
    thread.join().expect("the thread ends");
}

/// All calls, on keys from `from` on; the clock is moved by nobody else.
fn everything(cache: &controlled::Cache, clock: &ManualClock, from: u32) {
    assert_eq!(cache.get(&from, |_| Ok(1)).expect("loaded"), 1);
    assert_eq!(cache.get(&from, never).expect("fresh"), 1);
    assert!(cache.set(from, 2) && cache.set(from + 1, 3));
    let held: Vec<_> = (0..20).map(|_| cache.get_stale(&from, never).expect("fresh")).collect();
    clock.advance(STALE);
    let stale = cache.get_swr(&from, |_| Ok(4)).expect("stale");
    assert_eq!(*stale, 2);
    let refresh = stale.refresh().expect("started");
    assert!(matches!(refresh.wait_timeout(PATIENCE), Some(Ok(()))));
    assert_eq!(cache.get(&from, never).expect("refreshed"), 4);
    assert_eq!(cache.get(&(from + 1), |_| Err("down")).expect("the fallback"), 3);
    assert_eq!(cache.get(&(from + 1), |_| Ok(5)).expect("loaded"), 5);
    let nested = cache.get(&(from + 2), |_| Ok(cache.get(&(from + 3), |_| Ok(6)).expect("loaded")));
    assert_eq!(nested.expect("loaded"), 6);
    assert!(held.iter().all(|served| **served == 2));
    assert!(cache.peek(&(from + 2)).is_some() && cache.iter().count() >= 4);
    assert!(cache.delete(&from) && !cache.delete(&from));
}

#[test]
fn a_caches_first_use_on_a_thread_may_be_in_a_destructor_of_its_locals() {
    for own_threads in [true, false] {
        let clock = ManualClock::new();
        let base = builder(&clock);
        let base = if own_threads { base } else { base.executor(CallerRuns) };
        let cache = base.build().expect("the settings agree");
        let (theirs, time) = (cache.clone(), clock.clone());
        in_a_destructor(|| (), move || everything(&theirs, &time, 100));
        assert_eq!(cache.len(), 3);
        everything(&cache, &clock, 200);
    }
}

#[test]
fn a_cache_used_before_may_be_used_in_a_destructor_of_a_threads_locals() {
    for own_threads in [true, false] {
        let clock = ManualClock::new();
        let base = builder(&clock);
        let base = if own_threads { base } else { base.executor(CallerRuns) };
        let cache = base.build().expect("the settings agree");
        let (first, then) = (cache.clone(), cache.clone());
        let (time, later) = (clock.clone(), clock.clone());
        in_a_destructor(
            move || everything(&first, &time, 100),
            move || everything(&then, &later, 200),
        );
        assert_eq!(cache.len(), 6);
        let stats = cache.stats();
        let calls = 2 * (1 + 1 + 20 + 1 + 1 + 1 + 1 + 2);
        assert_eq!(stats.hits + stats.stale_hits + stats.misses, calls, "none is lost: {stats:?}");
    }
}

#[test]
fn a_joiner_may_wait_in_a_destructor_of_its_threads_locals() {
    let clock = ManualClock::new();
    let cache = builder(&clock).build().expect("the settings agree");
    let source = controlled::Source::new();
    let (leading, fetches) = (cache.clone(), Arc::clone(&source));
    let leader = go(move || leading.get(&1, fetches.fetch()).expect("loaded"));
    let run = source.started();
    let joining = cache.clone();
    let join = thread::spawn(move || {
        in_a_destructor(|| (), move || assert_eq!(joining.get(&1, never).expect("joined"), 7));
    });
    controlled::until("it joins", || cache.stats().joins == 1);
    run.succeed(7);
    assert_eq!(leader.end(), 7);
    join.join().expect("the destructor ran to its end");
}

#[test]
fn the_last_handle_may_go_in_a_destructor_of_a_threads_locals() {
    let ledger = Arc::new(Ledger::default());
    let clock = ManualClock::new();
    let cache = builder::<Counted>(&clock).build().expect("the settings agree");
    for key in 0..100 {
        cache.set(key, Counted::new(key, &ledger));
    }
    let held = cache.get_stale(&5, never).expect("fresh");
    in_a_destructor(|| (), move || drop(cache));
    assert_eq!(ledger.living.load(SeqCst), 1, "what is held");
    drop(held);
    ledger.settled();
}

#[test]
fn threads_that_come_and_go_leave_nothing_behind() {
    const THREADS: usize = 512;
    let ledger = Arc::new(Ledger::default());
    let clock = ManualClock::new();
    let cache = builder::<Counted>(&clock).capacity(64).build().expect("the settings agree");
    // In waves, so that some live together and others come after them.
    for wave in 0..THREADS / 64 {
        let gate = Arc::new(Barrier::new(64));
        let threads: Vec<_> = (0..64)
            .map(|thread| {
                let (cache, ledger) = (cache.clone(), Arc::clone(&ledger));
                let gate = Arc::clone(&gate);
                go(move || {
                    gate.wait();
                    let mut dice = Dice::new((wave * 64 + thread) as u64);
                    for _ in 0..20 {
                        let key = dice.roll(100);
                        let served = cache.get_stale(&key, |key| Ok(Counted::new(*key, &ledger)));
                        assert_eq!(*served.expect("never fails").id, key);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(controlled::Going::end);
    }
    let stats = cache.stats();
    assert_eq!(stats.hits + stats.misses, 20 * THREADS as u64, "counts outlive their threads");
    assert!(ledger.living.load(SeqCst) <= 64);
    drop(cache);
    ledger.settled();
}

#[test]
fn a_thread_with_a_stack_of_64_kib_can_do_everything() {
    for own_threads in [true, false] {
        let small = thread::Builder::new().stack_size(64 * 1024);
        let all = small.spawn(move || {
            let clock = ManualClock::new();
            let base = builder(&clock);
            let base = if own_threads { base } else { base.executor(CallerRuns) };
            let cache = base.build().expect("the settings agree");
            everything(&cache, &clock, 0);
            for key in 0..1_000 {
                cache.set(key, key);
            }
            cache.len()
        });
        assert_eq!(all.expect("a thread starts").join().expect("64 KiB are enough"), 1_000);
    }
}
