//! The models, one file each, and how they are run.
//!
//! Every model explores all interleavings with at most two preemptions (three with the feature
//! `slow`); `LASTCACHE_PREEMPTIONS` sets another bound for all of them. A model that is too large for
//! two says so where it calls [`model`].

mod flights;
mod keys;
mod m01_cold_key;
mod m02_leader_leaves;
mod m03_two_joiners;
mod m04_register_against_release;
mod m05_load_against_set;
mod m06_slot_reused;
mod m07_delete_then_get;
mod m08_async_joiner;
mod m09_late_release;
mod m10_publication;
mod m11_evict;
mod m12_removal_of_the_gone;
mod m13_one_permit;
mod m14_reader;
mod m15_overflowing_bucket;
mod m16_retired_flight;
mod m17_failed_load;
mod m18_queued_refresh;
mod m19_gone;
mod m20_threads;
mod polls;
mod support;

/// Explores `f` with at most `most` preemptions in the quick tier.
fn model(most: usize, f: impl Fn() + Send + Sync + 'static) {
    let quick = most.min(2);
    explore(if cfg!(feature = "slow") { quick + 1 } else { quick }, f);
}

/// As [`model`], of one that takes hours at one preemption more: the slow tier has it at the same bound.
fn large_model(most: usize, f: impl Fn() + Send + Sync + 'static) {
    explore(most.min(2), f);
}

fn explore(bound: usize, f: impl Fn() + Send + Sync + 'static) {
    let bound = match std::env::var("LASTCACHE_PREEMPTIONS") {
        Ok(bound) => bound.parse().expect("LASTCACHE_PREEMPTIONS is a number"),
        Err(_) => bound,
    };
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(bound);
    builder.max_branches = 100_000;
    builder.check(move || {
        crate::sync::begin();
        f();
    });
}
