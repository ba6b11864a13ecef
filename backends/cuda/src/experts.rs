//! Mixtures of experts: the choice, on the host, and the sum of what was chosen.

use relscale::Error;
use relscale::backend::{Choice, Columns, Route, check_len, check_rows, choose_experts};

use crate::buffer::Buffer;
use crate::device::Arguments;
use crate::elementwise::own;
use crate::kernels::Operation;
use crate::{Cuda, fail, misfit, threads};

/// See [`Backend::route`](relscale::backend::Backend::route).
///
/// The logits come to the host, which needs the choice to say what is computed next.
pub(crate) fn route(
    cuda: &Cuda,
    logits: Columns<'_, Buffer>,
    op: &Route,
) -> Result<Vec<Choice>, Error> {
    let buffer = logits.buffer;
    buffer.ensure_on(&cuda.device).map_err(fail)?;
    logits.check(buffer.len).map_err(fail)?;
    let host = buffer.read(&cuda.device)?;
    let on_host = Columns::block(
        &host,
        logits.rows,
        logits.stride,
        logits.start,
        logits.width,
    );
    choose_experts(on_host, op).map_err(fail)
}

/// See [`Backend::add_rows`](relscale::backend::Backend::add_rows).
pub(crate) fn add_rows(
    cuda: &Cuda,
    x: Buffer,
    y: Columns<'_, Buffer>,
    rows: &[usize],
    weights: &[f64],
) -> Result<Buffer, Error> {
    x.ensure_on(&cuda.device).map_err(fail)?;
    if x.matrix.is_some() {
        return Err(misfit("a summand was uploaded as a weight"));
    }
    check_len("rows", rows.len(), y.rows).map_err(fail)?;
    check_len("weights", weights.len(), y.rows).map_err(fail)?;
    let view = cuda.product(y)?;
    let count = x.len.checked_div(view.width as usize).unwrap_or(0);
    check_rows(rows, count).map_err(fail)?;
    if rows.is_empty() || view.width == 0 {
        return Ok(x);
    }
    let x = own(cuda, x)?;
    let places: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
    let weights: Vec<f32> = weights.iter().map(|&weight| weight as f32).collect();
    let places = cuda.device.upload(&places)?;
    let weights = cuda.device.upload(&weights)?;
    let lane = cuda.format.lane();
    let wide = view.is_wide(cuda.format.bytes());
    let mut arguments = Arguments::new()
        .long(x.memory.pointer())
        .long(view.pointer)
        .long(view.bias())
        .long(places.pointer())
        .long(weights.pointer())
        .words([view.width, view.stride]);
    // SAFETY: (x, y, bias, rows, weights, width, stride) of `add_rows`; the view was checked against its
    // buffer and bias, there is a row and a weight for each of its rows, the rows are different ones of `x`,
    // and the wide kernel's addresses are aligned.
    unsafe {
        cuda.device.launch(
            cuda.kernel(Operation::AddRows, wide),
            [view.rows, 1],
            threads(view.width, if wide { lane } else { 1 }),
            0,
            &mut arguments,
        )
    }?;
    Ok(x)
}
