//! What is replayed: generated traces always, real ones where `../shared/traces` has some.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Zipf};

use crate::run::{Mode, Settings};
use crate::trace::Trace;

/// Skewed keys, then a scan, then a loop, then skewed keys again; some keys are no ASCII.
pub(crate) fn generated(seed: u64, accesses: usize, keys: usize) -> Vec<String> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let skewed = Zipf::new(keys as f64, 0.9).expect("at least one key");
    let name = |number: usize| match number % 5 {
        0 => format!("schlüssel/{number}"),
        1 => format!("鍵{number}"),
        _ => number.to_string(),
    };
    (0..accesses)
        .map(|i| match i * 6 / accesses {
            2 => name(keys + i),
            3 => name(i % 50),
            4 => name(rng.random_range(0..keys)),
            _ => name(skewed.sample(&mut rng) as usize),
        })
        .collect()
}

pub(crate) fn read(path: &Path, column: usize) -> Vec<String> {
    let column = NonZeroUsize::new(column).expect("columns count from 1");
    let mut trace = Trace::open(path, column, &ProgressBar::hidden()).expect("a trace");
    let mut keys = Vec::new();
    while let Some(key) = trace.next_key().expect("a whole trace") {
        keys.push(key.to_owned());
    }
    keys
}

/// The real traces that are there, with the column that holds their keys.
pub(crate) fn real() -> Vec<(PathBuf, usize)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/traces");
    let Ok(files) = fs::read_dir(&folder) else {
        println!("no ../shared/traces here: generated data only");
        return Vec::new();
    };
    let mut traces: Vec<_> = files
        .map(|file| file.expect("a readable folder").path())
        .filter(|path| path.extension() == Some(OsStr::new("gz")))
        .map(|path| {
            let is_cdn = path.ends_with("cdn-request.txt.gz");
            (path, 1 + usize::from(is_cdn))
        })
        .collect();
    traces.sort();
    traces
}

pub(crate) fn settings(mode: Mode, keys: &[String]) -> Settings {
    let distinct: HashSet<_> = keys.iter().collect();
    Settings {
        mode,
        capacity: Some(distinct.len() + 1),
        ttl: None,
        stale_if_error: None,
        stale_while_revalidate: None,
        back_off: None,
        outages: Vec::new(),
    }
}
