//! The reader: what the cache answers, never anything older, and little held on to.

#[path = "support/controlled.rs"]
mod controlled;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::thread;

use controlled::{
    Cache, Dice, Failure, GONE, OVERDUE, STALE, Source, builder, go, never, scaled, secs, until,
};
use foldhash::fast::FixedState;
use lastcache::{CallerRuns, ManualClock, Reader, State};

/// A cache, and a reader of it that has 10 under the keys from 0 on in its hot set.
fn hot<V: Copy + From<u8> + Send + Sync + 'static>(
    clock: &ManualClock,
    keys: u32,
) -> (Cache<V>, Reader<u32, V, Failure>) {
    let cache = builder(clock).executor(CallerRuns).build().expect("the settings agree");
    let mut reader = cache.reader_with(4_096);
    for key in 0..keys {
        cache.set(key, V::from(10));
    }
    warm(&mut reader, keys);
    (cache, reader)
}

/// So many misses running take a spot from any other key.
const OFTEN: usize = 16;

/// Twice missed at its spot, a key is in the hot set.
fn warm<V: Send + Sync + 'static>(reader: &mut Reader<u32, V, Failure>, keys: u32) {
    for key in 0..keys {
        for _ in 0..3 {
            assert!(reader.get_with(&key, |_| (), never).is_ok());
        }
    }
}

fn value(reader: &mut Reader<u32, u32, Failure>) -> Option<u32> {
    reader.peek(&0).map(|served| *served)
}

#[test]
fn a_set_is_seen_by_the_next_read() {
    let (cache, mut reader) = hot::<u32>(&ManualClock::new(), 1);
    for n in 11..100 {
        assert!(cache.set(0, n));
        assert_eq!(reader.get(&0, never).ok(), Some(n));
        assert!(cache.set(0, n + 1_000));
        assert_eq!(*reader.get_stale(&0, never).expect("fresh"), n + 1_000);
        assert!(reader.cache().set(0, n + 2_000));
        assert_eq!(*reader.get_swr(&0, never).expect("fresh"), n + 2_000);
        assert_eq!(reader.get_with(&0, |v| v + 1, never).ok(), Some(n + 2_001));
        assert!(cache.set(0, n + 3_000));
        assert_eq!(value(&mut reader), Some(n + 3_000));
    }
}

#[test]
fn a_deleted_key_is_gone_at_once_and_comes_back_with_its_next_value() {
    let (cache, mut reader) = hot::<u32>(&ManualClock::new(), 4);
    for n in 0..50 {
        assert!(cache.delete(&0));
        assert_eq!(value(&mut reader), None);
        assert!(reader.get(&0, |_| Err("asked")).is_err());
        // Others move into the slots that became free.
        assert!(cache.set(100 + n, 1) && cache.set(0, n));
        assert_eq!(reader.get(&0, never).ok(), Some(n));
        assert_eq!(value(&mut reader), Some(n));
    }
}

#[test]
fn a_cleared_cache_is_empty_for_its_readers() {
    let (cache, mut reader) = hot::<u32>(&ManualClock::new(), 20);
    cache.clear();
    for key in 0..20 {
        assert!(reader.peek(&key).is_none());
        assert_eq!(reader.get(&key, |key| Ok(key + 5)).ok(), Some(key + 5));
    }
    assert_eq!(cache.stats().loads, 20);
}

#[test]
fn a_value_is_served_to_its_deadlines_and_no_further() {
    let clock = ManualClock::new();
    let (_cache, mut reader) = hot::<u32>(&clock, 1);
    clock.set(STALE - secs(1));
    assert_eq!(reader.get(&0, never).ok(), Some(10));
    assert!(reader.get_stale(&0, never).is_ok_and(|served| !served.is_stale()));
    clock.set(STALE);
    let served = reader.peek(&0).expect("servable");
    assert!(matches!(served.state(), State::Stale) && served.age() == STALE);
    let served = reader.get_stale(&0, |_| Err("down")).expect("covered");
    assert!(matches!(served.state(), State::Fallback { .. }));
    clock.set(OVERDUE);
    assert_eq!(reader.get_with(&0, |v| *v, |_| Err("down")).ok(), Some(10));
    clock.set(GONE);
    assert!(reader.peek(&0).is_none());
    assert!(reader.get(&0, |_| Err("down")).is_err());
    assert_eq!(reader.get(&0, |_| Ok(20)).ok(), Some(20));
    assert_eq!(reader.get(&0, never).ok(), Some(20));
}

