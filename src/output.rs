//! Files that appear whole or not at all.
//!
//! Every table, log, plan, report and figure is written through [`NewFile`]: to a file of its own beside
//! the target, which takes the target's place once all of it is on the disk. A process that is killed, a
//! full disk or a second process that writes to the same path can leave the old file or the new one, and
//! never a mixture.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A file that takes the place of another once it is whole.
///
/// It is written under a name that no other process has, in the folder of the target, and removed when it
/// is dropped before [`publish`](Self::publish). A symbolic link at the target is replaced and not
/// followed. A target that is a device or a pipe, or that stands under `/dev` (but for `/dev/shm`) or `/proc`, is written to
/// directly, since it cannot be replaced; if it stands for a regular file (`/dev/stdout`), at its end.
///
/// # Examples
/// ```
/// use std::io::Write;
/// use relscale::output::NewFile;
///
/// let path = std::env::temp_dir().join("relscale-doc-output.csv");
/// let mut file = NewFile::create(&path)?;
/// file.write_all(b"run,loss\n")?;
/// file.publish()?;
/// assert_eq!(std::fs::read(&path)?, b"run,loss\n");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct NewFile {
    file: File,
    target: PathBuf,
    /// Name of the file until it is published; `None` for a target that is written to directly.
    temporary: Option<PathBuf>,
}

impl NewFile {
    /// Creates the file that shall stand at `path`.
    ///
    /// # Errors
    /// A folder at `path`, or whatever the system refuses.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        let target = path.as_ref().to_owned();
        if is_device(&target)? {
            return Ok(Self {
                // `/dev/stdout` may be a file that already holds something (`>> all.csv`).
                file: OpenOptions::new().append(true).open(&target)?,
                target,
                temporary: None,
            });
        }
        loop {
            let temporary = beside(&target)?;
            // Neither a file nor a link of that name is opened: a stranger may have placed one.
            match OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&temporary)
            {
                Ok(file) => {
                    return Ok(Self {
                        file,
                        target,
                        temporary: Some(temporary),
                    });
                }
                // Left by a killed process, or of one with the same number on another machine. The
                // counter moves on, so that this ends.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// The file, for writers that take one.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Puts the file in the place of the target, whatever was there, once it is on the disk.
    ///
    /// # Errors
    /// Whatever the system refuses. The target is then as it was.
    pub fn publish(mut self) -> io::Result<()> {
        let Some(temporary) = &self.temporary else {
            return self.file.flush();
        };
        // Before the rename: some file systems write the new name before the data, and a power cut
        // between them would leave an empty file.
        self.file.sync_all()?;
        fs::rename(temporary, &self.target)?;
        self.temporary = None;
        sync_folder(&self.target);
        Ok(())
    }

    /// Puts the file at the target unless something is there; returns false if so.
    ///
    /// Of several processes that do this at once, one succeeds.
    ///
    /// # Errors
    /// Whatever the system refuses.
    pub fn publish_new(mut self) -> io::Result<bool> {
        let Some(temporary) = &self.temporary else {
            return self.file.flush().map(|()| true);
        };
        self.file.sync_all()?;
        // A rename would replace what another process has put there since anybody looked.
        match fs::hard_link(temporary, &self.target) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            // File systems without hard links. The place is taken first, by a name that only one
            // process can create, and filled by the rename.
            Err(_) => {
                let mut options = OpenOptions::new();
                match options.write(true).create_new(true).open(&self.target) {
                    Ok(_) => {
                        if let Err(e) = fs::rename(temporary, &self.target) {
                            fs::remove_file(&self.target).ok();
                            return Err(e);
                        }
                    }
                    Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
                    Err(e) => return Err(e),
                }
                self.temporary = None;
            }
        }
        sync_folder(&self.target);
        // The second name is removed as the file is dropped.
        Ok(true)
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // A full disk needs the room. What cannot be removed is no further error.
            fs::remove_file(temporary).ok();
        }
    }
}

/// Writes `bytes` to `path`, which has them all or stays as it was.
///
/// # Errors
/// As [`NewFile::create`] and [`NewFile::publish`].
///
/// # Examples
/// ```
/// let path = std::env::temp_dir().join("relscale-doc-output.json");
/// relscale::output::write(&path, "{}\n")?;
/// assert_eq!(std::fs::read_to_string(&path)?, "{}\n");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn write(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    let mut file = NewFile::create(path)?;
    file.write_all(bytes.as_ref())?;
    file.publish()
}

/// Creates a folder and those above it that are missing. Their names are then on the disk, so that a power
/// cut loses no file that was written into the folder and synchronised.
///
/// # Errors
/// Whatever the system refuses.
///
/// # Examples
/// ```
/// let folder = std::env::temp_dir().join("relscale-doc-folder/logs");
/// relscale::output::create_folder(&folder)?;
/// assert!(folder.is_dir());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn create_folder(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref();
    let above = path.ancestors().filter(|p| !p.as_os_str().is_empty());
    let missing: Vec<&Path> = above.take_while(|p| !p.is_dir()).collect();
    fs::create_dir_all(path)?;
    missing.into_iter().for_each(sync_folder);
    Ok(())
}

/// Makes the name of a new file durable, on systems that can. A failure costs only that.
pub(crate) fn sync_folder(path: &Path) {
    // Not every system can sync a folder. The data are safe without it, so a failure is no error.
    if let Ok(folder) = File::open(folder(path)) {
        folder.sync_all().ok();
    }
}

