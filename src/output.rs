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
    /// On file systems without hard links (FAT, exFAT, some network file systems) the target is created
    /// empty and then replaced by the file. A reader may find it empty meanwhile, and a process that is
    /// killed between the two leaves it so.
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
            Err(e) if is_without_links(&e) => {
                if !move_new(temporary, &self.target)? {
                    return Ok(false);
                }
                self.temporary = None;
            }
            Err(e) => return Err(e),
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

/// If true, a hard link failed with `error` because the file system has none, or no more of them.
fn is_without_links(error: &io::Error) -> bool {
    // EPERM (Linux for FAT and exFAT), also ERROR_INVALID_FUNCTION of Windows, and EOPNOTSUPP, for which
    // older versions of Rust have no kind. A folder that may not be written to is EACCES.
    let numbers: &[i32] = match std::env::consts::OS {
        "linux" | "android" => &[1, 95],
        "macos" => &[1, 45, 102],
        _ => &[1],
    };
    matches!(
        error.kind(),
        io::ErrorKind::Unsupported | io::ErrorKind::TooManyLinks
    ) || error.raw_os_error().is_some_and(|n| numbers.contains(&n))
}

/// Moves a file to a target unless something is there, without a hard link; returns false if so.
fn move_new(from: &Path, target: &Path) -> io::Result<bool> {
    // The place is taken first, by a name that only one process can create, and filled by the rename.
    match OpenOptions::new().write(true).create_new(true).open(target) {
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(e) => return Err(e),
    }
    if let Err(e) = fs::rename(from, target) {
        fs::remove_file(target).ok();
        return Err(e);
    }
    Ok(true)
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

    #[test]
    fn without_hard_links_one_of_many_succeeds_too() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("plan.json");
        let all: Vec<PathBuf> = (0..16)
            .map(|i| {
                let from = folder.path().join(format!("unfinished {i}"));
                fs::write(&from, i.to_string()).unwrap();
                from
            })
            .collect();
        let won: Vec<&PathBuf> = std::thread::scope(|scope| {
            let moves: Vec<_> = (all.iter())
                .map(|from| {
                    let path = &path;
                    scope.spawn(move || move_new(from, path).unwrap().then_some(from))
                })
                .collect();
            let won = moves.into_iter().filter_map(|h| h.join().unwrap());
            won.collect()
        });
        assert_eq!(won.len(), 1);
        let name = won[0].file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(name, format!("unfinished {text}"));
        assert!(!won[0].exists());
        // Where the file cannot be moved, its place is free again.
        let (none, free) = (folder.path().join("none"), folder.path().join("free"));
        move_new(&none, &free).unwrap_err();
        assert!(!free.exists());
    }

    #[test]
    fn only_file_systems_without_hard_links_take_the_other_way() {
        use io::ErrorKind::{
            NotFound, Other, ReadOnlyFilesystem, StorageFull, TooManyLinks, Unsupported,
        };

        for kind in [Unsupported, TooManyLinks] {
            assert!(is_without_links(&kind.into()), "{kind}");
        }
        for kind in [NotFound, StorageFull, ReadOnlyFilesystem, Other] {
            assert!(!is_without_links(&kind.into()), "{kind}");
        }
        // EPERM, EMLINK, ENOSYS and EOPNOTSUPP; ENOENT, EIO, EACCES, EXDEV, ENOSPC and EROFS.
        if cfg!(target_os = "linux") {
            let of = |number| is_without_links(&io::Error::from_raw_os_error(number));
            assert!([1, 31, 38, 95].into_iter().all(of));
            assert!(![2, 5, 13, 18, 28, 30].into_iter().any(of));
        }
        // Where an open file can be removed: a folder that went away is an error of its own, and nothing is created in its place.
        if cfg!(unix) {
            let folder = tempdir().unwrap();
            let inner = folder.path().join("inner");
            fs::create_dir(&inner).unwrap();
            let file = NewFile::create(inner.join("plan.json")).unwrap();
            fs::remove_dir_all(&inner).unwrap();
            assert_eq!(file.publish_new().unwrap_err().kind(), NotFound);
            assert!(!inner.exists());
        }
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
