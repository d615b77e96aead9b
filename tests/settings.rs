//! Settings: defaults, ranges, and every refusal with the settings it names.

#[path = "support/bench.rs"]
mod bench;

use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use bench::{Fault, Tray, down, never, plain, secs};
use lastcache::{
    BackOff, BuildError, Builder, Cache, CallerRuns, Clock, Error, Lifetime, ManualClock, State,
    Ttl, Verdict,
};

type Build = Builder<u32, u32>;

fn builder() -> Build {
    Cache::<u32, u32>::builder()
}

fn refused<E>(builder: Builder<u32, u32, E>) -> BuildError
where
    E: Send + Sync + 'static,
{
    builder.build().expect_err("these settings are refused")
}

fn accepted(builder: Build) -> bool {
    builder.build().is_ok()
}

/// The refusal names exactly these settings, and its message says each of these words.
fn names<E: Send + Sync + 'static>(
    builder: Builder<u32, u32, E>,
    settings: &[&str],
    words: &[&str],
) {
    let error = refused(builder);
    let mut named = error.settings().to_vec();
    named.sort_unstable();
    let mut expected = settings.to_vec();
    expected.sort_unstable();
    assert_eq!(named, expected, "{error}");
    let message = error.to_string();
    for word in settings.iter().chain(words) {
        assert!(message.contains(word), "`{word}` is missing in: {message}");
    }
}

#[test]
fn capacity_is_at_least_one_and_at_most_two_to_the_31() {
    names(builder().capacity(0), &["capacity"], &["0", "at least 1"]);
    names(builder().capacity((1 << 31) + 1), &["capacity"], &["2147483649", "at most 2^31"]);
    names(builder().capacity(usize::MAX), &["capacity"], &["at most 2^31"]);
    assert!(accepted(builder().capacity(1)));
    // The most is more than fits here: that it is accepted shows in what is refused after it.
    names(builder().capacity(1 << 31).jitter(2.0), &["jitter"], &[]);
}

#[test]
fn max_weight_and_weigher_come_together() {
    names(builder().max_weight(10), &["max_weight", "weigher"], &["say what a value weighs"]);
    names(builder().weigher(|_, _| 1), &["max_weight", "weigher"], &["give the limit"]);
    names(builder().max_weight(0).weigher(|_, _| 1), &["max_weight"], &["0", "at least 1"]);
    assert!(accepted(builder().max_weight(1).weigher(|_, _| 0)));
    assert!(accepted(builder().max_weight(u64::MAX).weigher(|_, _| u32::MAX)));
}

#[test]
fn a_threads_hot_set_is_of_at_most_two_to_the_16_spots() {
    names(builder().thread_hot_set((1 << 16) + 1), &["thread_hot_set"], &["65537", "at most 2^16"]);
    names(builder().thread_hot_set(usize::MAX), &["thread_hot_set"], &["at most 2^16"]);
    assert!(accepted(builder().thread_hot_set(0)) && accepted(builder().thread_hot_set(1 << 16)));
}

#[test]
fn jitter_is_a_fraction() {
    for bad in [-0.1, 1.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -f64::MIN_POSITIVE] {
        names(builder().jitter(bad), &["jitter"], &["0.0", "1.0"]);
    }
    for good in [0.0, -0.0, 0.5, 1.0] {
        assert!(accepted(builder().jitter(good)));
    }
}

#[test]
fn the_two_names_of_one_window_must_agree() {
    names(
        builder().stale_if_error(secs(5)).stale_ttl(secs(6)),
        &["stale_if_error", "stale_ttl"],
        &["5s", "6s", "same setting"],
    );
    names(
        builder().stale_ttl(Duration::ZERO).stale_if_error(secs(6)),
        &["stale_if_error", "stale_ttl"],
        &["give one"],
    );
    assert!(accepted(builder().stale_if_error(secs(5)).stale_ttl(secs(5))));
}

#[test]
fn a_back_off_starts_below_its_cap() {
    names(
        builder().back_off(BackOff::exponential(secs(10), secs(5))),
        &["back_off"],
        &["10s", "5s", "cap"],
    );
    assert!(accepted(builder().back_off(BackOff::exponential(secs(5), secs(5)))));
}

