//! How an aim is written: see `aims.txt`.

use std::cmp::Ordering;
use std::fmt;

use crate::figures::Spread;

/// A line of the file.
pub(crate) struct Aim {
    pub(crate) measure: String,
    pub(crate) figure: Figure,
    pub(crate) bound: Bound,
    /// The yardsticks that say what the figure is at best, in place of its first candidate.
    pub(crate) floors: Vec<String>,
}

/// A term, or two of them.
pub(crate) struct Figure {
    pub(crate) first: Term,
    pub(crate) second: Option<(Link, Term)>,
}

/// `METRIC[WORKLOAD] CANDIDATE`.
#[derive(PartialEq, Debug)]
pub(crate) struct Term {
    pub(crate) metric: String,
    pub(crate) workload: String,
    pub(crate) candidate: String,
}

/// What stands between two terms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Link {
    Over,
    Minus,
}

/// What is aimed at.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
    None,
}

impl Term {
    pub(crate) fn is_pattern(&self) -> bool {
        self.workload.ends_with('*')
    }

    pub(crate) fn covers(&self, workload: &str) -> bool {
        match self.workload.strip_suffix('*') {
            Some(beginning) => workload.starts_with(beginning),
            None => workload == self.workload,
        }
    }
}

impl Link {
    /// Where both have the same rounds, each round gives a value; else the medians give one.
    pub(crate) fn round_by_round(self, first: &[f64], second: &[f64]) -> Option<Spread> {
        let link = |a: f64, b: f64| match self {
            Self::Over => a / b,
            Self::Minus => a - b,
        };
        if first.len() == second.len() {
            return Spread::of(first.iter().zip(second).map(|(a, b)| link(*a, *b)).collect());
        }
        let median = |rounds: &[f64]| Spread::of(rounds.to_vec()).map(|it| it.median);
        Spread::of(vec![link(median(first)?, median(second)?)])
    }
}

impl Bound {
    pub(crate) fn met_by(self, figure: f64) -> Option<bool> {
        match self {
            Self::AtMost(most) => Some(figure <= most),
            Self::AtLeast(least) => Some(figure >= least),
            Self::None => None,
        }
    }

    /// Orders the worse figure behind the better one; without an aim, the higher is the worse.
    pub(crate) fn worse(self, a: f64, b: f64) -> Ordering {
        match self {
            Self::AtLeast(_) => b.total_cmp(&a),
            Self::AtMost(_) | Self::None => a.total_cmp(&b),
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "at most {most}"),
            Self::AtLeast(least) => write!(f, "at least {least}"),
            Self::None => write!(f, "–"),
        }
    }
}

/// Blank lines and comments are no aims; anything else that cannot be read is an error that names its line.
pub(crate) fn parse(text: &str) -> Result<Vec<Aim>, String> {
    let lines = text.lines().enumerate();
    let aims = lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    aims.map(|(at, line)| aim(line).ok_or_else(|| format!("line {}: no aim: {line}", at + 1)))
        .collect()
}

fn aim(line: &str) -> Option<Aim> {
    let parts: Vec<_> = line.split('|').map(str::trim).collect();
    let (measure, figure, bound, floors) = match parts[..] {
        [measure, figure, bound] => (measure, figure, bound, ""),
        [measure, figure, bound, floors] => (measure, figure, bound, floors),
        _ => return None,
    };
    let floors = floors.split(',').map(str::trim).filter(|it| !it.is_empty());
    let figure = figure_of(figure)?;
    let bound = match bound.split_once(' ') {
        None if bound == "-" => Bound::None,
        Some(("<=", most)) => Bound::AtMost(most.parse().ok()?),
        Some((">=", least)) => Bound::AtLeast(least.parse().ok()?),
        _ => return None,
    };
    let floors = floors.map(str::to_owned).collect();
    Some(Aim { measure: measure.to_owned(), figure, bound, floors })
}

fn figure_of(text: &str) -> Option<Figure> {
    for (sign, link) in [(" / ", Link::Over), (" - ", Link::Minus)] {
        if let Some((first, second)) = text.split_once(sign) {
            return Some(Figure { first: term(first)?, second: Some((link, term(second)?)) });
        }
    }
    Some(Figure { first: term(text)?, second: None })
}

fn term(text: &str) -> Option<Term> {
    let (metric, rest) = text.split_once('[')?;
    let (workload, candidate) = rest.split_once("] ")?;
    let [metric, workload, candidate] =
        [metric, workload, candidate].map(|it| it.trim().to_owned());
    (!metric.is_empty() && !candidate.is_empty()).then_some(Term { metric, workload, candidate })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_a_measure_a_figure_and_an_aim() {
        let text = "# comment\n\nname | ns[hit 95/5 t1] a b / ns[hit t2] RwLock<HashMap> | <= 1.1 | (x), (y z)\n";
        let aims = parse(text).unwrap();
        let [aim] = &aims[..] else { panic!("one aim") };
        assert_eq!((aim.measure.as_str(), aim.bound), ("name", Bound::AtMost(1.1)));
        assert_eq!(aim.floors, ["(x)", "(y z)"]);
        let (link, second) = aim.figure.second.as_ref().unwrap();
        let first = &aim.figure.first;
        assert_eq!((first.workload.as_str(), first.candidate.as_str()), ("hit 95/5 t1", "a b"));
        assert_eq!((*link, second.candidate.as_str()), (Link::Over, "RwLock<HashMap>"));
    }

    #[test]
    fn what_is_no_aim_is_refused_by_its_line() {
        for line in [
            "a | b",
            "a | ns[x] | <= 1",
            "a | ns[x] y | < 1",
            "a | ns[x] y | <= one",
            "a | ns[x] y | - | b | c",
        ] {
            let error = parse(&format!("# first\n{line}")).err().unwrap();
            assert!(error.starts_with("line 2: "), "{error}");
        }
    }

    #[test]
    fn of_different_rounds_the_medians_are_compared() {
        let value = Link::Over.round_by_round(&[4.0, 6.0, 8.0], &[2.0]).unwrap();
        assert_eq!(value.median, 3.0);
    }
}
