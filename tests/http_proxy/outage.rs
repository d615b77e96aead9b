//! The life of a page, and what callers get through an outage and after it.

use axum::http::StatusCode;
use lastcache::{BackOff, Ttl};

use crate::controlled::Health;
use crate::setting::{Setting, all, secs, until};

const WINDOWS: &str = "max-age=10, stale-while-revalidate=20, stale-if-error=100";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_miss_is_stored_and_a_hit_tells_its_age() {
    let setting = Setting::new().await;
    setting.upstream.serve("/a?b=c", WINDOWS);
    let miss = setting.get("/a?b=c").await;
    assert_eq!((miss.status, miss.text()), (StatusCode::OK, "/a?b=c 1"));
    assert_eq!(miss.cache_status(), "lastcache; fwd=uri-miss; stored");
    assert_eq!(miss.header("age"), "0");
    assert_eq!(miss.header("cache-control"), WINDOWS);
    setting.clock.advance(secs(9));
    let hit = setting.get("/a?b=c").await;
    assert_eq!((hit.status, hit.text()), (StatusCode::OK, "/a?b=c 1"));
    assert_eq!(hit.cache_status(), "lastcache; hit; ttl=1");
    assert_eq!((hit.header("age"), hit.header("content-type")), ("9", "text/plain"));
    let asked = setting.upstream.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].path, "/a?b=c");
    assert_eq!(asked[0].headers["via"], "1.1 lastcache");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_age_that_a_page_came_with_is_part_of_its_age() {
    let setting = Setting::new().await;
    setting.upstream.script("/a", 200, &[("cache-control", WINDOWS), ("age", "7")], "");
    assert_eq!(setting.get("/a").await.header("age"), "7");
    setting.clock.advance(secs(2));
    let hit = setting.get("/a").await;
    assert_eq!((hit.cache_status(), hit.header("age")), ("lastcache; hit; ttl=1", "9"));
    setting.clock.advance(secs(2));
    let stale = setting.get("/a").await;
    assert_eq!(stale.cache_status(), "lastcache; hit; ttl=-1; detail=stale-while-revalidate");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_page_is_revalidated_everybody_gets_it_stale_at_once_and_the_upstream_one_request()
{
    let setting = Setting::new().await;
    setting.upstream.serve("/a", WINDOWS);
    setting.get("/a").await;
    assert_eq!(setting.upstream.asked().len(), 1);
    setting.clock.advance(secs(22));
    // Whoever waited for the upstream would wait for ever.
    setting.upstream.turn(Health::Holding);
    for got in all(setting.get_all((0..20).map(|_| "/a".to_owned()))).await {
        assert_eq!((got.status, got.text()), (StatusCode::OK, "/a 1"));
        assert_eq!(got.cache_status(), "lastcache; hit; ttl=-12; detail=stale-while-revalidate");
        assert_eq!(got.header("age"), "22");
    }
    until("the refresh reaches the upstream", || setting.upstream.waiting() > 0).await;
    setting.upstream.turn(Health::Up);
    let fresh = || setting.proxy.pages.ttl("/a") == Some(Ttl::Left(secs(10)));
    until("the refresh is published", fresh).await;
    assert_eq!(setting.upstream.asked().len(), 1);
    let hit = setting.get("/a").await;
    assert_eq!((hit.cache_status(), hit.text()), ("lastcache; hit; ttl=10", "/a 2"));
}

/// With every kind of outage: 200 and the stale page for as long as stale-if-error allows, and then the error.
async fn goes_on_answering(health: Health, fwd_status: &str, error: StatusCode) {
    let setting = Setting::new().await;
    for page in 0..10 {
        setting.upstream.serve(&format!("/{page}"), WINDOWS);
        setting.get(&format!("/{page}")).await;
    }
    setting.upstream.turn(health);
    if health == Health::Gone {
        until("it is gone", || setting.upstream.refuses()).await;
    }
    // Past stale-while-revalidate every request waits for the upstream first.
    setting.clock.advance(secs(40));
    for round in 0..3 {
        for page in 0..10 {
            let got = setting.get(&format!("/{page}")).await;
            let body = format!("/{page} {}", page + 1);
            assert_eq!((got.status, got.text()), (StatusCode::OK, &*body), "round {round}");
            let status = format!("lastcache; fwd=stale{fwd_status}; detail=stale-if-error");
            assert_eq!(got.cache_status(), status);
            assert_eq!(got.header("age"), (40 + 30 * round).to_string());
        }
        setting.clock.advance(secs(30));
    }
    // A failed refresh made nothing younger: at 130 s they are past every window.
    for page in 0..10 {
        let got = setting.get(&format!("/{page}")).await;
        assert_eq!((got.status, got.cache_status()), (error, "lastcache; fwd=uri-miss"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_answers_503_is_covered_by_stale_pages() {
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    goes_on_answering(Health::Unavailable, "; fwd-status=503", unavailable).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_hangs_up_is_covered_by_stale_pages() {
    goes_on_answering(Health::HangingUp, "", StatusCode::BAD_GATEWAY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_does_not_listen_is_covered_by_stale_pages() {
    goes_on_answering(Health::Gone, "", StatusCode::BAD_GATEWAY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_back_off_the_upstream_is_left_alone() {
    let setting = Setting::with(|s| s.back_off = BackOff::fixed(secs(5))).await;
    setting.upstream.serve("/a", WINDOWS);
    setting.get("/a").await;
    setting.upstream.turn(Health::Unavailable);
    setting.clock.advance(secs(40));
    let first = setting.get("/a").await;
    let fallback = "lastcache; fwd=stale; fwd-status=503; detail=stale-if-error";
    assert_eq!(first.cache_status(), fallback);
    setting.upstream.asked();
    for got in all(setting.get_all((0..20).map(|_| "/a".to_owned()))).await {
        assert_eq!((got.status, got.text()), (StatusCode::OK, "/a 1"));
        assert_eq!(got.cache_status(), "lastcache; hit; ttl=-30; detail=back-off");
    }
    assert_eq!(setting.upstream.asked().len(), 0);
    setting.clock.advance(secs(5));
    assert_eq!(setting.get("/a").await.cache_status(), fallback);
    assert_eq!(setting.upstream.asked().len(), 1);
}

const URLS: usize = 10;
const CALLERS: usize = 200;

fn crowd() -> impl Iterator<Item = String> {
    (0..CALLERS).map(|caller| format!("/{}", caller % URLS))
}

/// Ten pages that were loaded before the upstream went down, and failed `after` that.
async fn after_an_outage(after: u64) -> Setting {
    let setting = Setting::new().await;
    for page in 0..URLS {
        setting.upstream.serve(&format!("/{page}"), WINDOWS);
    }
    all(setting.get_all((0..URLS).map(|page| format!("/{page}")))).await;
    setting.upstream.turn(Health::HangingUp);
    setting.clock.advance(secs(after));
    setting.upstream.asked();
    all(setting.get_all(crowd())).await;
    // What began in the outage ends in it: whoever asks later starts a request of its own.
    let pages = &setting.proxy.pages;
    let at_rest = |page| {
        let held = pages.peek(&*format!("/{page}")).expect("it is in its windows");
        held.refresh().is_none()
    };
    until("no refresh is under way", || (0..URLS).all(at_rest)).await;
    assert!(pages.stats().failures >= URLS as u64, "each was found down");
    assert_eq!(setting.upstream.waiting(), 0);
    setting
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_upstream_returns_it_gets_one_request_per_url_whoever_waits() {
    let setting = after_an_outage(40).await;
    let joins = setting.proxy.pages.stats().joins;
    setting.upstream.turn(Health::Holding);
    let asking = setting.get_all(crowd());
    let others = (CALLERS - URLS) as u64;
    until("all callers are in", || setting.proxy.pages.stats().joins == joins + others).await;
    until("all requests have come", || setting.upstream.waiting() == URLS).await;
    setting.upstream.turn(Health::Up);
    let (mut stored, mut collapsed) = (0, 0);
    for got in all(asking).await {
        assert_eq!((got.status, got.header("age")), (StatusCode::OK, "0"));
        match got.cache_status() {
            "lastcache; fwd=stale; stored" => stored += 1,
            "lastcache; fwd=stale; collapsed" => collapsed += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!((stored, collapsed), (URLS, CALLERS - URLS));
    let mut paths: Vec<_> = setting.upstream.asked().into_iter().map(|asked| asked.path).collect();
    paths.sort();
    assert_eq!(paths, (0..URLS).map(|page| format!("/{page}")).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_upstream_returns_it_gets_one_request_per_url_however_many_do_not_wait() {
    let setting = after_an_outage(20).await;
    // Four permits: four requests come, and the other URLs' refreshes are queued.
    setting.upstream.turn(Health::Holding);
    for got in all(setting.get_all(crowd())).await {
        assert_eq!(got.status, StatusCode::OK);
        assert_eq!(got.cache_status(), "lastcache; hit; ttl=-10; detail=stale-while-revalidate");
    }
    until("four requests have come", || setting.upstream.waiting() == 4).await;
    setting.upstream.turn(Health::Up);
    let fresh = |page| {
        let ttl = setting.proxy.pages.ttl(&*format!("/{page}"));
        ttl == Some(Ttl::Left(secs(10)))
    };
    until("all pages are fresh", || (0..URLS).all(fresh)).await;
    let mut paths: Vec<_> = setting.upstream.asked().into_iter().map(|asked| asked.path).collect();
    paths.sort();
    assert_eq!(paths, (0..URLS).map(|page| format!("/{page}")).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_at_a_cold_cache_sends_one_request_per_url() {
    let setting = Setting::new().await;
    for page in 0..URLS {
        setting.upstream.serve(&format!("/{page}"), WINDOWS);
    }
    setting.upstream.turn(Health::Holding);
    let asking = setting.get_all(crowd());
    let others = (CALLERS - URLS) as u64;
    until("all callers are in", || setting.proxy.pages.stats().joins == others).await;
    setting.upstream.turn(Health::Up);
    for got in all(asking).await {
        assert_eq!(got.status, StatusCode::OK);
        assert!(got.cache_status().starts_with("lastcache; fwd=uri-miss; "), "{got:?}");
    }
    assert_eq!(setting.upstream.asked().len(), URLS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_must_be_revalidated_covers_nothing() {
    let setting = Setting::new().await;
    setting.upstream.serve("/a", "max-age=10, must-revalidate");
    setting.get("/a").await;
    setting.upstream.turn(Health::Unavailable);
    assert_eq!(setting.get("/a").await.cache_status(), "lastcache; hit; ttl=10");
    setting.clock.advance(secs(10));
    let got = setting.get("/a").await;
    assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(got.cache_status(), "lastcache; fwd=uri-miss");
}
