//! What eviction remembers: where its hands are, who is on probation, who was evicted lately, when the
//! next value is past its windows, and how many went.
//!
//! But for that number all of it is advice: what a race loses is a value that goes sooner or later than it should
//! have. Relaxed throughout.

use super::bucket::{PROBATION, UNUSED};
use crate::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::*};
use crate::time::Tick;

/// All of it.
pub(super) struct Memory {
    pub(super) hand: Hand,
    pub(super) probation: Probation,
    pub(super) ghosts: Ghosts,
    pub(super) horizon: Horizon,
    pub(super) evictions: Evictions,
}

impl Memory {
    pub(super) fn new(capacity: usize) -> Self {
        Memory {
            hand: Hand::new(),
            probation: Probation::new(capacity),
            ghosts: Ghosts::new(capacity),
            horizon: Horizon::new(),
            evictions: Evictions(AtomicU64::new(0)),
        }
    }

    pub(super) fn bytes(capacity: usize) -> usize {
        let (places, ghosts) = (capacity.div_ceil(SHARE), capacity.saturating_mul(GHOSTS));
        ghosts.saturating_add(places.saturating_mul(size_of::<AtomicU32>()))
    }
}

/// A hand that goes around the table, slot by slot.
pub(super) struct Hand(AtomicUsize);

impl Hand {
    fn new() -> Self {
        Hand(AtomicUsize::new(0))
    }

    /// The number of the next slot; it goes on counting around.
    pub(super) fn step(&self) -> usize {
        self.0.fetch_add(1, Relaxed)
    }

    /// Steps over some slots.
    pub(super) fn skip(&self, slots: usize) {
        self.0.fetch_add(slots, Relaxed);
    }
}

/// How many servable values were evicted. Counted as they go, so that no panic loses one.
pub(super) struct Evictions(AtomicU64);

impl Evictions {
    pub(super) fn add(&self) {
        // Relaxed: counts publish nothing.
        self.0.fetch_add(1, Relaxed);
    }

    pub(super) fn read(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Newcomers are on probation until a tenth of the capacity has come after them, as S3-FIFO has it; on real
/// traces a twentieth and a fifth do worse.
const SHARE: usize = 10;

/// The slots of the last newcomers, in the order in which they came.
pub(super) struct Probation {
    slots: Box<[AtomicU32]>,
    entered: AtomicUsize,
}

impl Probation {
    const VACANT: u32 = u32::MAX;

    fn new(capacity: usize) -> Self {
        let places = capacity.div_ceil(SHARE);
        Probation {
            slots: (0..places).map(|_| AtomicU32::new(Self::VACANT)).collect(),
            entered: AtomicUsize::new(0),
        }
    }

    /// Takes the place of who came first, and says who that is.
    ///
    /// Whoever stands in a slot by then is judged: another tenant than the one that entered, now and then.
    /// Beyond 2³² slots the numbers are taken modulo that.
    pub(super) fn enter(&self, slot: usize) -> Option<usize> {
        let place = self.entered.fetch_add(1, Relaxed) % self.slots.len();
        let first = self.slots[place].swap(slot as u32, Relaxed);
        (first != Self::VACANT).then_some(first as usize)
    }
}

/// Evictions remembered, in multiples of the capacity; a byte each. On real traces one multiple costs
/// up to 0.3 points of hit ratio, and a third one gains nothing.
const GHOSTS: usize = 2;

/// Marks of the keys that were evicted lately: each word holds those of the last eight of its range.
pub(super) struct Ghosts(Box<[AtomicU64]>);

impl Ghosts {
    fn new(capacity: usize) -> Self {
        let words = (GHOSTS * capacity).div_ceil(8);
        Ghosts((0..words).map(|_| AtomicU64::new(0)).collect())
    }

    /// If a mark is lost, its key is on probation once more; if one matches falsely, as a byte may, a key that should be
    /// is not.
    fn place(&self, hash: u32) -> (&AtomicU64, u64) {
        let at = ((u64::from(hash) * self.0.len() as u64) >> 32) as usize;
        // The bits that choose the word must not be the mark.
        let mark = u64::from(hash.wrapping_mul(0x9e37_79b1)) >> 3 & 0xff;
        (&self.0[at], mark.max(1))
    }

    pub(super) fn bury(&self, hash: u32) {
        let (ghosts, mark) = self.place(hash);
        ghosts.store(ghosts.load(Relaxed) << 8 | mark, Relaxed);
    }

    /// The use bits that a key starts with: on probation, unless it was evicted not long ago.
    pub(super) fn welcome(&self, hash: u32) -> u64 {
        let (ghosts, mark) = self.place(hash);
        let marks = ghosts.load(Relaxed);
        let Some(at) = (0..8).map(|byte| 8 * byte).find(|at| marks >> at & 0xff == mark) else {
            return PROBATION;
        };
        ghosts.store(marks & !(0xff << at), Relaxed);
        UNUSED
    }
}

/// A bound: no value is past its windows before it, so nobody need look for one.
///
/// Once it is reached the scout makes a turn, which sees every value that was there when it began, and is told of
/// those that are published meanwhile. The earliest end among them is the bound after the turn.
pub(super) struct Horizon {
    pub(super) scout: Hand,
    bound: AtomicU64,
    /// The bound to be, of this turn.
    next: AtomicU64,
    turn: AtomicUsize,
}

impl Horizon {
    fn new() -> Self {
        let never = || AtomicU64::new(Tick::NEVER.bits());
        Horizon { scout: Hand::new(), bound: never(), next: never(), turn: AtomicUsize::new(0) }
    }

    /// Whether a value may be past its windows.
    pub(super) fn reached(&self, now: Tick) -> bool {
        now.bits() >= self.bound.load(Relaxed)
    }

    /// A value is published that is past its windows then.
    pub(super) fn note(&self, gone_at: Tick) {
        lower(&self.next, gone_at);
        lower(&self.bound, gone_at);
    }

    /// The scout came by such a value, in this turn of his.
    pub(super) fn see(&self, turn: usize, gone_at: Tick) {
        if self.turn.load(Relaxed) < turn && self.turn.fetch_max(turn, Relaxed) < turn {
            let never = Tick::NEVER.bits();
            self.bound.store(self.next.swap(never, Relaxed), Relaxed);
        }
        lower(&self.next, gone_at);
    }
}

fn lower(bound: &AtomicU64, to: Tick) {
    if to.bits() < bound.load(Relaxed) {
        bound.fetch_min(to.bits(), Relaxed);
    }
}
