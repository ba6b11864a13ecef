//! The floating-point environment of the threads that compute.
//!
//! A host program may have told the processor to flush subnormal numbers to zero
//! (`torch.set_flush_denormal`), or to round in another direction. Both change bits, and threads inherit
//! both from the thread that starts them.

/// The environment of IEEE 754 and of Rust, until it is dropped: rounding to nearest, subnormal numbers as
/// they are, no traps. The caller's own environment is back afterwards.
#[must_use]
pub(crate) struct Standard {
    /// Control register of the caller, if it differs.
    before: Option<Register>,
}

impl Standard {
    pub(crate) fn new() -> Self {
        let now = read();
        let differs = now & CONTROL != STANDARD;
        if differs {
            write(now & !CONTROL | STANDARD);
        }
        Self {
            before: differs.then_some(now),
        }
    }

    /// Sets the environment for the rest of a thread of this crate.
    pub(crate) fn for_good() {
        std::mem::forget(Self::new());
    }
}

impl Drop for Standard {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            write(before);
        }
    }
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
mod register {
    use std::arch::asm;

    pub(super) type Register = u32;
    /// All bits of MXCSR but the six that record what happened: flush to zero (15), rounding (13 and 14),
    /// masks of traps (7 to 12), subnormal operands as zero (6).
    pub(super) const CONTROL: Register = 0xffc0;
    /// Every trap masked, nothing else.
    pub(super) const STANDARD: Register = 0x1f80;

    pub(super) fn read() -> Register {
        let mut value: Register = 0;
        // SAFETY: SSE is part of x86-64; the instruction writes the four bytes it is given and nothing
        // else.
        unsafe {
            asm!("stmxcsr [{}]", in(reg) &raw mut value, options(nostack, preserves_flags));
        }
        value
    }

    pub(super) fn write(value: Register) {
        // SAFETY: the instruction reads four bytes. Their bits are those that `read` returned on this
        // thread, with `CONTROL` as they were or as Rust assumes them, so that none is reserved.
        unsafe {
            asm!("ldmxcsr [{}]", in(reg) &raw const value, options(nostack, preserves_flags));
        }
    }
}

#[cfg(all(target_arch = "aarch64", not(miri)))]
mod register {
    use std::arch::asm;

    pub(super) type Register = u64;
    /// The bits of FPCR that change results: alternative half precision (26), default NaN (25), flush to
    /// zero (24), rounding (22 and 23), flush half precision (19), traps (8 to 12 and 15), and those of
    /// newer processors (0 to 2).
    pub(super) const CONTROL: Register = 0x07c8_9f07;
    pub(super) const STANDARD: Register = 0;

    pub(super) fn read() -> Register {
        let value: Register;
        // SAFETY: every program may read the register; nothing else changes.
        unsafe {
            asm!("mrs {}, fpcr", out(reg) value, options(nomem, nostack, preserves_flags));
        }
        value
    }

    pub(super) fn write(value: Register) {
        // SAFETY: every program may write the register. Its bits are those that `read` returned on this
        // thread, with `CONTROL` as they were or as Rust assumes them.
        unsafe {
            asm!("msr fpcr, {}", in(reg) value, options(nostack, preserves_flags));
        }
    }
}

/// Other processors have no such switch that a host program is known to use. Miri has none, and runs no
/// assembly.
#[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
mod register {
    pub(super) type Register = u32;
    pub(super) const CONTROL: Register = 0;
    pub(super) const STANDARD: Register = 0;

    pub(super) fn read() -> Register {
        0
    }

    pub(super) fn write(_: Register) {}
}

use register::{CONTROL, Register, STANDARD, read, write};

#[cfg(all(test, target_arch = "x86_64", not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_standard_inside_and_the_callers_own_afterwards() {
        let before = read();
        // Flush to zero, subnormal operands as zero, rounding up.
        let odd = before & !CONTROL | STANDARD | 0x8040 | 0x4000;
        write(odd);
        let inside = {
            let _environment = Standard::new();
            read()
        };
        let after = read();
        write(before);
        assert_eq!(inside & CONTROL, STANDARD);
        assert_eq!(after & CONTROL, odd & CONTROL);
    }
}
