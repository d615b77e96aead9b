//! A run as it is kept: what was measured, where, and what a reader must know before he believes it.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::candidates::LOOP;
use crate::figures::{Figures, Spread, metric};
use crate::machine::LOAD;

pub(crate) struct Run {
    pub(crate) quick: bool,
    /// Where and with what it was measured, each fact with its name.
    pub(crate) facts: Vec<(String, String)>,
    pub(crate) figures: Figures,
    /// Workloads that failed, and how.
    pub(crate) failed: Vec<String>,
}

/// As it stands in a file.
#[derive(Deserialize)]
struct Stored {
    quick: bool,
    facts: Vec<(String, String)>,
    failed: Vec<String>,
    rows: Value,
}

impl Run {
    /// Reads what [`write`](Run::write) wrote; an error is one line.
    pub(crate) fn read(file: &Path) -> Result<Self, String> {
        let said = |error: String| format!("{}: {error}", file.display());
        let text = fs::read_to_string(file).map_err(|error| said(error.to_string()))?;
        Self::from_json(&text).map_err(said)
    }

    fn from_json(text: &str) -> Result<Self, String> {
        let Stored { quick, facts, failed, rows } =
            serde_json::from_str(text).map_err(|error| error.to_string())?;
        Ok(Self { quick, facts, figures: Figures::from_json(rows)?, failed })
    }

    pub(crate) fn write(&self, file: &Path) -> Result<(), String> {
        fs::write(file, format!("{:#}\n", self.json()))
            .map_err(|error| format!("{}: {error}", file.display()))
    }

    fn json(&self) -> Value {
        let Self { quick, facts, figures, failed } = self;
        json!({ "quick": quick, "facts": facts, "failed": failed, "rows": figures.json() })
    }

    /// What distorts the figures, as far as is known.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if self.quick {
            remarks.push(
                "A quick run: few and short rounds, so only large differences mean something."
                    .into(),
            );
        }
        let load = self.facts.iter().find(|it| it.0 == LOAD).map(|it| &it.1);
        let busy = load.filter(|load| load.parse::<f64>().is_ok_and(|load| load > 0.5));
        if let Some(load) = busy {
            remarks.push(format!(
                "Not a quiet machine: its load was {load} before the run. Repeat it later."
            ));
        }
        let of_loop =
            |metric| self.figures.blocks.iter().filter_map(move |it| it.rounds(LOOP, metric));
        let lines = of_loop(metric::LINE_NS).flatten().copied().collect();
        if let Some(Spread { low, high, .. }) =
            Spread::of(lines).filter(|it| it.high > 1.5 * it.low)
        {
            remarks.push(format!(
                "The host changed under the run: from one processor to the other a cache line took {low:.0} ns or less in a \
                 quarter of the rounds, {high:.0} or more in another. What several threads did in one workload does not \
                 compare with what they did in another."
            ));
        }
        let again: Vec<_> = of_loop(metric::AGAIN).flatten().collect();
        let some = again.iter().filter(|it| ***it > 0.0).count();
        if 20 * some > again.len() {
            remarks.push(format!(
                "The processors were not always there: {some} of {} measurements of the loop alone were repeated.",
                again.len()
            ));
        }
        if self.figures.blocks.iter().any(|it| it.workload.starts_with("trace made-up")) {
            remarks.push(
                "No real access traces were at hand: the hit ratios are of made-up ones. \
                 Give a directory with --traces."
                    .into(),
            );
        }
        remarks.extend(self.failed.iter().map(|it| format!("A workload failed: {it}.")));
        remarks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Block;

    #[test]
    fn a_run_is_read_as_it_was_written_and_says_what_distorts_it() {
        let mut block = Block::new("trace made-up skewed 1%");
        block.push("moka", "hits", 50.0);
        [20.0, 20.0, 50.0, 50.0].iter().for_each(|it| block.push(LOOP, metric::LINE_NS, *it));
        [0.0, 2.0].iter().for_each(|it| block.push(LOOP, metric::AGAIN, *it));
        let run = Run {
            quick: true,
            facts: vec![(LOAD.into(), "3.5".into())],
            figures: Figures { blocks: vec![block] },
            failed: vec!["latency: its process ended".into()],
        };
        let again = Run::from_json(&run.json().to_string()).unwrap();
        assert_eq!(again.json(), run.json());
        let remarks = again.remarks();
        assert_eq!(remarks.len(), 6);
        assert!(remarks[1].contains("its load was 3.5"));
        assert!(remarks[2].contains("took 20 ns or less in a quarter of the rounds, 50 or more"));
        assert!(remarks[3].contains("1 of 2 measurements"));
        assert!(Run::from_json("[]").is_err());
    }

    #[test]
    fn of_a_quiet_full_run_nothing_is_to_be_said() {
        let facts = vec![(LOAD.into(), "0.10".into())];
        let run = Run { quick: false, facts, figures: Figures::default(), failed: Vec::new() };
        assert!(run.remarks().is_empty());
    }
}
