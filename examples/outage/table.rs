//! The figures as a table, phase by phase.

use std::fmt::Write;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::Run;
use crate::timeline::{Phase, Timeline};

/// One row: what one front did in one phase, or in all of them.
struct Row {
    latencies: Histogram<u64>,
    errors: usize,
    errors_with_value: usize,
    calls: u64,
}

impl Row {
    fn new(run: &Run, timeline: Timeline, belongs: impl Fn(Phase) -> bool) -> Self {
        let mut row = Self {
            latencies: Histogram::new(3).expect("three digits can be had"),
            errors: 0,
            errors_with_value: 0,
            calls: 0,
        };
        for sample in &run.samples {
            if belongs(Timeline::phase_of(timeline.step(sample.at))) {
                row.latencies += sample.took.as_nanos() as u64;
                row.errors += usize::from(sample.failed);
                row.errors_with_value += usize::from(sample.failed && sample.had_value);
            }
        }
        let calls = run.calls.iter().enumerate();
        let calls = calls.filter(|&(step, _)| belongs(Timeline::phase_of(step)));
        row.calls = calls.map(|(_, calls)| calls).sum();
        row
    }

    fn write(&self, phase: &str, name: &str, text: &mut String) {
        let quantile = |q| time(Duration::from_nanos(self.latencies.value_at_quantile(q)));
        let _ = writeln!(
            text,
            "{phase:<13} {name:<10} {:>9} {:>9} {:>9} {:>9} {:>8} {:>15} {:>13}",
            self.latencies.len(),
            quantile(0.5),
            quantile(0.99),
            quantile(0.999),
            self.errors,
            self.errors_with_value,
            self.calls,
        );
    }
}

pub(crate) fn text(runs: &[Run], timeline: Timeline) -> String {
    let mut text = format!(
        "{:<13} {:<10} {:>9} {:>9} {:>9} {:>9} {:>8} {:>15} {:>13}\n",
        "origin", "", "requests", "p50", "p99", "p99.9", "errors", "with old value", "origin calls",
    );
    for phase in Phase::ALL {
        for run in runs {
            let row = Row::new(run, timeline, |other| other == phase);
            row.write(phase.name(), run.name, &mut text);
        }
        text.push('\n');
    }
    for run in runs {
        Row::new(run, timeline, |_| true).write("all", run.name, &mut text);
    }
    text.push('\n');
    text
}

/// A time with the unit that suits it.
fn time(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    match micros {
        ..100.0 => format!("{micros:.1} µs"),
        100.0..1_000.0 => format!("{micros:.0} µs"),
        1_000.0..100_000.0 => format!("{:.1} ms", micros / 1e3),
        _ => format!("{:.0} ms", micros / 1e3),
    }
}
