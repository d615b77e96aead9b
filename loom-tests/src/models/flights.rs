//! Set-up of the models of words and flights alone, without a table.
//!
//! What is read through a `sync::Arc` is a tracked cell: an access that no ordering covers, or one
//! after the last drop, is loom's failure. So a plain number behind an `Arc` is enough of a value.

pub(super) use crate::flight::{Lease, Ticket};
use crate::state::{Phase, State};
pub(super) use crate::sync::{Arc, Published, Weak};
pub(super) use crate::word::Outcome;

pub(super) type Flight = crate::flight::Flight<u64, u64>;
pub(super) type Word = State<Flight>;

/// What a caller is to do about an entry without a value.
pub(super) enum Step {
    Lead(Lease<u64, u64>),
    Join(Ticket<u64, u64>),
    /// It has been replaced, or a load has published.
    Over,
}

/// As the core decides it: claim the load, or join who did.
pub(super) fn approach(word: &Word) -> Step {
    loop {
        let over = match word.phase() {
            Phase::Idle => None,
            Phase::Done(flight) => Some(flight),
            Phase::Flight(flight) if flight.is_pending() => return Step::Join(Ticket::on(flight)),
            Phase::Flight(flight) => {
                if let Some(Outcome::Published(_)) = flight.outcome() {
                    return Step::Over;
                }
                word.end(&flight);
                continue;
            }
            Phase::Tentative | Phase::Killed | Phase::Closed => return Step::Over,
        };
        let flight = Flight::running(None);
        if word.claim(over.as_ref(), &flight).is_some() {
            return Step::Lead(Lease::of(flight));
        }
    }
}

/// A word that is idle.
pub(super) fn idle() -> Arc<Word> {
    Arc::new(State::idle())
}

/// Claims an idle word.
pub(super) fn lead(word: &Word) -> Lease<u64, u64> {
    match approach(word) {
        Step::Lead(lease) => lease,
        Step::Join(_) | Step::Over => panic!("nobody else leads"),
    }
}

/// Ends a load without a value, as the table's `fail` and `abandon` do.
pub(super) fn give_up(word: &Word, lease: Lease<u64, u64>) {
    let waking = lease.flight().settle(Outcome::Abandoned);
    word.end(lease.flight());
    drop(waking);
}

/// Ends a load with a value.
pub(super) fn publish(lease: Lease<u64, u64>, value: u64) {
    lease.flight().complete(Outcome::Published(Arc::new(value)));
}

/// The value, if that is how it ended.
pub(super) fn value(outcome: &Outcome<u64, u64>) -> Option<u64> {
    match outcome {
        Outcome::Published(value) => Some(**value),
        Outcome::Failed(_) | Outcome::Abandoned => None,
    }
}

/// At rest no joiner is left on a pending flight, and what is in the word has ended.
pub(super) fn check_rest(word: &Word) {
    match word.phase() {
        Phase::Flight(flight) | Phase::Done(flight) => {
            assert!(!flight.is_pending(), "a flight nobody leads is left in the word");
        }
        Phase::Idle | Phase::Closed => {}
        Phase::Tentative | Phase::Killed => panic!("no such step was taken"),
    }
}
