#![doc = include_str!("../README.md")]

use std::ops::Range;
use std::sync::Arc;

use relscale::Error;
use relscale::backend::{
    self, Activation, Attention, Backend, Columns, Embed, HostTensor, Linear, LogProb, Norm,
    NormKind, Role, Rope, Segment, ShapeError, Tensor, check_attention, check_len, check_targets,
};

mod buffer;
mod device;
mod error;
mod forest;
mod format;
mod gemm;

pub use buffer::Buffer;
use buffer::{View, small};
use device::{Arguments, Device, Memory};
pub use error::CudaError;
use forest::{Forest, Recent};
use format::Format;
use gemm::{Gemm, Places, Shape};

/// How weights and activations are stored; sums are in f32 throughout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Precision {
    /// bfloat16, 8 significant bits with the range of f32.
    #[default]
    Bf16,
    /// IEEE half precision, 11 significant bits up to 65504.
    F16,
    /// 32-bit floats.
    F32,
    /// 32-bit floats whose products round the operands to 11 significant bits.
    Tf32,
}

/// Name of the backend, in messages and results.
const NAME: &str = "cuda";

/// Bytes of logits that exist at once.
const LOGITS: usize = 256 << 20;
/// Rows of logits that exist at once.
const LOGIT_ROWS: usize = 2048;
/// Bytes of shared memory that every device gives without being asked.
const SHARED: usize = 48 << 10;

/// The backend: one device, one stream.
#[derive(Debug)]
pub struct Cuda {
    device: Arc<Device>,
    gemm: Gemm,
    format: Format,
    rotations: Recent<RotationKey, Memory>,
    /// Positions and rows, as every layer asks for them again.
    lists: Recent<Vec<u32>, Memory>,
    forests: Recent<(Vec<Segment>, u32), Forest>,
}

/// Frequencies, scale and number of positions of a table of rotations.
type RotationKey = (Vec<f64>, f64, usize);

impl Cuda {
    /// On the first device.
    ///
    /// # Errors
    /// No driver, device or cuBLASLt, or one that is too old: [`CudaError`] says what to do.
    pub fn new(precision: Precision) -> Result<Self, CudaError> {
        Self::on_device(0, precision)
    }

    /// On device `index`, as `nvidia-smi` and `CUDA_VISIBLE_DEVICES` count.
    ///
    /// # Errors
    /// As for [`Cuda::new`].
    pub fn on_device(index: usize, precision: Precision) -> Result<Self, CudaError> {
        let device = Device::open(index)?;
        if !Gemm::is_present() {
            return Err(CudaError::LibraryMissing {
                library: "libcublasLt",
            });
        }
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

    /// Name of the device.
    pub fn device_name(&self) -> &str {
        self.device.name()
    }

    /// Waits until the device has done everything asked of it.
    ///
    /// # Errors
    /// What went wrong on the device since the last time.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        self.device.bind()?;
        self.device.synchronize()
    }

    /// The kernel of this name for the backend's format, `wide` for 16 bytes at a time.
    fn kernel(&self, name: &str, wide: bool) -> String {
        format!(
            "{name}_{}{}",
            self.format.name(),
            if wide { "_v" } else { "" }
        )
    }

    /// A new buffer of `rows × width` results.
    fn result(&self, rows: u32, width: u32) -> Result<Buffer, Error> {
        let len = rows as usize * width as usize;
        Ok(Buffer {
            memory: self.device.allocate(len * self.format.bytes())?,
            format: self.format,
            len,
            matrix: None,
        })
    }

    /// A copy of a whole buffer in another format.
    fn convert(&self, x: &Buffer, to: Format) -> Result<Memory, Error> {
        let out = self.device.allocate(x.len * to.bytes())?;
        let kernel = match (x.format, to) {
            (Format::F32, to) => format!("narrow_{}", to.name()),
            (from, Format::F32) => format!("widen_{}", from.name()),
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
                .launch(&kernel, [blocks, 1], 256, 0, &mut arguments)
        }?;
        Ok(out)
    }

