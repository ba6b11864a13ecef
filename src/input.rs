//! Bytes of tables and texts as people keep them: plain, or compressed with gzip or Zstandard.

use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

#[cfg(feature = "compressed")]
use decompress::reader as decompressed;
pub use json::json;

#[cfg(feature = "compressed")]
mod decompress;
mod json;
#[cfg(feature = "parquet")]
pub(crate) mod parquet;

/// Largest number of decompressed bytes per compressed byte, beyond [`FREE`]. Tables of repeated run
/// columns reach a hundred; a file made to fill the memory has a thousand (gzip) or more.
#[cfg(any(feature = "compressed", feature = "parquet"))]
pub(crate) const MOST_PER_BYTE: u64 = 500;
/// Decompressed bytes that no ratio is asked of: a small table of one repeated line is harmless.
#[cfg(any(feature = "compressed", feature = "parquet"))]
pub(crate) const FREE: u64 = 1 << 26;
/// The text that stands for a list, an object or bytes in a table. Two different ones would be one name, so
/// that no name of a run, distribution or item may be this.
pub(crate) const NOT_TEXT: &str = "(nested)";
/// Bytes by which the form of a file is recognised: a header line of a wide table fits.
const HEAD: u64 = 1 << 13;

/// First bytes of files that are not read, with a way out.
const OTHERS: [(&[u8], &str); 4] = [
    (
        &[0xfd, b'7', b'z', b'X', b'Z', 0],
        "is compressed with xz, which is not read; decompress it, or use gzip or Zstandard",
    ),
    (
        b"BZh91AY&SY",
        "is compressed with bzip2, which is not read; decompress it, or use gzip or Zstandard",
    ),
    (
        b"PK\x03\x04",
        "is a zip archive or a spreadsheet; unpack it, or save the sheet as CSV",
    ),
    (
        b"\x93NUMPY",
        "is a NumPy array, which has no column names; write a CSV file",
    ),
];

/// Opens a regular file and decompresses gzip and Zstandard, which are recognised by their first bytes
/// and not by the name.
///
/// Reading fails where the content is more than 500 times larger than the file and larger than 64 MiB.
///
/// # Errors
/// A file that cannot be read or is no regular file: opening a pipe would wait for a writer. Other
/// compressions, with a way out; gzip and Zstandard without the feature `compressed`.
///
/// # Examples
/// ```
/// use std::io::Read;
///
/// let path = std::env::temp_dir().join("relscale-doc-input.csv");
/// std::fs::write(&path, "run,loss\n")?;
/// let mut text = String::new();
/// relscale::input::open(&path)?.read_to_string(&mut text)?;
/// assert_eq!(text, "run,loss\n");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn open(path: impl AsRef<Path>) -> io::Result<Box<dyn BufRead>> {
    reader(file(path)?)
}

/// Opens a regular file for reading. Every file that a user names is opened here.
///
/// # Errors
/// A file that cannot be read or is no regular file: opening a pipe would wait for a writer, and a device
/// may never end.
///
/// # Examples
/// ```
/// assert!(relscale::input::file(std::env::temp_dir()).is_err());
/// ```
pub fn file(path: impl AsRef<Path>) -> io::Result<File> {
    let path = path.as_ref();
    regular(&std::fs::metadata(path)?)?;
    let file = File::open(path)?;
    // Another may have taken its place since it was looked at.
    regular(&file.metadata()?)?;
    Ok(file)
}

/// Opens a regular file or a pipe, which shells put in place of a table (`<(zcat losses.csv.gz)`). Whoever
/// reads it must bound what is kept of it.
pub(crate) fn stream(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        return Err(invalid("is a folder, not a table"));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_char_device() || kind.is_block_device() {
            return Err(invalid("is a device, not a table; standard input is `-`"));
        }
    }
    Ok(file)
}

fn regular(found: &Metadata) -> io::Result<()> {
    match found.is_file() {
        true => Ok(()),
        false => Err(invalid("is not a regular file")),
    }
}

