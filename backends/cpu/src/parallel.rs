//! Work over threads, in tasks whose results do not depend on the thread that runs them.

mod gathering;

use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use gathering::together;

/// Atomics, locks and waiting; those of loom take their place in its test of [`gathering`].
mod sync {
    pub(super) use std::hint::spin_loop;
    pub(super) use std::sync::atomic::{AtomicUsize, Ordering};
    pub(super) use std::sync::{Arc, Mutex};
    pub(super) use std::thread::yield_now;
}

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
    pub(crate) fn count(&self) -> usize {
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
                together(self.count().min(count), &drain, |gathering| {
                    pool.spawn(move || gathering.enter());
                });
            }
            _ => tasks.for_each(|(i, task)| work(i, task)),
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
    use std::panic::AssertUnwindSafe;
    use std::sync::atomic::{AtomicUsize, Ordering};

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
        let sum = AtomicUsize::new(0);
        threads.for_each(usize::MAX, (0..100).collect(), |_, x: usize| {
            sum.fetch_add(x, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 4950);
    }
}