#[test]
fn a_stale_value_is_refreshed_behind_the_reader_and_then_read() {
    let clock = ManualClock::new();
    let (cache, mut reader) = hot::<u32>(&clock, 1);
    for n in 1..20 {
        clock.advance(STALE);
        let served = reader.get_swr(&0, move |_| Ok(n)).expect("stale");
        assert!(served.is_stale() && served.refresh().is_some());
        assert_eq!(reader.get_swr(&0, never).map(|served| *served).ok(), Some(n));
    }
    assert_eq!(cache.stats().stale_hits, 19);
}

#[test]
fn an_evicted_value_is_not_served_and_its_slots_next_tenant_only_under_its_own_key() {
    let clock = ManualClock::new();
    let cache: Cache = builder(&clock).capacity(4).build().expect("the settings agree");
    let mut reader = cache.reader_with(64);
    let mut dice = Dice::new(7);
    for _ in 0..scaled(3_000) {
        let key = dice.roll(12);
        if dice.roll(3) == 0 {
            assert!(cache.set(key, key));
        }
        for _ in 0..dice.roll(4) {
            let there = cache.peek(&key).map(|served| *served);
            assert!(there.is_none_or(|v| v == key));
            assert_eq!(reader.peek(&key).map(|served| *served), there);
            if there.is_some() {
                assert_eq!(reader.get(&key, never).ok(), Some(key));
            }
        }
    }
    assert!(cache.stats().evictions > 100);
}

#[test]
fn what_another_thread_wrote_is_read_once_that_call_returned() {
    let (cache, mut reader) = hot::<u32>(&ManualClock::new(), 1);
    let ((turns, theirs), (report, reports)) = (mpsc::channel(), mpsc::channel());
    let writer = go(move || {
        for n in theirs {
            match n % 3 {
                0 => assert!(cache.set(0, n)),
                1 => assert!(cache.delete(&0)),
                _ => cache.clear(),
            }
            report.send(()).expect("the test listens");
        }
    });
    for n in 0..scaled(300) as u32 {
        let before = if n == 0 { Some(10) } else { (n % 3 == 1).then(|| n - 1) };
        let after = (n % 3 == 0).then_some(n);
        turns.send(n).expect("the writer listens");
        // Beside the write: what was, or what will be.
        until("the write ends", || {
            let over = reports.try_recv().is_ok();
            let beside = value(&mut reader);
            assert!([before, after].contains(&beside), "{beside:?} in {n}");
            over
        });
        assert_eq!(value(&mut reader), after);
        for _ in 0..3 {
            assert_eq!(reader.get(&0, |_| Err("asked")).ok(), after);
        }
    }
    drop(turns);
    writer.end();
}

#[test]
fn readers_never_go_back_behind_what_was_announced() {
    const KEYS: u32 = 8;
    let clock = ManualClock::new();
    let cache: Cache = builder(&clock).capacity(6).build().expect("the settings agree");
    let announced: Arc<[AtomicU32; KEYS as usize]> = Arc::default();
    let rounds = scaled(20_000);
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let (cache, announced) = (cache.clone(), Arc::clone(&announced));
            go(move || {
                let mut reader = cache.reader_with(KEYS as usize);
                let (mut dice, mut hits) = (Dice::new(thread), 0);
                for n in 1..=rounds as u32 {
                    let key = dice.roll(KEYS);
                    // Each key has one writer, whose values count up.
                    if u64::from(key) % 4 == thread && dice.roll(4) == 0 {
                        cache.set(key, n << 4 | key);
                        announced[key as usize].store(n, SeqCst);
                    }
                    let least = announced[key as usize].load(SeqCst);
                    let seen = match dice.roll(3) {
                        0 => reader.get(&key, |_| Err("asked")).ok(),
                        1 => reader.get_with(&key, |v| *v, |_| Err("asked")).ok(),
                        _ => reader.peek(&key).map(|served| *served),
                    };
                    // Evicted is always possible.
                    if let Some(seen) = seen {
                        assert_eq!(seen & 15, key, "another key's value");
                        assert!(seen >> 4 >= least, "{} after {least} was announced", seen >> 4);
                        hits += 1;
                    }
                }
                hits
            })
        })
        .collect();
    let hits: usize = threads.into_iter().map(controlled::Going::end).sum();
    assert!(hits > rounds, "{hits} hits of four times {rounds} reads, though most keys have room");
}

