//! A lock-free pile, and a queue made of two.
//!
//! A [`Pile`] is a list behind one word that is only ever taken whole: to add, take what is there,
//! put it beneath, and put the whole back. So for a moment it looks empty to others while somebody
//! adds, or takes one. Its users' rule makes up for that: **whoever puts something in looks afterwards** whether
//! there is something to do. Puts and takes are read-modify-writes of one word, so of two threads the
//! later one sees what the earlier one did before.

use std::iter;

use crate::panics::{contain, drop_each};
use crate::word::Slot;

/// Items that one owner holds, last in on top.
pub(crate) struct List<T>(Option<Box<Node<T>>>);

/// An item and its place in a list.
pub(crate) struct Node<T> {
    pub(crate) item: T,
    below: Option<Box<Node<T>>>,
}

impl<T> Node<T> {
    pub(crate) fn new(item: T) -> Box<Self> {
        Box::new(Node { item, below: None })
    }
}

impl<T> List<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        self.top().map(|top| top.item)
    }

    fn top(&mut self) -> Option<Box<Node<T>>> {
        let mut top = self.0.take()?;
        self.0 = top.below.take();
        Some(top)
    }

    fn reversed(mut self) -> Self {
        let mut reversed = List(None);
        while let Some(mut top) = self.top() {
            top.below = reversed.0.take();
            reversed.0 = Some(top);
        }
        reversed
    }

    /// These, and the others beneath: a walk over these.
    fn above(mut self, mut others: List<T>) -> Self {
        if !others.is_empty() {
            let mut end = &mut self.0;
            while let Some(node) = end {
                end = &mut node.below;
            }
            *end = others.0.take();
        }
        self
    }
}

impl<T> Drop for List<T> {
    fn drop(&mut self) {
        // One by one: a long list must not be dropped by recursion.
        drop_each(iter::from_fn(|| self.pop()));
    }
}

/// A list that anybody adds to and that is taken whole.
pub(crate) struct Pile<T>(Slot<Node<T>>);

impl<T> Pile<T> {
    pub(crate) fn new() -> Self {
        Pile(Slot::new())
    }

    /// Gives the item back when the pile has ended.
    pub(crate) fn push(&self, item: T) -> Result<(), T> {
        self.push_node(Node::new(item)).map_err(|node| node.item)
    }

    /// As `push`, without an allocation.
    pub(crate) fn push_node(&self, node: Box<Node<T>>) -> Result<(), Box<Node<T>>> {
        self.put(node, List(None))
    }

    /// Puts in what is in hand. Gives the top back when the pile has ended: what waited beneath is dropped, and its
    /// panics are no matter of whoever comes last.
    fn put(&self, mut top: Box<Node<T>>, mut beneath: List<T>) -> Result<(), Box<Node<T>>> {
        loop {
            // What came meanwhile is seldom much, and the walk over that.
            beneath = self.take().above(beneath);
            top.below = beneath.0.take();
            match self.0.put(top) {
                Ok(()) => return Ok(()),
                Err(back) => top = back,
            }
            beneath = List(top.below.take());
            if self.0.is_ended() {
                contain(|| drop(beneath));
                return Err(top);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.0.is_ended()
    }

    pub(crate) fn take(&self) -> List<T> {
        List(self.0.take())
    }

    /// The one on top, unless another thread has the pile in hand.
    pub(crate) fn pop_node(&self) -> Option<Box<Node<T>>> {
        self.take_one(self.take())
    }

    /// The one on top of `items`; the others go in here.
    fn take_one(&self, mut items: List<T>) -> Option<Box<Node<T>>> {
        let top = items.top()?;
        if let Some(next) = items.top() {
            // Refused only when the pile has ended: then what waits is dropped, whose panics are no
            // matter of whoever takes the next.
            contain(|| drop(self.put(next, items)));
        }
        Some(top)
    }

    pub(crate) fn end(&self) -> List<T> {
        List(self.0.end())
    }
}

impl<T> Drop for Pile<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

/// First in, first out, but for races, which may put one batch before another: newcomers in one stack, the rest of the
/// last batch in another.
pub(crate) struct Fifo<T> {
    newer: Pile<T>,
    /// Oldest on top.
    older: Pile<T>,
}

impl<T> Fifo<T> {
    pub(crate) fn new() -> Self {
        Fifo { newer: Pile::new(), older: Pile::new() }
    }

    /// Gives the item back when the queue has ended.
    pub(crate) fn push(&self, item: T) -> Result<(), T> {
        self.newer.push(item)
    }

    /// The oldest. What another thread is taking at this moment may be missed: that thread looks
    /// again after it.
    pub(crate) fn pop(&self) -> Option<T> {
        let mut batch = self.older.take();
        if batch.is_empty() {
            batch = self.newer.take().reversed();
        }
        self.older.take_one(batch).map(|oldest| oldest.item)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.older.is_empty() && self.newer.is_empty()
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.newer.is_ended()
    }

    /// Refuses what comes. What waits, to be dropped when nothing is left to do.
    #[must_use]
    pub(crate) fn end(&self) -> [List<T>; 2] {
        [self.newer.end(), self.older.end()]
    }
}
