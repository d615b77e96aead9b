//! Runs a line of the table that does one operation over and over: fills every candidate, then measures.

use rand::seq::SliceRandom;
use rand::{SeedableRng, rngs::StdRng};

use crate::candidates::{
    Entry, all, all_reading, bounded, by_default, floors, for_tasks, no_work, nothing,
};
use crate::figures::{Block, metric};
use crate::keys::{Key, Kilobyte, Shared, Value, Walk};
use crate::measure::{Effort, Measured, Work, note_line, rounds};
use crate::subject::{Op, Subject, Worker};
use crate::workloads::{Data, Plan, What, Who, block_name};

/// How much more room than keys a candidate is given until it keeps them all: one whose shards are not
/// filled evenly evicts before it is full.
const ROOMS: [f64; 7] = [1.0, 1.02, 1.1, 1.25, 1.5, 2.0, 4.0];
const MOST_ROOM: f64 = 8.0;

/// A candidate that was filled, and what room it took.
pub(crate) struct Filled<S: ?Sized> {
    pub(crate) name: &'static str,
    pub(crate) subject: Box<S>,
    pub(crate) room: f64,
}

/// Sets all keys below this one, in an order that has nothing to do with how often they are asked for.
pub(crate) fn put_all<K, V, S: Subject<K, V> + ?Sized>(subject: &S, keys: u64) {
    let mut order: Vec<_> = (0..keys).collect();
    order.shuffle(&mut StdRng::seed_from_u64(keys));
    for (at, n) in order.into_iter().enumerate() {
        subject.put(n);
        if at % 512 == 0 {
            subject.settle();
        }
    }
    subject.settle();
}

fn filled<K, V, S: Subject<K, V> + ?Sized>(entry: &Entry<S>, keys: u64, room: f64) -> Filled<S> {
    let subject = (entry.make)((keys as f64 * room).ceil() as usize);
    put_all(&*subject, keys);
    Filled { name: entry.name, subject, room }
}

/// All keys below this one present, if the candidate can.
pub(crate) fn fill<K, V, S: Subject<K, V> + ?Sized>(entry: &Entry<S>, keys: u64) -> Filled<S> {
    let full = |room| filled(entry, keys, room);
    let keeps_all = |it: &Filled<S>| it.subject.count_present(keys) == keys;
    ROOMS.into_iter().map(full).find(keeps_all).unwrap_or_else(|| full(MOST_ROOM))
}

/// A line to be measured.
pub(crate) struct Line<'a> {
    pub(crate) name: &'a str,
    pub(crate) what: What,
    pub(crate) plan: Plan,
    pub(crate) effort: Effort,
}

/// Measures a line; `tick` is called after each measurement.
pub(crate) fn run(line: &Line<'_>, tick: &mut dyn FnMut()) -> Vec<Block> {
    let What::Calls { op, data, keys, who, .. } = line.what else { return Vec::new() };
    match (data, who) {
        (Data::Strings, _) => read::<String, u64>(line, all_reading(), tick),
        (Data::Shared, _) => {
            let mut entries = all_reading::<u64, Shared>();
            entries.extend(floors::<Shared, _>());
            read(line, entries, tick)
        }
        (Data::Kilobytes, _) => read::<u64, Kilobyte>(line, all_reading(), tick),
        (Data::Numbers, Who::ByDefault) => read(line, by_default(), tick),
        (Data::Numbers, Who::Tasks) => read(line, for_tasks(), tick),
        (Data::Numbers, _) => {
            let mut entries = if who == Who::Bounded { bounded() } else { all() };
            if has_floors(line.what) {
                entries.extend(floors::<u64, _>());
            }
            entries.push(no_work());
            let filled = in_any_order(line, entries).map(|entry| match op {
                // At capacity from the first call on.
                Op::Insert | Op::Load => filled(&entry, keys, 1.0),
                _ => fill(&entry, keys),
            });
            let work: Work<'_, dyn Worker, u64> = &|it, along, ready| it.work_on(op, along, ready);
            measured(line, filled.collect(), work, tick)
        }
    }
}

/// Whether the hits of a line are compared with what they take at least.
fn has_floors(what: What) -> bool {
    matches!(
        what,
        What::Calls { op: Op::Read, data: Data::Numbers | Data::Shared, who: Who::All, .. }
    )
}

/// The order in which candidates are made and filled: the first get the memory that others left in pieces, and at a
/// million keys that can be a quarter of a hit.
fn in_any_order<S: ?Sized>(
    line: &Line<'_>,
    mut entries: Vec<Entry<S>>,
) -> impl Iterator<Item = Entry<S>> {
    entries.shuffle(&mut StdRng::seed_from_u64(line.effort.stand));
    entries.into_iter()
}

fn read<K: Key, V: Value>(
    line: &Line<'_>,
    mut entries: Vec<Entry<dyn Subject<K, V>>>,
    tick: &mut dyn FnMut(),
) -> Vec<Block> {
    let What::Calls { keys, .. } = line.what else { return Vec::new() };
    entries.push(nothing());
    let filled = in_any_order(line, entries).map(|entry| fill(&entry, keys));
    let work: Work<'_, dyn Subject<K, V>, K> = &|it, along, ready| it.read_on(along, ready);
    measured(line, filled.collect(), work, tick)
}

/// How many measurements a line takes, for the progress bar.
pub(crate) fn ticks(what: What, plan: Plan, effort: Effort) -> u64 {
    let What::Calls { threads, who, keys, .. } = what else { return 0 };
    let candidates = match who {
        Who::All => all().len(),
        Who::Bounded => bounded().len(),
        Who::ByDefault => by_default().len(),
        Who::Tasks => for_tasks().len(),
    };
    let floors = if has_floors(what) { floors::<u64, dyn Worker>().len() } else { 0 };
    let stands = plan.stands(what);
    let effort = effort.over(keys, stands);
    let rounds: usize = plan.threads(threads).iter().map(|n| effort.on(*n).rounds + 1).sum();
    (stands * (candidates + floors + 1) * rounds) as u64
}

fn measured<K: Key, S: ?Sized + Sync>(
    line: &Line<'_>,
    filled: Vec<Filled<S>>,
    work: Work<'_, S, K>,
    tick: &mut dyn FnMut(),
) -> Vec<Block> {
    let What::Calls { keys, skew, threads, .. } = line.what else { return Vec::new() };
    let rooms: Vec<_> = filled.iter().map(|it| (it.name, it.room)).collect();
    let subjects: Vec<_> = filled.iter().map(|it| &*it.subject).collect();
    let walk = Walk::new(keys, skew);
    let blocks = line.plan.threads(threads).into_iter().map(|threads| {
        let mut block = Block::new(block_name(line.name, threads));
        rooms.iter().for_each(|(name, room)| block.push(name, metric::ROOM, *room));
        let effort = line.effort.over(keys, line.plan.stands(line.what));
        let keep = |at: usize, measured: &Measured, again| {
            measured.note(&mut block, rooms[at].0, again);
            // Once in every round.
            if at == 0 && threads > 1 {
                note_line(&mut block);
            }
        };
        rounds(&subjects, work, &walk, threads, effort, keep, &mut *tick);
        block
    });
    blocks.collect()
}
