//! Runs the lines of the table, each in a process of its own or in several: what one leaves behind (nodes of threads that
//! ended, a heap in pieces, a janitor) is no part of another's figures.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::figures::{Block, Figures};
use crate::measure::Effort;
use crate::options::Options;
use crate::stage::Line;
use crate::workloads::{Plan, TABLE, What, Workload};
use crate::{hit_ratio, latency, memory, stage, stale, stampede};

/// What a child prints after each measurement.
const TICK: &str = ".";

fn plan(options: &Options) -> (Plan, Effort) {
    let quick = options.quick;
    // Many short rounds: a few that something else disturbed do not move the median.
    let (rounds, millis, warm_up) = if quick { (15, 2, 1) } else { (101, 6, 4) };
    let window = Duration::from_millis(millis);
    (Plan { quick }, Effort { rounds, window, warm_up, stand: options.stand })
}

/// The lines that these options pick.
pub(crate) fn picked(options: &Options) -> Result<Vec<&'static Workload>, String> {
    let named = |it: &&Workload| options.only.as_ref().is_none_or(|part| it.name.contains(part));
    // Who names a line gets it, whether a quick run has it or not.
    let wanted = |it: &&Workload| !options.quick || options.only.is_some() || it.quick;
    let lines: Vec<_> = TABLE.iter().filter(named).filter(wanted).collect();
    if lines.is_empty() {
        let part = options.only.as_deref().unwrap_or_default();
        return Err(format!("no workload's name contains '{part}'; --list names them"));
    }
    Ok(lines)
}

/// Runs them all. What fails is said, and the others go on.
pub(crate) fn all(options: &Options) -> Result<(Figures, Vec<String>), String> {
    let lines = picked(options)?;
    let (plan, effort) = plan(options);
    let bar = ProgressBar::new(lines.iter().map(|it| ticks(it, plan, effort)).sum());
    let style = "{bar:40} {percent:>3} %, {elapsed}, {eta} left: {msg}";
    bar.set_style(ProgressStyle::with_template(style).map_err(|error| error.to_string())?);
    bar.enable_steady_tick(Duration::from_secs(1));
    let (mut figures, mut failed) = (Figures::default(), Vec::new());
    let count = lines.len();
    for (n, line) in lines.into_iter().enumerate() {
        bar.set_message(line.name);
        if bar.is_hidden() {
            // No terminal: a line each, for whoever reads them as they come.
            eprintln!("{}/{count}: {}", n + 1, line.name);
        }
        let before = bar.position();
        for stand in 0..plan.stands(line.what) {
            match in_a_child(line, stand, options, &bar) {
                Ok(blocks) => blocks.into_iter().for_each(|it| figures.add(it)),
                Err(error) => failed.push(format!("{}: {error}", line.name)),
            }
        }
        bar.set_position(before + ticks(line, plan, effort));
    }
    bar.finish_and_clear();
    Ok((figures, failed))
}

fn ticks(line: &Workload, plan: Plan, effort: Effort) -> u64 {
    match line.what {
        What::Calls { .. } => stage::ticks(line.what, plan, effort),
        What::Latency => latency::ticks(effort),
        What::Stale => stale::ticks(plan, effort),
        What::Stampede => stampede::ticks(plan),
        What::Memory | What::Allocations => memory::ticks(),
        What::Traces => hit_ratio::ticks(),
    }
}

fn in_a_child(
    line: &Workload,
    stand: usize,
    options: &Options,
    bar: &ProgressBar,
) -> Result<Vec<Block>, String> {
    let said = |error: std::io::Error| error.to_string();
    let mut command = Command::new(std::env::current_exe().map_err(said)?);
    command.args(["--measure", line.name, "--stand", &stand.to_string()]).stdout(Stdio::piped());
    if options.quick {
        command.arg("--quick");
    }
    if let Some(directory) = options.traces() {
        command.arg("--traces").arg(directory);
    }
    let mut child = command.spawn().map_err(said)?;
    let mut last = String::new();
    for text in BufReader::new(child.stdout.take().expect("it is piped")).lines() {
        match text.map_err(said)? {
            tick if tick == TICK => bar.inc(1),
            text => last = text,
        }
    }
    let status = child.wait().map_err(said)?;
    if !status.success() {
        return Err(format!("its process ended with {status}"));
    }
    serde_json::from_str(&last).map_err(|error| error.to_string())
}

/// Measures one line, as a child; prints its figures as one line of JSON.
pub(crate) fn one(name: &str, options: &Options) -> Result<(), String> {
    let line = TABLE.iter().find(|it| it.name == name).ok_or("no such workload")?;
    let (plan, effort) = plan(options);
    let mut stdout = std::io::stdout();
    let tick = &mut || {
        // Nobody to show it to: go on measuring.
        let _ = writeln!(stdout, "{TICK}");
    };
    let blocks = match line.what {
        What::Calls { .. } => stage::run(&Line { name, what: line.what, plan, effort }, tick),
        What::Latency => latency::run(name, effort, tick),
        What::Stale => stale::run(name, plan, effort, tick),
        What::Stampede => stampede::run(name, plan, tick),
        What::Memory => memory::bytes(name, plan, tick),
        What::Allocations => memory::allocations_per_operation(name, tick),
        What::Traces => hit_ratio::run(name, options.traces().as_deref(), plan, tick)?,
    };
    println!("{}", serde_json::to_string(&blocks).map_err(|error| error.to_string())?);
    Ok(())
}
