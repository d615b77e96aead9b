//! Random sequential programs on the cache.
//!
//! A roomy cache is run beside the naive one, and both must say the same to every call. A small one,
//! where entries come and go by capacity and weight, must keep its promises: see `small`.

#![no_main]

#[path = "ops/hashing.rs"]
mod hashing;
#[path = "ops/model.rs"]
mod model;
#[path = "../../tests/support/naive.rs"]
mod naive;
#[path = "ops/program.rs"]
mod program;
#[path = "ops/said.rs"]
mod said;
#[path = "ops/small.rs"]
mod small;
#[path = "ops/span.rs"]
mod span;
#[path = "../../tests/support/tasks.rs"]
mod tasks;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Input {
    Numbers(model::Roomy),
    Strings(model::Roomy),
    Small(small::Small),
}

fuzz_target!(|input: Input| match input {
    Input::Numbers(roomy) => model::run::<u8>(&roomy),
    Input::Strings(roomy) => model::run::<String>(&roomy),
    Input::Small(small) => small::run(&small),
});
