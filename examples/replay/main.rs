//! Replays a recorded trace of accesses through the cache and says how each of them was answered.
//!
//! ```text
//! cargo run --release --example replay -- trace.txt.gz --ttl 1000 --stale-if-error 60000 --outage 20000..30000
//! ```
//!
//! Time is not measured, it is counted: access number i, from 0, happens at i milliseconds, and one thread
//! does everything, so the same trace and options always give the same figures. Whatever is wrong with the
//! options or with the trace is said in one line on stderr, nothing is printed on stdout, and the exit code is 2.

mod options;
mod report;
mod run;
mod trace;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};

use crate::options::{Options, Stop};
use crate::run::Replay;
use crate::trace::Trace;

fn main() -> ExitCode {
    let stop = match Options::read() {
        Err(Stop::Shown(text)) => return print(&text),
        Err(Stop::Refused(error)) => error,
        Ok(options) => match replay(&options) {
            Ok(text) => return print(&text),
            Err(error) => error,
        },
    };
    eprintln!("replay: {}", one_line(&stop));
    ExitCode::from(2)
}

/// Runs the whole trace and returns what is to be printed.
fn replay(options: &Options) -> Result<String, String> {
    let mut replay = Replay::new(&options.settings())?;
    let bar = ProgressBar::new(0).with_style(
        ProgressStyle::with_template("{bar:40} {percent:>3} % of {total_bytes}, {eta} left")
            .map_err(|error| error.to_string())?,
    );
    let played = play(&mut replay, options, &bar);
    bar.finish_and_clear();
    played?;
    let report = replay.report();
    Ok(if options.json { report.json() } else { report.text() })
}

fn play(replay: &mut Replay, options: &Options, bar: &ProgressBar) -> Result<(), String> {
    let mut trace = Trace::open(&options.trace, options.column, bar)?;
    while let Some(key) = trace.next_key()? {
        replay.access(key);
    }
    Ok(())
}

/// A reader that has seen enough and closed the pipe is no failure.
fn print(text: &str) -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("replay: cannot write the result: {error}");
            ExitCode::from(2)
        }
        _ => ExitCode::SUCCESS,
    }
}

/// A name or a value may hold line breaks; a message may not.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}
