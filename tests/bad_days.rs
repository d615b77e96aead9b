//! Bad days: hooks and executors that panic, fetches whose threads outlive them, times out of all proportion,
//! crowds, and a system that refuses. What `bad_input.rs`, `single_flight.rs`, `background.rs` and `drops.rs` show
//! is not repeated here; `docs/guarantees.md` says which test shows what.

#[path = "support/constant.rs"]
mod constant;
#[path = "support/controlled.rs"]
mod controlled;
#[path = "bad_days/crowds.rs"]
mod crowds;
#[path = "bad_days/destructors.rs"]
mod destructors;
#[path = "bad_days/ends.rs"]
mod ends;
#[path = "bad_days/executors.rs"]
mod executors;
#[path = "bad_days/hooks.rs"]
mod hooks;
#[cfg(target_os = "linux")]
#[path = "bad_days/refusals.rs"]
mod refusals;
#[path = "support/tasks.rs"]
mod tasks;
#[path = "bad_days/times.rs"]
mod times;
#[path = "bad_days/twice.rs"]
mod twice;
