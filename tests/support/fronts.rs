//! The four ways to ask for key 1: plain calls, those with hot sets behind them, a `Reader`'s, and a task's.
#![allow(dead_code, reason = "each file of tests uses its own part of this")]

use lastcache::{Builder, Error, Reader, Served, State};

use super::bench::{Fault, Plain};
use super::tasks::block_on;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Front {
    Plain,
    HotSets,
    Reader,
    Tasks,
}

pub(crate) const FRONTS: [Front; 4] = [Front::Plain, Front::HotSets, Front::Reader, Front::Tasks];

/// One who asks a cache by one front.
pub(crate) struct Caller {
    front: Front,
    pub(crate) cache: Plain,
    reader: Reader<u32, u32, Fault>,
}

type Answer = Result<Served<u32, u32, Fault>, Error<Fault>>;

impl Caller {
    pub(crate) fn new(front: Front, builder: Builder<u32, u32, Fault>) -> Self {
        let spots = if front == Front::HotSets { 64 } else { 0 };
        let cache = builder.thread_hot_set(spots).build().unwrap();
        Caller { front, reader: cache.reader(), cache }
    }

    pub(crate) fn get_stale(
        &mut self,
        fetch: impl FnOnce() -> Result<u32, Fault> + Send + 'static,
    ) -> Answer {
        match self.front {
            Front::Plain | Front::HotSets => self.cache.get_stale(&1, |_| fetch()),
            Front::Reader => self.reader.get_stale(&1, |_| fetch()),
            Front::Tasks => block_on(self.cache.get_stale_async(&1, async { fetch() })),
        }
    }

    pub(crate) fn get_swr(
        &mut self,
        fetch: impl FnOnce() -> Result<u32, Fault> + Send + 'static,
    ) -> Answer {
        match self.front {
            Front::Plain | Front::HotSets => self.cache.get_swr(&1, |_| fetch()),
            Front::Reader => self.reader.get_swr(&1, |_| fetch()),
            Front::Tasks => block_on(self.cache.get_swr_async(&1, async { fetch() })),
        }
    }

    pub(crate) fn peek(&mut self) -> Option<Served<u32, u32, Fault>> {
        match self.front {
            Front::Reader => self.reader.peek(&1),
            _ => self.cache.peek(&1),
        }
    }

    /// Sets the key, and reads it often enough to be in any hot set.
    pub(crate) fn warm(&mut self, value: u32) {
        assert!(self.cache.set(1, value));
        for _ in 0..4 {
            assert_eq!(*self.get_stale(|| Err("it is fresh")).unwrap(), value);
        }
    }
}

/// What a caller was told, in a word.
pub(crate) fn told(answer: &Answer) -> &'static str {
    answer.as_ref().map_or("error", word)
}

/// As what it was served.
pub(crate) fn word(served: &Served<u32, u32, Fault>) -> &'static str {
    match served.state() {
        State::Fresh => "fresh",
        State::Stale => "stale",
        State::BackOff { .. } => "back-off",
        State::Fallback { .. } => "fallback",
        _ => "something new",
    }
}
