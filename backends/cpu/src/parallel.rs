//! Work over threads, in tasks whose results do not depend on the thread that runs them.

use std::any::Any;
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The threads of a backend.
#[derive(Debug, Clone)]
pub(crate) enum Threads {
    /// The caller's own.
    One,
    /// The caller's own and those of a pool.
    Many(Arc<rayon::ThreadPool>),
}

/// Work below this many operations costs less than waking a thread, and stays on this one.
// About ten microseconds of scalar work; waking a thread takes five to twenty. A factor of two
// either way makes no difference.
const WORTH_SHARING: usize = 1 << 15;

impl Threads {
    fn count(&self) -> usize {
        match self {
            Self::One => 1,
            Self::Many(pool) => pool.current_num_threads() + 1,
        }
    }

    /// Number of tasks to cut work into: about four per thread, so that a slow core does not hold up the
    /// others.
    pub(crate) fn tasks(&self) -> usize {
        match self {
            Self::One => 1,
            Self::Many(_) => 4 * self.count(),
        }
    }

    /// Size of the groups of `units` that tasks take, if there are `others` independent tasks per group.
    pub(crate) fn share(&self, units: usize, others: usize) -> usize {
        // A multiple of four, because the widest kernel takes four panels.
        units
            .div_ceil(self.tasks().div_ceil(others.max(1)))
            .next_multiple_of(4)
            .min(units.max(1))
    }

    /// Calls `work` with the number and the value of every task. `cost` is the total number of simple
    /// operations.
    pub(crate) fn for_each<T: Send>(
        &self,
        cost: usize,
        tasks: Vec<T>,
        work: impl Fn(usize, T) + Send + Sync,
    ) {
        let count = tasks.len();
        let tasks = tasks.into_iter().enumerate();
        match self {
            Self::Many(pool) if cost > WORTH_SHARING && count > 1 => {
                // A lock per task is cheap beside tasks of microseconds, and hands out tasks in
                // order, which keeps shared weights in cache.
                let left = Mutex::new(tasks);
                let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
                let drain = || {
                    while let Some((i, task)) = next() {
                        work(i, task);
                    }
                };
                together(pool, self.count().min(count), &drain);
            }
            _ => tasks.for_each(|(i, task)| work(i, task)),
        }
    }
}

/// Calls `drain` on this thread and on the threads of the pool that come in time, at most `threads` in
/// all, and returns when no thread is inside any more. One call of `drain` must be enough.
///
/// A scope of the pool would wait for every thread to wake up, even if this one has done all the work
/// by then. Small models would spend a fifth of their time on that.
fn together(pool: &rayon::ThreadPool, threads: usize, drain: &(dyn Fn() + Sync)) {
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
        let gathering = Arc::clone(&gathering);
        pool.spawn(move || gathering.enter());
    }
    let closing = Closing(&gathering);
    drain();
    drop(closing);
    let panic = &gathering.panic;
    if let Some(payload) = panic.lock().unwrap_or_else(PoisonError::into_inner).take() {
        std::panic::resume_unwind(payload);
    }
}

type Work = dyn Fn() + Sync + 'static;

/// Threads that work on the tasks of one caller.
struct Gathering {
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
    fn enter(&self) {
        // Counted first, so that a thread that closes the entrance after this waits for this one.
        if self.inside.fetch_add(1, Ordering::Acquire) & CLOSED == 0 {
            // SAFETY: this thread is inside, so `work` is alive until it has left.
            let work = unsafe { &*self.work };
            let result = std::panic::catch_unwind(AssertUnwindSafe(work));
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
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
    }
}

/// A slice of which each task writes its own part.
pub(crate) struct Shared<'a> {
    start: *mut f32,
    len: usize,
    borrow: PhantomData<&'a mut [f32]>,
}

// SAFETY: a `Shared` is an exclusive borrow of a slice of plain floats; what different threads may
// do with it is the contract of `slice`.
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    pub(crate) fn new(slice: &'a mut [f32]) -> Self {
        Self {
            start: slice.as_mut_ptr(),
            len: slice.len(),
            borrow: PhantomData,
        }
    }

    /// The part `start..start + len`.
    ///
    /// # Panics
    /// When the part reaches outside the slice.
    ///
    /// # Safety
    /// While the part is in use, no overlapping part is in use on this thread or another.
    #[inline(always)]
    #[allow(
        clippy::mut_from_ref,
        reason = "exclusivity is the contract of the caller"
    )]
    pub(crate) unsafe fn slice(&self, start: usize, len: usize) -> &mut [f32] {
        // Checked in release builds too: a caller's mistake must be a panic, not a write outside
        // the slice.
        assert!(
            start <= self.len && len <= self.len - start,
            "{start}+{len} of {}",
            self.len
        );
        // SAFETY: `start` is inside the borrowed slice by the check above.
        let first = unsafe { self.start.add(start) };
        // SAFETY: `first..first + len` lies inside the slice that `self` borrows exclusively, and
        // the caller promises that no overlapping part is in use.
        unsafe { std::slice::from_raw_parts_mut(first, len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn four() -> Threads {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build();
        Threads::Many(Arc::new(pool.expect("three threads")))
    }

    #[test]
    fn every_task_is_done_once_before_the_call_returns() {
        let threads = four();
        for count in [2usize, 3, 64, 1000] {
            for _ in 0..200 {
                let mut done = vec![0u32; count];
                let tasks = done.iter_mut().collect();
                threads.for_each(usize::MAX, tasks, |i, x: &mut u32| *x += i as u32 + 1);
                assert!(done.iter().zip(1..).all(|(&x, i)| x == i));
            }
        }
    }

    #[test]
    fn a_panic_in_any_task_reaches_the_caller_and_the_threads_go_on() {
        let threads = four();
        for bad in 0..40usize {
            let call = AssertUnwindSafe(|| {
                threads.for_each(usize::MAX, (0..40).collect(), |i, _: usize| {
                    assert_ne!(i, bad, "as asked");
                    std::thread::yield_now();
                });
            });
            let payload = std::panic::catch_unwind(call).expect_err("one task panics");
            let message = payload.downcast_ref::<String>().expect("a message");
            assert!(message.contains("as asked"), "{message}");
        }
        let sum = std::sync::atomic::AtomicUsize::new(0);
        threads.for_each(usize::MAX, (0..100).collect(), |_, x: usize| {
            sum.fetch_add(x, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 4950);
    }
}
