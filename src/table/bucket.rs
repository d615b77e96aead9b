//! The bucket: one cache line of two control words and six published cells.
//!
//! ```text
//!   tags     | unused 4 | use bits 6 × 2 | tags 6 × 8 |      a slot is free while its tag is 0
//!   control  | bumps 32                  | passed 32  |
//! ```
//!
//! *Passed* counts the entries that were turned away here because the bucket was full: lookups of
//! this bucket's keys go on to the next one while it is not zero. It goes up before such an entry is
//! published and down after its slot is free. *Bumps* order insertions of the bucket's keys.
//!
//! A slot is reserved by its tag before its cell is filled and freed by its tag after its cell is
//! emptied, so an empty cell is filled only by whoever holds its reservation.

use std::hash::BuildHasher;

use crate::sync::atomic::{AtomicU64, Ordering::*};
use crate::sync::{Held, Published, SLOTS};

const LOW: u64 = 0x0101_0101_0101_0101 >> (64 - 8 * SLOTS);
const HIGH: u64 = LOW << 7;
const USES_AT: usize = 48;
// What two use bits say.
/// The hand may take it.
pub(super) const UNUSED: u64 = 0;
/// A newcomer that nobody asked for yet.
pub(super) const PROBATION: u64 = 1;
/// Used since the hand came by; the most that two bits count to.
pub(super) const MOST_USES: u64 = 3;

const PASSED: u64 = 0xffff_ffff;
const BUMP: u64 = 1 << 32;

/// A key's hash, mixed once more so that a weak hasher does not fill one bucket.
#[derive(Clone, Copy)]
pub(crate) struct Hashed(u64);

impl Hashed {
    #[inline]
    pub(crate) fn of<Q: std::hash::Hash + ?Sized>(hasher: &impl BuildHasher, key: &Q) -> Hashed {
        // Folded multiply: every bit of the user's hash reaches both halves of the product.
        let hash = hasher.hash_one(key) ^ 0x2d35_8dcc_aa6c_78a5;
        let wide = u128::from(hash) * u128::from(0x9e37_79b9_7f4a_7c15_u64);
        Hashed((wide as u64) ^ ((wide >> 64) as u64))
    }

    /// What a snapshot keeps of it: enough to find its home bucket.
    #[inline]
    pub(crate) fn upper(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Bits that do not choose the bucket, the tag's at their lower end.
    #[inline]
    pub(crate) fn lower(self) -> u32 {
        self.0 as u32
    }

    /// Never 0; bits that do not choose the bucket.
    #[inline]
    fn tag(self) -> u64 {
        let tag = self.0 & 0xff;
        tag + u64::from(tag == 0)
    }
}

/// One cache line of the table.
#[cfg_attr(not(any(lastcache_loom, lastcache_shuttle)), repr(C, align(64)))]
pub(crate) struct Bucket<T> {
    tags: AtomicU64,
    control: AtomicU64,
    cells: [Published<T>; SLOTS],
}

#[cfg(not(any(lastcache_loom, lastcache_shuttle)))]
const _: () = assert!(size_of::<Bucket<u64>>() == 64);

impl<T> Bucket<T> {
    pub(crate) fn empty() -> Self {
        Bucket {
            tags: AtomicU64::new(0),
            control: AtomicU64::new(0),
            cells: std::array::from_fn(|_| Published::empty()),
        }
    }

    #[inline]
    pub(crate) fn cell(&self, slot: usize) -> &Published<T> {
        &self.cells[slot]
    }

    #[inline]
    pub(crate) fn load(&self, slot: usize) -> Option<Held<T>> {
        self.cells[slot].load()
    }

    /// The tags and use bits as they are now.
    #[inline]
    pub(crate) fn tags(&self) -> Tags {
        // Acquire: pairs with `free`: who finds no tag sees that the entry is gone. A tag is set before
        // its cell is filled, and stays while the entry stands.
        Tags(self.tags.load(Acquire))
    }

    /// The slots that are reserved.
    pub(crate) fn taken(&self) -> Slots {
        // Acquire: as for `tags`.
        let free = Slots::exactly_free(self.tags.load(Acquire));
        Slots(!free.0 & HIGH)
    }

    /// Reserves a free slot, with its use bits set to `uses`.
    pub(crate) fn reserve(&self, hashed: Hashed, uses: u64) -> Option<usize> {
        // Relaxed, here and on failure: for the exchange to confirm.
        let mut tags = self.tags.load(Relaxed);
        loop {
            let slot = Slots::exactly_free(tags).next()?;
            // The use bits may have been set by one who came late to the slot's last tenant.
            let free = tags & !(MOST_USES << (USES_AT + 2 * slot));
            let new = free | hashed.tag() << (8 * slot) | uses << (USES_AT + 2 * slot);
            // Acquire: pairs with `free`, so the cell is seen empty.
            match self.tags.compare_exchange_weak(tags, new, Acquire, Relaxed) {
                Ok(_) => return Some(slot),
                Err(now) => tags = now,
            }
        }
    }

