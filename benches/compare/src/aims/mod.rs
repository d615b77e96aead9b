//! What is aimed at, and whether it was reached.

mod parse;

use crate::candidates::{DESCRIBED, Family, family, is_own};
use crate::figures::{Block, Figures, Spread};
pub(crate) use parse::{Aim, Bound, Figure, Term, parse};

const AIMS: &str = include_str!("aims.txt");

/// How an aim stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Met,
    Missed,
    /// As `Missed`; and so would be what the first floor leaves of it.
    OutOfReach,
    /// There is a figure and no aim.
    Reported,
    /// What the figure is made of was no part of the run.
    NotMeasured,
}

impl Verdict {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "MISSED",
            Self::OutOfReach => "MISSED, as its floor does",
            Self::Reported => "reported",
            Self::NotMeasured => "not measured",
        }
    }
}

/// An aim, with what was measured.
pub(crate) struct Judged {
    pub(crate) measure: String,
    pub(crate) bound: Bound,
    pub(crate) figure: Option<Spread>,
    /// Where it is the worst of several: of which workload, against which candidate.
    pub(crate) worst: String,
    /// The figure if nothing were left of lastcache but what its floors take, the lowest first.
    pub(crate) floors: Vec<Spread>,
    pub(crate) verdict: Verdict,
}

/// Judges every aim.
pub(crate) fn judge(figures: &Figures) -> Result<Vec<Judged>, String> {
    Ok(parse(AIMS)?.into_iter().map(|aim| judged(aim, figures)).collect())
}

fn judged(aim: Aim, figures: &Figures) -> Judged {
    let cases = cases(&aim.figure, figures);
    let several = cases.len() > 1;
    let worst = worst_of(cases, aim.bound);
    let (worst, figure) = worst.map_or((String::new(), None), |(at, figure)| (at, Some(figure)));
    let worst = if several { worst } else { String::new() };
    let mut at_best = aim.figure;
    let floors = aim.floors.into_iter().filter_map(|yardstick| {
        at_best.first.candidate = yardstick;
        worst_of(self::cases(&at_best, figures), aim.bound).map(|it| it.1)
    });
    let floors: Vec<_> = floors.collect();
    let meets = |it: Option<Spread>| it.and_then(|it| aim.bound.met_by(it.median));
    let verdict = match (figure, meets(figure)) {
        (None, _) => Verdict::NotMeasured,
        (Some(_), None) => Verdict::Reported,
        (Some(_), Some(true)) => Verdict::Met,
        (Some(_), Some(false)) if meets(floors.first().copied()) == Some(false) => {
            Verdict::OutOfReach
        }
        (Some(_), Some(false)) => Verdict::Missed,
    };
    Judged { measure: aim.measure, bound: aim.bound, figure, worst, floors, verdict }
}

fn worst_of(cases: Vec<(String, Spread)>, bound: Bound) -> Option<(String, Spread)> {
    cases.into_iter().max_by(|a, b| bound.worse(a.1.median, b.1.median))
}

/// Every pair of workload and candidate that the figure stands for, with its value.
fn cases(figure: &Figure, figures: &Figures) -> Vec<(String, Spread)> {
    let mut cases = Vec::new();
    for block in figures.blocks.iter().filter(|it| figure.first.covers(&it.workload)) {
        let Some(first) = block.rounds(&figure.first.candidate, &figure.first.metric) else {
            continue;
        };
        let Some((link, second)) = &figure.second else {
            cases.extend(Spread::of(first.to_vec()).map(|it| (block.workload.clone(), it)));
            continue;
        };
        // With a pattern both stand for the same workload, whichever it is.
        let other = if second.is_pattern() { Some(block) } else { figures.block(&second.workload) };
        for (name, other) in other.iter().flat_map(|it| members(second, it)) {
            let value = link.round_by_round(first, other);
            let at = format!("{}, {name}", block.workload);
            cases.extend(value.map(|it| (at, it)));
        }
    }
    cases
}

/// The candidates that a term stands for, with their rounds.
fn members<'a>(term: &Term, block: &'a Block) -> Vec<(&'a str, &'a [f64])> {
    let is_member = |name: &str| match term.candidate.strip_prefix('@') {
        None => name == term.candidate,
        Some(group) => {
            let family = family(name).filter(|_| !is_own(name));
            family.is_some_and(|family| match group {
                "peers" => true,
                "locked" => family.takes_locks(),
                "mutex" => family == Family::Mutex,
                "bounded" => family.is_bounded(),
                "quick_cache" => name.starts_with(group),
                _ => false,
            })
        }
    };
    let members = block.candidates().filter(|name| is_member(name));
    members.filter_map(|name| Some((name, block.rounds(name, &term.metric)?))).collect()
}

