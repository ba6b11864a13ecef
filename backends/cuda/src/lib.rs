#![doc = include_str!("../README.md")]

use std::ops::Range;
use std::sync::Arc;

use relscale::Error;
use relscale::backend::{
    self, Activation, Attention, Backend, Choice, Columns, Embed, HostTensor, Linear, LogProb,
    Norm, Pointwise, Role, Rope, Route, Segment, ShapeError, Tensor, check_len,
};

mod attention;
mod buffer;
mod device;
mod elementwise;
mod error;
mod experts;
mod forest;
mod format;
mod gemm;
mod head;
mod kernels;
mod library;
mod memory;
mod mode;
mod product;
mod rows;

pub use buffer::Buffer;
use buffer::{Matrix, View, small};
use device::{Arguments, Device};
pub use error::CudaError;
use forest::{Forest, Recent};
use format::Format;
use gemm::Gemm;
use kernels::{Kernel, Operation};
use memory::Memory;
pub use mode::Mode;

/// Format of weights and activations on the device. Sums are always in f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Precision {
    /// bfloat16: 8 significant bits, the range of f32.
    #[default]
    Bf16,
    /// IEEE half precision: 11 significant bits, values up to 65504.
    F16,
    /// 32-bit floats.
    F32,
    /// 32-bit floats; products round their operands to 11 significant bits.
    Tf32,
}

/// Name of the backend, in messages and results.
const NAME: &str = "cuda";

/// Version of this crate, for the keys of logs.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Revision of the kernels and of the choice of products, for the keys of logs: raised with every change of
/// the bits of a score.
// The test `the_kernels_are_those_of_this_revision` notices a change of the kernels.
pub const KERNEL_REVISION: u32 = 1;

/// A CUDA device as a backend, with one stream.
#[derive(Debug)]
pub struct Cuda {
    device: Arc<Device>,
    gemm: Gemm,
    format: Format,
    rotations: Recent<RotationKey, Memory>,
    /// Positions and rows, which every layer needs again.
    lists: Recent<Vec<u32>, Memory>,
    /// By segments, rows without a query, and the kernel's sizes of tiles.
    forests: Recent<(Vec<Segment>, u32, bool), Forest>,
}

/// Frequencies, scale and number of positions of a table of rotations.
type RotationKey = (Vec<f64>, f64, usize);

impl Cuda {
    /// Opens the first device.
    ///
    /// # Errors
    /// No driver, device or cuBLASLt, or one that is too old. The message says what to install.
    pub fn new(precision: Precision) -> Result<Self, CudaError> {
        Self::on_device(0, precision)
    }

    /// Opens device `index`, counted as by `nvidia-smi` and `CUDA_VISIBLE_DEVICES`.
    ///
    /// # Errors
    /// As for [`Cuda::new`].
    pub fn on_device(index: usize, precision: Precision) -> Result<Self, CudaError> {
        let device = Device::open(index)?;
        Ok(Self {
            gemm: Gemm::new(&device, precision == Precision::Tf32)?,
            device,
            format: match precision {
                Precision::Bf16 => Format::Bf16,
                Precision::F16 => Format::F16,
                Precision::F32 | Precision::Tf32 => Format::F32,
            },
            rotations: Recent::default(),
            lists: Recent::default(),
            forests: Recent::default(),
        })
    }

    /// The same device in another mode.
    #[must_use]
    pub fn with_mode(mut self, mode: Mode) -> Self {
        self.gemm.set_mode(mode);
        self
    }

    /// Name of the device.
    pub fn device_name(&self) -> &str {
        self.device.name()
    }

    /// Major and minor number of the CUDA version that the driver was made for.
    pub fn driver_version(&self) -> (i32, i32) {
        let version = self.device.driver();
        (version / 1000, version % 1000 / 10)
    }