    /// Frees a slot whose cell the caller emptied, or never filled.
    pub(crate) fn free(&self, slot: usize) {
        // Release: hands the emptied cell to the next `reserve`, and to who finds no tag.
        self.tags.fetch_and(!(0xff << (8 * slot) | 3 << (USES_AT + 2 * slot)), Release);
    }

    /// Notes a use, by setting both bits, unless they were `seen` set: a hot key writes nothing.
    /// Relaxed: advice to the hand, as is what was seen a moment ago.
    #[inline]
    pub(crate) fn touch(&self, seen: Tags, slot: usize) {
        if uses(seen.0, slot) != MOST_USES {
            self.note(slot);
        }
    }

    #[cold]
    fn note(&self, slot: usize) {
        self.tags.fetch_or(MOST_USES << (USES_AT + 2 * slot), Relaxed);
    }

    /// Takes one use off; how many there were.
    pub(crate) fn cool(&self, slot: usize) -> u64 {
        let tags = self.tags.load(Relaxed);
        let had = uses(tags, slot);
        if had > 0 {
            // Relaxed, and one attempt: a lost one is a use that lasts a sweep longer.
            let _ = self.tags.compare_exchange(
                tags,
                tags - (1 << (USES_AT + 2 * slot)),
                Relaxed,
                Relaxed,
            );
        }
        had
    }

    /// How much a slot was used. Relaxed, here and below: advice.
    pub(crate) fn uses(&self, slot: usize) -> u64 {
        uses(self.tags.load(Relaxed), slot)
    }

    /// Takes all uses off; how many there were.
    pub(crate) fn unuse(&self, slot: usize) -> u64 {
        let had = self.uses(slot);
        if had > 0 {
            self.tags.fetch_and(!(MOST_USES << (USES_AT + 2 * slot)), Relaxed);
        }
        had
    }

    /// Whether entries of this home bucket may stand further on.
    #[inline]
    pub(crate) fn passed(&self) -> bool {
        // Acquire: pairs with `unpass`: who finds none sees that the entries are gone.
        self.control.load(Acquire) & PASSED != 0
    }

    pub(crate) fn pass(&self) {
        // Relaxed: whoever must see the entry further on receives this with it, and so reads no older
        // count; it stays up while the entry stands.
        self.control.fetch_add(1, Relaxed);
    }

    pub(crate) fn unpass(&self) {
        // Release: after the slot further on is free.
        self.control.fetch_sub(1, Release);
    }

    /// Orders this insertion among those of the bucket's keys: of two, the one that bumps later
    /// sees what the earlier one published before bumping.
    pub(crate) fn bump(&self) {
        // AcqRel: that is the whole point.
        self.control.fetch_add(BUMP, AcqRel);
    }

    pub(crate) fn cells(&self) -> impl Iterator<Item = &Published<T>> {
        self.cells.iter()
    }

    /// Whether nothing is reserved here and nothing passed.
    #[cfg(lastcache_loom)]
    pub(crate) fn is_clean(&self) -> bool {
        self.taken().next().is_none() && !self.passed()
    }
}

fn uses(tags: u64, slot: usize) -> u64 {
    tags >> (USES_AT + 2 * slot) & MOST_USES
}

/// What a bucket's tag word said at some moment.
#[derive(Clone, Copy)]
pub(crate) struct Tags(u64);

impl Tags {
    /// The slots whose tag is the hash's, and now and then one above such a slot: compare the keys.
    #[inline]
    pub(crate) fn matching(self, hashed: Hashed) -> Slots {
        Slots::with_byte(self.0, hashed.tag())
    }
}

/// A set of slots, lowest first.
#[derive(Clone, Copy)]
pub(crate) struct Slots(u64);

impl Slots {
    /// Bytes equal to `byte`; a byte above a match may be a false one (a borrow reached it).
    #[inline]
    fn with_byte(tags: u64, byte: u64) -> Slots {
        let differs = tags ^ LOW.wrapping_mul(byte);
        Slots(differs.wrapping_sub(LOW) & !differs & HIGH)
    }

    /// Exactly the bytes that are zero.
    fn exactly_free(tags: u64) -> Slots {
        // Without a borrow between bytes: 0x80 is left exactly where the byte was zero.
        let seven = HIGH - LOW;
        Slots(!(((tags & seven) + seven) | tags) & HIGH)
    }
}

impl Iterator for Slots {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let slot = self.0.trailing_zeros() as usize / 8;
        self.0 &= self.0 - 1;
        Some(slot)
    }
}
