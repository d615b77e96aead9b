//! `/`: a page that shows live what is fresh, stale and failing, and the figures it asks for.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use lastcache::Ttl;
use serde::Serialize;

use crate::failing::Trouble;
use crate::proxy::Proxy;
use crate::tally::Outcome;

const HTML: &str = include_str!("page.html");
/// The most entries that are listed.
const MOST: usize = 200;

/// What the page shows.
#[derive(Serialize)]
struct Picture {
    /// Requests so far, by how they were answered.
    requests: Vec<(&'static str, u64)>,
    upstream_requests: u64,
    fresh: usize,
    stale: usize,
    failing: usize,
    weight: u64,
    entries: Vec<Line>,
    /// Entries that are not listed.
    left_off: usize,
}

/// One URL.
#[derive(Serialize)]
struct Line {
    url: String,
    /// Seconds it is still fresh, or less than none for those it has been stale; none when there is no page.
    ttl: Option<f64>,
    /// Seconds that it was, or is, fresh in all.
    fresh_for: f64,
    /// Seconds for which it is served after that: at once, and if the upstream fails.
    stale_while_revalidate: f64,
    stale_if_error: f64,
    status: u16,
    bytes: usize,
    trouble: Option<String>,
}

pub(crate) fn response(proxy: &Proxy, headers: &HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).map(HeaderValue::as_bytes);
    let mut response = if accept == Some(b"application/json") {
        let json = serde_json::to_string(&picture(proxy)).expect("numbers and text");
        ([(header::CONTENT_TYPE, "application/json")], json).into_response()
    } else {
        Html(HTML).into_response()
    };
    for (name, value) in [(header::VARY, "accept"), (header::CACHE_CONTROL, "no-store")] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn picture(proxy: &Proxy) -> Picture {
    let failing = proxy.source.failing.all();
    let (mut fresh, mut stale) = (0, 0);
    let mut entries = Vec::new();
    for entry in &proxy.pages {
        let (url, page) = (entry.key(), entry.value());
        let ttl = match entry.ttl() {
            Ttl::Left(left) => {
                fresh += 1;
                left.as_secs_f64()
            }
            Ttl::Overdue(overdue) => {
                stale += 1;
                -overdue.as_secs_f64()
            }
        };
        if entries.len() < MOST {
            let trouble = failing.iter().find(|(failing, _)| failing == url);
            entries.push(Line {
                url: url.clone(),
                ttl: Some(ttl),
                fresh_for: page.windows.ttl.as_secs_f64(),
                stale_while_revalidate: page.windows.stale_while_revalidate.as_secs_f64(),
                stale_if_error: page.windows.stale_if_error.as_secs_f64(),
                status: page.reply.status.as_u16(),
                bytes: page.reply.body.len(),
                trouble: trouble.map(|(_, trouble)| text(trouble)),
            });
        }
    }
    let left_off = fresh + stale - entries.len();
    for (url, trouble) in &failing {
        if !proxy.pages.contains_key(url) && !entries.iter().any(|line| line.url == *url) {
            entries.push(nothing(url, trouble));
        }
    }
    entries.sort_by(|a, b| a.url.cmp(&b.url));
    Picture {
        requests: Outcome::ALL.map(|outcome| (outcome.name(), proxy.tally.of(outcome))).into(),
        upstream_requests: proxy.source.upstream.requests(),
        fresh,
        stale,
        failing: failing.len(),
        weight: proxy.pages.weight(),
        entries,
        left_off,
    }
}

/// A URL that fails and has no page.
fn nothing(url: &str, trouble: &Trouble) -> Line {
    Line {
        url: url.to_owned(),
        ttl: None,
        fresh_for: 0.0,
        stale_while_revalidate: 0.0,
        stale_if_error: 0.0,
        status: 0,
        bytes: 0,
        trouble: Some(text(trouble)),
    }
}

fn text(trouble: &Trouble) -> String {
    match trouble.in_a_row {
        1 => trouble.why.clone(),
        n => format!("{} ({n} in a row)", trouble.why),
    }
}
