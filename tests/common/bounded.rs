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

/// Hands files of JSON lines that no honest program writes to `read`, each with its description.
pub(crate) fn hostile_lines(read: impl Fn(&str, String)) {
    let mb = 1 << 20;
    for (what, line) in [
        ("a line without end", "a".repeat(8 * mb)),
        (
            "a string without end",
            repeated(r#"{"id": ""#, "a", "", 8 * mb),
        ),
        (
            "a text of megabytes",
            repeated(r#"{"id": 1, "text": ""#, "a", r#""}"#, 8 * mb),
        ),
        ("arrays in arrays", repeated(r#"{"id": "#, "[", "", mb)),
        (
            "lists for an id",
            repeated(r#"{"id": ["#, "[],", "[]]}", mb),
        ),
        (
            "tokens",
            repeated(r#"{"id": 1, "tokens": ["#, "1,", "1]}", mb),
        ),
        (
            "empty choices",
            repeated(
                r#"{"id": 1, "gold": 0, "context": "", "choices": ["#,
                r#""","#,
                r#"""]}"#,
                mb,
            ),
        ),
        (
            "empty choices of tokens",
            repeated(
                r#"{"id": 1, "gold": 0, "context_tokens": [], "choices_tokens": ["#,
                "[],",
                "[]]}",
                mb,
            ),
        ),
        (
            "what is ignored",
            repeated(r#"{"id": 1, "text": "a", "x": ["#, "[],", "[]]}", mb),
        ),
        (
            "a gold beyond the choices",
            r#"{"id": 1, "context": "", "choices": ["a"], "gold": 18446744073709551615}"#
                .to_owned(),
        ),
    ] {
        read(what, format!("{line}\n"));
    }
    let twice = [r#"{"id": 1, "text": "a"}"#; 2].join("\n");
    read("ids that come again", twice);
    let short = (0..50_000).map(|i| format!("{{\"id\":{i},\"text\":\"a\"}}\n"));
    read("short lines without end", short.collect());
}
