//! Files that appear whole: locks, replacement at once, names that survive a power cut.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;

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

/// Writes a file beside `path` that takes its place once it is whole and on the disk. An existing
/// `path` that is no regular file, such as a pipe, is written to directly.
pub(super) fn replace<E: From<Error>>(
    path: &Path,
    write: impl FnOnce(&File) -> Result<(), E>,
) -> Result<(), E> {
    // The caller means the file a link points to, not the link.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    // `/dev/stdout` and other devices cannot be replaced, only written to.
    if target.exists() && !target.is_file() {
        let file = OpenOptions::new().write(true).open(&target);
        return write(&file.map_err(|e| Error::io(path, e))?);
    }
    // In the same folder, because a rename does not cross file systems.
    let temporary = beside(&target, ".tmp");
    let io = |e| Error::io(&temporary, e);
    let file = File::create(&temporary).map_err(io)?;
    let done = write(&file).and_then(|()| {
        // Before the rename: some file systems write the new name before the data, and a power cut
        // between them would leave an empty file.
        file.sync_all().map_err(io)?;
        fs::rename(&temporary, &target).map_err(|e| Error::io(path, e).into())
    });
    if done.is_ok() {
        sync_folder(&target);
    } else {
        // A full disk needs the room.
        fs::remove_file(&temporary).ok();
    }
    done
}

/// Makes the name of a new file durable, on systems that can. A failure costs only that.
pub(super) fn sync_folder(path: &Path) {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    // Not every system can sync a folder. The data are safe without it, so a failure is no error.
    if let Ok(folder) = File::open(folder.unwrap_or(Path::new("."))) {
        folder.sync_all().ok();
    }
}
