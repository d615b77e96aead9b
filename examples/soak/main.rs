//! Soaks the cache: many threads, churn, outages, clock jumps and resets, for as long as asked, with every
//! invariant checked as it goes.
//!
//! ```text
//! cargo run --release --example soak -- --seconds 30
//! ```
//!
//! It goes in rounds. Each has a cache of its own with settings drawn at random, and threads that come and go
//! while a conductor moves the clock, takes the origin down and clears the cache. When a round is over, the
//! counters must balance, nothing may be left of it, and the memory must be what it was. The exit code is 1
//! when an invariant broke, and 2 when the options are wrong.

mod conductor;
mod faults;
mod memory;
#[path = "../support/options.rs"]
mod options;
mod origin;
mod round;
mod value;
mod worker;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use crate::faults::Faults;
use crate::memory::Memory;
use crate::round::{Round, Summary};

/// Soak the cache with everything at once, and check every invariant.
#[derive(Parser)]
#[command(name = "soak")]
struct Options {
    /// How long
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    seconds: u64,

    /// Threads that call the cache at any moment
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    threads: u16,

    /// Different keys
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(16..=10_000_000))]
    keys: u32,

    /// Where the dice start; the schedule of the threads is chance all the same
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    let options: Options = match options::read("soak") {
        Ok(options) => options,
        Err(code) => return code,
    };
    let bar = ProgressBar::new(options.seconds * 1_000);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {percent:>3} % {msg}") {
        bar.set_style(style);
    }
    let (faults, mut memory, mut total) =
        (Arc::<Faults>::default(), Memory::default(), Summary::default());
    let start = Instant::now();
    let end = start + Duration::from_secs(options.seconds);
    while Instant::now() < end && faults.count() == 0 {
        let seed = options.seed.wrapping_add(total.rounds << 32);
        let until = end.min(Instant::now() + Duration::from_secs(2));
        let round = Round::new(seed, usize::from(options.threads), options.keys);
        total.add(round.play(until, &faults, || {
            bar.set_position(start.elapsed().as_millis() as u64);
        }));
        memory.look(&faults);
        bar.set_message(format!("{} rounds, {} calls", total.rounds, total.calls));
    }
    bar.finish_and_clear();
    println!("{total}");
    println!("{memory}");
    faults.report();
    if faults.count() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
