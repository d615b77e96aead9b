//! The cache's handle, and every call that neither fetches nor waits.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Duration;

use crate::core::Core;
use crate::error::BoxError;
use crate::panics::beside;
use crate::policy::Ttl;
use crate::served::{Hold, Served};
use crate::stats::Stats;
use crate::sync::Arc;
use crate::table::Fate;

/// A lock-free concurrent cache of loaded values; see the [crate's page](crate) for what it does.
///
/// A handle: clones share the cache, and the last one dropped closes it and frees all that nobody is
/// served any more. What the cache itself holds, a hook or a value, should hold a [`WeakCache`](crate::WeakCache).
/// It is `Send + Sync` and needs no runtime. `E` is the error of the fetches, `S` the hasher: what is not the
/// default is told to the builder, by [`error_type`](crate::Builder::error_type) and [`hasher`](crate::Builder::hasher).
///
/// ```
/// use lastcache::Cache;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache: Cache<String, usize> = Cache::builder().capacity(1_000).build()?;
/// assert_eq!(cache.get("four", |key| Ok(key.len()))?, 4);
/// assert_eq!(cache.get("four", |_| unreachable!("it is fresh"))?, 4);
/// # Ok(())
/// # }
/// ```
pub struct Cache<K, V, E = BoxError, S = RandomState> {
    pub(crate) core: Arc<Core<K, V, E, S>>,
}

impl<K, V, E, S> Cache<K, V, E, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    /// Whatever servable value is there, stale or fresh: with the default windows, any. Never fetches, never
    /// waits.
    ///
    /// Counts neither as a hit nor as a use: in a cache that is read by `peek` alone, eviction does not know
    /// what is asked for. Any call of the `get` family is a use, also one that never runs its fetch.
    ///
    /// # Panics
    ///
    /// Where the key's `Hash` or `Eq` does.
    ///
    /// ```
    /// # use lastcache::Cache;
    /// let cache: Cache<u32, u32> = Cache::builder().build()?;
    /// assert!(cache.peek(&1).is_none());
    /// cache.set(1, 10);
    /// assert_eq!(cache.peek(&1).as_deref(), Some(&10));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn peek<Q>(&self, key: &Q) -> Option<Served<K, V, E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let (held, now) = self.core.servable(key)?;
        Some(Served::found(Hold::as_found(held), now))
    }

    /// Publishes a value at once; whether it was kept. Never waits for a flight.
    ///
    /// A load of the key that is under way is late from here on: its callers are woken with this
    /// value, its own is not stored. A value that finds no room (too heavy, or nothing can be evicted
    /// for it) is given to those callers and not kept; the older value of its key goes all the same. A `set` does not
    /// count as a use of its key, as eviction goes by it; see [`peek`](Cache::peek).
    ///
    /// # Panics
    ///
    /// Where `Hash`, `Eq`, `Clone` of the key, `weigher` or `lifetime` do; what is there of the key has not changed then.
    ///
    /// # Cost
    ///
    /// One allocation where the key has a value, two where it has none, and one more where `lifetime`
    /// gives it a stale window of its own.
    ///
    /// ```
    /// # use lastcache::Cache;
    /// let cache: Cache<&str, u32> = Cache::builder().build()?;
    /// assert!(cache.set("a", 1));
    /// assert_eq!(cache.get(&"a", |_| Ok(2))?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "insert")]
    pub fn set(&self, key: K, value: V) -> bool {
        let hashed = self.core.hash(&key);
        let (key, draft) = beside(key, |key| self.core.draft(hashed.upper(), key, value));
        let now = draft.published;
        self.core.set(hashed, key, draft, now) == Fate::Stored
    }

    /// Takes a key out; whether something servable was there. Never waits for a flight.
    ///
    /// A load under way is detached: callers that joined it get its result, it is not stored, and
    /// callers from now on start a new one. A refresh that waits to be started is given up when its turn comes.
    ///
    /// # Panics
    ///
    /// Where the key's `Hash` or `Eq` does.
    ///
    /// ```
    /// # use lastcache::Cache;
    /// let cache: Cache<u32, u32> = Cache::builder().build()?;
    /// cache.set(1, 10);
    /// assert!(cache.delete(&1));
    /// assert!(!cache.delete(&1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "remove")]
    #[doc(alias = "invalidate")]
    pub fn delete<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.core.table.delete(self.core.hash(key), key, self.core.clock.now())
    }

    /// How long a key is still fresh, or for how long it has been stale; `None` when there is nothing
    /// servable.
    ///
    /// # Panics
    ///
    /// Where the key's `Hash` or `Eq` does.
    ///
    /// ```
    /// # use lastcache::{Cache, ManualClock, Ttl};
    /// # use std::time::Duration;
    /// let clock = ManualClock::new();
    /// let cache: Cache<u32, u32> = Cache::builder().clock(&clock).build()?;
    /// cache.set(1, 10);
    /// clock.advance(Duration::from_secs(45));
    /// assert_eq!(cache.ttl(&1), Some(Ttl::Left(Duration::from_secs(15))));
    /// assert_eq!(cache.ttl(&2), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ttl<Q>(&self, key: &Q) -> Option<Ttl>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let (held, now) = self.core.servable(key)?;
        Some(held.ttl(now))
    }

    /// Whether something servable is there, stale or fresh: with the default windows, anything.
    ///
    /// # Panics
    ///
    /// Where the key's `Hash` or `Eq` does.
    ///
    /// ```
    /// # use lastcache::Cache;
    /// let cache: Cache<String, u32> = Cache::builder().build()?;
    /// cache.set("a".to_owned(), 1);
    /// assert!(cache.contains_key("a") && !cache.contains_key("b"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn contains_key<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.core.servable(key).is_some()
    }
}

