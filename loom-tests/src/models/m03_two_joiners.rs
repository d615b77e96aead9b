//! M3: the leader ends; both joiners are woken and get the same outcome.

use loom::thread;

use super::flights::*;
use super::model;

fn two_joiners(outcome: fn() -> Outcome<u64, u64>, right: fn(&Outcome<u64, u64>) -> bool) {
    model(2, move || {
        let flight = Flight::running(0);
        let lease = Lease::of(Arc::clone(&flight));
        let joiners = [(); 2].map(|()| {
            let ticket = Ticket::on(Arc::clone(&flight));
            thread::spawn(move || assert!(right(&ticket.wait())))
        });
        drop(flight);
        assert!(right(&lease.land(outcome())), "the leader gets it too");
        for joiner in joiners {
            joiner.join().unwrap();
        }
    });
}

#[test]
fn m03_two_joiners_get_the_value() {
    two_joiners(|| Outcome::Published(Arc::new(7)), |outcome| value(outcome) == Some(7));
}

#[test]
fn m03_two_joiners_get_the_failure() {
    two_joiners(
        || Outcome::Failed(Arc::new(8)),
        |outcome| matches!(outcome, Outcome::Failed(why) if **why == 8),
    );
}
