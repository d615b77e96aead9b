//! The replay's command line: what it prints, and what it refuses.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Once;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::model::compare;
use crate::run::{Mode, Settings};
use crate::traces::generated;

/// The example beside this test, which is `target/<profile>/deps/…`. `cargo test` as a whole has built it; a run
/// of this test alone has not, or has left an old one.
fn command() -> Command {
    let test = std::env::current_exe().expect("a test has a path");
    let profile = test.ancestors().nth(2).expect("deps is inside the profile");
    static BUILT: Once = Once::new();
    BUILT.call_once(|| build_example(profile));
    let file = format!("examples/replay{}", std::env::consts::EXE_SUFFIX);
    Command::new(profile.join(file))
}

fn build_example(profile: &Path) {
    let name = profile.file_name().and_then(OsStr::to_str);
    let name = name.expect("the name of a profile is text");
    let target = profile.parent().expect("a profile is inside the target folder");
    let built = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--quiet", "--example", "replay", "--profile"])
        .arg(if name == "debug" { "dev" } else { name })
        .arg("--target-dir")
        .arg(target)
        .status();
    assert!(built.is_ok_and(|status| status.success()), "the example does not build");
}

fn output_of(arguments: impl IntoIterator<Item: AsRef<OsStr>>) -> Output {
    let output = command().args(arguments).output();
    output.expect("the example starts")
}

fn file(name: &str, content: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, content).expect("the folder for temporary files can be written");
    path
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).expect("memory can be written");
    encoder.finish().expect("memory can be written")
}

fn assert_refused(output: &Output, what: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{what}: {error}");
    assert_eq!(output.stdout, b"", "{what}: {error}");
    assert!(error.ends_with('\n'), "{what}: {error:?}");
    assert_eq!(error.lines().count(), 1, "{what}: {error:?}");
    assert!(error.trim().len() > "replay:".len(), "{what}: {error:?}");
}

#[test]
fn the_command_prints_the_figures_of_the_replay_and_nothing_else() {
    let keys = generated(10, 5_000, 300);
    let plain = keys.join("\n");
    // Blank lines are no access, line breaks may be of two characters, columns may be far apart.
    let columns: String = keys.iter().map(|key| format!("x \t {key}  9\r\n \t\n\n")).collect();
    let (first, rest) = plain.split_at(plain.find('\n').expect("several lines"));
    let members = [gzip(first.as_bytes()), gzip(rest.as_bytes())].concat();
    let options = [
        "--mode=stale-while-revalidate",
        "--capacity=5000",
        "--ttl=100",
        "--stale-if-error=900",
        "--stale-while-revalidate=300",
        "--back-off=30",
        "--outage=1000..1500",
        "--outage=3000..3900",
    ];
    let expected = compare(
        &keys,
        &Settings {
            mode: Mode::StaleWhileRevalidate,
            capacity: Some(5_000),
            ttl: Some(100),
            stale_if_error: Some(900),
            stale_while_revalidate: Some(300),
            back_off: Some(30),
            outages: vec![1_000..1_500, 3_000..3_900],
        },
    );
    let traces = [
        (file("plain.txt", plain.as_bytes()), "1"),
        (file("plain.txt.gz", &gzip(plain.as_bytes())), "1"),
        (file("members.gz", &members), "1"),
        (file("columns.txt", columns.as_bytes()), "2"),
    ];
    for (path, column) in &traces {
        let path = path.to_str().expect("a path that is text");
        let arguments = [&[path, "--column", column], options.as_slice()].concat();
        for (form, expected) in [(None, expected.text()), (Some("--json"), expected.json())] {
            let output = output_of(arguments.iter().chain(&form));
            assert_eq!(String::from_utf8_lossy(&output.stderr), "");
            assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{path}");
            assert_eq!(output.status.code(), Some(0));
        }
    }
}

#[test]
fn the_json_object_has_every_promised_figure() {
    let path = file("three.txt", b"a\nb\na\n");
    let output = output_of([path.as_os_str(), OsStr::new("--json")]);
    let object: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("one JSON object and nothing else");
    let expected = serde_json::json!({
        "accesses": 3, "fresh": 1, "stale": 0, "fallback": 0, "loaded": 2, "errors": 0,
        "fetches": 2, "failed_fetches": 0, "refreshes": 0, "evictions": 0,
        "wrong_values": 0, "max_age_ms": 2, "stored": 2,
    });
    assert_eq!(object, expected);
}

