//! M10: publication. What was written before a value, a flight, a mark or an end was published is
//! seen by whoever sees that: through the cell, and through each of the four words.
//!
//! A number behind an `Arc` that is reached without an order is loom's failure. What comes before an
//! end is a *sign* put into a cell; whoever sees the end has to see the sign.

use loom::thread;

use super::flights::*;
use super::model;
use crate::queue::{Admission, Queue};
use crate::state::{Phase, Standing};
use crate::word::{self, Chain, Slot, View};

type Cell = Published<u64>;

/// A flight with a number in it: the failure before it.
fn numbered(number: u64) -> Arc<Flight> {
    Flight::running(Some(Arc::new(number)))
}

fn number(flight: &Flight) -> u64 {
    **flight.before.as_ref().expect("it was made with one")
}

/// A number in a cell: put there before the step that is to be seen.
fn sign(cell: &Cell) {
    assert!(cell.replace_if(std::ptr::null(), Some(Arc::new(1))).is_ok());
}

fn is_signed(cell: &Cell) -> bool {
    cell.load().is_some_and(|held| **held.arc() == 1)
}

/// One thread publishes, another looks. loom explores from the order in which it first ran them, and
/// takes note only of the last access before each; so each of the two is the first in turn.
fn between<T: Send + Sync + 'static>(
    shared: fn() -> T,
    publish: fn(&T),
    look: fn(&T),
    rest: fn(&T),
) {
    for (first, second) in [(look, publish), (publish, look)] {
        model(2, move || {
            let shared = Arc::new(shared());
            let other = Arc::clone(&shared);
            let thread = thread::spawn(move || second(&other));
            first(&shared);
            thread.join().unwrap();
            rest(&shared);
        });
    }
}

/// As above: who sees what `ended` looks for sees what was signed before `end`.
fn sees_the_sign<T: Send + Sync + 'static>(make: fn() -> T, end: fn(&T), ended: fn(&T) -> bool) {
    sees_the_sign_once(make, end, ended, move |thing| assert!(ended(thing)));
}

/// As above, where the look changes what it looks at.
fn sees_the_sign_once<T: Send + Sync + 'static>(
    make: fn() -> T,
    end: fn(&T),
    ended: fn(&T) -> bool,
    rest: impl Fn(&T) + Copy + Send + Sync + 'static,
) {
    let look = move |thing: &T, cell: &Cell| {
        if ended(thing) {
            assert!(is_signed(cell), "what was written before the end is not seen after it");
        }
    };
    let publish = move |thing: &T, cell: &Cell| {
        sign(cell);
        end(thing);
    };
    for publisher_first in [false, true] {
        model(2, move || {
            let shared = Arc::new((make(), Cell::empty()));
            let other = Arc::clone(&shared);
            let (thing, cell) = &*shared;
            let thread = if publisher_first {
                let looker = thread::spawn(move || look(&other.0, &other.1));
                publish(thing, cell);
                looker
            } else {
                let publisher = thread::spawn(move || publish(&other.0, &other.1));
                look(thing, cell);
                publisher
            };
            thread.join().unwrap();
            rest(thing);
        });
    }
}

fn read<T>(item: Option<&Arc<T>>) {
    item.map(|item| &**item);
}

#[test]
fn m10_a_value_is_seen_through_the_cell() {
    between(
        Cell::empty,
        sign,
        |cell| {
            is_signed(cell);
        },
        |cell| assert!(is_signed(cell)),
    );
}

#[test]
fn m10_a_value_that_replaced_another_is_seen_through_the_cell() {
    between(
        || {
            let cell = Cell::empty();
            sign(&cell);
            cell
        },
        |cell| {
            let old = Arc::clone(cell.load().expect("published before").arc());
            let new = Arc::new(2);
            assert!(cell.replace_if(Arc::as_ptr(&old), Some(new)).is_ok());
        },
        |cell| assert!(matches!(**cell.load().expect("never empty").arc(), 1 | 2)),
        |cell| assert_eq!(**cell.load().expect("never empty").arc(), 2),
    );
}

