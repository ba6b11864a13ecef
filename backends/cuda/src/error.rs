//! Errors of the driver, the device and the libraries, with a remedy in each message.

use std::fmt;
use std::path::PathBuf;

use cudarc::cublaslt::result::CublasError;
use cudarc::cublaslt::sys::cublasStatus_t;
use cudarc::driver::DriverError;
use cudarc::driver::sys::CUresult;

use crate::kernels::Kernel;

/// An error of the driver, the device or a library. Its message says what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CudaError {
    /// No CUDA driver is installed.
    NoDriver,
    /// The driver is older than the kernels.
    DriverTooOld {
        /// CUDA version of the driver, major × 1000 + minor × 10.
        found: i32,
    },
    /// The driver has no device of the requested number.
    NoDevice {
        /// The requested number.
        index: usize,
        /// Number of devices.
        count: usize,
    },
    /// The device is older than the kernels.
    DeviceTooOld {
        /// Name of the device.
        device: String,
        /// Its compute capability.
        capability: (i32, i32),
    },
    /// A library beside the driver is missing.
    LibraryMissing {
        /// Name of the library.
        library: &'static str,
    },
    /// The library that `RELSCALE_CUBLASLT` names cannot be used.
    LibraryUnusable {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        message: String,
    },
    /// The memory of the device is full. As a [`relscale::Error`] this is
    /// [`relscale::Error::OutOfMemory`].
    OutOfMemory {
        /// Number of bytes requested, where it is known.
        requested: Option<usize>,
        /// Number of free bytes and of all bytes, where the driver could say.
        memory: Option<(usize, usize)>,
    },
    /// A call of the driver failed.
    Driver {
        /// The action that failed.
        call: &'static str,
        /// The driver's message.
        message: String,
    },
    /// A call of cuBLASLt failed.
    Cublas {
        /// The action that failed.
        call: &'static str,
        /// The library's message.
        message: String,
    },
}

impl CudaError {
    /// The error of the driver while doing `call`.
    pub(crate) fn driver(call: &'static str) -> impl Fn(DriverError) -> Self {
        move |error| match error.0 {
            CUresult::CUDA_ERROR_OUT_OF_MEMORY => Self::OutOfMemory {
                requested: None,
                memory: None,
            },
            _ => Self::Driver {
                call,
                message: error.to_string(),
            },
        }
    }

    /// The error of the driver while doing `call` with a kernel.
    pub(crate) fn kernel(call: &'static str, kernel: Kernel) -> impl Fn(DriverError) -> Self {
        move |error| match Self::driver(call)(error) {
            Self::Driver { call, message } => Self::Driver {
                call,
                message: format!("{kernel}: {message}"),
            },
            other => other,
        }
    }

    /// The error of cuBLASLt while doing `call`.
    pub(crate) fn cublas(call: &'static str) -> impl Fn(CublasError) -> Self {
        move |error| match error.0 {
            cublasStatus_t::CUBLAS_STATUS_ALLOC_FAILED => Self::OutOfMemory {
                requested: None,
                memory: None,
            },
            _ => Self::Cublas {
                call,
                message: error.to_string(),
            },
        }
    }
}

impl fmt::Display for CudaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDriver => f.write_str(
                "no CUDA driver: libcuda was not found. Install the NVIDIA driver (version 550 or \
                 newer), in a container start it with the NVIDIA runtime, or use the `cpu` backend",
            ),
            Self::DriverTooOld { found } => write!(
                f,
                "the driver is made for CUDA {}.{}, the kernels need 12.4: update the NVIDIA \
                 driver to version 550 or newer",
                found / 1000,
                found % 1000 / 10
            ),
            Self::NoDevice { index, count } => write!(
                f,
                "there is no device {index} among {count}: check `nvidia-smi` and \
                 CUDA_VISIBLE_DEVICES"
            ),
            Self::DeviceTooOld {
                device,
                capability: (major, minor),
            } => write!(
                f,
                "{device} has compute capability {major}.{minor}, the kernels need 8.0: use a \
                 device of the Ampere generation or newer, or the `cpu` backend"
            ),
            Self::LibraryMissing { library } => write!(
                f,
                "{library} was not found on the loader's path, in CUDA_HOME, or in a Python \
                 environment: install the CUDA libraries (`pip install nvidia-cublas` for CUDA 13, \
                 `pip install nvidia-cublas-cu12` for CUDA 12), or name the file in {}",
                crate::library::VARIABLE
            ),
            Self::LibraryUnusable { path, message } => write!(
                f,
                "{} names {}, which is no cuBLASLt of CUDA 12 or 13 that loads: {message}",
                crate::library::VARIABLE,
                path.display()
            ),
            Self::OutOfMemory { requested, memory } => {
                f.write_str("the device is out of memory")?;
                if let Some(bytes) = requested {
                    write!(f, " for {bytes} bytes")?;
                }
                if let Some((free, total)) = memory {
                    write!(f, ", {free} of {total} are free")?;
                }
                f.write_str(
                    ": compute fewer tokens at once (`batch_tokens`), store the model in 16 bits, or \
                     end what else runs on the device",
                )
            }
            Self::Driver { call, message } => write!(f, "{call}: {message}"),
            Self::Cublas { call, message } => write!(f, "cuBLASLt, {call}: {message}"),
        }
    }
}

impl std::error::Error for CudaError {}

impl From<CudaError> for relscale::Error {
    fn from(error: CudaError) -> Self {
        match error {
            CudaError::OutOfMemory { requested, .. } => {
                let requested = requested.map(|bytes| bytes as u64);
                Self::out_of_memory(crate::NAME, requested, error)
            }
            other => Self::backend(crate::NAME, other),
        }
    }
}
