//! Whether the memory stays what it was.

use std::fmt;

use crate::faults::Faults;

/// Rounds before the memory counts as what it is: arenas and threads' own are taken once.
const WARM: usize = 3;
/// What it may grow by after that, in bytes.
const MORE: u64 = 64 << 20;

/// The resident memory at rest, round by round.
#[derive(Default)]
pub(crate) struct Memory {
    rounds: usize,
    warm: u64,
    most: u64,
}

/// The resident memory of this process, where the system says it.
fn resident() -> Option<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    let resident: u64 = pages.split(' ').nth(1)?.parse().ok()?;
    Some(resident * 4_096)
}

impl Memory {
    /// At rest, after a round.
    pub(crate) fn look(&mut self, faults: &Faults) {
        let Some(now) = resident() else { return };
        self.rounds += 1;
        if self.rounds <= WARM {
            self.warm = self.warm.max(now);
        }
        self.most = self.most.max(now);
        faults.check("the memory is flat", now <= self.warm + MORE, || {
            format!("{} MiB at rest, after {} MiB at first", now >> 20, self.warm >> 20)
        });
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "memory at rest: {} MiB after the first rounds, {} MiB at most",
            self.warm >> 20,
            self.most >> 20
        )
    }
}
