//! Copies of rows: of an embedding table, of a block, of two blocks into one.

use relscale::Error;
use relscale::backend::{Columns, Embed, Pointwise, check_len, check_width};

use crate::buffer::{Buffer, View, small};
use crate::device::Arguments;
use crate::kernels::Operation;
use crate::memory::Memory;
use crate::{Cuda, fail, misfit, threads};

/// See [`Backend::embed`](relscale::backend::Backend::embed).
pub(crate) fn embed(cuda: &Cuda, table: &Buffer, op: &Embed<'_>) -> Result<Buffer, Error> {
    check_width("embedding", op.width).map_err(fail)?;
    let weight = table
        .weight(&cuda.device, op.vocab, op.width)
        .map_err(fail)?;
    if let Some(token) = op.tokens.iter().find(|&&t| t as usize >= op.vocab) {
        return Err(misfit(format!(
            "token {token} is outside the vocabulary of {}",
            op.vocab
        )));
    }
    let width = small("columns", op.width).map_err(fail)?;
    let columns = (width, weight.inputs);
    let change = Change {
        scale: op.scale as f32,
        ..Change::NONE
    };
    copied(cuda, weight.pointer, columns, op.tokens, change)
}

/// See [`Backend::gather`](relscale::backend::Backend::gather).
pub(crate) fn gather(cuda: &Cuda, x: Columns<'_, Buffer>, rows: &[usize]) -> Result<Buffer, Error> {
    let view = cuda.product(x)?;
    if let Some(row) = rows.iter().find(|&&r| r >= x.rows) {
        return Err(misfit(format!("row {row} of {} was asked for", x.rows)));
    }
    let ids: Vec<u32> = rows.iter().map(|&r| r as u32).collect();
    let mut out = picked(cuda, &view, &ids, Change::NONE)?;
    // Left to add: what reads a kept prefix then does as with one that was computed just now.
    out.bias = view.bias;
    Ok(out)
}

/// See [`Backend::pointwise`](relscale::backend::Backend::pointwise).
pub(crate) fn pointwise(
    cuda: &Cuda,
    x: Columns<'_, Buffer>,
    function: Pointwise,
) -> Result<Buffer, Error> {
    let view = cuda.product(x)?;
    let bias = view.bias();
    let change = match function {
        Pointwise::Scale(factor) => Change {
            bias,
            scale: factor as f32,
            ..Change::NONE
        },
        Pointwise::Clip(bound) => Change {
            bias,
            bound: bound as f32,
            ..Change::NONE
        },
    };
    changed(cuda, &view, change)
}

/// The block with its bias added.
pub(crate) fn settled(cuda: &Cuda, view: &View) -> Result<Buffer, Error> {
    let change = Change {
        bias: view.bias(),
        ..Change::NONE
    };
    changed(cuda, view, change)
}

/// A copy of a whole buffer, with its bias added if it has one.
pub(crate) fn with_bias(cuda: &Cuda, x: &Buffer) -> Result<Buffer, Error> {
    let width = x.bias.as_ref().map_or(x.len, |bias| bias.width);
    let rows = x.len.checked_div(width).unwrap_or(0);
    settled(cuda, &cuda.product(Columns::all(x, rows, width))?)
}

/// All rows of a block after a change.
fn changed(cuda: &Cuda, view: &View, change: Change) -> Result<Buffer, Error> {
    let out = cuda.result(view.rows, view.width)?;
    if out.len > 0 {
        let (to, layout) = (out.memory.pointer(), Layout::dense(view.width, view.stride));
        copy(cuda, to, view.pointer, layout, (None, view.rows), change)?;
    }
    Ok(out)
}

/// The rows `ids` of a block after a change.
pub(crate) fn picked(
    cuda: &Cuda,
    view: &View,
    ids: &[u32],
    change: Change,
) -> Result<Buffer, Error> {
    let columns = (view.width, view.stride);
    copied(cuda, view.pointer, columns, ids, change)
}

