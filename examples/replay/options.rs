//! The command line: what may be asked for, and every refusal as one line.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::PathBuf;

use clap::Parser;
use clap::error::ErrorKind;

use crate::run::{Mode, Settings};

/// Replay a trace of accesses through the cache: access number i, from 0, happens at i milliseconds.
#[derive(Parser)]
#[command(name = "replay")]
pub(crate) struct Options {
    /// The trace: a text file, or a gzip file when its name ends in .gz, with one access per line
    #[arg(value_name = "TRACE")]
    pub(crate) trace: PathBuf,

    /// Which column is the key, counted from 1; columns are split at white space
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) column: NonZeroUsize,

    /// What a stale value is good for
    #[arg(long, value_enum, default_value = "stale-if-error")]
    mode: Mode,

    /// How many entries the cache has room for [default: the library's]
    #[arg(long, value_name = "ENTRIES")]
    capacity: Option<usize>,

    /// How long a value is fresh [default: the library's]
    #[arg(long, value_name = "MS")]
    ttl: Option<u64>,

    /// How long past its freshness a value may stand in for an error [default: the library's]
    #[arg(long, value_name = "MS")]
    stale_if_error: Option<u64>,

    /// How long past its freshness a value may be served while it is refreshed [default: the library's]
    #[arg(long, value_name = "MS")]
    stale_while_revalidate: Option<u64>,

    /// How long no refresh of a key is tried after a failed one [default: the library's]
    #[arg(long, value_name = "MS")]
    back_off: Option<u64>,

    /// The origin fails from FROM until just before TO, in milliseconds; may be given more than once
    #[arg(long, value_name = "FROM..TO", value_parser = range)]
    outage: Vec<Range<u64>>,

    /// Print one JSON object and nothing else
    #[arg(long)]
    pub(crate) json: bool,
}

/// Why there are no options to go on with.
pub(crate) enum Stop {
    /// The caller asked for this text.
    Shown(String),
    /// The caller asked for something that cannot be.
    Refused(String),
}

impl Options {
    /// Reads the process's arguments.
    pub(crate) fn read() -> Result<Self, Stop> {
        Self::try_parse().map_err(|error| {
            let text = error.render().to_string();
            match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Stop::Shown(text),
                _ => Stop::Refused(first_paragraph(&text)),
            }
        })
    }

    /// The part that the replay itself needs.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            mode: self.mode,
            capacity: self.capacity,
            ttl: self.ttl,
            stale_if_error: self.stale_if_error,
            stale_while_revalidate: self.stale_while_revalidate,
            back_off: self.back_off,
            outages: self.outage.clone(),
        }
    }
}

/// What is wrong stands before the first blank line; tips and usage come after it.
fn first_paragraph(text: &str) -> String {
    let lines = text.lines().map(str::trim);
    let words: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
    let joined = words.join(" ");
    joined.strip_prefix("error: ").map_or(joined.clone(), String::from)
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let (from, to) = text.split_once("..").ok_or("expected FROM..TO")?;
    let number = |part: &str| {
        part.parse::<u64>()
            .map_err(|error| format!("`{part}` is no number of milliseconds: {error}"))
    };
    let (from, to) = (number(from)?, number(to)?);
    if from >= to {
        return Err("FROM must be before TO".into());
    }
    Ok(from..to)
}
