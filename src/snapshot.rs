//! The snapshot: one immutable published value of an entry, with its deadlines and its state word.
//!
//! Everything in it but the word is immutable. A *placeholder* is a snapshot without a value: it
//! stands for a key that is being loaded, is never fresh, and is the only thing that is ever
//! inserted into the table.

use crate::error::Error;
use crate::flight;
use crate::policy::{Deadlines, Late, Ttl};
use crate::state::State;
use crate::sync::{Arc, Held};
use crate::time::Tick;
use crate::word;
use crate::word::Outcome::Failed;

/// The flight of a snapshot's key.
pub(crate) type Flight<K, V, E> = flight::Flight<Snapshot<K, V, E>, Failure<E>>;
/// Its leader's duty.
pub(crate) type Lease<K, V, E> = flight::Lease<Snapshot<K, V, E>, Failure<E>>;
/// Its joiners' claim.
pub(crate) type Ticket<K, V, E> = flight::Ticket<Snapshot<K, V, E>, Failure<E>>;
/// How such a flight ends.
pub(crate) type Outcome<K, V, E> = word::Outcome<Snapshot<K, V, E>, Failure<E>>;

/// A reader's hold on a published snapshot.
pub(crate) type Hold<K, V, E> = Held<Snapshot<K, V, E>>;

/// How a load failed: the record that back-off is decided by.
pub(crate) struct Failure<E> {
    pub(crate) error: Error<E>,
    /// Whether a stale value may cover it; if not, it is a definite answer.
    pub(crate) masked: bool,
    /// No new fetch before this, if it started a back-off.
    pub(crate) retry_at: Option<Tick>,
    /// Failures in a row, this one included.
    pub(crate) attempts: u32,
}

impl<K, V, E> Flight<K, V, E> {
    /// The failure that its key's back-off goes by once it has ended without a value: its own, or the one
    /// before if it started none. Only a value ends a back-off.
    pub(crate) fn on_record(&self) -> Option<Arc<Failure<E>>> {
        match self.outcome() {
            Some(Failed(why)) if why.retry_at.is_some() => Some(why),
            _ => self.before.clone(),
        }
    }
}

/// One published value of a key, or a placeholder.
///
/// In this order in memory: what a hit reads, from the key to the value, is one piece, and a small one is
/// seldom on two cache lines, wherever the allocator puts it.
#[repr(C)]
pub(crate) struct Snapshot<K, V, E> {
    /// Who may load the key while this is what is published.
    pub(crate) word: State<Flight<K, V, E>>,
    /// The upper half of the key's mixed hash: names its home bucket, whatever the table's size.
    pub(crate) hash: u32,
    pub(crate) weight: u32,
    pub(crate) key: K,
    /// The clock's origin means never fresh: not for a caller that read the clock before the value came, nor after
    /// the clock has stepped back.
    fresh_until: Tick,
    body: Option<Body<V>>,
}

/// What a placeholder lacks. The tick's niche makes the `Option` free.
#[repr(C)]
struct Body<V> {
    published: Tick,
    value: V,
    /// The value's own stale windows where they differ from the cache's.
    late: Option<Box<Late>>,
}

/// A value about to be published.
pub(crate) struct Draft<V> {
    pub(crate) value: V,
    pub(crate) weight: u32,
    pub(crate) published: Tick,
    pub(crate) fresh_until: Tick,
    pub(crate) late: Option<Box<Late>>,
}

impl<K, V, E> Snapshot<K, V, E> {
    pub(crate) fn placeholder(hash: u32, key: K) -> Arc<Self> {
        Arc::new(Snapshot {
            word: State::tentative(),
            hash,
            weight: 0,
            key,
            fresh_until: Tick::ORIGIN,
            body: None,
        })
    }

    pub(crate) fn new(hash: u32, key: K, draft: Draft<V>) -> Arc<Self> {
        Arc::new(Snapshot {
            word: State::idle(),
            hash,
            weight: draft.weight,
            key,
            fresh_until: if draft.fresh_until > draft.published {
                draft.fresh_until
            } else {
                Tick::ORIGIN
            },
            body: Some(Body { published: draft.published, late: draft.late, value: draft.value }),
        })
    }

    pub(crate) fn has_value(&self) -> bool {
        self.body.is_some()
    }

    /// Never true of a placeholder, nor of a value without a time to live.
    #[inline]
    pub(crate) fn is_fresh(&self, now: Tick) -> bool {
        now < self.fresh_until
    }

    #[inline]
    pub(crate) fn value(&self) -> &V {
        match &self.body {
            Some(body) => &body.value,
            None => no_value(),
        }
    }

    #[inline]
    pub(crate) fn published(&self) -> Tick {
        self.body.as_ref().map_or(self.fresh_until, |body| body.published)
    }

    /// From when on it is stale.
    #[inline]
    fn stale_since(&self) -> Tick {
        self.fresh_until.max(self.published())
    }

    pub(crate) fn ttl(&self, now: Tick) -> Ttl {
        if self.is_fresh(now) {
            Ttl::Left(self.fresh_until.left(now))
        } else {
            Ttl::Overdue(now.since(self.stale_since()))
        }
    }

    /// Its deadlines, where `late` are the cache's stale windows.
    #[inline]
    pub(crate) fn deadlines(&self, late: &Late) -> Deadlines {
        let own = self.body.as_ref().and_then(|body| body.late.as_deref());
        Deadlines::new(self.published(), self.stale_since(), *own.unwrap_or(late))
    }

    /// Whether it holds a value that some window still covers.
    pub(crate) fn servable(&self, late: &Late, now: Tick) -> bool {
        self.has_value() && !self.deadlines(late).gone(now)
    }
}

/// Aborts: it is never called. A panic's landing pad would have every hit put what it holds into memory.
#[cold]
extern "C" fn no_value() -> ! {
    unreachable!("a placeholder is never served")
}
