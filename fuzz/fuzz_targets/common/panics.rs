//! Panics of libraries under a reader.

use std::sync::Once;

/// Leaves panics of a library to the reader, which makes errors of them. The fuzzer's own hook would end
/// the process before; one that leaves the target still ends it.
pub fn let_panics_unwind() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            if panic
                .location()
                .is_some_and(|at| !at.file().contains("registry"))
            {
                eprintln!("{panic}");
            }
        }));
    });
}
