//! Checkpoints of a Hugging Face hub: `hf://ORG/NAME@REVISION` becomes a folder of the hub's cache.
//!
//! The cache has the layout of `huggingface_hub`, so that Python programs and this one share their
//! downloads. Only the files that are read are downloaded. A file that the hub keeps in large-file
//! storage is checked against its SHA-256 before it enters the cache.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `HF_HOME` | folder of cache and token (`~/.cache/huggingface`) |
//! | `HF_HUB_CACHE` | folder of the cache (`$HF_HOME/hub`) |
//! | `HF_ENDPOINT` | address of the hub (`https://huggingface.co`) |
//! | `HF_TOKEN`, `HF_TOKEN_PATH` | token, or the file with it (`$HF_HOME/token`) |
//! | `HF_HUB_OFFLINE` | if `1`, nothing is asked of the hub |
//! | `SSL_CERT_FILE` | certificates to trust, for networks with an authority of their own |
//!
//! Without the feature `hub` the program has no network code, and only what the cache holds is found.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use relscale::Error;
use relscale::checkpoint::{Checkpoint, Weights};
use relscale::ladder::TrainedRun;

use crate::interrupt;
use crate::output::warning;
use cache::Cache;
use files::Listing;
use ledger::Ledger;

pub use address::HubAddress;
pub(crate) use memo::Known;

mod address;
mod cache;
#[cfg(feature = "hub")]
mod client;
#[cfg(feature = "hub")]
mod download;
#[cfg(feature = "hub")]
mod environment;
mod files;
#[cfg_attr(
    not(feature = "hub"),
    allow(dead_code, reason = "nothing is downloaded")
)]
mod ledger;
mod memo;
#[cfg(feature = "hub")]
mod url;

#[cfg(not(feature = "hub"))]
use without::client;

/// A hub and the cache of its files.
///
/// Clones share what they downloaded and the disk budget.
#[derive(Debug, Clone)]
pub struct Hub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Set at the first address, since a study of local folders needs neither cache nor network.
    place: OnceLock<Place>,
    ledger: Mutex<Ledger>,
    listings: Mutex<BTreeMap<HubAddress, Listing>>,
}

/// The hub and the cache that the environment names.
#[derive(Debug)]
struct Place {
    cache: Cache,
    /// None if the hub is not to be asked.
    client: Option<client::Client>,
}

impl Place {
    /// # Errors
    /// A variable that is not usable, or no home folder to keep the cache in.
    fn from_env() -> Result<Self, Error> {
        let home = cache::home()?;
        let client = match cache::is_offline() {
            true => None,
            false => client::Client::from_env(&home)?,
        };
        let cache = Cache::from_env(&home);
        Ok(Self { cache, client })
    }
}

impl Default for Hub {
    /// A hub without a disk budget.
    fn default() -> Self {
        Self::new(None)
    }
}

/// True for an address on the hub, false for a path on disk.
pub(crate) fn is_address(path: &Path) -> bool {
    path.to_str()
        .is_some_and(|path| path.starts_with(address::SCHEME))
}

/// An address as it is; a path relative to `folder`.
pub(crate) fn joined(folder: &Path, path: &Path) -> PathBuf {
    match is_address(path) {
        true => path.to_owned(),
        false => folder.join(path),
    }
}

/// A checkpoint whose files are on disk and stay there until this value is dropped.
#[derive(Debug)]
pub struct Held {
    checkpoint: Checkpoint,
    hub: Hub,
    snapshots: Vec<PathBuf>,
}

impl Held {
    /// The checkpoint on disk.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut ledger = self.hub.ledger();
        self.snapshots.iter().for_each(|s| ledger.release(s));
    }
}

impl Hub {
    /// The hub and the cache that the environment names, read at the first address.
    ///
    /// With a `budget`, downloads by this value and its clones take at most so many bytes on disk:
    /// checkpoints that are no longer held are removed to make room, least recently used first. Files
    /// that were there before are never removed.
    #[must_use]
    pub fn new(budget: Option<u64>) -> Self {
        Self(Arc::new(Inner {
            place: OnceLock::new(),
            ledger: Mutex::new(Ledger::new(budget)),
            listings: Mutex::default(),
        }))
    }

