//! Stops a thread by a signal, at whatever instruction it has come to, until it is released.
//!
//! The thread marks where it may be stopped: in a call of the cache, outside the allocator. A signal that finds
//! it elsewhere does nothing. A watchdog releases a thread whose freezer has been stuck for too long, so that
//! what should not have waited fails the test instead of hanging it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use crate::controlled::{PATIENCE, until};

const AT_EASE: u32 = 0;
const ASKED: u32 = 1;
const FROZEN: u32 = 2;
const MISSED: u32 = 3;
const RELEASED: u32 = 4;

static PHASE: AtomicU32 = AtomicU32::new(AT_EASE);
static STOPPED_AT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    // Constant and without a destructor: a signal handler may read them.
    static CALLING: Cell<bool> = const { Cell::new(false) };
    static ALLOCATING: Cell<bool> = const { Cell::new(false) };
}

/// The system's allocator, and a mark while it is at work.
struct Marking;

impl Marking {
    fn mark<R>(allocate: impl FnOnce() -> R) -> R {
        let before = ALLOCATING.replace(true);
        let result = allocate();
        ALLOCATING.set(before);
        result
    }
}

// SAFETY: every call is passed on to the system's allocator as it came; the mark allocates nothing.
unsafe impl GlobalAlloc for Marking {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise, passed on.
        Marking::mark(|| unsafe { System.alloc(layout) })
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on.
        Marking::mark(|| unsafe { System.dealloc(at, layout) });
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise, passed on.
        Marking::mark(|| unsafe { System.realloc(at, layout, size) })
    }
}

#[global_allocator]
static ALLOCATOR: Marking = Marking;

/// A call of the cache: here the thread may be stopped.
pub(crate) fn calling<R>(call: impl FnOnce() -> R) -> R {
    let before = CALLING.replace(true);
    let result = call();
    CALLING.set(before);
    result
}

/// The test's own code inside such a call.
pub(crate) fn not_calling<R>(f: impl FnOnce() -> R) -> R {
    let before = CALLING.replace(false);
    let result = f();
    CALLING.set(before);
    result
}

// SAFETY: GNU ld and lld define both in every program; nothing is read but their addresses.
unsafe extern "C" {
    // The linker's names for the ends of the program's own code.
    static __executable_start: u8;
    static etext: u8;
}

/// Goes to another phase, and wakes who waits for that.
fn enter(phase: u32) {
    PHASE.store(phase, SeqCst);
    // SAFETY: the word is static; nothing else is read or written.
    unsafe { libc::syscall(libc::SYS_futex, &raw const PHASE, libc::FUTEX_WAKE, i32::MAX) };
}

/// Sleeps as long as it is this phase, or for a moment.
fn sleep_in(phase: u32) {
    let moment = libc::timespec { tv_sec: 0, tv_nsec: 10_000_000 };
    // SAFETY: the word is static, and the time outlives the call.
    unsafe {
        libc::syscall(libc::SYS_futex, &raw const PHASE, libc::FUTEX_WAIT, phase, &raw const moment)
    };
}