    /// A block of activations in the backend's format.
    fn view(&self, x: Columns<'_, Buffer>) -> Result<View, Error> {
        View::new(x, self.format, |buffer| self.convert(buffer, self.format))
    }

    /// `width` parameters in f32.
    fn parameters(&self, x: &Buffer, what: &str, width: usize) -> Result<Parameters, Error> {
        if x.matrix.is_some() {
            return Err(misfit(format!("{what} was uploaded as a weight")));
        }
        if x.len != width {
            return Err(misfit(format!(
                "{what} has {} elements, expected {width}",
                x.len
            )));
        }
        let copy = (x.format != Format::F32)
            .then(|| self.convert(x, Format::F32))
            .transpose()?;
        Ok(Parameters {
            pointer: copy.as_ref().unwrap_or(&x.memory).pointer(),
            _copy: copy,
        })
    }

    fn optional(
        &self,
        x: Option<&Buffer>,
        what: &str,
        width: usize,
    ) -> Result<Option<Parameters>, Error> {
        x.map(|x| self.parameters(x, what, width)).transpose()
    }

    /// Rows `ids` of a matrix of `width` columns at `table`, times `scale`.
    fn rows(
        &self,
        table: u64,
        (width, stride): (u32, u32),
        ids: &[u32],
        scale: f32,
    ) -> Result<Buffer, Error> {
        let count = small("rows", ids.len()).map_err(fail)?;
        let out = self.result(count, width)?;
        if out.len > 0 {
            let ids = self.device.upload(ids)?;
            let to = out.memory.pointer();
            self.copy_rows(to, table, (width, stride), (&ids, count), scale)?;
        }
        Ok(out)
    }

    /// [`Self::rows`] into memory at `out`; there are `count` ids, at least one.
    fn copy_rows(
        &self,
        out: u64,
        table: u64,
        (width, stride): (u32, u32),
        (ids, count): (&Memory, u32),
        scale: f32,
    ) -> Result<(), Error> {
        let lane = (16 / self.format.bytes()) as u32;
        let wide = [out, table].iter().all(|p| p.is_multiple_of(16))
            && width.is_multiple_of(lane)
            && stride.is_multiple_of(lane);
        let mut arguments = Arguments::new()
            .long(out)
            .long(table)
            .long(ids.pointer())
            .words([width, stride])
            .float(scale);
        // SAFETY: (out, table, ids, width, stride, scale) of `gather`; the callers have checked the
        // ids against the rows of the table and made room for the results, and the wide kernel's
        // addresses are aligned.
        unsafe {
            self.device.launch(
                &self.kernel("gather", wide),
                [count, 1],
                threads(width, if wide { lane } else { 1 }),
                0,
                &mut arguments,
            )
        }?;
        Ok(())
    }

    /// Numbers on the device, kept from layer to layer.
    fn list(&self, values: &[u32]) -> Result<Arc<Memory>, CudaError> {
        self.lists.find(
            |list| list == values,
            || Ok((values.to_vec(), self.device.upload(values)?)),
        )
    }

    /// `x·Wᵀ` without bias, into `out`, for a weight at `weight` that has been checked.
    fn multiply(
        &self,
        x: &View,
        (weight, outputs): (u64, u32),
        out: u64,
        result: Format,
    ) -> Result<(), Error> {
        let shape = Shape {
            rows: x.rows,
            inputs: x.width,
            outputs,
            stride: x.stride,
            format: self.format,
            result,
        };
        let at = Places {
            x: x.pointer,
            weight,
            y: out,
        };
        // SAFETY: the view was checked against its buffer, the weight against the shape by the
        // caller, and the caller's `out` holds rows × outputs values of the result's format.
        unsafe { self.gemm.multiply(shape, at) }?;
        Ok(())
    }

