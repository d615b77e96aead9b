//! What is kept and shared, and what is neither.

use std::collections::HashSet;

use axum::http::{Method, StatusCode};
use lastcache::Ttl;

use crate::controlled::Health;
use crate::setting::{Setting, all, secs, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_not_be_stored_is_not_and_everybody_gets_an_answer_of_their_own() {
    let setting = Setting::new().await;
    for control in ["no-store", "private, max-age=10", "no-cache", "max-age=10, no-store"] {
        setting.upstream.serve("/a", control);
        let joins = setting.proxy.pages.stats().joins;
        setting.upstream.turn(Health::Holding);
        // They meet: one leads, the others wait for it, and then ask for themselves.
        let asking = setting.get_all((0..20).map(|_| "/a".to_owned()));
        until("all callers are in", || setting.proxy.pages.stats().joins == joins + 19).await;
        setting.upstream.turn(Health::Up);
        let mut bodies = HashSet::new();
        for got in all(asking).await {
            assert_eq!(
                (got.status, got.cache_status()),
                (StatusCode::OK, "lastcache; fwd=uri-miss")
            );
            assert_eq!(got.header("age"), "");
            assert!(bodies.insert(got.body), "{control}: two got the same answer");
        }
        assert_eq!(setting.upstream.asked().len(), 20, "{control}");
        assert_eq!((setting.proxy.pages.len(), setting.proxy.pages.weight()), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_becomes_private_is_taken_out_and_one_that_is_refused_stays() {
    let setting = Setting::new().await;
    for (status, control, stays) in [(200, "no-store", false), (403, "", true), (429, "", true)] {
        setting.upstream.serve("/a", "max-age=10, stale-if-error=100");
        setting.clock.advance(secs(10_000));
        setting.get("/a").await;
        setting.clock.advance(secs(50));
        setting.upstream.script("/a", status, &[("cache-control", control)], "");
        let got = setting.get("/a").await;
        assert_eq!((got.status.as_u16(), got.cache_status()), (status, "lastcache; fwd=stale"));
        assert_eq!(setting.proxy.pages.contains_key("/a"), stays, "{status} {control}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_page_replaces_the_one_there_was_for_a_short_time_and_covers_nothing() {
    let setting = Setting::new().await;
    setting.upstream.serve("/a", "max-age=10, stale-if-error=100");
    setting.get("/a").await;
    setting.clock.advance(secs(50));
    setting.upstream.script("/a", 404, &[], "");
    for expected in ["lastcache; fwd=stale; stored", "lastcache; hit; ttl=2"] {
        let got = setting.get("/a").await;
        assert_eq!((got.status, got.cache_status()), (StatusCode::NOT_FOUND, expected));
    }
    setting.clock.advance(secs(2));
    setting.upstream.turn(Health::Unavailable);
    let got = setting.get("/a").await;
    assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(got.cache_status(), "lastcache; fwd=uri-miss");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_about_their_sender_or_a_part_go_through_and_leave_the_cache_alone() {
    let setting = Setting::new().await;
    setting.upstream.serve("/a", "max-age=10");
    setting.get("/a").await;
    setting.upstream.asked();
    for header in [("authorization", "Basic YTpi"), ("cookie", "a=b"), ("range", "bytes=0-1")] {
        let got = setting.ask(Method::GET, "/a", &[header]).await;
        assert_eq!((got.status, got.cache_status()), (StatusCode::OK, "lastcache; fwd=bypass"));
        let asked = setting.upstream.asked();
        assert_eq!(asked.len(), 1);
        assert_eq!(asked[0].headers[header.0], header.1);
    }
    assert_eq!(setting.get("/a").await.text(), "/a 1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_asks_for_the_whole_page_and_sheds_what_is_for_one_hop() {
    let setting = Setting::new().await;
    setting.upstream.script("/a", 200, &[("connection", "x-hop"), ("x-hop", "1")], "");
    let sent = [
        ("accept-encoding", "gzip"),
        ("if-none-match", "\"1\""),
        ("accept-language", "eo"),
        ("connection", "x-own"),
        ("x-own", "1"),
    ];
    let got = setting.ask(Method::GET, "/a", &sent).await;
    assert_eq!((got.status, got.header("x-hop")), (StatusCode::OK, ""));
    let headers = &setting.upstream.asked()[0].headers;
    assert_eq!(headers["accept-language"], "eo");
    for name in ["accept-encoding", "if-none-match", "x-own", "connection"] {
        assert!(!headers.contains_key(name), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_methods_go_through_and_those_that_change_a_page_take_it_out() {
    let setting = Setting::new().await;
    for (method, status, stays) in [
        (Method::HEAD, 200, true),
        (Method::OPTIONS, 200, true),
        (Method::POST, 200, false),
        (Method::PUT, 302, false),
        (Method::DELETE, 204, false),
        (Method::POST, 400, true),
        (Method::PUT, 500, true),
    ] {
        setting.upstream.serve("/a", "max-age=10");
        setting.get("/a").await;
        setting.upstream.asked();
        setting.upstream.script("/a", status, &[("cache-control", "max-age=10")], "");
        let got = setting.ask(method.clone(), "/a", &[]).await;
        assert_eq!((got.status.as_u16(), got.cache_status()), (status, "lastcache; fwd=method"));
        let asked = setting.upstream.asked();
        assert_eq!((asked.len(), &asked[0].method), (1, &method));
        assert_eq!(setting.proxy.pages.contains_key("/a"), stays, "{method} {status}");
    }
    // The page's path takes only GET from the upstream.
    setting.upstream.script("/", 200, &[], "");
    let got = setting.ask(Method::POST, "/", &[]).await;
    assert_eq!((got.status, got.cache_status()), (StatusCode::OK, "lastcache; fwd=method"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_bounded_by_what_pages_weigh_and_a_large_one_is_passed_on_whole() {
    let setting = Setting::with(|s| s.max_weight = 100_000).await;
    let large = "x".repeat(9_000);
    for page in 0..50 {
        setting.upstream.script(&format!("/{page}"), 200, &[], &large);
        let got = setting.get(&format!("/{page}")).await;
        assert_eq!(got.cache_status(), "lastcache; fwd=uri-miss; stored");
        assert!(setting.proxy.pages.weight() <= 100_000);
    }
    assert!((5..=11).contains(&setting.proxy.pages.len()), "{}", setting.proxy.pages.len());

    let too_large = "y".repeat(300_000);
    setting.upstream.script("/large", 200, &[], &too_large);
    let got = setting.get("/large").await;
    assert_eq!((got.status, got.cache_status()), (StatusCode::OK, "lastcache; fwd=uri-miss"));
    assert_eq!(got.text(), format!("/large 51{too_large}"));
    assert!(!setting.proxy.pages.contains_key("/large"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_hangs_up_costs_the_others_nothing() {
    let setting = Setting::new().await;
    setting.upstream.serve("/a", "max-age=10");
    setting.upstream.turn(Health::Holding);
    // The leader, and then two who wait for it.
    let mut leader = setting.get_all(["/a".to_owned()]);
    until("the leader's request has come", || setting.upstream.waiting() == 1).await;
    let others = setting.get_all(["/a".to_owned(), "/a".to_owned()]);
    until("the others wait", || setting.proxy.pages.stats().joins == 2).await;
    leader.shutdown().await;
    until("one of them leads", || setting.upstream.waiting() == 2).await;
    setting.upstream.turn(Health::Up);
    for got in all(others).await {
        assert_eq!(got.status, StatusCode::OK);
    }
    assert_eq!(setting.proxy.pages.ttl("/a"), Some(Ttl::Left(secs(10))));
}