    /// Waits until the device has finished all work.
    ///
    /// # Errors
    /// An error of the device since the last call.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        self.device.bind()?;
        self.device.synchronize()
    }

    /// The kernel of an operation in the backend's format. If `wide`, it moves 16 bytes at a time.
    fn kernel(&self, operation: Operation, wide: bool) -> Kernel {
        Kernel::Rows {
            operation,
            format: self.format,
            wide,
        }
    }

    /// A new buffer of `rows × width` results, with room for the rows that a product adds to them.
    fn result(&self, rows: u32, width: u32) -> Result<Buffer, Error> {
        let len = rows as usize * width as usize;
        let room = product::padded(rows) as usize * width as usize;
        Ok(Buffer {
            memory: Arc::new(self.device.allocate(room * self.format.bytes())?),
            format: self.format,
            len,
            matrix: None,
            bias: None,
        })
    }

    /// A copy of a whole buffer in another format.
    fn convert(&self, x: &Buffer, to: Format) -> Result<Memory, Error> {
        let out = self.device.allocate(x.len * to.bytes())?;
        let kernel = match (x.format, to) {
            (Format::F32, to) => Kernel::Narrow(to),
            (from, Format::F32) => Kernel::Widen(from),
            (from, to) => return Err(misfit(format!("{from:?} values where {to:?} is used"))),
        };
        let blocks = small("blocks", x.len.div_ceil(256)).map_err(fail)?;
        let mut arguments = Arguments::new()
            .long(out.pointer())
            .long(x.memory.pointer())
            .long(x.len as u64);
        // SAFETY: (out, in, length) of the conversion kernels; both hold `len` values.
        unsafe {
            self.device
                .launch(kernel, [blocks, 1], 256, 0, &mut arguments)
        }?;
        Ok(out)
    }

    /// A block of activations in the backend's format. If it is of a product, its bias may still have to
    /// be added.
    fn product(&self, x: Columns<'_, Buffer>) -> Result<View, Error> {
        View::new(x, (&self.device, self.format), |buffer| {
            // A bias of other rows than the block's is added to a copy.
            if buffer.bias.is_some() {
                return Ok(rows::with_bias(self, buffer)?.memory);
            }
            Ok(Arc::new(self.convert(buffer, self.format)?))
        })
    }

    /// A block of activations in the backend's format, with all biases added.
    fn view(&self, x: Columns<'_, Buffer>) -> Result<View, Error> {
        let view = self.product(x)?;
        if view.bias.is_none() {
            return Ok(view);
        }
        let (rows, width) = (view.rows, view.width);
        Ok(View::whole(rows::settled(self, &view)?, rows, width))
    }

    /// The parameters `what` in f32, which must be `width` values.
    fn parameters(&self, x: &Buffer, what: &str, width: usize) -> Result<Arc<Memory>, Error> {
        x.ensure_on(&self.device).map_err(fail)?;
        if x.matrix.is_some() {
            return Err(misfit(format!("{what} was uploaded as a weight")));
        }
        check_len(what, x.len, width).map_err(fail)?;
        if x.bias.is_some() {
            return self.parameters(&rows::with_bias(self, x)?, what, width);
        }
        if x.format == Format::F32 {
            return Ok(Arc::clone(&x.memory));
        }
        Ok(Arc::new(self.convert(x, Format::F32)?))
    }

    fn optional(
        &self,
        x: Option<&Buffer>,
        what: &str,
        width: usize,
    ) -> Result<Option<Arc<Memory>>, Error> {
        x.map(|x| self.parameters(x, what, width)).transpose()
    }

    /// The numbers on the device. They stay there for the next layer.
    fn list(&self, values: &[u32]) -> Result<Arc<Memory>, CudaError> {
        self.lists.find(
            |list| list == values,
            || Ok((values.to_vec(), self.device.upload(values)?)),
        )
    }
}

/// Number of threads for a row of `width` values with `lane` values per thread: whole warps, at most
/// 256, beyond which a thread takes several turns.
fn threads(width: u32, lane: u32) -> u32 {
    (width / lane).next_multiple_of(32).clamp(32, 256)
}

/// The error about operands that do not fit.
fn fail(misfit: ShapeError) -> Error {
    Error::backend(NAME, misfit)
}

/// The error with a message about operands that do not fit.
fn misfit(message: impl Into<String>) -> Error {
    fail(ShapeError::new(message))
}

#[deny(clippy::missing_trait_methods)]
impl Backend for Cuda {
    type Buffer = Buffer;

    fn name(&self) -> &str {
        NAME
    }

    fn device(&self) -> Option<String> {
        let (major, minor) = self.driver_version();
        Some(format!(
            "{}, CUDA driver {major}.{minor}",
            self.device_name()
        ))
    }

    fn enough_tokens(&self) -> Option<usize> {
        // The more rows, the better a GPU is filled.
        None
    }