/// Only atomics, constant thread-locals and system calls: all that a signal handler may use.
extern "C" fn stop(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    if PHASE.load(SeqCst) != ASKED {
        return;
    }
    // SAFETY: the thread's own `errno`, which the system calls below must not change under the thread.
    let errno = unsafe { *libc::__errno_location() };
    if ALLOCATING.get() || !CALLING.get() {
        enter(MISSED);
    } else {
        STOPPED_AT.store(instruction(context), SeqCst);
        enter(FROZEN);
        while PHASE.load(SeqCst) != RELEASED {
            sleep_in(FROZEN);
        }
        enter(AT_EASE);
    }
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

/// Where the thread was when the signal came.
fn instruction(context: *mut libc::c_void) -> usize {
    let context: *const libc::ucontext_t = context.cast();
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the kernel gives the handler a context that is valid while it runs.
    let at = unsafe { (*context).uc_mcontext.gregs[libc::REG_RIP as usize] as usize };
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    let at = unsafe { (*context).uc_mcontext.pc as usize };
    at
}

/// Where a thread stands frozen.
pub(crate) struct Place {
    pub(crate) at: usize,
    /// Whether that is in the program's own code: the crate, or what it is compiled from.
    pub(crate) in_text: bool,
}

/// What the freezer and its victim share.
#[derive(Default)]
struct Shared {
    thread: AtomicU64,
    here: AtomicBool,
    /// Signs of life of the freezer; odd while somebody is frozen.
    steps: AtomicU64,
    over: AtomicBool,
}

/// Freezes one thread, again and again.
pub(crate) struct Freezer(Arc<Shared>);

/// The thread to be frozen.
pub(crate) struct Victim(Arc<Shared>);

impl Freezer {
    pub(crate) fn new() -> Freezer {
        // SAFETY: all zero is a valid `sigaction`, whose fields are then set; the handler keeps the rules.
        let installed = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = stop;
            action.sa_sigaction = handler as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
            libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut())
        };
        assert_eq!(installed, 0, "the handler is installed");
        PHASE.store(AT_EASE, SeqCst);
        let shared = Arc::<Shared>::default();
        let watched = Arc::clone(&shared);
        thread::spawn(move || watch(&watched));
        Freezer(shared)
    }

    pub(crate) fn victim(&self) -> Victim {
        Victim(Arc::clone(&self.0))
    }

    pub(crate) fn wait_for_victim(&self) {
        until("the victim is there", || self.0.here.load(SeqCst));
    }

    /// Freezes the victim, unless it is outside the cache or inside the allocator right now.
    pub(crate) fn freeze(&self) -> Option<Place> {
        PHASE.store(ASKED, SeqCst);
        let thread = self.0.thread.load(SeqCst) as libc::pthread_t;
        assert!(self.0.here.load(SeqCst), "the victim lives");
        // SAFETY: the victim says that it goes before it does, and goes only when it is told to.
        assert_eq!(unsafe { libc::pthread_kill(thread, libc::SIGUSR1) }, 0);
        until("the signal arrives", || {
            sleep_in(ASKED);
            PHASE.load(SeqCst) != ASKED
        });
        if PHASE.load(SeqCst) != FROZEN {
            return None;
        }
        self.0.steps.fetch_add(1, SeqCst);
        let at = STOPPED_AT.load(SeqCst);
        let text = (&raw const __executable_start).addr()..(&raw const etext).addr();
        Some(Place { at, in_text: text.contains(&at) })
    }

    /// Lets the frozen one go on.
    pub(crate) fn release(&self) {
        assert_eq!(
            PHASE.load(SeqCst),
            FROZEN,
            "what should not have waited waited for the frozen one"
        );
        self.0.steps.fetch_add(1, SeqCst);
        enter(RELEASED);
        until("the frozen one goes on", || {
            sleep_in(RELEASED);
            PHASE.load(SeqCst) == AT_EASE
        });
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        self.0.over.store(true, SeqCst);
        // A test that fails leaves nobody frozen.
        if PHASE.load(SeqCst) == FROZEN {
            enter(RELEASED);
        }
    }
}

impl Victim {
    /// From now on this thread can be frozen.
    pub(crate) fn here(&self) {
        // SAFETY: no arguments, no state.
        self.0.thread.store(unsafe { libc::pthread_self() } as u64, SeqCst);
        self.0.here.store(true, SeqCst);
    }

    /// From now on it cannot.
    pub(crate) fn gone(&self) {
        self.0.here.store(false, SeqCst);
    }

    /// Waits to be frozen, and to be released.
    pub(crate) fn until_frozen(&self) {
        until("it is frozen and released", || self.0.steps.load(SeqCst) >= 2);
    }
}

/// Releases who has been frozen for too long.
fn watch(shared: &Shared) {
    let mut seen = (0, Instant::now());
    while !shared.over.load(SeqCst) {
        thread::sleep(Duration::from_millis(20));
        let steps = shared.steps.load(SeqCst);
        if steps != seen.0 {
            seen = (steps, Instant::now());
        } else if steps % 2 == 1 && seen.1.elapsed() > PATIENCE / 2 {
            enter(RELEASED);
            return;
        }
    }
}
