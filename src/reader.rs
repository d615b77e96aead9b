//! The reader: a thread's own handle, whose hits are a comparison.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::panic::{RefUnwindSafe, UnwindSafe};

use crate::answer::Answer;
use crate::apart::apart;
use crate::cache::Cache;
use crate::core::Core;
use crate::error::{BoxError, Error};
use crate::hot::HotSet;
use crate::panics::{beside, without};
use crate::served::{Hold, Served, Why};
use crate::snapshot::Snapshot;
use crate::stats::Count;
use crate::sync::Arc;
use crate::table::Hashed;
use crate::time::Tick;

/// Spots of a [`Cache::reader`]: 16 KiB.
const SPOTS: usize = 256;

/// One thread's handle on a cache, with a small copy of what it reads most: its *hot set*.
///
/// The calls and what they mean are the [`Cache`]'s: a `set`, `delete`, `clear`, eviction or expiry is
/// seen by the next read through it, since every read compares its copy with what is published. Calls
/// take `&mut self`, so each thread makes its own; it is `Send`. All other calls are at
/// [`cache`](Reader::cache), and like any handle it keeps the cache open. As the cache's blocking calls,
/// [`get`](Cache::get) and its like here are not for tasks.
///
/// # What it holds on to
///
/// At most one value for each spot of its hot set: the one that was published when that spot was read
/// last. One that was replaced, deleted or evicted since lives on until the spot is read again, another
/// key takes it, or [`forget`](Reader::forget) or the reader's drop lets go of it; this thread then drops it. So
/// a reader that rests for long should forget.
///
/// # Cost
///
/// A hit of the hot set: the hash, three cache lines (spot, bucket, snapshot), and a clock read; no
/// read-modify-write for [`get`](Reader::get) and [`get_with`](Reader::get_with), one clone of an `Arc`,
/// whose count all threads share, for what hands out a [`Served`]. Half to four fifths of a hit through the cache on one thread, by processor,
/// clock and hash included, as long as the spots in use fit the processor's first cache; beyond it the third line
/// eats what is saved. Every other read costs some nanoseconds more than through the cache. A key enters
/// the hot set when it is missed twice running at a spot whose own key is not read as often, which costs one
/// more look-up and two clones of an `Arc`. A spot is 64 bytes; nothing is allocated but by its making.
///
/// ```
/// use lastcache::Cache;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache: Cache<String, usize> = Cache::builder().build()?;
/// let mut reader = cache.reader();
/// for _ in 0..1_000 {
///     assert_eq!(reader.get("four", |key| Ok(key.len()))?, 4);
/// }
/// cache.set("four".to_owned(), 5);
/// assert_eq!(reader.get("four", |_| unreachable!("it was set"))?, 5);
/// assert_eq!((cache.stats().misses, cache.stats().hits), (1, 1_000));
/// # Ok(())
/// # }
/// ```
pub struct Reader<K, V, E = BoxError, S = RandomState> {
    /// Before the cache: who ends last frees the table at once.
    hot: HotSet<K, V, E>,
    cache: Cache<K, V, E, S>,
}

impl<K, V, E, S> Cache<K, V, E, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    /// A handle for one thread that reads the same keys again and again, with a hot set of 256 spots.
    ///
    /// ```
    /// # use lastcache::Cache;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache: Cache<u32, u32> = Cache::builder().build()?;
    /// let mut reader = cache.reader();
    /// assert_eq!(reader.get(&1, |_| Ok(10))?, 10);
    /// # Ok(())
    /// # }
    /// ```
    pub fn reader(&self) -> Reader<K, V, E, S> {
        self.reader_with(SPOTS)
    }

    /// As [`reader`](Cache::reader), with a hot set of this many spots. Of the keys of one spot, one at most is in the
    /// hot set, so give several spots for each key that is hot. With none it answers as the cache does.
    ///
    /// # Panics
    ///
    /// Where so many spots, of 64 bytes each, are more than can be addressed.
    ///
    /// ```
    /// # use lastcache::Cache;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache: Cache<u32, u32> = Cache::builder().build()?;
    /// cache.set(1, 10);
    /// let mut reader = cache.reader_with(4_096);
    /// assert_eq!(reader.peek(&1).as_deref(), Some(&10));
    /// # Ok(())
    /// # }
    /// ```
    pub fn reader_with(&self, spots: usize) -> Reader<K, V, E, S> {
        Reader { hot: HotSet::new(spots), cache: self.clone() }
    }
}

