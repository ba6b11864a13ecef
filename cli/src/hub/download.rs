//! Downloads of files into the cache.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::ProgressBar;
use relscale::Error;
use sha2::{Digest, Sha256};

use super::HubAddress;
use super::cache::{Cache, writable};
use super::client::{Client, Failure, RemoteFile, pause};
use super::ledger::Ledger;
use super::locked;
use crate::digest::hex;
use crate::interrupt;
use crate::output::{detail, note, progress};

/// Bytes between two looks at Ctrl-C.
const BLOCK: usize = 1 << 20;

/// Puts the files of a checkpoint, whose address has a commit, into the cache.
///
/// # Errors
/// A file that the hub refuses or that has another hash, by its name; a disk budget that is too small;
/// [`Error::Interrupted`]. What is whole by then is kept, and what is not is gone on with by the next
/// call if the hub gives its SHA-256.
pub(super) fn bring(
    client: &Client,
    cache: &Cache,
    ledger: &Mutex<Ledger>,
    address: &HubAddress,
    files: &[String],
) -> Result<(), Error> {
    let snapshot = cache.snapshot(address, address.revision());
    let mut missing = Vec::new();
    for file in files.iter().filter(|file| !snapshot.join(file).exists()) {
        let remote = client
            .describe(address, file)
            .map_err(|e| failed(address, file, e))?;
        missing.push((file, remote));
    }
    let open = missing
        .iter()
        .filter(|(_, remote)| !cache.blob(address, &remote.etag).exists());
    let bytes: u64 = open.map(|(_, remote)| remote.size).sum();
    if missing.is_empty() {
        return Ok(());
    }
    locked(ledger)
        .room(bytes)
        .map_err(|shortage| Error::Option {
            option: "disk-budget",
            message: format!(
                "{} are too few: {address} takes {}, and {} are in use; give at least {}",
                size(shortage.budget),
                size(bytes),
                size(shortage.used),
                size(shortage.used.saturating_add(bytes))
            ),
        })?;
    let bar = progress(bytes, "{bytes}/{total_bytes}, {bytes_per_sec} {msg}");
    bar.set_message(address.to_string());
    let mut downloaded = 0;
    for (file, remote) in &missing {
        let blob = cache.blob(address, &remote.etag);
        let is_new = Download {
            client,
            cache,
            address,
            file,
            remote,
            bar: &bar,
        }
        .run()?;
        let link = snapshot.join(file);
        place(&blob, &link).map_err(|e| Error::io(&link, e))?;
        downloaded += if is_new { remote.size } else { 0 };
        let own = is_new.then_some(remote.size);
        locked(ledger).add(&snapshot, link, blob, own);
    }
    bar.finish_and_clear();
    if downloaded > 0 {
        note(&format!("{address}: {} downloaded", size(downloaded)));
    }
    Ok(())
}

/// A number of bytes in the unit that it fills.
fn size(bytes: u64) -> String {
    indicatif::DecimalBytes(bytes).to_string()
}

fn failed(address: &HubAddress, file: &str, failure: Failure) -> Error {
    match failure {
        Failure::Refused(error) => error,
        Failure::Unreachable(message) => Error::format(
            address.to_string(),
            format!("{file}: {message}; the same command goes on from there"),
        ),
    }
}

/// Makes `link` a link to the blob, or moves the blob there where there are no links.
fn place(blob: &Path, link: &Path) -> io::Result<()> {
    if let Some(folder) = link.parent() {
        fs::create_dir_all(folder)?;
    }
    // Of a file of an earlier run whose blob is gone.
    if fs::symlink_metadata(link).is_ok() {
        fs::remove_file(link)?;
    }
    #[cfg(unix)]
    {
        // From `snapshots/COMMIT/FILE`: files in folders of the repository are not read.
        let name = blob.file_name().unwrap_or_default();
        std::os::unix::fs::symlink(Path::new("../../blobs").join(name), link)
    }
    #[cfg(not(unix))]
    {
        // Links need a privilege on Windows.
        fs::rename(blob, link)
    }
}

/// The download of one file.
struct Download<'a> {
    client: &'a Client,
    cache: &'a Cache,
    address: &'a HubAddress,
    file: &'a str,
    remote: &'a RemoteFile,
    bar: &'a ProgressBar,
}

