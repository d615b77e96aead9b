//! Words: atomic pointers that own what they point to. The crate's only `unsafe`.
//!
//! Four shapes, each one machine word, each with a safe interface that no caller can misuse:
//!
//! | type | owns | is read | is freed |
//! |---|---|---|---|
//! | [`Word`] | a strong and a weak count of one `T`, and three tag bits | by anybody, through the epoch | strong at once, weak through the epoch |
//! | [`Settled`] | one `Arc`, set once | by anybody with a reference | with the word |
//! | [`Chain`] | links that are only ever added | by anybody with a reference | with the chain |
//! | [`Slot`] | at most one `Box` | by whoever took it | by whoever took it |
//!
//! Why [`Word`] owns two counts: a reader that loaded the pointer may be stalled before it takes a
//! count of its own. The memory must outlive it, so the *weak* count goes through the epoch; the
//! value need not, so the *strong* one is dropped at once and a late reader's upgrade just fails.
//! Thus no user's `Drop` ever waits for, or runs inside, the reclamation of memory.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::mem::{self, ManuallyDrop};
use std::ptr;

use crate::sync::atomic::{AtomicUsize, Ordering::*};
use crate::sync::{Arc, Weak, epoch, spin_loop};

/// The bits of a word that are not address.
const TAGS: usize = 0b111;

fn address<T>(of: *const T) -> usize {
    const { assert!(align_of::<T>() > TAGS, "the tag bits need an alignment of eight") };
    of.expose_provenance()
}

fn pointer<T>(bits: usize) -> *const T {
    ptr::with_exposed_provenance(bits & !TAGS)
}

/// What a [`Word`] holds, or is to hold: an `Arc` or nothing, and a tag.
pub(crate) struct View<'a, T>(pub(crate) Option<&'a Arc<T>>, pub(crate) usize);

impl<T> View<'_, T> {
    fn bits(&self) -> usize {
        self.0.map_or(0, |arc| address(Arc::as_ptr(arc))) | self.1
    }
}

/// A tagged pointer that owns a strong and a weak count of its `T`.
pub(crate) struct Word<T> {
    bits: AtomicUsize,
    owns: PhantomData<Arc<T>>,
}

impl<T> Word<T> {
    pub(crate) fn new(tag: usize) -> Self {
        Word { bits: AtomicUsize::new(tag), owns: PhantomData }
    }

    /// The tag, and whether there is a pointer: one load.
    pub(crate) fn tag(&self) -> (bool, usize) {
        // Acquire: receives what the transition that wrote this word published (`exchange`, `mark`).
        let bits = self.bits.load(Acquire);
        (bits & !TAGS != 0, bits & TAGS)
    }

    /// The tag and a count of one's own of what the word points to.
    pub(crate) fn look(&self) -> (Option<Arc<T>>, usize) {
        loop {
            // Acquire: of a bare word, receives what the transition that wrote it published.
            let bits = self.bits.load(Acquire);
            if bits & !TAGS == 0 {
                return (None, bits);
            }
            let pinned = epoch::pin();
            // Acquire: pairs with `exchange`, receives the value behind the pointer. Loaded again
            // under the pin, since only what is seen pinned is kept from being freed.
            let bits = self.bits.load(Acquire);
            if bits & !TAGS == 0 {
                return (None, bits);
            }
            // SAFETY: read under a pin, so the word's weak count, if already displaced, is not yet
            // given back: the counts are still there to be looked at.
            let held = unsafe { upgrade::<T>(bits) };
            drop(pinned);
            if held.is_some() {
                return (held, bits & TAGS);
            }
            // Displaced between the load and the upgrade: the word holds something else by now.
            spin_loop();
        }
    }

    /// One transition: from exactly `from` to `to`. The caller's reference in `from` keeps the
    /// address from being used again, so equal bits mean the same object. What `to` no longer
    /// points to is returned, to be dropped when the protocol step is over.
    pub(crate) fn exchange(&self, from: View<'_, T>, to: View<'_, T>) -> Option<Displaced<T>> {
        let (old, new) = (from.bits(), to.bits());
        let moves = old & !TAGS != new & !TAGS;
        let owned = to.0.filter(|_| moves).map(|arc| (Arc::clone(arc), Arc::downgrade(arc)));
        // AcqRel: releases the new object and whatever the caller wrote before this transition;
        // acquires what the transition that wrote `old` released. Acquire on failure: the caller
        // looks again and acts on what it missed.
        self.bits.compare_exchange(old, new, AcqRel, Acquire).ok()?;
        mem::forget(owned);
        Some(Displaced { bits: if moves { old & !TAGS } else { 0 }, owned: PhantomData })
    }