#[test]
fn the_command_keeps_the_builders_defaults_in_both_modes() {
    // One key at 0 ms and, 60 seconds of other accesses later, at the boundary, where it is stale.
    let filler = "b\n".repeat(59_999);
    let path = file("minute.txt", format!("a\n{filler}a\n").as_bytes());
    for (mode, loaded, stale) in [("stale-if-error", 3, 0), ("stale-while-revalidate", 2, 1)] {
        let output =
            output_of([path.as_os_str(), "--json".as_ref(), "--mode".as_ref(), mode.as_ref()]);
        let object: serde_json::Value =
            serde_json::from_slice(&output.stdout).expect("one JSON object and nothing else");
        assert_eq!(object["loaded"], loaded, "{mode}");
        assert_eq!(object["stale"], stale, "{mode}");
    }
}

#[test]
fn a_missing_or_broken_trace_is_one_line_and_exit_code_2() {
    let compressed = gzip(generated(11, 3_000, 300).join("\n").as_bytes());
    let cut = |left: usize| &compressed[..left];
    let mut flipped = compressed.clone();
    flipped[compressed.len() - 6] ^= 1;
    let broken = [
        file("cut-in-half.gz", cut(compressed.len() / 2)),
        file("cut-at-the-end.gz", cut(compressed.len() - 1)),
        file("cut-in-the-header.gz", cut(5)),
        file("empty.gz", b""),
        file("wrong-checksum.gz", &flipped),
        file("no-gzip.gz", b"a\nb\n"),
        file("no-text.txt", b"a\n\xff\nb\n"),
        file("no-text.gz", &gzip(b"a\n\xff\nb\n")),
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("is not there.txt"),
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("is\nnot\n\nthere.txt"),
    ];
    for path in &broken {
        for json in [None, Some(OsStr::new("--json"))] {
            let output = output_of([path.as_os_str()].into_iter().chain(json));
            assert_refused(&output, &path.display().to_string());
        }
    }
    let ragged = file("ragged.txt", b"a 1\nb 2\nc\nd 4\n");
    let output = output_of([ragged.as_os_str(), "--column".as_ref(), "2".as_ref()]);
    assert_refused(&output, "a line without the column");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("line 3"), "{error}");
}

#[test]
fn a_bad_option_is_one_line_and_exit_code_2() {
    let path = file("good.txt", b"a\nb\n");
    let path = path.to_str().expect("a path that is text");
    let bad: &[&[&str]] = &[
        &[],
        &[path, path],
        &[path, "--column", "0"],
        &[path, "--column", "-1"],
        &[path, "--column", "two"],
        &[path, "--column"],
        &[path, "--mode", "fresh"],
        &[path, "--mode", "a\n\nb"],
        &[path, "--mode", ""],
        &[path, "--capacity", "0"],
        &[path, "--capacity", "3000000000"],
        &[path, "--capacity", "99999999999999999999999"],
        &[path, "--ttl", "-5"],
        &[path, "--ttl", "1.5"],
        &[path, "--ttl", "5", "--ttl", "6"],
        &[path, "--stale-if-error", "long"],
        &[path, "--stale-while-revalidate", ""],
        &[path, "--back-off", "1s"],
        &[path, "--outage", "7"],
        &[path, "--outage", "7..7"],
        &[path, "--outage", "9..7"],
        &[path, "--outage", ".."],
        &[path, "--outage", "3.."],
        &[path, "--outage", "..3"],
        &[path, "--outage", "1..=3"],
        &[path, "--outage=-1..3"],
        &[path, "--outage", "1..2", "--outage", "2..1"],
        &[path, "--no-such-option"],
        &[path, "--json=yes"],
    ];
    for arguments in bad {
        assert_refused(&output_of(arguments.iter()), &format!("{arguments:?}"));
    }
}

#[test]
fn help_is_no_error() {
    let output = output_of(["--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).contains("--stale-while-revalidate"));
    assert_eq!(output.stderr, b"");
}
