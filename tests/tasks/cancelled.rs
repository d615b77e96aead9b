//! Cancellation: a future polled exactly n times and dropped, for every n, in every role.

use std::pin::{Pin, pin};
use std::task::Poll;

use lastcache::{Error, ManualClock};

use super::controlled::{Cache, Collected, Failure, STALE, Served, builder, go};
use super::fetches::{Gate, absurd};
use super::support::{Bell, at_once, block_on, turns};

const POLLS: usize = 6;

fn cold() -> Cache {
    builder(&ManualClock::new()).build().expect("the settings agree")
}

fn stale() -> Cache {
    let clock = ManualClock::new();
    let cache = builder(&clock).executor(Collected::default()).build().expect("they agree");
    assert!(cache.set(1, 10));
    clock.set(STALE);
    cache
}

type Call<'a> = Pin<Box<dyn Future<Output = Result<u32, Error<Failure>>> + 'a>>;
type Fetch = Pin<Box<dyn Future<Output = Result<u32, Failure>> + Send>>;

/// The three calls, their answers reduced to the value.
fn calls() -> [(&'static str, fn(&Cache, Fetch) -> Call<'_>); 3] {
    fn value(served: Result<Served, Error<Failure>>) -> Result<u32, Error<Failure>> {
        served.map(|served| *served)
    }
    [
        ("get", |cache, fetch| Box::pin(cache.get_async(&1, fetch))),
        ("get_stale", |cache, fetch| {
            Box::pin(async move { value(cache.get_stale_async(&1, fetch).await) })
        }),
        ("get_swr", |cache, fetch| {
            Box::pin(async move { value(cache.get_swr_async(&1, fetch).await) })
        }),
    ]
}

/// A fetch that is pending so often.
fn slow(times: usize, value: u32) -> Fetch {
    Box::pin(async move {
        turns(times).await;
        Ok(value)
    })
}

fn poll_times(bell: &std::sync::Arc<Bell>, future: &mut Call<'_>, polls: usize) -> bool {
    (0..polls).any(|_| bell.poll(future.as_mut()).is_ready())
}

#[test]
fn a_leader_dropped_at_any_poll_frees_the_key_and_its_joiners_start_over() {
    for (name, call) in calls() {
        for polls in 0..=POLLS {
            let cache = cold();
            let bell = Bell::new();
            let mut leader = call(&cache, slow(POLLS - 1, 1));
            let over = poll_times(&bell, &mut leader, polls);
            assert_eq!(over, polls == POLLS, "{name} after {polls} polls");
            // Its joiner brings a fetch of its own, and polls it only if need be.
            let mut joiner = call(&cache, slow(0, 2));
            let woken = Bell::new();
            let joined = (polls > 0).then(|| woken.poll(joiner.as_mut()));
            drop(leader);
            match joined {
                Some(Poll::Pending) => {
                    assert_eq!(woken.rung(), 1, "{name} after {polls} polls: woken");
                    let again = woken.poll(joiner.as_mut());
                    assert!(matches!(again, Poll::Ready(Ok(2))), "{again:?}");
                }
                Some(ready) => assert!(over && matches!(ready, Poll::Ready(Ok(1)))),
                None => assert!(matches!(at_once(joiner), Ok(2))),
            }
            let stats = cache.stats();
            assert_eq!((stats.failures, stats.loads), (0, 1), "nobody failed");
            assert_eq!(cache.len(), 1);
        }
    }
}

#[test]
fn a_stale_value_survives_its_leader_at_any_poll() {
    // `get_swr` never leads while it has one.
    for (name, call) in calls().into_iter().take(2) {
        for polls in 0..POLLS {
            let cache = stale();
            let mut leader = call(&cache, slow(POLLS, 1));
            assert!(!poll_times(&Bell::new(), &mut leader, polls));
            drop(leader);
            assert_eq!(cache.peek(&1).as_deref(), Some(&10), "{name} after {polls} polls");
            // No back-off: nothing failed.
            assert!(matches!(at_once(call(&cache, slow(0, 2))), Ok(2)));
        }
    }
}

#[test]
fn a_joiner_dropped_at_any_poll_costs_nobody_a_wake_up() {
    for (name, call) in calls() {
        for polls in 0..=POLLS {
            let cache = cold();
            let gate = Gate::new();
            let [leading, leaving, staying] = [(); 3].map(|()| Bell::new());
            let mut leader = call(&cache, Box::pin(gate.fetch()));
            assert!(leading.poll(leader.as_mut()).is_pending());
            let mut leaver = call(&cache, Box::pin(absurd()));
            let mut stayer = call(&cache, Box::pin(absurd()));
            assert!(staying.poll(stayer.as_mut()).is_pending());
            assert!(!poll_times(&leaving, &mut leaver, polls));
            drop(leaver);
            assert_eq!(leaving.wakers(), 0, "{name} after {polls} polls: nothing left behind");
            gate.open(Ok(7));
            assert!(matches!(leading.poll(leader.as_mut()), Poll::Ready(Ok(7))));
            assert_eq!((leaving.rung(), staying.rung()), (0, 1), "{name} after {polls} polls");
            assert!(matches!(staying.poll(stayer.as_mut()), Poll::Ready(Ok(7))));
        }
    }
}

