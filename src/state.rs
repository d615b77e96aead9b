//! The state word of one snapshot: who may load its key now.
//!
//! It lives in the snapshot and dies with it, so a slot's next tenant, or the same key's next
//! value, starts with its own. It answers one question, *may I lead the load of this key?*, and
//! knows nothing of values, tables or time. A hit never reads it.
//!
//! ```text
//!              kill                                  claim (over)
//!   KILLED <─────────── TENTATIVE                 ┌──────────────┐
//!                           │ commit              v              │
//!   (a published snapshot)  └──────> IDLE ────> FLIGHT f ────> DONE f
//!            starts idle ───────────────┘ claim   │      end     │
//!                        │                        │              │
//!                        │ close, close_quiet     │ close        │ close, close_quiet
//!                        v                        v              v
//!                     CLOSED <─────────────── CLOSED f <──── CLOSED DONE f
//!                               discard                discard
//! ```
//!
//! Edges that do not exist: nothing leaves KILLED or CLOSED; nothing returns to IDLE or TENTATIVE;
//! a tentative word is never claimed or closed. So a replaced snapshot is never loaded for again.
//!
//! | word | means |
//! |---|---|
//! | tentative | a placeholder that has not yet won against others of its key |
//! | killed | a placeholder that lost; its owner takes it out |
//! | idle | nobody loads this key |
//! | flight | one leader loads this key |
//! | done | the last load failed or was given up; its flight says why and until when to back off. Of a replaced snapshot it may say that a write ended it |
//! | closed | replaced, or leaving: whoever meets it may finish the removal |

use crate::sync::Arc;
use crate::word::{Displaced, View, Word};

const IDLE: usize = 0;
const CLOSED: usize = 1;
const DONE: usize = 2;
const TENTATIVE: usize = 4;
const KILLED: usize = TENTATIVE | DONE;

/// What a state word says.
pub(crate) enum Phase<F> {
    Tentative,
    Killed,
    Idle,
    Flight(Arc<F>),
    Done(Arc<F>),
    Closed,
}

/// What a state word says of its snapshot's place in the table.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Tentative,
    Killed,
    Committed,
    Closed,
}

/// The word itself; `F` is the flight it may point to.
pub(crate) struct State<F>(Word<F>);

impl<F> State<F> {
    /// Of a placeholder that has not won yet.
    pub(crate) fn tentative() -> Self {
        State(Word::new(TENTATIVE))
    }

    /// Of a published snapshot.
    pub(crate) fn idle() -> Self {
        State(Word::new(IDLE))
    }

    pub(crate) fn phase(&self) -> Phase<F> {
        match self.0.look() {
            (None, TENTATIVE) => Phase::Tentative,
            (None, KILLED) => Phase::Killed,
            (None, IDLE) => Phase::Idle,
            (Some(f), 0) => Phase::Flight(f),
            (Some(f), DONE) => Phase::Done(f),
            _ => Phase::Closed,
        }
    }

    /// Whether a flight is under way, by one load.
    pub(crate) fn in_flight(&self) -> bool {
        self.0.tag() == (true, 0)
    }

    /// How the snapshot stands among others of its key, by one load.
    pub(crate) fn standing(&self) -> Standing {
        match self.0.tag() {
            (false, TENTATIVE) => Standing::Tentative,
            (false, KILLED) => Standing::Killed,
            (_, tag) if tag & CLOSED != 0 => Standing::Closed,
            _ => Standing::Committed,
        }
    }

    /// TENTATIVE → IDLE.
    pub(crate) fn commit(&self) -> bool {
        self.step(View(None, TENTATIVE), View(None, IDLE))
    }

    /// TENTATIVE → KILLED.
    pub(crate) fn kill(&self) -> bool {
        self.step(View(None, TENTATIVE), View(None, KILLED))
    }

    /// IDLE, or DONE with `over`, → FLIGHT `new`: the caller now leads. What was displaced is the
    /// failed flight, to be dropped after the protocol.
    #[must_use]
    pub(crate) fn claim(&self, over: Option<&Arc<F>>, new: &Arc<F>) -> Option<Displaced<F>> {
        let from = View(over, if over.is_some() { DONE } else { IDLE });
        self.0.exchange(from, View(Some(new), 0))
    }

    /// FLIGHT `f` → DONE `f`. Anybody may do this once `f` has ended without a value.
    pub(crate) fn end(&self, f: &Arc<F>) -> bool {
        self.step(View(Some(f), 0), View(Some(f), DONE))
    }

    /// Any committed state → CLOSED, by whoever replaced the snapshot in its cell. The flight that
    /// was under way, or is done, if any: a read-modify-write, so no claim can slip in unseen.
    #[must_use]
    pub(crate) fn close(&self) -> Option<Arc<F>> {
        self.0.mark(CLOSED).0
    }

    /// IDLE or DONE → CLOSED, and never a flight: the first half of a removal that must not take
    /// an entry somebody is loading. Whether it is closed, be it by others: the exchange of the cell
    /// tells who has taken it out.
    #[must_use]
    pub(crate) fn close_quiet(&self) -> bool {
        let closed = match self.0.look() {
            (None, IDLE) => self.step(View(None, IDLE), View(None, CLOSED)),
            (Some(f), DONE) => self.step(View(Some(&f), DONE), View(Some(&f), DONE | CLOSED)),
            _ => false,
        };
        closed || self.standing() == Standing::Closed
    }

    /// CLOSED `f` → CLOSED: a replaced snapshot keeps no ended flight, and so no later value.
    pub(crate) fn discard(&self, f: &Arc<F>) -> Option<Displaced<F>> {
        [CLOSED, CLOSED | DONE]
            .into_iter()
            .find_map(|tag| self.0.exchange(View(Some(f), tag), View(None, CLOSED)))
    }

    fn step(&self, from: View<'_, F>, to: View<'_, F>) -> bool {
        // A step that keeps its pointer displaces nothing.
        self.0.exchange(from, to).is_some()
    }
}

impl<F> std::fmt::Debug for State<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0.tag() {
            (false, TENTATIVE) => "tentative",
            (false, KILLED) => "killed",
            (false, IDLE) => "idle",
            (true, 0) => "flight",
            (true, DONE) => "done",
            _ => "closed",
        })
    }
}
