//! The contract that the compiler checks: bounds, inference, and what needs no annotation.

use std::error::Error as StdError;
use std::future::Future;
use std::hash::RandomState;
use std::process::{ExitCode, Termination};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use lastcache::{
    BackOff, BoxError, BuildError, Builder, Cache, CallerRuns, Clock, Entry, Error, Executor, Iter,
    Job, Lifetime, ManualClock, RefreshHandle, Served, State, Stats, Ttl, Verdict,
};

fn is_send<T: Send>() {}
fn is_sync<T: Send + Sync>() {}
fn is_static<T: 'static>() {}
fn is_clone<T: Clone>() {}
fn is_copy<T: Copy>() {}
fn is_unpin<T: Unpin>() {}
fn is_error<T: StdError>() {}
fn is_debug<T: std::fmt::Debug>() {}
fn is_default<T: Default>() {}
fn is_hash<T: std::hash::Hash>() {}
fn is_fused<T: std::iter::FusedIterator>() {}
fn is_unwind_safe<T: std::panic::UnwindSafe + std::panic::RefUnwindSafe>() {}
fn is_future<T: Future<Output = ()>>() {}

/// Neither `Clone` nor `Debug` nor anything else.
struct Bare(u32);

#[derive(Debug)]
struct NotAnError;

#[test]
fn what_threads_share_is_send_and_sync() {
    is_sync::<Cache<String, Bare>>();
    is_sync::<Cache<String, Bare, Bare, RandomState>>();
    is_sync::<Served<String, Bare, Bare>>();
    is_sync::<RefreshHandle<String, Bare, Bare>>();
    is_sync::<State<Bare>>();
    is_sync::<Error<Bare>>();
    is_sync::<Error<BoxError>>();
    is_sync::<BuildError>();
    is_sync::<Clock>();
    is_sync::<ManualClock>();
    is_sync::<Stats>();
    is_sync::<Entry<String, Bare, Bare>>();
    is_send::<Iter<'_, String, Bare, Bare, RandomState>>();
    is_send::<Job>();
    is_send::<Builder<String, Bare>>();
    is_static::<Served<String, Bare, Bare>>();
    is_future::<Job>();
    is_unpin::<Job>();
}

#[test]
fn handles_and_small_things_are_cloned_whatever_they_hold() {
    is_clone::<Cache<String, Bare, Bare>>();
    is_clone::<Error<Bare>>();
    is_clone::<State<Bare>>();
    is_clone::<ManualClock>();
    is_clone::<Clock>();
    is_copy::<Ttl>();
    is_copy::<Verdict>();
    is_copy::<Lifetime>();
    is_copy::<BackOff>();
    is_copy::<Stats>();
    is_copy::<CallerRuns>();
    is_default::<Verdict>();
    is_default::<Lifetime>();
    is_default::<Stats>();
    is_debug::<Cache<String, Bare, Bare>>();
    is_debug::<Builder<String, Bare, Bare>>();
    is_debug::<Served<Bare, u32, u32>>();
    is_debug::<Job>();
    is_debug::<BuildError>();
    is_hash::<(Ttl, Verdict, Lifetime, BackOff)>();
    is_fused::<Iter<'_, String, Bare>>();
}

/// The error and the hasher need no naming where they are the defaults.
#[test]
fn types_that_are_named_have_the_defaults_of_the_cache() {
    struct Page {
        served: Served<u32, u32>,
        refresh: Option<RefreshHandle<u32, u32>>,
        entry: Entry<u32, u32>,
        state: State,
        error: Option<Error>,
    }
    let cache = Cache::builder().build().expect("the defaults");
    let served = cache.get_stale(&1, |_| Ok(10)).expect("loaded");
    let entries: Iter<'_, u32, u32> = cache.iter();
    let page = Page {
        refresh: served.refresh(),
        state: served.state(),
        error: served.error(),
        entry: entries.last().expect("one"),
        served,
    };
    assert!(matches!(page.state, State::Fresh) && page.error.is_none());
    assert!(page.refresh.is_some_and(|load| load.is_done()), "the one that it led");
    assert_eq!((*page.served, *page.entry.value()), (10, 10));
}

/// Whatever they hold: a panic harms only its own call, so nothing is left half done.
#[test]
fn caches_may_be_used_across_a_caught_panic() {
    is_unwind_safe::<Cache<String, std::cell::Cell<u32>, Bare>>();
    let cache: Cache<u32, u32> = Cache::builder().build().expect("the defaults");
    let caught =
        std::panic::catch_unwind(|| cache.get(&1, |_| std::panic::resume_unwind(Box::new(1))));
    assert!(caught.is_err());
    let mut reader = cache.reader();
    let got = std::panic::catch_unwind(move || reader.get(&1, |_| Ok(10)).expect("loaded"));
    assert_eq!(got.expect("no panic"), 10);
}

