//! The fronts of the cache: the same calls of a thread, of a task and of a `Reader`.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use lastcache::{Error, Served, State};

use crate::history::Answer;
use crate::program::{Cache, Fetch, Key, Reader, pause, roll};
use crate::tasks::block_on;

/// Through which fronts the calls of one history go. With any of them go plain calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fronts {
    Threads,
    Tasks,
    Readers,
    /// Plain calls, with a hot set for each thread.
    HotThreads,
    All,
}

impl Fronts {
    pub(crate) const EACH: [Fronts; 5] =
        [Fronts::Threads, Fronts::Tasks, Fronts::Readers, Fronts::HotThreads, Fronts::All];

    pub(crate) fn have_hot_threads(self) -> bool {
        matches!(self, Fronts::HotThreads | Fronts::All)
    }

    /// Whether any has a hot set.
    pub(crate) fn are_hot(self) -> bool {
        self.have_hot_threads() || self == Fronts::Readers
    }

    /// The one of the next call.
    pub(crate) fn choose<'a>(self, cache: &'a Cache, reader: &'a mut Reader) -> Front<'a> {
        let nth = match self {
            Fronts::Threads | Fronts::HotThreads => 0,
            Fronts::Tasks => roll(2),
            Fronts::Readers => 2 * roll(2),
            Fronts::All => roll(3),
        };
        match nth {
            0 => Front::Thread(cache),
            1 => Front::Task(cache),
            _ => Front::Reader(reader),
        }
    }
}

/// The front of one call.
pub(crate) enum Front<'a> {
    Thread(&'a Cache),
    Task(&'a Cache),
    Reader(&'a mut Reader),
}

/// Which of the `get` family.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    Get,
    Stale,
    WhileRevalidate,
}

/// An answer, and whether it covers an error, for all that can be seen.
type Told = (Answer, bool);

impl Front<'_> {
    pub(crate) fn peek(&mut self, key: &Key) -> Answer {
        let served = match self {
            Front::Thread(cache) | Front::Task(cache) => cache.peek(key),
            Front::Reader(reader) => reader.peek(key),
        };
        served.map_or(Answer::Nothing, |served| Answer::Value(*served))
    }

    pub(crate) fn get(&mut self, ask: Ask, key: &Key, fetch: Fetch) -> Told {
        // One half of the plain reads of a value are in place.
        let in_place = |value: &u32| {
            pause();
            *value
        };
        match (self, ask) {
            (Front::Thread(cache), Ask::Get) if roll(2) == 0 => {
                value(cache.get_with(key, in_place, |_| fetch.run()))
            }
            (Front::Thread(cache), Ask::Get) => value(cache.get(key, |_| fetch.run())),
            (Front::Thread(cache), Ask::Stale) => served(cache.get_stale(key, |_| fetch.run())),
            (Front::Thread(cache), Ask::WhileRevalidate) => {
                served(cache.get_swr(key, |_| fetch.run()))
            }
            (Front::Task(cache), Ask::Get) => {
                or_dropped(cache.get_async(key, fetch.polled())).map_or(DROPPED, value)
            }
            (Front::Task(cache), Ask::Stale) => {
                or_dropped(cache.get_stale_async(key, fetch.polled())).map_or(DROPPED, served)
            }
            (Front::Task(cache), Ask::WhileRevalidate) => {
                or_dropped(cache.get_swr_async(key, fetch.polled())).map_or(DROPPED, served)
            }
            (Front::Reader(reader), Ask::Get) if roll(2) == 0 => {
                value(reader.get_with(key, in_place, |_| fetch.run()))
            }
            (Front::Reader(reader), Ask::Get) => value(reader.get(key, |_| fetch.run())),
            (Front::Reader(reader), Ask::Stale) => served(reader.get_stale(key, |_| fetch.run())),
            (Front::Reader(reader), Ask::WhileRevalidate) => {
                served(reader.get_swr(key, |_| fetch.run()))
            }
        }
    }
}

const DROPPED: Told = (Answer::Dropped, false);

/// Polls a task to its end on this thread, or drops it where it is after a few polls.
fn or_dropped<T>(task: impl Future<Output = T>) -> Option<T> {
    let mut task = pin!(task);
    let mut left = [1, 2, 3, u32::MAX][roll(4) as usize];
    block_on(poll_fn(|cx| {
        pause();
        left -= 1;
        match task.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }))
}

fn value(got: Result<u32, Error<u32>>) -> Told {
    (got.map_or_else(refused, Answer::Value), true)
}

fn served(got: Result<Served<Key, u32, u32>, Error<u32>>) -> Told {
    let is_covered =
        got.as_ref().is_ok_and(|served| matches!(served.state(), State::Fallback { .. }));
    (got.map_or_else(refused, |served| Answer::Value(*served)), is_covered)
}

fn refused(error: Error<u32>) -> Answer {
    match error {
        Error::Fetch(load) => Answer::Error(*load),
        other => panic!("nothing panics, asks for itself or is closed: {other:?}"),
    }
}
