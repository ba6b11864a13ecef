//! Kernels of one thread per few values: norms, rotations, activations and sums.

use std::sync::Arc;

use relscale::Error;
use relscale::backend::{Activation, Columns, Norm, NormKind, Overflow, Rope, check_len};

use crate::buffer::{Buffer, View, small};
use crate::device::Arguments;
use crate::kernels::Operation;
use crate::memory::{Memory, address};
use crate::rows::with_bias;
use crate::{Cuda, NAME, fail, misfit, threads};

/// See [`Backend::norm`](relscale::backend::Backend::norm).
pub(crate) fn norm(
    cuda: &Cuda,
    x: Columns<'_, Buffer>,
    op: &Norm<'_, Buffer>,
) -> Result<Buffer, Error> {
    if op.width == 0 || !x.width.is_multiple_of(op.width) {
        return Err(misfit(format!(
            "groups of {} do not divide a width of {}",
            op.width, x.width
        )));
    }
    let weight = cuda.parameters(op.weight, "norm weight", op.width)?;
    let bias = cuda.optional(op.bias, "norm bias", op.width)?;
    let view = cuda.view(x)?;
    let width = small("columns", op.width).map_err(fail)?;
    let groups = view.width / width;
    let count = u64::from(view.rows) * u64::from(groups);
    let blocks = small("blocks", count.div_ceil(4) as usize).map_err(fail)?;
    let out = cuda.result(view.rows, view.width)?;
    let bytes = cuda.format.bytes();
    let wide = view.is_wide(bytes) && width.is_multiple_of((16 / bytes) as u32);
    let mut arguments = Arguments::new()
        .long(out.memory.pointer())
        .long(view.pointer)
        .long(weight.pointer())
        .long(address(bias.as_ref()))
        .long(count)
        .words([groups, width, view.stride])
        .float(op.epsilon as f32)
        .words([u32::from(op.kind == NormKind::Layer)]);
    // SAFETY: (out, x, weight, bias, count, groups, width, stride, epsilon, layer) of `norm`;
    // the view was checked against its buffer, the parameters have `width` values, and the wide
    // kernel's addresses are aligned.
    unsafe {
        cuda.device.launch(
            cuda.kernel(Operation::Norm, wide),
            [blocks, 1],
            128,
            0,
            &mut arguments,
        )
    }?;
    // The kernel's answer to a sum that is not finite is not-a-number, and the head refuses it at the
    // end. Here it would have to be waited for.
    if cuda.device.is_watched() {
        let values = out.format.read(&cuda.device, &out.memory, out.len)?;
        if values.iter().any(|x| x.is_nan()) {
            let overflow = Overflow::new("the sum of squares of a norm");
            return Err(Error::backend(NAME, overflow));
        }
    }
    Ok(out)
}

/// See [`Backend::rope`](relscale::backend::Backend::rope).
pub(crate) fn rope(cuda: &Cuda, x: Columns<'_, Buffer>, op: &Rope<'_>) -> Result<Buffer, Error> {
    check_len("positions", op.positions.len(), x.rows).map_err(fail)?;
    let half = op.frequencies.len();
    if op.head_dim == 0 || !x.width.is_multiple_of(op.head_dim) || half > op.head_dim / 2 {
        let (dim, width) = (op.head_dim, x.width);
        let message = format!("{half} rotated pairs in heads of {dim} in a width of {width}");
        return Err(misfit(message));
    }
    let view = cuda.product(x)?;
    let out = cuda.result(view.rows, view.width)?;
    if out.len == 0 {
        return Ok(out);
    }
    // A head is at most as wide as the view, which fits 32 bits.
    let (dim, half) = (op.head_dim as u32, half as u32);
    let (table, entries) = rotations(cuda, op)?;
    let lane = cuda.format.lane();
    let wide =
        view.is_wide(cuda.format.bytes()) && dim.is_multiple_of(lane) && half.is_multiple_of(lane);
    let mut arguments = Arguments::new()
        .long(out.memory.pointer())
        .long(view.pointer)
        .long(view.bias())
        .long(table.pointer())
        .long(entries.pointer())
        .words([view.width / dim, dim, half, view.stride]);
    // SAFETY: (out, x, bias, table, entries, heads, dim, half, stride) of `rope`; the view was
    // checked against its buffer and bias, there is an entry a row, the table has a pair for each, and
    // the wide kernel's addresses are aligned.
    unsafe {
        cuda.device.launch(
            cuda.kernel(Operation::Rope, wide),
            [view.rows, 1],
            threads(view.width / 2, if wide { lane } else { 1 }),
            0,
            &mut arguments,
        )
    }?;
    Ok(out)
}

