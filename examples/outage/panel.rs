//! One panel of the picture: a scale, a frame, and curves over the timeline, drawn in pixels.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(crate) type Drawn<T = ()> = Result<T, DrawingAreaErrorKind<std::io::Error>>;

pub(crate) const INK: RGBColor = RGBColor(31, 41, 55);
pub(crate) const FAINT: RGBColor = RGBColor(95, 105, 120);
const GRID: RGBColor = RGBColor(218, 222, 228);

pub(crate) fn text(size: u32, colour: RGBColor) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&colour)
}

pub(crate) fn bold(size: u32) -> TextStyle<'static> {
    ("sans-serif", size, FontStyle::Bold).into_font().color(&INK)
}

/// How values become heights.
#[derive(Clone, Copy)]
pub(crate) enum Scale {
    /// Whole powers of ten, in seconds, as their exponents.
    Logarithmic { low: i32, high: i32 },
    /// From zero, in round steps.
    Linear { top: f64, step: f64 },
}

impl Scale {
    pub(crate) fn logarithmic<'a>(values: impl Iterator<Item = &'a f64>) -> Self {
        let (low, high) = values
            .fold((1e-3_f64, 1e-1_f64), |(low, high), &value| (low.min(value), high.max(value)));
        Self::Logarithmic {
            low: low.max(1e-9).log10().floor() as i32,
            high: high.log10().ceil() as i32,
        }
    }

    pub(crate) fn linear<'a>(values: impl Iterator<Item = &'a f64>) -> Self {
        let most = values.fold(10.0_f64, |most, &value| most.max(value));
        let power = 10_f64.powf(most.log10().floor());
        let steps = [0.2, 0.5, 1.0, 2.0, 5.0].map(|step| step * power);
        let step = steps.into_iter().find(|step| most / step <= 4.0);
        let step = step.unwrap_or(power * 10.0);
        let top = (most / step).ceil() * step;
        Self::Linear { top, step }
    }

    /// From 0 at the bottom to 1 at the top.
    fn height(self, value: f64) -> f64 {
        let height = match self {
            Self::Logarithmic { low, high } => {
                (value.log10() - f64::from(low)) / f64::from(high - low)
            }
            Self::Linear { top, .. } => value / top,
        };
        height.clamp(0.0, 1.0)
    }

    fn ticks(self) -> Vec<(f64, String)> {
        match self {
            Self::Logarithmic { low, high } => (low..=high)
                .map(|exponent| (10_f64.powi(exponent), power_of_ten(exponent)))
                .collect(),
            Self::Linear { top, step } => (0..=(top / step).round() as u32)
                .map(|i| f64::from(i) * step)
                .map(|value| (value, format!("{value}")))
                .collect(),
        }
    }
}

fn power_of_ten(exponent: i32) -> String {
    let unit = match exponent {
        0.. => "s",
        -3..0 => "ms",
        -6..-3 => "µs",
        _ => "ns",
    };
    let number = 10_i32.pow(exponent.clamp(-9, 6).rem_euclid(3) as u32);
    format!("{number} {unit}")
}

pub(crate) struct Panel<'a, 'b> {
    root: &'a Area<'b>,
    x: Range<i32>,
    y: Range<i32>,
    scale: Scale,
}

impl<'a, 'b> Panel<'a, 'b> {
    pub(crate) fn new(root: &'a Area<'b>, x: Range<i32>, y: Range<i32>, scale: Scale) -> Self {
        Self { root, x, y, scale }
    }

    fn across(&self, fraction: f64) -> i32 {
        self.x.start + (fraction * f64::from(self.x.end - self.x.start)).round() as i32
    }

    fn down(&self, value: f64) -> i32 {
        let height = f64::from(self.y.end - self.y.start);
        self.y.end - (self.scale.height(value) * height).round() as i32
    }

    /// What lies behind the curves: title, shaded phases, a line and a label for each tick.
    pub(crate) fn frame(&self, title: &str, phases: &[((f64, f64), RGBColor)]) -> Drawn {
        let style = bold(14).pos(Pos::new(HPos::Left, VPos::Bottom));
        self.root.draw_text(title, &style, (self.x.start, self.y.start - 10))?;
        for &((from, to), colour) in phases {
            let corners = [(self.across(from), self.y.start), (self.across(to), self.y.end)];
            self.root.draw(&Rectangle::new(corners, colour.filled()))?;
        }
        let label = text(12, FAINT).pos(Pos::new(HPos::Right, VPos::Center));
        for (value, name) in self.scale.ticks() {
            let y = self.down(value);
            let ends = [(self.x.start, y), (self.x.end, y)];
            self.root.draw(&PathElement::new(ends, GRID))?;
            self.root.draw_text(&name, &label, (self.x.start - 8, y))?;
        }
        Ok(())
    }

    /// The name of a part of the timeline, inside the panel at its top.
    pub(crate) fn name(&self, (from, to): (f64, f64), name: &str) -> Drawn {
        let middle = self.across((from + to) / 2.0);
        let style = text(13, FAINT).pos(Pos::new(HPos::Center, VPos::Top));
        self.root.draw_text(name, &style, (middle, self.y.start + 7))
    }

    /// Seconds below the panel.
    pub(crate) fn time(&self, total: f64) -> Drawn {
        let style = text(12, FAINT).pos(Pos::new(HPos::Center, VPos::Top));
        for i in 0..=10 {
            let fraction = f64::from(i) / 10.0;
            let seconds = (total * fraction * 10.0).round() / 10.0;
            let x = self.across(fraction);
            let ends = [(x, self.y.end), (x, self.y.end + 5)];
            self.root.draw(&PathElement::new(ends, FAINT))?;
            let name = format!("{seconds} s");
            self.root.draw_text(&name, &style, (x, self.y.end + 10))?;
        }
        Ok(())
    }

    /// One curve; it is broken where there is no value.
    pub(crate) fn line(&self, values: &[Option<f64>], style: ShapeStyle) -> Drawn {
        let points = self.points(values);
        for part in points.split(|point| point.is_none()) {
            let part: Vec<_> = part.iter().flatten().copied().collect();
            if !part.is_empty() {
                self.root.draw(&PathElement::new(part, style))?;
            }
        }
        Ok(())
    }

    /// The area between two curves, as far as there are values.
    pub(crate) fn band(
        &self,
        low: &[Option<f64>],
        high: &[Option<f64>],
        colour: RGBColor,
    ) -> Drawn {
        let (low, high) = (self.points(low), self.points(high));
        let there = low.into_iter().flatten();
        let back = high.into_iter().rev().flatten();
        let around: Vec<_> = there.chain(back).collect();
        if around.is_empty() {
            return Ok(());
        }
        self.root.draw(&Polygon::new(around, colour.mix(0.13)))
    }

    /// Values of equal steps of the timeline, each at the middle of its step.
    fn points(&self, values: &[Option<f64>]) -> Vec<Option<(i32, i32)>> {
        let step = 1.0 / values.len() as f64;
        let points = values.iter().enumerate().map(|(i, value)| {
            let x = self.across((i as f64 + 0.5) * step);
            value.map(|value| (x, self.down(value)))
        });
        points.collect()
    }
}
