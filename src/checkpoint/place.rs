//! The place of a checkpoint: a path, and that of the base of an adapter.

use std::path::{Path, PathBuf};

use super::adapter::Adapter;
use crate::error::Error;

/// A checkpoint to load: a folder or GGUF file, or a LoRA adapter on a base.
///
/// Every path stands for the checkpoint there. Of an adapter, the base is the folder that its
/// `adapter_config.json` names, unless [`with_base`](Self::with_base) names another.
///
/// # Examples
/// ```no_run
/// use relscale::backend::Reference;
/// use relscale::checkpoint::Checkpoint;
/// use relscale::model::Transformer;
///
/// let before = Transformer::load("llama", Reference::<f64>::new())?;
/// let adapted = Checkpoint::from("my-adapter").with_base("llama");
/// let after = Transformer::load(adapted, Reference::<f64>::new())?;
/// # Ok::<(), relscale::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    path: PathBuf,
    base: Option<PathBuf>,
}

impl<T: AsRef<Path> + ?Sized> From<&T> for Checkpoint {
    fn from(path: &T) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            base: None,
        }
    }
}

impl From<PathBuf> for Checkpoint {
    fn from(path: PathBuf) -> Self {
        Self { path, base: None }
    }
}

impl From<String> for Checkpoint {
    fn from(path: String) -> Self {
        PathBuf::from(path).into()
    }
}

impl From<&Checkpoint> for Checkpoint {
    fn from(checkpoint: &Checkpoint) -> Self {
        checkpoint.clone()
    }
}

impl Checkpoint {
    /// Names the folder of the base of an adapter, or a folder of bases.
    ///
    /// A folder without `config.json` is one of bases: the base is the folder in it with the name that
    /// `adapter_config.json` has for it (`OWNER/NAME`, or `NAME`), also as the cache of the Hugging Face
    /// hub has it (`models--OWNER--NAME`).
    #[must_use]
    pub fn with_base(mut self, base: impl Into<PathBuf>) -> Self {
        self.base = Some(base.into());
        self
    }

    /// The folder or file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// True for a LoRA adapter, which has a base.
    ///
    /// # Errors
    /// An adapter of a kind that is not read, or without matrices.
    pub fn is_adapter(&self) -> Result<bool, Error> {
        Ok(Adapter::of(&self.path)?.is_some())
    }

    /// The folder of the whole model and the adapter on it, if the checkpoint is one.
    ///
    /// # Errors
    /// An adapter of a kind that is not read, or without a base on this machine; a base of something
    /// that is no adapter.
    pub(crate) fn adapter(&self) -> Result<Option<(PathBuf, Adapter)>, Error> {
        match (Adapter::of(&self.path)?, &self.base) {
            (None, None) => Ok(None),
            (None, Some(_)) => {
                let message = "holds no adapter (adapter_config.json), so it has no base";
                Err(Error::format(&self.path, message))
            }
            (Some(adapter), Some(base)) => Ok(Some((adapter.base_in(base)?, adapter))),
            (Some(adapter), None) => Ok(Some((adapter.base()?, adapter))),
        }
    }

    /// The folder or file with the configuration and the tensors of the whole model: the base of an adapter, and
    /// the path itself of any other checkpoint.
    ///
    /// # Errors
    /// An adapter of a kind that is not read, or without a base on this machine; a base of something
    /// that is no adapter.
    pub fn whole(&self) -> Result<PathBuf, Error> {
        let adapter = self.adapter()?;
        Ok(adapter.map_or_else(|| self.path.clone(), |(base, _)| base))
    }

    /// The folder or file of the tokenizer: the adapter's own if it has one, else its base's.
    ///
    /// # Errors
    /// An adapter without a tokenizer, of a kind that is not read or without a base on this machine.
    pub fn tokenizer(&self) -> Result<PathBuf, Error> {
        let names = ["tokenizer.json", "tokenizer_config.json"];
        if names.iter().any(|name| self.path.join(name).exists()) {
            return Ok(self.path.clone());
        }
        self.whole()
    }
}
