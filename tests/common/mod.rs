//! Helpers shared by the integration tests.
#![allow(dead_code, reason = "each test binary uses some of them")]

use std::path::{Path, PathBuf};

use relscale::model::Batch;

/// A path under the shared test material, which stands beside the repository on the developers'
/// machines. Elsewhere the test says so and is skipped; with `CI=true` its absence is a failure.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/data")
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

/// A file or folder of the test fixtures.
pub(crate) fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(path)
}

/// Adds `ids` as one sequence with every token from the second on scored.
pub(crate) fn rolling(batch: &mut Batch, ids: &[u32]) {
    let segment = batch.segment(None, &ids[..ids.len() - 1]).unwrap();
    for (offset, &token) in ids[1..].iter().enumerate() {
        batch.target(segment, offset, token).unwrap();
    }
}
