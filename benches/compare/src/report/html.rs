//! The page: everything in one file, nothing loaded from elsewhere.

use std::fmt::Write;

use super::draw::short;
use super::method::{FLOORS, LIMITS, METHOD};
use super::pictures::Picture;
use super::{Report, by_reason, floors, to_judge, unit, with_spread};
use crate::aims::{Judged, Verdict};
use crate::candidates::DESCRIBED;
use crate::figures::{Block, metric};

const STYLE: &str = include_str!("style.css");

pub(crate) fn page(report: &Report<'_>, pictures: &[Picture]) -> String {
    let mut page = String::new();
    add(&mut page, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    add(&mut page, "<meta name=\"viewport\" content=\"width=device-width\">");
    add(
        &mut page,
        &format!("<title>lastcache beside its peers</title><style>{STYLE}</style></head>"),
    );
    add(&mut page, "<body><h1>lastcache beside its peers</h1>");
    let where_and_when: Vec<_> = report.run.facts.iter().take(2).map(|it| escaped(&it.1)).collect();
    add(&mut page, &format!("<p class=\"faint\">{}</p>", where_and_when.join(" · ")));
    for remark in &report.remarks {
        add(&mut page, &format!("<p class=\"remark\">{}</p>", escaped(remark)));
    }
    add(&mut page, "<h2>What is aimed at</h2>");
    add(&mut page, &aims(report.aims));
    for picture in pictures {
        let Picture { title, caption, svg, .. } = picture;
        add(&mut page, &format!("<h2>{title}</h2><figure>{svg}"));
        add(&mut page, &format!("<figcaption>{}</figcaption></figure>", escaped(caption)));
    }
    add(&mut page, "<h2>Where lastcache is behind, and why</h2>");
    add(&mut page, &losses(report));
    add(&mut page, "<h2>How it was measured</h2><ul>");
    METHOD
        .iter()
        .chain([&LIMITS])
        .for_each(|it| add(&mut page, &format!("<li>{}</li>", marked(it))));
    add(&mut page, "</ul><h3>The candidates</h3><table>");
    for (name, _, said) in DESCRIBED {
        add(&mut page, &format!("<tr><th>{}</th><td>{}</td></tr>", escaped(name), marked(said)));
    }
    add(&mut page, "</table><h3>Where and with what</h3><table>");
    for (name, said) in &report.run.facts {
        add(&mut page, &format!("<tr><th>{name}</th><td>{}</td></tr>", escaped(said)));
    }
    add(&mut page, "</table><h2>All figures</h2>");
    report.run.figures.blocks.iter().for_each(|it| add(&mut page, &block(it)));
    add(&mut page, "</body></html>");
    page
}

fn add(page: &mut String, text: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(page, "{text}");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Escaped, and what stands between backticks as code.
fn marked(text: &str) -> String {
    let parts = escaped(text);
    let parts = parts.split('`').enumerate();
    parts
        .map(
            |(at, part)| if at % 2 == 1 { format!("<code>{part}</code>") } else { part.to_owned() },
        )
        .collect()
}

fn aims(aims: &[Judged]) -> String {
    let count = |verdict| aims.iter().filter(|it| it.verdict == verdict).count();
    let [met, missed, beyond, absent] =
        [Verdict::Met, Verdict::Missed, Verdict::OutOfReach, Verdict::NotMeasured].map(count);
    let mut text = format!(
        "<p>{met} met, {missed} missed, {beyond} missed as their first floor does, {absent} not measured in this run. {FLOORS}</p>"
    );
    add(
        &mut text,
        "<table><tr><th>measure</th><th>aim</th><th>figure (quartiles)</th><th>floors</th><th>verdict</th></tr>",
    );
    for it in aims {
        let class = match it.verdict {
            Verdict::Met => "met",
            Verdict::Missed | Verdict::OutOfReach => "missed",
            Verdict::Reported | Verdict::NotMeasured => "faint",
        };
        let figure = it.figure.map_or_else(|| "–".into(), to_judge);
        let worst = match it.worst.as_str() {
            "" => String::new(),
            worst => format!("<br><span class=\"faint\">{}</span>", escaped(worst)),
        };
        let floors = floors(it);
        let (measure, bound, verdict) = (escaped(&it.measure), it.bound, it.verdict.name());
        add(
            &mut text,
            &format!(
                "<tr><td>{measure}</td><td>{bound}</td><td>{figure}{worst}</td><td>{floors}</td>\
                 <td class=\"{class}\">{verdict}</td></tr>"
            ),
        );
    }
    text + "</table>"
}

fn losses(report: &Report<'_>) -> String {
    let mut text = String::new();
    for (reason, losses) in by_reason(&report.losses) {
        add(&mut text, &format!("<p>{}</p><table>", escaped(reason)));
        add(&mut text, "<tr><th>workload</th><th>lastcache</th><th>ahead</th></tr>");
        for loss in losses {
            let ahead: Vec<_> =
                loss.ahead.iter().map(|it| format!("{} {}", escaped(&it.0), short(it.1))).collect();
            let (own, unit) = (short(loss.own), unit(loss.metric));
            let (workload, ahead) = (escaped(&loss.workload), ahead.join(", "));
            let row = format!(
                "<tr><td class=\"name\">{workload}</td><td>{own} {unit}</td><td>{ahead}</td></tr>"
            );
            add(&mut text, &row);
        }
        add(&mut text, "</table>");
    }
    text
}

/// The columns of a block's table: a metric and its heading.
const COLUMNS: &[(&str, &str)] = &[
    (metric::NS, "ns per operation and thread"),
    (metric::MOPS, "M/s, all threads"),
    ("p50", "p50, ns"),
    ("p90", "p90, ns"),
    ("p99", "p99, ns"),
    ("p99.9", "p99.9, ns"),
    ("p99.99", "p99.99, ns"),
    (metric::BYTES, "bytes per entry"),
    (metric::BYTES_EMPTY, "of them at build"),
    (metric::ALLOCS, "allocations per operation"),
    (metric::FETCHES, "fetches"),
    (metric::LAST_MS, "last caller, ms"),
    (metric::HITS, "% found"),
    (metric::MISSED, "% missed"),
    (metric::ROOM, "room"),
];

fn block(block: &Block) -> String {
    let columns: Vec<_> = COLUMNS.iter().filter(|it| block.has(it.0)).collect();
    let mut text =
        format!("<details><summary>{}</summary><table><tr><th></th>", escaped(&block.workload));
    columns.iter().for_each(|it| add(&mut text, &format!("<th>{}</th>", it.1)));
    add(&mut text, "</tr>");
    for candidate in block.candidates() {
        add(&mut text, &format!("<tr><th>{}</th>", escaped(candidate)));
        for (metric, _) in &columns {
            let figure = block.spread(candidate, metric).map_or_else(|| "–".into(), with_spread);
            add(&mut text, &format!("<td>{figure}</td>"));
        }
        add(&mut text, "</tr>");
    }
    text + "</table></details>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_angle_brackets_are_text_and_backticks_are_code() {
        assert_eq!(marked("`get` of Mutex<HashMap>"), "<code>get</code> of Mutex&lt;HashMap&gt;");
    }
}