#[test]
fn m10_a_claimed_flight_is_seen_through_the_word() {
    between(
        Word::idle,
        |word| drop(word.claim(None, &numbered(1))),
        |word| match word.phase() {
            Phase::Idle => {}
            Phase::Flight(flight) => assert_eq!(number(&flight), 1),
            _ => panic!("no such step was taken"),
        },
        |word| assert!(word.in_flight()),
    );
}

#[test]
fn m10_a_flight_that_displaced_another_is_seen_through_the_word() {
    between(
        Word::idle,
        |word| {
            let first = numbered(1);
            drop(word.claim(None, &first));
            word.end(&first);
            drop(word.claim(Some(&first), &numbered(2)));
        },
        |word| match word.phase() {
            Phase::Idle => {}
            Phase::Flight(flight) => assert!(matches!(number(&flight), 1 | 2)),
            Phase::Done(flight) => assert_eq!(number(&flight), 1),
            _ => panic!("no such step was taken"),
        },
        |word| assert!(word.in_flight()),
    );
}

#[test]
fn m10_who_closes_a_word_sees_its_flight() {
    between(
        Word::idle,
        |word| drop(word.claim(None, &numbered(1))),
        |word| {
            if let Some(flight) = word.close() {
                assert_eq!(number(&flight), 1);
            }
        },
        |word| assert!(matches!(word.phase(), Phase::Closed)),
    );
}

#[test]
fn m10_who_meets_a_closed_word_sees_what_replaced_its_snapshot() {
    let close: fn(&Word) = |word| drop(word.close());
    sees_the_sign(Word::idle, close, |word| matches!(word.phase(), Phase::Closed));
    sees_the_sign(Word::idle, close, |word| word.standing() == Standing::Closed);
    let claimed: fn() -> Word = || {
        let word = Word::idle();
        drop(word.claim(None, &numbered(1)));
        word
    };
    sees_the_sign(claimed, close, |word| matches!(word.phase(), Phase::Closed));
    sees_the_sign(claimed, close, |word| word.standing() == Standing::Closed);
}

#[test]
fn m10_who_meets_a_word_closed_quietly_sees_what_came_before() {
    let close: fn(&Word) = |word| assert!(word.close_quiet());
    sees_the_sign(Word::idle, close, |word| matches!(word.phase(), Phase::Closed));
    sees_the_sign(Word::idle, close, |word| word.standing() == Standing::Closed);
}

#[test]
fn m10_an_outcome_is_seen_through_its_flight() {
    between(
        || Flight::running(None),
        |flight| {
            flight.complete(Outcome::Published(Arc::new(7)));
        },
        |flight| assert!(flight.outcome().is_none_or(|outcome| value(&outcome) == Some(7))),
        |flight| assert!(!flight.is_pending()),
    );
}

#[test]
fn m10_a_failure_is_seen_through_its_flight() {
    between(
        || Flight::running(None),
        |flight| {
            flight.complete(Outcome::Failed(Arc::new(8)));
        },
        |flight| match flight.outcome() {
            None => {}
            Some(Outcome::Failed(why)) => assert_eq!(*why, 8),
            Some(_) => panic!("no such outcome was set"),
        },
        |flight| assert!(!flight.is_pending()),
    );
}

#[test]
fn m10_who_sees_a_flight_ended_sees_what_was_published_before() {
    let end: fn(&Arc<Flight>) = |flight| {
        flight.complete(Outcome::Abandoned);
    };
    sees_the_sign(|| Flight::running(None), end, |flight| !flight.is_pending());
    sees_the_sign(|| Flight::running(None), end, |flight| flight.outcome().is_some());
}

