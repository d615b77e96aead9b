//! `Cache-Control` of a response, as a shared cache reads it (RFC 9111, section 5.2.2; RFC 5861).
//!
//! Never fails: what it does not know it skips, what it cannot read it takes as the strictest thing it
//! could mean.

use std::time::Duration;

use axum::http::{HeaderMap, header};

/// The longest time that is told apart from longer ones: some 68 years (RFC 9111, section 1.2.2).
const LONGEST: u64 = 1 << 31;

/// The directives that matter to this proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CacheControl {
    pub(crate) no_store: bool,
    /// With field names too: they are not told apart from the whole response.
    pub(crate) no_cache: bool,
    /// With field names too.
    pub(crate) private: bool,
    /// `proxy-revalidate` is the same to a shared cache.
    pub(crate) must_revalidate: bool,
    pub(crate) max_age: Option<Duration>,
    pub(crate) s_maxage: Option<Duration>,
    pub(crate) stale_while_revalidate: Option<Duration>,
    pub(crate) stale_if_error: Option<Duration>,
}

impl CacheControl {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut read = CacheControl::default();
        for line in headers.get_all(header::CACHE_CONTROL) {
            // Not text: nothing in it can be relied on.
            let Ok(line) = line.to_str() else { return CacheControl { no_store: true, ..read } };
            for directive in split(line) {
                read.add(directive);
            }
        }
        read
    }

    fn add(&mut self, directive: &str) {
        let (name, argument) = match directive.split_once('=') {
            Some((name, argument)) => (name.trim(), Some(argument.trim())),
            None => (directive.trim(), None),
        };
        // Of a directive that comes twice the first counts.
        match name.to_ascii_lowercase().as_str() {
            "no-store" => self.no_store = true,
            "no-cache" => self.no_cache = true,
            "private" => self.private = true,
            "must-revalidate" | "proxy-revalidate" => self.must_revalidate = true,
            "max-age" => self.max_age = self.max_age.or(Some(seconds(argument))),
            "s-maxage" => self.s_maxage = self.s_maxage.or(Some(seconds(argument))),
            "stale-while-revalidate" => {
                self.stale_while_revalidate =
                    self.stale_while_revalidate.or(Some(seconds(argument)));
            }
            "stale-if-error" => {
                self.stale_if_error = self.stale_if_error.or(Some(seconds(argument)));
            }
            _ => {}
        }
    }

    /// Whether a shared cache must not use the response for anybody else, not even at once.
    pub(crate) fn forbids_sharing(&self) -> bool {
        self.no_store || self.no_cache || self.private
    }

    /// How long it is fresh in a shared cache, if it says so.
    pub(crate) fn fresh_for(&self) -> Option<Duration> {
        self.s_maxage.or(self.max_age)
    }
}

/// Cuts at the commas outside quoted strings.
fn split(line: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    line.split(move |c| {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = quoted,
            '"' => quoted = !quoted,
            _ => {}
        }
        c == ',' && !quoted
    })
}

/// An argument in seconds, with or without quotes. None, or one that is no number, is zero: the
/// response is then stale from the start.
fn seconds(argument: Option<&str>) -> Duration {
    let digits = argument.unwrap_or_default();
    let digits = digits.strip_prefix('"').and_then(|s| s.strip_suffix('"')).unwrap_or(digits);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Duration::ZERO;
    }
    // Only too many digits can fail by now.
    Duration::from_secs(digits.parse().unwrap_or(LONGEST).min(LONGEST))
}
