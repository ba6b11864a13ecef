//! Files of logs: locks, and replacement at once.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::output::NewFile;

/// The lock of a writer, released when dropped.
///
/// Closing the file would release it too, were it not for child processes: one that is being started
/// meanwhile holds a copy of every open file, and with it the lock, until it runs its own program.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    /// Locks `<log>.lock`, creating it if needed.
    ///
    /// # Errors
    /// Another writer ([`io::ErrorKind::WouldBlock`]), or whatever the system refuses.
    pub(super) fn of(log: &Path) -> Result<Self, Error> {
        // A file of its own, because `compact` replaces the log: a lock on the old file would not
        // keep others from the new one.
        let path = beside(log, ".lock");
        refuse_link(&path)?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|e| Error::io(&path, e))?;
        // A lock of the system ends with its process. A file that only exists would outlive a kill.
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => {
                let reason = "another writer has the log open";
                let busy = io::Error::new(io::ErrorKind::WouldBlock, reason);
                Err(Error::io(log, busy))
            }
            Err(TryLockError::Error(e)) => Err(Error::io(&path, e)),
        }
    }
}

/// Refuses a symbolic link where a file of this crate's own is opened for writing: a stranger may have
/// placed it, and it may point anywhere.
pub(super) fn refuse_link(path: &Path) -> Result<(), Error> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => {
            Err(Error::format(path, "is a symbolic link; remove it"))
        }
        _ => Ok(()),
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // If the system refuses, closing the file still releases it.
        let _ = self.0.unlock();
    }
}

/// `path` with `suffix` appended to its name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Writes a file that takes the place of `path` once it is whole and on the disk ([`NewFile`]).
pub(super) fn replace<E: From<Error>>(
    path: &Path,
    write: impl FnOnce(&File) -> Result<(), E>,
) -> Result<(), E> {
    let io = |e| Error::io(path, e);
    let new = NewFile::create(path).map_err(io)?;
    write(new.file())?;
    Ok(new.publish().map_err(io)?)
}
