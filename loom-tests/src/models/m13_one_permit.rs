//! M13: stale readers, one permit, refreshes that succeed and that fail.
//!
//! From the permit to the end of its flight a refresh counts as running; no more run than there are
//! permits, and at rest nothing waits while a permit is free. The real queue; what the refresher does
//! around it is done again here, with every job run by the thread that hands it out.

use std::sync::Arc as Untracked;
use std::sync::atomic::{
    AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};

use loom::thread;

use super::flights::*;
use super::model;
use crate::queue::{Admission, Queue};

/// As the refresher: admits, and hands out.
struct Refresher(Queue<Refresh>);

/// One refresh, with its permit. The permit is returned after the refresh has ended.
struct Job<'a> {
    refresh: Refresh,
    permit: Permit<'a>,
}

struct Permit<'a>(&'a Refresher);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.0.release();
    }
}

impl Job<'_> {
    fn run(self) {
        let Job { refresh, permit } = self;
        if !permit.0.0.is_ended() {
            refresh.run();
        }
        drop(permit);
    }
}

impl Refresher {
    fn new(permits: usize, room: usize) -> Arc<Self> {
        Arc::new(Refresher(Queue::new(permits, room)))
    }

    fn submit(&self, admission: Admission, refresh: Refresh) {
        if admission == Admission::Permit {
            return self.dispatch(Some(Job { refresh, permit: Permit(self) }));
        }
        if let Err(refused) = self.0.push(refresh) {
            self.0.vacate();
            drop(refused);
        }
        self.dispatch(None);
    }

    /// Gives an admission back unused.
    fn decline(&self, admission: Admission) {
        match admission {
            Admission::Permit => {
                self.0.release();
                self.dispatch(None);
            }
            Admission::Room => self.0.vacate(),
        }
    }

    /// Hands out `first` and then what waits, as long as there are permits.
    fn dispatch(&self, first: Option<Job<'_>>) {
        let next = || Some(Job { refresh: self.0.next()?, permit: Permit(self) });
        let mut job = first.or_else(next);
        while let Some(ready) = job {
            ready.run();
            job = next();
        }
    }
}

/// What the model knows. The first is loom's, so that it tries what changes its value, and Relaxed:
/// none of them orders anything.
struct Known {
    running: loom::sync::atomic::AtomicUsize,
    ran: AtomicUsize,
    dropped: AtomicUsize,
}

impl Known {
    fn new() -> Untracked<Self> {
        Untracked::new(Known {
            running: loom::sync::atomic::AtomicUsize::new(0),
            ran: AtomicUsize::new(0),
            dropped: AtomicUsize::new(0),
        })
    }
}

/// A refresh of one stale entry.
struct Refresh {
    word: Arc<Word>,
    flight: Arc<Flight>,
    permits: usize,
    succeeds: bool,
    known: Untracked<Known>,
    ran: bool,
}

impl Refresh {
    fn run(mut self) {
        self.ran = true;
        let running = self.known.running.fetch_add(1, Relaxed) + 1;
        assert!(running <= self.permits, "more refreshes run than there are permits");
        let lease = Flight::start(&self.flight).expect("nobody else starts it");
        if self.succeeds {
            publish(lease, 7);
        } else {
            give_up(&self.word, lease);
        }
        self.known.running.fetch_sub(1, Relaxed);
        self.known.ran.fetch_add(1, SeqCst);
    }
}

impl Drop for Refresh {
    fn drop(&mut self) {
        if !self.ran {
            self.known.dropped.fetch_add(1, SeqCst);
            give_up(&self.word, Flight::start(&self.flight).expect("nobody else starts it"));
        }
    }
}

/// A stale reader, as the core does it: leave to refresh, then the claim. Whether it submitted one.
fn stale_reader(
    refresher: &Refresher,
    word: &Arc<Word>,
    permits: usize,
    succeeds: bool,
    known: &Untracked<Known>,
) -> bool {
    let Some(admission) = refresher.0.admit() else { return false };
    let flight = Flight::queued(0);
    if word.claim(None, &flight).is_none() {
        refresher.decline(admission);
        return false;
    }
    let (word, known) = (Arc::clone(word), Untracked::clone(known));
    refresher.submit(admission, Refresh { word, flight, permits, succeeds, known, ran: false });
    true
}

