//! The plain TTL cache that most programs have: lock, look, unlock; on a miss fetch, lock, store.
//!
//! It does what it promises and no more. Callers that miss the same key together all fetch it, and when the
//! origin fails there is nothing to fall back on.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::origin::Page;

pub(crate) struct TtlCache {
    ttl: Duration,
    entries: Mutex<HashMap<u64, (Instant, Page)>>,
}

impl TtlCache {
    pub(crate) fn new(ttl: Duration) -> Self {
        let entries = Mutex::default();
        Self { ttl, entries }
    }

    pub(crate) fn get<E>(
        &self,
        key: u64,
        fetch: impl FnOnce() -> Result<Page, E>,
    ) -> Result<Page, E> {
        if let Some((stored, page)) = self.lock().get(&key)
            && stored.elapsed() < self.ttl
        {
            return Ok(page.clone());
        }
        let page = fetch()?;
        self.lock().insert(key, (Instant::now(), page.clone()));
        Ok(page)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, (Instant, Page)>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
