//! The LM head: logits of some rows at a time, and the log-probability of each target.

use relscale::Error;
use relscale::backend::{Columns, LogProb, Target, check_len, check_targets};

use crate::buffer::{Buffer, View, small};
use crate::device::Arguments;
use crate::format::Format;
use crate::gemm::ROWS;
use crate::kernels::Kernel;
use crate::memory::address;
use crate::product::{multiply, padded};
use crate::rows::{Change, picked};
use crate::{Cuda, NAME, fail, misfit};

/// Bytes of logits that exist at once: small beside the memory of a device, and enough rows of the
/// largest vocabularies to fill it with work. `cli/src/engine.rs` counts them against the memory limit.
const LOGITS: usize = 256 << 20;
/// Rows of logits that exist at once, whatever the vocabulary.
const LOGIT_ROWS: usize = 2048;

/// See [`Backend::log_prob`](relscale::backend::Backend::log_prob).
pub(crate) fn log_prob(
    cuda: &Cuda,
    x: Columns<'_, Buffer>,
    op: &LogProb<'_, Buffer>,
) -> Result<Vec<f64>, Error> {
    check_targets(op.targets, x.rows, op.vocab).map_err(fail)?;
    let weight = op
        .weight
        .weight(&cuda.device, op.vocab, op.inputs)
        .map_err(fail)?;
    check_len("input row", x.width, op.inputs).map_err(fail)?;
    let bias = cuda.optional(op.bias, "bias", op.vocab)?;
    let view = cuda.view(x)?;
    if op.targets.is_empty() {
        return Ok(Vec::new());
    }
    if op.inputs == 0 {
        return Err(misfit("a product over no inputs"));
    }
    let vocab = small("tokens", op.vocab).map_err(fail)?;
    let count = small("targets", op.targets.len()).map_err(fail)?;

    let (rows, firsts) = scored_rows(op.targets, count);
    let tokens: Vec<u32> = op.targets.iter().map(|t| t.token).collect();
    let scored = if rows.len() == x.rows {
        view
    } else {
        let ids: Vec<u32> = rows.iter().map(|&r| r as u32).collect();
        let picked = picked(cuda, &view, &ids, Change::NONE)?;
        View::whole(picked, rows.len() as u32, view.width)
    };

    let stride = weight.outputs as usize;
    let most = LOGITS / 4 / stride / ROWS as usize * ROWS as usize;
    let chunk = most
        .clamp(ROWS as usize, LOGIT_ROWS)
        .min(padded(rows.len() as u32) as usize);
    let logits = cuda.device.allocate(4 * chunk * stride)?;
    let firsts = cuda.device.upload(&firsts)?;
    let tokens = cuda.device.upload(&tokens)?;
    let out = cuda.device.allocate(4 * op.targets.len())?;
    for start in (0..rows.len()).step_by(chunk) {
        let block = scored.rows_from(start, chunk.min(rows.len() - start), cuda.format);
        multiply(cuda, &block, weight, logits.pointer(), Format::F32)?;
        let mut arguments = Arguments::new()
            .long(out.pointer())
            .long(logits.pointer())
            .long(address(bias.as_ref()))
            .long(firsts.pointer() + 4 * start as u64)
            .long(tokens.pointer())
            .words([vocab, weight.outputs])
            .float(op.soft_cap.unwrap_or(0.0) as f32);
        // SAFETY: (out, logits, bias, firsts, tokens, vocab, stride, cap) of `log_prob`; the chunk's
        // rows of logits are there, with one first target more than rows, and the targets were
        // checked against the vocabulary.
        unsafe {
            cuda.device
                .launch(Kernel::LogProb, [block.rows, 1], 256, 0, &mut arguments)
        }?;
    }
    let out: Vec<f32> = cuda.device.download(&out, op.targets.len())?;
    match out.iter().position(|x| !x.is_finite()) {
        None => Ok(out.into_iter().map(f64::from).collect()),
        Some(index) => {
            let (token, x) = (op.targets[index].token, out[index]);
            let message = format!(
                "the log-probability of token {token} is {x}: values beyond the range of {}; {} shows \
                 the layer of a norm that made them",
                cuda.format.name(),
                crate::device::WATCH
            );
            Err(Error::backend(NAME, message))
        }
    }
}

/// The rows that are scored, and the index of the first target of each, followed by `count`, the
/// number of targets.
fn scored_rows(targets: &[Target], count: u32) -> (Vec<usize>, Vec<u32>) {
    let (mut rows, mut firsts) = (Vec::new(), Vec::new());
    for (index, target) in targets.iter().enumerate() {
        if rows.last() != Some(&target.row) {
            rows.push(target.row);
            firsts.push(index as u32);
        }
    }
    firsts.push(count);
    (rows, firsts)
}
