//! Lines of JSON that end in a checksum.

use sha2::{Digest, Sha256};

/// Digits of a checksum: 64 bits, against accidents and not against forgery.
const DIGITS: usize = 16;
/// Text between the content of a line and its checksum.
const CHECK: &str = ",\"check\":\"";
/// Text after the checksum.
const END: &str = "\"}\n";

/// Adds a checksum to an object with at least one field: `{…}` becomes `{…,"check":"0123456789abcdef"}` and a
/// line feed. Returns the line and its checksum.
///
/// The checksum is of the `seed` and of all bytes before it. Where the seed is the checksum of the first
/// line of a file, a line that was copied from another file does not pass.
///
/// # Examples
/// ```
/// use relscale::log::{seal, unseal};
///
/// let (line, check) = seal(r#"{"loss":2.5}"#.to_owned(), "");
/// assert_eq!(line, format!("{{\"loss\":2.5,\"check\":\"{check}\"}}\n"));
///
/// let mut bytes = line.replace("2.5", "3.5").into_bytes();
/// assert_eq!(unseal(&mut bytes, ""), None);
/// let mut bytes = line.into_bytes();
/// assert_eq!(unseal(&mut bytes, ""), Some(check));
/// assert_eq!(bytes, br#"{"loss":2.5}"#);
/// ```
#[must_use]
pub fn seal(mut object: String, seed: &str) -> (String, String) {
    debug_assert!(object.len() > 2 && object.ends_with('}'), "{object}");
    // The closing brace. The checksum covers all before it, and the line stays valid JSON.
    object.pop();
    let check = checksum(object.as_bytes(), seed);
    (object + CHECK + &check + END, check)
}

/// Takes the checksum and the line feed off a line, which is then the object that was [sealed](seal), and
/// returns the checksum. `None` if it does not fit; the line then stays as it is.
#[must_use]
pub fn unseal(line: &mut Vec<u8>, seed: &str) -> Option<String> {
    // On bytes, not on parsed JSON: the checksum is of what is written, whatever it means.
    let rest = line.strip_suffix(END.as_bytes())?;
    let (body, digits) = rest.split_at(rest.len().checked_sub(DIGITS)?);
    let body = body.strip_suffix(CHECK.as_bytes())?;
    let check = checksum(body, seed);
    if digits != check.as_bytes() {
        return None;
    }
    let end = body.len();
    line.truncate(end);
    line.push(b'}');
    Some(check)
}

/// True if `found` may be what a killed writer of `line` left: a part of it from the start, or nothing.
///
/// Zeros may follow, because the length of a file can reach the disk before its content if the power fails.
///
/// # Examples
/// ```
/// use relscale::log::is_unfinished;
///
/// assert!(is_unfinished(b"{\"key", b"{\"key\":1}\n"));
/// assert!(is_unfinished(b"{\"key\0\0\0", b"{\"key\":1}\n"));
/// assert!(!is_unfinished(b"\0\0\0precious", b"{\"key\":1}\n"));
/// ```
#[must_use]
pub fn is_unfinished(found: &[u8], line: &[u8]) -> bool {
    let end = found.iter().rposition(|byte| *byte != 0);
    line.starts_with(&found[..end.map_or(0, |last| last + 1)])
}

/// First 64 bits of the SHA-256 of the seed and the line up to its checksum, in hexadecimal digits.
fn checksum(body: &[u8], seed: &str) -> String {
    let hash = Sha256::new()
        .chain_update(seed)
        .chain_update(body)
        .finalize();
    let first = hash.iter().take(DIGITS / 2);
    // One number and not byte by byte: it is done for every line of a log.
    let first = first.fold(0, |bits: u64, byte| bits << 8 | u64::from(*byte));
    format!("{first:0DIGITS$x}")
}