    fn upload(&self, tensor: &Tensor<'_>) -> Result<Buffer, Error> {
        let (rows, cols, len) = (tensor.rows, tensor.cols, tensor.values.len());
        if rows.checked_mul(cols) != Some(len) {
            return Err(misfit(format!("{len} values for {rows} × {cols}")));
        }
        self.device.bind()?;
        // Vectors are small, so they keep all their digits: Gemma's norms are 1 + w, of which 16 bits
        // would drop most of a small w.
        let (format, matrix) = match tensor.role {
            Role::Dense => (Format::F32, None),
            Role::Matrix => (self.format, Some(Matrix::new(rows, cols, self.format))),
        };
        Ok(Buffer {
            memory: Arc::new(format.upload(&self.device, &tensor.values, matrix)?),
            format,
            len,
            matrix,
            bias: None,
        })
    }

    fn upload_rows(
        &self,
        [rows, cols]: [usize; 2],
        role: Role,
        read: &mut dyn FnMut(Range<usize>) -> Result<HostTensor, Error>,
    ) -> Result<Buffer, Error> {
        // All rows at once: beside a device, host memory is not what is scarce.
        let host = read(0..rows)?;
        self.upload(&Tensor {
            values: host.values(),
            rows,
            cols,
            role,
        })
    }

    fn tensor_bytes(&self, [rows, cols]: [usize; 2], _: backend::Precision, role: Role) -> u64 {
        let (format, lane) = match role {
            Role::Dense => (Format::F32, 1),
            Role::Matrix => (self.format, u64::from(self.format.lane())),
        };
        // As `Matrix` fills weights up.
        let whole = |n: usize| (n as u64).div_ceil(lane).saturating_mul(lane);
        whole(rows)
            .saturating_mul(whole(cols))
            .saturating_mul(format.bytes() as u64)
    }

    fn read(&self, buffer: &Buffer) -> Result<Vec<f32>, Error> {
        self.device.bind()?;
        buffer.ensure_on(&self.device).map_err(fail)?;
        buffer.read(&self.device)
    }

    fn embed(&self, table: &Buffer, op: &Embed<'_>) -> Result<Buffer, Error> {
        self.device.bind()?;
        rows::embed(self, table, op)
    }

    fn norm(&self, x: Columns<'_, Buffer>, op: &Norm<'_, Buffer>) -> Result<Buffer, Error> {
        self.device.bind()?;
        elementwise::norm(self, x, op)
    }

    fn linear(&self, x: Columns<'_, Buffer>, op: &Linear<'_, Buffer>) -> Result<Buffer, Error> {
        self.device.bind()?;
        product::linear(self, x, op)
    }

    fn rope(&self, x: Columns<'_, Buffer>, op: &Rope<'_>) -> Result<Buffer, Error> {
        self.device.bind()?;
        elementwise::rope(self, x, op)
    }

    fn attention(
        &self,
        q: Columns<'_, Buffer>,
        k: Columns<'_, Buffer>,
        v: Columns<'_, Buffer>,
        op: &Attention<'_>,
    ) -> Result<Buffer, Error> {
        self.device.bind()?;
        attention::attention(self, q, k, v, op)
    }

    fn activate(
        &self,
        gate: Columns<'_, Buffer>,
        up: Option<Columns<'_, Buffer>>,
        function: Activation,
    ) -> Result<Buffer, Error> {
        self.device.bind()?;
        elementwise::activate(self, gate, up, function)
    }

    fn pointwise(&self, x: Columns<'_, Buffer>, function: Pointwise) -> Result<Buffer, Error> {
        self.device.bind()?;
        rows::pointwise(self, x, function)
    }

    fn route(&self, logits: Columns<'_, Buffer>, op: &Route) -> Result<Vec<Choice>, Error> {
        self.device.bind()?;
        experts::route(self, logits, op)
    }

    fn add_rows(
        &self,
        x: Buffer,
        y: Columns<'_, Buffer>,
        rows: &[usize],
        weights: &[f64],
    ) -> Result<Buffer, Error> {
        self.device.bind()?;
        experts::add_rows(self, x, y, rows, weights)
    }

    fn add(&self, x: Buffer, y: &Buffer) -> Result<Buffer, Error> {
        self.device.bind()?;
        elementwise::add(self, x, y)
    }

    fn gather(&self, x: Columns<'_, Buffer>, rows: &[usize]) -> Result<Buffer, Error> {
        self.device.bind()?;
        rows::gather(self, x, rows)
    }

    fn concat(&self, x: Columns<'_, Buffer>, y: Columns<'_, Buffer>) -> Result<Buffer, Error> {
        self.device.bind()?;
        rows::concat(self, x, y)
    }

    fn log_prob(
        &self,
        x: Columns<'_, Buffer>,
        op: &LogProb<'_, Buffer>,
    ) -> Result<Vec<f64>, Error> {
        self.device.bind()?;
        head::log_prob(self, x, op)
    }
}
