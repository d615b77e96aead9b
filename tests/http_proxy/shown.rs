//! What the proxy shows of itself: the metrics, and the page's figures.

use std::collections::HashMap;

use axum::http::{Method, StatusCode};
use lastcache::Ttl;

use crate::controlled::Health;
use crate::setting::{Setting, all, secs, until};

/// Reads the Prometheus text format as far as it is used, and fails where it is not that.
fn parse(text: &str) -> HashMap<String, u64> {
    let (mut helped, mut typed) = (Vec::new(), Vec::new());
    let mut samples = HashMap::new();
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').expect("a name and words");
            assert!(!words.is_empty() && !helped.contains(&name), "{line}");
            helped.push(name);
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a name and a kind");
            assert_eq!(helped.last(), Some(&name), "{line}");
            assert!(matches!(kind, "counter" | "gauge"), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            typed.push(name);
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a series and a value");
            let name = series.split('{').next().expect("a name");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{line}");
            assert_eq!(typed.last(), Some(&name), "{line}");
            let value = value.parse().expect("a number");
            assert!(samples.insert(series.to_owned(), value).is_none(), "{line}");
        }
    }
    samples
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metrics_parse_and_balance() {
    const PAGES: u64 = 5;
    let setting = Setting::new().await;
    for page in 0..PAGES {
        setting.upstream.serve(
            &format!("/{page}"),
            "max-age=10, stale-while-revalidate=10, stale-if-error=100",
        );
    }
    setting.upstream.serve("/private", "no-store");
    let paths = || {
        (0..60).map(|n| if n % 6 == 5 { "/private".to_owned() } else { format!("/{}", n % PAGES) })
    };
    let mut gets = 0;
    for (moved, health) in [
        (0, Health::Up),
        (5, Health::Up),
        (8, Health::Up),
        (30, Health::Unavailable),
        (200, Health::Unavailable),
        (1, Health::Up),
    ] {
        setting.clock.advance(secs(moved));
        setting.upstream.turn(health);
        all(setting.get_all(paths())).await;
        gets += 60;
        if moved == 8 {
            let fresh =
                |page| setting.proxy.pages.ttl(&*format!("/{page}")) == Some(Ttl::Left(secs(10)));
            until("what was stale is refreshed", || (0..PAGES).all(fresh)).await;
        }
    }
    setting.ask(Method::POST, "/0", &[]).await;
    setting.ask(Method::GET, "/1", &[("cookie", "a=b")]).await;

    let got = setting.get("/metrics").await;
    assert!(got.header("content-type").starts_with("text/plain; version=0.0.4"));
    let samples = parse(got.text());
    let cache = |name: &str| samples[&format!("lastcache_{name}_total")];
    let outcome = |name: &str| samples[&format!("http_proxy_requests_total{{outcome=\"{name}\"}}")];
    // Every GET that is the cache's business is one of three to the cache, and one of five to the proxy.
    assert_eq!(cache("hits") + cache("stale_hits") + cache("misses"), gets);
    let answered = ["hit", "stale", "fallback", "miss", "failed"].map(outcome);
    assert_eq!((answered.iter().sum::<u64>(), outcome("pass")), (gets, 2));
    assert!(answered.iter().all(|count| *count > 0), "{answered:?}");
    assert_eq!((outcome("hit"), outcome("stale")), (cache("hits"), cache("stale_hits")));
    // Every miss led or joined; every fetch was led in the foreground or begun in the background.
    assert_eq!(
        cache("loads") + cache("failures"),
        cache("misses") - cache("joins") + cache("refreshes")
    );
    assert_eq!(samples["lastcache_entries"], setting.proxy.pages.len() as u64);
    assert_eq!(samples["lastcache_weight"], setting.proxy.pages.weight());
    assert!(samples["lastcache_weight"] > 0);
    assert_eq!(
        samples["http_proxy_upstream_requests_total"],
        setting.upstream.asked().len() as u64
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_what_is_fresh_stale_and_failing() {
    let setting = Setting::new().await;
    let html = setting.get("/").await;
    assert_eq!(html.header("content-type"), "text/html; charset=utf-8");
    assert!(html.text().contains("</script>"));

    setting.upstream.serve("/old", "max-age=10, stale-while-revalidate=0, stale-if-error=100");
    setting.get("/old").await;
    setting.clock.advance(secs(15));
    setting.upstream.serve("/new", "max-age=20");
    setting.get("/new").await;
    setting.upstream.turn(Health::Unavailable);
    setting.get("/old").await;
    setting.get("/old").await;
    setting.get("/none").await;
    let figures = async || {
        let json = setting.ask(Method::GET, "/", &[("accept", "application/json")]).await;
        assert_eq!(json.header("content-type"), "application/json");
        serde_json::from_slice::<serde_json::Value>(&json.body).expect("it is JSON")
    };
    let shown = figures().await;
    let entry = |n: usize| {
        let entry = &shown["entries"][n];
        (entry["url"].as_str(), entry["ttl"].as_f64(), entry["trouble"].as_str())
    };
    assert_eq!(entry(0), (Some("/new"), Some(20.0), None));
    assert_eq!(entry(1), (Some("/none"), None, Some("503 Service Unavailable")));
    assert_eq!(entry(2), (Some("/old"), Some(-5.0), Some("503 Service Unavailable (2 in a row)")));
    assert_eq!(
        (&shown["fresh"], &shown["stale"], &shown["failing"]),
        (&1.into(), &1.into(), &2.into())
    );
    // What succeeds is no longer failing.
    setting.upstream.turn(Health::Up);
    assert_eq!(setting.get("/old").await.status, StatusCode::OK);
    assert_eq!(figures().await["failing"], 1);
}
