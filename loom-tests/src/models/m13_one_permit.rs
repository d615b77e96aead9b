//! M13: stale readers, one permit, refreshes that succeed and that fail.
//!
//! From the permit to the end of its flight a refresh counts as running; no more run than there are
//! permits, and at rest nothing waits while a permit is free. The real refresher and its queue; what
//! it runs is a flight's end and no fetch, but for the model that goes through the lookup.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{
    AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc as Untracked, Mutex};
use std::time::Duration;

use loom::thread;

use super::flights::*;
use super::model;
use super::support::{Got, Queued, STALE, Small, Step, one_home};
use crate::policy::Ask;
use crate::refresh::{Admitted, CallerRuns, Job, Refresher, Task};
use crate::table::Fate;

/// Every job is run by the thread that hands it out.
fn refresher(permits: usize, room: usize) -> Arc<Refresher> {
    Arc::new(Refresher::new(permits, room, Some(Box::new(CallerRuns))))
}

/// What the model knows. The first is loom's, so that it tries what changes its value, and Relaxed:
/// none of them orders anything.
struct Known {
    running: loom::sync::atomic::AtomicUsize,
    ran: AtomicUsize,
    dropped: AtomicUsize,
    /// How often more ran than there are permits. A panic there would be taken for the fetch's.
    too_many: AtomicUsize,
}

impl Drop for Known {
    fn drop(&mut self) {
        let too_many = self.too_many.load(SeqCst);
        assert!(
            too_many == 0 || std::thread::panicking(),
            "more refreshes run than there are permits"
        );
    }
}

