//! What a response may be kept for: decided once, from its status and its headers.

use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use lastcache::{Lifetime, Verdict};

use crate::cache_control::CacheControl;

/// How long a page is fresh, and for how long after that it is good for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Windows {
    pub(crate) ttl: Duration,
    pub(crate) stale_while_revalidate: Duration,
    pub(crate) stale_if_error: Duration,
}

impl Windows {
    pub(crate) const NONE: Windows = Windows {
        ttl: Duration::ZERO,
        stale_while_revalidate: Duration::ZERO,
        stale_if_error: Duration::ZERO,
    };

    /// As the cache's `lifetime` hook gives it.
    pub(crate) fn lifetime(&self) -> Lifetime {
        Lifetime::new()
            .ttl(self.ttl)
            .stale_while_revalidate(self.stale_while_revalidate)
            .stale_if_error(self.stale_if_error)
    }

    /// The same for a page that has already spent `age` of its life elsewhere.
    fn at_age(self, age: Duration) -> Self {
        let overdue = age.saturating_sub(self.ttl);
        Windows {
            ttl: self.ttl.saturating_sub(age),
            stale_while_revalidate: self.stale_while_revalidate.saturating_sub(overdue),
            stale_if_error: self.stale_if_error.saturating_sub(overdue),
        }
    }
}

/// For responses that do not say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Defaults {
    pub(crate) windows: Windows,
    /// How long a 404 or 410 is fresh; it has no stale windows.
    pub(crate) negative_ttl: Duration,
}

/// What is to become of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// Kept, and given to whoever asks.
    Share(Windows),
    /// For the one who asked alone; and what that means for an older page under its URL.
    Pass(Verdict),
    /// The upstream failed.
    Failed,
}

/// Judges a response by RFC 9111, section 3, as far as a cache goes that knows one page per URL and
/// cannot revalidate it.
pub(crate) fn judge(status: StatusCode, headers: &HeaderMap, defaults: &Defaults) -> Judgement {
    if status.is_server_error() {
        return Judgement::Failed;
    }
    // An answer that is not to be shared has taken the place of the older page; an error of the
    // caller's, a 403 or a 429, says nothing about it.
    let verdict = if status.is_client_error() { Verdict::Propagate } else { Verdict::Remove };
    let control = CacheControl::of(headers);
    if control.forbids_sharing() || !is_the_same_for_all(headers) {
        return Judgement::Pass(verdict);
    }
    let fresh_for = match (control.fresh_for(), status) {
        (Some(given), _) => given,
        // Its own say on freshness is not read: better not to guess another.
        _ if headers.contains_key(header::EXPIRES) => return Judgement::Pass(verdict),
        (None, StatusCode::NOT_FOUND | StatusCode::GONE) => defaults.negative_ttl,
        (
            None,
            StatusCode::OK
            | StatusCode::NON_AUTHORITATIVE_INFORMATION
            | StatusCode::NO_CONTENT
            | StatusCode::MOVED_PERMANENTLY
            | StatusCode::PERMANENT_REDIRECT,
        ) => defaults.windows.ttl,
        _ => return Judgement::Pass(verdict),
    };
    if matches!(status, StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED) {
        return Judgement::Pass(verdict);
    }
    // A missing page is nothing to go on serving, and `s-maxage` asks for revalidation unless the
    // response itself allows for stale use.
    let by_default = !status.is_client_error() && control.s_maxage.is_none();
    let late = |given: Option<Duration>, default: Duration| match given {
        _ if control.must_revalidate => Duration::ZERO,
        Some(given) => given,
        None if by_default => default,
        None => Duration::ZERO,
    };
    let windows = Windows {
        ttl: fresh_for,
        stale_while_revalidate: late(
            control.stale_while_revalidate,
            defaults.windows.stale_while_revalidate,
        ),
        stale_if_error: late(control.stale_if_error, defaults.windows.stale_if_error),
    };
    let windows = windows.at_age(age(headers));
    if windows == Windows::NONE { Judgement::Pass(verdict) } else { Judgement::Share(windows) }
}

/// The age a response came with.
pub(crate) fn age(headers: &HeaderMap) -> Duration {
    let age = headers.get(header::AGE).and_then(|age| age.to_str().ok());
    Duration::from_secs(age.and_then(|age| age.trim().parse().ok()).unwrap_or(0))
}

/// The encoding does not count: the upstream is asked for none.
fn is_the_same_for_all(headers: &HeaderMap) -> bool {
    let mut varies_by = headers.get_all(header::VARY).iter().flat_map(|line| match line.to_str() {
        Ok(line) => line.split(',').map(str::trim).collect(),
        Err(_) => vec!["*"],
    });
    !headers.contains_key(header::SET_COOKIE)
        && varies_by.all(|name| name.eq_ignore_ascii_case("accept-encoding"))
}
