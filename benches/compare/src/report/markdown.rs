//! The summary: machine, method, aims, the rows that lastcache loses, and each workload in a line.

use std::fmt::Write;

use super::draw::short;
use super::method::{FLOORS, LIMITS, METHOD};
use super::{Report, by_reason, floors, to_judge, unit, with_spread};
use crate::aims::Judged;
use crate::candidates::{DESCRIBED, family, is_own};
use crate::figures::{Block, metric};
use crate::losses::decisive;

pub(crate) fn summary(report: &Report<'_>) -> String {
    let mut text = String::from("# lastcache beside its peers\n\n");
    for remark in &report.remarks {
        line(&mut text, &format!("**{remark}**\n"));
    }
    line(&mut text, "## What is aimed at\n");
    line(&mut text, &format!("{FLOORS}\n"));
    line(&mut text, &aims(report.aims));
    line(&mut text, "## Where lastcache is behind, and why\n");
    for (reason, losses) in by_reason(&report.losses) {
        line(&mut text, &format!("{reason}\n"));
        for loss in losses {
            let ahead: Vec<_> =
                loss.ahead.iter().map(|it| format!("{} {}", it.0, short(it.1))).collect();
            let own = short(loss.own);
            let unit = unit(loss.metric);
            let all = ahead.join(", ");
            line(&mut text, &format!("* {}: lastcache {own} {unit}; {all}", loss.workload));
        }
        text.push('\n');
    }
    line(&mut text, "## Every workload\n");
    line(
        &mut text,
        "Nanoseconds per operation as a thread sees it, where nothing else is said; quartiles in brackets.\n",
    );
    line(
        &mut text,
        "| workload | lastcache | best of the peers | place of lastcache |\n|---|---|---|---|",
    );
    report.run.figures.blocks.iter().filter_map(row).for_each(|row| line(&mut text, &row));
    line(&mut text, "\n## How it was measured\n");
    METHOD.iter().chain([&LIMITS]).for_each(|it| line(&mut text, &format!("* {it}")));
    line(&mut text, "\n| candidate | as measured |\n|---|---|");
    DESCRIBED.iter().for_each(|it| line(&mut text, &format!("| {} | {} |", it.0, it.2)));
    line(&mut text, "\n## Where and with what\n\n| | |\n|---|---|");
    report.run.facts.iter().for_each(|it| line(&mut text, &format!("| {} | {} |", it.0, it.1)));
    text
}

fn line(text: &mut String, line: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}

/// The aims as a table.
pub(crate) fn aims(aims: &[Judged]) -> String {
    let mut text = String::from(
        "| measure | aim | figure (quartiles) | floors | verdict |\n|---|---|---|---|---|\n",
    );
    for it in aims {
        let figure = it.figure.map_or_else(|| "–".into(), to_judge);
        let worst = if it.worst.is_empty() { String::new() } else { format!(": {}", it.worst) };
        let floors = floors(it);
        let verdict = it.verdict.name();
        let Judged { measure, bound, .. } = it;
        line(
            &mut text,
            &format!("| {measure} | {bound} | {figure}{worst} | {floors} | {verdict} |"),
        );
    }
    text
}

/// Our figure, the best peer's, and how many are better.
fn row(block: &Block) -> Option<String> {
    let (decisive, less_is_better) = decisive(block)?;
    let shown = if decisive == metric::MOPS { metric::NS } else { decisive };
    let own = block.spread("lastcache", decisive)?.median;
    let peers = block.candidates().filter(|it| family(it).is_some() && !is_own(it));
    let mut peers: Vec<_> =
        peers.filter_map(|it| Some((it, block.spread(it, decisive)?.median))).collect();
    peers.sort_by(|a, b| if less_is_better { a.1.total_cmp(&b.1) } else { b.1.total_cmp(&a.1) });
    let is_ahead = |other: f64| if less_is_better { other < own } else { other > own };
    let place = 1 + peers.iter().filter(|it| is_ahead(it.1)).count();
    let figure = |name: &str| block.spread(name, shown).map(with_spread);
    let best = match peers.first() {
        Some((name, _)) => format!("{name} {}", figure(name)?),
        None => "–".into(),
    };
    let unit = if shown == metric::NS { "" } else { unit(shown) };
    let (workload, of) = (&block.workload, peers.len() + 1);
    let own = figure("lastcache")?;
    Some(format!("| {workload} | {own} {unit} | {best} | {place} of {of} |"))
}
