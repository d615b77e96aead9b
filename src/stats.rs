//! Counters that cost a hit no shared write.
//!
//! Sixty-four cells, each leased to one live thread of the process, which adds to it by a plain load
//! and store; threads beyond that, and the first count of each, share one more cell by
//! read-modify-writes. A cell's count survives its thread: the next owner goes on from it.

use std::cell::Cell;

use crate::sync::CachePadded;
use crate::sync::atomic::{AtomicU64, Ordering::*};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident => $variant:ident,)*) => {
        /// What a cache has done so far.
        ///
        /// Each number is exact once the threads that caused it are at rest; while they are not, numbers may
        /// be seen at slightly different moments. At rest `hits + stale_hits + misses` is the number of calls of
        /// the `get` family. A call that ends in a panic of the key's own code or of a destructor may be counted in
        /// `evictions` only.
        ///
        /// ```
        /// use lastcache::Cache;
        /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
        /// let cache: Cache<u32, u32> = Cache::builder().build()?;
        /// cache.get(&1, |_| Ok(10))?;
        /// cache.get(&1, |_| Ok(20))?;
        /// let stats = cache.stats();
        /// assert_eq!((stats.misses, stats.loads, stats.hits), (1, 1, 1));
        /// # Ok(())
        /// # }
        /// ```
        #[non_exhaustive]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
            /// Servable values removed for room.
            pub evictions: u64,
        }

        #[derive(Clone, Copy)]
        pub(crate) enum Count { $($variant,)* }

        const COUNTS: usize = [$(Count::$variant),*].len();

        impl Counters {
            /// With the evictions, which the table counts.
            pub(crate) fn read(&self, evictions: u64) -> Stats {
                Stats { $($name: self.sum(Count::$variant),)* evictions }
            }
        }
    };
}

counters! {
    /// Answered with a fresh value that was there.
    hits => Hits,
    /// Answered at once with a stale value: while it is revalidated, in back-off, or where no refresh can be
    /// started (`skipped`, or the cache closed).
    stale_hits => StaleHits,
    /// Everything else: led, joined, fell back, failed.
    misses => Misses,
    /// Fetches that returned a value, and whose `weigher` and `lifetime` did not panic.
    loads => Loads,
    /// Fetches that failed, panicked ones included.
    failures => Failures,
    /// Fetches, or hooks that judge their results, that panicked.
    panics => Panics,
    /// Waits for another caller's load; a call that has to start over may count several.
    joins => Joins,
    /// Background refreshes that began, also an async one whose fetch a `close` left unpolled.
    refreshes => Refreshes,
    /// Background refreshes that had to wait for a permit.
    queued => Queued,
    /// Stale reads that could start no refresh because the queue was full.
    skipped => Skipped,
    /// Loads whose value was not stored because a `set`, `delete` or `clear` came first.
    late_loads => LateLoads,
    /// Values that found no room: too heavy, or nothing could be evicted for them.
    not_stored => NotStored,
    /// Fetches run outside the cache because no slot could be had.
    uncached => Uncached,
}

/// Cells that one live thread owns each.
const OWNED: usize = 64;
/// The cell that all other threads share.
const SHARED: usize = OWNED;

type Row = [AtomicU64; COUNTS];

/// The counters of one cache.
pub(crate) struct Counters(Box<[CachePadded<Row>; OWNED + 1]>);

impl Counters {
    pub(crate) fn new() -> Self {
        let row = || CachePadded::new(std::array::from_fn(|_| AtomicU64::new(0)));
        Counters(Box::new(std::array::from_fn(|_| row())))
    }

    #[inline]
    pub(crate) fn add(&self, count: Count) {
        if let Some(own) = self.0[..OWNED].get(lease::known()) {
            // Relaxed: counts publish nothing. Load and store: no other live thread writes this cell.
            let cell = &own[count as usize];
            cell.store(cell.load(Relaxed).wrapping_add(1), Relaxed);
        } else {
            self.add_first_or_shared(count);
        }
    }

    /// As `add`, when what is returned is dropped.
    #[inline]
    pub(crate) fn due(&self, count: Count) -> Due<'_> {
        Due(self, count)
    }

    /// A thread's first count, and all of a thread that finds no cell.
    #[cold]
    fn add_first_or_shared(&self, count: Count) {
        lease::choose();
        // Relaxed: as above.
        self.0[SHARED][count as usize].fetch_add(1, Relaxed);
    }

    fn sum(&self, count: Count) -> u64 {
        self.0.iter().fold(0, |sum, row| sum.wrapping_add(row[count as usize].load(Relaxed)))
    }
}

/// One more, counted when this is dropped.
#[must_use]
pub(crate) struct Due<'a>(&'a Counters, Count);

impl Drop for Due<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.add(self.1);
    }
}

/// Which cell is the current thread's.
mod lease {
    use super::*;
    use crate::sync::thread_local;

    /// A bit for every cell that a live thread owns.
    static TAKEN: AtomicU64 = AtomicU64::new(0);

    thread_local! {
        /// Needs no destructor, so it can be read as long as the thread lives.
        static MINE: Cell<usize> = const { Cell::new(OWNED) };
        static RETURN: Return = const { Return(Cell::new(0)) };
    }

    /// Gives the cell back, by its bit, when the thread ends; what that counts later goes to the shared one.
    struct Return(Cell<u64>);

    impl Drop for Return {
        fn drop(&mut self) {
            let _ = MINE.try_with(|mine| mine.set(OWNED));
            let own = self.0.get();
            // Release: hands what this thread counted to the next owner.
            let taken = TAKEN.fetch_and(!own, Release);
            debug_assert_eq!(taken & own, own, "the cell was this thread's alone");
        }
    }

    /// The thread's cell, or none of the owned ones if it has none.
    #[inline]
    pub(super) fn known() -> usize {
        MINE.try_with(Cell::get).unwrap_or(OWNED)
    }

    /// Chooses a cell for the thread to count in from now on, if one is free.
    pub(super) fn choose() {
        // Only a thread that will run the destructor may own a cell.
        let returns = RETURN.try_with(|_| ()).is_ok();
        let free = |taken: u64| Some(taken | taken.checked_add(1).filter(|_| returns)?);
        // Acquire: receives what the last owner counted.
        let Ok(taken) = TAKEN.fetch_update(Acquire, Relaxed, free) else { return };
        let mine = taken.trailing_ones() as usize;
        let _ = RETURN.try_with(|it| it.0.set(1 << mine));
        let _ = MINE.try_with(|it| it.set(mine));
    }
}
