//! Names of runs and distributions as names of files and folders.

use crate::digest::sha256;

/// Longest name of a file in bytes that is written out. File systems have 255, and the endings of logs, locks
/// and unfinished files come after it.
const LONGEST: usize = 120;

/// A name of a file or folder for any text: different ones for different texts, and never a path.
///
/// Bytes other than ASCII letters, digits, `-`, `_` and `.` are written `%2F`, and so are a `.` and a `-` at
/// the start: names of files and units are arguments of programs, where a `-` begins an option. Of a long
/// name, the rest is written as `~` and a hash.
#[must_use]
pub fn encoded(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for (at, byte) in name.bytes().enumerate() {
        if byte.is_ascii_alphanumeric() || byte == b'_' || (b"-.".contains(&byte) && at > 0) {
            text.push(char::from(byte));
        } else {
            text += &format!("%{byte:02X}");
        }
    }
    if text.len() > LONGEST {
        // A short name has no `~`, so none is like this one.
        text.truncate(LONGEST - 33);
        text.push('~');
        text.push_str(&sha256(name.as_bytes())[..32]);
    }
    text
}

/// As [`encoded`], for files that users know by the names of their texts: a name that any file system takes
/// stays as it is.
#[must_use]
pub fn file_name(name: &str) -> String {
    let plain = !name.is_empty()
        && name.len() <= LONGEST
        && !name.starts_with(['.', '-'])
        && !name.contains(['/', '\\', ':', '%', '~', '\0']);
    match plain {
        true => name.to_owned(),
        false => encoded(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_bounded_and_differ() {
        let long = "分布".repeat(15);
        let name = encoded(&long);
        assert_eq!(name.len(), LONGEST);
        assert_ne!(name, encoded(&format!("{long}!")));
        assert_ne!(name, encoded(&name));
        assert_eq!(encoded(".."), "%2E.");
        assert_eq!(encoded("--all"), "%2D-all");
        assert_eq!(file_name("-n"), "%2Dn");
        assert_ne!(encoded("-n"), encoded("%2Dn"));
        assert_eq!(file_name("news.v2 (en)"), "news.v2 (en)");
        for odd in ["../x", "a/b", "", ".", &long.repeat(20)] {
            let name = file_name(odd);
            assert!(!name.contains('/') && !name.starts_with('.') && name.len() <= LONGEST);
        }
    }
}
