//! Capacity and weight: limits that hold at every moment, and who makes room.

#[path = "support/bench.rs"]
mod bench;
#[path = "support/constant.rs"]
mod constant;
#[path = "support/fronts.rs"]
mod fronts;
#[path = "support/tasks.rs"]
mod tasks;

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use bench::{Fault, Plain, Tray, down, never, panics, plain, secs};
use constant::Constant;
use fronts::{Caller, FRONTS, word};
use lastcache::{Builder, Cache, Error, Lifetime, ManualClock, WeakCache};
use tasks::{Bell, at_once};

fn of(capacity: usize) -> Plain {
    plain(&ManualClock::new()).capacity(capacity).build().unwrap()
}

/// Hashes alike in every run, so that the same keys go in each.
type Steady = BuildHasherDefault<DefaultHasher>;

fn steady(capacity: usize) -> Cache<u32, u32, Fault, Steady> {
    let builder = Cache::builder().error_type().capacity(capacity);
    builder.hasher(Steady::default()).build().unwrap()
}

/// Values that weigh themselves.
fn weighing(max: u64) -> Builder<u32, u32, Fault> {
    plain(&ManualClock::new()).max_weight(max).weigher(|_, value| *value)
}

fn residents(cache: &Plain) -> usize {
    cache.iter().count()
}

fn sum(cache: &Plain) -> u64 {
    cache.iter().map(|entry| u64::from(*entry.value())).sum()
}

/// A few numbers that look random and are the same in every run.
fn numbers(seed: u64) -> impl FnMut(u32) -> u32 {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |below| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        ((x >> 33) % u64::from(below)) as u32
    }
}

#[test]
fn residents_never_exceed_the_capacity() {
    for capacity in [1, 2, 3, 7, 50] {
        let cache = of(capacity);
        assert_eq!((cache.capacity(), cache.len()), (capacity, 0));
        for key in 0..capacity as u32 * 10 {
            if key % 2 == 0 {
                assert!(cache.set(key, key));
            } else {
                assert_eq!(cache.get(&key, |_| Ok(key)).unwrap(), key);
            }
            assert!(cache.len() <= capacity);
            assert_eq!(cache.peek(&key).as_deref(), Some(&key), "the latest is there");
        }
        assert_eq!((cache.len(), residents(&cache)), (capacity, capacity));
        assert_eq!(cache.stats().evictions, capacity as u64 * 9);
    }
}

#[test]
fn residents_never_exceed_the_capacity_under_threads() {
    const ROUNDS: u32 = 20_000;
    for capacity in [1, 3, 40] {
        let cache = of(capacity);
        let over = AtomicBool::new(false);
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let watch = scope.spawn(|| {
                while !done.load(SeqCst) {
                    if cache.len() > capacity {
                        over.store(true, SeqCst);
                    }
                }
            });
            let work = |seed| {
                let (cache, over) = (&cache, &over);
                scope.spawn(move || {
                    let mut next = numbers(seed);
                    for _ in 0..ROUNDS {
                        let key = next(capacity as u32 * 4);
                        match next(8) {
                            0 => drop(cache.delete(&key)),
                            1 => drop(cache.get(&key, down)),
                            2..5 => drop(cache.set(key, key)),
                            // Who joined the one that fails fails with it.
                            _ => {
                                let got = cache.get(&key, |_| Ok(key));
                                match got {
                                    Ok(value) => assert_eq!(value, key),
                                    Err(_) => assert!(cache.stats().joins > 0),
                                }
                            }
                        }
                        if cache.len() > capacity {
                            over.store(true, SeqCst);
                        }
                    }
                })
            };
            let workers = [work(1), work(2), work(3)].map(|worker| worker.join());
            // However they ended: nobody is left watching.
            done.store(true, SeqCst);
            watch.join().unwrap();
            for worker in workers {
                worker.unwrap();
            }
        });
        assert!(!over.load(SeqCst), "more than {capacity}");
        assert_eq!(cache.len(), residents(&cache), "at rest `len` counts what is there");
        // No unit was lost: the cache can still be filled to the brim.
        for key in 0..capacity as u32 * 20 {
            cache.set(key, key);
        }
        assert_eq!((cache.len(), residents(&cache)), (capacity, capacity));
    }
}

#[test]
fn below_capacity_nothing_is_evicted() {
    for (capacity, fills) in
        [(1, 50), (2, 50), (5, 100), (12, 200), (77, 200), (200, 100), (5_000, 8)]
    {
        for fill in 0..fills {
            let cache = of(capacity);
            for key in 0..capacity as u32 {
                if (key + fill) % 2 == 0 {
                    assert!(cache.set(key, key));
                } else {
                    assert_eq!(cache.get(&key, |_| Ok(key)).unwrap(), key);
                }
            }
            let kept = (0..capacity as u32).filter(|key| cache.contains_key(key)).count();
            assert_eq!(kept, capacity, "of {capacity}: {:?}", cache.stats());
            // The same keys again, in place and anew.
            for key in 0..capacity as u32 {
                if key % 3 == 0 {
                    assert!(cache.delete(&key));
                }
                assert!(cache.set(key, key + 1));
            }
            assert_eq!((cache.len(), residents(&cache)), (capacity, capacity));
            let stats = cache.stats();
            assert_eq!((stats.evictions, stats.not_stored, stats.uncached), (0, 0, 0));
        }
    }
}

