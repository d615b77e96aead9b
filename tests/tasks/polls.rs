//! Polls and wakers: ready at once where there is a value, woken by the last waker where there is none.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use lastcache::{BackOff, ManualClock, State};

use super::controlled::{Cache, Collected, GONE, STALE, builder, secs};
use super::fetches::{Gate, absurd};
use super::support::{Bell, at_once};

fn cache(clock: &ManualClock, jobs: &Collected) -> Cache {
    let builder = builder(clock).back_off(BackOff::fixed(secs(5))).executor(jobs.clone());
    builder.build().expect("the settings agree")
}

#[test]
fn a_fresh_value_is_there_at_the_first_poll_of_every_call() {
    let cache = cache(&ManualClock::new(), &Collected::default());
    cache.set(1, 10);
    assert_eq!(at_once(cache.get_async(&1, absurd())).expect("fresh"), 10);
    assert_eq!(*at_once(cache.get_stale_async(&1, absurd())).expect("fresh"), 10);
    assert_eq!(*at_once(cache.get_swr_async(&1, absurd())).expect("fresh"), 10);
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses), (3, 0));
}

#[test]
fn a_stale_value_is_there_at_the_first_poll_of_a_revalidating_call() {
    let (clock, jobs) = (ManualClock::new(), Collected::default());
    let cache = cache(&clock, &jobs);
    cache.set(1, 10);
    clock.set(STALE);
    for n in 0..3 {
        let served = at_once(cache.get_swr_async(&1, async { Ok(20) })).expect("stale");
        assert!(matches!((*served, served.state()), (10, State::Stale)));
        assert!(served.refresh().is_some(), "started or under way, call {n}");
    }
    assert_eq!(jobs.len(), 1, "one refresh, not begun yet");
    jobs.next().run();
    assert_eq!(*at_once(cache.get_swr_async(&1, absurd())).expect("fresh"), 20);
}

#[test]
fn a_back_off_answer_is_there_at_the_first_poll() {
    let (clock, jobs) = (ManualClock::new(), Collected::default());
    let cache = cache(&clock, &jobs);
    cache.set(1, 10);
    clock.set(STALE);
    assert_eq!(at_once(cache.get_async(&1, async { Err("down") })).expect("covered"), 10);
    let served = at_once(cache.get_stale_async(&1, absurd())).expect("refused");
    assert!(matches!(served.state(), State::BackOff { .. }));
    assert_eq!(jobs.len(), 0);
}

#[test]
fn a_future_that_is_never_polled_does_nothing() {
    let cache = cache(&ManualClock::new(), &Collected::default());
    drop(cache.get_async(&1, absurd()));
    drop(cache.get_swr_async(&1, absurd()));
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.failures), (0, 0, 0));
    assert_eq!(at_once(cache.get_async(&1, async { Ok(1) })).expect("loaded"), 1);
}

#[test]
fn a_joiner_is_woken_by_the_waker_of_its_last_poll_and_by_no_other() {
    let cache = cache(&ManualClock::new(), &Collected::default());
    let gate = Gate::new();
    let mut leader = pin!(cache.get_async(&1, gate.fetch()));
    let mut joiner = pin!(cache.get_async(&1, absurd()));
    let [lead, first, last] = [(); 3].map(|()| Bell::new());
    assert!(lead.poll(leader.as_mut()).is_pending());
    for bell in [&first, &last, &first, &last] {
        assert!(bell.poll(joiner.as_mut()).is_pending());
    }
    assert_eq!(first.wakers(), 0, "a waker that was replaced is dropped");
    gate.open(Ok(7));
    assert!(matches!(lead.poll(leader.as_mut()), Poll::Ready(Ok(7))));
    assert_eq!((first.rung(), last.rung()), (0, 1));
    assert!(matches!(first.poll(joiner.as_mut()), Poll::Ready(Ok(7))));
}

#[test]
fn a_joiner_polled_again_with_the_same_waker_clones_it_no_more() {
    let cache = cache(&ManualClock::new(), &Collected::default());
    let gate = Gate::new();
    let mut leader = pin!(cache.get_async(&1, gate.fetch()));
    let mut joiner = pin!(cache.get_async(&1, absurd()));
    let bell = Bell::new();
    assert!(bell.poll(leader.as_mut()).is_pending());
    let leading = bell.wakers();
    assert!(bell.poll(joiner.as_mut()).is_pending());
    let joining = bell.wakers();
    for _ in 0..10 {
        assert!(bell.poll(joiner.as_mut()).is_pending());
    }
    assert!(joining > leading);
    assert_eq!(bell.wakers(), joining);
    gate.open(Err("down"));
    assert!(bell.poll(leader.as_mut()).is_ready());
    assert!(bell.poll(joiner.as_mut()).is_ready());
}

