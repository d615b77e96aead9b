//! The pictures of the report, each made if its workloads were part of the run.

use plotters::prelude::*;

use super::draw::{
    Area, Drawn, FAINT, INK, Panel, Scale, colour, label, left_centre, right_centre, short, spread,
    svg, text, time,
};
use crate::candidates::{LRU, family, is_own};
use crate::figures::{Block, Figures, metric};
use crate::hit_ratio::SIZES;
use crate::workloads::{TABLE, What, block_name};

/// A picture: the name of its file, what it shows, how to read it, the drawing.
pub(crate) struct Picture {
    pub(crate) file: &'static str,
    pub(crate) title: &'static str,
    pub(crate) caption: &'static str,
    pub(crate) svg: String,
}

pub(crate) fn all(figures: &Figures) -> Vec<Picture> {
    let made = [
        (
            "hits",
            "What a hit costs",
            "Nanoseconds that a thread sees per hit on 1,000 u64 keys, Zipf 0.99: full bar one thread, \
             pale bar two threads at once. Shorter is better; the thin line spans the quartiles of the \
             rounds.",
            hits(figures),
        ),
        (
            "threads",
            "Throughput by threads",
            "Millions of operations per second of all threads together. Higher is better; both scales are \
             logarithmic. A line that rises until the processors are used up and then stays has no \
             contention.",
            threads(figures),
        ),
        (
            "latency",
            "How long a hit takes at worst",
            "Percentiles of the time of a hit beside a thread that only writes, eight threads per \
             processor. Lower is better. Each reading of the clock is part of the time: the grey line is \
             the loop with no cache in it.",
            latency(figures),
        ),
        (
            "memory",
            "Memory",
            "Heap bytes per u64 to u64 entry in a full cache, as asked of the allocator; the dark part is \
             there before the first entry.",
            memory(figures),
        ),
        (
            "traces",
            "Hit ratio by trace",
            "Points of hit ratio above exact LRU, with room for 1, 5 and 20 % of the trace's distinct \
             keys. Higher is better; the grey line is LRU itself, so below it a simpler cache finds more.",
            traces(figures),
        ),
    ];
    let made = made.into_iter().filter_map(|(file, title, caption, svg)| {
        Some(Picture { file, title, caption, svg: svg? })
    });
    made.collect()
}

/// The candidates of a block that are no yardsticks, with a metric's median.
fn medians<'a>(block: &'a Block, metric: &str) -> Vec<(&'a str, f64)> {
    let candidates = block.candidates().filter(|name| family(name).is_some());
    candidates.filter_map(|name| Some((name, block.spread(name, metric)?.median))).collect()
}

const WIDTH: i32 = 1000;
const BAR: i32 = 26;

fn hits(figures: &Figures) -> Option<String> {
    let one = figures.block("hit 1k zipf t1")?;
    let two = figures.block("hit 1k zipf t2");
    let mut rows = medians(one, metric::NS);
    rows.sort_by(|a, b| a.1.total_cmp(&b.1));
    let spreads = |name: &str| {
        [one.spread(name, metric::NS), two.and_then(|block| block.spread(name, metric::NS))]
    };
    let most = rows.iter().flat_map(|(name, _)| spreads(name)).flatten();
    let scale = Scale::linear(most.map(|it| it.median), true);
    let height = 46 + BAR * rows.len() as i32 + 8;
    Some(svg((WIDTH as u32, height as u32), |root| {
        let (left, right) = (150, WIDTH - 90);
        let at = |value: f64| left + (scale.at(value) * f64::from(right - left)) as i32;
        grid(root, &scale, at, 30..height - 8)?;
        for (row, (name, _)) in rows.iter().enumerate() {
            let top = 42 + BAR * row as i32;
            let style = label(name, 13).pos(right_centre());
            root.draw_text(name, &style, (left - 8, top + 9))?;
            let shades = [colour(name).mix(1.0), colour(name).mix(0.4)];
            for ((part, spread), shade) in spreads(name).into_iter().enumerate().zip(shades) {
                let Some(spread) = spread else { continue };
                let top = top + 10 * part as i32;
                let bar = [(left, top), (at(spread.median), top + 9)];
                root.draw(&Rectangle::new(bar, shade.filled()))?;
                let line = [(at(spread.low), top + 4), (at(spread.high), top + 4)];
                root.draw(&PathElement::new(line, INK.stroke_width(1)))?;
                let beyond = at(spread.high).max(at(spread.median)) + 6;
                let style = text(10, FAINT).pos(left_centre());
                root.draw_text(&short(spread.median), &style, (beyond, top + 5))?;
            }
        }
        Ok(())
    }))
}

