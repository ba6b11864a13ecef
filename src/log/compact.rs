//! Logs that are closed and rewritten in the order of their items.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::Log;
use super::file::replace;
use super::format::{devices_line, header_line, record_line, warnings_line};
use crate::error::Error;

impl Log {
    /// Closes the log and rewrites its records in the order of their ids. Two logs of the same scores by
    /// the same devices become the same bytes, however often each was interrupted.
    ///
    /// The new file replaces the old one at once or not at all.
    ///
    /// # Errors
    /// Whatever the system refuses.
    pub fn compact(self) -> Result<(), Error> {
        self.compact_to(&self.path)
    }

    /// Closes the log as [`Log::compact`] does, and moves it to another path. A file that exists
    /// there is replaced at once or not at all.
    ///
    /// # Errors
    /// Whatever the system refuses.
    pub fn move_to(self, path: impl AsRef<Path>) -> Result<(), Error> {
        // Written first, removed then: a crash between the two leaves both files, never none.
        self.compact_to(path.as_ref())?;
        fs::remove_file(&self.path).map_err(|e| Error::io(&self.path, e))
    }

    fn compact_to(&self, path: &Path) -> Result<(), Error> {
        let io = |e| Error::io(path, e);
        let (header, seed) = header_line(path, self.table.key())?;
        replace(path, |file| {
            let mut out = BufWriter::new(file);
            out.write_all(header.as_bytes()).map_err(io)?;
            let warnings = self.table.warnings();
            if !warnings.is_empty() {
                let line = warnings_line(path, warnings, &seed)?;
                out.write_all(line.as_bytes()).map_err(io)?;
            }
            let devices = self.table.devices();
            if !devices.is_empty() {
                let line = devices_line(path, devices, &seed)?;
                out.write_all(line.as_bytes()).map_err(io)?;
            }
            // The map is in the order of ids, which makes the bytes independent of the order of
            // scoring.
            for (id, record) in self.table.records() {
                let line = record_line(path, id, record, &seed)?;
                out.write_all(line.as_bytes()).map_err(io)?;
            }
            out.flush().map_err(io)
        })
    }
}
