//! What was measured: per workload, candidate and metric one value of every round.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The metrics, by the names that aims and the JSON file use.
pub(crate) mod metric {
    /// Nanoseconds per operation, as each thread sees it.
    pub(crate) const NS: &str = "ns";
    /// Millions of operations per second, of all threads.
    pub(crate) const MOPS: &str = "mops";
    /// How much room a candidate was given, over how many keys it was to keep.
    pub(crate) const ROOM: &str = "room";
    /// The share of reads that found nothing, in percent.
    pub(crate) const MISSED: &str = "missed";
    /// How often a measurement was repeated, as its threads did not run at once.
    pub(crate) const AGAIN: &str = "again";
    /// Nanoseconds that a cache line takes from one processor to the next.
    pub(crate) const LINE_NS: &str = "line_ns";
    /// Heap bytes per entry held.
    pub(crate) const BYTES: &str = "bytes";
    /// Heap bytes of the empty candidate, per entry that it has room for.
    pub(crate) const BYTES_EMPTY: &str = "bytes_empty";
    /// Allocations per operation.
    pub(crate) const ALLOCS: &str = "allocs";
    /// Runs of the fetch in a stampede.
    pub(crate) const FETCHES: &str = "fetches";
    /// Milliseconds until the last caller of a stampede had its value.
    pub(crate) const LAST_MS: &str = "last_ms";
    /// Reads of a trace that found their value, in percent.
    pub(crate) const HITS: &str = "hits";
    /// Percentiles of latency in nanoseconds: the name and the quantile.
    pub(crate) const PERCENTILES: &[(&str, f64)] =
        &[("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999)];
}

/// A median and, as its spread, the first and third quartile.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Spread {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Spread {
    /// Of at least one value; between two values in proportion.
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_unstable_by(f64::total_cmp);
        let last = values.len().checked_sub(1)?;
        let quantile = |quarters: usize| {
            let at = last * quarters;
            let (below, rest) = (at / 4, (at % 4) as f64 / 4.0);
            let above = (below + 1).min(last);
            values[below] + (values[above] - values[below]) * rest
        };
        Some(Self { low: quantile(1), median: quantile(2), high: quantile(3) })
    }
}

/// One workload's figures of one candidate.
pub(crate) type Cell = BTreeMap<String, Vec<f64>>;

/// One workload.
#[derive(Serialize, Deserialize)]
pub(crate) struct Block {
    pub(crate) workload: String,
    /// In the order in which they were measured.
    pub(crate) cells: Vec<(String, Cell)>,
}

impl Block {
    pub(crate) fn new(workload: impl Into<String>) -> Self {
        Self { workload: workload.into(), cells: Vec::new() }
    }

    /// Adds a value of a round.
    pub(crate) fn push(&mut self, candidate: &str, metric: &str, value: f64) {
        let at = self.cells.iter().position(|it| it.0 == candidate).unwrap_or_else(|| {
            self.cells.push((candidate.into(), Cell::new()));
            self.cells.len() - 1
        });
        self.cells[at].1.entry(metric.into()).or_default().push(value);
    }

    /// Adds the rounds of another process.
    pub(crate) fn extend(&mut self, other: Block) {
        for (candidate, cell) in other.cells {
            for (metric, rounds) in cell {
                rounds.into_iter().for_each(|value| self.push(&candidate, &metric, value));
            }
        }
    }

    pub(crate) fn rounds(&self, candidate: &str, metric: &str) -> Option<&[f64]> {
        let cell = &self.cells.iter().find(|it| it.0 == candidate)?.1;
        cell.get(metric).map(Vec::as_slice)
    }

    pub(crate) fn spread(&self, candidate: &str, metric: &str) -> Option<Spread> {
        Spread::of(self.rounds(candidate, metric)?.to_vec())
    }

    pub(crate) fn candidates(&self) -> impl Iterator<Item = &str> {
        self.cells.iter().map(|it| it.0.as_str())
    }

    pub(crate) fn has(&self, metric: &str) -> bool {
        self.cells.iter().any(|it| it.1.contains_key(metric))
    }
}

/// Everything that was measured.
#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) blocks: Vec<Block>,
}

impl Figures {
    pub(crate) fn block(&self, workload: &str) -> Option<&Block> {
        self.blocks.iter().find(|it| it.workload == workload)
    }

