//! Checkpoints that stay what their hashes say, from hashing to loading.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use super::hash::{Reading, read_checkpoint};
use crate::checkpoint::Checkpoint;
use crate::error::Error;

/// A checkpoint whose files are watched: for its hash, and for loading what was hashed.
///
/// The hash says what is scored only if the files that are loaded are those that were hashed. A pin notes
/// size and times of every file before either, and [`ensure_unchanged`](Self::ensure_unchanged) compares
/// them after both.
///
/// # Examples
/// ```no_run
/// # use relscale::backend::Reference;
/// use relscale::log::CheckpointPin;
/// use relscale::model::Transformer;
///
/// let pin = CheckpointPin::of("checkpoint")?;
/// let hash = pin.hash()?;
/// let model = Transformer::load("checkpoint", Reference::<f32>::new())?;
/// pin.ensure_unchanged()?;
/// # Ok::<(), relscale::Error>(())
/// ```
#[derive(Debug)]
pub struct CheckpointPin {
    checkpoint: Checkpoint,
    /// The files of the hash and of which nothing else may change.
    files: Vec<(PathBuf, Stamp)>,
    hash: OnceLock<String>,
}

/// Seconds and nanoseconds since 1970.
type Moment = (i64, i64);
/// Device and number of a file.
type Place = (u64, u64);

/// Outward marks of a file at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    size: u64,
    modified: Option<SystemTime>,
    /// Time of the last change of content, name or marks, which no program can set.
    changed: Option<Moment>,
    /// Some network file systems number a file anew each time.
    place: Option<Place>,
    /// If true, the file changed so shortly before that its times could hide another change.
    recent: bool,
}

/// Longest step of the clock of a file system in use (FAT: 2 s), with a margin for two clocks.
const STEP: Duration = Duration::from_secs(3);

impl Stamp {
    pub(super) fn of(path: &Path) -> Result<Self, Error> {
        let found = fs::metadata(path).map_err(|e| Error::io(path, e))?;
        let modified = found.modified().ok();
        let (changed, place) = numbers(&found);
        let last = match changed {
            Some((seconds, _)) => u64::try_from(seconds)
                .ok()
                .and_then(|s| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(s))),
            None => None,
        };
        let before = SystemTime::now().checked_sub(STEP);
        Ok(Self {
            size: found.len(),
            modified,
            changed,
            place,
            // Without a time that no program can set, only the content tells.
            recent: last.zip(before).is_none_or(|(last, before)| last >= before),
        })
    }

    /// If true, the content cannot be the same, or was written anew.
    fn is_changed(&self, now: &Self) -> bool {
        (self.size, self.modified, self.changed) != (now.size, now.modified, now.changed)
    }
}

#[cfg(unix)]
fn numbers(found: &Metadata) -> (Option<Moment>, Option<Place>) {
    use std::os::unix::fs::MetadataExt;
    let changed = (found.ctime(), found.ctime_nsec());
    (Some(changed), Some((found.dev(), found.ino())))
}

#[cfg(not(unix))]
fn numbers(_: &Metadata) -> (Option<Moment>, Option<Place>) {
    (None, None)
}

impl CheckpointPin {
    /// Notes the files of a checkpoint without reading them.
    ///
    /// # Errors
    /// As [`checkpoint_hash`](super::checkpoint_hash).
    pub fn of(checkpoint: impl Into<Checkpoint>) -> Result<Self, Error> {
        let checkpoint = checkpoint.into();
        Ok(Self {
            files: read_checkpoint(&checkpoint, Reading::Stamps)?.1,
            checkpoint,
            hash: OnceLock::new(),
        })
    }

    /// The [`checkpoint_hash`](super::checkpoint_hash), computed at the first call.
    ///
    /// # Errors
    /// As there.
    pub fn hash(&self) -> Result<String, Error> {
        if let Some(hash) = self.hash.get() {
            return Ok(hash.clone());
        }
        let (hash, _) = read_checkpoint(&self.checkpoint, Reading::Content)?;
        Ok(self.hash.get_or_init(|| hash).clone())
    }

    /// Refuses a checkpoint of which a file was changed, added or removed since it was pinned.
    ///
    /// To be called after loading. Sizes and times of the files decide. Files that changed within seconds
    /// before they were pinned are read and hashed again, and so are all where the system has no time of
    /// the last change that programs cannot set.
    ///
    /// # Errors
    /// The first file that changed, or the checkpoint if its hash differs.
    pub fn ensure_unchanged(&self) -> Result<(), Error> {
        let changed = |path: &Path| {
            let message = "changed while the checkpoint was read; nothing was scored with it: try again \
                           once it is complete";
            Err(Error::format(path, message))
        };
        let (_, now) = read_checkpoint(&self.checkpoint, Reading::Stamps)?;
        for (at, (path, before)) in self.files.iter().enumerate() {
            match now.get(at) {
                Some((same, after)) if same == path && !before.is_changed(after) => {}
                _ => return changed(path),
            }
        }
        if let Some((path, _)) = now.get(self.files.len()) {
            return changed(path);
        }
        let pairs = || self.files.iter().zip(&now);
        if pairs().any(|((_, a), (_, b))| a.recent || a.place != b.place) {
            let before = self.hash()?;
            if read_checkpoint(&self.checkpoint, Reading::Content)?.0 != before {
                return changed(self.checkpoint.path());
            }
        }
        Ok(())
    }
}
