//! The fetch: asks the upstream for one URL, on behalf of everybody who waits for it.
//!
//! What may be shared becomes the cache's value, read to its end. What may not goes to the request
//! that led, and to nobody else: those who waited with it are told to ask for themselves.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::Response;
use bytes::Bytes;
use lastcache::Verdict;
use tokio::sync::oneshot;

use crate::failing::Failing;
use crate::reply::{Read, Reply, read};
use crate::upstream::{NoAnswer, Upstream};
use crate::windows::{Defaults, Judgement, Windows, age, judge};

/// A kept answer: the cache's value.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) reply: Reply,
    pub(crate) windows: Windows,
    /// How old it was when it came.
    pub(crate) age: Duration,
    /// Which fetch got it.
    pub(crate) fetched_by: FetchId,
}

/// One fetch among all.
pub(crate) type FetchId = u64;

/// Why there is no page to share: the cache's error.
#[derive(Debug)]
pub(crate) enum NoPage {
    /// The upstream is down, or says that it is.
    Failed(Failure),
    /// It answered one caller.
    Private(Verdict),
}

/// What there is to say when nothing covers the failure.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The upstream's, if it gave one.
    pub(crate) status: Option<StatusCode>,
    pub(crate) reply: Box<Reply>,
}

impl NoPage {
    /// What it means for an older page.
    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            NoPage::Failed(_) => Verdict::ServeStale,
            NoPage::Private(verdict) => *verdict,
        }
    }
}

impl From<NoAnswer> for NoPage {
    fn from(no_answer: NoAnswer) -> Self {
        NoPage::Failed(Failure { status: None, reply: Box::new(no_answer.into()) })
    }
}

impl fmt::Display for NoPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoPage::Failed(Failure { reply, .. }) => {
                let text = String::from_utf8_lossy(&reply.body);
                match text.lines().next() {
                    Some(why) => write!(f, "{}: {why}", reply.status),
                    None => write!(f, "{}", reply.status),
                }
            }
            NoPage::Private(_) => f.write_str("the answer is for one caller"),
        }
    }
}

/// What a request learns of its own fetch, if that was run.
pub(crate) enum Told {
    /// It has what everybody gets.
    Shared,
    /// It has an answer for this request alone.
    Private(Response),
}

/// What a fetch got.
enum Got {
    Page(Page),
    Failure(NoPage),
    Private(Response, Verdict),
}

/// What all fetches have in common.
pub(crate) struct Source {
    pub(crate) upstream: Upstream,
    pub(crate) defaults: Defaults,
    /// The largest body that is kept, in bytes.
    pub(crate) most: usize,
    pub(crate) failing: Failing,
    /// The last one given out.
    pub(crate) fetches: AtomicU64,
}

impl Source {
    pub(crate) fn next_id(&self) -> FetchId {
        // Relaxed: a number of its own for each, which publishes nothing.
        self.fetches.fetch_add(1, Relaxed) + 1
    }

    /// Fetches `url` as a request with these headers asks for it. In the background nobody listens to what
    /// it tells.
    pub(crate) async fn fetch(
        self: Arc<Self>,
        id: FetchId,
        url: Uri,
        headers: HeaderMap,
        tell: oneshot::Sender<Told>,
    ) -> Result<Page, NoPage> {
        let time_out = self.upstream.time_out();
        let asked = self.ask(id, url.clone(), headers);
        let got = tokio::time::timeout(time_out, asked).await;
        let got = got.unwrap_or_else(|_| Got::Failure(NoAnswer::TimedOut(time_out).into()));
        match &got {
            Got::Failure(why) => self.failing.failed(key(&url), why.to_string()),
            _ => self.failing.succeeded(key(&url)),
        }
        let (told, fetched) = match got {
            Got::Page(page) => (Told::Shared, Ok(page)),
            Got::Failure(why) => (Told::Shared, Err(why)),
            Got::Private(response, verdict) => {
                (Told::Private(response), Err(NoPage::Private(verdict)))
            }
        };
        drop(tell.send(told));
        fetched
    }

    async fn ask(&self, id: FetchId, url: Uri, headers: HeaderMap) -> Got {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = url;
        *request.headers_mut() = asked_for_all(headers);
        let (parts, body) = match self.upstream.send(request).await {
            Ok(response) => response.into_parts(),
            Err(no_answer) => return Got::Failure(no_answer.into()),
        };
        let judgement = judge(parts.status, &parts.headers, &self.defaults);
        if let Judgement::Pass(verdict) = judgement {
            return Got::Private(Response::from_parts(parts, Body::new(body)), verdict);
        }
        let body = match read(body, self.most).await {
            Ok(Read::Whole(body)) => body,
            Ok(Read::Begun(_)) if judgement == Judgement::Failed => Bytes::new(),
            Ok(Read::Begun(body)) => {
                let response = Response::from_parts(parts, Body::new(body));
                return Got::Private(response, Verdict::Remove);
            }
            Err(error) => {
                let why = format!("the answer broke off: {error}");
                return Got::Failure(NoAnswer::Unreachable(why).into());
            }
        };
        let (status, age) = (parts.status, age(&parts.headers));
        let reply = Reply::new(parts, body);
        match judgement {
            Judgement::Share(windows) => Got::Page(Page { reply, windows, age, fetched_by: id }),
            _ => {
                let (status, reply) = (Some(status), Box::new(reply));
                Got::Failure(NoPage::Failed(Failure { status, reply }))
            }
        }
    }
}

/// A URL as the cache knows it.
pub(crate) fn key(url: &Uri) -> &str {
    url.path_and_query().map_or("/", |path| path.as_str())
}

/// The headers of a request whose answer is for everybody: the page as it is, not compressed, and not only
/// if it changed.
fn asked_for_all(mut headers: HeaderMap) -> HeaderMap {
    for name in [
        header::ACCEPT_ENCODING,
        header::CONTENT_LENGTH,
        header::IF_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_NONE_MATCH,
        header::IF_RANGE,
        header::IF_UNMODIFIED_SINCE,
        header::CACHE_CONTROL,
        header::PRAGMA,
    ] {
        headers.remove(name);
    }
    headers
}
