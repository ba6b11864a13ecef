//! Addresses of checkpoints on the hub.

use std::fmt;
use std::path::Path;

use relscale::Error;

use crate::released;

/// The start of an address.
pub(super) const SCHEME: &str = "hf://";

/// The address of a checkpoint on the hub: `hf://ORG/NAME@REVISION`, and `/FILE.gguf` behind it where a
/// repository holds several models.
///
/// # Examples
/// ```
/// use relscale_cli::hub::HubAddress;
///
/// let address = HubAddress::named("pythia-160m@step3000")?;
/// assert_eq!(address.to_string(), "hf://EleutherAI/pythia-160m@step3000");
/// assert_eq!(HubAddress::named("hf://org/name")?.to_string(), "hf://org/name@main");
/// # Ok::<(), relscale::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HubAddress {
    repository: String,
    revision: String,
    file: Option<String>,
}

impl fmt::Display for HubAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}@{}", self.repository, self.revision)?;
        match &self.file {
            Some(file) => write!(f, "/{file}"),
            None => Ok(()),
        }
    }
}

impl HubAddress {
    /// The address that a path is, or `None` for a path on disk. Without a revision it is `main`.
    ///
    /// # Errors
    /// An address that no checkpoint can have.
    pub fn of(path: &Path) -> Result<Option<Self>, Error> {
        let Some(rest) = path.to_str().and_then(|path| path.strip_prefix(SCHEME)) else {
            return Ok(None);
        };
        let (rest, file) = model_file(rest);
        let (repository, revision) = parts(rest);
        let address = Self::new(repository, revision).and_then(|a| a.with_file(file));
        address
            .map(Some)
            .map_err(|message| Error::format(path, message))
    }

    /// The checkpoint of an address, of `ORG/NAME@REVISION`, or of the name of a released ladder
    /// ([`released`](crate::released)) such as `pythia-160m@step3000`.
    ///
    /// # Errors
    /// A name without an organisation that is not one of a released ladder.
    pub fn named(name: &str) -> Result<Self, Error> {
        if let Some(address) = Self::of(Path::new(name))? {
            return Ok(address);
        }
        let about = |message: String| Error::format(name, message);
        let (rest, file) = model_file(name);
        let (repository, revision) = parts(rest);
        if repository.contains('/') {
            let address = Self::new(repository, revision).and_then(|a| a.with_file(file));
            return address.map_err(about);
        }
        let Some(organisation) = released::organisation(repository) else {
            let message = format!(
                "`{repository}` is not the name of a released ladder; write \
                 hf://ORG/NAME@REVISION"
            );
            return Err(about(message));
        };
        Self::new(&format!("{organisation}/{repository}"), revision).map_err(about)
    }

    fn new(repository: &str, revision: &str) -> Result<Self, String> {
        let whole = repository.split('/').count() <= 2
            && !repository.contains("--")
            && repository.split('/').all(|part| is_name(part, "-_."));
        if !whole {
            return Err(format!(
                "`{repository}` is not ORG/NAME; an address is hf://ORG/NAME@REVISION"
            ));
        }
        if !revision.split('/').all(|part| is_name(part, "-_.+=~")) {
            return Err(format!(
                "`{revision}` is not the name of a revision (branch, tag or commit)"
            ));
        }
        Ok(Self {
            repository: repository.to_owned(),
            revision: revision.to_owned(),
            file: None,
        })
    }

    fn with_file(mut self, file: Option<&str>) -> Result<Self, String> {
        if let Some(file) = file.filter(|file| !is_name(file, "-_.+=~")) {
            return Err(format!("`{file}` is not the name of a file"));
        }
        self.file = file.map(str::to_owned);
        Ok(self)
    }

    /// The same checkpoint at a commit.
    pub(super) fn at(&self, commit: &str) -> Self {
        Self {
            revision: commit.to_owned(),
            ..self.clone()
        }
    }