#[test]
fn evictions_count_only_what_was_servable() {
    let clock = ManualClock::new();
    let windows = plain(&clock).capacity(20).ttl(secs(10)).stale_while_revalidate(secs(5));
    let cache = windows.build().unwrap();
    for key in 0..20 {
        cache.set(key, key);
    }
    clock.set(secs(14));
    cache.set(100, 1);
    assert_eq!(cache.stats().evictions, 1, "stale is servable");
    clock.set(secs(29));
    assert_eq!((cache.len(), residents(&cache)), (20, 0));
    cache.set(200, 1);
    assert_eq!((cache.stats().evictions, cache.len()), (1, 20), "gone is not");
}

#[test]
fn what_a_set_displaces_in_a_full_group_counts_unless_it_is_gone() {
    // Sixteen buckets of six.
    const GROUP: u32 = 16 * 6;
    let clock = ManualClock::new();
    let windows = plain(&clock).ttl(secs(1)).stale_while_revalidate(Duration::ZERO);
    let cache = windows.hasher(Constant).build().unwrap();
    for key in 0..GROUP + 10 {
        assert!(cache.set(key, key));
    }
    assert_eq!((cache.len(), cache.stats().evictions), (GROUP as usize, 10));
    clock.set(secs(1));
    for key in 0..10 {
        assert!(cache.set(1_000 + key, key));
    }
    assert_eq!((cache.len(), cache.stats().evictions), (GROUP as usize, 10), "gone is not");
}

#[test]
fn what_is_gone_goes_before_what_is_servable() {
    // Even keys last, odd ones are gone; none of them was ever used.
    for shift in 0..2 {
        let clock = ManualClock::new();
        let cache = plain(&clock)
            .capacity(9)
            .stale_while_revalidate(Duration::ZERO)
            .lifetime(move |key, _| match (key + shift) % 2 {
                0 => Lifetime::new().ttl(Duration::MAX),
                _ => Lifetime::new().ttl(secs(1)),
            })
            .build()
            .unwrap();
        for key in 0..9 {
            cache.set(key, key);
        }
        clock.set(secs(1));
        let servable = residents(&cache);
        for new in 0..9 - servable as u32 {
            assert!(cache.set(100 + 2 * new + shift, 1));
        }
        assert_eq!(cache.stats().evictions, 0, "gone ones were there to be taken");
        assert_eq!(residents(&cache), 9);
    }
}

#[test]
fn whatever_is_gone_goes_first_over_many_turns_of_the_hand() {
    let mut random = numbers(7);
    for _ in 0..40 {
        let clock = ManualClock::new();
        // So few that one insertion looks at all of them.
        let windows = plain(&clock).capacity(7).stale_while_revalidate(Duration::ZERO);
        let lifetime = |_: &u32, ttl: &u32| Lifetime::new().ttl(secs(u64::from(*ttl)));
        let cache = windows.lifetime(lifetime).build().unwrap();
        let mut taken = 0;
        for key in 0..300 {
            clock.advance(secs(u64::from(random(3))));
            for _ in 0..random(4) {
                _ = cache.get_stale(&random(key + 1), down);
            }
            let (before, gone) = (cache.stats().evictions, cache.len() - residents(&cache));
            assert!(cache.set(key, 1 + random(40)));
            let evicted = cache.stats().evictions - before;
            assert!(gone == 0 || evicted == 0, "{gone} gone, {evicted} servable ones evicted");
            taken += usize::from(gone > 0);
        }
        assert!(taken > 30, "{taken}");
    }
}

/// Asks for `depth` absent keys, each inside the fetch of the one before; all fail in the end.
fn hang(cache: &Plain, depth: u32, at_the_bottom: &dyn Fn()) {
    if depth == 0 {
        return at_the_bottom();
    }
    let got = cache.get(&(1_000_000 + depth), |_| {
        hang(cache, depth - 1, at_the_bottom);
        Err("down")
    });
    assert_eq!(got.unwrap_err().fetch_error(), Some(&"down"));
}

#[test]
fn a_wave_of_hung_cold_fetches_evicts_nothing_servable() {
    for capacity in [1, 10, 40] {
        let cache = of(capacity);
        for key in 0..capacity as u32 {
            cache.set(key, key);
        }
        hang(&cache, 200, &|| {
            assert!((0..capacity as u32).all(|key| cache.get(&key, never).is_ok()));
            assert_eq!(cache.len(), capacity, "flights are no residents");
        });
        let stats = cache.stats();
        assert_eq!((stats.evictions, stats.failures), (0, 200));
        assert!(stats.uncached > 0, "some found no slot");
        // Nothing is left of them.
        assert!((0..capacity as u32).all(|key| cache.get(&key, never).is_ok()));
        for key in 0..capacity as u32 * 3 {
            assert!(cache.set(key, 7));
        }
        assert_eq!(residents(&cache), capacity);
    }
}

#[test]
fn a_fetch_without_a_slot_runs_uncached_and_is_counted() {
    let cache = of(1);
    hang(&cache, 100, &|| {
        let before = cache.stats();
        assert!(before.uncached > 0);
        for key in 0..5 {
            assert_eq!(cache.get(&key, |key| Ok(key * 2)).unwrap(), key * 2);
            assert!(cache.peek(&key).is_none());
            assert_eq!(cache.get(&key, down).unwrap_err().fetch_error(), Some(&"down"));
        }
        let after = cache.stats();
        assert_eq!((after.uncached - before.uncached, after.loads - before.loads), (10, 5));
        assert_eq!(after.misses - before.misses, 10);
        assert!(!cache.set(1, 1), "no room");
        assert_eq!(cache.stats().not_stored - before.not_stored, 1);
        assert!(cache.is_empty());
    });
    assert!(cache.set(1, 1));
}

