//! M14: a reader against two writers. What its hot set answers with is what is published at that
//! moment: never older than what it knows of, never another key's, never past its deadline. And the sets
//! that threads have of a cache go when it closes.

use std::time::Duration;

use loom::sync::atomic::{AtomicU32, Ordering::*};
use loom::thread;

use super::model;
use super::support::{FRESH, Got, Key, NOW, STALE, Small, Snap, Tracked, at, one_home};
use crate::hot::HotSet;
use crate::local::Local;
use crate::sync::Arc;
use crate::table::Fate;
use crate::time::ManualClock;

type Hot = HotSet<Key, Tracked, u8>;

const OLD: u32 = 0;

/// A table of one value under 7, published at 0, and a hot set that watches it.
fn watched(capacity: usize) -> (std::sync::Arc<Small>, Hot) {
    let small = Small::new(capacity, one_home);
    assert_eq!(small.set(7, OLD, 0), Fate::Stored);
    let mut hot = HotSet::new(1);
    watch(&small, &mut hot);
    assert_eq!(hit(&small, &mut hot, 7, NOW), Some(OLD));
    (small, hot)
}

fn watch(small: &Small, hot: &mut Hot) {
    for _ in 0..2 {
        hot.missed(small.table(), small.hashed(7), &Key(7));
    }
}

fn hit(small: &Small, hot: &mut Hot, key: u8, now: u64) -> Option<u32> {
    // One of its own: others set at other times.
    let clock = ManualClock::new();
    clock.set(Duration::from_nanos(now));
    let hit = hot.hit(small.table(), &(&clock).into(), small.hashed(key), &Key(key));
    hit.map(|(s, _)| s.value().read())
}

#[test]
fn m14_a_reader_beside_two_sets_never_goes_back() {
    model(2, || {
        let (small, mut hot) = watched(1);
        let announced = std::sync::Arc::new(AtomicU32::new(OLD));
        let writers = [1, 2].map(|value| {
            let (small, announced) = (small.clone(), announced.clone());
            thread::spawn(move || {
                assert_eq!(small.set(7, value, 0), Fate::Stored);
                // Release: who sees this knows that the call returned.
                announced.fetch_or(value, Release);
            })
        });
        let mut last = OLD;
        for _ in 0..3 {
            let known = announced.load(Acquire);
            let seen = hit(&small, &mut hot, 7, NOW).expect("there is always a value");
            assert!(known == OLD || seen != OLD, "a set that returned is not seen");
            assert!(seen != OLD || last == OLD, "back to the old value");
            assert!(known != 3 || small.peek(7, NOW) == Some(seen), "both sets have returned");
            last = seen;
        }
        for writer in writers {
            writer.join().unwrap();
        }
        assert_eq!(hit(&small, &mut hot, 7, NOW), small.peek(7, NOW), "what stands, and no other");
        drop(hot);
        small.check_rest();
    });
}

#[test]
fn m14_a_reader_beside_a_set_and_a_delete_sees_what_returned() {
    model(2, || {
        // Room for one more: a set beside a delete finds none given back yet.
        let (small, mut hot) = watched(2);
        let deleter = {
            let small = small.clone();
            thread::spawn(move || assert!(small.delete(7, NOW)))
        };
        let setter = {
            let small = small.clone();
            thread::spawn(move || assert_eq!(small.set(7, 1, 0), Fate::Stored))
        };
        let beside = hit(&small, &mut hot, 7, NOW);
        assert!(matches!(beside, None | Some(OLD | 1)), "{beside:?}");
        deleter.join().unwrap();
        let after = hit(&small, &mut hot, 7, NOW);
        assert!(after != Some(OLD), "a delete that returned is not seen");
        setter.join().unwrap();
        // In another slot, it may have to be found anew.
        watch(&small, &mut hot);
        assert_eq!(hit(&small, &mut hot, 7, NOW), small.peek(7, NOW));
        drop(hot);
        small.check_rest();
    });
}

#[test]
fn m14_the_slots_next_tenant_is_not_served_for_the_key_before() {
    model(2, || {
        let (small, mut hot) = watched(1);
        // The first evicts 7, the second takes its slot: same tag, and here the very same hash.
        let evictor = {
            let small = small.clone();
            thread::spawn(move || [8, 9].map(|key| small.set(key, u32::from(key), 0)))
        };
        for _ in 0..2 {
            let beside = hit(&small, &mut hot, 7, NOW);
            assert!(matches!(beside, None | Some(OLD)), "{beside:?}");
        }
        assert_eq!(evictor.join().unwrap(), [Fate::Stored; 2]);
        assert_eq!(hit(&small, &mut hot, 7, NOW), None, "evicted");
        assert!(matches!(hit(&small, &mut hot, 9, NOW), None | Some(9)));
        drop(hot);
        small.check_rest();
    });
}

