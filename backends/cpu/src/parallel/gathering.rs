//! The meeting of a caller with the threads that help it.
//!
//! The crate in `backends/cpu/loom` compiles this file with the atomics of loom, which tries every order of
//! its steps.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::PoisonError;

use super::sync::{Arc, AtomicUsize, Mutex, Ordering, spin_loop, yield_now};

/// Calls `drain` on this thread and on those threads of a pool that come in time, at most `threads` in all,
/// and returns when no thread is inside any more. One call of `drain` must be enough. `spawn` asks the pool to
/// call [`Gathering::enter`].
///
/// A scope of the pool would wait for every thread to wake up, even if this one has done all the work
/// by then. Small models would spend a fifth of their time on that.
pub(crate) fn together(threads: usize, drain: &(dyn Fn() + Sync), spawn: impl Fn(Arc<Gathering>)) {
    let work: *const (dyn Fn() + Sync) = drain;
    // SAFETY: only the lifetime in the type of the pointer changes; see `Gathering` for its use.
    let work = unsafe { std::mem::transmute::<*const (dyn Fn() + Sync), *const Work>(work) };
    let gathering = Arc::new(Gathering {
        work,
        inside: AtomicUsize::new(0),
        panic: Mutex::new(None),
    });
    // Shared ownership: a thread that wakes up after this function has returned still counts itself
    // in and out.
    for _ in 1..threads {
        spawn(Arc::clone(&gathering));
    }
    let closing = Closing(&gathering);
    drain();
    drop(closing);
    let panic = &gathering.panic;
    if let Some(payload) = panic.lock().unwrap_or_else(PoisonError::into_inner).take() {
        resume_unwind(payload);
    }
}

type Work = dyn Fn() + Sync + 'static;

/// Threads that work on the tasks of one caller.
pub(crate) struct Gathering {
    /// The function to call. It is alive while the entrance is open or a thread is inside: `together`
    /// does not end, by return or by panic, before `Closing` has ended both.
    work: *const Work,
    /// The number of threads inside, and the bit [`CLOSED`] of the entrance.
    inside: AtomicUsize,
    /// The payload of the first panic.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// The highest bit, which no number of threads reaches: one atomic then holds both, and entering and
// closing cannot pass each other unseen.
const CLOSED: usize = 1 << (usize::BITS - 1);

// SAFETY: `work` points to something that is `Sync`, and where it may be followed is told there;
// the rest is `Send` and `Sync` by itself.
unsafe impl Send for Gathering {}
// SAFETY: as above.
unsafe impl Sync for Gathering {}

impl Gathering {
    /// Calls `work`, unless it is too late.
    pub(crate) fn enter(&self) {
        // Counted first, so that a thread that closes the entrance after this waits for this one.
        if self.inside.fetch_add(1, Ordering::Acquire) & CLOSED == 0 {
            // SAFETY: this thread is inside, so `work` is alive until it has left.
            let work = unsafe { &*self.work };
            let result = catch_unwind(AssertUnwindSafe(work));
            if let Err(payload) = result {
                let mut first = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert(payload);
            }
        }
        // Release, so that the caller, who acquires this count, sees what the tasks wrote.
        self.inside.fetch_sub(1, Ordering::Release);
    }
}

/// Closes the entrance when dropped, and waits until all threads have left.
struct Closing<'a>(&'a Gathering);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        // Relaxed is enough: entering and closing change the same atomic, whose changes have one
        // order.
        self.0.inside.fetch_or(CLOSED, Ordering::Relaxed);
        // The threads inside are at their last task, so waiting without sleeping is short.
        let mut turns = 0;
        while self.0.inside.load(Ordering::Acquire) != CLOSED {
            turns += 1;
            // Some tens of microseconds. On a machine with more threads than cores, the thread
            // inside may be waiting for this core. The exact number does not matter.
            if turns < 10_000 {
                spin_loop();
            } else {
                yield_now();
            }
        }
    }
}
