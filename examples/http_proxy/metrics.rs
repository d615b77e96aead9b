//! `/metrics`: the cache's and the proxy's counts in the Prometheus text format.

use std::fmt::Write;

use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::proxy::Proxy;
use crate::tally::Outcome;

pub(crate) fn response(proxy: &Proxy) -> Response {
    let content_type = (header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
    ([content_type], text(proxy)).into_response()
}

fn text(proxy: &Proxy) -> String {
    let mut text = String::new();
    head(&mut text, "http_proxy_requests_total", "counter", "Requests, by how they were answered.");
    for outcome in Outcome::ALL {
        let (name, count) = (outcome.name(), proxy.tally.of(outcome));
        line(&mut text, &format!("http_proxy_requests_total{{outcome=\"{name}\"}}"), count);
    }
    let upstream = proxy.source.upstream.requests();
    let mut one = |name: &str, kind, help, value: u64| {
        head(&mut text, name, kind, help);
        line(&mut text, name, value);
    };
    one(
        "http_proxy_upstream_requests_total",
        "counter",
        "Requests sent to the upstream.",
        upstream,
    );

    let pages = &proxy.pages;
    one("lastcache_entries", "gauge", "Entries that hold a value.", pages.len() as u64);
    one("lastcache_capacity", "gauge", "The most entries.", pages.capacity() as u64);
    one("lastcache_weight", "gauge", "What all values weigh together, in bytes.", pages.weight());

    let stats = pages.stats();
    for (name, help, value) in [
        ("hits", "Answered with a fresh value that was there.", stats.hits),
        ("stale_hits", "Answered at once with a stale value.", stats.stale_hits),
        ("misses", "Led, joined, fell back or failed.", stats.misses),
        ("loads", "Fetches that returned a value.", stats.loads),
        ("failures", "Fetches that did not: failed, or not to be shared.", stats.failures),
        ("panics", "Fetches that panicked.", stats.panics),
        ("joins", "Calls that waited for another's fetch.", stats.joins),
        ("refreshes", "Background refreshes that began.", stats.refreshes),
        ("queued", "Background refreshes that waited for a permit.", stats.queued),
        ("skipped", "Stale reads that could start no refresh.", stats.skipped),
        ("evictions", "Servable values removed for room.", stats.evictions),
        ("late_loads", "Values dropped because a write came first.", stats.late_loads),
        ("not_stored", "Values that found no room.", stats.not_stored),
        ("uncached", "Fetches run outside the cache.", stats.uncached),
    ] {
        one(&format!("lastcache_{name}_total"), "counter", help, value);
    }
    text
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("a string can be written");
}

fn line(text: &mut String, name: &str, value: u64) {
    writeln!(text, "{name} {value}").expect("a string can be written");
}
