//! The three ways to ask for a page that are compared.

use std::sync::Arc;
use std::time::Duration;

use lastcache::{BackOff, Cache};

use crate::origin::{Origin, Page, TimedOut};
use crate::ttl_cache::TtlCache;

/// No page for this caller.
pub(crate) struct NoPage;

pub(crate) trait Front: Send + Sync {
    fn name(&self) -> &'static str;

    /// Asks for a page and returns the key that is written on it.
    fn get(&self, key: u64) -> Result<u64, NoPage>;
}

/// Every request goes to the origin.
pub(crate) struct NoCache {
    origin: Arc<Origin>,
}

impl NoCache {
    pub(crate) fn new(origin: Arc<Origin>) -> Self {
        Self { origin }
    }
}

impl Front for NoCache {
    fn name(&self) -> &'static str {
        "no cache"
    }

    fn get(&self, key: u64) -> Result<u64, NoPage> {
        let page = self.origin.fetch(key);
        page.map(|page| page.key).map_err(|TimedOut| NoPage)
    }
}

/// The plain cache: what is older than the TTL is fetched again by whoever asks.
pub(crate) struct TtlCached {
    origin: Arc<Origin>,
    cache: TtlCache,
}

impl TtlCached {
    pub(crate) fn new(origin: Arc<Origin>, ttl: Duration) -> Self {
        let cache = TtlCache::new(ttl);
        Self { origin, cache }
    }
}

impl Front for TtlCached {
    fn name(&self) -> &'static str {
        "TTL cache"
    }

    fn get(&self, key: u64) -> Result<u64, NoPage> {
        let page = self.cache.get(key, || self.origin.fetch(key));
        page.map(|page| page.key).map_err(|TimedOut| NoPage)
    }
}

/// The same TTL; past it, the old page at once while a new one is fetched in the background.
pub(crate) struct LastCache {
    origin: Arc<Origin>,
    cache: Cache<u64, Page, TimedOut>,
}

impl LastCache {
    pub(crate) fn new(origin: Arc<Origin>, ttl: Duration, keys: u64) -> Self {
        let an_hour = Duration::from_secs(3600);
        let cache = Cache::builder()
            .error_type()
            .capacity(keys as usize)
            .ttl(ttl)
            .stale_while_revalidate(an_hour)
            .stale_if_error(an_hour)
            .back_off(BackOff::exponential(Duration::from_millis(200), Duration::from_secs(1)))
            .max_concurrent_refresh(8)
            .build()
            .expect("these settings agree");
        Self { origin, cache }
    }
}

impl Front for LastCache {
    fn name(&self) -> &'static str {
        "lastcache"
    }

    fn get(&self, key: u64) -> Result<u64, NoPage> {
        let origin = Arc::clone(&self.origin);
        let page = self.cache.get_swr(&key, move |&key| origin.fetch(key));
        page.map(|page| page.key).map_err(|_| NoPage)
    }
}
