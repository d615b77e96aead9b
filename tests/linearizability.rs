//! Histories: what concurrent callers were answered can be explained by one call after the other.
//!
//! Many short programs for three threads, on one key and on two, with refresh and eviction off and on. Each
//! history is checked against a sequential register with loads (`register.rs`) by a linearizability checker.
//! `clear` is not among the calls: on its way through the table it may take out a key, and then the same key
//! again.
//!
//! The calls are plain, of tasks of which some are dropped midway, or through a `Reader` (`fronts.rs`): each
//! kind beside plain calls on the same keys, and all together. Hot sets are full when a history begins.
//!
//! Keys pause in `Hash`, `Eq` and `Clone`, and so does a hook, which interleaves the cache's own steps. The
//! environment variable `LASTCACHE_STRESS` scales how many there are; `tests/mutants.sh` shows that they can
//! fail.

#[path = "support/controlled.rs"]
mod controlled;
#[path = "linearizability/fronts.rs"]
mod fronts;
#[path = "linearizability/history.rs"]
mod history;
#[path = "linearizability/program.rs"]
mod program;
#[path = "linearizability/register.rs"]
mod register;
#[path = "support/tasks.rs"]
mod tasks;
#[path = "linearizability/threads.rs"]
mod threads;

use controlled::scaled;
use fronts::Fronts;
use history::{Interval, explained};
use program::Setting;
use register::{On, Op, Outcome};
use threads::{histories, scripted};

/// Histories of one test, before scaling: about a second.
const HISTORIES: usize = 2_500;
/// Those of each setting where one test goes through all.
const EACH: usize = 400;

fn plain(keys: usize, evicts: bool, stale: bool) {
    histories(Setting { keys, evicts, stale, fronts: Fronts::Threads }, scaled(HISTORIES));
}

/// One key and two, with refresh and eviction off and on.
fn everywhere(fronts: Fronts) {
    for (keys, evicts) in [(1, false), (2, false), (2, true)] {
        for stale in [false, true] {
            histories(Setting { keys, evicts, stale, fronts }, scaled(EACH));
        }
    }
}

#[test]
fn histories_of_one_key() {
    plain(1, false, false);
}

#[test]
fn histories_of_two_keys() {
    plain(2, false, false);
}

#[test]
fn histories_of_one_key_that_is_always_refreshed() {
    plain(1, false, true);
}

#[test]
fn histories_of_two_keys_that_are_always_refreshed() {
    plain(2, false, true);
}

#[test]
fn histories_of_two_keys_that_evict_each_other() {
    plain(2, true, false);
}

#[test]
fn histories_of_two_keys_that_evict_each_other_and_are_always_refreshed() {
    plain(2, true, true);
}

#[test]
fn histories_of_tasks_and_threads() {
    everywhere(Fronts::Tasks);
}

#[test]
fn histories_of_readers_and_threads() {
    everywhere(Fronts::Readers);
}

#[test]
fn histories_of_threads_with_hot_sets() {
    everywhere(Fronts::HotThreads);
}

#[test]
fn histories_of_every_front_at_once() {
    everywhere(Fronts::All);
}

#[test]
fn histories_of_scripts() {
    // The same way in as the fuzz target's.
    for seed in 0..scaled(50) {
        let mut dice = controlled::Dice::new(seed as u64);
        let fronts = Fronts::EACH[seed % Fronts::EACH.len()];
        let (keys, evicts, stale) = (1 + seed % 2, seed % 4 == 1, seed % 8 < 4);
        let setting = Setting { keys, evicts, stale, fronts };
        let scripts = std::array::from_fn(|_| (0..40).map(|_| dice.roll(256) as u8).collect());
        scripted(setting, seed as u64, scripts);
    }
}

/// A history of operations on one key, each with its first and last moment.
fn told<const EVICTS: bool>(ops: &[(u64, u64, Op)]) -> bool {
    explained::<EVICTS, false>(&intervals(ops))
}

/// The same where a load may start over a value.
fn told_stale(ops: &[(u64, u64, Op)]) -> bool {
    explained::<false, true>(&intervals(ops))
}

fn intervals(ops: &[(u64, u64, Op)]) -> Vec<Interval> {
    let interval = |&(from, to, op)| Interval { on: On(0, op), from, to };
    ops.iter().map(interval).collect()
}

