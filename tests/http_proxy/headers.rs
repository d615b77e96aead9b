//! Unit tests of what is read from `Cache-Control` and written to `Cache-Status`.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use lastcache::Verdict;

use crate::cache_control::CacheControl;
use crate::cache_status::{Handling, Seconds, Then, WhyForwarded, WhyStale};
use crate::setting::{DEFAULTS, secs};
use crate::windows::{Judgement, Windows, judge};

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let lines = lines.iter().map(|(name, value)| {
        let name = name.parse::<HeaderName>().expect("a header's name");
        (name, value.parse::<HeaderValue>().expect("a header's value"))
    });
    lines.collect()
}

fn read(lines: &[&str]) -> CacheControl {
    let lines: Vec<_> = lines.iter().map(|line| ("cache-control", *line)).collect();
    CacheControl::of(&headers(&lines))
}

#[test]
fn cache_control_is_read_by_the_rules_of_rfc_9111_and_5861() {
    let nothing = CacheControl::default;
    let max_age = |seconds| CacheControl { max_age: Some(secs(seconds)), ..nothing() };
    let table: &[(&[&str], CacheControl)] = &[
        // What is absent, empty or unknown says nothing.
        (&[], nothing()),
        (&[""], nothing()),
        (&[", ,"], nothing()),
        (&["immutable, community=\"UCI\", x-max-age=9"], nothing()),
        // Directives one by one.
        (&["max-age=60"], max_age(60)),
        (&["s-maxage=61"], CacheControl { s_maxage: Some(secs(61)), ..nothing() }),
        (&["no-store"], CacheControl { no_store: true, ..nothing() }),
        (&["no-cache"], CacheControl { no_cache: true, ..nothing() }),
        (&["private"], CacheControl { private: true, ..nothing() }),
        (&["must-revalidate"], CacheControl { must_revalidate: true, ..nothing() }),
        (&["proxy-revalidate"], CacheControl { must_revalidate: true, ..nothing() }),
        (
            &["stale-while-revalidate=7"],
            CacheControl { stale_while_revalidate: Some(secs(7)), ..nothing() },
        ),
        (&["stale-if-error=8"], CacheControl { stale_if_error: Some(secs(8)), ..nothing() }),
        // With field names they are taken for the whole response.
        (&["private=\"set-cookie\""], CacheControl { private: true, ..nothing() }),
        (&["no-cache=\"a, b\""], CacheControl { no_cache: true, ..nothing() }),
        // A comma, and an escaped quote, inside quotes end nothing.
        (&["x=\"max-age=1, no-store\", max-age=2"], max_age(2)),
        (&["x=\"a \\\", no-store\", max-age=3"], max_age(3)),
        // Any case, any white space around commas; arguments quoted or not.
        (&["MAX-Age=4"], max_age(4)),
        (&["\t max-age=5 \t,,"], max_age(5)),
        (&["max-age=\"6\""], max_age(6)),
        // Several lines are one list.
        (&["max-age=7", "private"], CacheControl { private: true, ..max_age(7) }),
        // Of two the first counts.
        (&["max-age=8, max-age=9"], max_age(8)),
        (&["max-age=8", "max-age=9"], max_age(8)),
        // What is no number is stale from the start.
        (&["max-age"], max_age(0)),
        (&["max-age="], max_age(0)),
        (&["max-age=ten"], max_age(0)),
        (&["max-age=-1"], max_age(0)),
        (&["max-age=+1"], max_age(0)),
        (&["max-age=1.5"], max_age(0)),
        (&["max-age=\"1"], max_age(0)),
        // More than can be told apart is as long as can be.
        (&["max-age=2147483648"], max_age(1 << 31)),
        (&["max-age=2147483649"], max_age(1 << 31)),
        (&["max-age=99999999999999999999999"], max_age(1 << 31)),
    ];
    for (lines, expected) in table {
        assert_eq!(read(lines), *expected, "{lines:?}");
    }
}

#[test]
fn cache_control_that_is_no_text_forbids_storing() {
    let odd = HeaderValue::from_bytes(b"max-age=60, x=\xff").expect("opaque bytes are allowed");
    let headers = HeaderMap::from_iter([(HeaderName::from_static("cache-control"), odd)]);
    assert!(CacheControl::of(&headers).no_store);
}

fn share(ttl: u64, stale_while_revalidate: u64, stale_if_error: u64) -> Judgement {
    Judgement::Share(Windows {
        ttl: secs(ttl),
        stale_while_revalidate: secs(stale_while_revalidate),
        stale_if_error: secs(stale_if_error),
    })
}

