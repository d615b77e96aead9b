//! How long a hit takes beside a writer, when eight threads share each processor: percentiles.

use std::sync::{Barrier, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::candidates::{all, floors, no_work};
use crate::figures::{Block, metric};
use crate::keys::{Skew, Walk};
use crate::measure::{Effort, Round, processors};
use crate::stage::fill;
use crate::subject::{Op, Worker};

const KEYS: u64 = 1_000;
/// Nobody waits longer than this for a hit: what took longer counts as this.
const MOST: Duration = Duration::from_secs(10);

/// One thread writes, the others read.
fn threads() -> usize {
    8 * processors()
}

fn effort_of(effort: Effort) -> Effort {
    Effort { rounds: effort.rounds.div_ceil(10), window: effort.window * 40, ..effort }
}

pub(crate) fn ticks(effort: Effort) -> u64 {
    let candidates = all().len() + floors::<u64, dyn Worker>().len() + 1;
    (candidates * (effort_of(effort).rounds + 1)) as u64
}

pub(crate) fn run(name: &str, effort: Effort, tick: &mut dyn FnMut()) -> Vec<Block> {
    let Effort { rounds, window, .. } = effort_of(effort);
    let entries = all().into_iter().chain(floors::<u64, _>()).chain([no_work()]);
    let filled: Vec<_> = entries.map(|entry| fill(&entry, KEYS)).collect();
    let walk = Walk::new(KEYS, Skew::Zipf);
    let mut block = Block::new(name);
    for number in 0..=rounds {
        let round = Round::new(number, filled.len(), effort);
        for &turn in &round.order {
            let it = &filled[turn];
            let seen = beside_a_writer(&*it.subject, &walk, window, &round);
            if number > 0 {
                for (name, quantile) in metric::PERCENTILES {
                    block.push(it.name, name, seen.value_at_quantile(*quantile) as f64);
                }
            }
            tick();
        }
    }
    vec![block]
}

fn beside_a_writer(
    subject: &dyn Worker,
    walk: &Walk<u64>,
    window: Duration,
    round: &Round,
) -> Histogram<u64> {
    let empty = || {
        Histogram::new_with_bounds(1, MOST.as_nanos() as u64, 3)
            .expect("three digits fit the bounds")
    };
    let all = Mutex::new(empty());
    let along = round.along(walk, threads());
    let (together, end) = (Barrier::new(threads()), OnceLock::new());
    let ready = || {
        together.wait();
        *end.get_or_init(|| Instant::now() + window)
    };
    thread::scope(|scope| {
        let (all, ready, along) = (&all, &ready, &along);
        scope.spawn(move || {
            let mut ready = ready;
            subject.work_on(Op::Set, along(0), &mut ready)
        });
        for thread in 1..threads() {
            scope.spawn(move || {
                let (mut seen, mut ready) = (empty(), ready);
                subject.record(along(thread), &mut ready, &mut seen);
                let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                all.add(&seen).expect("the same bounds");
            });
        }
    });
    all.into_inner().unwrap_or_else(PoisonError::into_inner)
}
