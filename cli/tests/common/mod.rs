//! Helpers shared by the integration tests.
#![allow(dead_code, reason = "each test binary uses some of them")]

use std::path::{Path, PathBuf};

/// A path under the shared test material, which stands beside the repository on the developers'
/// machines. Elsewhere the test says so and is skipped; with `CI=true` its absence is a failure.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/data")
        .join(path);
    if path.exists() {
        return Some(path);
    }
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "{} is not there, and CI=true",
        path.display()
    );
    println!("skipped: {} is not there", path.display());
    None
}