#[test]
fn a_set_wakes_who_waits_with_its_value() {
    let cache = cache(&ManualClock::new(), &Collected::default());
    let gate = Gate::new();
    let mut leader = pin!(cache.get_async(&1, gate.fetch()));
    let mut joiner = pin!(cache.get_async(&1, absurd()));
    let bell = Bell::new();
    assert!(bell.poll(leader.as_mut()).is_pending());
    assert!(bell.poll(joiner.as_mut()).is_pending());
    cache.set(1, 99);
    assert_eq!(bell.rung(), 1);
    assert!(matches!(bell.poll(joiner.as_mut()), Poll::Ready(Ok(99))));
    gate.open(Ok(7));
    assert!(matches!(bell.poll(leader.as_mut()), Poll::Ready(Ok(99))), "the first outcome wins");
    assert_eq!(cache.stats().late_loads, 1);
}

#[test]
fn a_joiner_is_answered_as_of_the_poll_that_answers_it() {
    for (polled, covered) in [(GONE - Duration::from_nanos(1), true), (GONE, false)] {
        let clock = ManualClock::new();
        let cache = cache(&clock, &Collected::default());
        cache.set(1, 10);
        clock.set(STALE);
        let gate = Gate::new();
        let bell = Bell::new();
        let mut leader = Box::pin(cache.get_async(&1, gate.fetch()));
        let mut joiner = Box::pin(cache.get_async(&1, absurd()));
        assert!(bell.poll(leader.as_mut()).is_pending());
        assert!(bell.poll(joiner.as_mut()).is_pending());
        gate.open(Err("down"));
        assert!(matches!(bell.poll(leader.as_mut()), Poll::Ready(Ok(10))));
        clock.set(polled);
        let Poll::Ready(answer) = bell.poll(joiner.as_mut()) else {
            panic!("the flight has ended")
        };
        assert_eq!(answer.is_ok(), covered, "at {polled:?}: {answer:?}");
    }
}

#[test]
fn a_refresh_handle_is_a_future() {
    let (clock, jobs) = (ManualClock::new(), Collected::default());
    let cache = cache(&clock, &jobs);
    cache.set(1, 10);
    clock.set(STALE);
    let served = at_once(cache.get_swr_async(&1, async { Err("down") })).expect("stale");
    let mut refresh = served.refresh().expect("started by this call");
    let mut another = served.refresh().expect("the same");
    let bell = Bell::new();
    assert!(bell.poll(pin!(&mut refresh)).is_pending());
    assert!(bell.poll(pin!(&mut another)).is_pending());
    drop(another);
    jobs.next().run();
    assert_eq!(bell.rung(), 1, "the dropped one is not woken");
    assert!(
        matches!(bell.poll(pin!(&mut refresh)), Poll::Ready(Err(e)) if e.fetch_error() == Some(&"down"))
    );
    assert!(refresh.wait().is_err(), "and a thread may still ask");
}

fn send<T: Send>(future: T) -> T {
    future
}

/// Holds found in the table are not `Send`: a future that kept one across an await would fail here.
#[test]
fn the_futures_are_send_and_keep_no_guard_across_an_await() {
    let cache = cache(&ManualClock::new(), &Collected::default());
    let gate = Gate::new();
    drop(send(cache.get_async(&1, gate.fetch())));
    drop(send(cache.get_stale_async(&1, gate.fetch())));
    drop(send(cache.get_swr_async(&1, gate.fetch())));
}

#[test]
fn a_future_has_room_for_two_of_its_fetch_and_little_else() {
    let cache = cache(&ManualClock::new(), &Collected::default());
    let weigh = |bytes: usize| {
        let large = [1u8; 4_096];
        let fetch = async move {
            super::support::turns(1).await;
            Ok(u32::from(large[bytes]))
        };
        let fetch_size = size_of_val(&fetch);
        assert!(fetch_size >= 4_096);
        (fetch_size, size_of_val(&cache.get_async(&1, fetch)))
    };
    let (fetch, future) = weigh(3);
    println!("a fetch of {fetch} bytes makes a future of {future}");
    assert!(future <= 2 * fetch + 512, "{future} bytes for a fetch of {fetch}");
}
