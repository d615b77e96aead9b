//! What was measured on which machine, with which versions, and when.

use std::fs;
use std::process::Command;

use crate::measure::processors;

/// Everything in the lock file, by name.
const LOCKED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/versions.rs"));

/// The crates of the candidates, where there are several versions with the beginning of the one that is meant.
const CRATES: &[&str] = &[
    "lastcache",
    "moka",
    "quick_cache 0.7",
    "quick_cache 0.6",
    "foyer-memory",
    "mini-moka",
    "TinyUFO",
    "fibre_cache",
    "cached",
    "dashmap 6",
    "scc",
    "papaya",
    "arc-swap",
    "crossbeam-epoch",
    "foldhash",
];

/// Facts, each with its name.
pub(crate) fn facts() -> Vec<(String, String)> {
    let unknown = || "unknown".to_owned();
    let model = from_file("/proc/cpuinfo", "model name").unwrap_or_else(unknown);
    let memory = from_file("/proc/meminfo", "MemTotal").unwrap_or_else(unknown);
    let system = said("uname", &["-sr"]).unwrap_or_else(|| std::env::consts::OS.to_owned());
    let commit =
        said("git", &["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"]);
    let facts = [
        ("date", said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]).unwrap_or_else(unknown)),
        ("processors", format!("{} × {model}", processors())),
        ("memory", memory),
        ("system", format!("{system}, {}", std::env::consts::ARCH)),
        (LOAD, load().unwrap_or_else(unknown)),
        ("compiler", env!("COMPILER").to_owned()),
        ("commit", commit.unwrap_or_else(unknown)),
        ("versions", versions()),
    ];
    facts.into_iter().map(|(name, fact)| (name.to_owned(), fact)).collect()
}

/// The fact that tells a quiet machine.
pub(crate) const LOAD: &str = "load before the run";

/// How many threads wanted to run in the last minute.
fn load() -> Option<String> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().next().map(str::to_owned)
}

fn versions() -> String {
    let named = |entry| locked(entry).map(|(name, version)| format!("{name} {version}"));
    CRATES.iter().filter_map(|entry| named(entry)).collect::<Vec<_>>().join(", ")
}

fn locked(entry: &str) -> Option<&'static (&'static str, &'static str)> {
    let (name, begins) = entry.split_once(' ').unwrap_or((entry, ""));
    LOCKED.iter().find(|it| it.0 == name && it.1.starts_with(begins))
}

fn from_file(path: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    line.split_once(':').map(|it| it.1.trim().to_owned())
}

fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_candidate_s_version_is_in_the_lock_file() {
        for entry in CRATES {
            assert!(locked(entry).is_some(), "{entry}");
        }
    }
}