/// What looks at a cache and no more needs no bounds.
#[test]
fn a_cache_is_watched_whatever_it_holds() {
    fn watched<K, V, E, S>(cache: &Cache<K, V, E, S>) -> (usize, usize, u64, bool, bool, Stats) {
        let Stats { .. } = cache.stats();
        let (is_empty, is_closed) = (cache.is_empty(), cache.is_closed());
        (cache.len(), cache.capacity(), cache.weight(), is_empty, is_closed, cache.stats())
    }
    let cache: Cache<u32, u32> = Cache::builder().capacity(5).build().expect("the settings agree");
    cache.set(1, 10);
    assert_eq!(watched(&cache), (1, 5, 0, false, false, Stats::default()));
}

#[test]
fn errors_are_errors_whatever_the_fetch_returns() {
    is_error::<Error<BoxError>>();
    is_error::<Error<std::io::Error>>();
    is_error::<Error<&'static str>>();
    is_error::<Error<String>>();
    is_error::<BuildError>();
    is_debug::<Error<NotAnError>>();
    let boxed: BoxError = "no route".into();
    let error = Error::Fetch(Arc::new(boxed));
    assert!(error.source().is_none());
    assert_eq!(error.fetch_error().map(ToString::to_string).as_deref(), Some("no route"));
    assert!(Error::<BoxError>::Panicked.fetch_error().is_none());
    let _carried: BoxError = Box::new(error);
}

#[test]
fn the_builder_infers_everything_from_its_use() {
    let cache = Cache::builder().build().unwrap();
    cache.set("key".to_owned(), 1_u8);
    assert_eq!(cache.get("key", |_| Ok(2)).unwrap(), 1);

    let cache = Cache::builder().lifetime(|_, _| Lifetime::new()).build().unwrap();
    assert_eq!(cache.get(&1_u32, |key| Ok(u64::from(*key))).unwrap(), 1);

    let cache = Cache::builder()
        .capacity(10)
        .weigher(|_key: &String, value: &Vec<u8>| value.len() as u32)
        .max_weight(100)
        .verdict(
            |error| if error.is::<std::io::Error>() { Verdict::Remove } else { Verdict::Propagate },
        )
        .on_error(|key, error| println!("{key}: {error}"))
        .on_panic(|key, message| println!("{key}: {message}"))
        .back_off(BackOff::fixed(Duration::from_secs(1)))
        .build()
        .unwrap();
    assert_eq!(
        cache.get("key", |key| Ok(std::fs::read(key)?)).err().map(|e| e.to_string().is_empty()),
        Some(false)
    );

    let cache = Cache::builder().error_type().build().unwrap();
    let got = cache.get(&1_u8, |_| "x".parse::<u16>());
    assert!(matches!(got, Err(Error::Fetch(error)) if error.to_string().contains("digit")));

    let cache = Cache::builder().hasher(foldhash::fast::FixedState::default()).build().unwrap();
    assert!(cache.set(1_i8, ()));
}

#[test]
fn question_marks_convert_inside_the_fetch_and_outside() -> Result<(), Box<dyn StdError>> {
    let cache: Cache<String, i64> = Cache::builder().build()?;
    let sum = cache.get("40 2", |key| {
        let mut sum = 0;
        for part in key.split(' ') {
            sum += part.parse::<i64>()?;
        }
        if sum < 0 {
            return Err("negative".into());
        }
        Ok(sum)
    })?;
    assert_eq!(sum, 42);
    assert_eq!(*cache.get_stale("40 2", |_| Ok(0))?, 42);
    assert_eq!(*cache.get_swr("40 2", |_| Ok(0))?, 42);
    Ok(())
}

#[test]
fn a_main_may_return_the_error_of_a_get() {
    fn main() -> Result<(), Box<dyn StdError>> {
        let cache: Cache<u32, u32> = Cache::builder().build()?;
        cache.get(&1, |_| Err("source is down".into()))?;
        Ok(())
    }
    let returned = main();
    assert_eq!(returned.as_ref().unwrap_err().to_string(), "fetch failed: source is down");
    assert_eq!(returned.report(), ExitCode::FAILURE);
}

#[test]
fn values_need_not_be_clone_but_for_get() {
    let cache: Cache<u32, Bare> = Cache::builder().build().unwrap();
    assert_eq!(cache.get_stale(&1, |key| Ok(Bare(*key))).unwrap().0, 1);
    assert_eq!(cache.get_swr(&1, |key| Ok(Bare(*key))).unwrap().0, 1);
    assert_eq!(cache.get_with(&1, |bare| bare.0 + 1, |key| Ok(Bare(*key))).unwrap(), 2);
    assert_eq!(cache.peek(&1).unwrap().0, 1);
    cache.set(2, Bare(2));
    cache.range(|key, bare, _| *key == bare.0);
    assert_eq!((&cache).into_iter().count(), 2);
}