/// A `clear` empties the table part by part, and newcomers take the room that it gives back at once. Held up before
/// its last part, it must not leave that with all its old values and its share of the new ones: no load there would find a
/// slot.
#[test]
fn a_clear_that_is_held_up_midway_leaves_slots_in_every_group() {
    const CAPACITY: u32 = 3_000;
    type Own = Arc<OnceLock<WeakCache<u32, Slow, Fault, Steady>>>;
    struct Slow(Own, Arc<AtomicUsize>);
    impl Drop for Slow {
        fn drop(&mut self) {
            let left = self.1.fetch_sub(1, SeqCst) - 1;
            let Some(cache) = self.0.get().and_then(WeakCache::upgrade) else { return };
            if left != CAPACITY as usize / 5 {
                return;
            }
            for key in 10_000..10_000 + CAPACITY {
                let value = || Slow(Arc::default(), Arc::new(AtomicUsize::new(usize::MAX)));
                assert!(cache.get_with(&key, |_| (), |_| Ok(value())).is_ok());
            }
        }
    }
    let (own, left) = (Own::default(), Arc::new(AtomicUsize::new(CAPACITY as usize)));
    let builder = Cache::<u32, Slow>::builder().error_type().capacity(CAPACITY as usize);
    let cache = builder.hasher(Steady::default()).build().unwrap();
    assert!(own.set(cache.downgrade()).is_ok());
    for key in 0..CAPACITY {
        assert!(cache.set(key, Slow(Arc::clone(&own), Arc::clone(&left))));
    }
    cache.clear();
    assert_eq!(left.load(SeqCst), 0);
    let stats = cache.stats();
    assert_eq!((stats.misses, stats.uncached), (CAPACITY.into(), 0));
}

#[test]
fn every_front_runs_uncached_alike_and_tells_the_hooks() {
    for front in FRONTS {
        let [errors, panicked] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
        let (heard, told) = (Arc::clone(&errors), Arc::clone(&panicked));
        let hooked = plain(&ManualClock::new()).capacity(1).on_error(move |_, _| {
            heard.fetch_add(1, SeqCst);
        });
        let hooked = hooked.on_panic(move |_, _| {
            told.fetch_add(1, SeqCst);
        });
        let hooked = hooked.lifetime(|_, value| {
            assert_ne!(*value, 666);
            Lifetime::new()
        });
        let caller = Caller::new(front, hooked);
        let (cache, caller) = (caller.cache.clone(), RefCell::new(caller));
        hang(&cache, 100, &|| {
            let (before, mut caller) = (cache.stats(), caller.borrow_mut());
            for swr in [false, true] {
                let mut ask = |fetch: fn() -> Result<u32, Fault>| {
                    if swr { caller.get_swr(fetch) } else { caller.get_stale(fetch) }
                };
                let served = ask(|| Ok(2)).unwrap();
                assert_eq!((*served, *served.key(), word(&served)), (2, 1, "fresh"), "{front:?}");
                assert!(served.refresh().is_none(), "{front:?}: it is of no flight");
                assert_eq!(ask(|| Err("down")).unwrap_err().fetch_error(), Some(&"down"));
                assert!(panics(|| ask(|| panic!("boom"))), "{front:?}");
                assert!(panics(|| ask(|| Ok(666))), "{front:?}: its hook panics");
            }
            let after = cache.stats();
            assert_eq!((after.misses - before.misses, after.uncached - before.uncached), (8, 8));
            assert_eq!((after.loads - before.loads, after.failures - before.failures), (2, 6));
            assert_eq!(after.panics - before.panics, 4, "{front:?}");
            assert_eq!((errors.load(SeqCst), panicked.load(SeqCst)), (2, 4), "{front:?}");
            assert!(caller.peek().is_none() && cache.is_empty(), "{front:?}: nothing is kept");
        });
    }
}

#[test]
fn an_uncached_fetch_that_asks_for_its_own_key_is_refused_and_for_another_is_not() {
    for is_async in [false, true] {
        let cache = of(1);
        let depth = Cell::new(0);
        let ask = |key: u32, fetch: &dyn Fn() -> Result<u32, Fault>| {
            if is_async {
                at_once(cache.get_async(&key, async { fetch() }))
            } else {
                cache.get(&key, |_| fetch())
            }
        };
        hang(&cache, 100, &|| {
            let before = cache.stats().uncached;
            let own = || {
                depth.set(depth.get() + 1);
                assert!(depth.get() < 10, "it recurses");
                // Of another key, which asks for the first again.
                let got = ask(2, &|| {
                    assert!(matches!(ask(1, &|| Ok(10)), Err(Error::Reentrant)));
                    assert!(matches!(ask(2, &|| Ok(10)), Err(Error::Reentrant)));
                    // The same key of another cache, which has no slot left either.
                    let other = of(1);
                    hang(&other, 100, &|| assert_eq!(other.get(&1, |_| Ok(11)).unwrap(), 11));
                    Ok(20)
                });
                Ok(got.unwrap() + 1)
            };
            assert_eq!(ask(1, &own).unwrap(), 21);
            assert_eq!((depth.get(), cache.stats().uncached - before), (1, 2));
            // It is over, also where it panicked.
            assert!(panics(|| ask(1, &|| panic!("boom"))));
            assert_eq!(ask(1, &|| Ok(30)).unwrap(), 30);
        });
    }
}