impl Download<'_> {
    /// Downloads the blob unless it is there; true if this call did.
    fn run(&self) -> Result<bool, Error> {
        let blob = self.cache.blob(self.address, &self.remote.etag);
        let io = |e| Error::io(&blob, e);
        if let Some(folder) = blob.parent() {
            fs::create_dir_all(folder).map_err(io)?;
        }
        let _lock = self.lock()?;
        // Another process may have downloaded it before this one took the lock.
        if blob.exists() {
            return Ok(false);
        }
        // The name by which huggingface_hub goes on with a download, too.
        let part = blob.with_file_name(format!("{}.incomplete", self.remote.etag));
        let mut file = writable(&part)?;
        self.fetch(&mut file, &part)?;
        self.check(&mut file, &part)?;
        // The name says that these are the bytes, which a power cut must not make untrue.
        file.sync_all().map_err(io)?;
        fs::rename(&part, &blob).map_err(io)?;
        Ok(true)
    }

    /// Waits until no other process downloads the file.
    fn lock(&self) -> Result<File, Error> {
        let path = self.cache.lock(self.address, &self.remote.etag);
        let io = |e| Error::io(&path, e);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(io)?;
        }
        let file = writable(&path)?;
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(e)) => return Err(io(e)),
            }
            if !told {
                note(&format!(
                    "{}: waiting for the process that downloads it",
                    self.file
                ));
                told = true;
            }
            interrupt::check()?;
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Fills the part, from where it ends, until it has the size that the hub gave.
    fn fetch(&self, file: &mut File, part: &Path) -> Result<(), Error> {
        let io = |e| Error::io(part, e);
        let mut have = file.metadata().map_err(io)?.len();
        // Without a hash nothing tells the bytes of an earlier process from others, such as the zeros that
        // a power cut leaves. Files without one are small.
        if have > self.remote.size || self.remote.sha256().is_none() {
            file.set_len(0).map_err(io)?;
            have = 0;
        }
        if have > 0 {
            detail(&format!("{}: going on from byte {have}", self.file));
            self.bar.inc(have);
        }
        let mut attempt = 0;
        while have < self.remote.size {
            let before = have;
            match self.fill(file, part, &mut have) {
                Ok(()) => {}
                Err(Failure::Unreachable(message)) => {
                    // Whoever sends something is asked again at once.
                    attempt = if have > before { 0 } else { attempt };
                    let next = pause(attempt, message);
                    attempt = next.map_err(|e| failed(self.address, self.file, e))?;
                }
                Err(Failure::Refused(error)) => return Err(error),
            }
        }
        Ok(())
    }

    /// Appends the answer to one request; `have` is the length of the part.
    fn fill(&self, file: &mut File, part: &Path, have: &mut u64) -> Result<(), Failure> {
        let io = |e| Failure::Refused(Error::io(part, e));
        let (body, begins) = self.client.open(self.address, self.file, *have)?;
        if begins != *have {
            // A server without ranges sends the whole file.
            file.set_len(0).map_err(io)?;
            self.bar
                .set_position(self.bar.position().saturating_sub(*have));
            *have = 0;
        }
        if begins > *have {
            return Err(Failure::Unreachable(format!(
                "an answer from byte {begins} on"
            )));
        }
        // Not more than was announced: a server that never ends would fill the disk.
        let mut body = body.into_reader().take(self.remote.size - *have);
        let mut block = vec![0; BLOCK];
        loop {
            interrupt::check()?;
            let read = match body.read(&mut block) {
                Ok(0) => break,
                Ok(read) => read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(Failure::Unreachable(e.to_string())),
            };
            file.write_all(&block[..read]).map_err(io)?;
            *have += read as u64;
            self.bar.inc(read as u64);
        }
        match *have < self.remote.size {
            true => Err(Failure::Unreachable("the answer ended early".to_owned())),
            false => Ok(()),
        }
    }

    /// Compares the SHA-256 of a whole part with that of the hub, and removes a part that differs.
    fn check(&self, file: &mut File, part: &Path) -> Result<(), Error> {
        let io = |e| Error::io(part, e);
        let Some(expected) = self.remote.sha256() else {
            return Ok(());
        };
        let mut hash = Sha256::new();
        file.rewind().map_err(io)?;
        let mut block = vec![0; BLOCK];
        loop {
            interrupt::check()?;
            match file.read(&mut block).map_err(io)? {
                0 => break,
                read => hash.update(&block[..read]),
            }
        }
        let found = hex(&hash.finalize());
        if found == expected {
            return Ok(());
        }
        fs::remove_file(part).map_err(io)?;
        let message = format!(
            "{}: its SHA-256 is {found}, and the hub says {expected}; it was removed, and the same \
             command downloads it again",
            self.file
        );
        Err(Error::format(self.address.to_string(), message))
    }
}
