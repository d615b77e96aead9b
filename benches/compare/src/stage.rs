//! Runs a line of the table that does one operation over and over: fills every candidate, then measures.

use crate::candidates::{Entry, Family, all, by_default, nothing};
use crate::figures::{Block, metric};
use crate::keys::{Key, Kilobyte, Shared, Value, Walk};
use crate::measure::{Effort, rounds};
use crate::subject::{Op, Subject};
use crate::workloads::{Data, Plan, What, Who, block_name};

/// How much more room than keys a candidate is given until it keeps them all: one whose shards are not
/// filled evenly evicts before it is full.
const ROOMS: [f64; 7] = [1.0, 1.02, 1.1, 1.25, 1.5, 2.0, 4.0];
const MOST_ROOM: f64 = 8.0;

/// A candidate that was filled, and what room it took.
pub(crate) struct Filled<K, V> {
    pub(crate) name: &'static str,
    pub(crate) subject: Box<dyn Subject<K, V>>,
    pub(crate) room: f64,
}

/// Sets all keys below this one.
pub(crate) fn put_all<K, V>(subject: &dyn Subject<K, V>, keys: u64) {
    for n in 0..keys {
        subject.put(n);
        if n % 64 == 0 {
            subject.settle();
        }
    }
    subject.settle();
}

fn filled<K: Key, V: Value>(entry: &Entry<K, V>, keys: u64, room: f64) -> Filled<K, V> {
    let subject = (entry.make)((keys as f64 * room).ceil() as usize);
    put_all(&*subject, keys);
    Filled { name: entry.name, subject, room }
}

/// All keys below this one present, if the candidate can.
pub(crate) fn fill<K: Key, V: Value>(entry: &Entry<K, V>, keys: u64) -> Filled<K, V> {
    let full = |room| filled(entry, keys, room);
    let keeps_all = |it: &Filled<K, V>| it.subject.count_present(keys) == keys;
    ROOMS.into_iter().map(full).find(keeps_all).unwrap_or_else(|| full(MOST_ROOM))
}

/// Measures a line; `tick` is called after each measurement.
pub(crate) fn run(
    name: &str,
    what: What,
    plan: Plan,
    effort: Effort,
    tick: &mut dyn FnMut(),
) -> Vec<Block> {
    let What::Calls { data, .. } = what else { return Vec::new() };
    match data {
        Data::Numbers => run_on::<u64, u64>(name, what, plan, effort, tick),
        Data::Strings => run_on::<String, u64>(name, what, plan, effort, tick),
        Data::Shared => run_on::<u64, Shared>(name, what, plan, effort, tick),
        Data::Kilobytes => run_on::<u64, Kilobyte>(name, what, plan, effort, tick),
    }
}

fn entries<K: Key, V: Value>(who: Who) -> Vec<Entry<K, V>> {
    let mut entries = match who {
        Who::ByDefault => by_default(),
        Who::All | Who::Bounded => all(),
    };
    if who == Who::Bounded {
        entries.retain(|it| it.family().is_some_and(Family::is_bounded));
    }
    entries
}

/// How many measurements a line takes, for the progress bar.
pub(crate) fn ticks(what: What, plan: Plan, effort: Effort) -> u64 {
    let What::Calls { threads, who, .. } = what else { return 0 };
    let candidates = entries::<u64, u64>(who).len() + 1;
    let rounds: usize = plan.threads(threads).iter().map(|n| effort.on(*n).rounds + 1).sum();
    (candidates * rounds) as u64
}

fn run_on<K: Key, V: Value>(
    name: &str,
    what: What,
    plan: Plan,
    effort: Effort,
    tick: &mut dyn FnMut(),
) -> Vec<Block> {
    let What::Calls { op, keys, skew, threads, who, .. } = what else { return Vec::new() };
    let filled = entries(who).into_iter().chain([nothing()]).map(|entry| match op {
        // At capacity from the first call on.
        Op::Insert => filled(&entry, keys, 1.0),
        _ => fill(&entry, keys),
    });
    let filled: Vec<Filled<K, V>> = filled.collect();
    let rooms: Vec<_> = filled.iter().map(|it| (it.name, it.room)).collect();
    let subjects: Vec<_> = filled.into_iter().map(|it| (it.name, it.subject)).collect();
    let walk = Walk::new(keys, skew);
    let blocks = plan.threads(threads).into_iter().map(|threads| {
        let mut block = Block::new(block_name(name, threads));
        rooms.iter().for_each(|(name, room)| block.push(name, metric::ROOM, *room));
        rounds(&subjects, op, &walk, threads, effort, &mut block, &mut *tick);
        block
    });
    blocks.collect()
}
