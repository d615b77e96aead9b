//! A cell as a hot set reaches it: without the table, which may end before.

use std::ops::Deref;

use super::bucket::Bucket;
use super::{Pos, Table};
use crate::snapshot::Snapshot;
use crate::sync::{Published, Shared, Watch};

/// One thread's copy of what a slot publishes.
pub(crate) type Watched<K, V, E> = Watch<Cell<K, V, E>, Snapshot<K, V, E>>;

/// A slot's published cell. Keeps the memory of the table, and none of its values.
pub(crate) struct Cell<K, V, E> {
    buckets: Shared<Bucket<Snapshot<K, V, E>>>,
    pos: Pos,
}

impl<K, V, E> Deref for Cell<K, V, E> {
    type Target = Published<Snapshot<K, V, E>>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        self.buckets[self.pos.bucket].cell(self.pos.slot)
    }
}

impl<K, V, E> Table<K, V, E> {
    /// Begins to watch a slot, whoever's entry stands there.
    pub(crate) fn watch(&self, pos: Pos) -> Watched<K, V, E> {
        Watch::new(Cell { buckets: Shared::clone(&self.buckets), pos })
    }
}
