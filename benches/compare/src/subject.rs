//! A candidate behind one interface: the loops that are timed are compiled for each candidate, the choice
//! among candidates is made outside them.

use std::hint::black_box;
use std::time::Instant;

use hdrhistogram::Histogram;

use crate::candidates::Candidate;
use crate::keys::{Key, Stretch, Value};

/// What is done over and over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Op {
    /// Looks at a value; one that is missing is made and stored.
    Read,
    /// As `Read`, and so many in a hundred calls are sets.
    Mixed(u64),
    Set,
    /// Reads a key that nobody has asked for before, so that it is made and stored.
    Insert,
    /// The same through the candidate's single flight, if it has one.
    Load,
}

/// What one thread did: how often, from when until when, and how many reads found nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lap {
    pub(crate) calls: u64,
    pub(crate) missed: u64,
    pub(crate) begun: Instant,
    pub(crate) ended: Instant,
}

/// How many calls stand between two looks at the time.
const BATCH: u64 = 256;

/// A candidate that is filled and read.
pub(crate) trait Subject<K, V>: Send + Sync {
    /// Reads along the stretch. After what warms up it calls `ready`, which says until when.
    fn read_on(&self, along: Stretch<'_, K>, ready: &mut dyn FnMut() -> Instant) -> Lap;
    fn put(&self, n: u64);
    /// How many of the keys below this one are there.
    fn count_present(&self, keys: u64) -> u64;
    fn settle(&self);
}

impl<K: Key, V: Value, C: Candidate<K, V>> Subject<K, V> for C {
    fn read_on(&self, along: Stretch<'_, K>, ready: &mut dyn FnMut() -> Instant) -> Lap {
        let mut local = self.local();
        repeat(&along, ready, |step, missed| {
            black_box(self.read(&mut local, along.walk.key(step), || {
                *missed += 1;
                V::nth(step)
            }));
        })
    }

    fn put(&self, n: u64) {
        self.set(&K::nth(n), V::nth(n));
    }

    fn count_present(&self, keys: u64) -> u64 {
        let mut local = self.local();
        (0..keys).filter(|n| self.get(&mut local, &K::nth(*n)).is_some()).count() as u64
    }

    fn settle(&self) {
        Candidate::settle(self);
    }
}

/// A candidate that is put to work of all kinds. Numbers alone, since compiling every kind of work for
/// every kind of key and value takes long.
pub(crate) trait Worker: Subject<u64, u64> {
    /// As [`read_on`](Subject::read_on), and does `op`.
    fn work_on(&self, op: Op, along: Stretch<'_, u64>, ready: &mut dyn FnMut() -> Instant) -> Lap;
    /// As [`read_on`](Subject::read_on), and records what each read took, in nanoseconds.
    fn record(
        &self,
        along: Stretch<'_, u64>,
        ready: &mut dyn FnMut() -> Instant,
        seen: &mut Histogram<u64>,
    );
    /// Reads these keys in order; how many were there.
    fn replay(&self, keys: &[u64]) -> u64;
    /// Does `op` this often, once each for the keys from this one on.
    fn call(&self, op: Op, first: u64, count: u64);
    /// As a read of something slow, with the candidate's single flight.
    fn load(&self, key: u64, make: &dyn Fn() -> u64) -> u64;
}

impl<C: Candidate<u64, u64>> Worker for C {
    fn work_on(&self, op: Op, along: Stretch<'_, u64>, ready: &mut dyn FnMut() -> Instant) -> Lap {
        let walk = along.walk;
        let mut local = self.local();
        let mut read = |key: &u64, missed: &mut u64| {
            black_box(self.read(&mut local, key, || {
                *missed += 1;
                *key
            }));
        };
        match op {
            Op::Read => self.read_on(along, ready),
            Op::Mixed(sets) => repeat(&along, ready, |step, missed| {
                // 37 has no divisor in common with 100: the sets are spread evenly.
                if step.wrapping_mul(37) % 100 < sets {
                    self.set(walk.key(step), step);
                } else {
                    read(walk.key(step), missed);
                }
            }),
            Op::Set => repeat(&along, ready, |step, _| self.set(walk.key(step), step)),
            Op::Insert => repeat(&along, ready, |step, missed| read(&step, missed)),
            Op::Load => repeat(&along, ready, |step, missed| {
                black_box(Candidate::load(self, &step, || {
                    *missed += 1;
                    step
                }));
            }),
        }
    }

    fn record(
        &self,
        along: Stretch<'_, u64>,
        ready: &mut dyn FnMut() -> Instant,
        seen: &mut Histogram<u64>,
    ) {
        let mut local = self.local();
        let mut read = |step| _ = black_box(self.read(&mut local, along.walk.key(step), || step));
        let mut step = along.from + along.warm_up;
        (along.from..step).for_each(&mut read);
        let end = ready();
        let mut before = Instant::now();
        while before < end {
            read(step);
            let after = Instant::now();
            seen.saturating_record((after - before).as_nanos() as u64);
            before = after;
            step += 1;
        }
    }

    fn replay(&self, keys: &[u64]) -> u64 {
        let mut local = self.local();
        let mut missed = 0;
        for (at, key) in keys.iter().enumerate() {
            black_box(self.read(&mut local, key, || {
                missed += 1;
                *key
            }));
            if at % 16 == 0 {
                Candidate::settle(self);
            }
        }
        keys.len() as u64 - missed
    }

    fn call(&self, op: Op, first: u64, count: u64) {
        let mut local = self.local();
        for key in first..first + count {
            match op {
                Op::Set => self.set(&key, key),
                _ => _ = black_box(self.read(&mut local, &key, || key)),
            }
        }
    }

    fn load(&self, key: u64, make: &dyn Fn() -> u64) -> u64 {
        Candidate::load(self, &key, make)
    }
}

/// Batches of calls until the time is up.
#[inline]
pub(crate) fn repeat<K>(
    along: &Stretch<'_, K>,
    ready: &mut dyn FnMut() -> Instant,
    mut op: impl FnMut(u64, &mut u64),
) -> Lap {
    let (mut missed, first) = (0, along.from + along.warm_up);
    (along.from..first).for_each(|step| op(step, &mut missed));
    let end = ready();
    missed = 0;
    let begun = Instant::now();
    let mut step = first;
    let mut now = begun;
    while now < end {
        for _ in 0..BATCH {
            op(step, &mut missed);
            step += 1;
        }
        now = Instant::now();
    }
    Lap { calls: step - first, missed, begun, ended: now }
}
