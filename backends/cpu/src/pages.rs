//! Memory of weights: zeros that the system clears when they are first written, by the thread that does so.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;

use crate::simd::{HalfLanes, Lanes, PairLanes};

/// `len` vectors, all zero until they are written.
pub(crate) struct Pages<L> {
    memory: Memory,
    len: usize,
    of: PhantomData<L>,
}

enum Memory {
    /// Below a few pages a mapping of its own would waste a part of the last one.
    Small(Vec<Lanes>),
    Mapped(MmapMut),
}

/// Bytes from which on a matrix has a mapping of its own.
const MAPPED: usize = 1 << 20;

/// A vector of which zeros of all bits are a value.
///
/// # Safety
/// The type has no padding, every pattern of bits is a value of it, and its alignment is at most that of
/// [`Lanes`].
pub(crate) unsafe trait Plain: Copy {}
// SAFETY: sixteen floats, 64 bytes at 64.
unsafe impl Plain for Lanes {}
// SAFETY: sixteen integers, 32 bytes at 32.
unsafe impl Plain for HalfLanes {}
// SAFETY: sixteen integers, 64 bytes at 64.
unsafe impl Plain for PairLanes {}

/// The system has no memory for a matrix.
pub(crate) type NoMemory = Box<dyn std::error::Error + Send + Sync>;

impl<L: Plain> Pages<L> {
    /// `len` zeros.
    ///
    /// # Errors
    /// An allocation that fails. Weights are the largest allocations, and the only ones whose size a file
    /// decides, so theirs alone are checked.
    pub(crate) fn zeros(len: usize) -> Result<Self, NoMemory> {
        // Beyond `usize` is beyond any allocation, and reserving it fails.
        let bytes = len.saturating_mul(size_of::<L>());
        let memory = if bytes < MAPPED {
            let mut all = Vec::new();
            let lanes = bytes.div_ceil(size_of::<Lanes>());
            all.try_reserve_exact(lanes)?;
            all.resize(lanes, Lanes::ZERO);
            Memory::Small(all)
        } else {
            let map = MmapMut::map_anon(bytes)?;
            // Clearing and finding two megabytes at once is faster than 512 times four kilobytes. Where the
            // system has no such pages, nothing is lost.
            #[cfg(target_os = "linux")]
            let _ = map.advise(memmap2::Advice::HugePage);
            Memory::Mapped(map)
        };
        Ok(Self {
            memory,
            len,
            of: PhantomData,
        })
    }
}

impl<L: Plain> Deref for Pages<L> {
    type Target = [L];

    fn deref(&self) -> &[L] {
        let start = match &self.memory {
            Memory::Small(all) => all.as_ptr().cast::<L>(),
            Memory::Mapped(map) => map.as_ptr().cast::<L>(),
        };
        // SAFETY: the memory holds at least `len` vectors (`zeros`), it is initialised with zeros, of which any
        // pattern is a vector (`Plain`), and it begins at a vector of `Lanes` or a page, both of which are
        // aligned for `L`. The borrow of `self` keeps it.
        unsafe { std::slice::from_raw_parts(start, self.len) }
    }
}

impl<L: Plain> DerefMut for Pages<L> {
    fn deref_mut(&mut self) -> &mut [L] {
        let start = match &mut self.memory {
            Memory::Small(all) => all.as_mut_ptr().cast::<L>(),
            Memory::Mapped(map) => map.as_mut_ptr().cast::<L>(),
        };
        // SAFETY: as in `deref`, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(start, self.len) }
    }
}

impl<L> fmt::Debug for Pages<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_zero_then_written<L: Plain + PartialEq + fmt::Debug>(zero: L, other: L) {
        let large = MAPPED / size_of::<L>();
        for len in [0, 1, 3, large - 1, large, large + 1] {
            let mut pages = Pages::<L>::zeros(len).unwrap();
            assert_eq!(pages.len(), len);
            assert!(pages.iter().all(|x| *x == zero));
            pages.fill(other);
            assert!(pages.iter().all(|x| *x == other));
        }
    }

    #[test]
    fn memory_of_any_size_is_zero_and_can_be_written() {
        all_zero_then_written(Lanes::ZERO, Lanes([1.5; 16]));
        all_zero_then_written(HalfLanes([0; 16]), HalfLanes([7; 16]));
        all_zero_then_written(PairLanes([0; 16]), PairLanes([9; 16]));
    }

    #[test]
    fn memory_that_no_machine_has_is_refused() {
        assert!(Pages::<Lanes>::zeros(usize::MAX).is_err());
        assert!(Pages::<Lanes>::zeros(usize::MAX / 64 / 2).is_err());
    }
}
