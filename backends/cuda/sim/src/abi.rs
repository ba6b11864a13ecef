//! The C interfaces. The only unsafe code of the package: pointers that callers hand over.

mod cublaslt;
mod cuda;

use std::any::Any;

/// Writes a result through a pointer of the caller.
///
/// # Safety
///
/// `to` is null or points to memory of the caller that holds a `T`.
unsafe fn put<T>(to: *mut T, value: T) -> bool {
    if to.is_null() {
        return false;
    }
    // SAFETY: not null, and the caller of the C function owns a T there.
    unsafe { to.write(value) };
    true
}

/// Host memory of the caller, to be used by deferred work.
struct HostMemory {
    at: *mut u8,
    bytes: usize,
}

// SAFETY: the pointer is only used under the lock of the machine, by the work that owns it.
unsafe impl Send for HostMemory {}

impl HostMemory {
    fn copy_in(&self) -> Vec<u8> {
        let mut data = vec![0_u8; self.bytes];
        // SAFETY: the caller of the C function vouches for `bytes` readable bytes at `at` until the
        // copy is done, and `data` is of that size.
        unsafe { std::ptr::copy_nonoverlapping(self.at, data.as_mut_ptr(), self.bytes) };
        data
    }

    fn copy_out(&self, data: &[u8]) {
        let n = data.len().min(self.bytes);
        // SAFETY: the caller of the C function vouches for `bytes` writable bytes at `at` until the
        // copy is done, and `n` is at most that and the size of `data`.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), self.at, n) };
    }
}

/// The message of a panic.
fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!(
        "internal error of the simulator: {}",
        text.unwrap_or("panic")
    )
}
