//! A global allocator that counts, per thread; what includes this file is a binary of its own.
#![allow(unsafe_code, reason = "a global allocator cannot be written without")]
#![allow(dead_code, reason = "each file of tests uses its own part of this")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Allocations of this thread, their bytes, and the bytes it freed, of whoever allocated them.
    pub(crate) static COUNT: Cell<u64> = const { Cell::new(0) };
    pub(crate) static BYTES: Cell<u64> = const { Cell::new(0) };
    pub(crate) static FREED: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, and a count.
struct Counting;

impl Counting {
    // None of the cells has a destructor, so they can be had as long as the thread lives.
    fn note(size: usize) {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        let _ = BYTES.try_with(|bytes| bytes.set(bytes.get() + size as u64));
    }

    fn note_freed(size: usize) {
        let _ = FREED.try_with(|freed| freed.set(freed.get() + size as u64));
    }
}

// SAFETY: every call is passed on to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Counting::note(layout.size());
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        Counting::note_freed(layout.size());
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Counting::note_freed(layout.size());
        Counting::note(size);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often this thread allocated in `f`.
pub(crate) fn allocations(f: impl FnOnce()) -> u64 {
    let before = COUNT.get();
    f();
    COUNT.get() - before
}
