//! Helpers shared by the integration tests.
#![allow(dead_code, reason = "each test binary uses some of them")]

use std::path::{Path, PathBuf};

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