/// The bytes of a regular file of at most `limit` bytes, even if it grows while it is read.
///
/// # Errors
/// As [`file`](file()); a longer file.
///
/// # Examples
/// ```
/// let path = std::env::temp_dir().join("relscale-doc-bytes.bin");
/// std::fs::write(&path, [1, 2])?;
/// assert_eq!(relscale::input::bytes(&path, 2)?, [1, 2]);
/// assert!(relscale::input::bytes(&path, 1).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn bytes(path: impl AsRef<Path>, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than allowed shows that there are more.
    (file(path)?.take(limit.saturating_add(1))).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > limit {
        true => Err(invalid(format!("has more than {limit} bytes"))),
        false => Ok(bytes),
    }
}

/// The text of a regular file of at most `limit` bytes, even if it grows while it is read. A byte-order
/// mark at its start is left out.
///
/// # Errors
/// As [`file`](file()); a longer file; text that is not UTF-8.
///
/// # Examples
/// ```
/// let path = std::env::temp_dir().join("relscale-doc-text.json");
/// std::fs::write(&path, "{}")?;
/// assert_eq!(relscale::input::text(&path, 2)?, "{}");
/// assert!(relscale::input::text(&path, 1).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn text(path: impl AsRef<Path>, limit: u64) -> io::Result<String> {
    let text = String::from_utf8(bytes(path, limit)?).map_err(|_| invalid("is not UTF-8"))?;
    // Editors on Windows put the mark before UTF-8, and no JSON parser takes it.
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

/// Name of a file without its extension and without that of its compression: `news` of `news.jsonl.gz`.
///
/// # Examples
/// ```
/// use std::path::Path;
///
/// assert_eq!(relscale::input::stem(Path::new("texts/news.v2.jsonl.zst")), "news.v2");
/// ```
#[must_use]
pub fn stem(path: &Path) -> String {
    let compressed = path
        .extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("gz") || e.eq_ignore_ascii_case("zst"));
    let name = match (compressed, path.file_stem()) {
        (true, Some(stem)) => Path::new(stem).file_stem(),
        (_, stem) => stem,
    };
    name.map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
}

/// Decompresses `source` as [`open`] does.
///
/// # Errors
/// As there.
pub fn reader<'a>(source: impl Read + 'a) -> io::Result<Box<dyn BufRead + 'a>> {
    let (head, source) = peek(source)?;
    #[cfg(not(feature = "parquet"))]
    if head.starts_with(b"PAR1") {
        let message = "is Parquet, which needs the feature `parquet` of relscale";
        return Err(io::Error::new(io::ErrorKind::Unsupported, message));
    }
    if let Some((_, message)) = OTHERS.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Err(invalid(*message));
    }
    decompressed(&head, source)
}

/// Without the feature, files are read as they are.
#[cfg(not(feature = "compressed"))]
fn decompressed<'a>(head: &[u8], source: impl BufRead + 'a) -> io::Result<Box<dyn BufRead + 'a>> {
    match compression(head) {
        None => Ok(Box::new(source)),
        Some(name) => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("is compressed with {name}, which needs the feature `compressed` of relscale"),
        )),
    }
}

/// The first bytes of `source`, and `source` from its beginning.
pub(crate) fn peek<'a>(mut source: impl Read + 'a) -> io::Result<(Vec<u8>, impl BufRead + 'a)> {
    let mut head = Vec::new();
    // Until they are all there: a pipe gives a few bytes at a time.
    source.by_ref().take(HEAD).read_to_end(&mut head)?;
    let rest = BufReader::with_capacity(1 << 16, source);
    Ok((head.clone(), Cursor::new(head).chain(rest)))
}

/// Name of the compression that begins with these bytes.
fn compression(head: &[u8]) -> Option<&'static str> {
    if head.starts_with(&[0x1f, 0x8b]) {
        Some("gzip")
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) || is_skippable(head) {
        Some("Zstandard")
    } else {
        None
    }
}

/// If true, a Zstandard frame without data begins here, as indices of parallel compressors are.
fn is_skippable(head: &[u8]) -> bool {
    matches!(head, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

pub(crate) fn invalid(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.into())
}