    /// The GGUF file, if the address names one.
    pub(super) fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// `ORG/NAME`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Branch, tag or commit.
    #[must_use]
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// The revision, if it is a whole commit hash and can never stand for another checkpoint.
    pub(super) fn commit(&self) -> Option<&str> {
        let revision = &self.revision;
        let is_commit = revision.len() == 40 && revision.bytes().all(|b| b.is_ascii_hexdigit());
        is_commit.then_some(revision)
    }

    /// The cure where nothing can be downloaded.
    pub(super) fn by_hand(&self) -> String {
        format!(
            "download it elsewhere (hf download {} --revision {}) and name its folder",
            self.repository, self.revision
        )
    }
}

/// True for what can be the name of a file or folder of the cache: letters, digits and `more`.
fn is_name(part: &str, more: &str) -> bool {
    !part.is_empty()
        && !part.starts_with('.')
        && !part.contains("..")
        && (part.bytes()).all(|b| b.is_ascii_alphanumeric() || more.as_bytes().contains(&b))
}

/// The address without the GGUF file behind repository and revision, and that file.
fn model_file(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once('/') {
        // `ORG/NAME.gguf` is a repository.
        Some((rest, file)) if file.ends_with(".gguf") && rest.contains(['/', '@']) => {
            (rest, Some(file))
        }
        _ => (text, None),
    }
}

/// Repository and revision.
fn parts(text: &str) -> (&str, &str) {
    text.split_once('@').unwrap_or((text, "main"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        let of = |text: &str| HubAddress::of(Path::new(text)).map(|a| a.map(|a| a.to_string()));
        assert_eq!(of("models/a@b").unwrap(), None);
        for (text, written) in [
            ("hf://gpt2", "hf://gpt2@main"),
            ("hf://a/b@refs/pr/1", "hf://a/b@refs/pr/1"),
            ("hf://a/b_c.d-1@step3000", "hf://a/b_c.d-1@step3000"),
            ("hf://a/b.gguf", "hf://a/b.gguf@main"),
            ("hf://a/b/c-q4.gguf", "hf://a/b@main/c-q4.gguf"),
            ("hf://a/b@refs/pr/1/c.gguf", "hf://a/b@refs/pr/1/c.gguf"),
        ] {
            assert_eq!(of(text).unwrap().as_deref(), Some(written));
            assert_eq!(of(written).unwrap().as_deref(), Some(written));
        }
    }

    #[test]
    fn what_could_leave_the_cache_is_refused() {
        for text in [
            "hf://",
            "hf://a/b/c",
            "hf://../b",
            "hf://a/..",
            "hf://a--b/c",
            "hf:///b",
            "hf://a/b@",
            "hf://a/b@../../x",
            "hf://a/b@/etc",
            "hf://a/b@x//y",
            "hf://a/b@x y",
            "hf://a/b@x?y",
            "hf://a/b@x/c d.gguf",
            "hf://a/b@x/..gguf",
        ] {
            let message = HubAddress::of(Path::new(text)).unwrap_err().to_string();
            assert!(message.starts_with(text), "{message}");
        }
    }

    #[test]
    fn names_of_released_ladders_have_their_organisation() {
        for (name, address) in [
            (
                "pythia-160m@step3000",
                "hf://EleutherAI/pythia-160m@step3000",
            ),
            ("Cerebras-GPT-111M", "hf://cerebras/Cerebras-GPT-111M@main"),
            (
                "DataDecide-c4-4M@step10-seed-default",
                "hf://allenai/DataDecide-c4-4M@step10-seed-default",
            ),
            ("me/pythia-160m", "hf://me/pythia-160m@main"),
        ] {
            assert_eq!(HubAddress::named(name).unwrap().to_string(), address);
        }
        let message = HubAddress::named("phytia-160m").unwrap_err().to_string();
        assert!(
            message.contains("write hf://ORG/NAME@REVISION"),
            "{message}"
        );
    }
}
