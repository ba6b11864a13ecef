//! Measures what a reader of a stranger's file allocates at its worst.
#![allow(dead_code, reason = "each test binary uses some of it")]

use std::sync::{Mutex, MutexGuard, PoisonError};

use peak_alloc::PeakAlloc;

#[global_allocator]
pub(crate) static MEMORY: PeakAlloc = PeakAlloc;

/// Bytes that may be allocated for a byte of a file: a number of JSON, `1,`, is two bytes in the
/// file and thirty-two in memory, with the list of them copied as it grows. Weights take far less.
const MULTIPLE: usize = 64;
/// And for any file: buffers.
const CONSTANT: usize = 4 << 20;

/// One measurement at a time; everything is counted.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs what reads `bytes` bytes and checks what it allocated at its worst.
#[track_caller]
pub(crate) fn bounded<T>(what: &str, bytes: usize, run: impl FnOnce() -> T) -> T {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let result = run();
    let peak = MEMORY.peak_usage().saturating_sub(before);
    println!(
        "{what}: {bytes} bytes, {:.1} times as many in memory",
        peak as f64 / bytes as f64
    );
    assert!(
        peak <= MULTIPLE * bytes + CONSTANT,
        "{what}: {peak} bytes allocated for {bytes}"
    );
    result
}

/// `part` as often as fits `bytes`, between `start` and `end`.
pub(crate) fn repeated(start: &str, part: &str, end: &str, bytes: usize) -> String {
    start.to_owned() + &part.repeat(bytes / part.len()) + end
}
