//! The real crate, file by file, on shuttle's atomics; and the programs whose schedules are tried.
#![allow(dead_code, unused_imports, unreachable_pub, missing_docs)]

#[path = "../../../src/answer.rs"]
mod answer;
#[path = "../../../src/apart.rs"]
mod apart;
#[path = "../../../src/blocking.rs"]
mod blocking;
#[path = "../../../src/builder/mod.rs"]
mod builder;
#[path = "../../../src/cache.rs"]
mod cache;
#[path = "../../../src/core.rs"]
mod core;
#[path = "../../../src/duty.rs"]
mod duty;
#[path = "../../../src/error.rs"]
mod error;
#[path = "../../../src/fifo.rs"]
mod fifo;
#[path = "../../../src/flight.rs"]
mod flight;
#[path = "../../../src/future.rs"]
mod future;
#[path = "../../../src/hot.rs"]
mod hot;
#[path = "../../../src/iter.rs"]
mod iter;
#[path = "../../../src/load.rs"]
mod load;
#[path = "../../../src/local.rs"]
mod local;
#[path = "../../../src/lookup.rs"]
mod lookup;
#[path = "../../../src/nest.rs"]
mod nest;
#[path = "../../../src/own.rs"]
mod own;
#[path = "../../../src/panics.rs"]
mod panics;
#[path = "../../../src/policy.rs"]
mod policy;
#[path = "../../../src/queue.rs"]
mod queue;
#[path = "../../../src/reader.rs"]
mod reader;
#[path = "../../../src/refresh/mod.rs"]
mod refresh;
#[path = "../../../src/rest.rs"]
mod rest;
#[path = "../../../src/served.rs"]
mod served;
#[path = "../../../src/snapshot.rs"]
mod snapshot;
#[path = "../../../src/state.rs"]
mod state;
#[path = "../../../src/stats.rs"]
mod stats;
#[path = "../../../src/sync/mod.rs"]
mod sync;
#[path = "../../../src/table/mod.rs"]
mod table;
#[path = "../../../src/threads.rs"]
mod threads;
#[path = "../../../src/time.rs"]
mod time;
#[path = "../../../src/waiters.rs"]
mod waiters;
#[path = "../../../src/word.rs"]
mod word;

pub use builder::Builder;
pub use cache::Cache;
pub use error::{BoxError, BuildError, Error};
pub use iter::{Entry, Iter};
pub use policy::{BackOff, Lifetime, Ttl, Verdict};
pub use reader::Reader;
pub use refresh::{CallerRuns, Executor, Job};
pub use served::{RefreshHandle, Served, State};
pub use stats::Stats;
pub use time::{Clock, ManualClock};

#[cfg(test)]
mod schedules;