#[test]
fn a_joiner_and_a_leader_may_be_readers() {
    let clock = ManualClock::new();
    let cache: Cache = builder(&clock).build().expect("the settings agree");
    let source = Source::new();
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (mut reader, fetch) = (cache.reader(), source.fetch());
            go(move || {
                [reader.get(&1, fetch), reader.get(&1, never), reader.get(&1, never)]
                    .map(Result::ok)
            })
        })
        .collect();
    let run = source.started();
    controlled::until("the other joins", || cache.stats().joins == 1);
    run.succeed(5);
    for reader in readers {
        assert_eq!(reader.end(), [Some(5); 3]);
    }
    assert_eq!((source.begun(), cache.stats().hits), (1, 4));
}

#[test]
fn hits_of_the_hot_set_are_counted_as_any_other() {
    let (cache, mut reader) = hot::<u32>(&ManualClock::new(), 3);
    let before = cache.stats();
    assert_eq!(before.hits, 9);
    assert!(reader.get(&0, never).is_ok() && reader.get_with(&1, |_| (), never).is_ok());
    assert!(reader.get_stale(&2, never).is_ok() && reader.get_swr(&0, never).is_ok());
    assert!(reader.peek(&0).is_some());
    let after = cache.stats();
    assert_eq!(after.hits - before.hits, 4, "peek is none");
    assert_eq!(after.misses + after.stale_hits, 0);
}

/// A value that is counted while it lives.
struct Living(Arc<()>);

/// Hashes alike in every run: a spot takes some key in 65,000 for the one that it missed last.
type Tracked = lastcache::Cache<u32, Living, Failure, FixedState>;

fn tracked(capacity: usize) -> (Tracked, Arc<()>) {
    let cache = builder(&ManualClock::new()).capacity(capacity).hasher(FixedState::with_seed(1));
    (cache.build().expect("the settings agree"), Arc::new(()))
}

/// How many live, beside the counter itself.
fn living(count: &Arc<()>) -> usize {
    Arc::strong_count(count) - 1
}

fn read(reader: &mut Reader<u32, Living, Failure, FixedState>, key: u32, times: usize) {
    for _ in 0..times {
        let made = reader.get_with(&key, |value| living(&value.0), |_| Err("asked"));
        assert!(made.is_ok());
    }
}

#[test]
fn at_most_one_old_value_is_held_for_each_spot() {
    for spots in [0, 1, 7, 64] {
        let (cache, count) = tracked(1_000);
        let mut reader = cache.reader_with(spots);
        for round in 0..5 {
            for key in 0..500 {
                cache.set(key, Living(Arc::clone(&count)));
                read(&mut reader, key, 1 + round);
            }
            cache.clear();
            assert!(living(&count) <= spots, "{} of {spots}", living(&count));
        }
        assert!(spots < 64 || living(&count) > 32, "the hot set was used");
        drop(reader);
        assert_eq!(living(&count), 0);
    }
}

#[test]
fn a_key_that_is_read_once_is_not_held() {
    let (cache, count) = tracked(1_000);
    let mut reader = cache.reader_with(1_000);
    for key in 0..100 {
        cache.set(key, Living(Arc::clone(&count)));
    }
    for key in 0..100 {
        read(&mut reader, key, 1);
    }
    cache.clear();
    assert_eq!(living(&count), 0);
}

#[test]
fn a_key_that_is_read_often_keeps_its_spot_from_one_that_is_not() {
    let (cache, count) = tracked(10);
    let set = |key| assert!(cache.set(key, Living(Arc::clone(&count))));
    let mut reader = cache.reader_with(1);
    (1..=2).for_each(set);
    read(&mut reader, 1, 6);
    for _ in 0..100 {
        read(&mut reader, 2, 2);
        set(2);
        assert_eq!(living(&count), 2, "the old one is not held");
        read(&mut reader, 1, 3);
    }
    // Eight misses cool it, and two more take it.
    read(&mut reader, 1, 100);
    read(&mut reader, 2, 9);
    set(2);
    assert_eq!(living(&count), 2);
    read(&mut reader, 2, 1);
    set(2);
    assert_eq!(living(&count), 3, "the old one is held");
}

