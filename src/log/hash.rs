//! Hashes that pin a checkpoint and a distribution.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::pin::Stamp;
use crate::checkpoint::gguf::Gguf;
use crate::checkpoint::{Checkpoint, describes_model, weight_files};
use crate::distribution::{Content, Distribution, Item};
use crate::error::Error;
use crate::input;

/// SHA-256 of a checkpoint, 64 hexadecimal digits.
///
/// For a folder it covers the names and bytes of the files that determine scores: `config.json`,
/// `tokenizer.json`, `tokenizer_config.json`, `special_tokens_map.json`, and the files that
/// [`Weights::open`](crate::checkpoint::Weights::open) reads the weights from, with the index of shards;
/// without a `tokenizer.json`, also the files that stand in its place (`vocab.json`, `merges.txt`,
/// `added_tokens.json`, SentencePiece, tiktoken, `tekken.json`). Weights beside them that are not read may
/// come and go. For a file it covers its bytes, and those of the other files of a split GGUF model. For an
/// adapter it covers the hash of its base, its configuration, its matrices and its own tokenizer. Files are
/// streamed.
///
/// # Errors
/// A folder without weights, an index of shards that is malformed, or a file that cannot be read.
pub fn checkpoint_hash(checkpoint: impl Into<Checkpoint>) -> Result<String, Error> {
    Ok(read_checkpoint(&checkpoint.into(), Reading::Content)?.0)
}

/// Depth of reading the files of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// Names, sizes and times. The hash means nothing then.
    Stamps,
    /// All of it.
    Content,
}

/// The hash of a checkpoint, and the files that it covers, each as it was before it was read.
pub(super) fn read_checkpoint(
    checkpoint: &Checkpoint,
    reading: Reading,
) -> Result<(String, Vec<(PathBuf, Stamp)>), Error> {
    let mut hash = Files {
        hash: Sha256::new(),
        reading,
        seen: Vec::new(),
    };
    if let Some((base, adapter)) = checkpoint.adapter()? {
        let (of_base, seen) = read_checkpoint(&base.into(), reading)?;
        hash.hash.update(of_base);
        hash.seen = seen;
        let mut files = adapter.files().to_vec();
        if checkpoint.tokenizer()? == checkpoint.path() {
            let own = listed(checkpoint.path(), |name| describes_model(name, false))?;
            files.extend(own.into_iter().map(|(_, file)| file));
        }
        for file in files {
            let name = file.file_name().unwrap_or_default();
            hash.add(Some(name.as_encoded_bytes()), &file)?;
        }
        return Ok(hash.finish());
    }
    let path = checkpoint.path();
    let metadata = fs::metadata(path).map_err(|e| Error::io(path, e))?;
    if !metadata.is_dir() {
        for file in Gguf::files(path)? {
            hash.add(None, &file)?;
        }
        return Ok(hash.finish());
    }
    for (name, file) in &files_of(path)? {
        // The name without the folder, so that a copy elsewhere has the same hash.
        hash.add(Some(name.as_bytes()), file)?;
    }
    Ok(hash.finish())
}

/// The files of a folder that determine scores.
fn files_of(path: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
    let has_json = path.join("tokenizer.json").exists();
    // Everything that changes a score, and nothing else: a README may be edited while a run is under
    // way, and other weights may be fetched or removed later.
    let mut files = listed(path, |name| describes_model(name, has_json))?;
    for file in weight_files(path)? {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        files.push((name.into_owned(), file));
    }
    files.sort();
    Ok(files)
}

/// Files that are hashed one after another.
struct Files {
    hash: Sha256,
    reading: Reading,
    seen: Vec<(PathBuf, Stamp)>,
}

impl Files {
    fn add(&mut self, name: Option<&[u8]>, path: &Path) -> Result<(), Error> {
        self.seen.push((path.to_owned(), Stamp::of(path)?));
        if self.reading == Reading::Content {
            if let Some(name) = name {
                add(&mut self.hash, name);
            }
            add_file(&mut self.hash, path)?;
        }
        Ok(())
    }

    fn finish(self) -> (String, Vec<(PathBuf, Stamp)>) {
        (hex(&self.hash.finalize()), self.seen)
    }
}

/// The files of a folder whose names count, sorted: the system lists a folder in any order.
fn listed(folder: &Path, counts: impl Fn(&str) -> bool) -> Result<Vec<(String, PathBuf)>, Error> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let entry = entry.map_err(|e| Error::io(folder, e))?;
        if let Some(name) = entry.file_name().to_str().filter(|name| counts(name)) {
            files.push((name.to_owned(), entry.path()));
        }
    }
    files.sort();
    Ok(files)
}

