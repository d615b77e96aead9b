//! The rules of time: what each call answers in each state, with a clock that only the test moves.
//!
//! `table` is the whole cross product of call, age, outcome and back-off; `deadlines` and `back_off`
//! say the rules that a table of single calls cannot; `windows` holds the odd windows (zero, for ever,
//! by value, jittered); `model` compares random programs with the naive cache.

#[path = "rules/back_off.rs"]
mod back_off;
#[path = "support/bench.rs"]
mod bench;
#[path = "support/constant.rs"]
mod constant;
#[path = "rules/deadlines.rs"]
mod deadlines;
#[path = "support/fronts.rs"]
mod fronts;
#[path = "rules/model.rs"]
mod model;
#[path = "support/naive.rs"]
mod naive;
#[path = "rules/table.rs"]
mod table;
#[path = "support/tasks.rs"]
mod tasks;
#[path = "rules/windows.rs"]
mod windows;
