//! A folder of a test's own.
#![allow(dead_code, reason = "each test binary uses some of it")]

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::{Builder, TempDir};

/// A folder that is removed with its contents when it is dropped.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self::below(&std::env::temp_dir())
    }

    pub(crate) fn below(parent: &Path) -> Self {
        // The names that tempfile gives begin with a dot, and readers skip what is hidden.
        Self(
            Builder::new()
                .prefix("relscale-")
                .tempdir_in(parent)
                .unwrap(),
        )
    }

    /// With the files of `from`, which has no folders.
    pub(crate) fn copy(from: &Path) -> Self {
        let folder = Self::new();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file, and the folders that `name` has.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.file(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Bytes of its files.
    pub(crate) fn size(&self) -> usize {
        let entries = fs::read_dir(self.path()).unwrap();
        entries
            .map(|e| e.unwrap().metadata().unwrap().len() as usize)
            .sum()
    }
}
