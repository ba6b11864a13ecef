//! Helpers shared by the integration tests.
#![allow(dead_code, reason = "each test binary uses some of them")]

#[path = "../../../tests/common/folder.rs"]
pub(crate) mod folder;

use std::ffi::OsString;
use std::fs;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A path under the test material that is not part of the repository; it stands beside it on the
/// developers' machines. Tests that call this are in a module `material` and ignored by default:
/// `cargo test -- --ignored material::` runs them, and fails where the material is missing.
pub(crate) fn material(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/data")
        .join(path);
    assert!(path.exists(), "{} is missing", path.display());
    path
}

/// The program, or another build of it that `RELSCALE_PROGRAM` names: `.ci/release` has one whose panics abort.
pub(crate) fn program() -> OsString {
    std::env::var_os("RELSCALE_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_relscale").into())
}

/// The output of the program.
pub(crate) fn relscale(arguments: &[&str]) -> Output {
    let mut program = Command::new(program());
    program.args(arguments).output().unwrap()
}

/// A path of the committed suite.
pub(crate) fn suite(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../suite")
        .join(path);
    path.to_str().unwrap().to_owned()
}

/// A temporary file of this process and of the calling module, so that two modules may use one name.
#[track_caller]
pub(crate) fn file(name: &str) -> PathBuf {
    let caller = Path::new(Location::caller().file()).file_stem().unwrap();
    let folder = format!("relscale-{}-{}", caller.display(), std::process::id());
    let folder = std::env::temp_dir().join(folder);
    fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

/// Copies the files of a folder, which has no folders.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