    /// Cosines and sines, and the entry of each row among them.
    fn rotations(&self, op: &Rope<'_>) -> Result<(Arc<Memory>, Arc<Memory>), Error> {
        let reach = op.positions.iter().max().map_or(0, |&p| p as usize + 1);
        // A table of every position up to the furthest is kept from call to call. A few rows that
        // stand far from the start, as no batch of a model has them, are not worth one.
        let reaching = reach <= op.positions.len().max(1 << 16);
        if !reaching {
            let table = rotations(op, op.positions.iter().map(|&p| f64::from(p)));
            let entries: Vec<u32> = (0..op.positions.len() as u32).collect();
            return Ok((
                Arc::new(self.device.upload(&table)?),
                Arc::new(self.device.upload(&entries)?),
            ));
        }
        let table = self.rotations.find(
            |(frequencies, scale, count)| {
                frequencies == op.frequencies && *scale == op.scale && *count >= reach
            },
            || {
                let count = reach.next_power_of_two();
                let table = rotations(op, (0..count).map(|p| p as f64));
                let key = (op.frequencies.to_vec(), op.scale, count);
                Ok((key, self.device.upload(&table)?))
            },
        )?;
        Ok((table, self.list(op.positions)?))
    }
}

/// Parameters in f32 and the copy they may lie in.
struct Parameters {
    pointer: u64,
    _copy: Option<Memory>,
}

/// Address of parameters, null without.
fn address(parameters: Option<&Parameters>) -> u64 {
    parameters.map_or(0, |p| p.pointer)
}

/// Cosine and sine of each frequency at each position, in `f64` before they are rounded.
fn rotations(op: &Rope<'_>, positions: impl Iterator<Item = f64>) -> Vec<f32> {
    let mut table = Vec::new();
    for position in positions {
        for &frequency in op.frequencies {
            let angle = position * frequency;
            table.push((libm::cos(angle) * op.scale) as f32);
            table.push((libm::sin(angle) * op.scale) as f32);
        }
    }
    table
}

