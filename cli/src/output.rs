//! Standard output and standard error of the program.

use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// Writes `text` to standard output.
///
/// A reader that closed the pipe, as `relscale fit … | head` does, has seen enough: the rest is
/// dropped without an error, and the command goes on to write its files.
///
/// # Errors
/// Any other failure, such as a full disk.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Writes a line to standard error. Failures are ignored: there is no place left to report them.
pub fn note(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Writes non-fatal findings about a checkpoint to standard error, one per line.
pub fn warn(checkpoint: &Path, warnings: &[String]) {
    for warning in warnings {
        note(&format!("warning: {}: {warning}", checkpoint.display()));
    }
}
