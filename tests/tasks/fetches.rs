//! Fetches of the tests: one that must not be polled, and one that waits at a gate.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use super::controlled::Failure;

/// A fetch that must not be polled.
pub(super) async fn absurd() -> Result<u32, Failure> {
    panic!("no fetch is due")
}

#[derive(Default)]
struct Inner {
    outcome: Option<Result<u32, Failure>>,
    wakers: Vec<Waker>,
    polls: usize,
    begun: usize,
    dropped: usize,
}

/// Fetches wait at it until it is opened; then all have the outcome.
#[derive(Clone, Default)]
pub(super) struct Gate(Arc<Mutex<Inner>>);

/// Counts a fetch that is let go of, over or not.
struct Going(Gate);

impl Drop for Going {
    fn drop(&mut self) {
        self.0.with(|inner| inner.dropped += 1);
    }
}

impl Gate {
    pub(super) fn new() -> Gate {
        Gate::default()
    }

    fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn fetch(&self) -> impl Future<Output = Result<u32, Failure>> + Send + 'static {
        let gate = self.clone();
        async move {
            let going = Going(gate);
            going.0.with(|inner| inner.begun += 1);
            poll_fn(|cx| {
                going.0.with(|inner| {
                    inner.polls += 1;
                    match inner.outcome {
                        Some(outcome) => Poll::Ready(outcome),
                        None => {
                            inner.wakers.push(cx.waker().clone());
                            Poll::Pending
                        }
                    }
                })
            })
            .await
        }
    }

    pub(super) fn open(&self, outcome: Result<u32, Failure>) {
        let wakers = self.with(|inner| {
            inner.outcome = Some(outcome);
            std::mem::take(&mut inner.wakers)
        });
        wakers.into_iter().for_each(Waker::wake);
    }

    /// How many fetches have begun.
    pub(super) fn begun(&self) -> usize {
        self.with(|inner| inner.begun)
    }

    /// How many of those are over, or were let go of.
    pub(super) fn dropped(&self) -> usize {
        self.with(|inner| inner.dropped)
    }
}