/// Lines from top to bottom with their value above, for bars.
fn grid(
    root: &Area<'_>,
    scale: &Scale,
    at: impl Fn(f64) -> i32,
    down: std::ops::Range<i32>,
) -> Drawn {
    for tick in scale.ticks() {
        let line = [(at(tick), down.start), (at(tick), down.end)];
        root.draw(&PathElement::new(line, RGBColor(222, 226, 232).stroke_width(1)))?;
        root.draw_text(&short(tick), &text(12, FAINT), (at(tick) - 6, down.start - 18))?;
    }
    Ok(())
}

fn memory(figures: &Figures) -> Option<String> {
    let block = figures.block("memory")?;
    let mut rows = medians(block, metric::BYTES);
    rows.sort_by(|a, b| a.1.total_cmp(&b.1));
    let scale = Scale::linear(rows.iter().map(|it| it.1), true);
    let height = 46 + BAR * rows.len() as i32;
    Some(svg((WIDTH as u32, height as u32), |root| {
        let (left, right) = (150, WIDTH - 90);
        let at = |value: f64| left + (scale.at(value) * f64::from(right - left)) as i32;
        grid(root, &scale, at, 30..height - 8)?;
        for (row, (name, bytes)) in rows.iter().enumerate() {
            let top = 40 + BAR * row as i32;
            let style = label(name, 13).pos(right_centre());
            root.draw_text(name, &style, (left - 8, top + 9))?;
            let empty = block.spread(name, metric::BYTES_EMPTY).map_or(0.0, |it| it.median);
            let shade = colour(name).mix(0.5);
            root.draw(&Rectangle::new([(left, top), (at(*bytes), top + 17)], shade.filled()))?;
            let dark = [(left, top), (at(empty.min(*bytes)), top + 17)];
            root.draw(&Rectangle::new(dark, colour(name).filled()))?;
            let style = text(12, INK).pos(left_centre());
            root.draw_text(&short(*bytes), &style, (at(*bytes) + 6, top + 9))?;
        }
        Ok(())
    }))
}

/// A curve: who, and a value at each step where there is one.
type Curve<'a> = (&'a str, Vec<Option<f64>>);

/// Curves of all candidates, their names at the right.
fn curves(panel: &Panel<'_, '_>, curves: &[Curve<'_>], steps: usize) -> Drawn {
    let mut drawn: Vec<_> = curves.iter().collect();
    // The subject last, above all others.
    drawn.sort_by_key(|(name, _)| is_own(name));
    for (name, values) in &drawn {
        let points: Vec<_> = values
            .iter()
            .enumerate()
            .filter_map(|(at, value)| Some((panel.step(at, steps), panel.down((*value)?))))
            .collect();
        let width = if is_own(name) { 4 } else { 2 };
        let style = colour(name).stroke_width(width);
        panel.root.draw(&PathElement::new(points.clone(), style))?;
        for point in points {
            panel.root.draw(&Circle::new(point, width, colour(name).filled()))?;
        }
    }
    let ends: Vec<_> = drawn.iter().map(|(_, values)| values.iter().flatten().last()).collect();
    let wanted: Vec<_> = ends.iter().map(|end| end.map_or(0, |end| panel.down(*end))).collect();
    let places = spread(&wanted, 14, panel.y.start..panel.y.end + 6);
    for (((name, _), from), to) in drawn.iter().zip(wanted).zip(places) {
        let x = panel.x.end;
        let leader = [(x + 5, from), (x + 16, to)];
        panel.root.draw(&PathElement::new(leader, colour(name).mix(0.6).stroke_width(1)))?;
        panel.root.draw_text(name, &label(name, 12).pos(left_centre()), (x + 19, to))?;
    }
    Ok(())
}

fn threads(figures: &Figures) -> Option<String> {
    let lines = ["hit 1k zipf", "one key", "95/5 100k zipf", "50/50 100k zipf", "set 100k zipf"];
    let panels: Vec<_> = lines.iter().filter_map(|line| by_threads(figures, line)).collect();
    let rows = panels.len().div_ceil(2) as i32;
    (rows > 0).then(|| {
        svg((WIDTH as u32, (rows * 360 + 10) as u32), |root| {
            for (at, (title, steps, lines)) in panels.iter().enumerate() {
                let (column, row) = (at as i32 % 2 * 500, at as i32 / 2 * 360);
                let values = lines.iter().flat_map(|it| it.1.iter().flatten().copied());
                let scale = Scale::logarithmic(values);
                let x = column + 50..column + 370;
                let panel = Panel { root, x, y: row + 44..row + 320, scale };
                panel.frame(title, short, steps)?;
                curves(&panel, lines, steps.len())?;
            }
            Ok(())
        })
    })
}

type ByThreads<'a> = (String, Vec<String>, Vec<Curve<'a>>);

