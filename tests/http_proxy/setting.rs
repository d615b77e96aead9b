//! The whole setting on loopback: an upstream, a proxy in front of it with a manual clock, and a client.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, Uri};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use lastcache::{BackOff, ManualClock};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::controlled::Upstream;
use crate::proxy::{Proxy, Settings};
use crate::routes;
use crate::upstream::Upstream as UpstreamClient;
use crate::windows::{Defaults, Windows};

/// How long a test waits for what must happen before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// For pages that do not say: fresh for 5 s, stale windows of 10 s and 60 s; a missing one 2 s.
pub(crate) const DEFAULTS: Defaults = Defaults {
    windows: Windows { ttl: secs(5), stale_while_revalidate: secs(10), stale_if_error: secs(60) },
    negative_ttl: secs(2),
};

pub(crate) struct Setting {
    pub(crate) upstream: Upstream,
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) clock: ManualClock,
    url: String,
    client: Client<HttpConnector, Body>,
}

/// What the client got.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a header of text"))
    }

    pub(crate) fn cache_status(&self) -> &str {
        self.header("cache-status")
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body of text")
    }
}

impl Setting {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let upstream = Upstream::start().await;
        let clock = ManualClock::new();
        let mut settings = Settings {
            capacity: 1_000,
            max_weight: 1 << 20,
            max_body: 10_000,
            defaults: DEFAULTS,
            back_off: BackOff::NONE,
            max_concurrent_refresh: 4,
            clock: (&clock).into(),
        };
        change(&mut settings);
        let proxy = Proxy::new(UpstreamClient::new(upstream.authority(), PATIENCE), settings);
        let proxy = Arc::new(proxy.expect("these settings agree"));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let router = routes::router(Arc::clone(&proxy));
        drop(tokio::spawn(async { axum::serve(listener, router).await }));
        let client = Client::builder(TokioExecutor::new()).build_http();
        Setting { upstream, proxy, clock, url, client }
    }

    pub(crate) async fn get(&self, path: &str) -> Got {
        self.ask(Method::GET, path, &[]).await
    }

    pub(crate) async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Got {
        request(self.client.clone(), &self.url, method, path, headers).await
    }

    /// Asks for all these paths at once.
    pub(crate) fn get_all(&self, paths: impl IntoIterator<Item = String>) -> JoinSet<Got> {
        let mut asking = JoinSet::new();
        for path in paths {
            let (client, url) = (self.client.clone(), self.url.clone());
            asking.spawn(async move { request(client, &url, Method::GET, &path, &[]).await });
        }
        asking
    }
}

async fn request(
    client: Client<HttpConnector, Body>,
    url: &str,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> Got {
    let url: Uri = format!("{url}{path}").parse().expect("a path");
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).expect("a request");
    let got = tokio::time::timeout(PATIENCE, async {
        let (parts, body) = client.request(request).await.expect("an answer").into_parts();
        let body = body.collect().await.expect("the whole of it").to_bytes();
        Got { status: parts.status, headers: parts.headers, body }
    });
    got.await.unwrap_or_else(|_| panic!("no answer for {path}"))
}

/// Goes on as soon as `condition` holds, and fails when it never does.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "never happened: {what}");
        tokio::task::yield_now().await;
    }
}

/// The answers to requests made at once.
pub(crate) async fn all(asking: JoinSet<Got>) -> Vec<Got> {
    let all = tokio::time::timeout(PATIENCE, asking.join_all());
    all.await.expect("all of them are answered")
}
