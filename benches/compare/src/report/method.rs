//! How it was measured, in the report's words.

pub(crate) const METHOD: &[&str] = &[
    "Every line of the table of workloads runs in a process of its own; reads of 100,000 keys and more, in three, one after the other. \
     Within it all candidates stand ready at once, each filled in random order, and they in an order of the process's own: who is filled first gets the \
     memory that others left in pieces, which at a million keys can be a quarter of a hit. They are measured in interleaved rounds: each round measures each candidate once, in an \
     order of its own, all along the same stretch of a walk over the keys, which begins elsewhere in every round. Calls that warm up come \
     before: four for each key, at least 8,192 a thread and at most 400,000 in all. The first round is forgotten. A figure is the \
     median of the rounds, its spread the first and third quartile. Ratios are taken round by round.",
    "No more threads than processors: each stays on one of its own, and a measurement in which they did not run side by side for \
     95 % of its time is repeated. More threads: they run where the system puts them.",
    "All candidates hash with foldhash's FixedState (TinyUFO cannot: ahash; cached hashes with it for the shard, and in it with ahash), \
     hold the same keys and values, and are asked to honour a TTL: their own if they have one, else a deadline beside the value, \
     compared with the kernel's coarse monotonic clock on every read. The workload `default hit` asks \
     each for its own hasher and no TTL. `async hit` asks three of those that answer tasks, by futures that are ready at the first \
     poll: lastcache and quick_cache by their load-or-get, moka by its `get`, which does less. quick_cache's plain `get` waits for no load \
     either, so a task may call that: then its rows of threads count for tasks too.",
    "Every candidate is built for exactly the keys of the workload, or for the least more (2 % to 8 \
     times) with which it keeps them all: sharded caches evict before they are full. Time per operation \
     is what each thread sees: the time of all threads by all their calls, the measuring loop included, which is a row of its own. Where \
     threads take turns, to wait for one's turn is part of it.",
    "Memory and allocations are counted by a global allocator that passes everything on to the system's; \
     it counts in every workload, for all candidates alike. Bytes are those asked for: glibc's allocator adds 8 to each piece, and \
     rounds up to a multiple of 16.",
    "In the stampede all callers wait at a gate; the time runs from its opening until the last one has \
     its value, so it contains waking thousands of threads. foyer-memory's single flight is for async \
     callers only, so here its callers fetch for themselves.",
    "Hit ratios are of one thread that reads each key in turn and stores what is missing, each cache in one shard if it lets one choose; \
     moka, mini-moka and fibre_cache do their maintenance every 16 accesses.",
    "Values of 1 KiB are copied out by the caches whose `get` clones; their documentation advises an `Arc` for such, which is what the \
     workloads of `Arc256` hold.",
];

/// What the floors are, beside the aims.
pub(crate) const FLOORS: &str = "The first floor of a hit is what would be left of the figure if an oracle kept a place of its \
    own for every hash: clock, hash, the read of the value that it leads to through arc-swap (through its `Cache` for a \
    `Reader`), one comparison of the key, the deadline. No table to search, no counters, no use bits. Of a \
    percentile it is that beside a writer, which publishes and does nothing else. Where this floor misses an aim too, nothing that publishes \
    through arc-swap can meet it. The second is the same with a table in the oracle's place, of lastcache's shape and load and with \
    values in as many bytes, and nothing else: what it misses no lastcache of this shape can reach.";

/// What is known to distort a run.
pub(crate) const LIMITS: &str = "Absolute times move between machines and with whatever else runs there; ratios \
    of one run hold if the processors were free. Threads that take turns on one processor do not contend: on \
    more threads than processors a lock-based candidate looks better than on a larger machine.";