#[test]
fn of_many_joiners_one_leads_next_when_the_leader_goes() {
    let cache = cold();
    let gate = Gate::new();
    let bell = Bell::new();
    let mut leader = Box::pin(cache.get_async(&1, slow(9, 1)));
    assert!(bell.poll(leader.as_mut()).is_pending());
    let mut joiners: Vec<_> =
        (0..50).map(|_| Box::pin(cache.get_async(&1, gate.fetch()))).collect();
    assert!(joiners.iter_mut().all(|joiner| bell.poll(joiner.as_mut()).is_pending()));
    drop(leader);
    assert_eq!(bell.rung(), 1 + 50, "the leader woke itself once, and its end everybody");
    assert!(joiners.iter_mut().all(|joiner| bell.poll(joiner.as_mut()).is_pending()));
    assert_eq!(gate.begun(), 1, "one of them");
    gate.open(Ok(7));
    for joiner in &mut joiners {
        assert!(matches!(bell.poll(joiner.as_mut()), Poll::Ready(Ok(7))));
    }
    assert_eq!((gate.begun(), gate.dropped()), (1, 1));
    let stats = cache.stats();
    assert_eq!((stats.misses, stats.joins), (51, 50 + 49), "a call each, and a join for each wait");
}

#[test]
fn a_joiner_that_is_a_thread_starts_over_when_a_task_that_leads_is_dropped() {
    let cache = cold();
    let bell = Bell::new();
    let mut leader = Box::pin(cache.get_async(&1, slow(9, 1)));
    assert!(bell.poll(leader.as_mut()).is_pending());
    let thread = {
        let cache = cache.clone();
        go(move || cache.get(&1, |_| Ok(2)))
    };
    super::controlled::until("the thread joins", || cache.stats().joins == 1);
    drop(leader);
    assert_eq!(thread.end().expect("loaded by itself"), 2);
}

/// What asks for its own key as it goes: a fetch's guard, a body half read.
struct AsksAgain(Cache, std::sync::mpsc::Sender<u32>);

impl Drop for AsksAgain {
    fn drop(&mut self) {
        let _ = self.1.send(self.0.get(&1, |_| Ok(5)).expect("the key is free"));
    }
}

#[test]
fn a_cancelled_fetch_whose_drop_asks_for_its_own_key_finds_it_free() {
    let (told, heard) = std::sync::mpsc::channel();
    go(move || {
        let cache = cold();
        let asks = AsksAgain(cache.clone(), told);
        let fetch = async move {
            let _asks = asks;
            turns(3).await;
            Ok(1)
        };
        let mut leader = Box::pin(cache.get_async(&1, fetch));
        assert!(Bell::new().poll(leader.as_mut()).is_pending());
        drop(leader);
    })
    .end();
    assert_eq!(heard.recv(), Ok(5));
}

#[test]
fn a_leader_that_is_kept_and_not_polled_holds_its_key_and_nothing_else() {
    let clock = ManualClock::new();
    let cache = builder(&clock).executor(Collected::default()).build().expect("they agree");
    cache.set(1, 10);
    clock.set(STALE);
    let mut forgotten = Box::pin(cache.get_async(&1, slow(9, 1)));
    let bell = Bell::new();
    assert!(bell.poll(forgotten.as_mut()).is_pending());
    // Who may have the stale value has it; a joiner waits, gives up, and may come again.
    assert_eq!(*at_once(cache.get_swr_async(&1, absurd())).expect("stale"), 10);
    for _ in 0..3 {
        let mut joiner = pin!(cache.get_async(&1, absurd()));
        assert!(bell.poll(joiner.as_mut()).is_pending());
    }
    // Other keys go on, and a write gets through.
    assert_eq!(block_on(cache.get_async(&2, slow(1, 2))).expect("loaded"), 2);
    cache.set(1, 11);
    assert_eq!(at_once(cache.get_async(&1, absurd())).expect("fresh"), 11);
    assert!(matches!(block_on(forgotten), Ok(11)), "the first outcome wins");
}

#[test]
fn a_delete_detaches_a_load_that_is_polled_later() {
    let cache = cold();
    let gate = Gate::new();
    let bell = Bell::new();
    let mut leader = Box::pin(cache.get_async(&1, gate.fetch()));
    assert!(bell.poll(leader.as_mut()).is_pending());
    assert!(!cache.delete(&1), "it has no value yet");
    assert_eq!(at_once(cache.get_async(&1, async { Ok(2) })).expect("a load of its own"), 2);
    gate.open(Ok(1));
    assert!(matches!(bell.poll(leader.as_mut()), Poll::Ready(Ok(1))));
    assert_eq!(cache.peek(&1).as_deref(), Some(&2), "the late load is not stored");
}
