//! Hashes of checkpoints on the hub, kept beside their logs.

use std::fs;
use std::path::{Path, PathBuf};

use relscale::Error;
use relscale::ladder::TrainedRun;
use relscale::log::CheckpointPin;
use relscale::output;
use serde::{Deserialize, Serialize};

use super::cache::replaceable;
use super::{Held, Hub, is_address};

/// Largest accepted file of a hash and the two addresses that it belongs to.
const MAX_MEMO_BYTES: u64 = 1 << 20;

/// The hash of a checkpoint at a commit, which never changes.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Memo {
    /// Another version may hash other files.
    version: String,
    checkpoint: PathBuf,
    base: Option<PathBuf>,
    hash: String,
}

/// A pinned checkpoint ([`Hub::pin_run`]) whose hash is known, and which is on disk once it is needed.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) hash: String,
    held: Option<(Held, CheckpointPin)>,
}

impl Known {
    /// Takes the hash from `folder`, the logs of the run, or else computes it and leaves it there.
    ///
    /// A run whose scores are complete needs no file of its checkpoint then, which may have been removed
    /// to make room for others.
    ///
    /// # Errors
    /// Those of [`Hub::hold`]; a checkpoint that cannot be hashed; a pipe or a device in the place of the
    /// hash.
    pub(crate) fn of(hub: &Hub, place: &TrainedRun, folder: &Path) -> Result<Self, Error> {
        // A folder on disk may change from run to run.
        let is_kept = is_address(&place.checkpoint) && place.base.as_deref().is_none_or(is_address);
        let path = folder.join("checkpoint.json");
        let memo = |hash: &str| Memo {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            checkpoint: place.checkpoint.clone(),
            base: place.base.clone(),
            hash: hash.to_owned(),
        };
        if is_kept
            // One that cannot be read is written again.
            && let Some(there) = replaceable(&path, MAX_MEMO_BYTES)?
            && let Ok(there) = serde_json::from_str::<Memo>(&there)
            && there == memo(&there.hash)
        {
            let hash = there.hash;
            return Ok(Self { hash, held: None });
        }
        let held = hub.hold(&place.checkpoint, place.base.as_deref())?;
        let pin = CheckpointPin::of(held.checkpoint())?;
        let hash = pin.hash()?;
        // The base that an adapter names itself may be a folder on disk.
        let names_base = place.base.is_none() && held.checkpoint().is_adapter()?;
        if is_kept && !names_base {
            let text = serde_json::to_vec(&memo(&hash)).map_err(|e| Error::format(&path, e))?;
            fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
            output::write(&path, text).map_err(|e| Error::io(&path, e))?;
        }
        let held = Some((held, pin));
        Ok(Self { hash, held })
    }

    /// The checkpoint on disk, as it was hashed.
    ///
    /// # Errors
    /// Those of [`Hub::hold`]; files in the cache that are not those of the hash.
    pub(crate) fn on_disk(
        self,
        hub: &Hub,
        place: &TrainedRun,
    ) -> Result<(Held, CheckpointPin), Error> {
        if let Some(held) = self.held {
            return Ok(held);
        }
        let held = hub.hold(&place.checkpoint, place.base.as_deref())?;
        let pin = CheckpointPin::of(held.checkpoint())?;
        let hash = pin.hash()?;
        if hash == self.hash {
            return Ok((held, pin));
        }
        Err(Error::Key {
            path: held.checkpoint().path().to_owned(),
            field: "checkpoint".to_owned(),
            message: format!(
                "the scores so far are of {}, its files are of {hash} now; remove the folder to \
                 download it again",
                self.hash
            ),
        })
    }
}