#[test]
fn an_old_value_goes_when_its_spot_is_read_again_or_taken_or_forgotten() {
    let (cache, count) = tracked(10);
    let set = |key| assert!(cache.set(key, Living(Arc::clone(&count))));
    let mut reader = cache.reader_with(1);
    set(1);
    read(&mut reader, 1, 2);
    set(1);
    assert_eq!(living(&count), 2, "the old one and the new one");
    read(&mut reader, 1, 1);
    assert_eq!(living(&count), 1, "read again");
    cache.delete(&1);
    assert_eq!(living(&count), 1);
    assert!(reader.peek(&1).is_none());
    assert_eq!(living(&count), 0, "read again, and found gone");

    set(1);
    read(&mut reader, 1, 2);
    cache.delete(&1);
    set(2);
    assert_eq!(living(&count), 2);
    read(&mut reader, 2, OFTEN);
    assert_eq!(living(&count), 1, "another key took the spot");

    cache.delete(&2);
    assert_eq!(living(&count), 1);
    reader.forget();
    assert_eq!(living(&count), 0, "forgotten");
    set(3);
    read(&mut reader, 3, 2);
    cache.delete(&3);
    assert_eq!(living(&count), 1, "it fills again");
}

#[test]
fn a_key_that_moved_to_another_slot_is_found_there_by_the_hot_set() {
    let (cache, count) = tracked(100);
    let others = Arc::new(());
    let mut reader = cache.reader_with(1);
    for round in 0..20 {
        let set = |key, count| assert!(cache.set(key, Living(Arc::clone(count))));
        set(1, &count);
        read(&mut reader, 1, 3);
        cache.delete(&1);
        // One of these takes its slot, nearly always.
        (2..90).for_each(|key| set(100 * round + key, &others));
        set(1, &count);
        read(&mut reader, 1, 3);
        cache.clear();
        assert_eq!((living(&count), living(&others)), (1, 0));
    }
}

#[test]
fn a_reader_keeps_its_cache_and_lets_all_go_at_the_end() {
    let (cache, count) = tracked(100);
    for key in 0..50 {
        cache.set(key, Living(Arc::clone(&count)));
    }
    let mut reader = cache.reader_with(16);
    drop(cache);
    (0..50).for_each(|key| read(&mut reader, key, 3));
    assert!(!reader.cache().is_closed() && living(&count) == 50);
    let served = reader.get_stale(&7, |_| Err("asked")).expect("fresh");
    // On another thread, whence it goes.
    go(move || drop(reader)).end();
    assert_eq!(living(&count), 1, "what is served, and nothing else");
    assert_eq!(served.key(), &7);
}

#[test]
fn what_is_served_by_a_reader_outlives_its_removal() {
    let (cache, mut reader) = hot::<u32>(&ManualClock::new(), 1);
    let held: Vec<_> = (0..100).map(|_| reader.get_stale(&0, never).expect("fresh")).collect();
    cache.set(0, 11);
    assert_eq!(reader.get(&0, never).ok(), Some(11));
    drop(reader);
    drop(cache);
    assert!(held.iter().all(|served| **served == 10));
}

#[test]
fn a_key_read_only_by_a_reader_outlives_those_that_nobody_reads() {
    let clock = ManualClock::new();
    let cache: Cache = builder(&clock).capacity(50).build().expect("the settings agree");
    let mut reader = cache.reader_with(1_024);
    for key in 0..10 {
        cache.set(key, 10);
        // As much used as the first ones, and from here on by nobody.
        cache.set(1_000 + key, 10);
        assert_eq!(cache.get(&(1_000 + key), never).ok(), Some(10));
    }
    warm(&mut reader, 10);
    // Full, of what nobody asks for: where all were used alike, the first that the hand comes by would go.
    (3_000..3_030).for_each(|key| assert!(cache.set(key, 1)));
    for key in 2_000..2_000 + 10 * 50 {
        cache.set(key, 1);
        // Past its probation, so that the hand has to find others.
        assert_eq!(cache.get(&key, never).ok(), Some(1));
        for key in 0..10 {
            assert_eq!(
                reader.get(&key, never).ok(),
                Some(10),
                "evicted after {}",
                cache.stats().evictions
            );
        }
    }
    let others = (1_000..1_010).filter(|key| cache.contains_key(key)).count();
    assert_eq!(others, 0, "the hand came by");
    assert!(cache.stats().evictions > 400);
}

