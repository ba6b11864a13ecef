//! The one error type of the scoring side: every variant names what it speaks of.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What went wrong while reading a checkpoint, building a batch or scoring items.
///
/// Every variant names the file, tensor, field, item or line it concerns, so that a message can be
/// acted on without a debugger.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused a read or a write.
    Io {
        /// File concerned.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file is not in the format it should be in.
    Format {
        /// File concerned.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A field of `config.json` is missing, malformed or not supported.
    Config {
        /// File concerned.
        path: PathBuf,
        /// Field, dotted where nested (`rope_scaling.rope_type`).
        field: String,
        /// What is wrong with its value, with the value.
        message: String,
    },
    /// A tensor is missing, of the wrong shape or type, or holds unusable values.
    Tensor {
        /// File concerned (the folder when no file holds the tensor).
        path: PathBuf,
        /// Name of the tensor.
        tensor: String,
        /// What is wrong with it.
        message: String,
    },
    /// A line of an items file cannot be used.
    Line {
        /// File concerned.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// A score log belongs to another checkpoint, distribution or way of scoring.
    Key {
        /// File concerned.
        path: PathBuf,
        /// The field of its key that differs.
        field: String,
        /// What it is there and what it should be.
        message: String,
    },
    /// An item cannot be scored.
    Item {
        /// The item's id.
        id: String,
        /// Why.
        message: String,
    },
    /// A batch is malformed, or asks for what the model does not have.
    Batch {
        /// What is wrong with it.
        message: String,
    },
    /// A backend was handed something it cannot compute with, or failed.
    Backend {
        /// Name of the backend.
        backend: String,
        /// What went wrong.
        message: String,
    },
    /// A checkpoint takes more memory than is allowed.
    Memory {
        /// The checkpoint.
        path: PathBuf,
        /// Bytes it would take.
        estimate: u64,
        /// Bytes it may take.
        limit: u64,
    },
    /// An option has a value that makes no sense.
    Option {
        /// Name of the option.
        option: &'static str,
        /// What is wrong with its value.
        message: String,
    },
}

impl Error {
    /// An [`Error::Io`] for `path`.
    pub fn io(path: impl AsRef<Path>, source: io::Error) -> Self {
        Self::Io {
            path: path.as_ref().to_owned(),
            source,
        }
    }

    /// An [`Error::Format`] for `path`.
    pub fn format(path: impl AsRef<Path>, message: impl fmt::Display) -> Self {
        Self::Format {
            path: path.as_ref().to_owned(),
            message: message.to_string(),
        }
    }

    /// An [`Error::Item`] for the item `id`.
    pub fn item(id: impl Into<String>, message: impl fmt::Display) -> Self {
        Self::Item {
            id: id.into(),
            message: message.to_string(),
        }
    }

    /// An [`Error::Batch`].
    pub fn batch(message: impl fmt::Display) -> Self {
        Self::Batch {
            message: message.to_string(),
        }
    }

    /// An [`Error::Backend`] of the backend `name`.
    pub fn backend(name: impl Into<String>, message: impl fmt::Display) -> Self {
        Self::Backend {
            backend: name.into(),
            message: message.to_string(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Format { path, message } => write!(f, "{}: {message}", path.display()),
            Self::Config {
                path,
                field,
                message,
            } => {
                write!(f, "{}: field `{field}`: {message}", path.display())
            }
            Self::Tensor {
                path,
                tensor,
                message,
            } => {
                write!(f, "{}: tensor `{tensor}`: {message}", path.display())
            }
            Self::Line {
                path,
                line,
                message,
            } => {
                write!(f, "{}: line {line}: {message}", path.display())
            }
            Self::Key {
                path,
                field,
                message,
            } => {
                write!(f, "{}: `{field}` differs: {message}", path.display())
            }
            Self::Item { id, message } => write!(f, "item `{id}`: {message}"),
            Self::Batch { message } => write!(f, "batch: {message}"),
            Self::Backend { backend, message } => write!(f, "backend `{backend}`: {message}"),
            Self::Memory {
                path,
                estimate,
                limit,
            } => {
                let path = path.display();
                write!(
                    f,
                    "{path}: takes {estimate} bytes of memory, the limit is {limit}"
                )
            }
            Self::Option { option, message } => write!(f, "option `{option}`: {message}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