    /// Sets bits of the tag whatever the word holds; what it held before, with a count of one's own.
    pub(crate) fn mark(&self, tag: usize) -> (Option<Arc<T>>, usize) {
        // Relaxed: a guess, for the exchange to confirm.
        let bits = self.bits.load(Relaxed);
        if bits & !TAGS == 0
            // Release: as below; without a pointer nothing is received, and no pin is needed.
            && self.bits.compare_exchange(bits, bits | tag, Release, Relaxed).is_ok()
        {
            return (None, bits);
        }
        let pinned = epoch::pin();
        // AcqRel: a read-modify-write, so it is ordered with every claim of this word: either the
        // claim is seen here, or the claim's `exchange` sees the mark and fails.
        let bits = self.bits.fetch_or(tag, AcqRel);
        // SAFETY: read under a pin, as in `look`.
        let held = unsafe { upgrade::<T>(bits) };
        drop(pinned);
        (held, bits & TAGS)
    }
}

/// # Safety
///
/// `bits` was read from a [`Word`] of `T` by a thread that has been pinned since.
unsafe fn upgrade<T>(bits: usize) -> Option<Arc<T>> {
    if bits & !TAGS == 0 {
        return None;
    }
    // SAFETY: the address is of an `Arc` whose weak count `exchange` left to the word, and that count is
    // given back only after this thread's pin ends. `ManuallyDrop`: the count stays the word's.
    let weak = ManuallyDrop::new(unsafe { Weak::from_raw(pointer::<T>(bits)) });
    weak.upgrade()
}

impl<T> Drop for Word<T> {
    fn drop(&mut self) {
        // Relaxed: exclusive access.
        let bits = self.bits.load(Relaxed);
        if bits & !TAGS != 0 {
            // SAFETY: the word owns one weak and one strong count of this address, and nobody can
            // be reading the word any more. The weak one goes first: if the value's destructor
            // panics, nothing is left to do.
            drop(unsafe { Weak::from_raw(pointer::<T>(bits)) });
            // SAFETY: as above, the strong count.
            drop(unsafe { Arc::from_raw(pointer::<T>(bits)) });
        }
    }
}

/// The counts a word held before a transition. Dropping it may run the value's destructor: do so
/// after the protocol, and never pinned.
#[must_use]
pub(crate) struct Displaced<T> {
    bits: usize,
    owned: PhantomData<Arc<T>>,
}

impl<T> Drop for Displaced<T> {
    fn drop(&mut self) {
        if self.bits == 0 {
            return;
        }
        let bits = self.bits;
        let pinned = epoch::pin();
        // SAFETY: the weak count that the word owned, given back once, here.
        let free = move || drop(unsafe { Weak::from_raw(pointer::<T>(bits)) });
        // SAFETY: the address is out of the word, so threads that pin from now on cannot find it. The
        // closure only gives memory back: the strong count below still stands, or some other
        // thread's does, and its own drop runs `T`'s.
        unsafe { pinned.defer_unchecked(free) };
        drop(pinned);
        // SAFETY: the strong count that the word owned, out of the word as above.
        drop(unsafe { Arc::from_raw(pointer::<T>(bits)) });
    }
}

/// How something ended: one of two values, or none.
pub(crate) enum Outcome<P, F> {
    /// It succeeded with this.
    Published(Arc<P>),
    /// It failed with this.
    Failed(Arc<F>),
    /// It was given up.
    Abandoned,
}

const PUBLISHED: usize = 1;
const FAILED: usize = 2;
const ABANDONED: usize = 3;

/// An outcome that is set once, by whoever comes first.
pub(crate) struct Settled<P, F> {
    bits: AtomicUsize,
    owns: PhantomData<Outcome<P, F>>,
}