/// A value that takes its time as it goes.
struct Slow(Option<ManualClock>);

impl Drop for Slow {
    fn drop(&mut self) {
        self.0.iter().for_each(|clock| clock.advance(GONE));
    }
}

#[test]
fn a_value_that_ages_while_the_hot_set_lets_go_of_another_is_judged_after_that() {
    for own in [false, true] {
        let clock = ManualClock::new();
        let built = builder(&clock).thread_hot_set(if own { 64 } else { 0 }).build();
        let cache: lastcache::Cache<u32, Slow, Failure> = built.expect("the settings agree");
        let mut reader = cache.reader();
        let mut read = || {
            let fetch = |_: &u32| Err("asked");
            let served = if own {
                cache.get_with(&1, |_| (), fetch)
            } else {
                reader.get_with(&1, |_| (), fetch)
            };
            served.is_ok()
        };
        assert!(cache.set(1, Slow(Some(clock.clone()))));
        assert!(read() && read() && read());
        // Only the hot set holds the other one.
        assert!(cache.set(1, Slow(None)));
        assert_eq!(clock.now(), secs(0));
        assert!(!read(), "it is past its windows by the time the other one is gone");
        assert_eq!(clock.now(), GONE);
    }
}

#[test]
fn a_destructor_that_panics_where_the_hot_set_lets_go_harms_that_call_alone() {
    struct Bomb(bool);
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(!self.0 || thread::panicking(), "bang");
        }
    }
    let cache: lastcache::Cache<u32, Bomb, Failure> =
        builder(&ManualClock::new()).build().expect("the settings agree");
    let mut reader = cache.reader_with(1);
    let read =
        |reader: &mut Reader<_, Bomb, _>, key| reader.get_with(&key, |b| b.0, |_| Err("no")).ok();
    for takes_the_spot in [false, true] {
        cache.set(1, Bomb(true));
        assert_eq!([1, 1].map(|key| read(&mut reader, key)), [Some(true); 2]);
        cache.set(1, Bomb(false)); // Only the hot set holds the other one.
        cache.set(2, Bomb(false));
        let key = if takes_the_spot { 2 } else { 1 };
        let call = |reader: &mut Reader<_, _, _>| {
            let reads = || (0..OFTEN).for_each(|_| _ = read(reader, key));
            catch_unwind(AssertUnwindSafe(reads)).is_err()
        };
        assert!(call(&mut reader), "bang");
        assert!(!call(&mut reader), "once");
        assert_eq!((read(&mut reader, 1), read(&mut reader, 2)), (Some(false), Some(false)));
    }
}

#[test]
fn a_reader_can_be_made_used_and_dropped_by_a_fetch_and_in_a_destructor() {
    struct Reads(Cache, Arc<AtomicUsize>);
    impl Drop for Reads {
        fn drop(&mut self) {
            if self.0.reader().get(&1, |_| Ok(8)).ok() == Some(7) {
                self.1.fetch_add(1, SeqCst);
            }
        }
    }
    thread_local!(static LAST: std::cell::Cell<Option<Reads>> = const { std::cell::Cell::new(None) });
    let cache: Cache = builder(&ManualClock::new()).build().expect("the settings agree");
    let mut reader = cache.reader();
    let inner = cache.clone();
    assert_eq!(
        reader.get(&0, move |_| inner.reader().get(&1, |_| Ok(7)).map_err(|_| "no")).ok(),
        Some(7)
    );
    let read = Arc::new(AtomicUsize::new(0));
    let theirs = Arc::clone(&read);
    go(move || LAST.set(Some(Reads(cache, theirs)))).end();
    until("its thread has ended", || read.load(SeqCst) == 1);
}

/// The reader and the cache, put to the same programs.
mod program {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use lastcache::{BackOff, Error, Served};

