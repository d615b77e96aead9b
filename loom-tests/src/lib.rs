//! The real concurrent core, file by file, on loom's atomics; and the models that check it.
#![allow(dead_code, unused_imports, missing_docs)]
// What the stand-ins have to drop is less than what they stand for.
#![allow(clippy::drop_non_drop)]

#[path = "../../src/apart.rs"]
mod apart;
#[path = "../../src/core.rs"]
mod core;
#[path = "../../src/duty.rs"]
mod duty;
#[path = "../../src/error.rs"]
mod error;
#[path = "../../src/fifo.rs"]
mod fifo;
#[path = "../../src/flight.rs"]
mod flight;
#[path = "../../src/hot.rs"]
mod hot;
#[path = "../../src/local.rs"]
mod local;
#[path = "../../src/lookup.rs"]
mod lookup;
#[path = "../../src/nest.rs"]
mod nest;
#[path = "../../src/panics.rs"]
mod panics;
#[path = "../../src/policy.rs"]
mod policy;
#[path = "../../src/queue.rs"]
mod queue;
#[path = "../../src/refresh/mod.rs"]
mod refresh;
#[path = "../../src/rest.rs"]
mod rest;
#[path = "../../src/snapshot.rs"]
mod snapshot;
#[path = "../../src/state.rs"]
mod state;
mod stats;
#[path = "../../src/sync/mod.rs"]
mod sync;
#[path = "../../src/table/mod.rs"]
mod table;
#[path = "../../src/threads.rs"]
mod threads;
#[path = "../../src/time.rs"]
mod time;
#[path = "../../src/waiters.rs"]
mod waiters;
#[path = "../../src/word.rs"]
mod word;

#[cfg(test)]
mod models;
