//! Answers, in words that the cache and the naive one share.

use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use lastcache::{Error, Served, State, Ttl};

use super::naive;
use super::program::Fault;

/// What one call said.
#[derive(Debug, PartialEq)]
pub enum Said {
    Nothing,
    Flag(bool),
    Count(usize),
    Left(Option<(bool, Duration)>),
    Value(Result<u32, Why>),
    Served(Result<Told<u32>, Why>),
    Seen(Option<Told<u32>>),
    Walked(Vec<(u8, u32, (bool, Duration))>),
    Panicked,
}

/// A value, its age, and why it was served.
#[derive(Debug, PartialEq)]
pub struct Told<V> {
    pub value: V,
    pub age: Duration,
    pub how: How,
}

#[derive(Debug, PartialEq)]
pub enum How {
    Fresh,
    Stale,
    BackOff(Why, Duration),
    Fallback(Why),
}

#[derive(Debug, PartialEq)]
pub enum Why {
    Fetch(Fault),
    Panicked,
    Reentrant,
    Closed,
}

/// What `f` returned, or `None` when it panicked as planned; another panic goes no further than the
/// panic hook.
pub fn unless_panicked<R>(f: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(f)).ok()
}

pub fn why(error: Error<Fault>) -> Why {
    match error {
        Error::Fetch(fault) => Why::Fetch(*fault),
        Error::Panicked => Why::Panicked,
        Error::Reentrant => Why::Reentrant,
        Error::Closed => Why::Closed,
        other => panic!("unknown {other:?}"),
    }
}

pub fn told<K, V: Clone>(served: Served<K, V, Fault>) -> Told<V> {
    let how = match served.state() {
        State::Fresh => How::Fresh,
        State::Stale => How::Stale,
        State::BackOff { error, retry_in } => How::BackOff(why(error), retry_in),
        State::Fallback { error } => How::Fallback(why(error)),
        other => panic!("unknown {other:?}"),
    };
    assert_eq!(served.is_stale(), how != How::Fresh);
    Told { value: served.deref().clone(), age: served.age(), how }
}

pub fn left(ttl: Ttl) -> (bool, Duration) {
    match ttl {
        Ttl::Left(d) => (true, d),
        Ttl::Overdue(d) => (false, d),
    }
}

pub fn naive_why(error: naive::Error<Fault>) -> Why {
    match error {
        naive::Error::Fetch(fault) => Why::Fetch(*fault),
        naive::Error::Panicked => Why::Panicked,
        naive::Error::Reentrant => Why::Reentrant,
        naive::Error::Closed => Why::Closed,
    }
}

pub fn naive_told(answer: naive::Answer<u32, Fault>) -> Told<u32> {
    let how = match answer.state {
        naive::Served::Fresh => How::Fresh,
        naive::Served::Stale => How::Stale,
        naive::Served::BackOff { error, retry_in } => How::BackOff(naive_why(error), retry_in),
        naive::Served::Fallback { error } => How::Fallback(naive_why(error)),
    };
    Told { value: answer.value, age: answer.age, how }
}

pub fn naive_left(ttl: naive::Ttl) -> (bool, Duration) {
    match ttl {
        naive::Ttl::Left(d) => (true, d),
        naive::Ttl::Overdue(d) => (false, d),
    }
}