fn by_threads<'a>(figures: &'a Figures, line: &str) -> Option<ByThreads<'a>> {
    let workload = TABLE.iter().find(|it| it.name == line)?;
    let What::Calls { threads, .. } = workload.what else { return None };
    let blocks: Vec<_> =
        threads.iter().filter_map(|n| Some((*n, figures.block(&block_name(line, *n))?))).collect();
    let (_, first) = blocks.first().filter(|_| blocks.len() > 1)?;
    let steps = blocks.iter().map(|(n, _)| if *n == 1 { "1 thread".into() } else { n.to_string() });
    let lines = first.candidates().filter(|name| family(name).is_some()).map(|name| {
        let value = |block: &Block| Some(block.spread(name, metric::MOPS)?.median);
        (name, blocks.iter().map(|(_, block)| value(block)).collect())
    });
    Some((format!("{line}, M/s"), steps.collect(), lines.collect()))
}

fn latency(figures: &Figures) -> Option<String> {
    let block = figures.block("latency")?;
    let curve = |name| {
        let value = |(metric, _): &(&str, f64)| Some(block.spread(name, metric)?.median);
        (name, metric::PERCENTILES.iter().map(value).collect())
    };
    let lines: Vec<Curve<'_>> = block.candidates().map(curve).collect();
    let steps: Vec<_> = metric::PERCENTILES.iter().map(|it| it.0.to_owned()).collect();
    let scale = Scale::logarithmic(lines.iter().flat_map(|it| it.1.iter().flatten().copied()));
    Some(svg((WIDTH as u32, 500), |root| {
        let panel = Panel { root, x: 70..WIDTH - 170, y: 40..460, scale };
        panel.frame("", time, &steps)?;
        curves(&panel, &lines, steps.len())
    }))
}

/// How many points of hit ratio a candidate is above exact LRU.
fn over_lru(block: &Block, candidate: &str) -> Option<f64> {
    let hits = |who: &str| Some(block.spread(who, metric::HITS)?.median);
    Some(hits(candidate)? - hits(LRU)?)
}

fn traces(figures: &Figures) -> Option<String> {
    let mut names: Vec<&str> = Vec::new();
    for block in figures.blocks.iter().filter(|it| it.has(metric::HITS)) {
        let name = block.workload.rsplit_once(' ').map_or("", |it| it.0);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let steps = SIZES.map(|size| format!("{size} %"));
    let rows = names.len().div_ceil(2) as i32;
    (rows > 0).then(|| {
        svg((WIDTH as u32, (rows * 310 + 10) as u32), |root| {
            for (at, name) in names.iter().enumerate() {
                let blocks: Vec<_> = SIZES
                    .iter()
                    .filter_map(|size| figures.block(&format!("{name} {size}%")))
                    .collect();
                let Some(first) = blocks.first() else { continue };
                let curve = |who| (who, blocks.iter().map(|it| over_lru(it, who)).collect());
                let lines: Vec<Curve<'_>> = first.candidates().map(curve).collect();
                let values = lines.iter().flat_map(|it| it.1.iter().flatten().copied());
                let (column, row) = (at as i32 % 2 * 500, at as i32 / 2 * 310);
                let x = column + 50..column + 370;
                let scale = Scale::linear(values, false);
                let panel = Panel { root, x, y: row + 44..row + 270, scale };
                let title = name.trim_start_matches("trace ");
                panel.frame(&format!("{title}, points over LRU"), short, &steps)?;
                curves(&panel, &lines, steps.len())?;
            }
            Ok(())
        })
    })
}