impl<K, V, E, S> Cache<K, V, E, S> {
    /// How many entries hold a value, those included that are past every window and not yet freed
    /// (see [`purge`](Cache::purge)).
    ///
    /// Never more than [`capacity`](Cache::capacity), not even for a moment. One load.
    ///
    /// ```
    /// # use lastcache::Cache;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache: Cache<u32, u32> = Cache::builder().build()?;
    /// cache.set(1, 10);
    /// assert_eq!(cache.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn len(&self) -> usize {
        self.core.table.len()
    }

    /// Whether no entry holds a value.
    ///
    /// ```
    /// # use lastcache::Cache;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache: Cache<u32, u32> = Cache::builder().build()?;
    /// assert!(cache.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The most entries that hold a value at once, as built.
    ///
    /// ```
    /// # use lastcache::Cache;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache: Cache<u32, u32> = Cache::builder().build()?;
    /// assert_eq!(cache.capacity(), 10_000);
    /// # Ok(())
    /// # }
    /// ```
    pub fn capacity(&self) -> usize {
        self.core.table.capacity()
    }

    /// What all values weigh together; 0 without a `weigher`.
    ///
    /// ```
    /// # use lastcache::Cache;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache: Cache<u32, String> =
    ///     Cache::builder().max_weight(100).weigher(|_, v: &String| v.len() as u32).build()?;
    /// cache.set(1, "seven!!".to_owned());
    /// assert_eq!(cache.weight(), 7);
    /// # Ok(())
    /// # }
    /// ```
    pub fn weight(&self) -> u64 {
        self.core.table.weight()
    }

    /// Takes every key out, as [`delete`](Cache::delete) would one by one: loads under way are
    /// detached, and a key set meanwhile may stay. Blocks nobody. Goes through the whole table.
    ///
    /// Destructors that panic keep no other key from going; the first panic goes on when all are gone.
    ///
    /// ```
    /// # use lastcache::Cache;
    /// let cache: Cache<u32, u32> = Cache::builder().build()?;
    /// cache.set(1, 10);
    /// cache.clear();
    /// assert!(cache.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn clear(&self) {
        self.core.table.clear();
    }

    /// Frees every value that is past its windows and not being loaded anew; how many there were. Blocks nobody, and
    /// evicts nothing. Goes through the whole table.
    ///
    /// Nothing is served past its windows in any case, and such values make room before all others. But below
    /// capacity they stay, until their key is written or loaded anew: this is for who would rather have the memory.
    /// With the default windows, which have no end, nothing is ever gone.
    ///
    /// Destructors that panic keep no other value from going; the first panic goes on when all are gone.
    ///
    /// ```
    /// # use lastcache::{Cache, ManualClock};
    /// # use std::time::Duration;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let clock = ManualClock::new();
    /// let cache: Cache<u32, u32> =
    ///     Cache::builder().stale_while_revalidate(Duration::ZERO).clock(&clock).build()?;
    /// cache.set(1, 10);
    /// clock.advance(Duration::from_secs(60));
    /// cache.set(2, 20);
    /// assert_eq!((cache.len(), cache.purge(), cache.len()), (2, 1, 1));
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "run_pending_tasks")]
    pub fn purge(&self) -> usize {
        self.core.table.purge(self.core.clock.now())
    }

    /// What the cache has done so far. Costs a walk over the 65 cells in which threads count.
    ///
    /// ```
    /// # let cache = lastcache::Cache::<u32, u32>::builder().build().expect("the defaults");
    /// assert_eq!((cache.get(&1, |_| Ok(10)).ok(), cache.stats().misses), (Some(10), 1));
    /// ```
    pub fn stats(&self) -> Stats {
        self.core.counters.read(self.core.table.evictions())
    }

    /// Stops background refresh: none is handed out any more, queued ones are dropped and resolve to
    /// [`Error::Closed`](crate::Error::Closed). Jobs that an executor has and has not begun are left to it. Of those that
    /// have begun, blocking ones run to their end; async ones are woken and cancelled, and resolve to the same.
    ///
    /// Reads, `set` and foreground fetches go on as ever; `get_swr` serves stale values in their
    /// windows unrefreshed. It also ends the threads' hot sets, where the builder was asked for
    /// [those](crate::Builder::thread_hot_set). The Go module's `Context`, for what it was for.
    ///
    /// ```
    /// # use lastcache::Cache;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache: Cache<u32, u32> = Cache::builder().build()?;
    /// cache.close();
    /// assert!(cache.is_closed());
    /// assert_eq!(cache.get(&1, |_| Ok(10))?, 10);
    /// # Ok(())
    /// # }
    /// ```
    pub fn close(&self) {
        self.core.close();
    }

    /// As [`close`](Cache::close), and waits for the refreshes that run, and for the jobs that an executor holds and has
    /// not begun: whether all of them ended within `d` of real time. Called from inside one of them it waits in vain
    /// for `d`. It blocks its thread: a task should call `close`, or a runtime's thread for blocking work this.
    ///
    /// ```
    /// # use lastcache::Cache;
    /// # use std::time::Duration;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache: Cache<u32, u32> = Cache::builder().build()?;
    /// assert!(cache.close_timeout(Duration::from_secs(1)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn close_timeout(&self, d: Duration) -> bool {
        self.core.close();
        self.core.refresher.close_timeout(d)
    }

    /// Whether [`close`](Cache::close) was called on any handle.
    ///
    /// ```
    /// # use lastcache::Cache;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache: Cache<u32, u32> = Cache::builder().build()?;
    /// assert!(!cache.is_closed());
    /// # Ok(())
    /// # }
    /// ```
    pub fn is_closed(&self) -> bool {
        self.core.refresher.is_closed()
    }
}

impl<K, V, E, S> Clone for Cache<K, V, E, S> {
    fn clone(&self) -> Self {
        Cache { core: Arc::clone(&self.core) }
    }
}

impl<K, V, E, S> fmt::Debug for Cache<K, V, E, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("len", &self.core.table.len())
            .field("capacity", &self.core.table.capacity())
            .field("is_closed", &self.core.refresher.is_closed())
            .finish_non_exhaustive()
    }
}

// A panic of the user's leaves every entry whole, wherever it happens.
impl<K, V, E, S> UnwindSafe for Cache<K, V, E, S> {}
impl<K, V, E, S> RefUnwindSafe for Cache<K, V, E, S> {}
