//! Access traces: read from text files, one access per line, or made up when there are none.
//!
//! A line is a key; of three columns, `time key size`, the key is the second. Files that end in .gz are gzip.
//! Only the sequence matters, so keys become numbers in the order of their first access.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Zipf};

/// One trace.
pub(crate) struct Trace {
    pub(crate) name: String,
    pub(crate) keys: Vec<u64>,
    pub(crate) distinct: usize,
}

/// All traces of a directory, by name; an error is one line.
pub(crate) fn of_directory(directory: &Path) -> Result<Vec<Trace>, String> {
    let said = |error: std::io::Error| format!("{}: {error}", directory.display());
    let mut traces = Vec::new();
    for file in std::fs::read_dir(directory).map_err(said)? {
        let path = file.map_err(said)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let stem = name
            .as_deref()
            .and_then(|name| name.strip_suffix(".txt.gz").or_else(|| name.strip_suffix(".txt")));
        if let Some(stem) = stem {
            traces.push(of_file(stem, &path)?);
        }
    }
    traces.sort_by(|a, b| a.name.cmp(&b.name));
    if traces.is_empty() {
        return Err(format!("{}: holds no .txt or .txt.gz", directory.display()));
    }
    Ok(traces)
}

fn of_file(name: &str, path: &Path) -> Result<Trace, String> {
    let said = |error: std::io::Error| format!("{}: {error}", path.display());
    let file = BufReader::new(File::open(path).map_err(said)?);
    let text: Box<dyn Read> = if path.extension().is_some_and(|ending| ending == "gz") {
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    read(name, BufReader::new(text)).map_err(|error| format!("{}: {error}", path.display()))
}

fn read(name: &str, text: impl BufRead) -> Result<Trace, String> {
    let mut numbers = Numbers::default();
    let mut keys = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.map_err(|error| format!("line {}: {error}", at + 1))?;
        let columns: Vec<_> = line.split_whitespace().collect();
        match columns[..] {
            [] => {}
            [key] | [_, key, _] => keys.push(numbers.number_of(key)),
            _ => return Err(format!("line {} has {} columns, not 1 or 3", at + 1, columns.len())),
        }
    }
    Ok(Trace { name: name.into(), keys, distinct: numbers.0.len() })
}

/// A number for every key.
#[derive(Default)]
struct Numbers(HashMap<String, u64>);

impl Numbers {
    fn number_of(&mut self, key: &str) -> u64 {
        if let Some(number) = self.0.get(key) {
            return *number;
        }
        let number = self.0.len() as u64;
        self.0.insert(key.to_owned(), number);
        number
    }
}

impl Trace {
    /// The first accesses alone.
    pub(crate) fn cut(mut self, accesses: usize) -> Self {
        if self.keys.len() > accesses {
            self.keys.truncate(accesses);
            let distinct: std::collections::HashSet<_> = self.keys.iter().collect();
            self.distinct = distinct.len();
        }
        self
    }

    fn made(name: &str, key: impl FnMut(u64) -> u64) -> Self {
        let keys: Vec<_> = (0..MADE).map(key).collect();
        let distinct: std::collections::HashSet<_> = keys.iter().collect();
        Self { name: name.into(), distinct: distinct.len(), keys }
    }
}

/// How many accesses a made-up trace has.
const MADE: u64 = 300_000;

/// Three kinds of accesses, the same in every run: skewed; skewed with a hot set that moves; skewed with
/// loops over all keys in between.
pub(crate) fn made_up() -> Vec<Trace> {
    let law = Zipf::new(50_000.0, 0.9).expect("a valid exponent");
    let mut random = StdRng::seed_from_u64(7);
    let mut draw = |_| law.sample(&mut random) as u64;
    let skewed = Trace::made("made-up skewed", &mut draw);
    let moving = Trace::made("made-up moving", |at| draw(at) + at / 10);
    let mut random = StdRng::seed_from_u64(8);
    let mut next = 0;
    let loops = Trace::made("made-up loops", |at| {
        if at % 60_000 < 20_000 {
            next = (next + 1) % 20_000;
            return 100_000 + next;
        }
        if random.random_ratio(1, 10) { 0 } else { law.sample(&mut random) as u64 }
    });
    vec![skewed, moving, loops]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_numbered_in_the_order_of_their_first_access() {
        let trace = read("t", "9\nabc\n\n9\n7\n".as_bytes()).unwrap();
        assert_eq!((trace.keys, trace.distinct), (vec![0, 1, 0, 2], 3));
    }

    #[test]
    fn of_three_columns_the_second_is_the_key() {
        let trace = read("t", "1 50 7\n2 60 7\n3 50 7\n".as_bytes()).unwrap();
        assert_eq!((trace.keys, trace.distinct), (vec![0, 1, 0], 2));
    }

    #[test]
    fn a_line_that_is_no_access_is_refused_by_its_number() {
        let error = read("t", "1\n1 2\n".as_bytes()).err().unwrap();
        assert_eq!(error, "line 2 has 2 columns, not 1 or 3");
        assert!(read("t", &b"1\n\xff\n"[..]).err().unwrap().starts_with("line 2"));
    }

    #[test]
    fn a_trace_that_is_cut_counts_its_keys_anew() {
        let trace = read("t", "1\n2\n1\n3\n".as_bytes()).unwrap().cut(3);
        assert_eq!((trace.keys, trace.distinct), (vec![0, 1, 0], 2));
    }

    #[test]
    fn made_up_traces_are_the_same_in_every_run() {
        let (once, again) = (made_up(), made_up());
        assert!(once.iter().zip(&again).all(|(a, b)| a.keys == b.keys && a.distinct > 1_000));
    }

    #[test]
    fn a_directory_without_traces_is_an_error_of_one_line() {
        let error = of_directory(Path::new("no/such/directory")).err().unwrap();
        assert!(error.starts_with("no/such/directory: ") && !error.contains('\n'));
    }
}
