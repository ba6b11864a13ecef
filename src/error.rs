//! The error type of the scoring side.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The cause of an error, as the code that failed reported it.
type Source = Box<dyn std::error::Error + Send + Sync>;

/// An error of reading a checkpoint, computing with a model or scoring items.
///
/// Every variant names the file, tensor, field, line, item, option or backend it concerns, so that
/// its message says where to look.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused a read or a write.
    Io {
        /// The file.
        path: PathBuf,
        /// The reason of the operating system.
        source: io::Error,
    },
    /// A file is not in the expected format.
    Format {
        /// The file.
        path: PathBuf,
        /// The deviation from the format.
        message: String,
    },
    /// A field of `config.json` or a key of GGUF metadata is missing, malformed or not supported.
    Config {
        /// The file.
        path: PathBuf,
        /// The field, dotted if nested (`rope_scaling.rope_type`).
        field: String,
        /// The fault, with the value of the field.
        message: String,
    },
    /// A tensor is missing, has another shape or type, or holds unusable values.
    Tensor {
        /// The file, or the folder if no file holds the tensor.
        path: PathBuf,
        /// Name of the tensor.
        tensor: String,
        /// The fault.
        message: String,
    },
    /// A line of a text file cannot be used.
    Line {
        /// The file.
        path: PathBuf,
        /// Number of the line, counted from 1.
        line: usize,
        /// The fault.
        message: String,
    },
    /// A score log belongs to another checkpoint, distribution or way of scoring.
    Key {
        /// The file.
        path: PathBuf,
        /// The field of the key that differs.
        field: String,
        /// The value in the file and the expected value.
        message: String,
    },
    /// An item cannot be scored.
    Item {
        /// Id of the item.
        id: String,
        /// The fault.
        message: String,
    },
    /// A batch is malformed, or asks for something the model does not have.
    Batch {
        /// The fault.
        message: String,
    },
    /// A backend was given operands it cannot compute with, or failed.
    Backend {
        /// Name of the backend.
        backend: String,
        /// The cause: a [`ShapeError`](crate::backend::ShapeError), an error of the device's
        /// driver, or a message.
        source: Source,
    },
    /// A backend has no memory left for a tensor or a result.
    ///
    /// The batch that needed it can be tried again with fewer tokens, on the same model.
    OutOfMemory {
        /// Name of the backend.
        backend: String,
        /// Number of bytes requested, where it is known.
        requested: Option<u64>,
        /// The cause.
        source: Source,
    },
    /// A backend does not compute an operation, which only some architectures need.
    Unsupported {
        /// Name of the backend.
        backend: String,
        /// The operation.
        operation: &'static str,
    },
    /// A checkpoint needs more memory than its limit.
    MemoryLimit {
        /// The checkpoint.
        path: PathBuf,
        /// Estimated memory of the checkpoint, in bytes.
        estimate: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The caller stopped an evaluation
    /// ([`Evaluation::stop_when`](crate::evaluate::Evaluation::stop_when)).
    Interrupted,
    /// An option has a value that makes no sense.
    Option {
        /// Name of the option.
        option: &'static str,
        /// The fault, with the value of the option.
        message: String,
    },
}

impl Error {
    /// An [`Error::Io`] about `path`.
    pub fn io(path: impl AsRef<Path>, source: io::Error) -> Self {
        Self::Io {
            path: path.as_ref().to_owned(),
            source,
        }
    }

    /// An [`Error::Format`] about `path`.
    pub fn format(path: impl AsRef<Path>, message: impl fmt::Display) -> Self {
        Self::Format {
            path: path.as_ref().to_owned(),
            message: message.to_string(),
        }
    }

    /// An [`Error::Item`] about the item `id`.
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

    /// An [`Error::Backend`] of the backend `name`. The source is an error or a message.
    ///
    /// # Examples
    /// ```
    /// use std::error::Error as _;
    /// use relscale::Error;
    ///
    /// let error = Error::backend("mine", "the device is gone");
    /// assert_eq!(error.to_string(), "backend `mine`: the device is gone");
    ///
    /// let cause = "x".parse::<i32>().unwrap_err();
    /// let error = Error::backend("mine", cause.clone());
    /// let source = error.source().and_then(|s| s.downcast_ref::<std::num::ParseIntError>());
    /// assert_eq!(source, Some(&cause));
    /// ```
    pub fn backend(name: impl Into<String>, source: impl Into<Source>) -> Self {
        Self::Backend {
            backend: name.into(),
            source: source.into(),
        }
    }

    /// An [`Error::OutOfMemory`] of the backend `name`. The source is an error or a message.
    pub fn out_of_memory(
        name: impl Into<String>,
        requested: Option<u64>,
        source: impl Into<Source>,
    ) -> Self {
        Self::OutOfMemory {
            backend: name.into(),
            requested,
            source: source.into(),
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
            } => write!(f, "{}: field `{field}`: {message}", path.display()),
            Self::Tensor {
                path,
                tensor,
                message,
            } => write!(f, "{}: tensor `{tensor}`: {message}", path.display()),
            Self::Line {
                path,
                line,
                message,
            } => write!(f, "{}: line {line}: {message}", path.display()),
            Self::Key {
                path,
                field,
                message,
            } => write!(f, "{}: `{field}` differs: {message}", path.display()),
            Self::Item { id, message } => write!(f, "item `{id}`: {message}"),
            Self::Batch { message } => write!(f, "batch: {message}"),
            Self::Backend { backend, source }
            | Self::OutOfMemory {
                backend, source, ..
            } => write!(f, "backend `{backend}`: {source}"),
            Self::Unsupported { backend, operation } => write!(
                f,
                "backend `{backend}`: {operation} is not computed there; use another backend for \
                 this checkpoint, such as `cpu`"
            ),
            Self::MemoryLimit {
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
            Self::Interrupted => f.write_str("interrupted"),
            Self::Option { option, message } => write!(f, "option `{option}`: {message}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Backend { source, .. } | Self::OutOfMemory { source, .. } => Some(&**source),
            _ => None,
        }
    }
}