impl<P, F> Settled<P, F> {
    pub(crate) fn pending() -> Self {
        Settled { bits: AtomicUsize::new(0), owns: PhantomData }
    }

    /// Sets the outcome if there is none yet; else gives it back.
    pub(crate) fn settle(&self, outcome: Outcome<P, F>) -> Result<(), Outcome<P, F>> {
        let bits = match &outcome {
            Outcome::Published(arc) => address(Arc::as_ptr(arc)) | PUBLISHED,
            Outcome::Failed(arc) => address(Arc::as_ptr(arc)) | FAILED,
            Outcome::Abandoned => ABANDONED,
        };
        // Release: publishes the value to `get`. Relaxed on failure: nothing is read here.
        match self.bits.compare_exchange(0, bits, Release, Relaxed) {
            Ok(_) => {
                mem::forget(outcome);
                Ok(())
            }
            Err(_) => Err(outcome),
        }
    }

    pub(crate) fn is_pending(&self) -> bool {
        // Acquire: who sees the end may go on to read what was written before it.
        self.bits.load(Acquire) == 0
    }

    /// The outcome, with a count of one's own; `None` while there is none.
    pub(crate) fn get(&self) -> Option<Outcome<P, F>> {
        // Acquire: pairs with `settle`, receives the value.
        let bits = self.bits.load(Acquire);
        match bits & TAGS {
            // SAFETY: the address came from an `Arc` whose count this word owns until it is dropped,
            // which `&self` excludes.
            PUBLISHED => Some(Outcome::Published(Arc::clone(&*unsafe { borrow(bits) }))),
            // SAFETY: as above.
            FAILED => Some(Outcome::Failed(Arc::clone(&*unsafe { borrow(bits) }))),
            ABANDONED => Some(Outcome::Abandoned),
            _ => None,
        }
    }
}

/// # Safety
///
/// `bits` holds the address of an `Arc<T>` whose count outlives the result.
unsafe fn borrow<T>(bits: usize) -> ManuallyDrop<Arc<T>> {
    // SAFETY: the caller's promise; the count is not taken.
    ManuallyDrop::new(unsafe { Arc::from_raw(pointer::<T>(bits)) })
}

impl<P, F> Drop for Settled<P, F> {
    fn drop(&mut self) {
        // Relaxed: exclusive access.
        let bits = self.bits.load(Relaxed);
        match bits & TAGS {
            // SAFETY: `settle` gave this word the count.
            PUBLISHED => drop(unsafe { Arc::from_raw(pointer::<P>(bits)) }),
            // SAFETY: as above.
            FAILED => drop(unsafe { Arc::from_raw(pointer::<F>(bits)) }),
            _ => {}
        }
    }
}

/// One item of a [`Chain`], and the address of the one added before it.
pub(crate) struct Link<T> {
    below: AtomicUsize,
    item: T,
}

impl<T> std::ops::Deref for Link<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.item
    }
}

/// The mark that nothing more can be added.
const ENDED: usize = 1;

/// A list that only grows, until it is ended: head and end mark in one word.
pub(crate) struct Chain<T> {
    head: AtomicUsize,
    owns: PhantomData<Arc<Link<T>>>,
}

impl<T> Chain<T> {
    pub(crate) fn new() -> Self {
        Chain { head: AtomicUsize::new(0), owns: PhantomData }
    }

    /// Adds `item`; `None` when the chain has ended.
    pub(crate) fn push(&self, item: T) -> Option<Arc<Link<T>>> {
        // Acquire: on an end mark, what was written before the end is seen.
        let mut head = self.head.load(Acquire);
        let link = Arc::new(Link { below: AtomicUsize::new(0), item });
        let new = address(Arc::as_ptr(&link));
        while head & ENDED == 0 {
            // Relaxed: published with the rest of the link by the exchange below.
            link.below.store(head, Relaxed);
            // Release: hands the link to `end`, and what is below it as well, since a
            // read-modify-write goes on with the releases before it; as one it is ordered with `end`:
            // either that sees this link, or this sees the mark. Acquire on failure as for the load.
            match self.head.compare_exchange_weak(head, new, Release, Acquire) {
                Ok(_) => {
                    mem::forget(Arc::clone(&link));
                    return Some(link);
                }
                Err(now) => head = now,
            }
        }
        None
    }

