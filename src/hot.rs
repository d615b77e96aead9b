//! The hot set: a small copy, for one thread, of what its hottest slots publish.
//!
//! A direct-mapped array of spots, each watching one slot of the table. What a spot answers with is what
//! its slot publishes at that moment, found by one comparison of addresses: no read-modify-write, and no
//! second truth that could be out of date. The deadlines stay in the snapshot.
//!
//! It holds at most one value for each spot: the one that was published when it last looked, until it
//! looks again, another key takes the spot, or it ends. It keeps the memory of the table, and so must
//! not outlive it for long.
//!
//! A spot warms up with its hits and cools with every miss of another key. A cold one goes to the key that is
//! missed there twice running: neither keys that come once nor those that come now and then take it from
//! a hotter one.

use std::borrow::Borrow;

use crate::panics::{First, drop_each};
use crate::snapshot::Snapshot;
use crate::sync::Arc;
use crate::table::{Hashed, Pos, Table, Watched};
use crate::time::{Clock, Tick};

/// The most that a spot is warm: so many misses of others it withstands.
const HOT: u16 = 8;

/// What one thread watches.
pub(crate) struct HotSet<K, V, E> {
    spots: Box<[Spot<K, V, E>]>,
}

impl<K, V, E> Drop for HotSet<K, V, E> {
    fn drop(&mut self) {
        // Each holds a value, which may panic as it goes.
        drop_each(std::mem::take(&mut self.spots));
    }
}

/// One cache line.
#[cfg_attr(not(any(lastcache_loom, lastcache_shuttle)), repr(align(64)))]
struct Spot<K, V, E> {
    /// Of the key whose slot is watched.
    hash: u32,
    /// Half the hash of the key that was missed here last.
    rival: u16,
    heat: u16,
    pos: Pos,
    slot: Option<Watched<K, V, E>>,
}

#[cfg(not(any(lastcache_loom, lastcache_shuttle)))]
const _: () = assert!(size_of::<Spot<u64, u64, u64>>() == 64);

impl<K, V, E> HotSet<K, V, E> {
    pub(crate) fn new(spots: usize) -> Self {
        let vacant = || Spot { hash: 0, rival: 0, heat: 0, pos: Pos::default(), slot: None };
        HotSet { spots: (0..spots).map(|_| vacant()).collect() }
    }

    pub(crate) fn spots(&self) -> usize {
        self.spots.len()
    }

    /// Multiply-shift, as in the table, by the other half of the hash. None where there are no spots.
    #[inline]
    fn spot(&mut self, hashed: Hashed) -> Option<&mut Spot<K, V, E>> {
        let at = (u64::from(hashed.lower()) * self.spots.len() as u64) >> 32;
        self.spots.get_mut(at as usize)
    }

    /// What is published for a key whose slot is watched.
    #[inline]
    pub(crate) fn published<Q>(
        &mut self,
        hashed: Hashed,
        key: &Q,
    ) -> Option<&Arc<Snapshot<K, V, E>>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        self.spot(hashed)?.published(hashed, key).map(|(_, s)| s)
    }

    /// The fresh value of a key whose slot is watched, and as of when: the whole of a reader's hit.
    #[inline(always)]
    pub(crate) fn hit<Q>(
        &mut self,
        table: &Table<K, V, E>,
        clock: &Clock,
        hashed: Hashed,
        key: &Q,
    ) -> Option<(&Arc<Snapshot<K, V, E>>, Tick)>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let (pos, s) = self.spot(hashed)?.warm(hashed, key)?;
        // After the look, which may let go of another value: its destructor takes what time it likes.
        let now = clock.now();
        if !s.is_fresh(now) {
            return None;
        }
        // The slot's line was looked at just now: to see that a use is noted costs next to nothing.
        table.touch(pos);
        Some((s, now))
    }

    /// Notes that a key was not answered from here; the second time running it gets the spot.
    pub(crate) fn missed<Q>(&mut self, table: &Table<K, V, E>, hashed: Hashed, key: &Q)
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let Some(spot) = self.spot(hashed) else { return };
        if spot.heat > 0 && spot.hash != hashed.upper() {
            spot.heat -= 1;
            return;
        }
        let rival = (hashed.upper() >> 16) as u16;
        if std::mem::replace(&mut spot.rival, rival) != rival
            || spot.published(hashed, key).is_some()
        {
            return;
        }
        let Some((pos, held)) = table.find(hashed, key) else { return };
        // Given back before the watch begins, which clones what is published by then.
        drop(held);
        (spot.hash, spot.heat, spot.pos) = (hashed.upper(), 0, pos);
        spot.slot = Some(table.watch(pos));
    }

    /// Lets go of everything.
    pub(crate) fn forget(&mut self) {
        let mut first = First::default();
        for spot in &mut self.spots {
            spot.heat = 0;
            let slot = spot.slot.take();
            first.of(|| drop(slot));
        }
        first.go_on();
    }
}

impl<K, V, E> Spot<K, V, E> {
    /// As `published`, and a use.
    #[inline(always)]
    fn warm<Q>(&mut self, hashed: Hashed, key: &Q) -> Option<(Pos, &Arc<Snapshot<K, V, E>>)>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        if self.hash == hashed.upper() && self.heat < HOT {
            self.heat += 1;
        }
        self.published(hashed, key)
    }

    #[inline(always)]
    fn published<Q>(&mut self, hashed: Hashed, key: &Q) -> Option<(Pos, &Arc<Snapshot<K, V, E>>)>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        if self.hash != hashed.upper() {
            return None;
        }
        let s = self.slot.as_mut()?.look()?;
        // The slot's next tenant is another key's, or this key's placeholder.
        (s.key.borrow() == key).then_some((self.pos, s))
    }
}
