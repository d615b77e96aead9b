//! What callers see while the place their values come from slows down, fails and recovers: without a cache,
//! with the plain TTL cache that most programs have, and with lastcache.
//!
//! ```text
//! cargo run --release --example outage
//! ```
//!
//! It runs in real time, some ten seconds. The three get the same timeline, the same number of threads, the
//! same pace and the same sequence of keys, at the same time, each with an origin of its own that does
//! nothing but sleep. Everything printed and drawn was measured: requests from when a caller asked until it
//! was answered, calls where the origin takes them.
//!
//! A caller that is still waiting when its next turn comes skips that turn, as a user does who waits for a
//! page. So the slow ones are asked less often while they are slow, which flatters them.

mod front;
mod load;
#[path = "../support/options.rs"]
mod options;
mod origin;
mod panel;
mod picture;
mod table;
mod timeline;
mod ttl_cache;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use crate::front::{Front, LastCache, NoCache, TtlCached};
use crate::load::{Load, Sample};
use crate::origin::Origin;
use crate::timeline::{Phase, Timeline};

/// Compare no cache, a plain TTL cache and lastcache while their origin slows down, fails and recovers.
#[derive(Parser)]
#[command(name = "outage")]
struct Options {
    /// How long the whole timeline takes
    #[arg(long, default_value = "10", value_parser = clap::value_parser!(u64).range(2..=3600))]
    seconds: u64,

    /// Threads that ask, for each of the three
    #[arg(long, default_value = "48", value_parser = clap::value_parser!(u64).range(1..=500))]
    threads: u64,

    /// Keys asked for, a few of them often, most of them seldom
    #[arg(long, default_value = "200", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    keys: u64,

    /// Where the picture goes
    #[arg(long, value_name = "FILE", default_value = "target/outage.svg")]
    out: PathBuf,
}

/// One of the three, and what became of it.
pub(crate) struct Run {
    pub(crate) name: &'static str,
    pub(crate) samples: Vec<Sample>,
    /// Calls that the origin got, per step of the timeline.
    pub(crate) calls: Vec<u64>,
}

fn main() -> ExitCode {
    let options: Options = match options::read("outage") {
        Ok(options) => options,
        Err(code) => return code,
    };
    match compare(&options) {
        Ok(kept) => ExitCode::from(u8::from(!kept)),
        Err(error) => {
            eprintln!("outage: {}: {error}", options.out.display());
            ExitCode::from(2)
        }
    }
}

/// Returns whether lastcache kept its promise: no error for a key that had a value.
fn compare(options: &Options) -> std::io::Result<bool> {
    if let Some(folder) = options.out.parent() {
        fs::create_dir_all(folder)?;
    }
    // Opened first: what cannot be written is said before the run.
    let mut picture = fs::File::create(&options.out)?;
    let total = Duration::from_secs(options.seconds);
    // A moment for the threads to come up before the first of them asks.
    let timeline = Timeline::new(Instant::now() + Duration::from_millis(100), total);
    let runs = run(options, timeline);

    print!("{}", table::text(&runs, timeline));
    let (bare, lastcache) = (&runs[0], &runs[2]);
    let lost = lastcache.samples.iter().filter(|s| s.failed && s.had_value);
    let lost = lost.count();
    let calls = |run: &Run| run.calls.iter().sum::<u64>();
    println!(
        "lastcache: {lost} errors for keys that had a value; {:.1} times fewer calls to the origin than without a cache",
        calls(bare) as f64 / calls(lastcache).max(1) as f64
    );
    picture.write_all(picture::svg(&runs, timeline).as_bytes())?;
    println!("picture: {}", options.out.display());
    Ok(lost == 0)
}

/// Runs the three at once.
fn run(options: &Options, timeline: Timeline) -> Vec<Run> {
    let ttl = timeline.total().mul_f64(0.15);
    let origins: [Arc<Origin>; 3] = std::array::from_fn(|_| Arc::new(Origin::new(timeline)));
    let [first, second, third] = origins.each_ref().map(Arc::clone);
    let fronts: [Box<dyn Front>; 3] = [
        Box::new(NoCache::new(first)),
        Box::new(TtlCached::new(second, ttl)),
        Box::new(LastCache::new(third, ttl, options.keys)),
    ];
    let loads = fronts.map(|front| Load::new(front, timeline, options.threads, options.keys));
    let samples: Vec<Vec<Sample>> = thread::scope(|scope| {
        let running: Vec<_> = loads.iter().map(|load| load.start(scope)).collect();
        show_progress(&loads, timeline);
        running.into_iter().map(load::collect).collect()
    });
    let ran = loads.iter().zip(samples).zip(&origins);
    ran.map(|((load, samples), origin)| Run { name: load.name(), samples, calls: origin.calls() })
        .collect()
}

fn show_progress(loads: &[Load], timeline: Timeline) {
    let bar = ProgressBar::new(timeline.total().as_millis() as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {msg}") {
        bar.set_style(style);
    }
    while timeline.now() < timeline.total() {
        thread::sleep(Duration::from_millis(100));
        let now = timeline.now();
        let counts = loads.iter().map(|l| format!("{} {}", l.name(), l.errors()));
        let counts = counts.collect::<Vec<_>>().join(", ");
        bar.set_position(now.as_millis() as u64);
        bar.set_message(format!(
            "origin {}; errors: {counts}",
            Phase::at(timeline.fraction(now)).name()
        ));
    }
    bar.finish_and_clear();
}
