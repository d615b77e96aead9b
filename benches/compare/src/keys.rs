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
}

impl<K: Key> Walk<K> {
    /// Long enough to see most keys, short enough to stay in the cache of the processor when they do.
    pub(crate) fn new(keys: u64, skew: Skew) -> Self {
        let steps = if keys <= 1_000 { 1 << 14 } else { 1 << 20 };
        let mut random = StdRng::seed_from_u64(42);
        let law = Zipf::new(keys as f64, 0.99).expect("a valid exponent");
        let mut draw = || match skew {
            Skew::Zipf => law.sample(&mut random) as u64 - 1,
            Skew::Uniform => random.random_range(0..keys),
            Skew::One => 0,
        };
        Self { keys: (0..steps).map(|_| K::nth(draw())).collect(), mask: steps - 1 }
    }

    #[inline]
    pub(crate) fn key(&self, step: u64) -> &K {
        &self.keys[step as usize & self.mask]
    }
}
