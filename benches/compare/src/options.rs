//! The command line: what may be asked for, and every refusal as one line.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use clap::error::ErrorKind;

/// Compare lastcache side by side with its peers.
#[derive(Parser)]
#[command(name = "lastcache-compare")]
pub(crate) struct Options {
    /// Fewer workloads, rounds and keys: under three minutes
    #[arg(long)]
    pub(crate) quick: bool,

    /// Only the workloads whose name contains this
    #[arg(long, value_name = "SUBSTRING")]
    pub(crate) only: Option<String>,

    /// Print the names of the workloads and end
    #[arg(long)]
    pub(crate) list: bool,

    /// Write the figures to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Measure nothing: make the report again from figures that --json wrote
    #[arg(long, value_name = "FILE", conflicts_with_all = ["only", "json"])]
    pub(crate) from: Option<PathBuf>,

    /// Where to write the report
    #[arg(long, value_name = "DIR", default_value = "target/compare")]
    pub(crate) report: PathBuf,

    /// Where the access traces are, .txt or .txt.gz [default: ../shared/traces beside the project if it
    /// exists, else made-up ones]
    #[arg(long, value_name = "DIR")]
    traces: Option<PathBuf>,

    /// Measure one workload and print its figures: what the program starts itself as
    #[arg(long, value_name = "NAME", hide = true)]
    pub(crate) measure: Option<String>,

    /// Which of the processes that measure it one after the other
    #[arg(long, value_name = "N", hide = true, default_value_t = 0)]
    pub(crate) stand: u64,
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

    /// Refuses what could not be read or written, before anything is measured.
    pub(crate) fn check(&self) -> Result<(), String> {
        if let Some(directory) = self.traces.as_deref().filter(|it| !it.is_dir()) {
            return Err(format!("{}: no directory", directory.display()));
        }
        let said = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
        fs::create_dir_all(&self.report).map_err(|error| said(&self.report, error))?;
        if let Some(file) = &self.json {
            fs::write(file, "").map_err(|error| said(file, error))?;
        }
        Ok(())
    }

    /// The directory of the traces, if there are any.
    pub(crate) fn traces(&self) -> Option<PathBuf> {
        let beside = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/traces"));
        self.traces.clone().or_else(|| beside.is_dir().then(|| beside.into()))
    }
}

/// What is wrong stands before the first blank line; tips and usage come after it.
fn first_paragraph(text: &str) -> String {
    let lines = text.lines().map(str::trim).take_while(|line| !line.is_empty());
    let line = lines.collect::<Vec<_>>().join(" ");
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}