impl Known {
    fn new() -> Untracked<Self> {
        Untracked::new(Known {
            running: loom::sync::atomic::AtomicUsize::new(0),
            ran: AtomicUsize::new(0),
            dropped: AtomicUsize::new(0),
            too_many: AtomicUsize::new(0),
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
    fn task(self) -> Task {
        Task::Blocking(Box::new(move || self.run()))
    }

    fn run(mut self) {
        self.ran = true;
        let running = self.known.running.fetch_add(1, Relaxed) + 1;
        if running > self.permits {
            self.known.too_many.fetch_add(1, SeqCst);
        }
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
    refresher: &Arc<Refresher>,
    word: &Arc<Word>,
    permits: usize,
    succeeds: bool,
    known: &Untracked<Known>,
) -> bool {
    let Some(admitted) = Refresher::admit(refresher) else { return false };
    refresh(admitted, word, permits, succeeds, known)
}

fn refresh(
    admitted: Admitted,
    word: &Arc<Word>,
    permits: usize,
    succeeds: bool,
    known: &Untracked<Known>,
) -> bool {
    let flight = Flight::queued(None);
    if word.claim(None, &flight).is_none() {
        return false;
    }
    let (word, known) = (Arc::clone(word), Untracked::clone(known));
    let refresh = Refresh { word, flight, permits, succeeds, known, ran: false };
    admitted.submit(refresh.task());
    true
}

/// At rest every permit and all room came back.
fn check_returned(refresher: &Arc<Refresher>, permits: usize, room: usize) {
    let admitted: Vec<_> = std::iter::from_fn(|| Refresher::admit(refresher)).take(9).collect();
    assert_eq!(admitted.iter().filter(|admitted| !admitted.must_queue()).count(), permits);
    assert_eq!(admitted.iter().filter(|admitted| admitted.must_queue()).count(), room);
}

/// So many readers of as many stale entries; every second refresh fails.
fn readers(readers: usize, permits: usize, room: usize, preemptions: usize) {
    model(preemptions, move || {
        let refresher = refresher(permits, room);
        let known = Known::new();
        let words: Vec<_> = (0..readers).map(|_| idle()).collect();
        let read = |at: usize| {
            let (refresher, known) = (Arc::clone(&refresher), Untracked::clone(&known));
            let word = Arc::clone(&words[at]);
            move || stale_reader(&refresher, &word, permits, at.is_multiple_of(2), &known)
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
        let refresher = refresher(1, 1);
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
        let refresher = refresher(1, 1);
        let known = Known::new();
        let words = [idle(), idle()];
        let other = {
            let (refresher, word) = (Arc::clone(&refresher), Arc::clone(&words[1]));
            let known = Untracked::clone(&known);
            thread::spawn(move || stale_reader(&refresher, &word, 1, true, &known))
        };
        let closer = {
            let refresher = Arc::clone(&refresher);
            thread::spawn(move || drop(refresher.close()))
        };
        let submitted = usize::from(stale_reader(&refresher, &words[0], 1, false, &known));
        let submitted = submitted + usize::from(other.join().unwrap());
        closer.join().unwrap();
        let ended = known.ran.load(SeqCst) + known.dropped.load(SeqCst);
        assert_eq!(ended, submitted, "each was run or given up");
        for word in &words {
            check_rest(word);
        }
        assert!(Refresher::admit(&refresher).is_none(), "closed");
    });
}

/// What panics as it is dropped.
struct Fragile;

impl Drop for Fragile {
    fn drop(&mut self) {
        panic!("a destructor that panics");
    }
}

/// A task that panics if it is dropped unrun.
fn fragile() -> Task {
    let owned = Fragile;
    Task::Blocking(Box::new(move || std::mem::forget(owned)))
}

fn closing(refresher: &Arc<Refresher>) -> thread::JoinHandle<()> {
    let refresher = Arc::clone(refresher);
    thread::spawn(move || {
        let _ = catch_unwind(AssertUnwindSafe(|| drop(refresher.close())));
    })
}

/// Whoever hands out the first may find that the close was there before it could put back the others:
/// then it drops them, and is not to suffer for it.
#[test]
fn m13_what_a_close_leaves_to_who_hands_out_harms_it_in_no_way() {
    model(2, || {
        let refresher = refresher(1, 3);
        let permit = Refresher::admit(&refresher).expect("the permit");
        for _ in 0..3 {
            Refresher::admit(&refresher).expect("room").submit(fragile());
        }
        let closer = closing(&refresher);
        drop(permit);
        closer.join().unwrap();
        assert!(refresher.close_timeout(Duration::ZERO), "every permit came back");
    });
}

/// As above; and so for whoever came last, which had taken out the others to put its own on top.
#[test]
fn m13_what_a_close_leaves_to_who_came_last_harms_it_in_no_way() {
    model(2, || {
        let refresher = refresher(1, 2);
        let permit = Refresher::admit(&refresher).expect("the permit");
        Refresher::admit(&refresher).expect("room").submit(fragile());
        let room = Refresher::admit(&refresher).expect("room");
        let given_up = Untracked::new(AtomicUsize::new(0));
        let owned = GivenUp(Untracked::clone(&given_up));
        let last = Task::Blocking(Box::new(move || drop(owned)));
        let closer = closing(&refresher);
        room.submit(last);
        closer.join().unwrap();
        assert_eq!(given_up.load(SeqCst), 1);
        drop(permit);
        assert!(refresher.close_timeout(Duration::ZERO), "every permit came back");
    });
}

/// What says that it is gone.
struct GivenUp(Untracked<AtomicUsize>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// A refresh ends on one thread while another queues its own; jobs are run where the executor's are,
/// not by who hands them out.
#[test]
fn m13_who_ends_a_refresh_hands_out_the_next() {
    model(2, || {
        // Not loom's, and never held over a step.
        let shelf: Untracked<Mutex<Vec<Job>>> = Untracked::default();
        let executor = {
            let shelf = Untracked::clone(&shelf);
            move |job: Job| shelf.lock().unwrap().push(job)
        };
        let take = || shelf.lock().unwrap().pop();
        let refresher = Arc::new(Refresher::new(1, 1, Some(Box::new(executor))));
        let (known, words) = (Known::new(), [idle(), idle()]);
        assert!(stale_reader(&refresher, &words[0], 1, true, &known));
        let other = {
            let (refresher, word) = (Arc::clone(&refresher), Arc::clone(&words[1]));
            let known = Untracked::clone(&known);
            thread::spawn(move || stale_reader(&refresher, &word, 1, false, &known))
        };
        let first = take().expect("there was a permit");
        first.run();
        assert!(other.join().unwrap(), "there was room");
        let second = take().expect("at rest nothing waits while a permit is free");
        second.run();
        assert_eq!(known.ran.load(SeqCst), 2);
        words.iter().for_each(|word| check_rest(word));
        check_returned(&refresher, 1, 1);
    });
}

/// Who closes and waits is woken by the end of what runs.
#[test]
fn m13_a_close_that_waits_is_woken_by_the_last_refresh() {
    for refresh_first in [false, true] {
        model(2, move || {
            let shelf: Untracked<Mutex<Vec<Job>>> = Untracked::default();
            let executor = {
                let shelf = Untracked::clone(&shelf);
                move |job: Job| shelf.lock().unwrap().push(job)
            };
            let refresher = Arc::new(Refresher::new(1, 1, Some(Box::new(executor))));
            let (known, word) = (Known::new(), idle());
            assert!(stale_reader(&refresher, &word, 1, true, &known));
            let job = shelf.lock().unwrap().pop().expect("there was a permit");
            let closer = {
                let refresher = Arc::clone(&refresher);
                move || assert!(refresher.close_timeout(Duration::MAX))
            };
            if refresh_first {
                let closer = thread::spawn(closer);
                job.run();
                closer.join().unwrap();
            } else {
                let other = thread::spawn(move || job.run());
                closer();
                other.join().unwrap();
            }
            assert_eq!(known.ran.load(SeqCst), 1);
            check_rest(&word);
        });
    }
}

/// A close that waits, beside somebody who refreshes: when it returns none runs, and none begins any more.
fn close_beside(refresher: &Refresher, known: &Known, other: impl FnOnce() + Send + 'static) {
    let other = thread::spawn(other);
    assert!(refresher.close_timeout(Duration::MAX));
    let ran = known.ran.load(SeqCst);
    other.join().unwrap();
    assert_eq!(known.ran.load(SeqCst), ran, "one ran on, or began, after the close had waited");
}

#[test]
fn m13_no_refresh_begins_after_a_close_that_waited() {
    model(2, || {
        let refresher = refresher(1, 1);
        let (known, word) = (Known::new(), idle());
        let other = {
            let (refresher, word) = (Arc::clone(&refresher), Arc::clone(&word));
            let known = Untracked::clone(&known);
            move || _ = stale_reader(&refresher, &word, 1, true, &known)
        };
        close_beside(&refresher, &known, other);
        check_rest(&word);
        assert!(Refresher::admit(&refresher).is_none(), "closed");
    });
}

/// Of a refresh that waits while the permit is free again: who hands it out takes the permit before it looks
/// for the refresh, and may find that the close has dropped it.
#[test]
fn m13_a_permit_that_found_nothing_is_no_refresh_that_a_close_waits_for() {
    model(2, || {
        let refresher = refresher(1, 1);
        let (known, word) = (Known::new(), idle());
        let permit = Refresher::admit(&refresher);
        let room = Refresher::admit(&refresher).expect("there is room");
        assert!(room.must_queue());
        drop(permit);
        let other = {
            let (word, known) = (Arc::clone(&word), Untracked::clone(&known));
            move || assert!(refresh(room, &word, 1, true, &known))
        };
        close_beside(&refresher, &known, other);
        assert_eq!(known.ran.load(SeqCst) + known.dropped.load(SeqCst), 1, "run or given up");
        check_rest(&word);
    });
}

/// Two who wait for a close, beside the last permit's return and somebody who gets it for a moment: who is woken too
/// early waits anew, and takes from the other nothing that the next return is to find.
#[test]
fn m13_one_who_waits_for_a_close_does_not_keep_another_from_being_woken() {
    model(2, || {
        let refresher = refresher(1, 0);
        let permit = Refresher::admit(&refresher).expect("nobody else is there");
        let late = {
            let refresher = Arc::clone(&refresher);
            thread::spawn(move || drop(Refresher::admit(&refresher)))
        };
        let other = {
            let refresher = Arc::clone(&refresher);
            thread::spawn(move || assert!(refresher.close_timeout(Duration::MAX)))
        };
        let returning = thread::spawn(move || drop(permit));
        assert!(refresher.close_timeout(Duration::MAX));
        for thread in [late, other, returning] {
            thread.join().unwrap();
        }
    });
}

/// As before, and the permit comes back meanwhile: who waits for the close may be woken by that, find the other one
/// out, and must be woken again.
#[test]
fn m13_who_waits_for_a_close_and_is_woken_too_early_is_woken_again() {
    model(2, || {
        let refresher = refresher(1, 1);
        let (known, word) = (Known::new(), idle());
        let permit = Refresher::admit(&refresher).expect("nobody else is there");
        let room = Refresher::admit(&refresher).expect("there is room");
        assert!(room.must_queue());
        let returning = thread::spawn(move || drop(permit));
        let other = {
            let (word, known) = (Arc::clone(&word), Untracked::clone(&known));
            move || assert!(refresh(room, &word, 1, true, &known))
        };
        close_beside(&refresher, &known, other);
        returning.join().unwrap();
        assert_eq!(known.ran.load(SeqCst) + known.dropped.load(SeqCst), 1, "run or given up");
        check_rest(&word);
    });
}

/// Leave that is not used is given back, and whatever waits for it goes on.
#[test]
fn m13_a_permit_that_was_not_used_goes_to_what_waits() {
    model(2, || {
        let refresher = refresher(1, 1);
        let (known, word) = (Known::new(), idle());
        let unused = Refresher::admit(&refresher).expect("nobody else is there");
        let other = {
            let (refresher, word) = (Arc::clone(&refresher), Arc::clone(&word));
            let known = Untracked::clone(&known);
            thread::spawn(move || stale_reader(&refresher, &word, 1, true, &known))
        };
        drop(unused);
        assert!(other.join().unwrap(), "there was room");
        assert_eq!(known.ran.load(SeqCst), 1, "at rest nothing waits while a permit is free");
        check_rest(&word);
        check_returned(&refresher, 1, 1);
    });
}

/// A refresh as the front starts it: the value in place of a fetch.
struct Background(std::sync::Arc<Small>, Queued);

impl Background {
    fn run(self) {
        let Background(small, queued) = self;
        if let Some((claim, _)) = queued.start() {
            assert_eq!(small.fetch(claim, 1, STALE), Got::Led(Some(1), Fate::Stored));
        }
    }
}

/// As `get_swr`, through the real lookup: the value served at once.
fn revalidate(small: &std::sync::Arc<Small>) -> u32 {
    match small.lookup(7, Ask::WhileRevalidate, STALE) {
        Step::Hit(held, _) => held.value().read(),
        Step::Stale(held, _, to_start) => {
            if let Some((queued, admitted)) = to_start {
                let background = Background(small.clone(), queued);
                admitted.submit(Task::Blocking(Box::new(move || background.run())));
            }
            held.value().read()
        }
        _ => panic!("a stale value in its window is served at once"),
    }
}

#[test]
fn m13_two_stale_readers_refresh_once() {
    model(2, || {
        let small = Small::new(2, one_home);
        assert_eq!(small.set(7, 0, 0), Fate::Stored);
        let other = {
            let small = small.clone();
            thread::spawn(move || revalidate(&small))
        };
        let served = [revalidate(&small), other.join().unwrap()];
        assert!(served.contains(&0), "who refreshes is served the old value: {served:?}");
        assert_eq!(small.fetches(), 1, "one refresh of one stale value");
        assert_eq!(small.peek(7, STALE), Some(1));
        check_returned(&small.core.refresher, 1, 1);
        small.check_rest();
    });
}

#[test]
fn m13_an_item_missed_while_another_is_pushed_is_looked_for_again() {
    model(2, || {
        let refresher = refresher(1, 2);
        let (known, words) = (Known::new(), [idle(), idle()]);
        let permit = Refresher::admit(&refresher);
        let rooms = [0, 1].map(|_| Refresher::admit(&refresher).expect("there is room"));
        let [first, second] = rooms;
        assert!(refresh(first, &words[0], 1, true, &known));
        let other = {
            let (word, known) = (Arc::clone(&words[1]), Untracked::clone(&known));
            thread::spawn(move || assert!(refresh(second, &word, 1, true, &known)))
        };
        drop(permit);
        other.join().unwrap();
        assert_eq!(known.ran.load(SeqCst), 2, "at rest nothing waits while a permit is free");
        words.iter().for_each(|word| check_rest(word));
        check_returned(&refresher, 1, 2);
    });
}
