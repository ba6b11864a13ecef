//! Attention over the forest, on tensor cores where values and heads allow it.

use std::sync::Arc;

use relscale::Error;
use relscale::backend::{Attention, Columns, check_attention};

use crate::buffer::{Buffer, View};
use crate::device::Arguments;
use crate::forest::Forest;
use crate::kernels::Kernel;
use crate::memory::{Memory, address};
use crate::{Cuda, fail, misfit};

/// Bytes of shared memory that every device gives a kernel without an opt-in.
const SHARED: usize = 48 << 10;

/// See [`Backend::attention`](relscale::backend::Backend::attention).
pub(crate) fn attention(
    cuda: &Cuda,
    q: Columns<'_, Buffer>,
    k: Columns<'_, Buffer>,
    v: Columns<'_, Buffer>,
    op: &Attention<'_>,
) -> Result<Buffer, Error> {
    check_attention(&q, &k, &v, op).map_err(fail)?;
    let (q, v) = (cuda.product(q)?, cuda.product(v)?);
    // The same summands in all keys add the same number to all scores of a query, which changes no weight;
    // under a cap it does.
    let k = match op.soft_cap {
        None => cuda.product(k)?,
        Some(_) => cuda.view(k)?,
    };
    let out = cuda.result(q.rows, q.width)?;
    if out.len == 0 {
        return Ok(out);
    }
    // Rows are fewer than 2³¹, and queries no more than keys.
    let past = k.rows - q.rows;
    // Both divide the width of the queries, which fits 32 bits.
    let (heads, dim) = (op.heads as u32, op.head_dim as u32);
    // Heads are the second dimension of the grid, which CUDA limits.
    if heads > 65_535 {
        return Err(misfit(format!("{heads} heads are more than a grid holds")));
    }
    let bytes = cuda.format.bytes();
    let fast =
        bytes == 2 && matches!(dim, 64 | 96 | 128) && [&q, &k, &v].iter().all(|x| x.is_wide(bytes));
    // The kernel for heads of 64 has more warps on a multiprocessor with small tiles.
    let large = fast && dim >= 96;
    let forest = cuda.forests.find(
        |(segments, before, with)| segments == op.segments && *before == past && *with == large,
        || {
            Ok((
                (op.segments.to_vec(), past, large),
                Forest::new(&cuda.device, op.segments, past as usize, large)?,
            ))
        },
    )?;
    // Numbers of 32 bits like any others: every layer has the same.
    let slopes = op.slopes.map(|slopes| {
        let bits: Vec<u32> = slopes.iter().map(|&m| (m as f32).to_bits()).collect();
        cuda.list(&bits)
    });
    let call = Call {
        cuda,
        slopes: slopes.transpose()?,
        views: [&q, &k, &v],
        out: &out,
        forest: &forest,
        past,
        op,
    };
    if fast {
        call.on_tensor_cores()?;
    } else {
        call.plain()?;
    }
    Ok(out)
}

/// A checked call with a result of at least one element.
struct Call<'a> {
    cuda: &'a Cuda,
    /// Queries, keys and values.
    views: [&'a View; 3],
    out: &'a Buffer,
    /// Slope of each head in f32.
    slopes: Option<Arc<Memory>>,
    forest: &'a Arc<Forest>,
    /// Number of rows before the first query.
    past: u32,
    op: &'a Attention<'a>,
}

impl Call<'_> {
    /// The arguments that both kernels begin with.
    fn first(&self) -> Arguments {
        let [q, k, v] = self.views;
        Arguments::new()
            .long(self.out.memory.pointer())
            .long(q.pointer)
            .long(k.pointer)
            .long(v.pointer)
            .long(q.bias())
            .long(v.bias())
            .long(address(self.slopes.as_ref()))
            .long(self.forest.segments.pointer())
    }

    /// The arguments that both kernels end with.
    fn last(&self, arguments: Arguments) -> Arguments {
        let ([q, k, v], op) = (self.views, self.op);
        let group = (op.heads / op.kv_heads) as u32;
        let window = op.window.and_then(|w| u32::try_from(w).ok());
        arguments
            .words([group, q.stride, k.stride, v.stride])
            .float(op.scale as f32)
            .words([window.unwrap_or(u32::MAX)])
            .float(op.soft_cap.unwrap_or(0.0) as f32)
    }

    fn on_tensor_cores(&self) -> Result<(), Error> {
        let (cuda, dim, heads) = (self.cuda, self.op.head_dim as u32, self.op.heads as u32);
        let forest = self.forest;
        let first = self.first().long(forest.tiles.pointer());
        let first = first.long(forest.shared.pointer());
        let mut arguments = self.last(first.words([self.past]));
        // SAFETY: (out, q, k, v, biases, slopes, forest, tiles, shared, past, group, strides, scale, window,
        // cap) of `flash`; the views were checked against their buffers, biases and each other, there is a
        // slope per head, the segments cover the rows of keys, the tiles those from `past` on, and every
        // address is aligned to 16 bytes.
        unsafe {
            cuda.device.launch(
                Kernel::Flash {
                    format: cuda.format,
                    dim,
                    warps: forest.warps,
                },
                [forest.tile_count, heads],
                32 * forest.warps,
                0,
                &mut arguments,
            )
        }?;
        Ok(())
    }

    fn plain(&self) -> Result<(), Error> {
        let (cuda, heads) = (self.cuda, self.op.heads as u32);
        let dim = self.op.head_dim as u32;
        let shared = 2 * 4 * self.op.head_dim;
        if shared + 256 > SHARED {
            return Err(misfit(format!("heads of {dim} elements are too wide")));
        }
        let first = self.first().long(self.forest.segment_of.pointer());
        let mut arguments = self.last(first.words([self.past, dim]));
        // SAFETY: (out, q, k, v, biases, slopes, forest, segments, past, dim, group, strides, scale, window,
        // cap) of `attention`; the views were checked against their buffers, biases and each other, there is
        // a slope per head, the segments cover the rows of keys, `past` of which come before the first of
        // the queries, and the shared memory holds two heads.
        unsafe {
            cuda.device.launch(
                Kernel::Attention(cuda.format),
                [self.views[0].rows, heads],
                32,
                shared as u32,
                &mut arguments,
            )
        }?;
        Ok(())
    }
}