#[test]
fn eviction_never_takes_an_entry_that_is_being_loaded() {
    let clock = ManualClock::new();
    let cache = plain(&clock).capacity(1).build().unwrap();
    cache.set(1, 1);
    clock.set(secs(60));
    let got = cache.get(&1, |_| {
        for key in 2..50 {
            assert!(!cache.set(key, key), "the only value is being loaded");
            assert_eq!(cache.get(&key, |_| Ok(key)).unwrap(), key);
            assert!(cache.peek(&key).is_none());
        }
        assert_eq!(*cache.peek(&1).unwrap(), 1);
        assert_eq!(cache.stats().evictions, 0);
        assert_eq!(cache.stats().not_stored, 2 * 48);
        Ok(2)
    });
    assert_eq!(got.unwrap(), 2);
    assert_eq!((cache.get(&1, never).unwrap(), cache.len()), (2, 1));

    // With others there, those go.
    let cache = plain(&clock).capacity(3).build().unwrap();
    for key in 1..=3 {
        cache.set(key, key);
    }
    clock.set(secs(120));
    let got = cache.get(&2, |_| {
        for key in 10..50 {
            assert!(cache.set(key, key));
            assert_eq!(*cache.peek(&2).unwrap(), 2);
        }
        Ok(20)
    });
    assert_eq!(got.unwrap(), 20);
    assert_eq!(cache.get(&2, never).unwrap(), 20);
}

#[test]
fn tiny_caches_keep_the_latest() {
    for capacity in 1..=3 {
        let cache = of(capacity);
        for round in 0..500 {
            assert!(cache.set(round, round));
            assert_eq!(cache.get(&round, never).unwrap(), round);
            assert_eq!(cache.len(), capacity.min(round as usize + 1));
        }
    }
}

#[test]
fn values_are_evicted_from_all_of_the_table_alike() {
    // Used once, each passes its probation, and goes when the hand comes by. Were that in the order of the
    // table, next to nothing would be left behind the hand, and groups before it would be full.
    for capacity in [100, 300, 1_000] {
        let cache = steady(capacity as usize);
        for key in 0..40 * capacity {
            assert_eq!(cache.get(&key, |key| Ok(*key)).ok(), Some(key));
            assert_eq!(cache.get(&key, |key| Ok(*key)).ok(), Some(key));
        }
        let stats = cache.stats();
        assert_eq!((stats.uncached, stats.not_stored), (0, 0), "of {capacity}: {stats:?}");
    }
}

#[test]
fn hot_keys_survive_a_scan() {
    let cache = of(100);
    let hot = 0..40;
    for _ in 0..4 {
        for key in hot.clone() {
            cache.get(&key, |_| Ok(key)).unwrap();
        }
    }
    let (mut kept, mut asked) = (0, 0);
    for new in 0..5_000 {
        cache.get(&(1_000 + new), |_| Ok(0)).unwrap();
        if new % 20 == 0 {
            for key in hot.clone() {
                asked += 1;
                kept += u32::from(cache.peek(&key).is_some());
                cache.get(&key, |_| Ok(key)).unwrap();
            }
        }
    }
    assert!(kept * 100 >= asked * 95, "{kept} of {asked}");
}

/// Room for a hundred, by capacity and by weight.
fn hundreds() -> [Cache<u32, u32, Fault, Steady>; 2] {
    let builder = Cache::builder().error_type().capacity(110).max_weight(100).weigher(|_, _| 1);
    [steady(100), builder.hasher(Steady::default()).build().unwrap()]
}

#[test]
fn keys_that_come_once_leave_before_those_that_were_there() {
    for cache in hundreds() {
        for key in 0..100 {
            cache.set(key, key);
        }
        // Those that were there were used once after they came, and are not asked for again.
        for key in 0..100 {
            cache.get(&key, never).unwrap();
        }
        for new in 100..400 {
            cache.set(new, new);
        }
        let kept = (0..100).filter(|key| cache.contains_key(key)).count();
        assert!(kept >= 75, "{kept} of 100 outlived 300 that came once");
        assert!((391..400).all(|new| cache.contains_key(&new)), "the last tenth is on probation");
    }
}

#[test]
fn a_key_that_comes_back_soon_is_not_on_probation_again() {
    for cache in hundreds() {
        for key in 0..150 {
            cache.set(key, key);
        }
        let lost: Vec<u32> = (0..150).filter(|key| !cache.contains_key(key)).collect();
        assert_eq!(lost.len(), 50);
        for key in &lost {
            cache.set(*key, 0);
        }
        for new in 1_000..1_030 {
            cache.set(new, 0);
        }
        let kept = lost.iter().filter(|key| cache.contains_key(key)).count();
        assert!(kept >= 25, "{kept} of 50 that came back outlived 30 that came once");
    }
}