    type Fixed = lastcache::Cache<u32, u32, Failure, FixedState>;
    type Answer = Result<Served<u32, u32, Failure>, Error<Failure>>;

    #[derive(Clone, Debug)]
    enum Op {
        Get,
        GetWith,
        GetStale,
        GetSwr,
        Peek,
        Set,
        Delete,
        Clear,
        Wait(u64),
        Forget,
    }

    /// What to do, with which key, and whether its fetch succeeds.
    fn ops() -> impl Strategy<Value = Vec<(Op, u32, bool)>> {
        let op = prop_oneof![
            6 => Just(Op::Get),
            3 => Just(Op::GetWith),
            4 => Just(Op::GetStale),
            6 => Just(Op::GetSwr),
            4 => Just(Op::Peek),
            3 => Just(Op::Set),
            2 => Just(Op::Delete),
            1 => Just(Op::Clear),
            3 => (0..25_u64).prop_map(Op::Wait),
            1 => Just(Op::Forget),
        ];
        proptest::collection::vec((op, 0..9_u32, prop::bool::weighted(0.7)), 1..200)
    }

    fn built(clock: &ManualClock, capacity: usize, spots: usize) -> Fixed {
        let builder = builder(clock).capacity(capacity).hasher(FixedState::with_seed(1));
        let builder = builder.executor(CallerRuns).back_off(BackOff::fixed(secs(7)));
        builder.thread_hot_set(spots).build().expect("the settings agree")
    }

    /// All that can be told of an answer.
    fn told(answer: Answer) -> String {
        answer.map_or_else(
            |error| format!("{error:?}"),
            |served| {
                let (state, age): (_, Duration) = (served.state(), served.age());
                format!("{} {} {age:?} {state:?}", served.key(), *served)
            },
        )
    }

    /// The answer of one call, of the cache or of a reader.
    macro_rules! answer {
        ($of:expr, $op:expr, $key:expr, $fetch:expr) => {
            match $op {
                Op::Get => format!("{:?}", $of.get(&$key, $fetch)),
                Op::GetWith => format!("{:?}", $of.get_with(&$key, |v| v + 1, $fetch)),
                Op::GetStale => told($of.get_stale(&$key, $fetch)),
                Op::GetSwr => told($of.get_swr(&$key, $fetch)),
                _ => $of.peek(&$key).map_or_else(String::new, |served| told(Ok(served))),
            }
        };
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: scaled(300) as u32,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn a_reader_and_a_threads_hot_set_answer_as_the_cache_does(
            ops in ops(), spots in prop::sample::select(vec![0, 1, 3, 64]), capacity in 3..12_usize,
        ) {
            let clock = ManualClock::new();
            let (plain, cache) = (built(&clock, capacity, 0), built(&clock, capacity, 0));
            let own = built(&clock, capacity, spots);
            let mut reader = cache.reader_with(spots);
            let all = [&plain, &cache, &own];
            for (at, (op, key, succeeds)) in ops.into_iter().enumerate() {
                let fetch = move |key: &u32| {
                    if succeeds { Ok(*key << 16 | at as u32) } else { Err("down") }
                };
                let answers = match op {
                    Op::Set => all.map(|cache| cache.set(key, at as u32).to_string()),
                    Op::Delete => all.map(|cache| cache.delete(&key).to_string()),
                    Op::Clear => all.map(|cache| { cache.clear(); String::new() }),
                    Op::Wait(s) => { clock.advance(secs(s)); continue }
                    Op::Forget => { reader.forget(); continue }
                    _ => [
                        answer!(plain, op, key, fetch),
                        answer!(reader, op, key, fetch),
                        answer!(own, op, key, fetch),
                    ],
                };
                prop_assert_eq!(&answers[0], &answers[1], "reader, {}: {:?} of {}", at, op, key);
                prop_assert_eq!(&answers[0], &answers[2], "own set, {}: {:?} of {}", at, op, key);
            }
            // Uses are noted alike, so the same keys were evicted, too.
            let rest = all.map(|cache| {
                let mut rest: Vec<_> = cache.iter().map(|e| (*e.key(), *e.value())).collect();
                rest.sort_unstable();
                (cache.stats(), rest)
            });
            prop_assert_eq!(&rest[0], &rest[1]);
            prop_assert_eq!(&rest[0], &rest[2]);
        }
    }
}