fn folder(path: &Path) -> &Path {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// If true, `path` names a device, a pipe or an open file of a process, which cannot be replaced.
///
/// # Errors
/// A folder.
fn is_device(path: &Path) -> io::Result<bool> {
    // `/dev/stdout` is a link, and the output of a program may be a regular file: replacing the link
    // would change the machine. `/dev/shm` is a file system like any other.
    let is_special = ["/dev", "/proc"].iter().any(|root| path.starts_with(root));
    if is_special && !path.starts_with("/dev/shm") {
        return Ok(true);
    }
    let Ok(found) = fs::symlink_metadata(path) else {
        return Ok(false);
    };
    if found.is_dir() {
        let message = "is a folder";
        return Err(io::Error::new(io::ErrorKind::IsADirectory, message));
    }
    if found.is_symlink() {
        // A link to a pipe or a device stands for it; a link to a file is replaced.
        return Ok(fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()));
    }
    Ok(!found.is_file())
}

/// A name for the unfinished file of `path`, in its folder because a rename does not cross file systems.
///
/// # Errors
/// A path without a name.
fn beside(path: &Path) -> io::Result<PathBuf> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().ok_or_else(|| {
        let message = "is not the name of a file";
        io::Error::new(io::ErrorKind::InvalidInput, message)
    })?;
    let name = name.to_string_lossy();
    // Names have 255 bytes at most on common file systems, and the target may use all of them.
    let mut end = name.len().min(120);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    let (process, number) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let temporary = format!(".{}.{process}-{number}.tmp", &name[..end]);
    Ok(folder(path).join(temporary))
}

#[cfg(test)]
mod tests {
    use super::*;

    use tempfile::{TempDir, tempdir};

    fn names(folder: &TempDir) -> Vec<String> {
        let entries = fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn two_writers_of_one_path_each_publish_a_whole_file() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("table.csv");
        // One is half-way while the other begins, is lost, or ends.
        let mut first = NewFile::create(&path).unwrap();
        first.write_all(&[b'a'; 1000]).unwrap();
        let mut second = NewFile::create(&path).unwrap();
        second.write_all(b"bb").unwrap();
        first.write_all(&[b'a'; 1000]).unwrap();
        first.publish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), [b'a'; 2000]);
        drop(second);
        assert_eq!(fs::read(&path).unwrap(), [b'a'; 2000]);
        assert_eq!(names(&folder), ["table.csv"]);
    }

    #[test]
    fn of_many_that_create_a_file_at_once_one_succeeds() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("plan.json");
        let won = std::thread::scope(|scope| {
            let run = |text: String| {
                let mut file = NewFile::create(&path).unwrap();
                file.write_all(text.as_bytes()).unwrap();
                file.publish_new().unwrap().then_some(text)
            };
            let all: Vec<_> = (0..16)
                .map(|i| scope.spawn(move || run(i.to_string())))
                .collect();
            all.into_iter()
                .filter_map(|h| h.join().unwrap())
                .collect::<Vec<_>>()
        });
        assert_eq!(won.len(), 1);
        assert_eq!(fs::read_to_string(&path).unwrap(), won[0]);
        assert_eq!(names(&folder), ["plan.json"]);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_replaced_and_not_followed() {
        let folder = tempdir().unwrap();
        let (other, path) = (folder.path().join("other"), folder.path().join("out.csv"));
        fs::write(&other, "precious").unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        write(&path, "new").unwrap();
        assert_eq!(fs::read_to_string(&other).unwrap(), "precious");
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        // A link at every name that the unfinished file could have next.
        let next = beside(&path).unwrap();
        let next = next.to_str().unwrap();
        let at = next.rfind('-').unwrap();
        let number: u64 = next[at + 1..].trim_end_matches(".tmp").parse().unwrap();
        for number in number..number + 50 {
            let name = format!("{}-{number}.tmp", &next[..at]);
            std::os::unix::fs::symlink(&other, name).unwrap();
        }
        write(&path, "newer").unwrap();
        assert_eq!(fs::read_to_string(&other).unwrap(), "precious");
        assert_eq!(fs::read_to_string(&path).unwrap(), "newer");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn files_in_shared_memory_appear_whole_too() {
        if !Path::new("/dev/shm").is_dir() {
            return;
        }
        let path = Path::new("/dev/shm").join(format!("relscale-output-{}", std::process::id()));
        let mut file = NewFile::create(&path).unwrap();
        file.write_all(b"half").unwrap();
        assert!(!path.exists());
        file.publish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"half");
        fs::remove_file(path).unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_open_file_keeps_its_contents() {
        use std::os::fd::AsRawFd;

        let folder = tempdir().unwrap();
        let path = folder.path().join("all.csv");
        fs::write(&path, "first\n").unwrap();
        let open = File::open(&path).unwrap();
        // As `/dev/stdout` is a link to the file that a shell has opened.
        write(format!("/proc/self/fd/{}", open.as_raw_fd()), "second\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "first\nsecond\n");
        write("/dev/null", "nothing").unwrap();
    }

    #[test]
    fn the_longest_names_and_folders_in_their_place() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("分".repeat(85));
        write(&path, "x").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"x");
        assert!(NewFile::create(folder.path()).is_err());
        assert!(NewFile::create(folder.path().join("none/file")).is_err());
    }
}