impl<K, V, E, S> Reader<K, V, E, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    /// As [`Cache::get`].
    ///
    /// # Errors
    ///
    /// As [`Cache::get`].
    ///
    /// # Panics
    ///
    /// As [`Cache::get`]; also where the destructor does of a value that the hot set held last.
    ///
    /// ```
    /// # use lastcache::Cache;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache: Cache<u32, String> = Cache::builder().build()?;
    /// assert_eq!(cache.reader().get(&7, |key| Ok(format!("value of {key}")))?, "value of 7");
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn get<Q, F>(&mut self, key: &Q, fetch: F) -> Result<V, Error<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        V: Clone,
        F: FnOnce(&K) -> Result<V, E>,
    {
        self.get_with(key, V::clone, fetch)
    }

    /// As [`Cache::get_with`].
    ///
    /// # Errors
    ///
    /// As [`Cache::get`].
    ///
    /// # Panics
    ///
    /// As [`get`](Reader::get), and where `read` does.
    ///
    /// ```
    /// # use lastcache::Cache;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache: Cache<u32, Vec<u8>> = Cache::builder().build()?;
    /// assert_eq!(cache.reader().get_with(&1, Vec::len, |_| Ok(vec![0; 512]))?, 512);
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn get_with<Q, F, R>(
        &mut self,
        key: &Q,
        read: impl FnOnce(&V) -> R,
        fetch: F,
    ) -> Result<R, Error<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        F: FnOnce(&K) -> Result<V, E>,
    {
        let hashed = self.cache.core.hash(key);
        match self.hit(hashed, key) {
            Some((s, _)) => {
                drop(fetch);
                Ok(read(s.value()))
            }
            None => self.missed_with(hashed, key, read, fetch),
        }
    }

    /// As [`Cache::get_stale`].
    ///
    /// # Errors
    ///
    /// As [`Cache::get`].
    ///
    /// # Panics
    ///
    /// As [`get`](Reader::get).
    ///
    /// ```
    /// # use lastcache::{Cache, State};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache: Cache<u32, u32> = Cache::builder().build()?;
    /// let served = cache.reader().get_stale(&1, |_| Ok(10))?;
    /// assert!(*served == 10 && matches!(served.state(), State::Fresh));
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn get_stale<Q, F>(&mut self, key: &Q, fetch: F) -> Result<Served<K, V, E>, Error<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        F: FnOnce(&K) -> Result<V, E>,
    {
        let hashed = self.cache.core.hash(key);
        match self.hit(hashed, key) {
            Some((s, now)) => Ok(without(Served::shared(s, now), fetch)),
            None => apart(|| self.missed(hashed, key, |core| core.load(hashed, key, fetch))),
        }
    }

    /// As [`Cache::get_swr`].
    ///
    /// # Errors
    ///
    /// As [`Cache::get`].
    ///
    /// # Panics
    ///
    /// As [`get`](Reader::get), and where the executor does.
    ///
    /// ```
    /// # use lastcache::{CallerRuns, Cache, ManualClock};
    /// # use std::time::Duration;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let clock = ManualClock::new();
    /// let cache: Cache<u32, u32> = Cache::builder().clock(&clock).executor(CallerRuns).build()?;
    /// let mut reader = cache.reader();
    /// cache.set(1, 10);
    /// clock.advance(Duration::from_secs(90));
    /// assert_eq!(*reader.get_swr(&1, |_| Ok(20))?, 10); // at once; refreshed behind it
    /// assert_eq!(*reader.get_swr(&1, |_| Ok(30))?, 20);
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn get_swr<Q, F>(&mut self, key: &Q, fetch: F) -> Result<Served<K, V, E>, Error<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        F: FnOnce(&K) -> Result<V, E> + Send + 'static,
    {
        let hashed = self.cache.core.hash(key);
        match self.hit(hashed, key) {
            Some((s, now)) => Ok(without(Served::shared(s, now), fetch)),
            None => apart(|| self.missed(hashed, key, |core| core.revalidate(hashed, key, fetch))),
        }
    }

    /// As [`Cache::peek`].
    ///
    /// ```
    /// # use lastcache::Cache;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache: Cache<u32, u32> = Cache::builder().build()?;
    /// let mut reader = cache.reader();
    /// assert!(reader.peek(&1).is_none());
    /// cache.set(1, 10);
    /// assert_eq!(reader.peek(&1).as_deref(), Some(&10));
    /// # Ok(())
    /// # }
    /// ```
    pub fn peek<Q>(&mut self, key: &Q) -> Option<Served<K, V, E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let core = &self.cache.core;
        let published = self.hot.published(core.hash(key), key);
        let now = core.clock.now();
        match published.filter(|s| s.servable(core.table.late(), now)) {
            Some(s) => {
                let why = if s.is_fresh(now) { Why::Fresh } else { Why::Stale };
                Some(Served::new(Hold::Shared(Arc::clone(s)), now, why, None))
            }
            None => self.cache.peek(key),
        }
    }

    /// The fresh value of a key, out of the hot set.
    #[inline(always)]
    fn hit<Q>(&mut self, hashed: Hashed, key: &Q) -> Option<(&Arc<Snapshot<K, V, E>>, Tick)>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let core = &self.cache.core;
        let hit = self.hot.hit(&core.table, &core.clock, hashed, key)?;
        core.counters.add(Count::Hits);
        Some(hit)
    }

    #[inline(never)]
    fn missed<Q>(
        &mut self,
        hashed: Hashed,
        key: &Q,
        load: impl FnOnce(&Arc<Core<K, V, E, S>>) -> Answer<K, V, E>,
    ) -> Answer<K, V, E>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let core = &self.cache.core;
        self.hot.missed(&core.table, hashed, key);
        match core.hit(hashed, key) {
            Some((held, now, _counted)) => {
                Ok(Served::hit(Hold::as_found(without(held, load)), now))
            }
            None => load(core),
        }
    }

    #[inline(never)]
    fn missed_with<Q, F, R>(
        &mut self,
        hashed: Hashed,
        key: &Q,
        read: impl FnOnce(&V) -> R,
        fetch: F,
    ) -> Result<R, Error<E>>
    where
        K: Borrow<Q>,
        Q: Eq + ToOwned<Owned = K> + ?Sized,
        F: FnOnce(&K) -> Result<V, E>,
    {
        let core = &self.cache.core;
        self.hot.missed(&core.table, hashed, key);
        match core.hit(hashed, key) {
            Some((held, _, _counted)) => {
                let held = without(held, fetch);
                let (held, value) = beside(held, |held| read(held.value()));
                drop(held);
                Ok(value)
            }
            None => core.load_with(hashed, key, read, fetch),
        }
    }
}

