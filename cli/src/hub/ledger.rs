//! Downloads of this process, and the disk budget that they must fit into.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Downloads of this process.
#[derive(Debug)]
pub(super) struct Ledger {
    budget: Option<u64>,
    /// Sizes of the downloaded blobs that are still there.
    blobs: BTreeMap<PathBuf, u64>,
    /// Snapshots that were used, least recently used first.
    snapshots: Vec<Snapshot>,
}

#[derive(Debug)]
struct Snapshot {
    folder: PathBuf,
    /// Number of values that hold it.
    users: usize,
    /// The links that this process made, each with its blob.
    links: Vec<(PathBuf, PathBuf)>,
}

impl Ledger {
    pub(super) fn new(budget: Option<u64>) -> Self {
        Self {
            budget,
            blobs: BTreeMap::new(),
            snapshots: Vec::new(),
        }
    }

    /// Holds a snapshot: it is not evicted before it is released.
    pub(super) fn take(&mut self, folder: &Path) {
        let place = self.snapshots.iter().position(|s| s.folder == folder);
        let mut snapshot = match place {
            Some(place) => self.snapshots.remove(place),
            None => Snapshot {
                folder: folder.to_owned(),
                users: 0,
                links: Vec::new(),
            },
        };
        snapshot.users += 1;
        self.snapshots.push(snapshot);
    }

    pub(super) fn release(&mut self, folder: &Path) {
        if let Some(snapshot) = self.snapshots.iter_mut().find(|s| s.folder == folder) {
            snapshot.users = snapshot.users.saturating_sub(1);
        }
    }

    /// Records a link that this process made, and the size of its blob if it downloaded that too.
    pub(super) fn add(&mut self, folder: &Path, link: PathBuf, blob: PathBuf, size: Option<u64>) {
        if let Some(size) = size {
            self.blobs.insert(blob.clone(), size);
        }
        if let Some(snapshot) = self.snapshots.iter_mut().find(|s| s.folder == folder) {
            snapshot.links.push((link, blob));
        }
    }

    /// Evicts snapshots that nobody holds until `bytes` more fit into the budget.
    ///
    /// # Errors
    /// The bytes in use if they do not fit.
    pub(super) fn room(&mut self, bytes: u64) -> Result<(), Shortage> {
        let Some(budget) = self.budget else {
            return Ok(());
        };
        loop {
            let used: u64 = self.blobs.values().sum();
            if used.saturating_add(bytes) <= budget {
                return Ok(());
            }
            let unused = (self.snapshots.iter()).position(|s| s.users == 0 && !s.links.is_empty());
            match unused {
                Some(place) => {
                    let snapshot = self.snapshots.remove(place);
                    self.evict(snapshot);
                }
                None => return Err(Shortage { budget, used }),
            }
        }
    }

    /// Removes the links of a snapshot, and the blobs that this process downloaded and that no other
    /// snapshot has.
    ///
    /// A file that cannot be removed stays and is no longer counted: nothing could be done about it, and
    /// the scores do not depend on it.
    fn evict(&mut self, snapshot: Snapshot) {
        crate::output::detail(&format!("removing {}", snapshot.folder.display()));
        for (link, blob) in snapshot.links {
            fs::remove_file(&link).ok();
            if self.blobs.contains_key(&blob) && !is_linked(&snapshot.folder, &blob) {
                fs::remove_file(&blob).ok();
                self.blobs.remove(&blob);
            }
        }
        // Stays if it holds files of others.
        fs::remove_dir(&snapshot.folder).ok();
    }
}

/// A budget that is too small.
#[derive(Debug)]
pub(super) struct Shortage {
    pub(super) budget: u64,
    /// Bytes of checkpoints that are in use.
    pub(super) used: u64,
}

/// True if some snapshot beside `folder`, or `folder` itself, has a link to the blob.
fn is_linked(folder: &Path, blob: &Path) -> bool {
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    let snapshots = folder.parent().map(entries).into_iter().flatten();
    let mut files = snapshots.flat_map(|snapshot| entries(&snapshot.path()).collect::<Vec<_>>());
    files.any(|file| {
        fs::read_link(file.path()).is_ok_and(|target| target.file_name() == blob.file_name())
    })
}
