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
mod record;
mod report;
mod run;
mod stage;
mod stale;
mod stamp;
mod stampede;
mod subject;
mod traces;
mod workloads;

use std::process::ExitCode;

use aims::Judged;
use options::{Options, Stop};
use record::Run;
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
    let mut run = match &options.from {
        None => measured(options)?,
        Some(file) => Run::read(file)?,
    };
    losses::put_in_order(&mut run.figures);
    let aims = aims::judge(&run.figures)?;
    Report::new(&run, &aims).write(&options.report)?;
    if let Some(file) = &options.json {
        run.write(file)?;
    }
    print_aims(&aims);
    println!("\n{}", options.report.join("index.html").display());
    run.failed.iter().for_each(|it| eprintln!("lastcache-compare: {it}"));
    Ok(if run.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measured(options: &Options) -> Result<Run, String> {
    run::picked(options)?;
    options.check()?;
    let facts = machine::facts();
    let (figures, failed) = run::all(options)?;
    Ok(Run { quick: options.quick, facts, figures, failed })
}

fn print_aims(aims: &[Judged]) {
    println!("{:<76} {:>8}  {:<13} {:>10}  verdict", "", "figure", "aim", "floors");
    for it in aims {
        let figure = it.figure.map_or_else(|| "–".into(), |it| format!("{:.2}", it.median));
        let (aim, verdict) = (it.bound.to_string(), it.verdict.name());
        let floors = report::floors(it);
        println!("{:<76} {figure:>8}  {aim:<13} {floors:>10}  {verdict}", it.measure);
    }
}