/// SHA-256 of the ids, clusters and contents of a distribution's items in their order, 64 hexadecimal
/// digits.
///
/// # Errors
/// An item that cannot be read.
///
/// # Examples
/// ```
/// use relscale::distribution::{Content, Item, Items};
/// use relscale::log::distribution_hash;
///
/// let of = |text: &str| {
///     let content = Content::Text(text.into());
///     let item = Item { id: "1".into(), cluster: "a".into(), content };
///     distribution_hash(&Items::new("greetings", vec![item])?)
/// };
/// assert_eq!(of("Hello")?.len(), 64);
/// assert_ne!(of("Hello")?, of("Hallo")?);
/// # Ok::<(), relscale::Error>(())
/// ```
pub fn distribution_hash(distribution: &dyn Distribution) -> Result<String, Error> {
    let mut hash = Sha256::new();
    for index in 0..distribution.len() {
        add_item(&mut hash, &*distribution.item(index)?);
    }
    Ok(hex(&hash.finalize()))
}

fn add_item(hash: &mut Sha256, item: &Item) {
    add(hash, item.id.as_bytes());
    add(hash, item.cluster.as_bytes());
    // The first byte says which content it is.
    match &item.content {
        Content::Text(text) => {
            hash.update([0]);
            add(hash, text.as_bytes());
        }
        Content::Tokens(tokens) => {
            hash.update([1]);
            add_tokens(hash, tokens);
        }
        Content::Choices {
            context,
            choices,
            gold,
            unconditional,
        } => {
            hash.update([2]);
            add_number(hash, *gold);
            add(hash, context.as_bytes());
            add_number(hash, choices.len());
            choices.iter().for_each(|c| add(hash, c.as_bytes()));
            hash.update([u8::from(unconditional.is_some())]);
            add(hash, unconditional.as_deref().unwrap_or("").as_bytes());
        }
        Content::ChoicesTokens {
            context,
            choices,
            gold,
            unconditional,
        } => {
            hash.update([3]);
            add_number(hash, *gold);
            add_tokens(hash, context);
            add_number(hash, choices.len());
            choices.iter().for_each(|c| add_tokens(hash, c));
            hash.update([u8::from(unconditional.is_some())]);
            add_tokens(hash, unconditional.as_deref().unwrap_or(&[]));
        }
        Content::Pairs { pairs, gold } => {
            hash.update([4]);
            add_number(hash, *gold);
            add_number(hash, pairs.len());
            for (context, choice) in pairs {
                add(hash, context.as_bytes());
                add(hash, choice.as_bytes());
            }
        }
    }
}

// Every field is preceded by its length: without it, "ab" + "c" and "a" + "bc" would hash alike.

fn add_number(hash: &mut Sha256, number: usize) {
    hash.update((number as u64).to_le_bytes());
}

fn add(hash: &mut Sha256, bytes: &[u8]) {
    add_number(hash, bytes.len());
    hash.update(bytes);
}

fn add_tokens(hash: &mut Sha256, tokens: &[u32]) {
    add_number(hash, tokens.len());
    tokens.iter().for_each(|t| hash.update(t.to_le_bytes()));
}

/// A file in a list of several, preceded by its length as every field is.
fn add_file(hash: &mut Sha256, path: &Path) -> Result<(), Error> {
    let file = input::file(path).map_err(|e| Error::io(path, e))?;
    let size = file.metadata().map_err(|e| Error::io(path, e))?.len();
    hash.update(size.to_le_bytes());
    add_bytes(hash, path, file)
}

/// SHA-256 of the bytes of a regular file, 64 hexadecimal digits, as `sha256sum` prints it. The file is
/// streamed.
///
/// # Errors
/// A file that cannot be read or is no regular file.
///
/// # Examples
/// ```
/// let path = std::env::temp_dir().join("relscale-doc-hash.txt");
/// std::fs::write(&path, "abc")?;
/// assert!(relscale::log::file_hash(&path)?.starts_with("ba7816bf8f01cfea"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn file_hash(path: impl AsRef<Path>) -> Result<String, Error> {
    let path = path.as_ref();
    let mut hash = Sha256::new();
    let file = input::file(path).map_err(|e| Error::io(path, e))?;
    add_bytes(&mut hash, path, file)?;
    Ok(hex(&hash.finalize()))
}

fn add_bytes(hash: &mut Sha256, path: &Path, mut file: File) -> Result<(), Error> {
    // Hashing is slower than reading from a megabyte on; the exact size does not matter.
    let mut block = vec![0; 1 << 20];
    loop {
        match file.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(n) => hash.update(&block[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::io(path, e)),
        }
    }
}

/// Lower-case hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
