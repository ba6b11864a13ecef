//! The choice of experts, which every backend makes on the host.

use num_traits::ToPrimitive;

#[cfg(doc)]
use super::Backend;
use super::{Choice, Columns, Route, Routing, ShapeError};

/// Chooses the experts of each row of `logits` on the host. See [`Backend::route`].
///
/// With the logits l of a row, an expert has the weight `e^lᵢ / Σⱼ e^lⱼ` or `1 / (1 + e^−lᵢ)`, divided
/// by the sum over the chosen ones if that is asked for.
///
/// # Errors
/// A block that does not fit its buffer, or a number of experts per row outside `1..=logits.width`.
///
/// # Examples
/// ```
/// use relscale::backend::{Columns, Route, Routing, choose_experts};
///
/// let logits = vec![1.0f32, 2.0, 2.0];
/// let op = Route { top_k: 1, function: Routing::Softmax, normalise: true };
/// let chosen = choose_experts(Columns::all(&logits, 1, 3), &op)?;
/// // Of equal logits, that of the lower number.
/// assert_eq!((chosen[0].expert, chosen[0].weight), (1, 1.0));
/// # Ok::<(), relscale::backend::ShapeError>(())
/// ```
pub fn choose_experts<T: ToPrimitive>(
    logits: Columns<'_, Vec<T>>,
    op: &Route,
) -> Result<Vec<Choice>, ShapeError> {
    logits.check(logits.buffer.len())?;
    if op.top_k == 0 || op.top_k > logits.width {
        let (k, n) = (op.top_k, logits.width);
        return Err(ShapeError::new(format!("{k} of {n} experts per row")));
    }
    let mut chosen = Vec::new();
    for r in 0..logits.rows {
        let start = r * logits.stride + logits.start;
        let row = &logits.buffer[start..start + logits.width];
        let row: Vec<f64> = row.iter().map(|l| l.to_f64().unwrap_or(f64::NAN)).collect();
        choose(&row, op, &mut chosen);
    }
    Ok(chosen)
}

/// Appends the choices of one row.
fn choose(logits: &[f64], op: &Route, chosen: &mut Vec<Choice>) {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    // A stable sort keeps equal logits by number. By logits and not by weights, which may round to the
    // same number.
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    // Subtracted so that no exponential overflows.
    let top = logits[order[0]];
    let weight = |i: usize| match op.function {
        Routing::Softmax => libm::exp(logits[i] - top),
        Routing::Sigmoid => 1.0 / (1.0 + libm::exp(-logits[i])),
    };
    let picked = &order[..op.top_k];
    let divisor = match (op.normalise, op.function) {
        (true, _) => picked.iter().map(|&i| weight(i)).sum(),
        (false, Routing::Softmax) => (0..logits.len()).map(weight).sum(),
        (false, Routing::Sigmoid) => 1.0f64,
    };
    chosen.extend(picked.iter().map(|&expert| Choice {
        expert,
        weight: weight(expert) / divisor,
    }));
}