#[test]
fn whose_probation_is_over_does_not_go_for_weight_where_it_weighs_nothing() {
    // A probation of one: each newcomer ends that of the one before.
    let cache = weighing(5).capacity(10).build().unwrap();
    for key in 0..5 {
        assert!(cache.set(key, 1));
    }
    for round in 0..100 {
        assert!(cache.set(1_000 + round, 0) && cache.set(2_000 + round, 1));
        assert!(cache.contains_key(&(1_000 + round)), "in round {round}");
        assert!(cache.delete(&(1_000 + round)));
    }
    assert_eq!((cache.weight(), cache.stats().evictions), (5, 100));
}

thread_local! {
    /// What the next clone of a `Busy` key does first.
    static ERRAND: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

/// A key that does something while it is cloned.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Busy(u32);

impl Clone for Busy {
    fn clone(&self) -> Self {
        let errand = ERRAND.with_borrow_mut(Option::take);
        errand.into_iter().for_each(|errand| errand());
        Busy(self.0)
    }
}

#[test]
fn who_finds_that_the_last_slot_went_to_its_own_key_shares_it() {
    type Shared = Cache<Busy, u32, Fault>;
    let keys: [Busy; 11] = std::array::from_fn(|n| Busy(100 + n as u32));
    let built = |capacity| -> &'static Shared {
        let builder = Cache::builder().error_type().capacity(capacity);
        Box::leak(Box::new(builder.build().expect("the settings agree")))
    };
    let hung = |cache: &'static Shared, loads: usize| -> Vec<_> {
        let hangs = |key| {
            let mut load = Box::pin(cache.get_async(key, std::future::pending()));
            assert!(Bell::new().poll(load.as_mut()).is_pending());
            load
        };
        keys[..loads].iter().map(hangs).collect()
    };

    // Eleven of twelve slots hang. As a caller enters, another load of its key takes the last one.
    let cache = built(1);
    let loads = hung(cache, 11);
    let bell = Bell::new();
    type Call = std::pin::Pin<Box<dyn Future<Output = Result<u32, lastcache::Error<Fault>>>>>;
    let mut leader: Call = Box::pin(cache.get_async(&Busy(1), async {
        tasks::turns(1).await;
        Ok(1)
    }));
    let led: &'static RefCell<Option<Call>> = Box::leak(Box::default());
    ERRAND.set(Some(Box::new({
        let bell = Arc::clone(&bell);
        move || {
            assert!(bell.poll(leader.as_mut()).is_pending());
            led.replace(Some(leader));
        }
    })));
    let mut joiner: Call = Box::pin(cache.get_async(&Busy(1), async { Ok(2) }));
    assert!(bell.poll(joiner.as_mut()).is_pending(), "it has joined");
    assert_eq!((cache.stats().joins, cache.stats().uncached), (1, 0));
    let leader = led.take().expect("it was polled");
    assert_eq!([leader, joiner].map(|call| tasks::block_on(call).unwrap()), [1, 1]);
    drop(loads);

    // Beside ten loads and a value another set of the key does: nothing is evicted for this one.
    let cache = built(2);
    assert!(cache.set(Busy(2), 20));
    let loads = hung(cache, 10);
    ERRAND.set(Some(Box::new(|| assert!(cache.set(Busy(1), 1)))));
    assert!(cache.set(Busy(1), 2));
    assert_eq!([1, 2].map(|key| cache.peek(&Busy(key)).as_deref().copied()), [Some(2), Some(20)]);
    assert_eq!(cache.stats().evictions, 0);
    drop(loads);
}

/// A key whose clone does something first, and panics as it goes if it did.
#[derive(PartialEq, Eq, Hash)]
struct Brittle(u32, bool);

impl Clone for Brittle {
    fn clone(&self) -> Self {
        let errand = ERRAND.with_borrow_mut(Option::take);
        let breaks = errand.is_some();
        errand.into_iter().for_each(|errand| errand());
        Brittle(self.0, breaks)
    }
}

impl Drop for Brittle {
    fn drop(&mut self) {
        assert!(!std::mem::take(&mut self.1), "a destructor");
    }
}

/// As above, where the copy that found no slot panics as it goes: nothing is leaked.
#[test]
fn what_a_call_shares_whose_own_copy_of_the_key_panics_is_let_go() {
    let value = std::sync::Arc::new(());
    let key = |n| Brittle(n, false);
    let cache: Cache<Brittle, std::sync::Arc<()>, Fault> =
        Cache::builder().error_type().capacity(2).build().expect("the settings agree");
    assert!(cache.set(key(2), value.clone()));
    let keys: [Brittle; 10] = std::array::from_fn(|n| key(100 + n as u32));
    let hangs = |key| {
        let mut load = Box::pin(cache.get_async(key, std::future::pending()));
        assert!(Bell::new().poll(load.as_mut()).is_pending());
        load
    };
    let loads: Vec<_> = keys.iter().map(hangs).collect();
    let (theirs, other) = (cache.clone(), value.clone());
    ERRAND.set(Some(Box::new(move || assert!(theirs.set(Brittle(1, false), other)))));
    assert!(panics(|| cache.set(key(1), value.clone())));
    assert_eq!(cache.len(), 2);
    drop(loads);
    drop(cache);
    assert_eq!(std::sync::Arc::strong_count(&value), 1);
}

