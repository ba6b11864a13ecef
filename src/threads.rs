//! Work on as many threads as the machine has.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::OnceLock;
use std::thread::{self, Builder};

/// Number of threads that the machine runs at once.
pub(crate) fn cores() -> usize {
    // The question takes longer than many an answer is used for.
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| thread::available_parallelism().map_or(1, NonZero::get))
}

/// The results of `work` on this thread and on others, `threads` in all.
///
/// A machine that starts no further thread is served by the caller's own. A panic of any reaches the caller.
pub(crate) fn run<R: Send>(threads: usize, work: impl Fn() -> R + Sync) -> Vec<R> {
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads)
            .map_while(|_| Builder::new().spawn_scoped(scope, &work).ok())
            .collect();
        let mut found = vec![work()];
        for other in others {
            found.push(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        found
    })
}
