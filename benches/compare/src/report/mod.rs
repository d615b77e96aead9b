//! The report: one page of HTML that holds everything, a summary in Markdown, and the pictures as files.

mod draw;
mod html;
mod markdown;
mod method;
mod pictures;

use std::fs;
use std::path::Path;

use crate::aims::Judged;
use crate::figures::Spread;
use crate::losses::{Loss, losses};
use crate::record::Run;

/// All that the report is made of.
pub(crate) struct Report<'a> {
    run: &'a Run,
    aims: &'a [Judged],
    losses: Vec<Loss>,
    remarks: Vec<String>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(run: &'a Run, aims: &'a [Judged]) -> Self {
        Self { run, aims, losses: losses(&run.figures), remarks: run.remarks() }
    }

    /// Writes it; an error is one line.
    pub(crate) fn write(&self, directory: &Path) -> Result<(), String> {
        let write = |name: &str, text: &str| {
            let path = directory.join(name);
            fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
        };
        fs::create_dir_all(directory)
            .map_err(|error| format!("{}: {error}", directory.display()))?;
        let pictures = pictures::all(&self.run.figures);
        for picture in &pictures {
            write(&format!("{}.svg", picture.file), &picture.svg)?;
        }
        write("index.html", &html::page(self, &pictures))?;
        write("summary.md", &markdown::summary(self))
    }
}

/// A figure with its spread, in the digits that tell something.
fn with_spread(spread: Spread) -> String {
    let Spread { low, median, high } = spread;
    let [low_text, median_text, high_text] = [low, median, high].map(draw::short);
    if low == high { median_text } else { format!("{median_text} ({low_text} to {high_text})") }
}

/// The same for an aim: two digits behind the point, since the aims have them.
fn to_judge(spread: Spread) -> String {
    let Spread { low, median, high } = spread;
    if low == high {
        return format!("{median:.2}");
    }
    format!("{median:.2} ({low:.2} to {high:.2})")
}

/// What an aim's figure would be at best.
pub(crate) fn floors(aim: &Judged) -> String {
    let medians: Vec<_> = aim.floors.iter().map(|it| format!("{:.2}", it.median)).collect();
    if medians.is_empty() { "–".into() } else { medians.join(", ") }
}

/// Losses that have their reason in common, in the order of their first.
fn by_reason(losses: &[Loss]) -> Vec<(&'static str, Vec<&Loss>)> {
    let mut groups: Vec<(&'static str, Vec<&Loss>)> = Vec::new();
    for loss in losses {
        match groups.iter_mut().find(|it| it.0 == loss.reason) {
            Some(group) => group.1.push(loss),
            None => groups.push((loss.reason, vec![loss])),
        }
    }
    groups
}

/// What a metric counts.
fn unit(metric: &str) -> &'static str {
    match metric {
        "mops" => "M/s",
        "p99.9" => "ns at p99.9",
        "bytes" => "bytes per entry",
        "allocs" => "allocations",
        "hits" => "% found",
        "fetches" => "fetches",
        _ => "",
    }
}