#[test]
fn a_back_off_needs_a_stale_window() {
    let none =
        || builder().stale_while_revalidate(Duration::ZERO).back_off(BackOff::fixed(secs(1)));
    let settings = ["back_off", "stale_if_error", "stale_while_revalidate"];
    names(none(), &settings, &["set stale_if_error or stale_while_revalidate", "drop back_off"]);
    names(none().stale_if_error(Duration::ZERO), &settings, &[]);
    assert!(accepted(none().stale_if_error(secs(1))));
    assert!(accepted(none().stale_ttl(secs(1))));
    assert!(accepted(none().stale_while_revalidate(secs(1))));
    assert!(accepted(none().back_off(BackOff::NONE)));
    let never = BackOff::exponential(Duration::ZERO, secs(5));
    assert!(accepted(none().back_off(never)), "twice nothing is nothing");
    // The value may bring a window of its own.
    assert!(accepted(none().lifetime(|_, _| Lifetime::new().stale_if_error(secs(1)))));
}

#[test]
fn at_least_one_refresh_may_run() {
    let none = builder().max_concurrent_refresh(0);
    names(none, &["max_concurrent_refresh"], &["at least 1", "close()"]);
    assert!(accepted(builder().max_concurrent_refresh(1).refresh_queue(0)));
}

#[cfg(target_os = "linux")]
#[test]
fn a_coarse_clock_refuses_short_times() {
    let short = Duration::from_millis(5);
    let coarse = || builder().clock(Clock::coarse());
    let words = ["coarse", "5ms", "Clock::precise()"];
    names(coarse().ttl(short), &["clock", "ttl"], &words);
    names(coarse().stale_if_error(short), &["clock", "stale_if_error"], &words);
    names(coarse().stale_ttl(short), &["clock", "stale_ttl"], &words);
    let swr = coarse().stale_while_revalidate(short);
    names(swr, &["clock", "stale_while_revalidate"], &words);
    names(coarse().back_off(BackOff::fixed(short)), &["clock", "back_off"], &words);
    // Zero is off, not a time.
    let zeroes = coarse().ttl(Duration::ZERO).stale_while_revalidate(Duration::ZERO);
    assert!(accepted(zeroes.stale_if_error(Duration::ZERO)));
    assert!(accepted(coarse().ttl(Duration::from_millis(10))));
    assert!(accepted(coarse().ttl(Duration::MAX)));
    assert!(accepted(builder().clock(Clock::precise()).ttl(short)));
    assert!(accepted(builder().clock(ManualClock::new()).ttl(Duration::from_nanos(1))));
    assert!(accepted(builder().ttl(Duration::from_nanos(1))), "the default choice always fits");
}

/// Whether most of what is read twice in a row is as old as before: however long a step of the clock is, only a
/// precise one goes on from one read to the next.
fn is_coarse(builder: Build) -> bool {
    let cache = builder.build().unwrap();
    let age = || {
        loop {
            if let Some(served) = cache.peek(&1) {
                return served.age();
            }
            cache.set(1, 10);
        }
    };
    (0..1_000).filter(|_| age() == age()).count() > 500
}

