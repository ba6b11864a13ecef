//! The reference backend: plain loops, generic over the float type.
//!
//! Its kernels define each operation of [`Backend`]. They are the oracle of the tests (in `f64`)
//! and the first backend to read. Sums run in index order.

use std::ops::Range;

use num_traits::Float;

use crate::backend::{
    Activation, Attention, Backend, Choice, Columns, Embed, HostTensor, Linear, LogProb, Norm,
    Pointwise, Precision, Role, Rope, Route, ShapeError, Tensor, choose_experts,
};
use crate::error::Error;

mod kernels;

use kernels::cast;
#[cfg(feature = "conformance")]
pub(crate) use kernels::visible;
pub(crate) use kernels::{
    activate, add, add_rows, attention, concat, embed, gather, linear, log_prob, norm, pointwise,
    rope,
};

/// A backend of plain loops that computes in `T`.
///
/// `Reference<f64>` is the oracle of the tests: weights are widened exactly, and every operation,
/// rotary tables and norms included, runs in `f64`.
///
/// # Examples
/// ```
/// use relscale::backend::{Activation, Backend, Columns, Reference, Role, Tensor, Values};
///
/// let backend = Reference::<f64>::new();
/// let x = Tensor { values: Values::F32(&[1.0, 2.0]), rows: 1, cols: 2, role: Role::Dense };
/// let x = backend.upload(&x)?;
/// let y = backend.activate(Columns::all(&x, 1, 2), None, Activation::Silu)?;
/// assert!((y[0] - 1.0 / (1.0 + (-1.0f64).exp())).abs() < 1e-15);
/// # Ok::<(), relscale::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Reference<T> {
    float: std::marker::PhantomData<T>,
}

impl<T> Reference<T> {
    /// The backend. It has no options.
    pub fn new() -> Self {
        Self {
            float: std::marker::PhantomData,
        }
    }
}

#[deny(clippy::missing_trait_methods)]
impl<T: Float + Send + Sync> Backend for Reference<T> {
    type Buffer = Vec<T>;

    fn name(&self) -> &str {
        "reference"
    }

    fn device(&self) -> Option<String> {
        None
    }

    fn enough_tokens(&self) -> Option<usize> {
        None
    }

    fn upload(&self, tensor: &Tensor<'_>) -> Result<Vec<T>, Error> {
        let len = tensor.values.len();
        if tensor.rows.checked_mul(tensor.cols) != Some(len) {
            let (rows, cols) = (tensor.rows, tensor.cols);
            let message = format!("{len} values for {rows} × {cols}");
            return Err(Error::backend(self.name(), ShapeError::new(message)));
        }
        // Through `f32`, which holds every value of every precision exactly.
        Ok(tensor.values.to_f32().into_iter().map(cast).collect())
    }

    fn upload_rows(
        &self,
        [rows, cols]: [usize; 2],
        _: Role,
        read: &mut dyn FnMut(Range<usize>) -> Result<HostTensor, Error>,
    ) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        // About a million values at a time, so that the rows read are small beside the whole.
        let step = (1 << 20) / cols.max(1) + 1;
        for from in (0..rows).step_by(step) {
            let part = read(from..rows.min(from + step))?;
            all.extend(part.values().to_f32().into_iter().map(cast::<f32, T>));
        }
        if Some(all.len()) != rows.checked_mul(cols) {
            let message = format!("{} values for {rows} × {cols}", all.len());
            return Err(Error::backend(self.name(), ShapeError::new(message)));
        }
        Ok(all)
    }

    fn tensor_bytes(&self, [rows, cols]: [usize; 2], _: Precision, _: Role) -> u64 {
        (size_of::<T>() as u64)
            .saturating_mul(rows as u64)
            .saturating_mul(cols as u64)
    }

    fn read(&self, buffer: &Vec<T>) -> Result<Vec<f32>, Error> {
        Ok(buffer.iter().map(|&x| cast(x)).collect())
    }

    fn embed(&self, table: &Vec<T>, op: &Embed<'_>) -> Result<Vec<T>, Error> {
        embed(table, op).map_err(|e| Error::backend(self.name(), e))
    }

    fn norm(&self, x: Columns<'_, Vec<T>>, op: &Norm<'_, Vec<T>>) -> Result<Vec<T>, Error> {
        norm(x, op).map_err(|e| Error::backend(self.name(), e))
    }

    fn linear(&self, x: Columns<'_, Vec<T>>, op: &Linear<'_, Vec<T>>) -> Result<Vec<T>, Error> {
        linear(x, op).map_err(|e| Error::backend(self.name(), e))
    }

    fn rope(&self, x: Columns<'_, Vec<T>>, op: &Rope<'_>) -> Result<Vec<T>, Error> {
        rope(x, op).map_err(|e| Error::backend(self.name(), e))
    }

    fn attention(
        &self,
        q: Columns<'_, Vec<T>>,
        k: Columns<'_, Vec<T>>,
        v: Columns<'_, Vec<T>>,
        op: &Attention<'_>,
    ) -> Result<Vec<T>, Error> {
        attention(q, k, v, op).map_err(|e| Error::backend(self.name(), e))
    }

    fn activate(
        &self,
        gate: Columns<'_, Vec<T>>,
        up: Option<Columns<'_, Vec<T>>>,
        function: Activation,
    ) -> Result<Vec<T>, Error> {
        activate(gate, up, function).map_err(|e| Error::backend(self.name(), e))
    }

    fn pointwise(&self, x: Columns<'_, Vec<T>>, function: Pointwise) -> Result<Vec<T>, Error> {
        pointwise(x, function).map_err(|e| Error::backend(self.name(), e))
    }

    fn route(&self, logits: Columns<'_, Vec<T>>, op: &Route) -> Result<Vec<Choice>, Error> {
        choose_experts(logits, op).map_err(|e| Error::backend(self.name(), e))
    }

    fn add_rows(
        &self,
        mut x: Vec<T>,
        y: Columns<'_, Vec<T>>,
        rows: &[usize],
        weights: &[f64],
    ) -> Result<Vec<T>, Error> {
        add_rows(&mut x, y, rows, weights).map_err(|e| Error::backend(self.name(), e))?;
        Ok(x)
    }

    fn add(&self, mut x: Vec<T>, y: &Vec<T>) -> Result<Vec<T>, Error> {
        add(&mut x, y).map_err(|e| Error::backend(self.name(), e))?;
        Ok(x)
    }

    fn gather(&self, x: Columns<'_, Vec<T>>, rows: &[usize]) -> Result<Vec<T>, Error> {
        gather(x, rows).map_err(|e| Error::backend(self.name(), e))
    }

    fn concat(&self, x: Columns<'_, Vec<T>>, y: Columns<'_, Vec<T>>) -> Result<Vec<T>, Error> {
        concat(x, y).map_err(|e| Error::backend(self.name(), e))
    }

    fn log_prob(
        &self,
        x: Columns<'_, Vec<T>>,
        op: &LogProb<'_, Vec<T>>,
    ) -> Result<Vec<f64>, Error> {
        log_prob(x, op).map_err(|e| Error::backend(self.name(), e))
    }
}