#[test]
fn a_purge_frees_what_is_past_its_windows_and_nothing_else() {
    let clock = ManualClock::new();
    let own = |_: &u32, value: &u32| match value {
        1 => Lifetime::new(),
        _ => Lifetime::new().stale_if_error(secs(1_000)),
    };
    let windows = plain(&clock).stale_while_revalidate(Duration::ZERO).ttl(secs(10));
    let cache = windows.lifetime(own).build().unwrap();
    for key in 0..1_000 {
        assert!(cache.set(key, 1 + key % 2));
    }
    clock.set(secs(10));
    for key in 1_000..1_100 {
        assert!(cache.set(key, 1));
    }
    let loaded = cache.get(&0, |_| {
        assert_eq!(cache.purge(), 499, "all that are gone but the one being loaded");
        assert_eq!((cache.len(), residents(&cache)), (601, 600));
        Err("down")
    });
    assert!(loaded.is_err());
    assert_eq!((cache.purge(), cache.purge(), cache.len()), (1, 0, 600));
    assert!((0..1_100).all(|key| cache.contains_key(&key) == (key % 2 == 1 || key >= 1_000)));
    assert_eq!(cache.stats().evictions, 0, "what is gone is not evicted");
}

#[test]
fn what_was_asked_for_on_probation_does_not_go_as_that_ends() {
    let cache = of(10);
    for key in 0..5_000 {
        assert_eq!(cache.get(&key, |key| Ok(*key)).unwrap(), key);
        assert_eq!(cache.get(&key, never).unwrap(), key);
        // With a probation of one, this ends the key's.
        assert!(cache.set(key + 10_000, 0));
        assert!(cache.delete(&key), "{key}, after {} evictions", cache.stats().evictions);
    }
}

#[test]
fn what_is_used_outlives_what_is_not() {
    let cache = of(50);
    for key in 0..50 {
        cache.set(key, key);
    }
    for key in 0..25 {
        for _ in 0..3 {
            cache.get(&key, never).unwrap();
        }
    }
    for new in 0..25 {
        cache.set(1_000 + new, 0);
    }
    let kept = (0..25).filter(|key| cache.contains_key(key)).count();
    assert!(kept >= 23, "{kept} of 25");
}

#[test]
fn who_peeks_uses_nothing() {
    let survivors = |look: fn(&Cache<u32, u32, Fault, Steady>, u32) -> bool| -> Vec<u32> {
        let cache = steady(50);
        (0..50).for_each(|key| assert!(cache.set(key, key)));
        let there = (0..50).filter(|key| cache.contains_key(key)).count();
        assert_eq!((0..25).filter(|key| look(&cache, *key)).count() + 25, there);
        for new in 1_000..1_025 {
            assert!(cache.set(new, 0));
            // Or it would be the one to go when its probation ends.
            assert_eq!(cache.get(&new, never).unwrap(), 0);
        }
        (0..50).filter(|key| cache.contains_key(key)).collect()
    };
    let left_alone = survivors(|_, _| true);
    assert_eq!(survivors(|cache, key| cache.peek(&key).is_some()), left_alone);
    assert_eq!(survivors(|cache, key| cache.contains_key(&key)), left_alone);
    assert_ne!(survivors(|cache, key| cache.get(&key, never).is_ok()), left_alone);
}

#[test]
fn where_all_are_used_the_least_used_goes() {
    // As many as the hand looks at.
    const ROOM: usize = 24;
    for spared in 0..ROOM - 1 {
        let cache = steady(ROOM);
        let used = |key: &u32| _ = cache.get(key, |key| Ok(*key)).unwrap();
        // Two are evicted, and are not on probation when they come back.
        (0..26).for_each(|key| assert!(cache.set(key, key)));
        let (mut kept, lost): (Vec<u32>, Vec<u32>) =
            (0..26).partition(|key| cache.contains_key(key));
        kept.iter().for_each(used);
        // Takes a use off each, and the place of one.
        used(&lost[0]);
        used(&lost[0]);
        kept.retain(|key| cache.contains_key(key));
        let spared = kept.remove(spared);
        kept.iter().for_each(used);
        used(&lost[1]);
        assert!(!cache.contains_key(&spared), "{spared} was used less than the others");
        assert!(kept.iter().all(|key| cache.contains_key(key)));
    }
}

#[test]
fn a_stale_value_that_is_read_is_used() {
    let clock = ManualClock::new();
    let windows = plain(&clock).capacity(50).executor(Tray::default());
    let cache = windows.hasher(Steady::default()).build().unwrap();
    for key in 0..50 {
        cache.set(key, key);
    }
    clock.set(secs(61));
    for key in 0..25 {
        assert!(cache.get_swr(&key, never).unwrap().is_stale());
    }
    for new in 0..25 {
        cache.set(1_000 + new, 0);
    }
    let kept = (0..25).filter(|key| cache.contains_key(key)).count();
    assert!(kept >= 23, "{kept} of 25");
}

#[test]
fn weight_is_never_exceeded() {
    let cache = weighing(100).capacity(50).build().unwrap();
    let mut next = numbers(5);
    for _ in 0..5_000 {
        let (key, value) = (next(80), next(30));
        match next(4) {
            0 => drop(cache.delete(&key)),
            1 => assert!(cache.get(&key, |_| Ok(value)).is_ok()),
            _ => drop(cache.set(key, value)),
        }
        assert!(cache.weight() <= 100 && cache.len() <= 50);
        assert_eq!((cache.weight(), cache.len()), (sum(&cache), residents(&cache)));
    }
    cache.clear();
    assert_eq!((cache.weight(), cache.len()), (0, 0));
}

