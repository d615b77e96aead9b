//! What is asked for: keys, values, and the order in which the keys come.

use std::hash::Hash;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Zipf};

/// A key of every candidate.
pub(crate) trait Key: Hash + Eq + Clone + Send + Sync + 'static {
    fn nth(n: u64) -> Self;
}

impl Key for u64 {
    fn nth(n: u64) -> Self {
        n
    }
}

impl Key for String {
    fn nth(n: u64) -> Self {
        format!("/catalogue/item/{n:012}")
    }
}

/// A value of every candidate.
pub(crate) trait Value: Clone + Send + Sync + 'static {
    fn nth(n: u64) -> Self;
    /// Reads the value: its first byte and its last.
    fn look(&self) -> u64;
}

impl Value for u64 {
    fn nth(n: u64) -> Self {
        n ^ 0x5555
    }

    #[inline]
    fn look(&self) -> u64 {
        *self
    }
}

/// Shared bytes: cloning one costs a reference count.
pub(crate) type Shared = Arc<[u8; 256]>;

impl Value for Shared {
    fn nth(n: u64) -> Self {
        Arc::new([n as u8; 256])
    }

    #[inline]
    fn look(&self) -> u64 {
        u64::from(self[0]) + u64::from(self[255])
    }
}

/// Bytes in place: cloning one copies them.
pub(crate) type Kilobyte = [u8; 1024];

impl Value for Kilobyte {
    fn nth(n: u64) -> Self {
        [n as u8; 1024]
    }

    #[inline]
    fn look(&self) -> u64 {
        u64::from(self[0]) + u64::from(self[1023])
    }
}

/// How often which key comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Skew {
    /// Zipf's law with exponent 0.99.
    Zipf,
    Uniform,
    /// The same key every time.
    One,
}

/// A fixed walk over the keys; the same in every run.
pub(crate) struct Walk<K> {
    keys: Vec<K>,
    mask: usize,
    /// How many different keys there are.
    distinct: u64,
}

/// Some of the keys that one thread comes by, and how many calls come before the first look at the time.
pub(crate) struct Stretch<'a, K> {
    pub(crate) walk: &'a Walk<K>,
    pub(crate) from: u64,
    pub(crate) warm_up: u64,
}

impl<K: Key> Walk<K> {
    /// Long enough to see most keys, short enough to stay in the cache of the processor when they do.
    pub(crate) fn new(keys: u64, skew: Skew) -> Self {
        let steps = match keys {
            0..=1_000 => 1 << 14,
            1_001..=100_000 => 1 << 20,
            _ => 1 << 22,
        };
        let mut random = StdRng::seed_from_u64(42);
        let law = Zipf::new(keys as f64, 0.99).expect("a valid exponent");
        let mut draw = || match skew {
            Skew::Zipf => law.sample(&mut random) as u64 - 1,
            Skew::Uniform => random.random_range(0..keys),
            Skew::One => 0,
        };
        let distinct = if skew == Skew::One { 1 } else { keys };
        Self { keys: (0..steps).map(|_| K::nth(draw())).collect(), mask: steps - 1, distinct }
    }

    /// After so many it begins anew.
    pub(crate) fn steps(&self) -> u64 {
        self.keys.len() as u64
    }

    /// From this step on, for one of so many threads. The calls that warm up fill the processor's caches with what
    /// they hold of the candidate, the last one's having emptied them, and what a thread keeps for its calls.
    pub(crate) fn from(&self, from: u64, for_each_key: u64, threads: usize) -> Stretch<'_, K> {
        let all = for_each_key * self.distinct.min(100_000);
        Stretch { walk: self, from, warm_up: (all / threads as u64).max(8_192) }
    }

    #[inline]
    pub(crate) fn key(&self, step: u64) -> &K {
        &self.keys[step as usize & self.mask]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_warms_up_grows_with_the_keys_and_is_shared_by_the_threads() {
        for (keys, skew, threads, calls) in [
            (1_000, Skew::Zipf, 1, 8_192),
            (100_000, Skew::Uniform, 1, 400_000),
            (100_000, Skew::Zipf, 4, 100_000),
            (1_000_000, Skew::Uniform, 1, 400_000),
            (10_000, Skew::One, 1, 8_192),
        ] {
            assert_eq!(
                Walk::<u64>::new(keys, skew).from(0, 4, threads).warm_up,
                calls,
                "{keys} {threads}"
            );
        }
    }
}
