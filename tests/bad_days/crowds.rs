//! Crowds: keys that all expire at once, and keys chosen to look alike.

use std::cell::Cell;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use lastcache::ManualClock;

use crate::controlled::{PATIENCE, STALE, builder, never, until};

#[test]
fn ten_thousand_keys_that_expire_at_once_keep_within_the_cap() {
    const KEYS: u32 = 10_000;
    const MOST: usize = 3;
    let clock = ManualClock::new();
    let cache = builder(&clock)
        .capacity(KEYS as usize)
        .max_concurrent_refresh(MOST)
        .refresh_queue(KEYS as usize)
        .build()
        .expect("the settings agree");
    for key in 0..KEYS {
        cache.set(key, key);
    }
    clock.set(STALE);
    let (running, peak, fetches) = (
        Arc::<AtomicUsize>::default(),
        Arc::<AtomicUsize>::default(),
        Arc::<AtomicUsize>::default(),
    );
    thread::scope(|scope| {
        // Every key is asked for by four readers at once.
        for _ in 0..4 {
            scope.spawn(|| {
                for key in 0..KEYS {
                    let counters = (Arc::clone(&running), Arc::clone(&peak), Arc::clone(&fetches));
                    let served = cache.get_swr(&key, move |key| {
                        let (running, peak, fetches) = counters;
                        fetches.fetch_add(1, SeqCst);
                        peak.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                        thread::yield_now();
                        running.fetch_sub(1, SeqCst);
                        Ok(key + KEYS)
                    });
                    let served = *served.expect("there is a stale value");
                    assert!(served == key || served == key + KEYS);
                }
            });
        }
    });
    until("all are refreshed", || cache.stats().loads == u64::from(KEYS));
    assert!(cache.close_timeout(PATIENCE));
    assert!((1..=MOST).contains(&peak.load(SeqCst)), "{} at once", peak.load(SeqCst));
    assert_eq!(fetches.load(SeqCst), KEYS as usize, "one for each key");
    let stats = cache.stats();
    assert_eq!((stats.misses, stats.skipped, stats.failures), (0, 0, 0));
    assert!((0..KEYS).all(|key| cache.get(&key, never).is_ok_and(|value| value == key + KEYS)));
}

thread_local! {
    static COMPARED: Cell<usize> = const { Cell::new(0) };
}

#[derive(Clone)]
struct Crafted(u64);

impl Hash for Crafted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

impl PartialEq for Crafted {
    fn eq(&self, other: &Crafted) -> bool {
        COMPARED.set(COMPARED.get() + 1);
        self.0 == other.0
    }
}

impl Eq for Crafted {}

/// Gives the key away.
#[derive(Default)]
struct Known(u64);

impl Hasher for Known {
    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are numbers");
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// What the table makes of a hash: the attacker has read the source.
fn mixed(hash: u64) -> u64 {
    let wide = u128::from(hash ^ 0x2d35_8dcc_aa6c_78a5) * u128::from(0x9e37_79b9_7f4a_7c15_u64);
    (wide as u64) ^ ((wide >> 64) as u64)
}

/// The most comparisons that setting and finding any of these keys took.
fn most_compared(capacity: usize, keys: impl Iterator<Item = u64>) -> usize {
    let cache = lastcache::Cache::<Crafted, u64>::builder()
        .hasher(BuildHasherDefault::<Known>::default())
        .capacity(capacity)
        .build()
        .expect("the settings agree");
    let mut most = 0;
    for key in keys {
        COMPARED.set(0);
        cache.set(Crafted(key), key);
        most = most.max(COMPARED.replace(0));
        assert_eq!(cache.peek(&Crafted(key)).as_deref(), Some(&key), "it was just set");
        most = most.max(COMPARED.get());
    }
    most
}

#[test]
fn keys_crafted_to_share_a_tag_cost_a_few_comparisons() {
    const KEYS: usize = 2_000;
    for tag in [0, 1, 0x80, 0xff] {
        let alike = (0..).filter(|n| mixed(*n) & 0xff == tag).take(KEYS);
        // A bucket holds six, and they are spread over all of them.
        let most = most_compared(KEYS, alike);
        assert!(most <= 32, "{most} comparisons with the tag {tag}");
    }
}

#[test]
fn keys_crafted_to_share_a_bucket_and_a_tag_cost_no_more_than_their_group() {
    const KEYS: usize = 300;
    // The same home among up to 2^8 buckets, and the same tag.
    let alike = (0..).filter(|n| mixed(*n) >> 56 == 5 && mixed(*n) & 0xff == 9).take(KEYS);
    let most = most_compared(500, alike);
    assert!(
        most <= 4 * 16 * 6,
        "{most} comparisons: more than four walks through sixteen buckets of six"
    );
}
