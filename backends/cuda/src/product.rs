//! Products with weights.

use relscale::Error;
use relscale::backend::{Columns, Linear, check_len};

use crate::buffer::{Buffer, View, small};
use crate::device::Arguments;
use crate::format::Format;
use crate::gemm::{Places, Shape};
use crate::{Cuda, fail, misfit, threads};

/// See [`Backend::linear`](relscale::backend::Backend::linear).
pub(crate) fn linear(
    cuda: &Cuda,
    x: Columns<'_, Buffer>,
    op: &Linear<'_, Buffer>,
) -> Result<Buffer, Error> {
    let weight = op.weight.weight(op.outputs, op.inputs).map_err(fail)?;
    check_len("input row", x.width, op.inputs).map_err(fail)?;
    let bias = cuda.optional(op.bias, "bias", op.outputs)?;
    let view = cuda.view(x)?;
    let outputs = small("outputs", op.outputs).map_err(fail)?;
    if op.inputs == 0 {
        return Err(misfit("a product over no inputs"));
    }
    let out = cuda.result(view.rows, outputs)?;
    if out.len == 0 {
        return Ok(out);
    }
    let to = out.memory.pointer();
    multiply(cuda, &view, (weight, outputs), to, cuda.format)?;
    if let Some(bias) = bias {
        let lane = (16 / cuda.format.bytes()) as u32;
        let wide = outputs.is_multiple_of(lane);
        let mut arguments = Arguments::new()
            .long(to)
            .long(bias.pointer)
            .words([outputs]);
        // SAFETY: (x, b, width) of `bias`; the result has rows × outputs values, the bias
        // outputs, and allocations are aligned to more than 16 bytes.
        unsafe {
            cuda.device.launch(
                &cuda.kernel("bias", wide),
                [view.rows, 1],
                threads(outputs, if wide { lane } else { 1 }),
                0,
                &mut arguments,
            )
        }?;
    }
    Ok(out)
}

/// `x·Wᵀ` without bias, into `out`, for a weight at `weight` that has been checked.
pub(crate) fn multiply(
    cuda: &Cuda,
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
        format: cuda.format,
        result,
    };
    let at = Places {
        x: x.pointer,
        weight,
        y: out,
    };
    // SAFETY: the view was checked against its buffer, the weight against the shape by the
    // caller, and the caller's `out` holds rows × outputs values of the result's format.
    unsafe { cuda.gemm.multiply(shape, at) }?;
    Ok(())
}
