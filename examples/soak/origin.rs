//! The origin: slow now and then, down in outages; and it notes who asks for what.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use crate::faults::Faults;

/// Keys that nobody sets or deletes: of those there is one load at any time.
pub(crate) const CALM: u32 = 4;

/// Whether a key is one of the calm ones.
pub(crate) fn is_calm(key: u32) -> bool {
    key.is_multiple_of(CALM)
}

/// Where values come from.
pub(crate) struct Origin {
    pub(crate) down: AtomicBool,
    /// Clears of the cache, begun and ended: odd while one is under way. What was loading before one is detached.
    pub(crate) clears: AtomicU64,
    /// For each key, 1 more than the clears seen before the call whose load runs, or 0.
    running: Box<[AtomicU64]>,
}

/// How a fetch is to end.
#[derive(Clone, Copy)]
pub(crate) enum End {
    Value,
    Error,
    Panic,
}

impl Origin {
    pub(crate) fn new(keys: u32) -> Origin {
        let running = (0..keys).map(|_| AtomicU64::new(0)).collect();
        Origin { down: AtomicBool::new(false), clears: AtomicU64::new(0), running }
    }

    /// Answers for a key: an error while it is down, or when told to. `clears` were seen before the call
    /// whose load this is: one that came since may have detached it before it came here.
    pub(crate) fn fetch(
        &self,
        key: u32,
        clears: u64,
        end: End,
        slow: bool,
        faults: &Faults,
    ) -> Result<(), &'static str> {
        let mine = clears + 1;
        let before = self.running[key as usize].swap(mine, SeqCst);
        let alone = before != mine || clears % 2 == 1 || !is_calm(key);
        // A clear that began meanwhile may have detached the other one.
        let steady = self.clears.load(SeqCst) == clears;
        faults.check("one flight per key", alone || !steady, || {
            format!("two loads of {key} at once")
        });
        if slow {
            thread::sleep(Duration::from_micros(300));
        }
        let down = self.down.load(SeqCst);
        let _ = self.running[key as usize].compare_exchange(mine, 0, SeqCst, SeqCst);
        match end {
            _ if down => Err("down"),
            End::Value => Ok(()),
            End::Error => Err("failed"),
            End::Panic => std::panic::resume_unwind(Box::new("quietly")),
        }
    }
}
