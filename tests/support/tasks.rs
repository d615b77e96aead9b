//! A hand-written executor and what tests poll with it: the cache needs no more.
#![allow(dead_code, unreachable_pub, reason = "each file of tests uses its own part of this")]

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How long a task may sleep before its test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// A waker that counts how often it was woken, and wakes a thread.
pub struct Bell {
    rung: AtomicUsize,
    thread: Thread,
}

impl Bell {
    pub fn new() -> Arc<Bell> {
        Arc::new(Bell { rung: AtomicUsize::new(0), thread: thread::current() })
    }

    pub fn rung(&self) -> usize {
        self.rung.load(SeqCst)
    }

    /// How many wakers of it there are.
    pub fn wakers(self: &Arc<Self>) -> usize {
        Arc::strong_count(self) - 1
    }

    pub fn poll<F: Future + ?Sized>(self: &Arc<Self>, future: Pin<&mut F>) -> Poll<F::Output> {
        let waker = Waker::from(Arc::clone(self));
        future.poll(&mut Context::from_waker(&waker))
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.fetch_add(1, SeqCst);
        self.thread.unpark();
    }
}

/// Polls to the end on this thread; fails when nothing wakes it for long.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let bell = Bell::new();
    let mut future = pin!(future);
    let start = Instant::now();
    let mut answered = 0;
    loop {
        if let Poll::Ready(output) = bell.poll(future.as_mut()) {
            return output;
        }
        while bell.rung() == answered {
            assert!(start.elapsed() < PATIENCE, "nothing wakes the task");
            thread::park_timeout(PATIENCE);
        }
        answered = bell.rung();
    }
}

/// The output of a future that is ready at its first poll, with no waker kept.
pub fn at_once<F: Future>(future: F) -> F::Output {
    let bell = Bell::new();
    let mut future = pin!(future);
    match bell.poll(future.as_mut()) {
        Poll::Ready(output) => {
            assert_eq!((bell.wakers(), bell.rung()), (0, 0), "no waker is cloned or woken");
            output
        }
        Poll::Pending => panic!("it is ready at the first poll"),
    }
}

/// Where a call is put that something else is to await.
pub type Moved<T> = Rc<RefCell<Option<Pin<Box<dyn Future<Output = T>>>>>>;

/// Awaits, from the second poll on, the call that was put there by then.
pub async fn await_moved<T>(moved: Moved<T>) -> T {
    turns(1).await;
    let call = moved.borrow_mut().take().expect("it is there by now");
    call.await
}

/// Lets the executor come round so many times.
pub async fn turns(mut n: usize) {
    poll_fn(|cx| {
        if n == 0 {
            return Poll::Ready(());
        }
        n -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