    /// Ends the chain: all that was ever added, newest first.
    pub(crate) fn end(&self) -> Links<'_, T> {
        // AcqRel: receives the links of every `push` before it, and releases to every `push` after
        // it what its caller wrote before ending.
        Links { at: self.head.fetch_or(ENDED, AcqRel) & !TAGS, chain: PhantomData }
    }
}

/// The items of a [`Chain`].
pub(crate) struct Links<'a, T> {
    at: usize,
    chain: PhantomData<&'a Chain<T>>,
}

impl<T> Iterator for Links<'_, T> {
    type Item = Arc<Link<T>>;

    fn next(&mut self) -> Option<Arc<Link<T>>> {
        if self.at == 0 {
            return None;
        }
        // SAFETY: the chain owns a count of each of its links until it is dropped, and is borrowed.
        let link = Arc::clone(&*unsafe { borrow::<Link<T>>(self.at) });
        // Relaxed: written before the link was published, never again.
        self.at = link.below.load(Relaxed) & !TAGS;
        Some(link)
    }
}

impl<T> Drop for Chain<T> {
    fn drop(&mut self) {
        // Relaxed, here and below: exclusive access.
        let mut at = self.head.load(Relaxed) & !TAGS;
        while at != 0 {
            // SAFETY: `push` gave the chain this count; the next address is read before it goes.
            let link = unsafe { Arc::from_raw(pointer::<Link<T>>(at)) };
            at = link.below.load(Relaxed) & !TAGS;
        }
    }
}

/// At most one item, handed from whoever puts it to whoever takes it; it can be ended for good.
pub(crate) struct Slot<T> {
    bits: AtomicUsize,
    owns: PhantomData<Box<T>>,
}

// SAFETY: a shared slot moves items in and out and never lends one, as a mutex would.
unsafe impl<T: Send> Sync for Slot<T> {}

impl<T> Slot<T> {
    pub(crate) fn new() -> Self {
        Slot { bits: AtomicUsize::new(0), owns: PhantomData }
    }

    /// Puts an item in; gives it back when there is one or the slot has ended.
    pub(crate) fn put(&self, item: Box<T>) -> Result<(), Box<T>> {
        // AcqRel: hands the item to `take` and `end`; a read-modify-write, so it is ordered with both.
        // Acquire on failure: on an end mark, what was written before the end is seen.
        let raw = Box::into_raw(item);
        match self.bits.compare_exchange(0, address(raw), AcqRel, Acquire) {
            Ok(_) => Ok(()),
            // SAFETY: nobody else has seen the address.
            Err(_) => Err(unsafe { Box::from_raw(raw) }),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        // Acquire: an empty slot says that what emptied it is over.
        self.bits.load(Acquire) & !TAGS == 0
    }

    pub(crate) fn is_ended(&self) -> bool {
        // Acquire: what was written before the end is seen.
        self.bits.load(Acquire) & ENDED != 0
    }

    /// Takes the item out.
    pub(crate) fn take(&self) -> Option<Box<T>> {
        // AcqRel: receives the item; ordered with every `put`. The mask keeps an end mark.
        let bits = self.bits.fetch_and(ENDED, AcqRel);
        // SAFETY: the bits were taken out of the slot.
        unsafe { owned(bits) }
    }

    /// Takes the item out, and lets no other in.
    pub(crate) fn end(&self) -> Option<Box<T>> {
        // AcqRel: receives the item; releases what was written before the end to later puts.
        let bits = self.bits.swap(ENDED, AcqRel);
        // SAFETY: the bits were taken out of the slot.
        unsafe { owned(bits) }
    }
}

/// # Safety
///
/// `bits` were in a [`Slot`] of `T` and were taken out by the caller, who alone has them.
unsafe fn owned<T>(bits: usize) -> Option<Box<T>> {
    let item = pointer::<T>(bits).cast_mut();
    // SAFETY: `put` gave up the box of this address, and only the caller has the address.
    (!item.is_null()).then(|| unsafe { Box::from_raw(item) })
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}