#[test]
fn keys_are_looked_up_by_any_borrowed_form() {
    let cache: Cache<String, u32> = Cache::builder().build().unwrap();
    assert_eq!(cache.get("a", |_| Ok(1)).unwrap(), 1);
    let owned = "a".to_owned();
    assert_eq!(cache.get(&owned, |_| Ok(2)).unwrap(), 1);
    assert_eq!(*cache.get_stale("a", |_| Ok(2)).unwrap(), 1);
    assert_eq!(*cache.get_swr("a", |_| Ok(2)).unwrap(), 1);
    assert!(cache.peek("a").is_some() && cache.ttl("a").is_some() && cache.contains_key("a"));
    assert!(cache.delete("a") && !cache.delete("a"));

    let cache: Cache<Vec<u8>, u32> = Cache::builder().build().unwrap();
    assert_eq!(cache.get(&b"ab"[..], |key| Ok(key.len() as u32)).unwrap(), 2);
    assert!(cache.contains_key([97, 98].as_slice()) && cache.contains_key(&vec![97, 98]));

    // Forms that cannot be owned again serve the calls that never insert.
    let cache: Cache<Box<str>, u32> = Cache::builder().build().unwrap();
    cache.set("a".into(), 1);
    assert_eq!(cache.peek("a").as_deref(), Some(&1));
    let cache: Cache<Arc<str>, u32> = Cache::builder().build().unwrap();
    assert_eq!(cache.get(&Arc::from("a"), |key| Ok(key.len() as u32)).unwrap(), 1);
    assert!(cache.contains_key("a") && cache.delete("a"));

    let cache: Cache<&str, u32> = Cache::builder().build().unwrap();
    assert_eq!(cache.get(&"a", |_| Ok(1)).unwrap(), 1);
    assert!(cache.contains_key("a"));
}

#[test]
fn a_served_value_goes_to_another_thread_and_outlives_the_cache() {
    let cache: Cache<u32, String> = Cache::builder().build().unwrap();
    cache.set(1, "value".to_owned());
    let served = cache.get_stale(&1, |_| Err("fresh".into())).unwrap();
    drop(cache);
    let length = thread::spawn(move || served.len()).join().unwrap();
    assert_eq!(length, 5);
}

#[test]
fn a_fetch_may_borrow_but_for_get_swr() {
    let cache: Cache<u32, u32> = Cache::builder().build().unwrap();
    let mut calls = 0;
    let local = String::from("7");
    let got = cache.get(&1, |_| {
        calls += 1;
        Ok(local.parse()?)
    });
    assert_eq!((got.unwrap(), calls), (7, 1));
    // Moved in and given back as the value: `FnOnce`.
    let cache: Cache<u32, String> = Cache::builder().build().unwrap();
    assert_eq!(*cache.get_stale(&1, |_| Ok(local)).unwrap(), "7");
}

#[test]
fn closures_are_executors_and_clocks_are_given_by_value_or_reference() {
    fn takes(_: impl Executor) {}
    takes(|job: Job| job.run());
    takes(CallerRuns);
    let clock = ManualClock::new();
    let cache: Cache<u32, u32> = Cache::builder().clock(&clock).build().unwrap();
    let _: Cache<u32, u32> = Cache::builder().clock(clock.clone()).build().unwrap();
    let _: Cache<u32, u32> = Cache::builder().clock(Clock::precise()).build().unwrap();
    cache.set(1, 1);
    clock.advance(Duration::from_secs(70));
    assert_eq!(cache.ttl(&1), Some(Ttl::Overdue(Duration::from_secs(10))));
}

#[test]
fn background_refresh_needs_no_runtime() {
    let clock = ManualClock::new();
    let cache: Cache<u32, u32> = Cache::builder().clock(&clock).build().unwrap();
    cache.set(1, 1);
    clock.advance(Duration::from_secs(60));
    let served = cache.get_swr(&1, |_| Ok(2)).unwrap();
    let refresh = served.refresh().expect("this call started it");
    assert!(refresh.wait().is_ok() && refresh.is_done());
    assert_eq!(cache.get(&1, |_| Ok(3)).unwrap(), 2);
    assert!(cache.close_timeout(Duration::from_secs(60)));
}

#[cfg(feature = "tokio")]
#[test]
fn a_tokio_handle_is_an_executor() {
    fn takes<T: Executor>() {}
    takes::<tokio::runtime::Handle>();
}
