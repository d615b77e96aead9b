//! The workloads: a table, one line each. `--only` picks lines by a part of their name.

use crate::keys::Skew::{self, One, Uniform, Zipf};
use crate::subject::Op::{self, Insert, Load, Mixed, Read, Set};

/// One line: a name, and what is done. Runs in a process of its own.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// Whether `--quick` has it too.
    pub(crate) quick: bool,
    pub(crate) what: What,
}

#[derive(Clone, Copy)]
pub(crate) enum What {
    /// One operation over and over, on rising numbers of threads; gives a block `NAME tN` for each.
    Calls { op: Op, data: Data, keys: u64, skew: Skew, threads: &'static [usize], who: Who },
    /// Percentiles of what a hit takes beside a writer, eight threads per processor.
    Latency,
    /// Stale hits under running refreshes, between fresh ones.
    Stale,
    /// Thousands of callers on one cold key.
    Stampede,
    /// Heap bytes per entry.
    Memory,
    /// Allocations per operation.
    Allocations,
    /// Hit ratios on access traces.
    Traces,
}

/// Keys and values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Data {
    /// `u64` to `u64`.
    Numbers,
    /// `String` to `u64`.
    Strings,
    /// `u64` to `Arc<[u8; 256]>`.
    Shared,
    /// `u64` to `[u8; 1024]`.
    Kilobytes,
}

/// Which candidates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Who {
    All,
    /// Those that evict.
    Bounded,
    /// Those whose own defaults differ, with these.
    ByDefault,
    /// Those that answer tasks, by those calls.
    Tasks,
}

use Data::{Kilobytes, Numbers, Shared, Strings};

const fn calls(
    name: &'static str,
    quick: bool,
    op: Op,
    data: Data,
    (keys, skew): (u64, Skew),
    threads: &'static [usize],
) -> Workload {
    let who = match op {
        Insert | Load => Who::Bounded,
        _ => Who::All,
    };
    Workload { name, quick, what: What::Calls { op, data, keys, skew, threads, who } }
}

const fn other(name: &'static str, what: What) -> Workload {
    Workload { name, quick: true, what }
}

const K: u64 = 1_000;
const M: u64 = 1_000_000;

/// The hits of the first line, by others.
const fn hits_of(who: Who) -> What {
    What::Calls { op: Read, data: Numbers, keys: K, skew: Zipf, threads: &[1, 2], who }
}

#[rustfmt::skip]
pub(crate) const TABLE: &[Workload] = &[
    calls("hit 64 zipf",           true,  Read,      Numbers,   (64, Zipf),         &[1]),
    calls("hit 1k zipf",           true,  Read,      Numbers,   (K, Zipf),          &[1, 2, 4, 16, 64]),
    calls("hit 1k uniform",        false, Read,      Numbers,   (K, Uniform),       &[1, 2]),
    calls("hit 100k zipf",         true,  Read,      Numbers,   (100 * K, Zipf),    &[1, 2]),
    calls("hit 100k uniform",      false, Read,      Numbers,   (100 * K, Uniform), &[1]),
    calls("hit 1M zipf",           false, Read,      Numbers,   (M, Zipf),          &[1, 2]),
    calls("hit 1M uniform",        false, Read,      Numbers,   (M, Uniform),       &[1]),
    calls("hit 1k zipf String",    true,  Read,      Strings,   (K, Zipf),          &[1, 2]),
    calls("hit 100k zipf String",  false, Read,      Strings,   (100 * K, Zipf),    &[1]),
    calls("hit 1k zipf Arc256",    false, Read,      Shared,    (K, Zipf),          &[1, 2]),
    calls("hit 100k zipf Arc256",  true,  Read,      Shared,    (100 * K, Zipf),    &[1, 2]),
    calls("hit 1k zipf 1KiB",      true,  Read,      Kilobytes, (K, Zipf),          &[1, 2]),
    calls("one key",               true,  Read,      Numbers,   (1, One),           &[1, 2, 4, 16]),
    calls("one key Arc256",        false, Read,      Shared,    (1, One),           &[1, 2]),
    calls("95/5 100k zipf",        true,  Mixed(5),  Numbers,   (100 * K, Zipf),    &[1, 2, 16]),
    calls("50/50 100k zipf",       true,  Mixed(50), Numbers,   (100 * K, Zipf),    &[1, 2, 16]),
    calls("insert at capacity 10k", true, Insert,    Numbers,   (10 * K, One),      &[1, 2]),
    calls("load at capacity 10k",   true, Load,      Numbers,   (10 * K, One),      &[1, 2]),
    calls("set 100k zipf",         true,  Set,       Numbers,   (100 * K, Zipf),    &[1, 2, 4, 16, 64]),
    other("default hit 1k zipf",   hits_of(Who::ByDefault)),
    other("async hit 1k zipf",     hits_of(Who::Tasks)),
    other("stale hit 1k zipf",     What::Stale),
    other("latency",               What::Latency),
    other("memory",                What::Memory),
    other("allocations",           What::Allocations),
    other("trace",                 What::Traces),
    other("stampede",              What::Stampede),
];

/// What a run is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) quick: bool,
}

impl Plan {
    /// The threads of a line: `--quick` leaves out what takes longest.
    pub(crate) fn threads(self, threads: &[usize]) -> Vec<usize> {
        threads.iter().copied().filter(|n| !self.quick || matches!(n, 1 | 2 | 16)).collect()
    }

    /// In how many processes, one after the other, a line is measured. For reads beyond the processor's caches it
    /// matters where in memory a candidate came to lie, and who comes first gets what others left: each process
    /// fills them in an order of its own.
    pub(crate) fn stands(self, what: What) -> usize {
        match what {
            What::Calls { op: Read, keys, .. } if is_large(keys) && !self.quick => 3,
            _ => 1,
        }
    }
}

/// Whether so many keys are more than the processor's caches hold.
pub(crate) fn is_large(keys: u64) -> bool {
    keys >= 100 * K
}

/// The name of a block: the line's, and on how many threads.
pub(crate) fn block_name(line: &str, threads: usize) -> String {
    format!("{line} t{threads}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_reads_are_measured_three_times_but_in_a_quick_run() {
        let named = |name| TABLE.iter().find(|it| it.name == name).unwrap().what;
        for (line, stands) in [("hit 1k zipf", 1), ("hit 1M zipf", 3), ("set 100k zipf", 1)] {
            assert_eq!(Plan { quick: false }.stands(named(line)), stands, "{line}");
            assert_eq!(Plan { quick: true }.stands(named(line)), 1, "{line}");
        }
    }

    #[test]
    fn no_two_lines_have_the_same_name() {
        for (at, line) in TABLE.iter().enumerate() {
            assert!(TABLE[..at].iter().all(|it| it.name != line.name), "{}", line.name);
        }
    }
}
