//! Waking: the joiners of one flight, threads and tasks in one list.
//!
//! A joiner takes a **seat**, puts its waker in, looks whether the flight has ended, and sleeps. The
//! end closes the list, so nobody can sit down any more, and then every seat, so nobody can put a
//! waker in any more; each waker it finds it owns, and wakes. A joiner that leaves takes its waker
//! out; its seat stays and is taken over by a later joiner, so any number of cancelled waits
//! leave no more seats behind than were taken at once. (Where a thread loses its processor with those that were left
//! in hand, each who sits down meanwhile adds one: nobody waits for it.)
//!
//! A thread sits for as long as one call ([`Seat`]). A task may be polled with another waker each time
//! and be dropped between two polls: its [`Stay`] is kept by the future, and with another waker it takes
//! another seat.
//!
//! Waking runs foreign code (a task's waker): a panic in it is that task's own and keeps nobody else
//! from being woken.

use std::task::Waker;

use crate::fifo::{Node, Pile};
use crate::panics::{First, contain};
use crate::sync::atomic::{AtomicUsize, Ordering::*};
use crate::sync::thread::{self, Thread};
use crate::sync::{Arc, SEAT_LOOKS, spin_loop};
use crate::word::{Chain, Link, Slot};

/// How to wake one joiner.
enum Wake {
    Thread(Thread),
    Task(Waker),
}

impl Wake {
    fn wake(self) {
        match self {
            Wake::Thread(thread) => thread.unpark(),
            Wake::Task(waker) => contain(|| waker.wake()),
        }
    }
}

/// A joiner's place in the list: empty, holding one waker, or ended.
struct Place(Slot<Node<Sitting>>);

/// What a place holds, and, while the place is left, the pile of those: so who sits down there, and leaves again,
/// allocates nothing.
struct Sitting {
    wake: Option<Wake>,
    left: Option<Arc<Link<Place>>>,
}

/// The joiners of one flight.
pub(crate) struct Waiters {
    places: Chain<Place>,
    /// Those that were left.
    left: Pile<Sitting>,
    /// How many there are, if not more: whether it is worth while to look again where there seem to be none.
    spare: AtomicUsize,
}

impl Waiters {
    pub(crate) fn new() -> Self {
        Waiters { places: Chain::new(), left: Pile::new(), spare: AtomicUsize::new(0) }
    }

    /// Takes a seat for the calling thread; `None` when the flight has ended.
    pub(crate) fn sit(&self) -> Option<Seat<'_>> {
        let place = self.place(Wake::Thread(thread::current()))?;
        Some(Seat { place, waiters: self })
    }

    /// Sees to it that the end wakes `waker`, and no waker of an earlier poll; `false` when the end
    /// has come already. Clones a waker only when it is another than before.
    pub(crate) fn attend(&self, stay: &mut Stay, waker: &Waker) -> bool {
        if stay.0.as_ref().is_some_and(|(_, mine)| mine.will_wake(waker)) {
            return true;
        }
        // An end in between finds no waker of this task, and the task no seat.
        self.leave(stay);
        let (mine, wake) = (waker.clone(), Wake::Task(waker.clone()));
        let (mut place, mut first) = (None, First::default());
        first.of(|| place = self.place(wake));
        match place {
            Some(place) => stay.0 = Some((place, mine)),
            // Each clone goes on its own, the one that found no seat and the other.
            None => first.of(|| drop(mine)),
        }
        first.go_on();
        stay.0.is_some()
    }

    /// Ends a stay: nothing of it is woken any more.
    pub(crate) fn leave(&self, stay: &mut Stay) {
        if let Some((place, mine)) = stay.0.take() {
            let mut first = First::default();
            first.of(|| self.vacate(&place));
            first.of(|| drop(mine));
            first.go_on();
        }
    }

    /// A place that holds `wake`; `None` when the flight has ended.
    fn place(&self, wake: Wake) -> Option<Arc<Link<Place>>> {
        if let Some(mut node) = self.spare_node() {
            node.item.wake = Some(wake);
            let Some(place) = node.item.left.take() else {
                unreachable!("what is left says which place it is")
            };
            // Nobody else has it: refused only when it has ended.
            return place.0.put(node).is_ok().then_some(place);
        }
        let place = Place(Slot::new());
        let _ = place.0.put(Node::new(Sitting { wake: Some(wake), left: None }));
        self.places.push(place)
    }

    /// Of a seat that was left; another thread may have the pile in hand for a moment.
    fn spare_node(&self) -> Option<Box<Node<Sitting>>> {
        // Relaxed, here and below: advice.
        for _ in 0..SEAT_LOOKS {
            if self.spare.load(Relaxed) == 0 {
                break;
            }
            if !self.left.is_empty()
                && let Some(node) = self.left.pop_node()
            {
                self.spare.fetch_sub(1, Relaxed);
                return Some(node);
            }
            spin_loop();
        }
        None
    }

    fn vacate(&self, place: &Arc<Link<Place>>) {
        if let Some(mut node) = place.0.take() {
            let wake = node.item.wake.take();
            node.item.left = Some(Arc::clone(place));
            self.spare.fetch_add(1, Relaxed);
            // Before the waker goes, whose destructor may panic. This pile never ends.
            drop(self.left.push_node(node));
            drop(wake);
        }
    }

    /// Wakes everybody and lets nobody in any more.
    pub(crate) fn end(&self) {
        for place in self.places.end() {
            if let Some(wake) = place.0.end().and_then(|node| node.item.wake) {
                wake.wake();
            }
        }
    }
}

/// A task's place in the list, if it has one, and the waker in it. Ended by [`Waiters::leave`].
#[derive(Default)]
pub(crate) struct Stay(Option<(Arc<Link<Place>>, Waker)>);

/// A thread's seat; leaving it takes the waker out.
pub(crate) struct Seat<'a> {
    place: Arc<Link<Place>>,
    waiters: &'a Waiters,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.waiters.vacate(&self.place);
    }
}