    fn place(&self) -> Result<&Place, Error> {
        if let Some(place) = self.0.place.get() {
            return Ok(place);
        }
        let place = Place::from_env()?;
        Ok(self.0.place.get_or_init(|| place))
    }

    /// The address with the commit that its revision stands for now, so that a revision which moves
    /// later is still the same checkpoint. A path that is no address stays as it is.
    ///
    /// # Errors
    /// An address that is malformed or unknown to the hub.
    pub fn pin(&self, path: &Path) -> Result<PathBuf, Error> {
        let Some(address) = HubAddress::of(path)? else {
            return Ok(path.to_owned());
        };
        let commit = match address.commit() {
            Some(commit) => commit.to_owned(),
            None => self.listing(&address)?.commit,
        };
        Ok(address.at(&commit).to_string().into())
    }

    /// Both paths of a run, pinned.
    ///
    /// # Errors
    /// Those of [`pin`](Self::pin).
    pub fn pin_run(&self, trained: &TrainedRun) -> Result<TrainedRun, Error> {
        let base = trained.base.as_deref().map(|base| self.pin(base));
        Ok(TrainedRun {
            run: trained.run.clone(),
            checkpoint: self.pin(&trained.checkpoint)?,
            base: base.transpose()?,
        })
    }

    /// True for a LoRA adapter; of a checkpoint on the hub only the names of its files are asked for.
    ///
    /// # Errors
    /// An address that is malformed or unknown to the hub; an adapter that is not read.
    pub fn is_adapter(&self, path: &Path) -> Result<bool, Error> {
        match HubAddress::of(path)? {
            None => Checkpoint::from(path).is_adapter(),
            Some(address) => Ok(self.listing(&address)?.is_adapter()),
        }
    }

    /// Puts a checkpoint and the base of an adapter on disk, where they stay while the result lives.
    /// Paths that are no addresses stay as they are.
    ///
    /// # Errors
    /// An address that is malformed or unknown to the hub; a file that cannot be downloaded or has
    /// another hash; a disk budget that is too small; [`Error::Interrupted`] if the user asks to stop.
    /// Files downloaded until then are kept, and the next call goes on from there.
    pub fn hold(&self, path: &Path, base: Option<&Path>) -> Result<Held, Error> {
        let mut held = Held {
            checkpoint: Checkpoint::from(path),
            hub: self.clone(),
            snapshots: Vec::new(),
        };
        let path = self.local(path, &mut held)?;
        held.checkpoint = Checkpoint::from(&path);
        if let Some(base) = base {
            let base = self.local(base, &mut held)?;
            held.checkpoint = held.checkpoint.clone().with_base(base);
        }
        Ok(held)
    }

    /// The folder or GGUF file of a path, held by `held`.
    fn local(&self, path: &Path, held: &mut Held) -> Result<PathBuf, Error> {
        let Some(address) = HubAddress::of(path)? else {
            return Ok(path.to_owned());
        };
        let listing = self.listing(&address)?;
        let snapshot = self.place()?.cache.snapshot(&address, &listing.commit);
        // Removed since, or never downloaded though its commit is known.
        if listing.is_local && !snapshot.exists() {
            return Err(absent(&self.place()?.cache, &address));
        }
        self.ledger().take(&snapshot);
        held.snapshots.push(snapshot.clone());
        if !listing.is_local {
            let about = |message| Error::format(path, message);
            let wanted = listing.wanted(address.file()).map_err(about)?;
            self.bring(&address, &listing, &wanted)?;
            if let Some(shards) = files::shards(&snapshot, &wanted)? {
                let shards = listing.with(&shards).map_err(about)?;
                self.bring(&address, &listing, &shards)?;
            }
        }
        Ok(of_address(snapshot, &address))
    }

    /// The folder with `config.json` and nothing else of a checkpoint.
    ///
    /// # Errors
    /// Those of [`hold`](Self::hold).
    pub fn config(&self, address: &HubAddress) -> Result<PathBuf, Error> {
        let listing = self.listing(address)?;
        let wanted = listing
            .with(&["config.json".to_owned()])
            .map_err(|message| Error::format(address.to_string(), message))?;
        if !listing.is_local {
            self.bring(address, &listing, &wanted)?;
        }
        Ok(self.place()?.cache.snapshot(address, &listing.commit))
    }

