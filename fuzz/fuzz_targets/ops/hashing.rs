//! Hashers from good to useless. None is random, so that every run can be repeated.

use std::hash::{BuildHasher, Hasher};

use arbitrary::{Arbitrary, Result, Unstructured};

/// Keeps these bits of a good hash; without any all keys collide.
#[derive(Clone, Copy, Debug)]
pub struct Hashing(u64);

impl Arbitrary<'_> for Hashing {
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        // The top bits choose the place in the table, those at the bottom tell neighbours apart.
        u.choose(&[u64::MAX, 0, 3, 3 << 62, u64::MAX << 32, u64::MAX >> 32]).copied().map(Self)
    }
}

impl BuildHasher for Hashing {
    type Hasher = Masked;

    fn build_hasher(&self) -> Masked {
        Masked { mask: self.0, state: 0xcbf2_9ce4_8422_2325 }
    }
}

/// FNV-1a, mixed, masked.
pub struct Masked {
    mask: u64,
    state: u64,
}

impl Hasher for Masked {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.state = (self.state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        let mixed = (self.state ^ (self.state >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ (mixed >> 29)) & self.mask
    }
}
