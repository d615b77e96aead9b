//! Random schedules of small programs on real threads.
//!
//! Three threads each follow a script, which says what they call and where they let others go first: between
//! calls, in fetches, and wherever the cache hashes, compares or clones a key. They call plainly, as tasks or
//! through a `Reader`. The history must have an order that explains it, as in `tests/linearizability.rs`.

#![no_main]
#![allow(dead_code, reason = "shared with the test, which uses more of it")]

#[path = "../../tests/support/controlled.rs"]
mod controlled;
#[path = "../../tests/linearizability/fronts.rs"]
mod fronts;
#[path = "../../tests/linearizability/history.rs"]
mod history;
#[path = "../../tests/linearizability/program.rs"]
mod program;
#[path = "../../tests/linearizability/register.rs"]
mod register;
#[path = "../../tests/support/tasks.rs"]
mod tasks;
#[path = "../../tests/linearizability/threads.rs"]
mod threads;

use arbitrary::Arbitrary;
use fronts::Fronts;
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input {
    two_keys: bool,
    evicts: bool,
    stale: bool,
    seed: u8,
    scripts: [Vec<u8>; program::THREADS],
}

fuzz_target!(|input: Input| {
    let Input { two_keys, evicts, stale, seed, scripts } = input;
    let keys = 1 + usize::from(two_keys);
    let fronts = Fronts::EACH[usize::from(seed) % Fronts::EACH.len()];
    threads::scripted(program::Setting { keys, evicts, stale, fronts }, u64::from(seed), scripts);
});
