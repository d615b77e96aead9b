//! The proxy's own two paths, and all others, which are the upstream's.
//!
//! `GET /` is the page, and, for who accepts JSON only, what the page shows; `GET /metrics` is for
//! Prometheus. An upstream's own under these two are not reachable with `GET`, which is why there are no
//! more of them.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;

use crate::proxy::Proxy;
use crate::{metrics, page};

pub(crate) fn router(proxy: Arc<Proxy>) -> Router {
    Router::new()
        .route("/", get(show_page).fallback(answer))
        .route("/metrics", get(show_metrics).fallback(answer))
        .fallback(answer)
        .with_state(proxy)
}

async fn answer(State(proxy): State<Arc<Proxy>>, request: Request) -> Response {
    proxy.answer(request).await
}

async fn show_page(State(proxy): State<Arc<Proxy>>, headers: HeaderMap) -> Response {
    page::response(&proxy, &headers)
}

async fn show_metrics(State(proxy): State<Arc<Proxy>>) -> Response {
    metrics::response(&proxy)
}
