//! Walking through the entries, one home bucket's keys at a time.

use std::fmt;
use std::hash::RandomState;
use std::iter::FusedIterator;

use crate::cache::Cache;
use crate::core::Core;
use crate::error::BoxError;
use crate::panics::{beside, drop_each};
use crate::policy::Ttl;
use crate::snapshot::Snapshot;
use crate::sync::Arc;

impl<K, V, E, S> Cache<K, V, E, S> {
    /// Calls `f` with every servable entry and its time left, stale ones too, until it says `false`.
    ///
    /// No key twice, and nothing that is past its windows by the time it is shown. Blocks nobody, and `f`
    /// may call the cache: what is set or deleted meanwhile may or may not be seen. Goes through the
    /// whole table, empty parts too. The Go module's `Range`.
    ///
    /// ```
    /// # use lastcache::Cache;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache: Cache<u32, u32> = Cache::builder().build()?;
    /// cache.set(1, 10);
    /// cache.set(2, 20);
    /// let mut sum = 0;
    /// cache.range(|_key, value, _ttl| {
    ///     sum += value;
    ///     true
    /// });
    /// assert_eq!(sum, 30);
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "for_each")]
    pub fn range(&self, mut f: impl FnMut(&K, &V, Ttl) -> bool)
    where
        K: Eq,
    {
        for entry in self.iter() {
            let (_entry, goes_on) =
                beside(entry, |entry| f(entry.key(), entry.value(), entry.ttl()));
            if !goes_on {
                return;
            }
        }
    }

    /// The servable entries, as [`range`](Cache::range) visits them, at the same cost.
    ///
    /// ```
    /// # use lastcache::Cache;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache: Cache<u32, u32> = Cache::builder().build()?;
    /// cache.set(1, 10);
    /// let entry = cache.iter().next().expect("one entry");
    /// assert_eq!((entry.key(), entry.value()), (&1, &10));
    /// # Ok(())
    /// # }
    /// ```
    pub fn iter(&self) -> Iter<'_, K, V, E, S> {
        Iter { core: &self.core, home: 0, group: Vec::new().into_iter() }
    }
}

impl<'a, K: Eq, V, E, S> IntoIterator for &'a Cache<K, V, E, S> {
    type Item = Entry<K, V, E>;
    type IntoIter = Iter<'a, K, V, E, S>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One entry met on the way through a cache: it stays what it was, whatever becomes of the key.
///
/// ```
/// use std::time::Duration;
/// use lastcache::{Cache, ManualClock, Ttl};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache: Cache<u32, &str> = Cache::builder().clock(ManualClock::new()).build()?;
/// cache.set(1, "one");
/// let entry = cache.iter().next().expect("one entry");
/// cache.delete(&1);
/// assert_eq!((entry.key(), entry.value()), (&1, &"one"));
/// assert_eq!(entry.ttl(), Ttl::Left(Duration::from_secs(60)));
/// # Ok(())
/// # }
/// ```
pub struct Entry<K, V, E = BoxError> {
    snapshot: Arc<Snapshot<K, V, E>>,
    ttl: Ttl,
}

impl<K, V, E> Entry<K, V, E> {
    /// The key.
    pub fn key(&self) -> &K {
        &self.snapshot.key
    }

    /// The value.
    pub fn value(&self) -> &V {
        self.snapshot.value()
    }

    /// How long it was still fresh when it was shown, or for how long it had been stale.
    pub fn ttl(&self) -> Ttl {
        self.ttl
    }
}

impl<K: fmt::Debug, V: fmt::Debug, E> fmt::Debug for Entry<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("key", self.key())
            .field("value", self.value())
            .field("ttl", &self.ttl)
            .finish()
    }
}

/// The entries of a cache; see [`Cache::iter`](crate::Cache::iter). Collects one bucket's keys at a time.
///
/// ```
/// use lastcache::Cache;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache: Cache<u32, u32> = Cache::builder().build()?;
/// (0..100).for_each(|n| _ = cache.set(n, n * n));
/// for entry in &cache {
///     if entry.key() % 2 == 1 {
///         cache.delete(entry.key()); // it holds up nobody, its own loop neither
///     }
/// }
/// assert_eq!(cache.iter().map(|entry| entry.value() % 2).sum::<u32>(), 0);
/// assert_eq!(cache.len(), 50);
/// # Ok(())
/// # }
/// ```
#[must_use = "an iterator does nothing until it is asked"]
pub struct Iter<'a, K, V, E = BoxError, S = RandomState> {
    core: &'a Core<K, V, E, S>,
    home: usize,
    group: std::vec::IntoIter<Arc<Snapshot<K, V, E>>>,
}

impl<K: Eq, V, E, S> Iterator for Iter<'_, K, V, E, S> {
    type Item = Entry<K, V, E>;

    fn next(&mut self) -> Option<Entry<K, V, E>> {
        let core = self.core;
        loop {
            for snapshot in self.group.by_ref() {
                // The clock anew: time may have passed since the group was collected.
                let now = core.clock.now();
                if snapshot.servable(core.table.late(), now) {
                    return Some(Entry { ttl: snapshot.ttl(now), snapshot });
                }
            }
            if self.home == core.table.buckets() {
                return None;
            }
            self.group = core.table.group(self.home, core.clock.now()).into_iter();
            self.home += 1;
        }
    }
}

impl<K, V, E, S> Drop for Iter<'_, K, V, E, S> {
    fn drop(&mut self) {
        // Each may be the last to hold its value, which may panic as it goes.
        drop_each(self.group.by_ref());
    }
}

impl<K: Eq, V, E, S> FusedIterator for Iter<'_, K, V, E, S> {}

impl<K, V, E, S> fmt::Debug for Iter<'_, K, V, E, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").finish_non_exhaustive()
    }
}
