//! Which URLs fail, for the page that shows it. A cache too: bounded, and it forgets.

use std::time::Duration;

use lastcache::{BuildError, Cache, Clock};

/// The most URLs that are remembered.
const MOST: usize = 256;
/// How long a failure is news.
const NEWS: Duration = Duration::from_secs(60);

/// What is wrong with a URL.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) why: String,
    /// Failures since the last success.
    pub(crate) in_a_row: u64,
}

pub(crate) struct Failing(Cache<String, Trouble>);

impl Failing {
    pub(crate) fn new(clock: Clock) -> Result<Self, BuildError> {
        let cache = Cache::builder()
            .capacity(MOST)
            .ttl(NEWS)
            .stale_while_revalidate(Duration::ZERO)
            .clock(clock);
        Ok(Failing(cache.build()?))
    }

    /// To be called inside the fetch of `url`, of which there is one at a time.
    pub(crate) fn failed(&self, url: &str, why: String) {
        let before = self.0.peek(url).map_or(0, |trouble| trouble.in_a_row);
        self.0.set(url.to_owned(), Trouble { why, in_a_row: before + 1 });
    }

    pub(crate) fn succeeded(&self, url: &str) {
        self.0.delete(url);
    }

    pub(crate) fn all(&self) -> Vec<(String, Trouble)> {
        self.0.iter().map(|entry| (entry.key().clone(), entry.value().clone())).collect()
    }
}
