//! Products with weights.

use relscale::Error;
use relscale::backend::{Columns, Linear, check_len, check_width};

use crate::buffer::{Bias, Buffer, View, Weight, small};
use crate::format::Format;
use crate::gemm::{Places, ROWS, Shape};
use crate::rows::{Layout, copy_all};
use crate::{Cuda, fail, misfit};

/// See [`Backend::linear`](relscale::backend::Backend::linear).
pub(crate) fn linear(
    cuda: &Cuda,
    x: Columns<'_, Buffer>,
    op: &Linear<'_, Buffer>,
) -> Result<Buffer, Error> {
    check_width("product", op.outputs).map_err(fail)?;
    let weight = op
        .weight
        .weight(&cuda.device, op.outputs, op.inputs)
        .map_err(fail)?;
    check_len("input row", x.width, op.inputs).map_err(fail)?;
    let bias = cuda.optional(op.bias, "bias", op.outputs)?;
    let view = cuda.view(x)?;
    let outputs = small("outputs", op.outputs).map_err(fail)?;
    if op.inputs == 0 {
        return Err(misfit("a product over no inputs"));
    }
    let mut out = cuda.result(view.rows, outputs)?;
    if out.len == 0 {
        return Ok(out);
    }
    let to = out.memory.pointer();
    if weight.outputs == outputs {
        multiply(cuda, &view, weight, to, cuda.format)?;
    } else {
        // Rows are apart by more than their width, and results are not.
        let count = padded(view.rows) as usize * weight.outputs as usize;
        let apart = cuda.device.allocate(count * cuda.format.bytes())?;
        multiply(cuda, &view, weight, apart.pointer(), cuda.format)?;
        let layout = Layout {
            width: outputs,
            stride: weight.outputs,
            to_stride: outputs,
        };
        copy_all(cuda, to, apart.pointer(), layout, view.rows)?;
    }
    out.bias = bias.map(|memory| Bias {
        memory,
        start: 0,
        width: op.outputs,
    });
    Ok(out)
}

/// The number of rows that a product of `rows` rows computes.
pub(crate) fn padded(rows: u32) -> u32 {
    rows.next_multiple_of(ROWS)
}

/// `x·Wᵀ` without bias, for a weight that has been checked, into rows of `weight.outputs` values.
///
/// `out` has room for [`padded`] rows; what comes after the rows of `x` is of no meaning.
pub(crate) fn multiply(
    cuda: &Cuda,
    x: &View,
    weight: Weight,
    out: u64,
    result: Format,
) -> Result<(), Error> {
    let rows = padded(x.rows);
    let fits =
        x.width == weight.inputs && x.is_wide(cuda.format.bytes()) && x.room >= rows as usize;
    let copy = if fits {
        None
    } else {
        let count = rows as usize * weight.inputs as usize;
        let copy = cuda.device.allocate(count * cuda.format.bytes())?;
        let layout = Layout {
            width: x.width,
            stride: x.stride,
            to_stride: weight.inputs,
        };
        copy_all(cuda, copy.pointer(), x.pointer, layout, x.rows)?;
        Some(copy)
    };
    let (pointer, stride) = match &copy {
        Some(copy) => (copy.pointer(), weight.inputs),
        None => (x.pointer, x.stride),
    };
    let shape = Shape {
        rows,
        inputs: weight.inputs,
        outputs: weight.outputs,
        stride,
        format: cuda.format,
        result,
    };
    let at = Places {
        x: pointer,
        weight: weight.pointer,
        y: out,
    };
    // SAFETY: the view was checked against its buffer, the weight against its shape by the caller; the
    // view's memory, or the copy, has the rows and columns that were added, the caller's `out` room
    // for the result; allocations are aligned to 256 bytes, and the rows of all three to 16.
    unsafe { cuda.gemm.multiply(shape, at) }?;
    Ok(())
}
