//! GGUF files in several parts, as llama.cpp splits them: `NAME-00001-of-00003.gguf` and its siblings.
//!
//! The first file has the metadata; the others have tensors and their own number only.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Gguf, MAX_ENTRIES, Value};
use crate::error::Error;

const NUMBER: &str = "split.no";
const COUNT: &str = "split.count";
const TENSORS: &str = "split.tensors.count";

/// The name of a part.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PartName {
    before: String,
    /// Counted from 1.
    pub(super) number: u64,
    pub(super) count: u64,
}

impl PartName {
    /// The parts of a file's name, if it is that of a part.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.strip_suffix(".gguf")?;
        let (rest, count) = name.rsplit_once("-of-")?;
        let (before, number) = rest.rsplit_once('-')?;
        let digits = |text: &str| {
            let five = text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit());
            five.then(|| text.parse().ok()).flatten()
        };
        Some(Self {
            before: before.to_owned(),
            number: digits(number)?,
            count: digits(count)?,
        })
    }

    /// The path of another part beside `path`.
    fn sibling(&self, path: &Path, number: u64) -> PathBuf {
        path.with_file_name(format!(
            "{}-{number:05}-of-{:05}.gguf",
            self.before, self.count
        ))
    }
}

/// The first file, if all of these are parts of one model.
pub(super) fn first(files: &[PathBuf]) -> Option<&PathBuf> {
    let mut firsts = files
        .iter()
        .filter_map(|file| Some((file, PartName::of(file)?)));
    let (first, name) = firsts.find(|(_, name)| name.number == 1)?;
    let same = |file: &PathBuf| {
        PartName::of(file).is_some_and(|n| n.before == name.before && n.count == name.count)
    };
    files.iter().all(same).then_some(first)
}

impl Gguf {
    /// Adds the tensors of the other files, if this is the first of several.
    pub(super) fn join_parts(&mut self) -> Result<(), Error> {
        let count = self.whole(COUNT)?.unwrap_or(1);
        if count <= 1 {
            return Ok(());
        }
        let number = self.whole(NUMBER)?.unwrap_or(0);
        let path = self.path.clone();
        let name = PartName::of(&path).filter(|n| n.count == count && n.number == number + 1);
        let Some(name) = name else {
            let message = format!(
                "{count}: is part {} of a model in {count} files, whose name must end in \
                 -{:05}-of-{count:05}.gguf",
                number + 1,
                number + 1
            );
            return Err(self.error(COUNT, message));
        };
        if number != 0 {
            let first = name.sibling(&path, 1);
            let message = format!("{number}: is not the first part; name {}", first.display());
            return Err(self.error(NUMBER, message));
        }
        let mut names: BTreeSet<String> = self.tensors.iter().map(|t| t.name.clone()).collect();
        for number in 1..count {
            let part = Self::open_file(&name.sibling(&path, number + 1))?;
            for (key, expected) in [(NUMBER, number), (COUNT, count)] {
                let found = part.whole(key)?;
                if found != Some(expected) {
                    let found = found.map_or("missing".to_owned(), |n| n.to_string());
                    let message = format!("{found}, expected {expected}");
                    return Err(part.error(key, message));
                }
            }
            self.take(part, &mut names)?;
        }
        let (said, held) = (self.whole(TENSORS)?, self.tensors.len() as u64);
        if said.is_some_and(|said| said != held) {
            let message = format!("the {count} files hold {held} tensors");
            return Err(self.error(TENSORS, message));
        }
        Ok(())
    }

    /// Adds the tensors of another file to these, which have the names `names`.
    fn take(&mut self, part: Self, names: &mut BTreeSet<String>) -> Result<(), Error> {
        for tensor in &part.tensors {
            if !names.insert(tensor.name.clone()) {
                return Err(part.tensor_error(&tensor.name, "is also in another of the files"));
            }
        }
        if (self.tensors.len() + part.tensors.len()) as u64 > MAX_ENTRIES {
            return Err(Error::format(&part.path, "more tensors than any model has"));
        }
        let number = self.files.len();
        self.files.push(part.path);
        let moved = part.tensors.into_iter().map(|mut tensor| {
            tensor.file = number;
            tensor
        });
        self.tensors.extend(moved);
        Ok(())
    }

    /// A whole number of the metadata.
    fn whole(&self, key: &str) -> Result<Option<u64>, Error> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Unsigned(n)) => Ok(Some(*n)),
            Some(value) => Err(self.error(key, format!("{value} is no whole number"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_parts() {
        let of = |name: &str| PartName::of(Path::new(name)).map(|n| (n.before, n.number, n.count));
        let some = |before: &str, number, count| Some((before.to_owned(), number, count));
        assert_eq!(of("a/m-00001-of-00003.gguf"), some("m", 1, 3));
        assert_eq!(of("m-q4-00012-of-00012.gguf"), some("m-q4", 12, 12));
        for name in [
            "m.gguf",
            "m-1-of-3.gguf",
            "m-00001-of-00003.bin",
            "m-0000a-of-00003.gguf",
        ] {
            assert_eq!(of(name), None, "{name}");
        }
        let files = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        let parts = files(&["m-00002-of-00002.gguf", "m-00001-of-00002.gguf"]);
        assert_eq!(first(&parts), Some(&parts[1]));
        for other in [
            &["m-00001-of-00002.gguf", "n-00002-of-00002.gguf"][..],
            &["m-00001-of-00002.gguf", "m.gguf"],
            &["m-00002-of-00002.gguf"],
            &[],
        ] {
            assert_eq!(first(&files(other)), None, "{other:?}");
        }
    }
}
