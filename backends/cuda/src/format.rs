//! Number formats of the device, and values on their way to and from it.

use std::sync::Arc;

use cudarc::cublaslt::sys::cudaDataType_t;
use half::{bf16, f16};
use relscale::Error;
use relscale::backend::Values;

use crate::NAME;
use crate::buffer::Matrix;
use crate::device::Device;
use crate::memory::{Memory, Plain};

/// A number format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Format {
    F32,
    F16,
    Bf16,
}

impl Format {
    /// The suffix of the names of kernels.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }

    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// Number of values in 16 bytes.
    pub(crate) fn lane(self) -> u32 {
        16 / self.bytes() as u32
    }

    pub(crate) fn cuda(self) -> cudaDataType_t {
        match self {
            Self::F32 => cudaDataType_t::CUDA_R_32F,
            Self::F16 => cudaDataType_t::CUDA_R_16F,
            Self::Bf16 => cudaDataType_t::CUDA_R_16BF,
        }
    }

    /// Uploads values rounded to this format; those of a weight with the zeros around it.
    pub(crate) fn upload(
        self,
        device: &Arc<Device>,
        values: &Values<'_>,
        matrix: Option<Matrix>,
    ) -> Result<Memory, Error> {
        Ok(match (self, values) {
            (Self::F32, Values::F32(v)) => send(device, v, matrix)?,
            (Self::F16, Values::F16(v)) => send(device, v, matrix)?,
            (Self::Bf16, Values::Bf16(v)) => send(device, v, matrix)?,
            (Self::F32, v) => send(device, &v.to_f32(), matrix)?,
            (Self::Bf16, Values::F32(v)) => send(device, &round(v, bf16::from_f32), matrix)?,
            (Self::Bf16, v) => send(device, &round(&v.to_f32(), bf16::from_f32), matrix)?,
            (Self::F16, v) => {
                let v = v.to_f32();
                if let Some(x) = v
                    .iter()
                    .find(|x| x.is_finite() && f16::from_f32(**x).is_infinite())
                {
                    let message =
                        format!("a weight of {x:e} is outside the range of f16: use bf16 or f32");
                    return Err(Error::backend(NAME, message));
                }
                send(device, &round(&v, f16::from_f32), matrix)?
            }
        })
    }

    /// Reads `len` values and widens them, which is exact.
    pub(crate) fn read(
        self,
        device: &Device,
        memory: &Memory,
        len: usize,
    ) -> Result<Vec<f32>, Error> {
        Ok(match self {
            Self::F32 => device.download(memory, len)?,
            Self::F16 => Values::F16(&device.download(memory, len)?).to_f32(),
            Self::Bf16 => Values::Bf16(&device.download(memory, len)?).to_f32(),
        })
    }
}

fn round<T>(values: &[f32], to: impl Fn(f32) -> T) -> Vec<T> {
    values.iter().map(|&x| to(x)).collect()
}

/// Uploads values, those of a weight with zeros up to its size in memory.
fn send<T: Plain>(
    device: &Arc<Device>,
    values: &[T],
    matrix: Option<Matrix>,
) -> Result<Memory, Error> {
    let padded = match matrix {
        Some(m) if !values.is_empty() && (m.rows, m.cols) != (m.height, m.stride) => m,
        _ => return Ok(device.upload(values)?),
    };
    let mut all = vec![T::default(); padded.height * padded.stride];
    let rows = all.chunks_exact_mut(padded.stride);
    for (row, given) in rows.zip(values.chunks_exact(padded.cols)) {
        row[..padded.cols].copy_from_slice(given);
    }
    Ok(device.upload(&all)?)
}
