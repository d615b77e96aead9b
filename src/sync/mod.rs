//! Everything that the model checker swaps, under one set of names.
//!
//! Nothing above this folder and `time.rs` names a std atomic, lock, thread or clock, arc-swap or
//! crossbeam-epoch: what is not named here cannot be modelled. `real` only renames; `model` stands
//! in for it under `--cfg lastcache_loom` and says, item by item, why it is no stronger than the
//! real thing.

#[cfg(lastcache_loom)]
mod model;
#[cfg(not(lastcache_loom))]
mod real;

#[cfg(lastcache_loom)]
pub(crate) use model::*;
#[cfg(not(lastcache_loom))]
pub(crate) use real::*;
