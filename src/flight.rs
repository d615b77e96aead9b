//! The flight: one load under way, with one leader and any number of joiners.
//!
//! Generic over what a load publishes (`P`) and how it fails (`F`); knows nothing of keys or tables.
//!
//! ```text
//!   queued ──start──> running ──complete──> ended: published, failed or abandoned
//!      └────────────complete────────────────^
//! ```
//!
//! Guarantees:
//! 1. There is one leader: a [`Lease`] is made with the flight, or by the one who wins `start`.
//! 2. The first outcome wins, and everybody gets that one, the leader too.
//! 3. A lease that goes away without an outcome (panic, cancellation) abandons the flight.
//! 4. Whoever sits down before the end is woken by it; whoever comes later sees the outcome.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::sync::Arc;
use crate::sync::atomic::{AtomicUsize, Ordering::*};
use crate::sync::thread;
use crate::time::Patience;
use crate::waiters::{Stay, Waiters};
use crate::word::{Outcome, Settled};

/// The bits of a stage. A flight without the first waits for whoever starts it.
const STARTED: usize = 1;
const DETACHED: usize = 2;

/// One load of one key.
pub(crate) struct Flight<P, F> {
    outcome: Settled<P, F>,
    waiters: Waiters,
    stage: AtomicUsize,
    /// The failure on record when it was claimed: what ends without a new one leaves that standing.
    pub(crate) before: Option<Arc<F>>,
}

impl<P, F> Flight<P, F> {
    fn at(stage: usize, before: Option<Arc<F>>) -> Arc<Self> {
        Arc::new(Flight {
            outcome: Settled::pending(),
            waiters: Waiters::new(),
            stage: AtomicUsize::new(stage),
            before,
        })
    }

    /// A flight that its maker leads.
    pub(crate) fn running(before: Option<Arc<F>>) -> Arc<Self> {
        Self::at(STARTED, before)
    }

    /// A flight that waits for whoever starts it first.
    pub(crate) fn queued(before: Option<Arc<F>>) -> Arc<Self> {
        Self::at(0, before)
    }

    /// A flight that nobody waits for: it has ended.
    pub(crate) fn ended(outcome: Outcome<P, F>) -> Arc<Self> {
        let flight = Self::at(STARTED, None);
        flight.complete(outcome);
        flight
    }

    /// Whether nobody leads it yet.
    pub(crate) fn is_queued(&self) -> bool {
        // Relaxed: advice; `start` decides.
        self.stage.load(Relaxed) & STARTED == 0
    }

    /// Queued → running: the one who wins leads. Nobody does when it has ended already.
    pub(crate) fn start(flight: &Arc<Self>) -> Option<Lease<P, F>> {
        if !flight.outcome.is_pending() {
            return None;
        }
        // Relaxed: of two starters one wins; nothing is published through the stage.
        let before = flight.stage.fetch_or(STARTED, Relaxed);
        (before & STARTED == 0).then(|| Lease(Arc::clone(flight)))
    }

    /// Leaves the flight to those who joined it: what it was for is deleted.
    pub(crate) fn detach(&self) {
        // Relaxed: as for the start. Who fails a load after the delete has returned, or finds a value that
        // was put there since, sees the mark.
        self.stage.fetch_or(DETACHED, Relaxed);
    }

    pub(crate) fn is_detached(&self) -> bool {
        // Relaxed: as above.
        self.stage.load(Relaxed) & DETACHED != 0
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.outcome.is_pending()
    }

    pub(crate) fn outcome(&self) -> Option<Outcome<P, F>> {
        self.outcome.get()
    }

    /// Ends the flight with `outcome` unless it has one. Everybody is to be woken even then: whoever set that
    /// one may be held up before it woke them all, in somebody's waker for one.
    pub(crate) fn settle(&self, outcome: Outcome<P, F>) -> Waking<'_> {
        // Made first, so that it is dropped last: what is given back may panic as it goes.
        let waking = Waking(&self.waiters);
        drop(self.outcome.settle(outcome));
        waking
    }

    /// As `settle`, and wakes everybody at once.
    pub(crate) fn complete(&self, outcome: Outcome<P, F>) {
        drop(self.settle(outcome));
    }
}

/// The joiners of a flight that has an outcome: dropping this wakes them.
#[must_use]
pub(crate) struct Waking<'a>(&'a Waiters);

impl Drop for Waking<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The leader's duty: to end the flight. Dropping it abandons what has no outcome by then.
#[must_use]
pub(crate) struct Lease<P, F>(Arc<Flight<P, F>>);

impl<P, F> Lease<P, F> {
    /// The lease of a flight made by [`Flight::running`], of which there must be one.
    pub(crate) fn of(flight: Arc<Flight<P, F>>) -> Self {
        Lease(flight)
    }

    pub(crate) fn flight(&self) -> &Arc<Flight<P, F>> {
        &self.0
    }
}

impl<P, F> Drop for Lease<P, F> {
    fn drop(&mut self) {
        if self.0.is_pending() {
            self.0.complete(Outcome::Abandoned);
        }
    }
}

/// A joiner's claim on the outcome: a thread waits for it, a task polls it.
#[must_use]
pub(crate) struct Ticket<P, F> {
    flight: Arc<Flight<P, F>>,
    stay: Stay,
}

impl<P, F> Ticket<P, F> {
    pub(crate) fn on(flight: Arc<Flight<P, F>>) -> Self {
        Ticket { flight, stay: Stay::default() }
    }

    pub(crate) fn flight(&self) -> &Arc<Flight<P, F>> {
        &self.flight
    }

    pub(crate) fn into_flight(mut self) -> Arc<Flight<P, F>> {
        // First, as its waker's destructor may panic: what is half returned then is leaked.
        self.flight.waiters.leave(&mut self.stay);
        Arc::clone(&self.flight)
    }

    /// Sleeps until the flight has ended.
    pub(crate) fn wait(&self) -> Outcome<P, F> {
        let _seat = self.flight.waiters.sit();
        loop {
            if let Some(outcome) = self.flight.outcome() {
                return outcome;
            }
            thread::park();
        }
    }

    /// Sleeps until the flight has ended or `d` has passed.
    pub(crate) fn wait_timeout(&self, d: Duration) -> Option<Outcome<P, F>> {
        let patience = Patience::lasting(d);
        let _seat = self.flight.waiters.sit();
        loop {
            if let Some(outcome) = self.flight.outcome() {
                return Some(outcome);
            }
            thread::park_timeout(patience.left()?);
        }
    }
}

impl<P, F> Future for Ticket<P, F> {
    type Output = Outcome<P, F>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<P, F>> {
        let Ticket { flight, stay } = &mut *self;
        loop {
            if let Some(outcome) = flight.outcome() {
                return Poll::Ready(outcome);
            }
            // Seated before the end, it is woken by it; too late for a seat, it finds the outcome, which
            // was set before the list was ended.
            if flight.waiters.attend(stay, cx.waker()) {
                return Poll::Pending;
            }
        }
    }
}

impl<P, F> Drop for Ticket<P, F> {
    fn drop(&mut self) {
        self.flight.waiters.leave(&mut self.stay);
    }
}
