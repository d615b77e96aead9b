//! Heap bytes per entry, and allocations per operation, by an allocator that counts for each thread. Bytes are
//! those asked for: what the system's allocator adds to each piece is not among them.

#[path = "../../../tests/support/counting.rs"]
pub(crate) mod counting;

use crate::candidates::{Family, all, allocations_of_refreshes};
use crate::figures::{Block, metric};
use crate::stage::put_all;
use crate::stale;
use crate::subject::{Op, Worker};
use crate::workloads::Plan;
use counting::{BYTES, FREED, allocations};

fn entries(plan: Plan) -> u64 {
    if plan.quick { 100_000 } else { 1_000_000 }
}

/// What stands on the heap of what this thread asked for.
fn standing() -> i64 {
    BYTES.get().cast_signed() - FREED.get().cast_signed()
}

pub(crate) fn ticks() -> u64 {
    all().len() as u64
}

pub(crate) fn bytes(name: &str, plan: Plan, tick: &mut dyn FnMut()) -> Vec<Block> {
    let room = entries(plan);
    let mut block = Block::new(name);
    for entry in all() {
        let before = standing();
        let subject = (entry.make)(room as usize);
        let empty = standing() - before;
        put_all(&*subject, room);
        let full = standing() - before;
        let held = subject.count_present(room);
        block.push(entry.name, metric::BYTES, full as f64 / held as f64);
        block.push(entry.name, metric::BYTES_EMPTY, empty as f64 / room as f64);
        tick();
    }
    vec![block]
}

/// Over how many operations a mean is taken.
const COUNT: u64 = 10_000;
/// So many that the first ones do not count: of a thread, of a table, of a queue.
const WARM: u64 = 20_000;

pub(crate) fn allocations_per_operation(name: &str, tick: &mut dyn FnMut()) -> Vec<Block> {
    let named = |what: &str| Block::new(format!("{name} {what}"));
    let (mut hit, mut set) = (named("hit"), named("set"));
    let (mut miss, mut full) = (named("cold miss"), named("insert at capacity"));
    for entry in all() {
        let roomy = (entry.make)((2 * (WARM + COUNT)) as usize);
        miss.push(entry.name, metric::ALLOCS, mean(&*roomy, Op::Insert, 1 << 32));
        roomy.call(Op::Read, 0, COUNT);
        hit.push(entry.name, metric::ALLOCS, once(&*roomy, Op::Read));
        set.push(entry.name, metric::ALLOCS, once(&*roomy, Op::Set));
        if entry.family().is_some_and(Family::is_bounded) {
            let tight = (entry.make)(WARM as usize / 2);
            full.push(entry.name, metric::ALLOCS, mean(&*tight, Op::Insert, 1 << 32));
        }
        tick();
    }
    let mut stale = named("stale hit");
    for (candidate, mean) in stale::allocations_per_hit() {
        stale.push(candidate, metric::ALLOCS, mean);
    }
    let mut blocks = vec![hit, stale, set, miss, full];
    let kinds = ["foreground refresh", "background refresh"];
    for (kind, mean) in kinds.into_iter().zip(allocations_of_refreshes(COUNT)) {
        let mut block = named(kind);
        block.push("lastcache", metric::ALLOCS, mean);
        blocks.push(block);
    }
    blocks
}

/// Of operations on keys that are there.
fn once(subject: &dyn Worker, op: Op) -> f64 {
    subject.call(op, 0, COUNT);
    allocations(|| subject.call(op, 0, COUNT)) as f64 / COUNT as f64
}

/// Of operations on keys that never came before, from this one on.
fn mean(subject: &dyn Worker, op: Op, first: u64) -> f64 {
    subject.call(op, first, WARM);
    allocations(|| subject.call(op, first + WARM, COUNT)) as f64 / COUNT as f64
}
