//! The kernels, by what they do and in which format.

use std::fmt;

use crate::format::Format;

/// An operation that comes for single values and for 16 bytes at a time, in every format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    Activate,
    Add,
    AddRows,
    Gather,
    Norm,
    Rope,
}

/// A kernel.
///
/// Its name exists only where it is looked up and where it fails: a layer has a dozen launches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kernel {
    /// If `wide`, it moves 16 bytes at a time.
    Rows {
        operation: Operation,
        format: Format,
        wide: bool,
    },
    /// Attention on tensor cores, with tiles of so many warps.
    Flash {
        format: Format,
        dim: u32,
        warps: u32,
    },
    Attention(Format),
    LogProb,
    /// From f32 to a format of 16 bits.
    Narrow(Format),
    /// From a format of 16 bits to f32.
    Widen(Format),
}

impl Kernel {
    /// Every kernel.
    pub(crate) fn all() -> Vec<Self> {
        let operations = [
            Operation::Activate,
            Operation::Add,
            Operation::AddRows,
            Operation::Gather,
            Operation::Norm,
            Operation::Rope,
        ];
        let mut all = vec![Self::LogProb];
        for format in [Format::F32, Format::F16, Format::Bf16] {
            for operation in operations {
                all.extend([false, true].map(|wide| Self::Rows {
                    operation,
                    format,
                    wide,
                }));
            }
            all.push(Self::Attention(format));
        }
        for format in [Format::F16, Format::Bf16] {
            all.extend([Self::Narrow(format), Self::Widen(format)]);
            let tiles = [(64, 4), (96, 4), (96, 8), (128, 4), (128, 8)];
            all.extend(tiles.map(|(dim, warps)| Self::Flash { format, dim, warps }));
        }
        all
    }
}

impl fmt::Display for Kernel {
    /// The name in the PTX.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Rows {
                operation,
                format,
                wide,
            } => {
                let operation = match operation {
                    Operation::Activate => "activate",
                    Operation::Add => "add",
                    Operation::AddRows => "add_rows",
                    Operation::Gather => "gather",
                    Operation::Norm => "norm",
                    Operation::Rope => "rope",
                };
                let wide = if wide { "_v" } else { "" };
                write!(f, "{operation}_{}{wide}", format.name())
            }
            Self::Flash { format, dim, warps } => {
                write!(f, "flash_{}_{dim}_{warps}", format.name())
            }
            Self::Attention(format) => write!(f, "attention_{}", format.name()),
            Self::LogProb => f.write_str("log_prob"),
            Self::Narrow(format) => write!(f, "narrow_{}", format.name()),
            Self::Widen(format) => write!(f, "widen_{}", format.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{MODULES, entries};

    /// Every kernel of the PTX has one value, and the other way round.
    #[test]
    fn kernels_are_those_of_the_sources() {
        let mut names: Vec<String> = Kernel::all().iter().map(Kernel::to_string).collect();
        names.sort();
        let mut entries: Vec<&str> = MODULES.iter().flat_map(|ptx| entries(ptx)).collect();
        entries.sort_unstable();
        assert_eq!(names, entries);
    }

    /// Logs of one revision are continued with another build only if it has the same kernels. If this fails,
    /// raise [`KERNEL_REVISION`](crate::KERNEL_REVISION) unless no bit of a score has changed, and note the
    /// new hashes.
    #[test]
    fn the_kernels_are_those_of_this_revision() {
        let revision_1 = [
            ("elementwise", "4c8c6be9d1087756"),
            ("norm", "6356015d3a3f4a6c"),
            ("attention", "4b0d58280f3b0b6c"),
            ("flash", "a41b273acc6e3077"),
            ("head", "151a77d9c062672c"),
        ];
        let found = revision_1.map(|(name, _)| {
            let file = format!("{}/kernels/ptx/{name}.ptx", env!("CARGO_MANIFEST_DIR"));
            let hash = relscale::log::file_hash(file).unwrap();
            (name, hash[..16].to_owned())
        });
        let known = revision_1.map(|(name, hash)| (name, hash.to_owned()));
        assert_eq!((crate::KERNEL_REVISION, found), (1, known));
    }
}