#[test]
fn weight_is_never_exceeded_under_threads() {
    let cache = weighing(60).capacity(20).build().unwrap();
    thread::scope(|scope| {
        for seed in 1..=3 {
            let cache = &cache;
            scope.spawn(move || {
                let mut next = numbers(seed);
                for _ in 0..20_000 {
                    let (key, value) = (next(40), next(20));
                    match next(4) {
                        0 => drop(cache.delete(&key)),
                        1 => assert!(cache.get(&key, |_| Ok(value)).is_ok()),
                        _ => drop(cache.set(key, value)),
                    }
                    let (weight, len) = (cache.weight(), cache.len());
                    assert!(weight <= 60 && len <= 20, "{weight} {len}");
                }
            });
        }
    });
    assert_eq!((cache.weight(), cache.len()), (sum(&cache), residents(&cache)));
}

#[test]
fn values_of_weight_zero_count_only_as_entries() {
    let cache = weighing(1).capacity(10).build().unwrap();
    for key in 0..10 {
        assert!(cache.set(key, 0));
    }
    assert_eq!((cache.weight(), cache.len(), cache.stats().evictions), (0, 10, 0));
    assert!(cache.set(0, 1));
    assert_eq!((cache.weight(), cache.len(), cache.stats().evictions), (1, 10, 0));
    assert!(cache.set(11, 0));
    assert_eq!((cache.len(), cache.stats().evictions), (10, 1));
}

#[test]
fn a_replacement_costs_the_difference() {
    let cache = weighing(100).capacity(10).build().unwrap();
    assert!(cache.set(1, 40) && cache.set(2, 60));
    assert!(cache.set(1, 30), "smaller");
    assert_eq!(cache.weight(), 90);
    assert!(cache.set(1, 40), "up to the brim");
    assert!(cache.set(2, 60), "the same");
    assert_eq!((cache.weight(), cache.len(), cache.stats().evictions), (100, 2, 0));
}

#[test]
fn a_value_that_grows_makes_others_go_and_not_itself() {
    // 95 over 60 beside 40: the 40 has to go.
    for other in 2..200 {
        let cache = weighing(100).build().unwrap();
        assert!(cache.set(1, 60) && cache.set(other, 40));
        assert!(cache.set(1, 95));
        assert_eq!((cache.weight(), cache.len(), cache.stats().evictions), (95, 1, 1));
    }
}

#[test]
fn a_replacement_at_capacity_for_which_there_is_weight_costs_nobody_else_his_place() {
    for (old, new) in [(60, 10), (60, 60), (60, 0), (10, 60)] {
        for by_load in [false, true] {
            let clock = ManualClock::new();
            let limits = plain(&clock).capacity(3).max_weight(100);
            let cache = limits.weigher(|_, value| *value).build().unwrap();
            assert!(cache.set(1, old) && cache.set(2, 40) && cache.set(3, 0));
            clock.set(secs(60));
            if by_load {
                assert_eq!(cache.get(&1, |_| Ok(new)).unwrap(), new);
            } else {
                assert!(cache.set(1, new));
            }
            assert_eq!((cache.weight(), cache.len()), (u64::from(new + 40), 3));
            assert_eq!(cache.stats().evictions, 0, "{old} to {new}, by a load: {by_load}");
            // What it weighed less is there for others.
            assert!(cache.set(3, 60 - new) && residents(&cache) == 3);
        }
    }
}

#[test]
fn what_weighs_nothing_does_not_go_for_weight() {
    let cache = weighing(10).capacity(200).build().unwrap();
    assert!(cache.set(1_000, 10));
    for key in 0..100 {
        assert!(cache.set(key, 0));
    }
    assert!(cache.set(2_000, 10), "one eviction does");
    assert_eq!((cache.len(), cache.stats().evictions), (101, 1));
}

#[test]
fn a_value_too_heavy_is_returned_and_not_kept() {
    for older in [false, true] {
        for by_load in [false, true] {
            let clock = ManualClock::new();
            let heavy = plain(&clock).max_weight(100).weigher(|_, value| *value);
            let cache = heavy.stale_if_error(secs(100)).build().unwrap();
            assert!(cache.set(2, 5));
            if older {
                assert!(cache.set(1, 10));
            }
            clock.set(secs(60));
            if by_load {
                assert_eq!(cache.get(&1, |_| Ok(101)).unwrap(), 101);
            } else {
                assert!(!cache.set(1, 101));
            }
            assert!(!cache.contains_key(&1), "the older value goes too");
            assert_eq!((cache.weight(), cache.len()), (5, 1));
            let stats = cache.stats();
            assert_eq!((stats.not_stored, stats.evictions), (1, 0), "nobody else was harmed");
        }
    }
}

#[test]
fn joiners_get_a_value_that_is_not_kept() {
    let cache = weighing(100).build().unwrap();
    let got = cache.get(&1, |_| {
        assert!(!cache.set(1, 500));
        Ok(3)
    });
    assert_eq!(got.unwrap(), 500, "the first outcome wins");
    assert!(cache.peek(&1).is_none());
    assert_eq!((cache.stats().not_stored, cache.stats().late_loads), (1, 1));
}

#[test]
fn a_value_that_would_cost_too_many_others_is_not_kept() {
    let cache = weighing(1_000).capacity(1_000).build().unwrap();
    for key in 0..1_000 {
        assert!(cache.set(key, 1));
    }
    assert!(!cache.set(5_000, 1_000), "it fits, but a thousand would have to go");
    assert!(cache.len() > 900, "{}", cache.len());
    assert_eq!(cache.stats().not_stored, 1);
    assert_eq!((cache.weight(), cache.len()), (sum(&cache), residents(&cache)));
}

