//! The upstream: one client with its pool of connections, and what a request or a response sheds on
//! its way through a proxy.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::uri::{Authority, PathAndQuery, Scheme};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, Uri, header};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// No answer at all.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    Unreachable(String),
    TimedOut(Duration),
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoAnswer::Unreachable(why) => f.write_str(why),
            NoAnswer::TimedOut(after) => write!(f, "no answer within {after:?}"),
        }
    }
}

pub(crate) struct Upstream {
    client: Client<HttpConnector, Body>,
    authority: Authority,
    time_out: Duration,
    requests: AtomicU64,
}

impl Upstream {
    pub(crate) fn new(authority: Authority, time_out: Duration) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Upstream { client, authority, time_out, requests: AtomicU64::new(0) }
    }

    pub(crate) fn time_out(&self) -> Duration {
        self.time_out
    }

    /// Requests sent so far.
    pub(crate) fn requests(&self) -> u64 {
        // Relaxed: a count, which publishes nothing.
        self.requests.load(Relaxed)
    }

    /// Sends a request on, with what its headers say from end to end.
    pub(crate) async fn send(&self, request: Request) -> Result<Response<Incoming>, NoAnswer> {
        let (mut parts, body) = request.into_parts();
        shed(&mut parts.headers);
        // The client writes the upstream's own.
        parts.headers.remove(header::HOST);
        parts.headers.append(header::VIA, HeaderValue::from_static("1.1 lastcache"));
        let path = parts.uri.path_and_query().cloned();
        parts.uri = Uri::builder()
            .scheme(Scheme::HTTP)
            .authority(self.authority.clone())
            .path_and_query(path.unwrap_or(PathAndQuery::from_static("/")))
            .build()
            .map_err(|error| NoAnswer::Unreachable(error.to_string()))?;
        // Relaxed: as above.
        self.requests.fetch_add(1, Relaxed);
        let sent = self.client.request(Request::from_parts(parts, body));
        match tokio::time::timeout(self.time_out, sent).await {
            Ok(Ok(mut response)) => {
                shed(response.headers_mut());
                Ok(response)
            }
            Ok(Err(error)) => Err(NoAnswer::Unreachable(causes(&error))),
            Err(_) => Err(NoAnswer::TimedOut(self.time_out)),
        }
    }
}

/// Removes what is meant for the next hop only (RFC 9110, section 7.6.1).
fn shed(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let always = [
        header::CONNECTION,
        HeaderName::from_static("keep-alive"),
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        HeaderName::from_static("proxy-connection"),
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    for name in named.iter().chain(&always) {
        headers.remove(name);
    }
}

/// An error with what is behind it, in one line.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
