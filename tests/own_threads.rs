//! The cache's own threads start on first need, at most one for each refresh under way, and end with the cache. A process
//! of its own, since its threads are counted.
#![cfg(target_os = "linux")]

#[path = "support/controlled.rs"]
mod controlled;

use std::fs;

use controlled::{STALE, Source, builder, never, until};
use lastcache::ManualClock;

/// The system keeps 15 characters of a name.
fn threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").expect("there is this thread at least");
    // One that ends meanwhile has no name any more.
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim_end() == "lastcache-refre").count()
}

#[test]
fn they_start_on_first_need_and_end_with_the_cache() {
    let (clock, source) = (ManualClock::new(), Source::new());
    let cache = builder(&clock).max_concurrent_refresh(2).build().expect("the settings agree");
    for key in 0..3 {
        cache.set(key, 10);
        assert_eq!(cache.get(&key, never).expect("fresh"), 10);
    }
    clock.set(STALE);
    assert!(cache.get_stale(&3, |_| Ok(1)).is_ok());
    assert_eq!(threads(), 0, "nothing was refreshed yet");
    let mut runs = Vec::new();
    for (key, expected) in [(0, 1), (1, 2)] {
        drop(cache.get_swr(&key, source.fetch()).expect("stale"));
        runs.push(source.started());
        assert_eq!(threads(), expected, "each that runs has one");
    }
    drop(cache.get_swr(&2, source.fetch()).expect("stale"));
    assert_eq!((threads(), cache.stats().queued), (2, 1), "what waits for a permit has none");
    runs.into_iter().for_each(|run| run.succeed(20));
    source.started().succeed(20);
    drop(cache);
    until("they end", || threads() == 0);
}
