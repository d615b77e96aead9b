//! The `Cache-Status` header (RFC 9211): how a request was handled, in one line.

use std::fmt;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode};

pub(crate) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// How a request was handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handling {
    /// From the cache, fresh.
    Hit { ttl: Seconds },
    /// From the cache, stale, at once.
    Stale { ttl: Seconds, why: WhyStale },
    /// From the cache, stale, after the upstream had failed.
    Fallback { fwd_status: Option<StatusCode> },
    /// From the upstream.
    Forwarded { why: WhyForwarded, fwd_status: Option<StatusCode>, then: Then },
}

/// Seconds for which an answer is still fresh; less than none for those it has been stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seconds(i64);

impl Seconds {
    /// The largest number that a header's fields may have (RFC 9651, section 3.3.1).
    const MOST: u64 = 999_999_999_999_999;

    /// What is left of `ttl` at `age`, in whole seconds as `Age` counts them.
    pub(crate) fn left(ttl: Duration, age: Duration) -> Self {
        let [ttl, age] = [ttl, age].map(|d| d.as_secs().min(Self::MOST).cast_signed());
        Seconds(ttl - age)
    }
}

/// Why a stale answer was good enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhyStale {
    /// It is being refreshed.
    WhileRevalidate,
    /// The upstream failed not long ago, and is left alone for a while.
    BackOff,
}

/// Why a request went to the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhyForwarded {
    UriMiss,
    Stale,
    Method,
    Bypass,
}

/// What became of the upstream's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// This request went to the upstream; its answer was kept.
    Stored,
    /// This request went to the upstream; its answer was not kept.
    NotStored,
    /// Another request went to the upstream, and this one waited for its answer.
    Collapsed,
}

impl Handling {
    pub(crate) fn header(&self) -> HeaderValue {
        HeaderValue::try_from(self.to_string()).expect("it is made of visible ASCII characters")
    }
}

impl fmt::Display for Handling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lastcache; ")?;
        match self {
            Handling::Hit { ttl } => write!(f, "hit; ttl={}", ttl.0),
            Handling::Stale { ttl, why } => {
                let why = match why {
                    WhyStale::WhileRevalidate => "stale-while-revalidate",
                    WhyStale::BackOff => "back-off",
                };
                write!(f, "hit; ttl={}; detail={why}", ttl.0)
            }
            Handling::Fallback { fwd_status } => {
                f.write_str("fwd=stale")?;
                write_status(f, *fwd_status)?;
                f.write_str("; detail=stale-if-error")
            }
            Handling::Forwarded { why, fwd_status, then } => {
                f.write_str(match why {
                    WhyForwarded::UriMiss => "fwd=uri-miss",
                    WhyForwarded::Stale => "fwd=stale",
                    WhyForwarded::Method => "fwd=method",
                    WhyForwarded::Bypass => "fwd=bypass",
                })?;
                write_status(f, *fwd_status)?;
                f.write_str(match then {
                    Then::Stored => "; stored",
                    Then::NotStored => "",
                    Then::Collapsed => "; collapsed",
                })
            }
        }
    }
}

/// The status that the upstream answered with, where it is not the one this answer has.
fn write_status(f: &mut fmt::Formatter<'_>, status: Option<StatusCode>) -> fmt::Result {
    match status {
        Some(status) => write!(f, "; fwd-status={}", status.as_u16()),
        None => Ok(()),
    }
}
