//! How it was measured, in the report's words.

pub(crate) const METHOD: &[&str] = &[
    "Every line of the table of workloads runs in a process of its own. Within it all candidates stand \
     ready at once and are measured in interleaved rounds: each round measures each candidate once, in an \
     order that turns by one, after 8,192 calls that warm up; the first round is forgotten. A figure is the median of the \
     rounds, its spread the first and third quartile. Ratios are taken round by round.",
    "All candidates hash with foldhash's FixedState (TinyUFO cannot: ahash), hold the same keys and \
     values, and are asked to honour a TTL: their own if they have one, else a deadline beside the value, \
     compared with the kernel's coarse monotonic clock on every read. The workload `default hit` asks \
     each for its own hasher and no TTL, and `async hit` those that answer tasks by these calls: futures \
     that are ready at the first poll.",
    "Every candidate is built for exactly the keys of the workload, or for the least more (2 % to 8 \
     times) with which it keeps them all: sharded caches evict before they are full. Time per operation \
     is what each thread sees: the time of all threads by all their calls. It contains the measuring \
     loop, which is a row of its own.",
    "Memory and allocations are counted by a global allocator that passes everything on to the system's; \
     it counts in every workload, for all candidates alike. Bytes are those asked for.",
    "In the stampede all callers wait at a gate; the time runs from its opening until the last one has \
     its value, so it contains waking thousands of threads. foyer-memory's single flight is for async \
     callers only, so here its callers fetch for themselves.",
    "Hit ratios are of one thread that reads each key in turn and stores what is missing; moka, mini-moka \
     and fibre_cache do their maintenance every 16 accesses.",
];

/// What a floor is, beside the aims.
pub(crate) const FLOOR: &str = "The floor of a hit is what would be left of the figure if an oracle told where each \
    value is: clock, hash, the read of the value through arc-swap (through its `Cache` for a `Reader`), one comparison \
    of the key, the deadline. No table to search, no counters, no use bits. Of a \
    percentile it is that beside a writer, which publishes and does nothing else. What misses its aim is out of reach where the floor misses it too.";

/// What is known to distort a run.
pub(crate) const LIMITS: &str = "Absolute times move between machines and with whatever else runs there; ratios \
    of one run hold if the processors were free. Threads that take turns on one processor do not contend: on \
    more threads than processors a lock-based candidate looks better than on a larger machine.";
