//! A caching reverse proxy that goes on answering while its upstream is slow or down.
//!
//! ```text
//! cargo run --release --example http_proxy
//! cargo run --release --example http_proxy -- --upstream http://127.0.0.1:3000 --listen 127.0.0.1:8080
//! ```
//!
//! Without an upstream it starts a flaky one of its own, and clients that ask for its pages: open the address
//! that it prints and look at what is fresh, stale and failing. Ctrl-C ends it.
//!
//! * `GET` is answered by path and query from one cache, with `get_swr_async`: fresh pages at once; stale ones
//!   at once too while one request per URL refreshes them; past that window a request waits, and falls back
//!   to the stale page if the upstream fails. `Age` and `Cache-Status` (RFC 9211) say which.
//! * The windows are the response's own: `max-age`, `s-maxage`, `stale-while-revalidate`, `stale-if-error`, and
//!   options for those that do not say. `no-store`, `no-cache`, `private`, `Set-Cookie`, `Expires` without
//!   `max-age`, and `Vary` by anything but the encoding are never kept, nor shared with requests that waited.
//! * A 5xx, a broken connection and a time-out are failures. A 404 or 410 is a page like any other, kept for a
//!   short time of its own and without stale windows: it replaces what was there. Other 4xx with a `max-age` are kept
//!   like it; those without are passed on and leave the kept page as it is. An answer that may not be kept takes it out.
//! * Other methods, and requests with `Authorization`, `Cookie` or `Range`, go through. Conditional requests are
//!   answered with the whole page.
//! * `GET /` and `GET /metrics` are the proxy's own; all other paths are the upstream's.
//!
//! Whatever is wrong with the options is said in one line on stderr, and the exit code is 2.

mod cache_control;
mod cache_status;
mod failing;
mod fetch;
mod flaky;
mod load;
mod metrics;
mod options;
mod page;
mod proxy;
mod reply;
mod routes;
mod tally;
mod upstream;
mod windows;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;

use axum::http::Uri;
use axum::http::uri::{Authority, PathAndQuery};
use tokio::net::TcpListener;

use crate::options::{Options, Stop};
use crate::proxy::Proxy;
use crate::upstream::Upstream;

fn main() -> ExitCode {
    let stop = match Options::read(std::env::args_os()) {
        Err(Stop::Shown(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(Stop::Refused(error)) => error,
        Ok(options) => match run(&options) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) => error,
        },
    };
    eprintln!("http_proxy: {stop}");
    ExitCode::from(2)
}

fn run(options: &Options) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let ran = runtime.block_on(serve(options));
    // What is still under way is not waited for.
    runtime.shutdown_background();
    ran
}

async fn serve(options: &Options) -> Result<(), String> {
    let listener = listen(options.listen).await?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let (authority, what) = match &options.upstream {
        Some(given) => (given.clone(), format!("http://{given}")),
        None => {
            let own = start_own_upstream().await?;
            (own.clone(), format!("http://{own}, its own: {}, and so on", flaky::Phase::round()))
        }
    };
    let upstream = Upstream::new(authority, options.upstream_time_out);
    let proxy = Proxy::new(upstream, options.settings()).map_err(|error| error.to_string())?;
    let proxy = Arc::new(proxy);

    println!("page:     http://{address}/");
    println!("metrics:  http://{address}/metrics");
    println!("upstream: {what}");
    let paths = demo_paths(options);
    if let Some(path) = paths.first() {
        println!("clients:  ask for {} paths, over and over", paths.len());
        println!("try:      curl -i http://{address}{path}   and look at Age and Cache-Status");
    }
    println!("Ctrl-C ends it");
    load::start(address, &paths);

    let serving = axum::serve(listener, routes::router(Arc::clone(&proxy)));
    tokio::select! {
        served = async { serving.await } => served.map_err(|error| error.to_string()),
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(|error| error.to_string()),
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, String> {
    let listening = TcpListener::bind(address).await;
    listening.map_err(|error| format!("cannot listen on {address}: {error}"))
}

async fn start_own_upstream() -> Result<Authority, String> {
    let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).await?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    drop(tokio::spawn(async { axum::serve(listener, flaky::router()).await }));
    Authority::try_from(address.to_string()).map_err(|error| error.to_string())
}

/// What the example's own clients ask for.
fn demo_paths(options: &Options) -> Vec<PathAndQuery> {
    match (&options.demo, &options.upstream) {
        (Some(given), _) if !given.is_empty() => {
            given.iter().filter_map(Uri::path_and_query).cloned().collect()
        }
        (None, Some(_)) => Vec::new(),
        _ => flaky::PATHS.map(PathAndQuery::from_static).into(),
    }
}
