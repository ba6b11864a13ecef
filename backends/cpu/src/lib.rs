//! SIMD CPU backend of [relscale].
//!
//! [`Cpu`] is a [`Backend`](relscale::backend::Backend): weights are packed once at load, products run on register tiles,
//! attention streams over blocks of keys, and the LM head never stores its logits. It uses AVX-512,
//! AVX2 with FMA, or NEON if the processor has them, and portable code if not.
//!
//! # Reproducibility
//! The same item on the same checkpoint gives the same bits, whatever else is in the batch, however
//! its prefix is shared, on any number of threads and with any of the instruction sets.
//! Every output element is one chain of operations in a fixed order, and no sum crosses threads. A host
//! program that flushes subnormal numbers to zero, or rounds in another direction, changes nothing: every
//! operation runs in the standard floating-point environment and puts the caller's back.
//!
//! # Examples
//! ```
//! use relscale::backend::{Backend, Columns, Linear, Role, Tensor, Values};
//! use relscale_cpu::Cpu;
//!
//! let cpu = Cpu::new();
//! let w = Tensor { values: Values::F32(&[1.0, 2.0, 3.0, 4.0]), rows: 2, cols: 2, role: Role::Matrix };
//! let w = cpu.upload(&w)?;
//! let x = Tensor { values: Values::F32(&[10.0, 1.0]), rows: 1, cols: 2, role: Role::Dense };
//! let x = cpu.upload(&x)?;
//! let op = Linear { weight: &w, bias: None, inputs: 2, outputs: 2 };
//! let y = cpu.linear(Columns::all(&x, 1, 2), &op)?;
//! assert_eq!(cpu.read(&y)?, [12.0, 34.0]);
//! # Ok::<(), relscale::Error>(())
//! ```

use std::sync::Arc;

use relscale::Error;

mod attention;
mod buffer;
mod environment;
mod gemm;
mod head;
#[cfg(target_arch = "aarch64")]
mod neon;
mod ops;
mod pages;
mod pairs;
mod parallel;
mod precision;
mod rows;
mod simd;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use buffer::Buffer;
use buffer::Pool;
use environment::Standard;
use parallel::Threads;
pub use precision::Precision;
use simd::Isa;

/// Name of the backend, in messages and results.
const NAME: &str = "cpu";

/// Version of this crate, for the keys of logs.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Revision of the kernels, for the keys of logs: raised with every change of the bits of a score.
// The test `the_bits_are_those_of_this_revision` of `tests/reproducibility.rs` notices such a change.
pub const KERNEL_REVISION: u32 = 1;

/// Most threads of a backend: several times the cores of the largest machines. A number beyond it is a slip,
/// and would take the machine's threads before it failed.
const MOST_THREADS: usize = 4096;

/// The CPU as a backend.
#[derive(Debug, Clone)]
pub struct Cpu {
    isa: Isa,
    precision: Precision,
    threads: Threads,
    pool: Pool,
    rotations: rows::RotationCache,
}

impl Default for Cpu {
    fn default() -> Self {
        Self::new()
    }
}

impl Cpu {
    /// The backend with the best instruction set of this processor and one thread per core.
    ///
    /// Falls back to one thread if the system refuses to start more.
    pub fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_threads(cores).unwrap_or_else(|_| Self::on(Threads::One))
    }

    /// The backend with `threads` threads: the caller's own, and `threads - 1` that all callers
    /// share.
    ///
    /// # Errors
    /// Zero threads, more than 4096, or a system that refuses to start them.
    pub fn with_threads(threads: usize) -> Result<Self, Error> {
        match threads {
            0 => Err(Error::Option {
                option: "threads",
                message: "at least 1".to_owned(),
            }),
            1 => Ok(Self::on(Threads::One)),
            n if n > MOST_THREADS => Err(Error::Option {
                option: "threads",
                message: format!("{n} are more than {MOST_THREADS}; one per core is best"),
            }),
            n => rayon::ThreadPoolBuilder::new()
                // The caller's thread is the remaining one.
                .num_threads(n - 1)
                .thread_name(|i| format!("relscale-cpu-{i}"))
                // A thread inherits the environment of the one that starts it.
                .start_handler(|_| Standard::for_good())
                .build()
                .map(|pool| Self::on(Threads::Many(Arc::new(pool))))
                .map_err(|e| Error::backend(NAME, e)),
        }
    }

    fn on(threads: Threads) -> Self {
        Self {
            // `available` lists the best first and always ends with the portable one.
            isa: Isa::available()[0],
            precision: Precision::default(),
            threads,
            pool: Pool::default(),
            rotations: rows::RotationCache::default(),
        }
    }

    /// The same backend with another precision of products, for weights that are uploaded from now on.
    #[must_use]
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Precision of products.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The same backend with another instruction set: `"avx512bf16"`, `"avx512"`, `"avx2"`, `"neon"` or
    /// `"scalar"`.
    ///
    /// # Errors
    /// A name that is unknown, or an instruction set that this processor does not have.
    pub fn with_instructions(mut self, name: &str) -> Result<Self, Error> {
        let available = Isa::available();
        match available.iter().find(|isa| isa.name() == name) {
            Some(&isa) => {
                self.isa = isa;
                Ok(self)
            }
            None => Err(Error::Option {
                option: "instructions",
                message: format!(
                    "`{name}` is not one of {}",
                    available
                        .iter()
                        .map(|i| i.name())
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
            }),
        }
    }

    /// Name of the instruction set in use.
    pub fn instructions(&self) -> &'static str {
        self.isa.name()
    }
}

/// The example of the README is tested.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
