//! M16: a reader takes a count of the flight in a word while that flight is displaced and its memory
//! given back.
//!
//! Memory goes back through the epoch, which moves on only now and then; the model makes it move on
//! at once, so that whatever may be freed is.

use loom::thread;

use super::flights::*;
use super::model;
use crate::state::Phase;

/// Gives back all that nobody can be reading any more.
fn reclaim() {
    #[cfg(feature = "crossbeam")]
    for _ in 0..3 {
        crossbeam_epoch::pin().flush();
    }
}

/// Fails a first flight, displaces it by a second one, and frees what may be freed.
fn displace(word: &Word, lease: Lease<u64, u64>) {
    give_up(word, lease);
    let next = lead(word);
    reclaim();
    publish(next, 7);
}

#[test]
fn m16_a_flight_is_looked_at_while_it_is_displaced() {
    model(2, || {
        let word = idle();
        let lease = lead(&word);
        let reader = {
            let word = Arc::clone(&word);
            thread::spawn(move || match word.phase() {
                Phase::Flight(flight) | Phase::Done(flight) => drop(flight.outcome()),
                _ => panic!("some flight is always in the word"),
            })
        };
        displace(&word, lease);
        reader.join().unwrap();
        check_rest(&word);
    });
}

#[test]
fn m16_a_word_is_closed_while_its_flight_is_displaced() {
    model(2, || {
        let word = idle();
        let lease = lead(&word);
        give_up(&word, lease);
        let Phase::Done(over) = word.phase() else { panic!("the first flight is done") };
        let writer = {
            let word = Arc::clone(&word);
            thread::spawn(move || {
                let flight = word.close().expect("some flight is always in the word");
                flight.complete(Outcome::Abandoned);
                drop(flight.outcome());
                drop(word.discard(&flight));
            })
        };
        let next = Flight::running(None);
        let displaced = word.claim(Some(&over), &next);
        drop(over);
        let claimed = displaced.is_some();
        drop(displaced);
        reclaim();
        writer.join().unwrap();
        assert!(!claimed || !next.is_pending(), "whoever closed the word saw the claim");
        check_rest(&word);
    });
}

#[test]
fn m16_a_word_is_closed_while_its_ended_flight_is_taken_out() {
    model(2, || {
        let word = idle();
        let lease = lead(&word);
        let writer = {
            let word = Arc::clone(&word);
            thread::spawn(move || {
                if let Some(flight) = word.close() {
                    flight.complete(Outcome::Abandoned);
                    drop(word.discard(&flight));
                }
            })
        };
        let flight = Arc::clone(lease.flight());
        give_up(&word, lease);
        drop(word.discard(&flight));
        drop(flight);
        reclaim();
        writer.join().unwrap();
        check_rest(&word);
    });
}
