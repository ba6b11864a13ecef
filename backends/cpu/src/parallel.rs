//! Work over threads, in tasks whose results do not depend on who runs them.

use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

/// The threads of a backend.
#[derive(Debug, Clone)]
pub(crate) enum Threads {
    /// The caller's own.
    One,
    /// The caller's own and those of a pool.
    Many(Arc<rayon::ThreadPool>),
}

/// Work below this many operations is not worth handing out.
const WORTH_SHARING: usize = 1 << 15;

impl Threads {
    fn count(&self) -> usize {
        match self {
            Self::One => 1,
            Self::Many(pool) => pool.current_num_threads() + 1,
        }
    }

    /// Size of the groups in which `units` are handed out, beside `others` independent tasks:
    /// about four tasks a thread, so that a slow core does not hold up the rest.
    pub(crate) fn share(&self, units: usize, others: usize) -> usize {
        match self {
            Self::One => units.max(1),
            Self::Many(_) => {
                let tasks = (4 * self.count()).div_ceil(others.max(1));
                // Groups of a multiple of four panels feed the widest kernel.
                units
                    .div_ceil(tasks.max(1))
                    .next_multiple_of(4)
                    .min(units.max(1))
            }
        }
    }

    /// Calls `work` with the number and the value of every task; `cost` is the total in simple
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
                let left = Mutex::new(tasks);
                let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
                let drain = || {
                    while let Some((i, task)) = next() {
                        work(i, task);
                    }
                };
                // The caller works as well: it would only wait for the others to wake up.
                pool.in_place_scope(|scope| {
                    for _ in 1..self.count().min(count) {
                        scope.spawn(|_| drain());
                    }
                    drain();
                });
            }
            _ => tasks.for_each(|(i, task)| work(i, task)),
        }
    }
}

/// A slice that several tasks write to, each its own part.
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
    /// While the part is in use nobody else, on this thread or another, uses an overlapping one.
    #[inline(always)]
    #[allow(
        clippy::mut_from_ref,
        reason = "exclusivity is the contract of the caller"
    )]
    pub(crate) unsafe fn slice(&self, start: usize, len: usize) -> &mut [f32] {
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