    /// Adds a workload, or rounds to one that is there.
    pub(crate) fn add(&mut self, block: Block) {
        match self.blocks.iter_mut().find(|it| it.workload == block.workload) {
            Some(there) => there.extend(block),
            None => self.blocks.push(block),
        }
    }

    /// For other programs: per workload and candidate the median time of an operation and its spread,
    /// and the other metrics in the same form.
    pub(crate) fn json(&self) -> Value {
        let rows = self.blocks.iter().flat_map(|block| {
            block.cells.iter().map(|(candidate, cell)| row(&block.workload, candidate, cell))
        });
        Value::Array(rows.collect())
    }
}

impl Figures {
    /// What [`json`](Figures::json) made, read again.
    pub(crate) fn from_json(rows: Value) -> Result<Self, String> {
        let rows: Vec<Map<String, Value>> =
            serde_json::from_value(rows).map_err(|error| error.to_string())?;
        let mut figures = Self::default();
        for row in rows {
            let name = |key: &str| row.get(key).and_then(Value::as_str).map(str::to_owned);
            let (Some(workload), Some(candidate)) = (name("workload"), name("candidate")) else {
                return Err("a row has no workload or no candidate".into());
            };
            if figures.blocks.last().is_none_or(|block| block.workload != workload) {
                figures.blocks.push(Block::new(workload));
            }
            let block = figures.blocks.last_mut().expect("there is one by now");
            for (name, figure) in &row {
                let metric = if name == NS_IN_JSON { metric::NS } else { name };
                let rounds = figure.get("rounds").and_then(Value::as_array);
                for value in rounds.into_iter().flatten().filter_map(Value::as_f64) {
                    block.push(&candidate, metric, value);
                }
            }
        }
        Ok(figures)
    }
}

/// What other programs call [`metric::NS`].
const NS_IN_JSON: &str = "ns_per_op";

fn row(workload: &str, candidate: &str, cell: &Cell) -> Value {
    let figures = cell.iter().filter_map(|(metric, rounds)| {
        let spread = Spread::of(rounds.clone())?;
        let Spread { low, median, high } = spread;
        Some((metric, json!({ "median": median, "spread": [low, high], "rounds": rounds })))
    });
    let mut row = Map::new();
    row.insert("workload".into(), workload.into());
    row.insert("candidate".into(), candidate.into());
    for (metric, figure) in figures {
        let name = if metric == metric::NS { NS_IN_JSON } else { metric };
        row.insert(name.to_owned(), figure);
    }
    Value::Object(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_the_values_that_surround_them() {
        let spread = Spread::of(vec![4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!(spread, Spread { low: 1.75, median: 2.5, high: 3.25 });
        let spread = Spread::of(vec![5.0, 1.0, 4.0, 2.0, 3.0]).unwrap();
        assert_eq!(spread, Spread { low: 2.0, median: 3.0, high: 4.0 });
        assert_eq!(Spread::of(vec![7.0]).unwrap(), Spread { low: 7.0, median: 7.0, high: 7.0 });
        assert!(Spread::of(Vec::new()).is_none());
    }

    #[test]
    fn the_rounds_of_several_processes_stand_one_after_the_other() {
        let mut figures = Figures::default();
        for (first, second) in [(1.0, 10.0), (2.0, 20.0)] {
            let mut block = Block::new("hit");
            block.push("moka", metric::NS, first);
            block.push("scc", metric::NS, second);
            figures.add(block);
        }
        figures.add(Block::new("set"));
        assert_eq!(figures.blocks.len(), 2);
        let rounds = |name| figures.block("hit").unwrap().rounds(name, metric::NS).unwrap();
        assert_eq!((rounds("moka"), rounds("scc")), (&[1.0, 2.0][..], &[10.0, 20.0][..]));
    }

    #[test]
    fn a_row_of_json_has_the_median_time_of_an_operation_and_its_spread() {
        let mut block = Block::new("hit");
        [3.0, 1.0, 2.0].into_iter().for_each(|value| block.push("moka", metric::NS, value));
        let figures = Figures { blocks: vec![block] };
        let row = &figures.json()[0];
        assert_eq!(row["ns_per_op"]["median"], 2.0);
        assert_eq!(row["ns_per_op"]["spread"], json!([1.5, 2.5]));
        let again = Figures::from_json(figures.json()).unwrap();
        assert_eq!(again.json(), figures.json());
        assert_eq!((&row["workload"], &row["candidate"]), (&json!("hit"), &json!("moka")));
    }
}
