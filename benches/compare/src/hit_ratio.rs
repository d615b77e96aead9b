//! Which share of a trace's accesses finds its value, at several sizes, one thread, nothing ever expires.

use std::path::Path;

use crate::candidates::for_traces;
use crate::figures::{Block, metric};
use crate::traces::{Trace, made_up, of_directory};
use crate::workloads::Plan;

/// Capacities, in percent of a trace's distinct keys.
pub(crate) const SIZES: [u64; 3] = [1, 5, 20];
/// A quick run looks at the beginning of each trace.
const QUICK: usize = 60_000;

/// For the progress bar, if the directory holds six.
pub(crate) fn ticks() -> u64 {
    (6 * SIZES.len() * for_traces().len()) as u64
}

/// Blocks `NAME trace size%`.
pub(crate) fn run(
    name: &str,
    directory: Option<&Path>,
    plan: Plan,
    tick: &mut dyn FnMut(),
) -> Result<Vec<Block>, String> {
    let traces = directory.map_or_else(|| Ok(made_up()), of_directory)?;
    let mut blocks = Vec::new();
    for trace in traces {
        let trace = if plan.quick { trace.cut(QUICK) } else { trace };
        for size in SIZES {
            blocks.push(at_size(name, &trace, size, tick));
        }
    }
    Ok(blocks)
}

fn at_size(name: &str, trace: &Trace, size: u64, tick: &mut dyn FnMut()) -> Block {
    let room = (trace.distinct * size as usize).div_ceil(100);
    let mut block = Block::new(format!("{name} {} {size}%", trace.name));
    for entry in for_traces() {
        let hits = (entry.make)(room).replay(&trace.keys);
        block.push(entry.name, metric::HITS, hits as f64 * 100.0 / trace.keys.len() as f64);
        block.push(entry.name, metric::ROOM, room as f64);
        tick();
    }
    block
}
