//! Operations of some architectures only: functions of every element, and mixtures of experts.
//!
//! A backend may refuse them with [`Error::Unsupported`].

use super::bounds::{close, close_f64, scaled};
use super::inputs::{Block, SIZES, SplitMix64, to_f64, vector};
use super::kit::{Failure, Kit};
use crate::backend::{Backend, Columns, Pointwise, Route, Routing, choose_experts};
use crate::error::Error;

/// The result, unless the backend does not compute the operation.
pub(super) fn computed<T>(result: Result<T, Error>) -> Result<Option<T>, Failure> {
    match result {
        Ok(result) => Ok(Some(result)),
        Err(Error::Unsupported { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl<B: Backend> Kit<B> {
    /// Factors and bounds of every element.
    ///
    /// Bound: γ₃·|y|, one rounding of the element, of the factor or bound, and of the product.
    pub fn pointwise(&self) -> Result<(), Failure> {
        let (backend, mut random) = (self.backend(), SplitMix64::new(15));
        for (&rows, &width) in SIZES.iter().zip(SIZES.iter().rev()) {
            let x = Block::new(&random.awkward(rows * width), rows, (1, 3));
            let buffer = x.upload(&backend)?;
            for function in [
                Pointwise::Scale(0.37),
                Pointwise::Scale(-11.3),
                Pointwise::Clip(0.5),
                Pointwise::Clip(30.0),
            ] {
                let result = backend.pointwise(x.columns(&buffer), function);
                let Some(result) = computed(result)? else {
                    continue;
                };
                let content = x.content().into_iter();
                let want: Vec<f64> = match function {
                    Pointwise::Scale(factor) => content.map(|x| x * factor).collect(),
                    Pointwise::Clip(bound) => content.map(|x| x.clamp(-bound, bound)).collect(),
                };
                let what = format!("{function:?} of {rows} × {width}");
                let bound = scaled(&want, self.gamma(3));
                close(what, &backend.read(&result)?, &want, &bound)?;
            }
        }
        Ok(())
    }

    /// The experts of every row and their weights, ties included.
    ///
    /// The numbers of the experts must be equal; the logits are multiples of ¼ below 16, which every format
    /// holds exactly. Bound on a weight: γ₁₆, which leaves room for exponentials and a sum in the
    /// backend's own precision.
    pub fn route(&self) -> Result<(), Failure> {
        let (backend, mut random) = (self.backend(), SplitMix64::new(16));
        for (&rows, &width) in SIZES.iter().zip(SIZES.iter().rev()) {
            let logits: Vec<f32> = (0..rows * width)
                .map(|_| random.below(64) as f32 / 4.0)
                .collect();
            let block = Block::new(&logits, rows, (2, 1));
            let buffer = block.upload(&backend)?;
            for (top_k, function, normalise) in [
                (1, Routing::Softmax, false),
                (2, Routing::Softmax, true),
                (8, Routing::Softmax, false),
                (1, Routing::Sigmoid, false),
            ] {
                let op = Route {
                    top_k: width.min(top_k),
                    function,
                    normalise,
                };
                let Some(got) = computed(backend.route(block.columns(&buffer), &op))? else {
                    return Ok(());
                };
                let want = choose_experts(Columns::all(&logits, rows, width), &op)
                    .map_err(|misfit| Failure::wrong(misfit.to_string()))?;
                let what = format!("{op:?} of {rows} × {width}");
                if got
                    .iter()
                    .map(|c| c.expert)
                    .ne(want.iter().map(|c| c.expert))
                {
                    return Err(Failure::wrong(format!("{what}: other experts")));
                }
                let weights = |choices: &[_]| -> Vec<f64> {
                    choices
                        .iter()
                        .map(|c: &crate::backend::Choice| c.weight)
                        .collect()
                };
                let bound = vec![self.gamma(16); want.len()];
                close_f64(what, &weights(&got), &weights(&want), &bound)?;
            }
        }
        Ok(())
    }

    /// Weighted rows added to some rows of a buffer; the others stay as they are.
    ///
    /// Bound: γ₄·(|x| + |w·y|), one rounding of each operand, the weight, the product and the sum.
    pub fn add_rows(&self) -> Result<(), Failure> {
        let (backend, mut random) = (self.backend(), SplitMix64::new(17));
        for (&rows, &width) in SIZES.iter().zip(SIZES.iter().rev()) {
            let x = random.awkward(rows * width);
            for every in [1, 3] {
                let to: Vec<usize> = (rows.min(every) - 1..rows).step_by(every).collect();
                let y = Block::new(&random.awkward(to.len() * width), to.len(), (0, 2));
                let weights: Vec<f64> = to.iter().map(|_| random.uniform().into()).collect();
                let buffer = y.upload(&backend)?;
                let result =
                    backend.add_rows(vector(&backend, &x)?, y.columns(&buffer), &to, &weights);
                let Some(result) = computed(result)? else {
                    return Ok(());
                };
                let mut want = to_f64(&x);
                let mut bound = scaled(&want, self.gamma(4));
                for ((&row, weight), y) in to.iter().zip(&weights).zip(y.content().chunks(width)) {
                    for (i, y) in (row * width..).zip(y) {
                        want[i] += weight * y;
                        bound[i] += self.gamma(4) * (weight * y).abs();
                    }
                }
                let what = format!("{} of {rows} rows of {width}", to.len());
                close(what, &backend.read(&result)?, &want, &bound)?;
            }
        }
        Ok(())
    }
}
