//! Refreshes that are polled, and run, while the cache is closed.

use std::time::Duration;

use super::schedules;
use super::world::{KEYS, Worker, World};

#[test]
fn a_close_ends_every_refresh_that_is_polled_and_waits_for_those_that_run() {
    schedules(|| {
        let world = World::new(|builder| builder.max_concurrent_refresh(2));
        for key in 0..KEYS {
            assert!(world.cache.set(key, world.value(key)));
        }
        world.clock.advance(Duration::from_secs(11));
        let mut workers: Vec<_> = (0..9)
            .map(|n| {
                let world = world.clone();
                let key = n % KEYS;
                if n % 2 == 0 {
                    Worker::thread(move || {
                        let got = world.cache.get_swr(&key, world.fetch(false)).expect("at once");
                        drop(got.refresh().map(|refresh| refresh.wait()));
                    })
                } else {
                    Worker::task(async move {
                        let fetch = world.fetch_async(key, false);
                        let got = world.cache.get_swr_async(&key, fetch).await.expect("at once");
                        if let Some(refresh) = got.refresh() {
                            drop(refresh.await);
                        }
                    })
                }
            })
            .collect();
        let closer = world.clone();
        workers.push(Worker::thread(move || {
            assert!(closer.cache.close_timeout(Duration::MAX));
        }));
        workers.into_iter().for_each(Worker::end);
        assert!(world.cache.close_timeout(Duration::MAX), "nothing runs any more");
        world.check_rest();
    });
}
