//! A system that refuses: no thread, no memory. Each in a process of its own, which is this test again.

use std::process::Command;

use lastcache::ManualClock;

use crate::controlled::{Error, PATIENCE, STALE, builder, never};

const PART: &str = "LASTCACHE_BAD_DAY";

/// Runs the named test again, in a process in which it plays this part, and requires that it passes.
fn again(test: &str, part: &str, settings: &[(&str, &str)]) {
    let binary = std::env::current_exe().expect("the test is a file");
    let mut command = Command::new(binary);
    command.args([test, "--exact", "--test-threads=1", "--nocapture"]).env(PART, part);
    let output = command.envs(settings.iter().copied()).output().expect("it runs again");
    let said = String::from_utf8_lossy(&output.stdout);
    // A name that no test has passes as well.
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn part() -> Option<String> {
    std::env::var(PART).ok()
}

#[test]
fn where_the_system_gives_no_thread_refreshes_are_given_up_and_tried_again() {
    if part().is_none() {
        // No stack is that large. One test thread runs on the main thread of the process.
        let stack = (1_u64 << 62).to_string();
        let test =
            "refusals::where_the_system_gives_no_thread_refreshes_are_given_up_and_tried_again";
        return again(test, "no threads", &[("RUST_MIN_STACK", &stack)]);
    }
    assert!(std::thread::Builder::new().spawn(|| ()).is_err(), "the system refuses");
    let clock = ManualClock::new();
    let cache: crate::controlled::Cache = builder(&clock).build().expect("the settings agree");
    cache.set(1, 10);
    clock.set(STALE);
    for _ in 0..3 {
        let served = cache.get_swr(&1, never).expect("stale");
        assert_eq!(*served, 10);
        let refresh = served.refresh().expect("given up at once");
        assert!(matches!(refresh.wait_timeout(PATIENCE), Some(Err(Error::Closed))));
    }
    assert_eq!(cache.get(&1, |_| Ok(11)).expect("in the foreground"), 11);
    assert!(cache.close_timeout(PATIENCE), "no permit is lost");
}

#[test]
fn a_table_that_does_not_fit_is_refused() {
    const TEST: &str = "refusals::a_table_that_does_not_fit_is_refused";
    if part().is_none() {
        return again(TEST, "no memory", &[]);
    }
    // 2^31 entries are 44 GiB of buckets: more than this process may have.
    let limit = limit_memory();
    assert!(limit, "the limit is set");
    let build = |capacity| lastcache::Cache::<u32, u32>::builder().capacity(capacity).build();
    let refused = build(1 << 31).expect_err("too much");
    assert_eq!(refused.settings(), ["capacity"]);
    // Per entry a third of a bucket of 64 bytes, two ghosts, and a tenth of a number on probation.
    let bytes = ((1_u64 << 32).div_ceil(6) << 6) + (1 << 32) + (1_u64 << 31).div_ceil(10) * 4;
    let why = format!("its table takes {bytes} bytes, which the system refuses");
    assert!(refused.to_string().contains(&why), "{refused}");
    // Large enough to be asked for first.
    assert_eq!(build(11_500_000).expect("it fits").capacity(), 11_500_000);
}

/// Two gigabytes of address space for this process, from now on.
#[allow(unsafe_code, reason = "the limit is a system call")]
fn limit_memory() -> bool {
    let limit = libc::rlimit { rlim_cur: 2 << 30, rlim_max: 2 << 30 };
    // SAFETY: a valid limit, which is only read.
    unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) == 0 }
}