#[test]
fn a_response_is_kept_for_as_long_as_it_says_and_the_defaults_fill_in() {
    use Judgement::{Failed, Pass};
    let gone = Pass(Verdict::Remove);
    let refused = Pass(Verdict::Propagate);
    let control = "cache-control";
    let table: &[(u16, &[(&str, &str)], Judgement)] = &[
        (200, &[], share(5, 10, 60)),
        (200, &[(control, "max-age=20")], share(20, 10, 60)),
        (200, &[(control, "max-age=20, stale-while-revalidate=1")], share(20, 1, 60)),
        (200, &[(control, "max-age=20, stale-if-error=0")], share(20, 10, 0)),
        (200, &[(control, "max-age=0")], share(0, 10, 60)),
        // A shared cache has a time of its own, after which it is to ask, unless it is told otherwise.
        (200, &[(control, "max-age=20, s-maxage=30")], share(30, 0, 0)),
        (200, &[(control, "s-maxage=30, stale-if-error=40")], share(30, 0, 40)),
        (200, &[(control, "max-age=20, must-revalidate")], share(20, 0, 0)),
        (200, &[(control, "max-age=20, proxy-revalidate, stale-if-error=9")], share(20, 0, 0)),
        // Nothing that would be worth keeping.
        (200, &[(control, "max-age=0, must-revalidate")], gone),
        (200, &[(control, "no-store, max-age=20")], gone),
        (200, &[(control, "no-cache, max-age=20")], gone),
        (200, &[(control, "private, max-age=20")], gone),
        (200, &[(control, "max-age=20"), ("set-cookie", "a=b")], gone),
        (200, &[(control, "max-age=20"), ("vary", "accept-language")], gone),
        (200, &[(control, "max-age=20"), ("vary", "*")], gone),
        (200, &[(control, "max-age=20"), ("vary", "Accept-Encoding")], share(20, 10, 60)),
        (200, &[("expires", "0")], gone),
        (200, &[("expires", "0"), (control, "max-age=20")], share(20, 10, 60)),
        // Time spent elsewhere is time spent.
        (200, &[(control, "max-age=20"), ("age", "15")], share(5, 10, 60)),
        (200, &[(control, "max-age=20"), ("age", "23")], share(0, 7, 57)),
        (200, &[(control, "max-age=20"), ("age", "80")], gone),
        // What is kept without a word, and what is not.
        (204, &[], share(5, 10, 60)),
        (301, &[], share(5, 10, 60)),
        (302, &[], gone),
        (302, &[(control, "max-age=20")], share(20, 10, 60)),
        (206, &[(control, "max-age=20")], gone),
        (404, &[], share(2, 0, 0)),
        (410, &[], share(2, 0, 0)),
        (404, &[(control, "max-age=20")], share(20, 0, 0)),
        (404, &[(control, "max-age=20, stale-if-error=30")], share(20, 0, 30)),
        (403, &[], refused),
        (429, &[], refused),
        (404, &[(control, "no-store")], refused),
        (500, &[], Failed),
        (503, &[(control, "max-age=20")], Failed),
    ];
    for (status, lines, expected) in table {
        let code = StatusCode::from_u16(*status).expect("a status");
        assert_eq!(judge(code, &headers(lines), &DEFAULTS), *expected, "{status} {lines:?}");
    }
}

#[test]
fn cache_status_says_hit_stale_fallback_or_miss() {
    let left = |ttl, age| Seconds::left(secs(ttl), Duration::from_millis(age));
    let stale = |why| Handling::Stale { ttl: left(10, 22_000), why };
    let fallback = |code: Option<StatusCode>| Handling::Fallback { fwd_status: code };
    let forwarded =
        |why, then| Handling::Forwarded { why, fwd_status: Some(StatusCode::NOT_MODIFIED), then };
    let plain = |why, then| Handling::Forwarded { why, fwd_status: None, then };
    let table = [
        (Handling::Hit { ttl: left(10, 0) }, "lastcache; hit; ttl=10"),
        (Handling::Hit { ttl: left(10, 9_999) }, "lastcache; hit; ttl=1"),
        (
            Handling::Hit { ttl: Seconds::left(Duration::MAX, Duration::ZERO) },
            "lastcache; hit; ttl=999999999999999",
        ),
        (
            stale(WhyStale::WhileRevalidate),
            "lastcache; hit; ttl=-12; detail=stale-while-revalidate",
        ),
        (stale(WhyStale::BackOff), "lastcache; hit; ttl=-12; detail=back-off"),
        (fallback(None), "lastcache; fwd=stale; detail=stale-if-error"),
        (
            fallback(Some(StatusCode::SERVICE_UNAVAILABLE)),
            "lastcache; fwd=stale; fwd-status=503; detail=stale-if-error",
        ),
        (plain(WhyForwarded::UriMiss, Then::Stored), "lastcache; fwd=uri-miss; stored"),
        (plain(WhyForwarded::UriMiss, Then::NotStored), "lastcache; fwd=uri-miss"),
        (plain(WhyForwarded::UriMiss, Then::Collapsed), "lastcache; fwd=uri-miss; collapsed"),
        (plain(WhyForwarded::Stale, Then::Stored), "lastcache; fwd=stale; stored"),
        (plain(WhyForwarded::Method, Then::NotStored), "lastcache; fwd=method"),
        (plain(WhyForwarded::Bypass, Then::NotStored), "lastcache; fwd=bypass"),
        (
            forwarded(WhyForwarded::Stale, Then::Stored),
            "lastcache; fwd=stale; fwd-status=304; stored",
        ),
    ];
    for (handling, expected) in table {
        assert_eq!(handling.to_string(), expected);
        assert_eq!(handling.header(), expected);
    }
}
