//! A handle that keeps no cache alive.

use std::fmt;
use std::hash::RandomState;
use std::panic::{RefUnwindSafe, UnwindSafe};

use crate::cache::Cache;
use crate::core::Core;
use crate::error::BoxError;
use crate::sync::{Arc, Weak};

/// A handle that does not keep its cache alive: what a hook, an executor or a value should hold, since the
/// cache holds those.
///
/// A [`Cache`] handle in one of them is a circle: the last handle is never dropped, so the cache is never closed, and
/// nothing in it freed. Once only weak handles are left, the cache is freed, but for some hundred bytes.
///
/// ```
/// use std::sync::{Arc, OnceLock};
/// use lastcache::{Cache, WeakCache};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // A key whose fetch fails takes its index along.
/// let own = Arc::new(OnceLock::<WeakCache<String, u32>>::new());
/// let hooks_own = Arc::clone(&own);
/// let cache: Cache<String, u32> = Cache::builder()
///     .on_error(move |key: &String, _| {
///         if let Some(cache) = hooks_own.get().and_then(WeakCache::upgrade) {
///             cache.delete(&format!("{key}/index"));
///         }
///     })
///     .build()?;
/// own.set(cache.downgrade()).expect("set once");
///
/// cache.set("a/index".to_owned(), 1);
/// assert!(cache.get("a", |_| Err("down".into())).is_err());
/// assert!(!cache.contains_key("a/index"));
/// drop(cache);
/// assert!(own.get().expect("set above").upgrade().is_none());
/// # Ok(())
/// # }
/// ```
pub struct WeakCache<K, V, E = BoxError, S = RandomState> {
    core: Weak<Core<K, V, E, S>>,
}

impl<K, V, E, S> WeakCache<K, V, E, S> {
    /// A handle on the cache, unless the last one was dropped.
    ///
    /// Lock-free. The new handle keeps the cache alive, and may be the last one to be dropped.
    ///
    /// ```
    /// # use lastcache::Cache;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache: Cache<u32, u32> = Cache::builder().build()?;
    /// let weak = cache.downgrade();
    /// cache.set(1, 10);
    /// assert_eq!(weak.upgrade().expect("it is there").peek(&1).as_deref(), Some(&10));
    /// # Ok(())
    /// # }
    /// ```
    pub fn upgrade(&self) -> Option<Cache<K, V, E, S>> {
        self.core.upgrade().map(|core| Cache { core })
    }
}

impl<K, V, E, S> Cache<K, V, E, S> {
    /// A handle that does not keep the cache alive.
    ///
    /// ```
    /// # use lastcache::Cache;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache: Cache<u32, u32> = Cache::builder().build()?;
    /// let weak = cache.downgrade();
    /// drop(cache);
    /// assert!(weak.upgrade().is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub fn downgrade(&self) -> WeakCache<K, V, E, S> {
        WeakCache { core: Arc::downgrade(&self.core) }
    }
}

impl<K, V, E, S> Clone for WeakCache<K, V, E, S> {
    fn clone(&self) -> Self {
        WeakCache { core: Weak::clone(&self.core) }
    }
}

impl<K, V, E, S> fmt::Debug for WeakCache<K, V, E, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakCache").finish_non_exhaustive()
    }
}

// As a `Cache`.
impl<K, V, E, S> UnwindSafe for WeakCache<K, V, E, S> {}
impl<K, V, E, S> RefUnwindSafe for WeakCache<K, V, E, S> {}
