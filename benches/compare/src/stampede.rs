//! Thousands of callers on one cold key: how often it is fetched, and how long the last caller waits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::candidates::for_stampede;
use crate::figures::{Block, metric};
use crate::subject::Worker;
use crate::workloads::Plan;

const KEY: u64 = 7;

/// How often [`fetch`] ran.
static FETCHES: AtomicU64 = AtomicU64::new(0);
/// How long it takes, in milliseconds.
static TAKES: AtomicU64 = AtomicU64::new(0);

/// Something slow.
pub(crate) fn fetch() -> u64 {
    // Relaxed: read after all threads were joined.
    FETCHES.fetch_add(1, Ordering::Relaxed);
    thread::sleep(Duration::from_millis(TAKES.load(Ordering::Relaxed)));
    KEY
}

struct Size {
    callers: usize,
    rounds: usize,
    takes: u64,
}

fn size(plan: Plan) -> Size {
    // The fetch takes long enough for every caller to arrive while it runs.
    if plan.quick {
        Size { callers: 1_000, rounds: 1, takes: 100 }
    } else {
        Size { callers: 10_000, rounds: 1, takes: 1_000 }
    }
}

pub(crate) fn ticks(plan: Plan) -> u64 {
    (for_stampede().len() * size(plan).rounds) as u64
}

pub(crate) fn run(name: &str, plan: Plan, tick: &mut dyn FnMut()) -> Vec<Block> {
    let Size { callers, rounds, takes } = size(plan);
    TAKES.store(takes, Ordering::Relaxed);
    let entries = for_stampede();
    let mut block = Block::new(name);
    for round in 0..rounds {
        for turn in 0..entries.len() {
            let entry = &entries[(round + turn) % entries.len()];
            FETCHES.store(0, Ordering::Relaxed);
            let subject = (entry.make)(1_000);
            if let Some(waited) = stampede(&*subject, callers) {
                let fetches = FETCHES.load(Ordering::Relaxed);
                block.push(entry.name, metric::FETCHES, fetches as f64);
                block.push(entry.name, metric::LAST_MS, waited.as_secs_f64() * 1e3);
            }
            tick();
        }
    }
    vec![block]
}

/// The time from the start until the last caller had its value; `None` when there could not be so many
/// threads.
fn stampede(subject: &dyn Worker, callers: usize) -> Option<Duration> {
    let gate = Gate::default();
    let call = || {
        let start = gate.pass()?;
        subject.load(KEY, &fetch);
        Some(start.elapsed())
    };
    let longest = thread::scope(|scope| {
        let mut threads = Vec::with_capacity(callers);
        for _ in 0..callers {
            let builder = thread::Builder::new().stack_size(64 << 10);
            match builder.spawn_scoped(scope, call) {
                Ok(thread) => threads.push(thread),
                Err(_) => break,
            }
        }
        gate.open((threads.len() == callers).then(Instant::now));
        threads.into_iter().map(|it| it.join().expect("no candidate panics")).max()
    });
    longest.flatten()
}

/// Where the callers wait until all are there.
#[derive(Default)]
struct Gate {
    /// Whether it is open, and when it was opened if not in vain.
    open: Mutex<Option<Option<Instant>>>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) -> Option<Instant> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match *open {
                Some(start) => return start,
                None => open = self.changed.wait(open).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn open(&self, start: Option<Instant>) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(start);
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_passes_a_gate_that_was_opened_in_vain() {
        let gate = Gate::default();
        gate.open(None);
        assert!(gate.pass().is_none());
    }
}