/// See [`Backend::concat`](relscale::backend::Backend::concat).
pub(crate) fn concat(
    cuda: &Cuda,
    x: Columns<'_, Buffer>,
    y: Columns<'_, Buffer>,
) -> Result<Buffer, Error> {
    check_len("row of the second block", y.width, x.width).map_err(fail)?;
    let rows = small("rows", x.rows.saturating_add(y.rows)).map_err(fail)?;
    let one = match (x.buffer.bias.as_ref(), y.buffer.bias.as_ref()) {
        (Some(_), Some(_)) => Some([cuda.product(x)?, cuda.product(y)?]),
        _ => None,
    };
    // With one bias for all rows it is left to add; otherwise each block has its own added.
    let same = |[x, y]: &[View; 2]| matches!((&x.bias, &y.bias), (Some(x), Some(y)) if x.is(y));
    let [x, y] = match one.filter(same) {
        Some(both) => both,
        None => [cuda.view(x)?, cuda.view(y)?],
    };
    let mut out = cuda.result(rows, x.width)?;
    out.bias = x.bias.clone();
    if out.len == 0 {
        return Ok(out);
    }
    let mut to = out.memory.pointer();
    for block in [&x, &y] {
        if block.rows > 0 {
            copy_all(
                cuda,
                to,
                block.pointer,
                Layout::dense(block.width, block.stride),
                block.rows,
            )?;
            let copied = block.rows as usize * block.width as usize * cuda.format.bytes();
            to += copied as u64;
        }
    }
    Ok(out)
}

/// The rows `ids` of a matrix of `width` columns at `table` after a change.
fn copied(
    cuda: &Cuda,
    table: u64,
    (width, stride): (u32, u32),
    ids: &[u32],
    change: Change,
) -> Result<Buffer, Error> {
    let count = small("rows", ids.len()).map_err(fail)?;
    let out = cuda.result(count, width)?;
    if out.len > 0 {
        let ids = cuda.device.upload(ids)?;
        let to = out.memory.pointer();
        let layout = Layout::dense(width, stride);
        copy(cuda, to, table, layout, (Some(&ids), count), change)?;
    }
    Ok(out)
}

/// Columns of a copy: their number, and how far apart rows are where they come from and where they go.
/// Columns of the new rows beyond `width` are zero.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) width: u32,
    pub(crate) stride: u32,
    pub(crate) to_stride: u32,
}

impl Layout {
    /// Of rows that end up one behind another.
    fn dense(width: u32, stride: u32) -> Self {
        Self {
            width,
            stride,
            to_stride: width,
        }
    }
}

/// A change of rows while they are copied: `(x + bias)·scale`, within ±`bound`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    /// Address of summands in f32, one per column; null if there are none.
    pub(crate) bias: u64,
    pub(crate) scale: f32,
    pub(crate) bound: f32,
}

impl Change {
    pub(crate) const NONE: Self = Self {
        bias: 0,
        scale: 1.0,
        bound: f32::INFINITY,
    };
}

/// Copies the first `count` rows at `from`, at least one, to `out`.
pub(crate) fn copy_all(
    cuda: &Cuda,
    out: u64,
    from: u64,
    layout: Layout,
    count: u32,
) -> Result<(), Error> {
    copy(cuda, out, from, layout, (None, count), Change::NONE)
}

/// Copies the rows `ids` of a matrix at `table`, or its first ones, after a change, to `out`: `count` rows, at
/// least one.
fn copy(
    cuda: &Cuda,
    out: u64,
    table: u64,
    layout: Layout,
    (ids, count): (Option<&Memory>, u32),
    change: Change,
) -> Result<(), Error> {
    let Layout {
        width,
        stride,
        to_stride,
    } = layout;
    let lane = cuda.format.lane();
    let wide = [out, table, change.bias]
        .iter()
        .all(|p| p.is_multiple_of(16))
        && [width, stride, to_stride]
            .iter()
            .all(|n| n.is_multiple_of(lane));
    let mut arguments = Arguments::new()
        .long(out)
        .long(table)
        .long(change.bias)
        .long(ids.map_or(0, Memory::pointer))
        .words([width, stride, to_stride])
        .float(change.scale)
        .float(change.bound);
    // SAFETY: (out, table, bias, ids, width, stride, to_stride, scale, bound) of `gather`; the callers have
    // checked the ids against the rows of the table, made room for the results and pass a bias of `width`
    // values, and the wide kernel's addresses are aligned.
    unsafe {
        cuda.device.launch(
            cuda.kernel(Operation::Gather, wide),
            [count, 1],
            threads(to_stride, if wide { lane } else { 1 }),
            0,
            &mut arguments,
        )
    }?;
    Ok(())
}