#[test]
fn m14_each_value_is_served_to_its_own_deadline() {
    model(2, || {
        let (small, mut hot) = watched(1);
        assert_eq!(hit(&small, &mut hot, 7, STALE), None);
        let setter = {
            let small = small.clone();
            thread::spawn(move || assert_eq!(small.set(7, 1, STALE), Fate::Stored))
        };
        let loader = {
            let small = small.clone();
            thread::spawn(move || small.get(7, STALE, 2))
        };
        // Only a value of now is fresh now; and the old one, at its time, stays so.
        let beside = hit(&small, &mut hot, 7, STALE);
        assert!(matches!(beside, None | Some(1 | 2)), "{beside:?}");
        let later = hit(&small, &mut hot, 7, STALE + FRESH);
        assert_eq!(later, None, "past the deadline of all");
        setter.join().unwrap();
        let got = loader.join().unwrap();
        assert!(matches!(got, Got::Hit(1) | Got::Led(..) | Got::Joined(1)), "{got:?}");
        assert_eq!(hit(&small, &mut hot, 7, STALE), Some(1), "the set stays");
        drop(hot);
        small.check_rest();
    });
}

#[test]
fn m14_a_value_outlives_its_removal_where_it_is_watched() {
    model(2, || {
        let (small, mut hot) = watched(1);
        let deleter = {
            let small = small.clone();
            thread::spawn(move || assert!(small.delete(7, NOW)))
        };
        let s = hot.published(small.hashed(7), &Key(7)).cloned();
        deleter.join().unwrap();
        if let Some(s) = s {
            assert_eq!(s.value().read(), OLD);
        }
        assert!(hot.published(small.hashed(7), &Key(7)).is_none());
        drop(hot);
        small.check_rest();
    });
}

/// A cache's hot sets, of which this thread has one, and the value that is watched in it.
fn own(small: &Small) -> (Local, Arc<Snap>) {
    let (local, mut value) = (Local::new(1), None);
    // Made by the first call.
    for _ in 0..2 {
        local.with(|hot: &mut Hot| {
            watch(small, hot);
            value = hot.published(small.hashed(7), &Key(7)).cloned();
        });
    }
    (local, value.expect("it is watched"))
}

/// How many hold the value once this thread has called another cache.
fn holders(value: &Arc<Snap>) -> usize {
    Local::new(1).with(|_: &mut Hot| ());
    Arc::strong_count(value)
}

#[test]
fn m14_a_thread_that_reads_beside_a_close_lets_go_at_its_next_call() {
    model(2, || {
        let (small, _) = watched(1);
        let (local, value) = own(&small);
        let before = holders(&value);
        let closer = thread::spawn(move || local.retire());
        assert!([before, before - 1].contains(&holders(&value)));
        closer.join().unwrap();
        assert_eq!(holders(&value), before - 1, "nobody keeps what a closed cache served");
        drop(value);
        small.check_rest();
    });
}

#[test]
fn m14_a_thread_that_closes_beside_a_close_lets_go_at_its_next_call() {
    model(2, || {
        let (small, _) = watched(1);
        let (local, value) = own(&small);
        let before = holders(&value);
        let closer = thread::spawn(move || local.retire());
        Local::new(1).retire();
        closer.join().unwrap();
        assert_eq!(holders(&value), before - 1, "nobody keeps what a closed cache served");
        drop(value);
        small.check_rest();
    });
}

/// Of two who close one cache, either may find that the other has marked its sets and not counted yet.
#[test]
fn m14_who_closes_a_cache_beside_another_who_does_has_let_go() {
    model(2, || {
        let (small, _) = watched(1);
        let (local, value) = own(&small);
        let (local, before) = (std::sync::Arc::new(local), holders(&value));
        let closer = {
            let local = local.clone();
            thread::spawn(move || local.retire())
        };
        local.retire();
        assert_eq!(Arc::strong_count(&value), before - 1, "this thread's is gone");
        closer.join().unwrap();
        drop(value);
        small.check_rest();
    });
}
