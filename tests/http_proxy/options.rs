//! What the command line takes, and how it says no.

use crate::options::{Options, Stop};

fn refused(arguments: &[&str]) -> String {
    let all = ["http_proxy"].iter().chain(arguments);
    match Options::read(all.copied().map(str::to_owned)) {
        Err(Stop::Refused(why)) => why,
        other => panic!("{arguments:?}: {other:?}"),
    }
}

#[test]
fn a_bad_option_is_refused_in_one_line_that_names_it() {
    for (arguments, named) in [
        (&["--listen", "here"][..], "--listen"),
        (&["--upstream", "127.0.0.1:80"], "--upstream"),
        (&["--upstream", "https://localhost"], "no TLS"),
        (&["--upstream", "http://localhost/path"], "--upstream"),
        (&["--ttl", "-1"], "-1"),
        (&["--ttl", "soon"], "--ttl"),
        (&["--stale-if-error", "NaN"], "--stale-if-error"),
        (&["--max-weight", "0"], "--max-weight"),
        (&["--upstream-time-out", "0"], "--upstream-time-out"),
        (&["--max-body", "5000000000"], "--max-body"),
        (&["--demo", "page"], "--demo"),
        (&["--no-such-option"], "--no-such-option"),
        (&["argument"], "argument"),
    ] {
        let why = refused(arguments);
        assert!(why.contains(named) && !why.contains('\n'), "{arguments:?}: {why}");
    }
}

#[test]
fn help_is_shown_and_is_no_refusal() {
    match Options::read(["http_proxy", "--help"]) {
        Err(Stop::Shown(text)) => assert!(text.contains("--stale-if-error"), "{text}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_the_cache_refuses_is_said_in_one_line_too() {
    for (name, value) in [("--capacity", "0"), ("--max-concurrent-refresh", "0")] {
        let options = Options::read(["http_proxy", name, value]).expect("it is a number");
        let upstream = crate::upstream::Upstream::new(
            "localhost".parse().expect("a host"),
            options.upstream_time_out,
        );
        let why = crate::proxy::Proxy::new(upstream, options.settings()).err();
        let why = why.expect("the cache says no").to_string();
        assert!(!why.contains('\n') && why.contains(&name[2..].replace('-', "_")), "{why}");
    }
}

#[test]
fn all_options_have_defaults_and_times_may_be_fractions() {
    let options = Options::read(["http_proxy"]).expect("nothing is needed");
    assert!(options.upstream.is_none() && options.demo.is_none());
    let arguments =
        ["http_proxy", "--upstream", "http://localhost:3000/", "--ttl", "0.25", "--demo"];
    let options = Options::read(arguments).expect("a whole command");
    assert_eq!(options.upstream.as_ref().map(|a| a.as_str()), Some("localhost:3000"));
    assert_eq!(options.settings().defaults.windows.ttl.as_millis(), 250);
    assert_eq!(options.demo, Some(vec![]));
    assert_eq!(options.listen.port(), 8080);
}
