//! Load: a few clients that ask the proxy for pages, so that there is something to see.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::http::Uri;
use axum::http::uri::{PathAndQuery, Scheme};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rand::RngExt;

const CLIENTS: usize = 8;
/// The longest time a client thinks; half of it usually.
const PAUSE: Duration = Duration::from_millis(120);

/// Asks the proxy at `proxy` for `paths` for as long as the runtime lives.
pub(crate) fn start(proxy: SocketAddr, paths: &[PathAndQuery]) {
    let client: Client<_, Body> = Client::builder(TokioExecutor::new()).build_http();
    let urls: Vec<Uri> = paths.iter().filter_map(|path| url(proxy, path)).collect();
    if urls.is_empty() {
        return;
    }
    for _ in 0..CLIENTS {
        let (client, urls) = (client.clone(), urls.clone());
        drop(tokio::spawn(async move {
            loop {
                let (which, pause) = {
                    let mut dice = rand::rng();
                    (dice.random_range(0..urls.len()), PAUSE.mul_f64(dice.random()))
                };
                tokio::time::sleep(pause).await;
                if let Ok(response) = client.get(urls[which].clone()).await {
                    // Read to the end, so that the connection can be used again.
                    drop(response.into_body().collect().await);
                }
            }
        }));
    }
}

fn url(proxy: SocketAddr, path: &PathAndQuery) -> Option<Uri> {
    let parts = Uri::builder().scheme(Scheme::HTTP).authority(proxy.to_string());
    parts.path_and_query(path.clone()).build().ok()
}
