//! The cache of hub files on disk, in the layout of `huggingface_hub`.
//!
//! `models--ORG--NAME/blobs/ETAG` holds a file, `snapshots/COMMIT/FILE` is a link to it, and
//! `refs/REVISION` has the commit of a revision.

use std::env;
use std::fs;
#[cfg(feature = "hub")]
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use relscale::{Error, input, output};

use super::HubAddress;
use super::files::Listing;

/// Largest accepted file of a reference, which is a commit of forty digits.
const MAX_REFERENCE_BYTES: u64 = 1 << 12;

/// The folder of cache and token.
pub(super) fn home() -> Result<PathBuf, Error> {
    if let Some(home) = variable("HF_HOME") {
        return Ok(home.into());
    }
    let caches = match variable("XDG_CACHE_HOME") {
        Some(caches) => Some(PathBuf::from(caches)),
        None => env::home_dir().map(|home| home.join(".cache")),
    };
    caches
        .map(|caches| caches.join("huggingface"))
        .ok_or_else(|| Error::Option {
            option: "HF_HOME",
            message: "no home folder is known; set it to the folder of the hub's cache".to_owned(),
        })
}

/// A variable of the environment that is neither empty nor other than Unicode.
pub(super) fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// If true, the hub is not to be asked.
pub(super) fn is_offline() -> bool {
    // The words that huggingface_hub takes for true.
    variable("HF_HUB_OFFLINE").is_some_and(|value| {
        ["1", "on", "yes", "true"].contains(&value.trim().to_lowercase().as_str())
    })
}

/// The cache.
#[derive(Debug)]
pub(super) struct Cache {
    root: PathBuf,
}

impl Cache {
    pub(super) fn from_env(home: &Path) -> Self {
        let root = match variable("HF_HUB_CACHE") {
            Some(root) => root.into(),
            None => home.join("hub"),
        };
        // Links are relative to the blobs, and both must be found from any working directory.
        Self {
            root: std::path::absolute(&root).unwrap_or(root),
        }
    }

    /// The folder of a repository.
    pub(super) fn repository(&self, address: &HubAddress) -> PathBuf {
        let name = address.repository().replace('/', "--");
        self.root.join(format!("models--{name}"))
    }

    /// The folder of a commit's files.
    pub(super) fn snapshot(&self, address: &HubAddress, commit: &str) -> PathBuf {
        self.repository(address).join("snapshots").join(commit)
    }

    /// The file with the contents that a tag of the hub names.
    #[cfg(feature = "hub")]
    pub(super) fn blob(&self, address: &HubAddress, etag: &str) -> PathBuf {
        self.repository(address).join("blobs").join(etag)
    }

    /// The file that is locked while a blob is downloaded, also by `huggingface_hub`.
    #[cfg(feature = "hub")]
    pub(super) fn lock(&self, address: &HubAddress, etag: &str) -> PathBuf {
        let name = address.repository().replace('/', "--");
        let folder = self.root.join(".locks").join(format!("models--{name}"));
        folder.join(format!("{etag}.lock"))
    }

    /// Records the commit of a revision.
    pub(super) fn remember(&self, address: &HubAddress, commit: &str) -> Result<(), Error> {
        if address.commit().is_some() {
            return Ok(());
        }
        let path = self
            .repository(address)
            .join("refs")
            .join(address.revision());
        let there = replaceable(&path, MAX_REFERENCE_BYTES)?;
        if there.is_some_and(|there| there.trim() == commit) {
            return Ok(());
        }
        let written = path
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| output::write(&path, commit));
        written.map_err(|e| Error::io(&path, e))
    }

    /// The commit that a revision stood for when the hub was asked last.
    fn commit(&self, address: &HubAddress) -> Result<Option<String>, Error> {
        if let Some(commit) = address.commit() {
            return Ok(Some(commit.to_owned()));
        }
        let path = self
            .repository(address)
            .join("refs")
            .join(address.revision());
        let text = match input::text(&path, MAX_REFERENCE_BYTES) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|e| Error::io(&path, e))?,
        };
        let commit = address.at(text.trim());
        match commit.commit() {
            Some(commit) => Ok(Some(commit.to_owned())),
            None => Err(Error::format(path, "is not the hash of a commit")),
        }
    }

    /// The files of a checkpoint that are in the cache. None if its commit is not known.
    ///
    /// The folder of the commit may be missing: a revision whose scores are complete is not read.
    pub(super) fn listing(&self, address: &HubAddress) -> Result<Option<Listing>, Error> {
        let Some(commit) = self.commit(address)? else {
            return Ok(None);
        };
        let snapshot = self.snapshot(address, &commit);
        let io = |e: io::Error| Error::io(&snapshot, e);
        let mut names = Vec::new();
        match fs::read_dir(&snapshot) {
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            entries => {
                for entry in entries.map_err(io)? {
                    names.extend(entry.map_err(io)?.file_name().into_string());
                }
            }
        }
        Ok(Some(Listing {
            commit,
            names,
            is_local: true,
        }))
    }
}

/// The text of a small file that is written again unless it says what it should. None if there is none or
/// it cannot be read.
///
/// # Errors
/// A pipe, a device or a folder, which cannot be written again: a pipe would hold up the attempt.
pub(super) fn replaceable(path: &Path, limit: u64) -> Result<Option<String>, Error> {
    match input::text(path, limit) {
        Ok(text) => Ok(Some(text)),
        Err(e) if fs::metadata(path).is_ok_and(|found| !found.is_file()) => Err(Error::io(path, e)),
        Err(_) => Ok(None),
    }
}

/// Opens a file of the cache for reading and appending, and creates it if necessary.
///
/// A symbolic link is not followed: whoever shares the cache may have placed it, and it may point to any
/// file of this user.
///
/// # Errors
/// A link, a pipe or anything else that is no regular file; whatever the system refuses.
#[cfg(feature = "hub")]
pub(super) fn writable(path: &Path) -> Result<File, Error> {
    let io = |e| Error::io(path, e);
    let mut options = OpenOptions::new();
    options.read(true).append(true);
    // The system makes no new file through a link.
    match options.clone().create_new(true).open(path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
        new => return new.map_err(io),
    }
    // Before the file is opened: a pipe would wait for a reader.
    regular(path)?;
    let file = options.open(path).map_err(io)?;
    // Something else may have taken its place since then. Nothing has been written yet.
    let found = regular(path)?;
    match is_same(&found, &file.metadata().map_err(io)?) {
        true => Ok(file),
        false => Err(Error::format(path, "was replaced while it was opened")),
    }
}

/// The metadata of a regular file that is no link.
#[cfg(feature = "hub")]
fn regular(path: &Path) -> Result<Metadata, Error> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => {
            Err(Error::format(path, "is a symbolic link; remove it"))
        }
        Ok(found) if !found.is_file() => {
            Err(Error::format(path, "is not a regular file; remove it"))
        }
        found => found.map_err(|e| Error::io(path, e)),
    }
}

/// If true, both are of one file.
#[cfg(all(feature = "hub", unix))]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// The standard library does not tell elsewhere. Links need a privilege on Windows.
#[cfg(all(feature = "hub", not(unix)))]
fn is_same(_: &Metadata, _: &Metadata) -> bool {
    true
}