#[test]
fn few_heavy_values_in_a_large_table_make_room_for_each_other() {
    // Ten fit by weight: the table is almost empty and yet full.
    for capacity in [10_000, 100_000] {
        let cache = weighing(100).capacity(capacity).build().unwrap();
        for key in 0..200 {
            assert!(cache.set(key, 10), "key {key}");
            assert_eq!(cache.get(&key, never).unwrap(), 10);
        }
        assert_eq!((cache.weight(), cache.len()), (100, 10));
    }
}

#[test]
fn a_heavy_value_makes_room_for_another_among_thousands_that_weigh_nothing() {
    let cache = weighing(1).build().unwrap();
    for key in 0..9_000 {
        assert!(cache.set(key, 0));
    }
    for key in 9_000..9_050 {
        assert!(cache.set(key, 1), "key {key}");
    }
    assert_eq!((cache.weight(), cache.stats().evictions), (1, 49));
}

#[test]
fn no_set_sweeps_the_whole_of_a_large_table() {
    // One value alone weighs something, among 800,000 slots: it is not found at once, and yet in the end.
    let cache = weighing(1).capacity(400_000).hasher(Steady::default()).build().unwrap();
    assert!(cache.set(0, 1));
    let refused = (1..100).take_while(|key| !cache.set(*key, 1)).count();
    assert!((1..99).contains(&refused), "{refused} sets gave up");
    assert_eq!((cache.len(), cache.weight()), (1, 1));
}

#[test]
fn gone_values_give_their_weight_to_new_ones() {
    let clock = ManualClock::new();
    let windows = plain(&clock).stale_while_revalidate(Duration::ZERO).ttl(secs(1));
    let cache = windows.capacity(10).max_weight(10).weigher(|_, value| *value).build().unwrap();
    for key in 0..10 {
        assert!(cache.set(key, 1));
    }
    clock.set(secs(1));
    for key in 10..15 {
        assert!(cache.set(key, 2));
    }
    assert_eq!((cache.stats().evictions, sum(&cache)), (0, 10));
}

thread_local! {
    static COMPARED: Cell<u64> = const { Cell::new(0) };
}

/// A key that counts its comparisons.
#[derive(Clone, Debug)]
struct Counted(u32);

impl PartialEq for Counted {
    fn eq(&self, other: &Counted) -> bool {
        COMPARED.set(COMPARED.get() + 1);
        self.0 == other.0
    }
}
impl Eq for Counted {}
impl Hash for Counted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

#[test]
fn one_hash_for_ten_thousand_keys_is_slow_but_bounded_and_right() {
    // Four searches of a group: 16 buckets of six, whatever the number of keys.
    const MOST: u64 = 4 * 16 * 6;
    let cache = Cache::<Counted, u32>::builder()
        .error_type::<Fault>()
        .hasher(Constant)
        .capacity(10_000)
        .clock(ManualClock::new())
        .build()
        .unwrap();
    let most = Cell::new(0);
    let bounded = |f: &mut dyn FnMut()| {
        let before = COMPARED.get();
        f();
        most.set(most.get().max(COMPARED.get() - before));
    };
    for n in 0..10_000 {
        let key = Counted(n);
        bounded(&mut || {
            if n % 2 == 0 {
                assert!(cache.set(key.clone(), n), "the group makes room for a `set`");
            } else {
                assert_eq!(cache.get(&key, |key| Ok(key.0)).unwrap(), n);
            }
        });
        bounded(&mut || assert!(cache.peek(&key).is_none_or(|held| *held == n)));
        if n % 2 == 0 {
            assert_eq!(cache.peek(&key).as_deref(), Some(&n));
        }
    }
    for n in 0..10_000 {
        bounded(&mut || assert_eq!(cache.get(&Counted(n), |key| Ok(key.0)).unwrap(), n));
    }
    assert!(most.get() <= MOST, "{} comparisons in one call", most.get());
    assert!(most.get() > 10, "they do collide");
    assert_eq!(cache.len(), cache.iter().count());
    for n in 0..10_000 {
        bounded(&mut || {
            cache.delete(&Counted(n));
        });
    }
    assert!(cache.is_empty());
    // Nothing of that is left to slow down or mislead anybody.
    for n in 0..50 {
        assert!(cache.set(Counted(n), n));
    }
    assert!((0..50).all(|n| cache.peek(&Counted(n)).as_deref() == Some(&n)));
}

#[test]
fn len_counts_gone_values_until_they_are_freed() {
    let clock = ManualClock::new();
    let windows = plain(&clock).ttl(secs(1)).stale_while_revalidate(Duration::ZERO);
    let cache = windows.capacity(10).build().unwrap();
    for key in 0..5 {
        cache.set(key, key);
    }
    clock.set(secs(1));
    assert_eq!((cache.len(), residents(&cache)), (5, 0));
    assert!(!cache.is_empty() && !cache.contains_key(&0));
    assert!(!cache.delete(&0), "it was gone, and is detached all the same");
    assert_eq!(cache.len(), 4);
    assert_eq!(cache.get(&1, |_| Ok(9)).unwrap(), 9);
    assert_eq!((cache.len(), residents(&cache)), (4, 1));
    cache.clear();
    assert_eq!((cache.len(), cache.is_empty()), (0, true));
}