/// Where a candidate stands in lists.
pub(crate) fn rank(name: &str) -> usize {
    DESCRIBED.iter().position(|it| it.0 == name).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(rows: &[(&str, &str, &str, &[f64])]) -> Figures {
        let mut figures = Figures::default();
        for (workload, candidate, metric, rounds) in rows {
            if figures.block(workload).is_none() {
                figures.blocks.push(Block::new(*workload));
            }
            let block = figures.blocks.iter_mut().find(|it| it.workload == *workload).unwrap();
            rounds.iter().for_each(|value| block.push(candidate, metric, *value));
        }
        figures
    }

    fn judge_one(line: &str, figures: &Figures) -> Judged {
        judged(parse(line).unwrap().pop().unwrap(), figures)
    }

    #[test]
    fn a_ratio_is_taken_round_by_round() {
        let figures = figures(&[
            ("hit", "lastcache", "ns", &[10.0, 100.0, 20.0]),
            ("hit", "moka", "ns", &[100.0, 1_000.0, 100.0]),
        ]);
        let it = judge_one("m | ns[hit] lastcache / ns[hit] moka | <= 0.1", &figures);
        assert_eq!((it.figure.unwrap().median, it.verdict), (0.1, Verdict::Met));
    }

    #[test]
    fn a_group_is_judged_by_its_worst_member_and_yardsticks_are_none() {
        let figures = figures(&[
            ("key", "lastcache", "mops", &[30.0]),
            ("key", "dashmap", "mops", &[20.0]),
            ("key", "quick_cache", "mops", &[5.0]),
            ("key", "papaya", "mops", &[90.0]),
            ("key", "(the loop alone)", "mops", &[900.0]),
        ]);
        let it = judge_one("m | mops[key] lastcache / mops[key] @locked | >= 3", &figures);
        assert_eq!((it.figure.unwrap().median, it.verdict), (1.5, Verdict::Missed));
        assert_eq!(it.worst, "key, dashmap");
        let it = judge_one("m | mops[key] lastcache / mops[key] @peers | -", &figures);
        assert_eq!((it.verdict, it.worst.as_str()), (Verdict::Reported, "key, quick_cache"));
    }

    #[test]
    fn what_the_floor_would_miss_too_is_out_of_reach() {
        let figures = figures(&[
            ("hit", "lastcache", "ns", &[20.0]),
            ("hit", "moka", "ns", &[10.0]),
            ("hit", "(arc-swap alone)", "ns", &[14.0]),
            ("hit", "(arc-swap in a bare table)", "ns", &[18.0]),
        ]);
        for (most, verdict) in
            [(2.0, Verdict::Met), (1.4, Verdict::Missed), (1.3, Verdict::OutOfReach)]
        {
            let figure = "ns[hit] lastcache / ns[hit] moka";
            let floors = "(arc-swap alone), (arc-swap in a bare table)";
            let it = judge_one(&format!("m | {figure} | <= {most} | {floors}"), &figures);
            let medians: Vec<_> = it.floors.iter().map(|it| it.median).collect();
            assert_eq!((it.verdict, medians), (verdict, vec![1.4, 1.8]));
            let it = judge_one(&format!("m | {figure} | <= {most} | (of nobody)"), &figures);
            assert!(it.floors.is_empty() && it.verdict != Verdict::OutOfReach);
        }
    }

    #[test]
    fn a_pattern_compares_within_each_workload_and_the_worst_counts() {
        let figures = figures(&[
            ("trace a 1%", "lastcache", "hits", &[50.0]),
            ("trace a 1%", "moka", "hits", &[49.0]),
            ("trace b 1%", "lastcache", "hits", &[20.0]),
            ("trace b 1%", "moka", "hits", &[23.0]),
        ]);
        let it = judge_one("m | hits[trace *] lastcache - hits[trace *] moka | >= -1", &figures);
        assert_eq!((it.figure.unwrap().median, it.verdict), (-3.0, Verdict::Missed));
        assert_eq!(it.worst, "trace b 1%, moka");
    }

    #[test]
    fn what_was_no_part_of_the_run_is_not_measured() {
        let figures = figures(&[("hit", "lastcache", "ns", &[10.0])]);
        let it = judge_one("m | ns[hit] lastcache Reader / ns[hit] lastcache | <= 0.35", &figures);
        assert_eq!(it.verdict, Verdict::NotMeasured);
    }

    #[test]
    fn the_aims_name_workloads_and_candidates_that_there_are() {
        use crate::candidates::{CACHE, GUARD, TABLE as BARE};
        use crate::workloads::TABLE;
        for aim in parse(AIMS).unwrap() {
            let terms = [Some(&aim.figure.first), aim.figure.second.as_ref().map(|it| &it.1)];
            for term in terms.into_iter().flatten() {
                let name = term.workload.trim_start_matches("get_swr fresh ");
                let name = name.trim_start_matches("get_swr stale ");
                let known = |line: &str| {
                    name.starts_with(line) || line.ends_with(name.trim_end_matches(" t1"))
                };
                assert!(TABLE.iter().any(|it| known(it.name)), "{}", term.workload);
                let candidate = term.candidate.as_str();
                let known = rank(candidate) < usize::MAX || candidate.starts_with('@');
                assert!(known || candidate == "exact LRU");
            }
            let is_floor = |name: &String| [GUARD, CACHE, BARE].contains(&name.as_str());
            assert!(aim.floors.iter().all(is_floor), "{}", aim.measure);
        }
    }
}