#[test]
fn a_coarse_clock_goes_on() {
    let cache = builder().clock(Clock::coarse()).build().unwrap();
    cache.set(1, 10);
    let begun = Instant::now();
    while cache.peek(&1).expect("it is inside its windows").age().is_zero() {
        assert!(begun.elapsed() < secs(30), "the clock stands still");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_default_clock_is_coarse_where_every_time_is_at_least_a_second() {
    let (short, second) = (Duration::from_millis(999), secs(1));
    let seconds = || {
        let windows = builder().ttl(second).stale_if_error(second).stale_while_revalidate(second);
        windows.back_off(BackOff::fixed(second))
    };
    for coarse in [builder(), seconds(), builder().clock(Clock::coarse())] {
        assert!(is_coarse(coarse));
    }
    for precise in [
        seconds().ttl(short),
        seconds().stale_if_error(short),
        seconds().stale_while_revalidate(short),
        seconds().back_off(BackOff::fixed(short)),
        seconds().lifetime(|_, _| Lifetime::new()),
        builder().clock(Clock::precise()),
    ] {
        assert!(!is_coarse(precise));
    }
}

#[test]
fn hooks_that_take_an_error_come_after_its_type() {
    let judged = builder().verdict(|_| Verdict::Propagate).error_type::<Fault>();
    names(judged, &["error_type", "verdict"], &["call error_type first"]);
    let told = builder().on_error(|_, _| {}).error_type::<Fault>();
    names(told, &["error_type", "on_error"], &["call error_type first"]);
    // Told even when the type was changed back, and the hook set again.
    let again = builder().on_error(|_, _| {}).error_type::<u8>().on_error(|_, _| {});
    names(again.error_type::<Fault>(), &["error_type", "on_error"], &[]);
    let right = builder().error_type::<Fault>().verdict(|_| Verdict::Remove).on_error(|_, _| {});
    assert!(right.build().is_ok());
    // What takes no error is kept.
    let kept =
        builder().weigher(|_, _| 3).max_weight(9).lifetime(|_, _| Lifetime::new().ttl(secs(1)));
    let clock = ManualClock::new();
    let cache = kept.clock(&clock).error_type::<Fault>().build().unwrap();
    cache.set(1, 1);
    assert_eq!((cache.weight(), cache.ttl(&1)), (3, Some(Ttl::Left(secs(1)))));
}

#[test]
fn a_refusal_is_an_error_that_question_marks_carry() {
    fn build() -> Result<(), Box<dyn std::error::Error>> {
        builder().capacity(0).build()?;
        Ok(())
    }
    let error = build().unwrap_err();
    assert!(error.downcast_ref::<BuildError>().is_some());
    assert!(error.to_string().contains("capacity"));
}

#[test]
fn settings_survive_a_change_of_hasher_and_error() {
    let clock = ManualClock::new();
    let tray = Tray::default();
    let cache = Cache::<u32, u32>::builder()
        .capacity(3)
        .ttl(secs(5))
        .stale_ttl(secs(7))
        .stale_while_revalidate(secs(2))
        .back_off(BackOff::fixed(secs(3)))
        .executor(tray.clone())
        .clock(&clock)
        .error_type::<Fault>()
        .hasher(RandomState::new())
        .build()
        .unwrap();
    assert_eq!(cache.capacity(), 3);
    cache.set(1, 1);
    assert_eq!(cache.ttl(&1), Some(Ttl::Left(secs(5))));
    clock.set(secs(6));
    assert!(matches!(cache.get_swr(&1, down).unwrap().state(), State::Stale));
    assert_eq!(tray.run(), 1);
    assert!(matches!(cache.get_stale(&1, never).unwrap().state(), State::BackOff { .. }));
    clock.set(secs(12));
    assert!(!cache.contains_key(&1));
}

#[test]
fn no_setting_is_lost_by_a_change_of_hasher_or_error() {
    let set = || {
        let times = builder().ttl(secs(1)).stale_if_error(secs(2)).stale_while_revalidate(secs(3));
        let times = times.back_off(BackOff::fixed(secs(4))).jitter(0.5);
        let sizes = times.capacity(6).max_weight(7).max_concurrent_refresh(8);
        sizes.refresh_queue(9).thread_hot_set(10)
    };
    let shown = format!("{:?}", set());
    assert_ne!(shown, format!("{:?}", builder()));
    assert_eq!(format!("{:?}", set().hasher(RandomState::new())), shown);
    assert_eq!(format!("{:?}", set().error_type::<Fault>()), shown);
}

#[test]
fn no_hook_is_lost_by_a_change_of_hasher_or_error() {
    let told = Arc::new(AtomicUsize::new(0));
    let [errors, panics] = [(); 2].map(|()| Arc::clone(&told));
    let weighed = builder().max_weight(10).weigher(|_, value| *value);
    let hooked = weighed.lifetime(|key, _| Lifetime::new().ttl(secs(u64::from(*key))));
    let hooked = hooked.on_panic(move |_, _| _ = panics.fetch_add(10, SeqCst));
    let hooked = hooked.error_type::<Fault>().verdict(|_| Verdict::Remove);
    let hooked = hooked.on_error(move |_, _| _ = errors.fetch_add(1, SeqCst));
    let clock = ManualClock::new();
    let cache = hooked.clock(&clock).hasher(RandomState::new()).build().unwrap();
    assert!(cache.set(7, 3));
    assert_eq!((cache.weight(), cache.ttl(&7)), (3, Some(Ttl::Left(secs(7)))));
    assert!(bench::panics(|| cache.get(&1, |_| panic!("fetch"))));
    clock.set(secs(7));
    assert!(cache.get(&7, down).is_err() && cache.is_empty(), "the verdict was to remove it");
    assert_eq!(told.load(SeqCst), 11);
}

#[test]
fn the_defaults_are_as_documented() {
    let clock = ManualClock::new();
    let cache = plain(&clock).executor(CallerRuns).build().unwrap();
    assert_eq!(cache.capacity(), 10_000);
    assert_eq!((cache.len(), cache.weight(), cache.is_closed()), (0, 0, false));
    // No jitter: exactly sixty seconds, whatever the key.
    for key in 0..100 {
        cache.set(key, key);
        assert_eq!(cache.ttl(&key), Some(Ttl::Left(secs(60))));
    }
    // No stale-if-error: an error is an error at the boundary already.
    clock.set(secs(60));
    assert_eq!(cache.get(&1, down).unwrap_err().fetch_error(), Some(&"down"));
    // No back-off: the next call fetches.
    assert!(cache.get(&1, |_| Ok(2)).is_ok());
    // Stale-while-revalidate without an end, and the verdict is to serve the stale value.
    clock.set(secs(1_000_000_000));
    assert_eq!(*cache.get_swr(&2, down).unwrap(), 2);
    assert_eq!(*cache.get_swr(&2, down).unwrap(), 2);
    assert_eq!(cache.stats().refreshes, 2);
}

#[test]
fn by_default_one_refresh_runs_and_1024_wait() {
    let clock = ManualClock::new();
    let tray = Tray::default();
    let cache = plain(&clock).executor(tray.clone()).build().unwrap();
    for key in 0..2_000 {
        cache.set(key, key);
    }
    clock.set(secs(60));
    for key in 0..2_000 {
        assert_eq!(*cache.get_swr(&key, |_| Ok(9)).unwrap(), key);
    }
    let stats = cache.stats();
    assert_eq!((tray.len(), stats.queued, stats.skipped), (1, 1_024, 2_000 - 1_025));
    // Each that ends starts the next.
    assert_eq!(tray.run(), 1_025);
    assert_eq!(cache.stats().refreshes, 1_025);
}

#[test]
fn permits_and_queue_room_are_as_set() {
    for (permits, room) in [(1, 0), (3, 0), (2, 5)] {
        let clock = ManualClock::new();
        let tray = Tray::default();
        let build = plain(&clock).max_concurrent_refresh(permits).refresh_queue(room);
        let cache = build.executor(tray.clone()).build().unwrap();
        for key in 0..50 {
            cache.set(key, key);
        }
        clock.set(secs(60));
        for key in 0..50 {
            assert_eq!(*cache.get_swr(&key, |_| Ok(9)).unwrap(), key);
        }
        let stats = cache.stats();
        assert_eq!((tray.len(), stats.queued), (permits, room as u64));
        assert_eq!(stats.skipped, (50 - permits - room) as u64);
    }
}

#[test]
fn an_error_says_what_went_wrong() {
    let said = |error: Error<Fault>| error.to_string();
    let clock = ManualClock::new();
    let cache = plain(&clock).build().unwrap();
    assert_eq!(said(cache.get(&1, down).unwrap_err()), "fetch failed: down");
    let mut inner = None;
    let _ = cache.get(&1, |_| {
        inner = cache.get(&1, never).err();
        Ok(1)
    });
    assert!(said(inner.unwrap()).contains("its own key"));
}
