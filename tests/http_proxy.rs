//! The example's proxy on loopback, with a real client, through an outage: what it answers, what it says
//! about its answers, and what the upstream is asked meanwhile.
//!
//! A manual clock moves time for the cache; nothing sleeps. The upstream holds its answers where a test needs
//! everybody to have come first.

#[path = "../examples/http_proxy/cache_control.rs"]
mod cache_control;
#[path = "../examples/http_proxy/cache_status.rs"]
mod cache_status;
#[path = "http_proxy/upstream.rs"]
mod controlled;
#[path = "../examples/http_proxy/failing.rs"]
mod failing;
#[path = "../examples/http_proxy/fetch.rs"]
mod fetch;
#[path = "http_proxy/headers.rs"]
mod headers;
#[path = "../examples/http_proxy/metrics.rs"]
mod metrics;
#[path = "http_proxy/options.rs"]
mod option_tests;
#[path = "../examples/http_proxy/options.rs"]
mod options;
#[path = "http_proxy/outage.rs"]
mod outage;
#[path = "../examples/http_proxy/page.rs"]
mod page;
#[path = "../examples/http_proxy/proxy.rs"]
mod proxy;
#[path = "../examples/http_proxy/reply.rs"]
mod reply;
#[path = "../examples/http_proxy/routes.rs"]
mod routes;
#[path = "http_proxy/setting.rs"]
mod setting;
#[path = "http_proxy/sharing.rs"]
mod sharing;
#[path = "http_proxy/shown.rs"]
mod shown;
#[path = "../examples/http_proxy/tally.rs"]
mod tally;
#[path = "../examples/http_proxy/upstream.rs"]
mod upstream;
#[path = "../examples/http_proxy/windows.rs"]
mod windows;
