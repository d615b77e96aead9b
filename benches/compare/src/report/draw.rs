//! What all pictures are drawn with: colours, texts, scales, a panel with a frame.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::aims::rank;
use crate::candidates::is_own;

pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(crate) type Drawn<T = ()> = Result<T, DrawingAreaErrorKind<std::io::Error>>;

pub(crate) const INK: RGBColor = RGBColor(31, 41, 55);
pub(crate) const FAINT: RGBColor = RGBColor(95, 105, 120);
const GRID: RGBColor = RGBColor(222, 226, 232);

/// The subject stands out; the others differ from their neighbours in the list.
const OWN: RGBColor = RGBColor(200, 16, 46);
const OWN_TOO: RGBColor = RGBColor(240, 100, 60);
const OTHERS: [RGBColor; 14] = [
    RGBColor(31, 119, 180),
    RGBColor(217, 119, 6),
    RGBColor(44, 140, 60),
    RGBColor(96, 165, 210),
    RGBColor(120, 80, 170),
    RGBColor(140, 86, 75),
    RGBColor(190, 70, 150),
    RGBColor(90, 100, 20),
    RGBColor(0, 150, 160),
    RGBColor(20, 60, 120),
    RGBColor(170, 140, 40),
    RGBColor(110, 110, 110),
    RGBColor(60, 60, 60),
    RGBColor(150, 150, 190),
];

pub(crate) fn colour(candidate: &str) -> RGBColor {
    match rank(candidate) {
        0 => OWN,
        _ if is_own(candidate) => OWN_TOO,
        usize::MAX => RGBColor(170, 170, 170),
        rank => OTHERS[(rank - 1) % OTHERS.len()],
    }
}

pub(crate) fn text(size: u32, colour: RGBColor) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&colour)
}

pub(crate) fn bold(size: u32, colour: RGBColor) -> TextStyle<'static> {
    ("sans-serif", size, FontStyle::Bold).into_font().color(&colour)
}

/// A text for a candidate: bold for the subject.
pub(crate) fn label(candidate: &str, size: u32) -> TextStyle<'static> {
    if is_own(candidate) { bold(size, colour(candidate)) } else { text(size, colour(candidate)) }
}

pub(crate) fn right_centre() -> Pos {
    Pos::new(HPos::Right, VPos::Center)
}

pub(crate) fn left_centre() -> Pos {
    Pos::new(HPos::Left, VPos::Center)
}

/// Draws a picture into a text.
pub(crate) fn svg(size: (u32, u32), draw: impl FnOnce(&Area<'_>) -> Drawn) -> String {
    let mut svg = String::new();
    let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    // Only a backend that writes to a file can fail.
    root.fill(&WHITE).and_then(|()| draw(&root)).expect("a string can be written");
    root.present().expect("a string can be written");
    drop(root);
    svg
}

/// How values become positions between 0 and 1.
#[derive(Clone, Copy)]
pub(crate) enum Scale {
    Logarithmic { low: f64, high: f64 },
    Linear { low: f64, high: f64, step: f64 },
}

impl Scale {
    /// Around these values, a little wider.
    pub(crate) fn logarithmic(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = extremes(values.filter(|it| *it > 0.0)).unwrap_or((1.0, 10.0));
        Self::Logarithmic { low: (low * 0.85).log10(), high: (high * 1.15).log10() }
    }

    /// From zero, or from below the least value.
    pub(crate) fn linear(values: impl Iterator<Item = f64>, from_zero: bool) -> Self {
        let (least, most) = extremes(values).unwrap_or((0.0, 1.0));
        let least = if from_zero { 0.0 } else { least };
        let span = (most - least).max(1e-9);
        let power = 10_f64.powf(span.log10().floor());
        let steps = [0.2, 0.5, 1.0, 2.0, 5.0].map(|step| step * power);
        let step = steps.into_iter().find(|step| span / step <= 5.0).unwrap_or(10.0 * power);
        let low = (least / step).floor() * step;
        Self::Linear { low, high: (most / step).ceil() * step, step }
    }

    pub(crate) fn at(self, value: f64) -> f64 {
        let at = match self {
            Self::Logarithmic { low, high } => (value.max(1e-12).log10() - low) / (high - low),
            Self::Linear { low, high, .. } => (value - low) / (high - low),
        };
        at.clamp(0.0, 1.0)
    }

    /// Round values within the scale.
    pub(crate) fn ticks(self) -> Vec<f64> {
        match self {
            Self::Logarithmic { low, high } => {
                let decades = (low.floor() as i32..=high.ceil() as i32).map(|it| 10_f64.powi(it));
                let marks: &[f64] = if high - low > 2.2 { &[1.0] } else { &[1.0, 2.0, 5.0] };
                let ticks = decades.flat_map(|decade| marks.iter().map(move |it| it * decade));
                ticks.filter(|it| (low..=high).contains(&it.log10())).collect()
            }
            Self::Linear { low, high, step } => {
                let count = ((high - low) / step).round() as usize;
                (0..=count).map(|n| low + n as f64 * step).collect()
            }
        }
    }
}

fn extremes(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |found, value| {
        let (low, high) = found.unwrap_or((value, value));
        Some((value.min(low), value.max(high)))
    })
}