/// Threads for a row of `width` values, `lane` a thread: whole warps, at most 256.
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

    fn upload(&self, tensor: &Tensor<'_>) -> Result<Buffer, Error> {
        let (rows, cols, len) = (tensor.rows, tensor.cols, tensor.values.len());
        if rows.checked_mul(cols) != Some(len) {
            return Err(misfit(format!("{len} values for {rows} × {cols}")));
        }
        self.device.bind()?;
        // Vectors are small and deserve all their digits: Gemma's norms are 1 + w.
        let (format, matrix) = match tensor.role {
            Role::Dense => (Format::F32, None),
            Role::Matrix => (self.format, Some((rows, cols))),
        };
        Ok(Buffer {
            memory: format.upload(&self.device, &tensor.values)?,
            format,
            len,
            matrix,
        })
    }

    fn upload_rows(
        &self,
        [rows, cols]: [usize; 2],
        role: Role,
        read: &mut dyn FnMut(Range<usize>) -> Result<HostTensor, Error>,
    ) -> Result<Buffer, Error> {
        // Host memory is not what is scarce beside a device.
        let host = read(0..rows)?;
        self.upload(&Tensor {
            values: host.values(),
            rows,
            cols,
            role,
        })
    }

    fn tensor_bytes(&self, [rows, cols]: [usize; 2], _: backend::Precision, role: Role) -> u64 {
        let format = match role {
            Role::Dense => Format::F32,
            Role::Matrix => self.format,
        };
        (rows as u64)
            .saturating_mul(cols as u64)
            .saturating_mul(format.bytes() as u64)
    }

    fn read(&self, buffer: &Buffer) -> Result<Vec<f32>, Error> {
        self.device.bind()?;
        buffer.format.read(&self.device, &buffer.memory, buffer.len)
    }

    fn embed(&self, table: &Buffer, op: &Embed<'_>) -> Result<Buffer, Error> {
        self.device.bind()?;
        let pointer = table.weight(op.vocab, op.width).map_err(fail)?;
        if let Some(token) = op.tokens.iter().find(|&&t| t as usize >= op.vocab) {
            return Err(misfit(format!(
                "token {token} is outside the vocabulary of {}",
                op.vocab
            )));
        }
        let width = small("columns", op.width).map_err(fail)?;
        self.rows(pointer, (width, width), op.tokens, op.scale as f32)
    }

    fn norm(&self, x: Columns<'_, Buffer>, op: &Norm<'_, Buffer>) -> Result<Buffer, Error> {
        self.device.bind()?;
        if op.width == 0 || !x.width.is_multiple_of(op.width) {
            return Err(misfit(format!(
                "groups of {} do not divide a width of {}",
                op.width, x.width
            )));
        }
        let weight = self.parameters(op.weight, "norm weight", op.width)?;
        let bias = self.optional(op.bias, "norm bias", op.width)?;
        let view = self.view(x)?;
        let width = small("columns", op.width).map_err(fail)?;
        let groups = view.width / width;
        let count = u64::from(view.rows) * u64::from(groups);
        let blocks = small("blocks", count.div_ceil(4) as usize).map_err(fail)?;
        let out = self.result(view.rows, view.width)?;
        let bytes = self.format.bytes();
        let wide = view.is_wide(bytes) && width.is_multiple_of((16 / bytes) as u32);
        let mut arguments = Arguments::new()
            .long(out.memory.pointer())
            .long(view.pointer)
            .long(weight.pointer)
            .long(address(bias.as_ref()))
            .long(count)
            .words([groups, width, view.stride])
            .float(op.epsilon as f32)
            .words([u32::from(op.kind == NormKind::Layer)]);
        // SAFETY: (out, x, weight, bias, count, groups, width, stride, epsilon, layer) of `norm`;
        // the view was checked against its buffer, the parameters have `width` values, and the wide
        // kernel's addresses are aligned.
        unsafe {
            self.device.launch(
                &self.kernel("norm", wide),
                [blocks, 1],
                128,
                0,
                &mut arguments,
            )
        }?;
        Ok(out)
    }

    fn linear(&self, x: Columns<'_, Buffer>, op: &Linear<'_, Buffer>) -> Result<Buffer, Error> {
        self.device.bind()?;
        let weight = op.weight.weight(op.outputs, op.inputs).map_err(fail)?;
        check_len("input row", x.width, op.inputs).map_err(fail)?;
        let bias = self.optional(op.bias, "bias", op.outputs)?;
        let view = self.view(x)?;
        let outputs = small("outputs", op.outputs).map_err(fail)?;
        if op.inputs == 0 {
            return Err(misfit("a product over no inputs"));
        }
        let out = self.result(view.rows, outputs)?;
        if out.len == 0 {
            return Ok(out);
        }
        let to = out.memory.pointer();
        self.multiply(&view, (weight, outputs), to, self.format)?;
        if let Some(bias) = bias {
            let lane = (16 / self.format.bytes()) as u32;
            let wide = outputs.is_multiple_of(lane);
            let mut arguments = Arguments::new()
                .long(to)
                .long(bias.pointer)
                .words([outputs]);
            // SAFETY: (x, b, width) of `bias`; the result has rows × outputs values, the bias
            // outputs, and allocations are aligned to more than 16 bytes.
            unsafe {
                self.device.launch(
                    &self.kernel("bias", wide),
                    [view.rows, 1],
                    threads(outputs, if wide { lane } else { 1 }),
                    0,
                    &mut arguments,
                )
            }?;
        }
        Ok(out)
    }

    fn rope(&self, x: Columns<'_, Buffer>, op: &Rope<'_>) -> Result<Buffer, Error> {
        self.device.bind()?;
        check_len("positions", op.positions.len(), x.rows).map_err(fail)?;
        let half = op.frequencies.len();
        if op.head_dim == 0 || !x.width.is_multiple_of(op.head_dim) || half > op.head_dim / 2 {
            let (dim, width) = (op.head_dim, x.width);
            let message = format!("{half} rotated pairs in heads of {dim} in a width of {width}");
            return Err(misfit(message));
        }
        let view = self.view(x)?;
        let out = self.result(view.rows, view.width)?;
        if out.len == 0 {
            return Ok(out);
        }
        // At most the width of a head, and that at most the width of the view.
        let (dim, half) = (op.head_dim as u32, half as u32);
        let (table, entries) = self.rotations(op)?;
        let mut arguments = Arguments::new()
            .long(out.memory.pointer())
            .long(view.pointer)
            .long(table.pointer())
            .long(entries.pointer())
            .words([view.width / dim, dim, half, view.stride]);
        // SAFETY: (out, x, table, entries, heads, dim, half, stride) of `rope`; the view was
        // checked against its buffer, there is an entry a row, and the table has a pair for each.
        unsafe {
            self.device.launch(
                &self.kernel("rope", false),
                [view.rows, 1],
                threads(view.width / 2, 1),
                0,
                &mut arguments,
            )
        }?;
        Ok(out)
    }

    fn attention(
        &self,
        q: Columns<'_, Buffer>,
        k: Columns<'_, Buffer>,
        v: Columns<'_, Buffer>,
        op: &Attention<'_>,
    ) -> Result<Buffer, Error> {
        self.device.bind()?;
        check_attention(&q, &k, &v, op).map_err(fail)?;
        let (q, k, v) = (self.view(q)?, self.view(k)?, self.view(v)?);
        let out = self.result(q.rows, q.width)?;
        if out.len == 0 {
            return Ok(out);
        }
        // Rows are fewer than 2³¹, and queries no more than keys.
        let past = k.rows - q.rows;
        let forest = self.forests.find(
            |(segments, before)| segments == op.segments && *before == past,
            || {
                Ok((
                    (op.segments.to_vec(), past),
                    Forest::new(&self.device, op.segments, past as usize)?,
                ))
            },
        )?;
        // Both divide the width of the queries.
        let (heads, dim) = (op.heads as u32, op.head_dim as u32);
        if heads > 65_535 {
            return Err(misfit(format!("{heads} heads are more than a grid holds")));
        }
        let bytes = self.format.bytes();
        let fast = bytes == 2
            && matches!(dim, 64 | 96 | 128)
            && [&q, &k, &v].iter().all(|x| x.is_wide(bytes));
        let arguments = Arguments::new()
            .long(out.memory.pointer())
            .long(q.pointer)
            .long(k.pointer)
            .long(v.pointer)
            .long(forest.segments.pointer());
        let group = (op.heads / op.kv_heads) as u32;
        let window = op
            .window
            .and_then(|w| u32::try_from(w).ok())
            .unwrap_or(u32::MAX);
        let rest = |arguments: Arguments| {
            arguments
                .words([group, q.stride, k.stride, v.stride])
                .float(op.scale as f32)
                .words([window])
                .float(op.soft_cap.unwrap_or(0.0) as f32)
        };
        if fast {
            let mut arguments = rest(arguments.long(forest.tiles.pointer()).words([past]));
            // SAFETY: (out, q, k, v, forest, tiles, past, group, strides, scale, window, cap) of
            // `flash`; the views were checked against their buffers and each other, the segments
            // cover the rows of keys, the tiles those from `past` on, and every address is aligned
            // to 16 bytes.
            unsafe {
                self.device.launch(
                    &format!("flash_{}_{dim}", self.format.name()),
                    [forest.tile_count, heads],
                    128,
                    0,
                    &mut arguments,
                )
            }?;
        } else {
            let shared = 2 * 4 * op.head_dim;
            if shared + 256 > SHARED {
                return Err(misfit(format!("heads of {dim} elements are too wide")));
            }
            let mut arguments = rest(
                arguments
                    .long(forest.segment_of.pointer())
                    .words([past, dim]),
            );
            // SAFETY: (out, q, k, v, forest, segments, past, dim, group, strides, scale, window,
            // cap) of `attention`; the views were checked against their buffers and each other, the
            // segments cover the rows of keys, `past` of which come before the first of the queries,
            // and the shared memory holds two heads.
            unsafe {
                self.device.launch(
                    &self.kernel("attention", false),
                    [q.rows, heads],
                    32,
                    shared as u32,
                    &mut arguments,
                )
            }?;
        }
        Ok(out)
    }

    fn activate(
        &self,
        gate: Columns<'_, Buffer>,
        up: Option<Columns<'_, Buffer>>,
        function: Activation,
    ) -> Result<Buffer, Error> {
        self.device.bind()?;
        if let Some(up) = &up {
            check_len("up projection row", up.width, gate.width).map_err(fail)?;
            check_len("up projection", up.rows, gate.rows).map_err(fail)?;
        }
        let gate = self.view(gate)?;
        let up = up.map(|up| self.view(up)).transpose()?;
        let out = self.result(gate.rows, gate.width)?;
        if out.len == 0 {
            return Ok(out);
        }
        let bytes = self.format.bytes();
        let wide = gate.is_wide(bytes) && up.as_ref().is_none_or(|up| up.is_wide(bytes));
        let number = match function {
            Activation::Silu => 0,
            Activation::GeluTanh => 1,
            Activation::GeluErf => 2,
        };
        let mut arguments = Arguments::new()
            .long(out.memory.pointer())
            .long(gate.pointer)
            .long(up.as_ref().map_or(0, |up| up.pointer))
            .words([
                gate.width,
                gate.stride,
                up.as_ref().map_or(0, |up| up.stride),
                number,
            ]);
        // SAFETY: (out, gate, up, width, strides, function) of `activate`; the views were checked
        // against their buffers and each other, and the wide kernel's addresses are aligned.
        unsafe {
            self.device.launch(
                &self.kernel("activate", wide),
                [gate.rows, 1],
                threads(gate.width, if wide { (16 / bytes) as u32 } else { 1 }),
                0,
                &mut arguments,
            )
        }?;
        Ok(out)
    }

    fn add(&self, x: Buffer, y: &Buffer) -> Result<Buffer, Error> {
        self.device.bind()?;
        check_len("summand", y.len, x.len).map_err(fail)?;
        if x.matrix.is_some() || y.matrix.is_some() {
            return Err(misfit("a summand was uploaded as a weight"));
        }
        let x = if x.format == self.format {
            x
        } else {
            Buffer {
                memory: self.convert(&x, self.format)?,
                format: self.format,
                ..x
            }
        };
        let copy = (y.format != self.format)
            .then(|| self.convert(y, self.format))
            .transpose()?;
        let lane = 16 / self.format.bytes();
        let wide = x.len.is_multiple_of(lane);
        let values = 256 * if wide { lane } else { 1 };
        let blocks = small("blocks", x.len.div_ceil(values)).map_err(fail)?;
        let mut arguments = Arguments::new()
            .long(x.memory.pointer())
            .long(copy.as_ref().unwrap_or(&y.memory).pointer())
            .long(x.len as u64);
        // SAFETY: (x, y, length) of `add`; both hold `len` values, and allocations are aligned to
        // more than 16 bytes.
        unsafe {
            self.device.launch(
                &self.kernel("add", wide),
                [blocks, 1],
                256,
                0,
                &mut arguments,
            )
        }?;
        Ok(x)
    }

    fn gather(&self, x: Columns<'_, Buffer>, rows: &[usize]) -> Result<Buffer, Error> {
        self.device.bind()?;
        let view = self.view(x)?;
        if let Some(row) = rows.iter().find(|&&r| r >= x.rows) {
            return Err(misfit(format!("row {row} of {} was asked for", x.rows)));
        }
        let ids: Vec<u32> = rows.iter().map(|&r| r as u32).collect();
        self.rows(view.pointer, (view.width, view.stride), &ids, 1.0)
    }

    fn concat(&self, x: Columns<'_, Buffer>, y: Columns<'_, Buffer>) -> Result<Buffer, Error> {
        self.device.bind()?;
        check_len("row of the second block", y.width, x.width).map_err(fail)?;
        let rows = small("rows", x.rows.saturating_add(y.rows)).map_err(fail)?;
        let (x, y) = (self.view(x)?, self.view(y)?);
        let out = self.result(rows, x.width)?;
        if out.len == 0 {
            return Ok(out);
        }
        let mut to = out.memory.pointer();
        for block in [&x, &y] {
            if block.rows > 0 {
                let ids: Vec<u32> = (0..block.rows).collect();
                let columns = (block.width, block.stride);
                let ids = (&*self.list(&ids)?, block.rows);
                self.copy_rows(to, block.pointer, columns, ids, 1.0)?;
                let copied = block.rows as usize * block.width as usize * self.format.bytes();
                to += copied as u64;
            }
        }
        Ok(out)
    }

    fn log_prob(
        &self,
        x: Columns<'_, Buffer>,
        op: &LogProb<'_, Buffer>,
    ) -> Result<Vec<f64>, Error> {
        self.device.bind()?;
        check_targets(op.targets, x.rows, op.vocab).map_err(fail)?;
        let weight = op.weight.weight(op.vocab, op.inputs).map_err(fail)?;
        check_len("input row", x.width, op.inputs).map_err(fail)?;
        let bias = self.optional(op.bias, "bias", op.vocab)?;
        let view = self.view(x)?;
        if op.targets.is_empty() {
            return Ok(Vec::new());
        }
        if op.inputs == 0 {
            return Err(misfit("a product over no inputs"));
        }
        let vocab = small("tokens", op.vocab).map_err(fail)?;
        let count = small("targets", op.targets.len()).map_err(fail)?;

        // The rows that are scored, one after the other, and the first target of each.
        let (mut rows, mut firsts) = (Vec::new(), Vec::new());
        for (index, target) in op.targets.iter().enumerate() {
            if rows.last() != Some(&target.row) {
                rows.push(target.row);
                firsts.push(index as u32);
            }
        }
        firsts.push(count);
        let tokens: Vec<u32> = op.targets.iter().map(|t| t.token).collect();
        let scored = if rows.len() == x.rows {
            view
        } else {
            let ids: Vec<u32> = rows.iter().map(|&r| r as u32).collect();
            let picked = self.rows(view.pointer, (view.width, view.stride), &ids, 1.0)?;
            View::whole(picked, rows.len() as u32, view.width)
        };

        let chunk = (LOGITS / 4 / op.vocab).clamp(1, LOGIT_ROWS).min(rows.len());
        let logits = self.device.allocate(4 * chunk * op.vocab)?;
        let firsts = self.device.upload(&firsts)?;
        let tokens = self.device.upload(&tokens)?;
        let out = self.device.allocate(4 * op.targets.len())?;
        for start in (0..rows.len()).step_by(chunk) {
            let block = scored.rows_from(start, chunk.min(rows.len() - start), self.format);
            self.multiply(&block, (weight, vocab), logits.pointer(), Format::F32)?;
            let mut arguments = Arguments::new()
                .long(out.pointer())
                .long(logits.pointer())
                .long(address(bias.as_ref()))
                .long(firsts.pointer() + 4 * start as u64)
                .long(tokens.pointer())
                .words([vocab])
                .float(op.soft_cap.unwrap_or(0.0) as f32);
            // SAFETY: (out, logits, bias, firsts, tokens, vocab, cap) of `log_prob`; the chunk's
            // rows of logits are there, with one first target more than rows, and the targets were
            // checked against the vocabulary.
            unsafe {
                self.device
                    .launch("log_prob", [block.rows, 1], 256, 0, &mut arguments)
            }?;
        }
        let out: Vec<f32> = self.device.download(&out, op.targets.len())?;
        match out.iter().position(|x| !x.is_finite()) {
            None => Ok(out.into_iter().map(f64::from).collect()),
            Some(index) => {
                let (token, x) = (op.targets[index].token, out[index]);
                let message = format!(
                    "the log-probability of token {token} is {x}: values beyond the range of {}",
                    self.format.name()
                );
                Err(Error::backend(NAME, message))
            }
        }
    }
}
