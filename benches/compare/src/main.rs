//! lastcache side by side with its peers: speed, latency, memory, hit ratio, behaviour in a stampede.
//!
//! ```text
//! cargo run --release --manifest-path benches/compare/Cargo.toml
//! cargo run --release --manifest-path benches/compare/Cargo.toml -- --quick --json figures.json
//! ```
//!
//! Prints the aims with figure and verdict, and writes a report: one page of HTML and a summary in Markdown.

mod aims;
mod candidates;
mod figures;
mod hit_ratio;
mod keys;
mod latency;
mod losses;
mod machine;
mod measure;
mod memory;
mod options;
mod report;
mod run;
mod stage;
mod stale;
mod stamp;
mod stampede;
mod subject;
mod traces;
mod workloads;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use aims::Judged;
use figures::Figures;
use options::{Options, Stop};
use report::Report;

fn main() -> ExitCode {
    let refused = match Options::read() {
        Err(Stop::Shown(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(Stop::Refused(error)) => error,
        Ok(options) => match compare(&options) {
            Ok(code) => return code,
            Err(error) => error,
        },
    };
    eprintln!("lastcache-compare: {refused}");
    ExitCode::from(2)
}

fn compare(options: &Options) -> Result<ExitCode, String> {
    if let Some(name) = &options.measure {
        return run::one(name, options).map(|()| ExitCode::SUCCESS);
    }
    if options.list {
        run::picked(options)?.iter().for_each(|it| println!("{}", it.name));
        return Ok(ExitCode::SUCCESS);
    }
    let (facts, load) = (machine::facts(), machine::load());
    let (mut figures, failed) = match &options.from {
        None => run::all(options)?,
        Some(file) => (read(file)?, Vec::new()),
    };
    losses::put_in_order(&mut figures);
    let aims = aims::judge(&figures)?;
    let mut remarks = remarks(options, &figures, &failed);
    remarks.extend(load.filter(|_| options.from.is_none()).and_then(not_quiet));
    Report::new(&figures, &aims, &facts, &remarks).write(&options.report)?;
    if let Some(file) = &options.json {
        let text = format!("{:#}\n", figures.json());
        fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    print_aims(&aims);
    println!("\n{}", options.report.join("index.html").display());
    failed.iter().for_each(|it| eprintln!("lastcache-compare: {it}"));
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read(file: &Path) -> Result<Figures, String> {
    let said = |error: String| format!("{}: {error}", file.display());
    let text = fs::read_to_string(file).map_err(|error| said(error.to_string()))?;
    Figures::from_json(&text).map_err(said)
}

/// What a reader must know of this run before he believes it.
fn remarks(options: &Options, figures: &Figures, failed: &[String]) -> Vec<String> {
    let mut remarks = Vec::new();
    if options.quick {
        remarks.push(
            "A quick run: few and short rounds, so only large differences mean something.".into(),
        );
    }
    if figures.blocks.iter().any(|it| it.workload.starts_with("trace made-up")) {
        remarks.push(
            "No real access traces were at hand: the hit ratios are of made-up ones. \
             Give a directory with --traces."
                .into(),
        );
    }
    remarks.extend(failed.iter().map(|it| format!("A workload failed: {it}.")));
    remarks
}

/// What to say of a machine that was busy before the run.
fn not_quiet(load: String) -> Option<String> {
    let busy = load.parse::<f64>().is_ok_and(|load| load > 0.5);
    let said = format!("Not a quiet machine: its load was {load} before the run. Repeat it later.");
    busy.then_some(said)
}

fn print_aims(aims: &[Judged]) {
    println!("{:<76} {:>8}  {:<13} verdict", "", "figure", "aim");
    for it in aims {
        let figure = it.figure.map_or_else(|| "–".into(), |it| format!("{:.2}", it.median));
        let (aim, verdict) = (it.bound.to_string(), it.verdict.name());
        println!("{:<76} {figure:>8}  {aim:<13} {verdict}", it.measure);
    }
}