/// A part of the picture with a scale at its left.
pub(crate) struct Panel<'a, 'b> {
    pub(crate) root: &'a Area<'b>,
    pub(crate) x: Range<i32>,
    pub(crate) y: Range<i32>,
    pub(crate) scale: Scale,
}

impl Panel<'_, '_> {
    pub(crate) fn across(&self, fraction: f64) -> i32 {
        self.x.start + (fraction * f64::from(self.x.end - self.x.start)).round() as i32
    }

    pub(crate) fn down(&self, value: f64) -> i32 {
        let height = f64::from(self.y.end - self.y.start);
        self.y.end - (self.scale.at(value) * height).round() as i32
    }

    /// A title above, a line and a label for each tick, and a name for each step along the bottom.
    pub(crate) fn frame(&self, title: &str, unit: fn(f64) -> String, steps: &[String]) -> Drawn {
        let style = bold(14, INK).pos(Pos::new(HPos::Left, VPos::Bottom));
        self.root.draw_text(title, &style, (self.x.start, self.y.start - 10))?;
        let style = text(12, FAINT).pos(right_centre());
        for tick in self.scale.ticks() {
            let y = self.down(tick);
            let line = [(self.x.start, y), (self.x.end, y)];
            self.root.draw(&PathElement::new(line, GRID.stroke_width(1)))?;
            self.root.draw_text(&unit(tick), &style, (self.x.start - 6, y))?;
        }
        let style = text(12, FAINT).pos(Pos::new(HPos::Center, VPos::Top));
        for (at, step) in steps.iter().enumerate() {
            self.root.draw_text(step, &style, (self.step(at, steps.len()), self.y.end + 6))?;
        }
        Ok(())
    }

    /// Where a step lies, of so many.
    pub(crate) fn step(&self, at: usize, of: usize) -> i32 {
        self.across(at as f64 / of.saturating_sub(1).max(1) as f64)
    }
}

/// Moves labels apart, so that none covers another: the middle of each, in the order given.
pub(crate) fn spread(wanted: &[i32], apart: i32, within: Range<i32>) -> Vec<i32> {
    let mut order: Vec<_> = (0..wanted.len()).collect();
    order.sort_by_key(|at| wanted[*at]);
    let mut places: Vec<i32> = order.iter().map(|at| wanted[*at]).collect();
    for at in 1..places.len() {
        places[at] = places[at].max(places[at - 1] + apart);
    }
    // Up again, where the last ones were pushed out.
    let mut lowest = within.end;
    for place in places.iter_mut().rev() {
        *place = (*place).min(lowest);
        lowest = *place - apart;
    }
    let mut spread = vec![0; wanted.len()];
    order.into_iter().zip(places).for_each(|(at, place)| spread[at] = place);
    spread
}

/// A number with as many digits as tell something.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        ..0.995 => format!("{value:.2}"),
        ..9.95 => format!("{value:.1}"),
        ..999_999.5 => format!("{value:.0}"),
        _ => format!("{:.1}M", value / 1e6),
    }
}

/// A time given in nanoseconds.
pub(crate) fn time(nanos: f64) -> String {
    let (value, unit) = match nanos {
        ..1e3 => (nanos, "ns"),
        ..1e6 => (nanos / 1e3, "µs"),
        ..1e9 => (nanos / 1e6, "ms"),
        _ => (nanos / 1e9, "s"),
    };
    format!("{} {unit}", short(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_would_cover_each_other_move_apart_and_stay_inside() {
        let places = spread(&[100, 101, 99, 10], 12, 0..110);
        assert!(places.iter().all(|it| *it <= 110));
        let mut sorted = places.clone();
        sorted.sort_unstable();
        assert!(sorted.windows(2).all(|it| it[1] - it[0] >= 12), "{places:?}");
        assert_eq!(places[3], 10);
        assert!(places[2] < places[0] && places[0] < places[1]);
    }

    #[test]
    fn ticks_lie_within_the_scale() {
        let scale = Scale::logarithmic([3.0, 40.0].into_iter());
        assert_eq!(scale.ticks(), [5.0, 10.0, 20.0]);
        let scale = Scale::linear([41.0, 58.0].into_iter(), false);
        assert_eq!((scale.ticks()[0], scale.at(60.0)), (40.0, 1.0));
    }

    #[test]
    fn numbers_are_short() {
        let texts = [0.123, 1.26, 12.6, 1234.5].map(short);
        assert_eq!(texts, ["0.12", "1.3", "13", "1234"]);
        assert_eq!([time(55.0), time(2_300.0)], ["55 ns", "2.3 µs"]);
    }
}
