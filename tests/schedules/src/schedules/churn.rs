//! Everything at once on a few keys: loads that fail or are cancelled, refreshes, writes, eviction.

use std::time::Duration;

use super::schedules;
use super::world::{KEYS, Small, Value, Worker, World, cancelled, roll};
use crate::{BackOff, Served, State};

fn right(key: u8, got: Value) {
    assert_eq!(got.key, key, "a foreign value");
}

/// In its windows at the moment of answering. A plain stale one may be the outcome of a flight whose
/// joiner was slow to wake: everybody of a flight gets it, however old.
fn served(key: u8, got: &Served<u8, Value, &'static str>) {
    right(key, **got);
    assert_eq!(*got.key(), key);
    match got.state() {
        State::Fresh => assert!(got.age() < Duration::from_secs(10), "{:?} old", got.age()),
        State::Stale => {}
        _ => assert!(got.age() < Duration::from_secs(30), "{:?} old", got.age()),
    }
}

fn thread(world: &World) {
    let World { cache, clock, .. } = world;
    for _ in 0..4 {
        let key = roll(KEYS.into()) as u8;
        let fails = roll(4) == 0;
        match roll(9) {
            0 | 1 => drop(cache.get(&key, world.fetch(fails)).map(|got| right(key, got))),
            2 => drop(cache.get_stale(&key, world.fetch(fails)).map(|got| served(key, &got))),
            3 | 4 => drop(cache.get_swr(&key, world.fetch(fails)).map(|got| served(key, &got))),
            5 => drop(cache.set(key, world.value(key))),
            6 => drop(cache.delete(&key)),
            7 => {
                if let Some(got) = cache.peek(&key) {
                    served(key, &got);
                    assert!(got.age() < Duration::from_secs(30), "{:?} old", got.age());
                }
            }
            _ => clock.advance(Duration::from_secs(u64::from(roll(12)))),
        }
    }
}

async fn task(world: &World) {
    let cache: &Small = &world.cache;
    for _ in 0..4 {
        let key = roll(KEYS.into()) as u8;
        let fetch = world.fetch_async(key, roll(4) == 0);
        // One in three is dropped early.
        let polls = (roll(3) == 0).then(|| roll(4) as usize);
        match roll(4) {
            0 => {
                if let Some(Ok(got)) = cancelled(cache.get_async(&key, fetch), polls).await {
                    right(key, got);
                }
            }
            1 => {
                if let Some(Ok(got)) = cancelled(cache.get_stale_async(&key, fetch), polls).await {
                    served(key, &got);
                }
            }
            2 => {
                if let Some(Ok(got)) = cancelled(cache.get_swr_async(&key, fetch), polls).await {
                    served(key, &got);
                    if let Some(refresh) = got.refresh() {
                        drop(cancelled(refresh, polls).await);
                    }
                }
            }
            _ => drop(cache.set(key, world.value(key))),
        }
    }
}

fn churn(capacity: usize) {
    schedules(move || {
        let world = World::new(|builder| {
            let back_off = BackOff::fixed(Duration::from_secs(2));
            builder.capacity(capacity).back_off(back_off).max_concurrent_refresh(2)
        });
        let workers: Vec<_> = (0..12)
            .map(|n| {
                let world = world.clone();
                if n % 2 == 0 {
                    Worker::thread(move || thread(&world))
                } else {
                    Worker::task(async move { task(&world).await })
                }
            })
            .collect();
        workers.into_iter().for_each(Worker::end);
        // What was started behind their backs may go on: a closed cache has no more of it.
        assert!(world.cache.close_timeout(Duration::MAX));
        world.check_rest();
    });
}

#[test]
fn twelve_workers_with_room_for_all_keys() {
    churn(8);
}

#[test]
fn twelve_workers_with_room_for_two_of_four_keys() {
    churn(2);
}
