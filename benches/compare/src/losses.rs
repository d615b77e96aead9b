//! The rows where a peer is ahead, and why.

use crate::aims::rank;
use crate::candidates::{family, is_own};
use crate::figures::{Block, Figures, metric};

const SMALL: &str = "A hit pays arc-swap's two uncontended read-modify-writes and reaches its value through one more \
    pointer. A lock that nobody contends costs as much, and what it guards holds the value in place; \
    maps that pin an epoch pay one read-modify-write, or none while they keep the pin. What lastcache buys with it: a hit \
    waits for nobody, on any number of threads, and keeps nothing but its own value alive.";

/// What the beginnings of workloads have in common, and why a peer can be ahead there. The first that fits
/// counts.
const REASONS: &[(&str, &str)] = &[
    ("hit 64", SMALL),
    (
        "hit 1k zipf 1KiB",
        "Read in place, as the maps do: what differs is what a small value costs too, see the hits on \
         1,000 keys.",
    ),
    ("hit 1k", SMALL),
    (
        "hit 100k zipf Arc256",
        "The value is behind a pointer for everyone, and lastcache's snapshot is one pointer more.",
    ),
    (
        "hit 1",
        "Beyond the processor's caches a hit is its cache misses. lastcache has two that depend on each \
         other, bucket and snapshot, and 72 bytes in the second; a map with small values in place has one. The floors, which have \
         two as well, stand beside the aims.",
    ),
    (
        "default hit",
        "As it comes, lastcache hashes with std's SipHash, so that nobody can choose keys that collide; \
         others come with ahash, foldhash or xxHash.",
    ),
    (
        "async hit",
        "As the hits of threads: `get_async` looks a value up before anything of it waits.",
    ),
    (
        "one key",
        "Maps that pin an epoch write to a record of the thread's own, by one read-modify-write or, while they keep the \
         pin, by none.",
    ),
    (
        "95/5",
        "Reads as above. A write publishes a new snapshot: an allocation, and a store that looks at every \
         thread's arc-swap node. A map overwrites in place under the lock of a bucket or shard.",
    ),
    (
        "50/50",
        "A write publishes a new snapshot: an allocation, and a store that looks at every thread's \
         arc-swap node. A map overwrites in place under the lock of a bucket or shard.",
    ),
    (
        "set",
        "A write publishes a new snapshot: an allocation, and a store that looks at every thread's \
         arc-swap node, so it grows with the threads that ever read at once. Others overwrite in place under \
         a lock. It is paid once per outcome of a load, never on a hit.",
    ),
    (
        "insert at capacity",
        "Every miss here is a whole flight: a placeholder, a claim that later callers join, a publish, \
         and the end of the flight: three allocations. The others look, make and insert: for their single flights see the loads.",
    ),
    (
        "load at capacity",
        "Every miss here is a whole flight: a placeholder, a claim that later callers join, a publish, and the end \
         of the flight: three allocations. moka and quick_cache combine loads too; the others look, make and insert.",
    ),
    ("get_swr", "A stale hit reads the state word too, to see the refresh that is under way."),
    (
        "latency",
        "A hit that is never blocked still shares its processor with seven other threads: the percentiles \
         of all lock-free candidates are close to those of the loop alone, and which is ahead at which \
         percentile changes from run to run.",
    ),
    (
        "memory",
        "A snapshot holds deadlines, home, state word and key beside the value, behind reference counts, \
         and the table is sized for a load that keeps hits short. The maps hold key, value and deadline; \
         some cannot evict, the others only first in, first out; quick_cache and cached hold no windows \
         and no flights.",
    ),
    (
        "allocations",
        "A snapshot per value is the design: readers keep the old one while the new one is published. \
         Maps and quick_cache store in place.",
    ),
    (
        "trace",
        "Eviction is S3-FIFO with the table in place of its main queue. Loops over more keys than fit are \
         where it loses to policies that refuse newcomers.",
    ),
    (
        "stampede",
        "The time of the last caller is the fetch and then the waking of thousands of threads, one by \
         one; those who fetch for themselves wake by their own timers, and load the origin thousands of \
         times.",
    ),
];

fn reason(workload: &str) -> &'static str {
    REASONS.iter().find(|(beginning, _)| workload.starts_with(beginning)).map_or("", |it| it.1)
}

/// What counts in a workload, and whether less of it is better.
pub(crate) fn decisive(block: &Block) -> Option<(&'static str, bool)> {
    let metrics = [
        (metric::MOPS, false),
        ("p99.9", true),
        (metric::BYTES, true),
        (metric::ALLOCS, true),
        (metric::HITS, false),
        (metric::FETCHES, true),
    ];
    metrics.into_iter().find(|(metric, _)| block.has(metric))
}

/// A workload in which peers are ahead of lastcache.
pub(crate) struct Loss {
    pub(crate) workload: String,
    pub(crate) metric: &'static str,
    pub(crate) own: f64,
    /// Those ahead, the best first.
    pub(crate) ahead: Vec<(String, f64)>,
    pub(crate) reason: &'static str,
}

/// By more than this, so that what is equal but for noise is no loss.
const MARGIN: f64 = 1.05;
/// In points of hit ratio.
const POINTS: f64 = 0.5;
/// In allocations per operation.
const PIECES: f64 = 0.1;

/// Every workload that lastcache does not lead.
pub(crate) fn losses(figures: &Figures) -> Vec<Loss> {
    figures.blocks.iter().filter_map(loss).collect()
}

fn loss(block: &Block) -> Option<Loss> {
    let (metric, less_is_better) = decisive(block)?;
    let own = block.spread("lastcache", metric)?.median;
    let is_ahead = |other: f64| match metric {
        metric::HITS => other > own + POINTS,
        metric::ALLOCS => other + PIECES < own,
        _ if less_is_better => other * MARGIN < own,
        _ => other > own * MARGIN,
    };
    let peers = block.candidates().filter(|name| family(name).is_some() && !is_own(name));
    let values =
        peers.filter_map(|name| Some((name.to_owned(), block.spread(name, metric)?.median)));
    let mut ahead: Vec<_> = values.filter(|it| is_ahead(it.1)).collect();
    ahead.sort_by(|a, b| if less_is_better { a.1.total_cmp(&b.1) } else { b.1.total_cmp(&a.1) });
    let reason = reason(&block.workload);
    let workload = block.workload.clone();
    (!ahead.is_empty()).then_some(Loss { workload, metric, own, ahead, reason })
}

/// Puts the candidates of every workload in the order of their description.
pub(crate) fn put_in_order(figures: &mut Figures) {
    for block in &mut figures.blocks {
        block.cells.sort_by_key(|it| rank(&it.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_ahead_by_more_than_noise_is_named_with_a_reason() {
        let mut block = Block::new("hit 1k zipf t1");
        for (name, mops) in
            [("lastcache", 50.0), ("moka", 10.0), ("papaya", 52.0), ("dashmap", 60.0)]
        {
            block.push(name, metric::MOPS, mops);
        }
        let loss = loss(&block).unwrap();
        assert_eq!(loss.ahead, [("dashmap".to_owned(), 60.0)]);
        assert!(loss.reason.contains("read-modify-writes"));
    }

    #[test]
    fn every_line_of_the_table_has_a_reason_ready() {
        for line in crate::workloads::TABLE {
            let name = if line.name.starts_with("stale") { "get_swr stale" } else { line.name };
            assert!(!reason(name).is_empty(), "{name}");
        }
    }
}
