//! Everything that the model checker swaps, under one set of names.
//!
//! Nothing above this folder and `time.rs` names a std atomic, lock, thread or clock, arc-swap or
//! crossbeam-epoch: what is not named here cannot be modelled. `real` only renames; `model` stands
//! in for it under `--cfg lastcache_loom` and says, item by item, why it is no stronger than the
//! real thing; `shuttle` does under `--cfg lastcache_shuttle`.

#[cfg(not(lastcache_loom))]
pub(crate) mod epoch;
#[cfg(lastcache_loom)]
mod model;
#[cfg(not(lastcache_loom))]
mod published;
#[cfg(not(any(lastcache_loom, lastcache_shuttle)))]
mod real;
#[cfg(lastcache_shuttle)]
mod shuttle;

#[cfg(lastcache_loom)]
pub(crate) use model::*;
#[cfg(not(any(lastcache_loom, lastcache_shuttle)))]
pub(crate) use real::*;
#[cfg(lastcache_shuttle)]
pub(crate) use shuttle::*;

/// Keeps what is written by some off the cache lines that others read.
pub(crate) use crossbeam_utils::CachePadded;

/// A static of the process.
#[cfg(not(lastcache_loom))]
macro_rules! process_wide {
    ($(#[$attr:meta])* static $name:ident: $t:ty = $init:expr;) => {
        $(#[$attr])* static $name: $t = $init;
    };
}
#[cfg(not(lastcache_loom))]
pub(crate) use process_wide;
