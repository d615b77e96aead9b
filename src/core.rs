//! The core: everything behind a cache's handles, and the calls that need nothing else.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::time::Duration;

use crate::local::Local;
use crate::panics::{First, beside};
use crate::policy::{Ask, BackOff, Lifetime, Verdict};
use crate::refresh::Refresher;
use crate::snapshot::{Draft, Hold, Snapshot};
use crate::stats::{Count, Counters, Due};
use crate::sync::Arc;
use crate::table::{Fate, Hashed, Table, Tally};
use crate::time::{Clock, Tick};

/// Says what an error means.
pub(crate) type Judge<E> = dyn Fn(&E) -> Verdict + Send + Sync;
/// Decides a value's windows.
pub(crate) type Span<K, V> = dyn Fn(&K, &V) -> Lifetime + Send + Sync;
/// Weighs a value.
pub(crate) type Weigher<K, V> = dyn Fn(&K, &V) -> u32 + Send + Sync;
/// Is told of something that happened to a key.
pub(crate) type Listener<K, T> = dyn Fn(&K, &T) + Send + Sync;

/// The user's hooks, each optional.
pub(crate) struct Hooks<K, V, E> {
    pub(crate) verdict: Option<Box<Judge<E>>>,
    pub(crate) lifetime: Option<Box<Span<K, V>>>,
    pub(crate) weigher: Option<Box<Weigher<K, V>>>,
    pub(crate) on_error: Option<Box<Listener<K, E>>>,
    pub(crate) on_panic: Option<Box<Listener<K, str>>>,
}

/// What the builder settled.
pub(crate) struct Settings<K, V, E> {
    pub(crate) ttl: Duration,
    pub(crate) jitter: f64,
    pub(crate) back_off: BackOff,
    pub(crate) hooks: Hooks<K, V, E>,
}

/// Everything behind a cache's handles.
pub(crate) struct Core<K, V, E, S> {
    pub(crate) hasher: S,
    /// The threads' own hot sets, where the builder was asked for them.
    pub(crate) local: Option<Local>,
    pub(crate) clock: Clock,
    pub(crate) settings: Settings<K, V, E>,
    pub(crate) table: Table<K, V, E>,
    pub(crate) counters: Counters,
    pub(crate) refresher: Arc<Refresher>,
}

impl<K, V, E, S> Core<K, V, E, S>
where
    K: Hash + Eq + Clone,
    S: BuildHasher,
{
    #[inline]
    pub(crate) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> Hashed {
        Hashed::of(&self.hasher, key)
    }

    /// The fresh value of a key, where it is found at once: the whole of a hit, but for its count. The caller counts
    /// it after it has let go of the value: the read-modify-write which does that waits for every store before it.
    #[inline(always)]
    pub(crate) fn hit<Q>(&self, hashed: Hashed, key: &Q) -> Option<(Hold<K, V, E>, Tick, Due<'_>)>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        // The clock first: its loads overlap with those of the bucket, and not with what comes after
        // the first read-modify-write.
        let now = self.clock.now();
        // Never fresh: a placeholder.
        let held = self.table.at_home(hashed, key, |s| s.is_fresh(now))?;
        Some((held, now, self.counters.due(Count::Hits)))
    }

    /// As `hit`, counted, and as well a stale value that is served at once while a flight of its key is under way:
    /// what `lookup` says of it too, by the same two looks.
    #[inline(always)]
    pub(crate) fn hit_or_stale<Q>(&self, hashed: Hashed, key: &Q) -> Option<(Hold<K, V, E>, Tick)>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let now = self.clock.now();
        let held = self.table.at_home(hashed, key, |s| s.is_fresh(now) || self.goes_on(s, now))?;
        let is_fresh = held.is_fresh(now);
        self.counters.add(if is_fresh { Count::Hits } else { Count::StaleHits });
        Some((held, now))
    }

    /// Whether a stale value is served at once and its key being loaded.
    #[inline]
    fn goes_on(&self, s: &Snapshot<K, V, E>, now: Tick) -> bool {
        s.has_value()
            && s.deadlines(self.table.late()).at_once(Ask::WhileRevalidate, now)
            && s.word.in_flight()
    }

    /// The value of a key if some window still covers it. No use of it.
    #[inline]
    pub(crate) fn servable<Q>(&self, key: &Q) -> Option<(Hold<K, V, E>, Tick)>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let (_, held) = self.table.find(self.hash(key), key)?;
        // After the look: no value is older than that, and none has more left than it was given.
        let now = self.clock.now();
        if held.servable(self.table.late(), now) {
            Some((held, now))
        } else {
            held.release();
            None
        }
    }

    /// Publishes a value at once.
    pub(crate) fn set(&self, hashed: Hashed, key: K, draft: Draft<V>, now: Tick) -> Fate {
        // First, so that it is dropped after `n`: if `n` finds no room and panics as it goes, the panics of what it took
        // along are contained, as a second one would end the process.
        let mut tally = Tally::default();
        let n = Snapshot::new(hashed.upper(), key, draft);
        // A write, or the destructor of what was there, may have taken it out again, and that may panic.
        let (_n, fate) = beside(n, |n| self.table.set(hashed, n, now, &mut tally));
        self.count(fate);
        fate
    }

    pub(crate) fn count(&self, fate: Fate) {
        match fate {
            Fate::Stored => {}
            Fate::Late => self.counters.add(Count::LateLoads),
            Fate::NoRoom => self.counters.add(Count::NotStored),
        }
    }
}

impl<K, V, E, S> Core<K, V, E, S> {
    /// Stops background refresh, and ends the threads' hot sets.
    pub(crate) fn close(&self) {
        let _dropped_last = self.refresher.close();
        if let Some(local) = &self.local {
            local.retire();
        }
    }
}

impl<K, V, E, S> Drop for Core<K, V, E, S> {
    fn drop(&mut self) {
        // What waited is dropped in the close, and may panic.
        let mut first = First::default();
        first.of(|| self.close());
        self.refresher.retire();
        first.go_on();
    }
}