/// At rest every permit and all room came back.
fn check_returned(refresher: &Refresher, permits: usize, room: usize) {
    for _ in 0..permits {
        assert_eq!(refresher.0.admit(), Some(Admission::Permit));
    }
    for _ in 0..room {
        assert_eq!(refresher.0.admit(), Some(Admission::Room));
    }
    assert_eq!(refresher.0.admit(), None);
}

/// So many readers of as many stale entries; every second refresh fails.
fn readers(readers: usize, permits: usize, room: usize, preemptions: usize) {
    model(preemptions, move || {
        let refresher = Refresher::new(permits, room);
        let known = Known::new();
        let words: Vec<_> = (0..readers).map(|_| idle()).collect();
        let read = |at: usize| {
            let (refresher, known) = (Arc::clone(&refresher), Untracked::clone(&known));
            let word = Arc::clone(&words[at]);
            move || stale_reader(&refresher, &word, permits, at % 2 == 0, &known)
        };
        let others: Vec<_> = (1..readers).map(|at| thread::spawn(read(at))).collect();
        let mut submitted = usize::from(read(0)());
        for other in others {
            submitted += usize::from(other.join().unwrap());
        }
        assert!(submitted >= readers.min(permits + room), "who was refused could have waited");
        let ran = known.ran.load(SeqCst);
        assert_eq!(ran, submitted, "at rest nothing waits while a permit is free");
        for word in &words {
            check_rest(word);
        }
        check_returned(&refresher, permits, room);
    });
}

#[test]
fn m13_two_stale_readers_and_one_permit() {
    readers(2, 1, 1, 2);
}

#[test]
fn m13_three_stale_readers_and_one_permit() {
    readers(3, 1, 2, 1);
}

#[test]
fn m13_a_stale_reader_that_finds_no_room_goes_away() {
    readers(2, 1, 0, 2);
}

#[test]
fn m13_two_stale_readers_of_one_entry() {
    model(2, || {
        let refresher = Refresher::new(1, 1);
        let (known, word) = (Known::new(), idle());
        let other = {
            let (refresher, word) = (Arc::clone(&refresher), Arc::clone(&word));
            let known = Untracked::clone(&known);
            thread::spawn(move || stale_reader(&refresher, &word, 1, true, &known))
        };
        let first = stale_reader(&refresher, &word, 1, true, &known);
        let second = other.join().unwrap();
        assert!(first != second, "one of the two refreshes");
        assert_eq!(known.ran.load(SeqCst), 1);
        check_rest(&word);
        check_returned(&refresher, 1, 1);
    });
}

#[test]
fn m13_what_waits_when_the_cache_closes_is_given_up() {
    model(2, || {
        let refresher = Refresher::new(1, 1);
        let known = Known::new();
        let words = [idle(), idle()];
        let other = {
            let (refresher, word) = (Arc::clone(&refresher), Arc::clone(&words[1]));
            let known = Untracked::clone(&known);
            thread::spawn(move || stale_reader(&refresher, &word, 1, true, &known))
        };
        let closer = {
            let refresher = Arc::clone(&refresher);
            thread::spawn(move || refresher.0.end())
        };
        let submitted = usize::from(stale_reader(&refresher, &words[0], 1, false, &known));
        let submitted = submitted + usize::from(other.join().unwrap());
        closer.join().unwrap();
        let ended = known.ran.load(SeqCst) + known.dropped.load(SeqCst);
        assert_eq!(ended, submitted, "each was run or given up");
        for word in &words {
            check_rest(word);
        }
        assert!(refresher.0.admit().is_none(), "closed");
    });
}

/// Runs what waits, as the refresher does: how many.
fn run_all(queue: &Queue<u64>) -> usize {
    let mut ran = 0;
    while queue.next().is_some() {
        queue.release();
        ran += 1;
    }
    ran
}

#[test]
fn m13_an_item_missed_while_another_is_pushed_is_looked_for_again() {
    model(2, || {
        let queue = Arc::new(Queue::new(1, 2));
        assert_eq!(queue.admit(), Some(Admission::Permit));
        for _ in 0..2 {
            assert_eq!(queue.admit(), Some(Admission::Room));
        }
        assert!(queue.push(1).is_ok());
        assert!(queue.next().is_none(), "the permit is out");
        let other = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                assert!(queue.push(2).is_ok());
                run_all(&queue)
            })
        };
        queue.release();
        let ran = run_all(&queue) + other.join().unwrap();
        assert_eq!(ran, 2, "at rest nothing waits while a permit is free");
    });
}
