//! The upstream of its own: a few pages with different windows, and bad times that come and go.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// What it is asked for, over and over.
pub(crate) const PATHS: [&str; 12] = [
    "/news",
    "/prices",
    "/weather",
    "/article/1",
    "/article/2",
    "/article/3",
    "/article/4",
    "/article/5",
    "/article/6",
    "/article/7",
    "/ledger",
    "/account",
];

/// What it is going through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Well,
    Slow,
    Failing,
}

impl Phase {
    /// One round, which goes on for ever.
    const ROUND: [(Phase, Duration); 3] = [
        (Phase::Well, Duration::from_secs(15)),
        (Phase::Slow, Duration::from_secs(8)),
        (Phase::Failing, Duration::from_secs(22)),
    ];

    fn at(since_start: Duration) -> Phase {
        let round: Duration = Self::ROUND.iter().map(|(_, d)| *d).sum();
        let mut left = since_start.as_millis() % round.as_millis();
        for (phase, lasts) in Self::ROUND {
            if left < lasts.as_millis() {
                return phase;
            }
            left -= lasts.as_millis();
        }
        Phase::Well
    }

    /// A round in words.
    pub(crate) fn round() -> String {
        let phases = Self::ROUND.map(|(phase, lasts)| {
            let name = match phase {
                Phase::Well => "well",
                Phase::Slow => "slow",
                Phase::Failing => "failing",
            };
            format!("{} s {name}", lasts.as_secs())
        });
        phases.join(", ")
    }
}

pub(crate) fn router() -> Router {
    let start = Arc::new(Instant::now());
    Router::new()
        .route("/news", page("max-age=2, stale-while-revalidate=4, stale-if-error=60"))
        .route("/prices", page("max-age=1, stale-while-revalidate=2, stale-if-error=10"))
        .route("/weather", page("max-age=6, stale-while-revalidate=6, stale-if-error=600"))
        .route("/ledger", page("max-age=3, must-revalidate"))
        .route("/account", page("no-store"))
        .route(
            "/article/{number}",
            get(|Path(number): Path<u32>| async move {
                let windows = "max-age=8, stale-while-revalidate=8, stale-if-error=600";
                let text = format!("Article {number}. ").repeat(40 * number.min(100) as usize);
                ([(header::CACHE_CONTROL, windows)], text)
            }),
        )
        .layer(middleware::from_fn_with_state(start, go_through))
}

fn page(cache_control: &'static str) -> axum::routing::MethodRouter {
    get(move |request: Request| async move {
        let text = format!("This is {}.\n", request.uri().path());
        ([(header::CACHE_CONTROL, cache_control)], text)
    })
}

/// Makes every answer suffer what the upstream is going through.
async fn go_through(State(start): State<Arc<Instant>>, request: Request, next: Next) -> Response {
    let usual = Duration::from_millis(20);
    match Phase::at(start.elapsed()) {
        Phase::Well => tokio::time::sleep(usual).await,
        Phase::Slow => tokio::time::sleep(usual * 40).await,
        Phase::Failing => {
            tokio::time::sleep(usual).await;
            return (StatusCode::SERVICE_UNAVAILABLE, "out of order\n").into_response();
        }
    }
    next.run(request).await
}