/// See [`Backend::activate`](relscale::backend::Backend::activate).
pub(crate) fn activate(
    cuda: &Cuda,
    gate: Columns<'_, Buffer>,
    up: Option<Columns<'_, Buffer>>,
    function: Activation,
) -> Result<Buffer, Error> {
    if let Some(up) = &up {
        check_len("up projection row", up.width, gate.width).map_err(fail)?;
        check_len("up projection", up.rows, gate.rows).map_err(fail)?;
    }
    let gate = cuda.product(gate)?;
    let up = up.map(|up| cuda.product(up)).transpose()?;
    let out = cuda.result(gate.rows, gate.width)?;
    if out.len == 0 {
        return Ok(out);
    }
    let bytes = cuda.format.bytes();
    let wide = gate.is_wide(bytes) && up.as_ref().is_none_or(|up| up.is_wide(bytes));
    let number = match function {
        Activation::Silu => 0,
        Activation::GeluTanh => 1,
        Activation::GeluErf => 2,
        Activation::Relu => 3,
    };
    let mut arguments = Arguments::new()
        .long(out.memory.pointer())
        .long(gate.pointer)
        .long(up.as_ref().map_or(0, |up| up.pointer))
        .long(gate.bias())
        .long(up.as_ref().map_or(0, View::bias))
        .words([
            gate.width,
            gate.stride,
            up.as_ref().map_or(0, |up| up.stride),
            number,
        ]);
    // SAFETY: (out, gate, up, biases, width, strides, function) of `activate`; the views were checked
    // against their buffers, biases and each other, and the wide kernel's addresses are aligned.
    unsafe {
        cuda.device.launch(
            cuda.kernel(Operation::Activate, wide),
            [gate.rows, 1],
            threads(gate.width, if wide { (16 / bytes) as u32 } else { 1 }),
            0,
            &mut arguments,
        )
    }?;
    Ok(out)
}

/// See [`Backend::add`](relscale::backend::Backend::add).
pub(crate) fn add(cuda: &Cuda, x: Buffer, y: &Buffer) -> Result<Buffer, Error> {
    check_len("summand", y.len, x.len).map_err(fail)?;
    for summand in [&x, y] {
        summand.ensure_on(&cuda.device).map_err(fail)?;
    }
    if x.matrix.is_some() || y.matrix.is_some() {
        return Err(misfit("a summand was uploaded as a weight"));
    }
    let x = own(cuda, x)?;
    let copy = (y.format != cuda.format)
        .then(|| cuda.convert(y, cuda.format))
        .transpose()?;
    let lane = cuda.format.lane() as usize;
    let (bias, width) = match &y.bias {
        Some(bias) => (bias.pointer(), bias.width),
        None => (0, x.len),
    };
    let wide = width.is_multiple_of(lane) && bias.is_multiple_of(16);
    let values = 256 * if wide { lane } else { 1 };
    let blocks = small("blocks", x.len.div_ceil(values)).map_err(fail)?;
    let mut arguments = Arguments::new()
        .long(x.memory.pointer())
        .long(copy.as_ref().unwrap_or(&y.memory).pointer())
        .long(bias)
        .long(width as u64)
        .long(x.len as u64);
    // SAFETY: (x, y, bias, width, length) of `add`; both hold `len` values, in rows of `width` if there is a
    // bias, and allocations are aligned to more than 16 bytes.
    unsafe {
        cuda.device.launch(
            cuda.kernel(Operation::Add, wide),
            [blocks, 1],
            256,
            0,
            &mut arguments,
        )
    }?;
    Ok(x)
}

/// The buffer in the backend's format, with its bias, in memory that nothing else reads.
pub(crate) fn own(cuda: &Cuda, mut x: Buffer) -> Result<Buffer, Error> {
    if x.format != cuda.format {
        x.memory = Arc::new(cuda.convert(&x, cuda.format)?);
        x.format = cuda.format;
    }
    // Memory that is read by others, too, is that of a bias which a product has not added yet.
    if x.bias.is_some() || Arc::get_mut(&mut x.memory).is_none() {
        x = with_bias(cuda, &x)?;
    }
    Ok(x)
}

/// A table of cosines and sines, and the entry of each row in it.
fn rotations(cuda: &Cuda, op: &Rope<'_>) -> Result<(Arc<Memory>, Arc<Memory>), Error> {
    let reach = op.positions.iter().max().map_or(0, |&p| p as usize + 1);
    // A table of all positions up to the furthest is kept from call to call. A few rows at enormous
    // positions, which no batch of a model has, would make it enormous: they get a table of their
    // own.
    let reaching = reach <= op.positions.len().max(1 << 16);
    if !reaching {
        let table = table(op, op.positions.iter().map(|&p| f64::from(p)));
        let entries: Vec<u32> = (0..op.positions.len() as u32).collect();
        return Ok((
            Arc::new(cuda.device.upload(&table)?),
            Arc::new(cuda.device.upload(&entries)?),
        ));
    }
    let table = cuda.rotations.find(
        |(frequencies, scale, count)| {
            frequencies == op.frequencies && *scale == op.scale && *count >= reach
        },
        || {
            let count = reach.next_power_of_two();
            let table = table(op, (0..count).map(|p| p as f64));
            let key = (op.frequencies.to_vec(), op.scale, count);
            Ok((key, cuda.device.upload(&table)?))
        },
    )?;
    Ok((table, cuda.list(op.positions)?))
}

/// Cosine and sine of each frequency at each position, computed in `f64` and rounded.
fn table(op: &Rope<'_>, positions: impl Iterator<Item = f64>) -> Vec<f32> {
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