    /// The files of a checkpoint as the hub has them; as the cache has them if the hub is not to be
    /// asked or does not answer.
    fn listing(&self, address: &HubAddress) -> Result<Listing, Error> {
        interrupt::check()?;
        if let Some(known) = locked(&self.0.listings).get(address) {
            return Ok(known.clone());
        }
        let Place { cache, client } = self.place()?;
        let listing = match client {
            None => cache
                .listing(address)?
                .ok_or_else(|| absent(cache, address))?,
            Some(client) => match client.listing(address) {
                Ok(listing) => {
                    cache.remember(address, &listing.commit)?;
                    listing
                }
                Err(client::Failure::Refused(error)) => return Err(error),
                Err(client::Failure::Unreachable(message)) => {
                    self.fallen_back(address, &message)?
                }
            },
        };
        let mut known = locked(&self.0.listings);
        known.insert(address.at(&listing.commit), listing.clone());
        known.insert(address.clone(), listing.clone());
        Ok(listing)
    }

    /// The files in the cache, while the hub does not answer, if the weights among them are whole.
    fn fallen_back(&self, address: &HubAddress, message: &str) -> Result<Listing, Error> {
        let cache = &self.place()?.cache;
        if let Some(listing) = cache.listing(address)? {
            let snapshot = cache.snapshot(address, &listing.commit);
            let model = of_address(snapshot.clone(), address);
            if listing.is_adapter() || Weights::open(&model).is_ok() {
                let snapshot = snapshot.display();
                warning(&format!("{address}: {message}; read from {snapshot}"));
                return Ok(listing);
            }
        }
        Err(Error::format(address.to_string(), message))
    }

    /// Downloads the files that are not in the cache.
    #[cfg(feature = "hub")]
    fn bring(
        &self,
        address: &HubAddress,
        listing: &Listing,
        files: &[String],
    ) -> Result<(), Error> {
        let Place { cache, client } = self.place()?;
        let Some(client) = client else {
            return Ok(());
        };
        download::bring(
            client,
            cache,
            &self.0.ledger,
            &address.at(&listing.commit),
            files,
        )
    }

    #[cfg(not(feature = "hub"))]
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "as with the feature"
    )]
    fn bring(&self, _: &HubAddress, _: &Listing, _: &[String]) -> Result<(), Error> {
        Ok(())
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        locked(&self.0.ledger)
    }
}

/// The model of an address in the folder of its commit.
fn of_address(snapshot: PathBuf, address: &HubAddress) -> PathBuf {
    match address.file() {
        Some(file) => snapshot.join(file),
        None => snapshot,
    }
}

/// The error about a checkpoint that is not in the cache while the hub is not to be asked.
fn absent(cache: &Cache, address: &HubAddress) -> Error {
    let message = format!(
        "is not in {}, and {}; {}",
        cache.repository(address).display(),
        client::OFF,
        address.by_hand()
    );
    Error::format(address.to_string(), message)
}

/// The contents of a lock. A thread that panicked left them whole: each change is one statement.
fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The hub of a program without network code.
#[cfg(not(feature = "hub"))]
mod without {
    pub(super) mod client {
        use std::path::Path;

        use relscale::Error;

        use crate::hub::HubAddress;
        use crate::hub::files::Listing;

        /// The reason why the hub is not asked.
        pub(in crate::hub) const OFF: &str =
            "this program was built without downloads (feature `hub`)";

        /// There is none.
        #[derive(Debug)]
        pub(in crate::hub) enum Client {}

        /// Reason why a request gave no answer.
        #[derive(Debug)]
        #[expect(dead_code, reason = "no request is made")]
        pub(in crate::hub) enum Failure {
            /// The hub refuses.
            Refused(Error),
            /// No answer.
            Unreachable(String),
        }

        impl Client {
            #[expect(clippy::unnecessary_wraps, reason = "as with the feature")]
            pub(in crate::hub) fn from_env(_: &Path) -> Result<Option<Self>, Error> {
                Ok(None)
            }

            pub(in crate::hub) fn listing(&self, _: &HubAddress) -> Result<Listing, Failure> {
                match *self {}
            }
        }
    }
}
