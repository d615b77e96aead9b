//! A hit out of the calling thread's own hot set, where the builder was asked for those.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};

use crate::core::Core;
use crate::hot::HotSet;
use crate::local::Local;
use crate::served::Served;
use crate::snapshot::Snapshot;
use crate::stats::Count;
use crate::sync::Arc;
use crate::table::Hashed;
use crate::time::Tick;

impl<K, V, E, S> Core<K, V, E, S>
where
    K: Hash + Eq + Clone + 'static,
    V: 'static,
    E: 'static,
    S: BuildHasher,
{
    /// Reads the fresh value of a key in place, or gives `read` back.
    #[inline(always)]
    pub(crate) fn own_with<Q, F, R>(&self, hashed: Hashed, key: &Q, read: F) -> Result<R, F>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
        F: FnOnce(&V) -> R,
    {
        match &self.local {
            None => Err(read),
            Some(local) => self.read_own(local, hashed, key, read),
        }
    }

    /// Serves the fresh value of a key.
    #[inline(always)]
    pub(crate) fn own<Q>(&self, hashed: Hashed, key: &Q) -> Option<Served<K, V, E>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        self.serve_own(self.local.as_ref()?, hashed, key)
    }

    // These are calls, so that a hit without such sets has one comparison more, and nothing else.

    #[inline(never)]
    fn read_own<Q, F, R>(&self, local: &Local, hashed: Hashed, key: &Q, read: F) -> Result<R, F>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
        F: FnOnce(&V) -> R,
    {
        let (mut read, mut got) = (Some(read), None);
        self.look(local, hashed, key, |s, _| got = read.take().map(|read| read(s.value())));
        match (got, read) {
            (Some(got), _) => Ok(got),
            (None, Some(read)) => Err(read),
            (None, None) => unreachable!("what was read came to something"),
        }
    }

    #[inline(never)]
    fn serve_own<Q>(&self, local: &Local, hashed: Hashed, key: &Q) -> Option<Served<K, V, E>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let mut served = None;
        self.look(local, hashed, key, |s, now| served = Some(Served::shared(s, now)));
        served
    }

    #[inline(always)]
    fn look<Q>(
        &self,
        local: &Local,
        hashed: Hashed,
        key: &Q,
        hit: impl FnOnce(&Arc<Snapshot<K, V, E>>, Tick),
    ) where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        local.with(|set: &mut HotSet<K, V, E>| {
            match set.hit(&self.table, &self.clock, hashed, key) {
                Some((s, now)) => {
                    self.counters.add(Count::Hits);
                    hit(s, now);
                }
                None => set.missed(&self.table, hashed, key),
            }
        });
    }
}
