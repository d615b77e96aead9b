//! M19: who finds something gone sees what was done before it went, wherever it is missed: in the
//! bucket of its key, further on, by an iteration, and by the counts of values and weight.
//!
//! What was done before is a *sign*, as in M10.

use loom::thread;

use super::flights::Published;
use super::model;
use super::support::{Key, NOW, Small, at, draft, one_home};
use crate::snapshot::Draft;
use crate::sync::Arc;
use crate::table::Fate;

type Cell = Published<u64>;

fn is_signed(cell: &Cell) -> bool {
    cell.load().is_some_and(|held| **held.arc() == 1)
}

fn set_weighing(small: &Small, key: u8, weight: u32) -> Fate {
    let draft = Draft { weight, ..draft(u32::from(key), NOW) };
    small.core.set(small.hashed(key), Key(key), draft, at(NOW))
}

/// One thread signs and deletes 7, another looks whether it has gone: each the first in turn, since
/// loom starts from the order in which it first ran them.
fn gone(make: fn() -> std::sync::Arc<Small>, has_gone: fn(&Small) -> bool) {
    for deleter_first in [false, true] {
        model(2, move || {
            let (small, cell) = (make(), Arc::new(Cell::empty()));
            let looker = {
                let (small, cell) = (small.clone(), Arc::clone(&cell));
                move || {
                    let seen = has_gone(&small);
                    assert!(!seen || is_signed(&cell), "gone, and what came before is not seen");
                }
            };
            let deleter = {
                let small = small.clone();
                move || {
                    assert!(cell.replace_if(std::ptr::null(), Some(Arc::new(1))).is_ok());
                    // Evicted by now, or not.
                    small.delete(7, NOW);
                }
            };
            if deleter_first {
                let looker = thread::spawn(looker);
                deleter();
                looker.join().unwrap();
            } else {
                let deleter = thread::spawn(deleter);
                looker();
                deleter.join().unwrap();
            }
            small.check_rest();
        });
    }
}

fn with(capacity: usize, max_weight: u64, keys: &[u8]) -> std::sync::Arc<Small> {
    let small = Small::weighing(capacity, max_weight, one_home);
    for key in keys {
        assert_eq!(set_weighing(&small, *key, 1), Fate::Stored);
    }
    small
}

#[test]
fn m19_who_misses_a_key_at_home_sees_what_came_before_its_end() {
    gone(|| with(2, 9, &[7]), |small| small.peek(7, NOW).is_none());
}

#[test]
fn m19_who_misses_a_key_further_on_sees_what_came_before_its_end() {
    gone(|| with(3, 9, &[1, 2, 7]), |small| small.peek(7, NOW).is_none());
}

#[test]
fn m19_who_iterates_past_a_key_sees_what_came_before_its_end() {
    gone(|| with(2, 9, &[7]), |small| small.table().group(0, at(NOW)).is_empty());
}

#[test]
fn m19_who_counts_one_less_sees_what_came_before_its_end() {
    gone(|| with(2, 9, &[7]), |small| small.table().len() == 0);
    gone(|| with(2, 9, &[7]), |small| small.table().weight() == 0);
}

/// Whether another value was stored, and nothing was evicted for it.
fn stored_in_the_room_that_was_left(small: &Small) -> bool {
    let before = small.table().evictions();
    set_weighing(small, 8, 1) == Fate::Stored && small.table().evictions() == before
}

#[test]
fn m19_who_takes_a_unit_sees_that_its_value_is_gone() {
    gone(|| with(1, 9, &[7]), stored_in_the_room_that_was_left);
}

#[test]
fn m19_who_takes_weight_sees_that_its_value_is_gone() {
    gone(|| with(2, 1, &[7]), stored_in_the_room_that_was_left);
}
