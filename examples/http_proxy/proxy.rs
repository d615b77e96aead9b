//! The proxy: which requests the cache answers, and what it says about its answers.
//!
//! A `GET` is looked up by path and query. Every other method goes through; one that may change what it is
//! sent to also takes the page out, if it succeeded (RFC 9111, section 4.4). Through goes also a `GET` that is about
//! its sender (`Authorization`, `Cookie`) or about a part of a page (`Range`).

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use lastcache::{BackOff, BuildError, Cache, Clock, Job, Served, State};
use tokio::sync::oneshot;

use crate::cache_status::{CACHE_STATUS, Handling, Seconds, Then, WhyForwarded, WhyStale};
use crate::failing::Failing;
use crate::fetch::{FetchId, NoPage, Page, Source, Told, key};
use crate::reply::Reply;
use crate::tally::{Outcome, Tally};
use crate::upstream::Upstream;
use crate::windows::Defaults;

pub(crate) type Pages = Cache<String, Page, NoPage>;
type ServedPage = Served<String, Page, NoPage>;

/// What a proxy is built from, besides the upstream.
pub(crate) struct Settings {
    pub(crate) capacity: usize,
    /// Bytes that all pages may take.
    pub(crate) max_weight: u64,
    /// Bytes of the largest body that is kept.
    pub(crate) max_body: usize,
    pub(crate) defaults: Defaults,
    pub(crate) back_off: BackOff,
    pub(crate) max_concurrent_refresh: usize,
    pub(crate) clock: Clock,
}

pub(crate) struct Proxy {
    pub(crate) pages: Pages,
    pub(crate) source: Arc<Source>,
    pub(crate) tally: Tally,
}

impl Proxy {
    pub(crate) fn new(upstream: Upstream, settings: Settings) -> Result<Self, BuildError> {
        let windows = settings.defaults.windows;
        let pages = Cache::builder()
            .error_type::<NoPage>()
            .capacity(settings.capacity)
            .max_weight(settings.max_weight)
            .weigher(|_, page: &Page| u32::try_from(page.reply.weight()).unwrap_or(u32::MAX))
            .ttl(windows.ttl)
            .stale_while_revalidate(windows.stale_while_revalidate)
            .stale_if_error(windows.stale_if_error)
            .lifetime(|_, page: &Page| page.windows.lifetime())
            .verdict(NoPage::verdict)
            .back_off(settings.back_off)
            .max_concurrent_refresh(settings.max_concurrent_refresh)
            .executor(spawn)
            .clock(settings.clock.clone())
            .build()?;
        let source = Arc::new(Source {
            upstream,
            defaults: settings.defaults,
            most: settings.max_body,
            failing: Failing::new(settings.clock)?,
            fetches: AtomicU64::new(0),
        });
        Ok(Proxy { pages, source, tally: Tally::default() })
    }

    /// Answers one request.
    pub(crate) async fn answer(&self, request: Request) -> Response {
        let (outcome, mut response, handling) = match *request.method() {
            Method::GET if is_for_anybody(request.headers()) => self.cached(request).await,
            Method::GET => self.pass(request, WhyForwarded::Bypass).await,
            _ => self.pass(request, WhyForwarded::Method).await,
        };
        self.tally.add(outcome);
        // Behind those of caches that the answer went through before.
        response.headers_mut().append(CACHE_STATUS, handling.header());
        response
    }

    async fn cached(&self, request: Request) -> Answered {
        let (url, headers) = (request.uri().clone(), request.headers().clone());
        let url_key = key(&url);
        let why = if self.pages.contains_key(url_key) {
            WhyForwarded::Stale
        } else {
            WhyForwarded::UriMiss
        };
        let id = self.source.next_id();
        let (tell, mut told) = oneshot::channel();
        let fetch = Arc::clone(&self.source).fetch(id, url.clone(), headers, tell);
        let error = match self.pages.get_swr_async(url_key, fetch).await {
            Ok(served) => {
                let handling = self.handling(&served, id, why);
                let mut response = (&served.reply).into_response();
                let age = served.age() + served.age;
                response.headers_mut().insert(header::AGE, HeaderValue::from(age.as_secs()));
                return (Outcome::of(&handling), response, handling);
            }
            Err(error) => error,
        };
        // An error was waited for: if this request's fetch was run, it has told by now.
        let told = told.try_recv().ok();
        let then = if told.is_some() { Then::NotStored } else { Then::Collapsed };
        let handling = Handling::Forwarded { why, fwd_status: None, then };
        match (error.fetch_error(), told) {
            (_, Some(Told::Private(response))) => (Outcome::of(&handling), response, handling),
            // It was for the one who led.
            (Some(NoPage::Private(_)), _) => self.pass(request, why).await,
            (Some(NoPage::Failed(failure)), _) => {
                (Outcome::Failed, (&*failure.reply).into_response(), handling)
            }
            (None, _) => {
                let response = (StatusCode::BAD_GATEWAY, format!("{error}\n"));
                (Outcome::Failed, response.into_response(), handling)
            }
        }
    }

    fn handling(&self, served: &ServedPage, own: FetchId, why: WhyForwarded) -> Handling {
        let ttl = Seconds::left(served.windows.ttl, served.age());
        match served.state() {
            State::Fallback { error } => {
                let fwd_status = match error.fetch_error() {
                    Some(NoPage::Failed(failure)) => failure.status,
                    _ => None,
                };
                Handling::Fallback { fwd_status }
            }
            State::BackOff { .. } => Handling::Stale { ttl, why: WhyStale::BackOff },
            _ if served.fetched_by == own => {
                let kept = self.pages.contains_key(served.key());
                let then = if kept { Then::Stored } else { Then::NotStored };
                Handling::Forwarded { why, fwd_status: None, then }
            }
            // Waited for: a hit carries no flight.
            State::Fresh if served.refresh().is_some() => {
                Handling::Forwarded { why, fwd_status: None, then: Then::Collapsed }
            }
            State::Fresh => Handling::Hit { ttl },
            _ => Handling::Stale { ttl, why: WhyStale::WhileRevalidate },
        }
    }

    /// Sends a request through.
    async fn pass(&self, request: Request, why: WhyForwarded) -> Answered {
        let url: Uri = request.uri().clone();
        let is_safe = request.method().is_safe();
        let handling = Handling::Forwarded { why, fwd_status: None, then: Then::NotStored };
        match self.source.upstream.send(request).await {
            Ok(response) => {
                let status = response.status();
                if !is_safe && (status.is_success() || status.is_redirection()) {
                    self.pages.delete(key(&url));
                }
                (Outcome::of(&handling), response.map(Body::new), handling)
            }
            Err(no_answer) => {
                let reply = Reply::from(no_answer);
                (Outcome::Failed, (&reply).into_response(), handling)
            }
        }
    }
}

type Answered = (Outcome, Response, Handling);

/// Whether a `GET` with these headers may be answered as any other.
fn is_for_anybody(headers: &HeaderMap) -> bool {
    ![header::AUTHORIZATION, header::COOKIE, header::RANGE]
        .iter()
        .any(|name| headers.contains_key(name))
}

/// The cache's executor: refreshes run on the runtime that serves.
fn spawn(job: Job) {
    if job.is_blocking() {
        drop(tokio::task::spawn_blocking(move || job.run()));
    } else {
        drop(tokio::spawn(job));
    }
}
