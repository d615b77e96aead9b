//! No writes: one fetch of a key at a time, whoever is cancelled.

use super::schedules;
use super::world::{KEYS, Worker, World, cancelled, roll};

#[test]
fn fourteen_callers_of_four_cold_keys_run_one_fetch_each() {
    schedules(|| {
        let world = World::new(|builder| builder);
        let workers: Vec<_> = (0..14)
            .map(|n| {
                let world = world.clone();
                if n % 2 == 0 {
                    Worker::thread(move || {
                        for key in 0..KEYS {
                            let got = world.cache.get(&key, world.fetch(false)).expect("loaded");
                            assert_eq!(got.key, key);
                        }
                    })
                } else {
                    Worker::task(async move {
                        for key in 0..KEYS {
                            let fetch = world.fetch_async(key, false);
                            let got = cancelled(world.cache.get_async(&key, fetch), None).await;
                            assert_eq!(got.expect("not cancelled").expect("loaded").key, key);
                        }
                    })
                }
            })
            .collect();
        workers.into_iter().for_each(Worker::end);
        assert_eq!(world.fetches(), usize::from(KEYS));
        world.check_rest();
    });
}

#[test]
fn whoever_is_cancelled_nobody_is_stranded_and_one_fetch_runs_at_a_time() {
    schedules(|| {
        let world = World::new(|builder| builder);
        let workers: Vec<_> = (0..16)
            .map(|n| {
                let world = world.clone();
                if n % 4 == 0 {
                    Worker::thread(move || {
                        let got = world.cache.get(&1, world.fetch(false)).expect("loaded");
                        assert_eq!(got.key, 1);
                    })
                } else {
                    Worker::task(async move {
                        let call = world.cache.get_async(&1, world.fetch_async(1, false));
                        let polls = (n % 4 != 1).then(|| roll(4) as usize);
                        let got = cancelled(call, polls).await;
                        assert!(got.is_some() || n % 4 != 1, "it was not cancelled");
                        if let Some(got) = got {
                            assert_eq!(got.expect("loaded").key, 1);
                        }
                    })
                }
            })
            .collect();
        workers.into_iter().for_each(Worker::end);
        assert_eq!(world.overtaken(), 0, "fetches that ran beside another of their key");
        world.check_rest();
    });
}
