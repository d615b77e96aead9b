//! The figures as a picture: latency, errors and calls to the origin over time, one below the other.

use std::ops::Range;

use plotters::prelude::*;

use crate::Run;
use crate::panel::{Area, Drawn, FAINT, Panel, Scale, bold, text};
use crate::timeline::{Phase, Timeline};

const SIZE: (u32, u32) = (960, 772);
const ACROSS: Range<i32> = 84..936;
/// In the order of the runs; told apart by their brightness too.
const COLOURS: [RGBColor; 3] =
    [RGBColor(217, 119, 6), RGBColor(190, 24, 93), RGBColor(3, 105, 161)];

pub(crate) fn svg(runs: &[Run], timeline: Timeline) -> String {
    let mut svg = String::new();
    let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    // Only a backend that writes to a file can fail.
    draw(&root, runs, timeline).expect("a string can be written");
    drop(root);
    svg
}

fn draw(root: &Area, runs: &[Run], timeline: Timeline) -> Drawn {
    root.fill(&WHITE)?;
    heading(root, runs)?;
    let steps: Vec<Vec<Step>> = runs.iter().map(|run| steps(run, timeline)).collect();
    let curves = |value: fn(&Step) -> Option<f64>| {
        let curve = move |steps: &Vec<Step>| steps.iter().map(value).collect::<Vec<_>>();
        steps.iter().map(curve).collect::<Vec<_>>()
    };
    let phases = Phase::ALL.map(|phase| (phase.span(), tint(phase)));

    let (medians, tails) = (curves(|step| step.median), curves(|step| step.tail));
    let scale = Scale::logarithmic(medians.iter().chain(&tails).flatten().flatten());
    let title = "Time to the answer or the error: median (thick) to 99th percentile (thin)";
    let panel = Panel::new(root, ACROSS, 140..384, scale);
    panel.frame(title, &phases)?;
    for phase in Phase::ALL {
        panel.name(phase.span(), phase.name())?;
    }
    for ((medians, tails), colour) in medians.iter().zip(&tails).zip(COLOURS) {
        panel.band(medians, tails, colour)?;
        panel.line(tails, colour.mix(0.4).stroke_width(1))?;
    }
    for (medians, colour) in medians.iter().zip(COLOURS) {
        panel.line(medians, colour.stroke_width(2))?;
    }

    let rates = |down, title, rates: Vec<Vec<Option<f64>>>| {
        let scale = Scale::linear(rates.iter().flatten().flatten());
        let panel = Panel::new(root, ACROSS, down, scale);
        panel.frame(title, &phases)?;
        for (rates, colour) in rates.iter().zip(COLOURS) {
            panel.line(rates, colour.stroke_width(2))?;
        }
        Ok(panel)
    };
    let errors = curves(|step| Some(step.errors));
    rates(438..548, "Errors that callers got, per second", errors)?;
    let calls = curves(|step| Some(step.calls));
    let last = rates(
        602..712,
        "Calls to the origin, per second (a caller who still waits asks nothing else)",
        calls,
    )?;
    last.time(timeline.total().as_secs_f64())?;
    root.present()
}

/// What the picture is about, and which colour is which.
fn heading(root: &Area, runs: &[Run]) -> Drawn {
    let title = "What callers see while the origin slows down, fails and recovers";
    let left = ACROSS.start;
    root.draw_text(title, &bold(22), (left, 20))?;
    for (i, (run, colour)) in runs.iter().zip(COLOURS).enumerate() {
        let x = left + 290 * i as i32;
        let errors = run.samples.iter().filter(|sample| sample.failed).count();
        let calls: u64 = run.calls.iter().sum();
        let counted =
            format!("{} errors, {} calls to the origin", grouped(errors as u64), grouped(calls));
        root.draw(&Rectangle::new([(x, 67), (x + 20, 71)], colour.filled()))?;
        root.draw_text(run.name, &bold(16), (x + 28, 61))?;
        root.draw_text(&counted, &text(13, FAINT), (x + 28, 82))?;
    }
    Ok(())
}

/// What happened in one step of the timeline. A step in which nobody asked has no latency.
struct Step {
    median: Option<f64>,
    tail: Option<f64>,
    errors: f64,
    calls: f64,
}

fn steps(run: &Run, timeline: Timeline) -> Vec<Step> {
    let seconds = timeline.step_length().as_secs_f64();
    let mut took = vec![Vec::new(); Timeline::STEPS];
    let mut errors = vec![0_u64; Timeline::STEPS];
    for sample in &run.samples {
        let step = timeline.step(sample.at);
        took[step].push(sample.took.as_secs_f64());
        errors[step] += u64::from(sample.failed);
    }
    let counts = errors.iter().zip(&run.calls);
    took.iter_mut()
        .zip(counts)
        .map(|(took, (&errors, &calls))| {
            took.sort_by(f64::total_cmp);
            let quantile = |q: f64| {
                let last = took.len().checked_sub(1)?;
                Some(took[(last as f64 * q).round() as usize])
            };
            Step {
                median: quantile(0.5),
                tail: quantile(0.99),
                errors: errors as f64 / seconds,
                calls: calls as f64 / seconds,
            }
        })
        .collect()
}

fn tint(phase: Phase) -> RGBColor {
    match phase {
        Phase::Healthy | Phase::Recovered => WHITE,
        Phase::Slowing => RGBColor(254, 246, 225),
        Phase::Failing => RGBColor(253, 231, 231),
    }
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