impl<K, V, E, S> Reader<K, V, E, S> {
    /// The cache it reads, for all other calls.
    ///
    /// ```
    /// # use lastcache::Cache;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let reader = Cache::<u32, u32>::builder().build()?.reader();
    /// reader.cache().set(1, 10);
    /// assert_eq!(reader.cache().len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn cache(&self) -> &Cache<K, V, E, S> {
        &self.cache
    }

    /// Lets go of every value that the hot set holds; it fills again with the reads that follow.
    ///
    /// ```
    /// # use lastcache::Cache;
    /// # use std::sync::Arc;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache: Cache<u32, Arc<str>> = Cache::builder().build()?;
    /// let value: Arc<str> = "large".into();
    /// cache.set(1, Arc::clone(&value));
    /// let mut reader = cache.reader();
    /// for _ in 0..3 {
    ///     reader.get_with(&1, |_| (), |_| unreachable!("it is fresh"))?;
    /// }
    /// cache.delete(&1);
    /// assert_eq!(Arc::strong_count(&value), 2); // here, and in the hot set
    /// reader.forget();
    /// assert_eq!(Arc::strong_count(&value), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn forget(&mut self) {
        self.hot.forget();
    }
}

// As a `Cache`; what it holds on to is what was published.
impl<K, V, E, S> UnwindSafe for Reader<K, V, E, S> {}
impl<K, V, E, S> RefUnwindSafe for Reader<K, V, E, S> {}

impl<K, V, E, S> fmt::Debug for Reader<K, V, E, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("spots", &self.hot.spots())
            .field("cache", &self.cache)
            .finish()
    }
}
