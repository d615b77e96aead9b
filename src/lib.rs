//! A lock-free concurrent cache.
#![deny(unsafe_code)]

mod answer;
mod blocking;
mod builder;
mod cache;
mod core;
mod duty;
mod error;
mod fifo;
mod flight;
mod iter;
mod load;
mod nest;
mod policy;
mod queue;
mod refresh;
mod served;
mod snapshot;
mod state;
mod stats;
mod sync;
mod table;
mod threads;
mod time;
mod waiters;
mod word;

pub use builder::Builder;
pub use cache::Cache;
pub use error::{BoxError, BuildError, Error};
pub use iter::{Entry, Iter};
pub use policy::{BackOff, Lifetime, Ttl, Verdict};
pub use refresh::{CallerRuns, Executor, Job};
pub use served::{RefreshHandle, Served, State};
pub use stats::Stats;
pub use time::{Clock, ManualClock};
