//! M2: the leader goes away without an outcome; its one joiner is woken, and may lead next.

use loom::thread;

use super::flights::*;
use super::model;

#[test]
fn m02_the_joiner_of_a_leader_that_left_is_woken() {
    model(2, || {
        let flight = Flight::running(0);
        let lease = Lease::of(Arc::clone(&flight));
        let joiner = thread::spawn(move || {
            assert!(matches!(Ticket::on(flight).wait(), Outcome::Abandoned));
        });
        drop(lease);
        joiner.join().unwrap();
    });
}

#[test]
fn m02_the_joiner_of_a_leader_that_left_leads_next() {
    model(2, || {
        let word = idle();
        let lease = lead(&word);
        let joiner = {
            let word = Arc::clone(&word);
            thread::spawn(move || {
                let mut joined = 0;
                loop {
                    match approach(&word) {
                        Step::Join(ticket) => {
                            assert!(matches!(ticket.wait(), Outcome::Abandoned));
                            joined += 1;
                            assert_eq!(joined, 1, "one leader, so one flight to join");
                        }
                        Step::Lead(lease) => return publish(lease, 7),
                        Step::Over => panic!("nobody published"),
                    }
                }
            })
        };
        give_up(&word, lease);
        joiner.join().unwrap();
        check_rest(&word);
        let flight = word.close().expect("the joiner's flight is in the word");
        assert_eq!(flight.outcome().as_ref().and_then(value), Some(7));
        drop(word.discard(&flight));
    });
}
