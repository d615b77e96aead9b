//! A trace: the keys of a text file, plain or gzip, one access per line, read as they are needed.
//!
//! Blank lines are no access. Anything that is not such a file is an error that names the file and, where
//! there is one, the line; nothing is skipped or guessed.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::num::NonZeroUsize;
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use indicatif::ProgressBar;

pub(crate) struct Trace {
    name: String,
    lines: Box<dyn BufRead>,
    line: String,
    number: u64,
    column: NonZeroUsize,
}

impl Trace {
    /// Opens a trace; `bar` counts the bytes of the file that have been read.
    pub(crate) fn open(
        path: &Path,
        column: NonZeroUsize,
        bar: &ProgressBar,
    ) -> Result<Self, String> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| format!("{name}: {error}"))?;
        if let Ok(metadata) = file.metadata() {
            bar.set_length(metadata.len());
        }
        let file = BufReader::with_capacity(1 << 16, bar.wrap_read(file));
        let compressed = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz"));
        let lines: Box<dyn BufRead> = if compressed {
            let decoder: Box<dyn Read> = Box::new(MultiGzDecoder::new(file));
            Box::new(BufReader::with_capacity(1 << 16, decoder))
        } else {
            Box::new(file)
        };
        Ok(Self { name, lines, line: String::new(), number: 0, column })
    }

    /// The key of the next access, or `None` at the end of the file.
    pub(crate) fn next_key(&mut self) -> Result<Option<&str>, String> {
        loop {
            self.line.clear();
            self.number += 1;
            let read = self.lines.read_line(&mut self.line);
            if read.map_err(|error| format!("{}: line {}: {error}", self.name, self.number))? == 0 {
                return Ok(None);
            }
            if !self.line.trim().is_empty() {
                break;
            }
        }
        match self.line.split_whitespace().nth(self.column.get() - 1) {
            Some(key) => Ok(Some(key)),
            None => {
                Err(format!("{}: line {} has no column {}", self.name, self.number, self.column))
            }
        }
    }
}