const fn set(value: u32) -> Op {
    Op::Set { value, kept: true }
}

const fn end(load: u32, got: u32) -> Op {
    Op::End { load, ok: true, got: Outcome::Value(got) }
}

#[test]
fn a_stale_read_is_rejected() {
    assert!(told::<false>(&[(1, 2, set(1)), (3, 6, set(2)), (4, 5, Op::Peek(Some(1)))]));
    assert!(!told::<false>(&[(1, 2, set(1)), (3, 4, set(2)), (5, 6, Op::Got(1))]));
    assert!(!told::<true>(&[(1, 2, set(1)), (3, 4, set(2)), (5, 6, Op::Got(1))]));
}

#[test]
fn a_lost_set_is_rejected() {
    assert!(!told::<false>(&[(1, 4, set(1)), (2, 3, set(2)), (5, 6, Op::Peek(None))]));
    let load = [(1, 2, Op::Claim(1)), (3, 4, set(2)), (3, 4, Op::Told(2)), (5, 6, end(1, 2))];
    assert!(told::<false>(&[&load[..], &[(7, 8, Op::Peek(Some(2)))]].concat()));
    assert!(!told::<false>(&[&load[..], &[(7, 8, Op::Peek(Some(1)))]].concat()));
}

#[test]
fn a_resurrected_value_is_rejected() {
    let gone = Op::Delete { found: true };
    assert!(!told::<false>(&[(1, 2, set(1)), (3, 4, gone), (5, 6, Op::Peek(Some(1)))]));
    // A load that a delete detached is answered, also to who joined before, and not stored.
    let late = [(1, 2, Op::Claim(1)), (3, 4, Op::Delete { found: false }), (5, 6, end(1, 1))];
    assert!(told::<false>(&[&late[..], &[(2, 6, Op::Got(1)), (7, 8, Op::Peek(None))]].concat()));
    assert!(!told::<false>(&[&late[..], &[(7, 8, Op::Peek(Some(1)))]].concat()));
    assert!(!told::<false>(&[&late[..], &[(5, 6, Op::Got(1))]].concat()), "he came after it");
}

#[test]
fn what_comes_of_a_load_that_was_given_up_is_rejected() {
    let given_up = [(1, 2, set(1)), (3, 4, Op::Claim(2)), (5, 6, Op::Abandon(2))];
    let then = |op| told_stale(&[&given_up[..], &[(5, 8, op)]].concat());
    assert!(then(Op::Peek(Some(1))) && then(Op::Claim(3)));
    assert!(!then(Op::Peek(None)), "the value that it was to replace stays");
    assert!(!then(Op::Got(2)) && !then(Op::Refused(2)), "nobody gets its outcome");
    let beside = [(3, 4, Op::Claim(2)), (4, 4, Op::Claim(3)), (5, 6, Op::Abandon(2))];
    assert!(!told_stale(&beside), "until then it has its key");
}

#[test]
fn a_vanished_value_may_be_absent_and_may_not_return() {
    let seen = [(1, 2, set(1)), (3, 4, Op::Peek(None))];
    assert!(told::<true>(&seen));
    assert!(!told::<false>(&seen));
    assert!(!told::<true>(&[&seen[..], &[(5, 6, Op::Peek(Some(1)))]].concat()));
}

#[test]
fn a_second_flight_is_rejected() {
    let two = [(1, 3, Op::Claim(1)), (2, 4, Op::Claim(2)), (5, 6, end(1, 1)), (5, 6, end(2, 2))];
    assert!(!told::<false>(&two));
    let one_by_one = [(1, 2, Op::Claim(1)), (3, 4, Op::Delete { found: false })];
    let ends = [(5, 6, Op::Claim(2)), (7, 8, end(1, 1)), (7, 8, end(2, 2))];
    assert!(told::<false>(&[&one_by_one[..], &ends[..]].concat()));
    let late = |late| [(9, 10, Op::Rest { late })];
    assert!(told::<false>(&[&one_by_one[..], &ends[..], &late(1)[..]].concat()));
    assert!(!told::<false>(&[&one_by_one[..], &ends[..], &late(0)[..]].concat()));
}
