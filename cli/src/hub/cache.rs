//! The cache of hub files on disk, in the layout of `huggingface_hub`.
//!
//! `models--ORG--NAME/blobs/ETAG` holds a file, `snapshots/COMMIT/FILE` is a link to it, and
//! `refs/REVISION` has the commit of a revision.

use std::env;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use relscale::{Error, output};

use super::HubAddress;
use super::files::Listing;

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
        if fs::read_to_string(&path).is_ok_and(|there| there.trim() == commit) {
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
        let text = match fs::read_to_string(&path) {
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