#[test]
fn m10_who_ends_a_chain_sees_its_links() {
    let push: fn(&Chain<Arc<u64>>) = |chain| {
        for n in [1, 2] {
            drop(chain.push(Arc::new(n)));
        }
    };
    let rest: fn(&Chain<Arc<u64>>) = |chain| assert!(chain.push(Arc::new(3)).is_none());
    let look: fn(&Chain<Arc<u64>>) = |chain| chain.end().for_each(|link| read(Some(&**link)));
    between(Chain::new, push, look, rest);
}

#[test]
fn m10_who_comes_after_the_end_of_a_chain_sees_what_came_before_it() {
    let end: fn(&Chain<u64>) = |chain| drop(chain.end());
    sees_the_sign(Chain::new, end, |chain| chain.push(1).is_none());
}

#[test]
fn m10_an_item_is_seen_through_the_slot() {
    let put: fn(&Slot<Arc<u64>>) = |slot| drop(slot.put(Box::new(Arc::new(1))));
    let take: fn(&Slot<Arc<u64>>) = |slot| read(slot.take().as_deref());
    let end: fn(&Slot<Arc<u64>>) = |slot| read(slot.end().as_deref());
    between(Slot::new, put, take, |_| {});
    between(Slot::new, put, end, |slot| assert!(slot.is_ended() && slot.is_empty()));
}

#[test]
fn m10_who_comes_after_the_end_of_a_slot_sees_what_came_before_it() {
    let end: fn(&Slot<u64>) = |slot| drop(slot.end());
    sees_the_sign(Slot::new, end, |slot| slot.is_ended());
    sees_the_sign(Slot::new, end, |slot| slot.put(Box::new(1)).is_err() && slot.is_ended());
}

#[test]
fn m10_who_finds_a_slot_emptied_sees_what_came_before() {
    let full = || {
        let slot = Slot::new();
        assert!(slot.put(Box::new(1_u64)).is_ok());
        slot
    };
    sees_the_sign(full, |slot| drop(slot.take()), |slot| slot.is_empty());
}

type Tagged = word::Word<u64>;

fn tag(word: &Tagged, from: usize, to: usize) -> bool {
    word.exchange(View(None, from), View(None, to)).is_some()
}

#[test]
fn m10_who_takes_a_step_sees_what_came_before_the_last_one() {
    let step: fn(&Tagged) = |word| assert!(tag(word, 0, 1));
    sees_the_sign(|| Tagged::new(0), step, |word| tag(word, 1, 1));
}

#[test]
fn m10_whose_step_fails_sees_what_came_before_the_one_that_was_taken() {
    let step: fn(&Tagged) = |word| assert!(tag(word, 0, 1));
    sees_the_sign(|| Tagged::new(0), step, |word| !tag(word, 0, 0));
}

#[test]
fn m10_who_puts_an_item_sees_what_came_before_the_slot_was_emptied() {
    let full = || {
        let slot = Slot::new();
        assert!(slot.put(Box::new(1_u64)).is_ok());
        slot
    };
    let take: fn(&Slot<u64>) = |slot| drop(slot.take());
    sees_the_sign_once(full, take, |slot| slot.put(Box::new(2)).is_ok(), |_| {});
}

#[test]
fn m10_whose_item_is_refused_sees_what_came_before_the_end_of_the_slot() {
    let end: fn(&Slot<u64>) = |slot| drop(slot.end());
    sees_the_sign(Slot::new, end, |slot| slot.put(Box::new(1)).is_err());
}

type Permits = Queue<u64>;

fn out() -> Permits {
    let queue = Permits::new(1, 0);
    assert_eq!(queue.admit(), Some(Admission::Permit));
    queue
}

#[test]
fn m10_who_gets_a_permit_sees_what_its_holder_did() {
    let back: fn(&Permits) = |queue| assert!(queue.release());
    sees_the_sign_once(out, back, |queue| queue.admit().is_some(), |_| {});
}

#[test]
fn m10_who_finds_all_quiet_sees_what_ran() {
    let back: fn(&Permits) = |queue| assert!(queue.release());
    sees_the_sign(out, back, |queue| queue.is_quiet());
}
