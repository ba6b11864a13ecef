//! Ctrl-C: the first ends the work at the next place where everything is saved, the second at once.

use std::error::Error;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::output::note;

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// True once signals are remembered.
static WATCHED: AtomicBool = AtomicBool::new(false);

/// The exit code of a process that SIGINT ends, as shells give it: 128 + 2.
const ENDED_BY_SIGINT: i32 = 130;

/// From now on Ctrl-C is remembered ([`requested`]) and does not end the process, but a second one does,
/// with exit code 130. So do the signals by which schedulers announce the end of a job (SIGTERM, SIGHUP).
/// A second call changes nothing.
///
/// # Errors
/// Whatever the system refuses.
pub fn watch() -> Result<(), ctrlc::Error> {
    // The system takes one handler, and a command may be made of others that watch.
    if WATCHED.swap(true, Ordering::SeqCst) {
        return Ok(());
    }
    ctrlc::set_handler(|| {
        if REQUESTED.swap(true, Ordering::SeqCst) {
            process::exit(ENDED_BY_SIGINT);
        }
        note("Stopping at the end of this batch; once more ends at once.");
    })
}

/// If true, the user asked to stop.
#[must_use]
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// Refuses to begin anything new once the user asked to stop.
///
/// # Errors
/// [`relscale::Error::Interrupted`].
pub fn check() -> Result<(), relscale::Error> {
    match requested() {
        true => Err(relscale::Error::Interrupted),
        false => Ok(()),
    }
}

/// If true, the error, or one that caused it, is that the user asked to stop.
#[must_use]
pub fn is_cause_of(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(relscale::Error::Interrupted) = error.downcast_ref() {
            return true;
        }
        next = error.source();
    }
    false
}
