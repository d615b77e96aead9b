//! Waking: the joiners of one flight, threads and tasks in one list.
//!
//! A joiner takes a **seat**, puts its waker in, looks whether the flight has ended, and sleeps. The
//! end closes the list, so nobody can sit down any more, and then every seat, so nobody can put a
//! waker in any more; each waker it finds it owns, and wakes. A joiner that leaves takes its waker
//! out; its seat stays and is taken over by a later joiner, so any number of cancelled waits
//! leave no more seats behind than were taken at once.
//!
//! Waking runs foreign code (a task's waker): a panic in it is that task's own and keeps nobody else
//! from being woken.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use crate::sync::Arc;
use crate::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use crate::sync::thread::{self, Thread};
use crate::word::{Chain, Link, Slot};

/// How to wake one joiner.
pub(crate) enum Wake {
    Thread(Thread),
    #[allow(dead_code, reason = "joiners that are tasks come with the async front")]
    Task(Waker),
}

impl Wake {
    /// Wakes the calling thread.
    pub(crate) fn this_thread() -> Wake {
        Wake::Thread(thread::current())
    }

    pub(crate) fn wake(self) {
        match self {
            Wake::Thread(thread) => thread.unpark(),
            Wake::Task(waker) => drop(catch_unwind(AssertUnwindSafe(|| waker.wake()))),
        }
    }
}

/// A joiner's place in the list: empty, holding one waker, or ended.
type Place = Slot<Wake>;

/// The joiners of one flight.
pub(crate) struct Waiters {
    places: Chain<Place>,
    /// How many seats were left and not taken over: saves joiners the walk when there are none.
    left: AtomicUsize,
}

impl Waiters {
    pub(crate) fn new() -> Self {
        Waiters { places: Chain::new(), left: AtomicUsize::new(0) }
    }

    /// Takes a seat for `wake`; `None` when the flight has ended.
    pub(crate) fn sit(&self, wake: Wake) -> Option<Seat<'_>> {
        let mut wake = Box::new(wake);
        // Relaxed: a hint. Who misses a seat that was just left adds one.
        if self.left.load(Relaxed) > 0 {
            for place in self.places.links() {
                match place.put(wake) {
                    Ok(()) => {
                        self.left.fetch_sub(1, Relaxed);
                        return Some(Seat { place, waiters: self });
                    }
                    Err(_) if place.is_ended() => return None,
                    Err(back) => wake = back,
                }
            }
        }
        let place = Place::new();
        let _ = place.put(wake);
        let place = self.places.push(place)?;
        Some(Seat { place, waiters: self })
    }

    /// Wakes everybody and lets nobody in any more.
    pub(crate) fn end(&self) {
        for place in self.places.end() {
            if let Some(wake) = place.end() {
                wake.wake();
            }
        }
    }
}

/// One joiner's seat; leaving it takes the waker out.
pub(crate) struct Seat<'a> {
    place: Arc<Link<Place>>,
    waiters: &'a Waiters,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        if self.place.take().is_some() {
            // Relaxed: a hint, as where it is read.
            self.waiters.left.fetch_add(1, Relaxed);
        }
    }
}
