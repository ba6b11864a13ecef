//! What a backend must do, as tests that run on any [`Backend`] (feature `conformance`).
//!
//! [`conformance_tests!`](crate::conformance_tests) stamps one `#[test]` a check:
//!
//! ```
//! # mod tests {
//! use relscale::backend::Reference;
//! use relscale::conformance::{Promise, UNIT_ROUNDOFF_F32};
//!
//! relscale::conformance_tests!(
//!     plain_loops,
//!     || Reference::<f32>::new(),
//!     UNIT_ROUNDOFF_F32,
//!     Promise::Bitwise
//! );
//! # }
//! ```
//!
//! # How kernels are judged
//! Every kernel runs on awkward sizes and values and is compared with the
//! [`Reference`] kernel in `f64` on the same inputs. The allowed difference is an
//! a-priori forward-error bound, not a guess: with u the unit roundoff of the backend and
//! γ_k = k·u / (1 − k·u), a sum of n products in any order, with or without fused multiply-add,
//! differs from the exact one by at most γ_n·Σ|xᵢ||yᵢ|. Every check says how its bound follows.
//! To each bound come u₃₂·|y| with u₃₂ = 2⁻²⁴, because [`Backend::read`] returns `f32`, and a
//! multiple of the smallest normal `f32`, so that a device may flush subnormal numbers to zero.
//! A result that is not a number is never within a bound.
//!
//! Elementary functions (`exp`, `tanh`, `cos`) may be wrong by 4 u, which every common
//! mathematical library keeps. Columns beside the block that a kernel is given hold NaN: whoever
//! reads them is found out.
//!
//! Numbers come from a fixed seed, so a failure repeats.
//!
//! # References
//! N. J. Higham (2002), *Accuracy and Stability of Numerical Algorithms*, 2nd ed., SIAM, §3.1
//! (γ_k, lemma 3.1), doi:10.1137/1.9780898718027.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use half::{bf16, f16};
use safetensors::tensor::{Dtype, TensorView};

use crate::backend::reference::{self, Reference};
use crate::backend::{
    Activation, Attention, Backend, Columns, Embed, HostTensor, Linear, LogProb, Norm, NormKind,
    Precision, Role, Rope, Segment, ShapeError, Target, Tensor, Values,
};
use crate::error::Error;
use crate::model::{Batch, Model, Transformer};

/// Unit roundoff of a backend that computes in `f32`: 2⁻²⁴.
pub const UNIT_ROUNDOFF_F32: f64 = f32::EPSILON as f64 / 2.0;
/// Unit roundoff of a backend that computes in `f64`: 2⁻⁵³.
pub const UNIT_ROUNDOFF_F64: f64 = f64::EPSILON / 2.0;

/// Stamps a module of tests that a backend has to pass, one `#[test]` a check of [`Kit`].
///
/// Arguments: the name of the module, an expression that makes the backend (a closure; it
/// is called several times), the unit roundoff of its arithmetic, and optionally what
/// it promises beyond bounds ([`Promise`], `WithinBound` when left out). See
/// [`conformance`](crate::conformance) for an example.
#[macro_export]
macro_rules! conformance_tests {
    ($name:ident, $make:expr, $unit_roundoff:expr $(,)?) => {
        $crate::conformance_tests!(
            $name,
            $make,
            $unit_roundoff,
            $crate::conformance::Promise::WithinBound
        );
    };
    ($name:ident, $make:expr, $unit_roundoff:expr, $promise:expr $(,)?) => {
        #[allow(clippy::redundant_closure, reason = "a closure reads best where the macro is called")]
        mod $name {
            #[allow(unused_imports, reason = "the backend may need nothing from outside")]
            use super::*;
            $crate::conformance_tests!(@tests [$make, $unit_roundoff, $promise]
                upload_rows embed norm linear rope attention activate add gather concat log_prob
                rows_alone attention_causality attention_sharing attention_prefix normalisation
                empty wrong_input
                model model_causality model_packing model_sharing model_prefix
                model_repeatability model_normalisation);
        }
    };
    (@tests $kit:tt $($check:ident)*) => {
        $(#[test] fn $check() { $crate::conformance_tests!(@run $kit $check); })*

        /// A check that is in the kit and not stamped here would be one that nobody runs.
        #[test]
        fn every_check_is_stamped() {
            let names = $crate::conformance::names();
            assert_eq!(names, [$(stringify!($check)),*]);
        }
    };
    (@run [$make:expr, $unit_roundoff:expr, $promise:expr] $check:ident) => {
        let kit = $crate::conformance::Kit::new($make, $unit_roundoff, $promise);
        if let Err(failure) = kit.$check() {
            panic!("{failure}");
        }
    };
}

/// What a backend promises about one item computed in different company.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Promise {
    /// The same bits, whatever else is in the batch and however its prefix is shared.
    Bitwise,
    /// Differences of rounding only: at most 1024 u·(1 + |x|).
    WithinBound,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

impl From<ShapeError> for Failure {
    fn from(misfit: ShapeError) -> Self {
        Self(misfit.to_string())
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self(message)
    }
}

/// Result of a check.
pub type Outcome = Result<(), Failure>;

/// The checks, for one backend.
///
/// # Examples
/// ```
/// use relscale::backend::Reference;
/// use relscale::conformance::{Kit, Promise, UNIT_ROUNDOFF_F64};
///
/// let kit = Kit::new(|| Reference::<f64>::new(), UNIT_ROUNDOFF_F64, Promise::Bitwise);
/// for (name, check) in Kit::checks() {
///     assert!(check(&kit).is_ok(), "{name}");
/// }
/// ```
pub struct Kit<B> {
    make: Box<dyn Fn() -> B>,
    unit_roundoff: f64,
    promise: Promise,
}

impl<B> fmt::Debug for Kit<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kit")
            .field("unit_roundoff", &self.unit_roundoff)
            .field("promise", &self.promise)
            .finish_non_exhaustive()
    }
}

macro_rules! checks {
    ($($name:ident)*) => {
        /// Names of the checks, in the order of [`Kit::checks`].
        pub fn names() -> Vec<&'static str> {
            vec![$(stringify!($name)),*]
        }

        impl<B: Backend> Kit<B> {
            /// Every check by name, for those who want a table instead of tests.
            pub fn checks() -> Vec<(&'static str, fn(&Self) -> Outcome)> {
                vec![$((stringify!($name), Self::$name as fn(&Self) -> Outcome)),*]
            }
        }
    };
}

checks! {
    upload_rows embed norm linear rope attention activate add gather concat log_prob
    rows_alone attention_causality attention_sharing attention_prefix normalisation empty wrong_input
    model model_causality model_packing model_sharing model_prefix model_repeatability
    model_normalisation
}

/// Sizes around the widths of registers, tiles and blocks.
const SIZES: [usize; 10] = [1, 2, 7, 15, 16, 17, 33, 63, 64, 65];

impl<B: Backend> Kit<B> {
    /// A kit for the backend that `make` makes, which computes with this unit roundoff.
    pub fn new(make: impl Fn() -> B + 'static, unit_roundoff: f64, promise: Promise) -> Self {
        Self {
            make: Box::new(make),
            unit_roundoff,
            promise,
        }
    }

    /// γ_k = k·u / (1 − k·u).
    fn gamma(&self, k: usize) -> f64 {
        let ku = k as f64 * self.unit_roundoff;
        assert!(
            ku < 1.0,
            "a unit roundoff of {} says nothing",
            self.unit_roundoff
        );
        ku / (1.0 - ku)
    }

    /// Whether two results that should not depend on company agree as promised.
    fn same(&self, what: impl fmt::Display, a: &[f64], b: &[f64]) -> Outcome {
        if a.len() != b.len() {
            return Err(Failure(format!(
                "{what}: {} results, then {}",
                a.len(),
                b.len()
            )));
        }
        for (i, (&a, &b)) in a.iter().zip(b).enumerate() {
            let agree = a.is_finite()
                && match self.promise {
                    Promise::Bitwise => a.to_bits() == b.to_bits(),
                    Promise::WithinBound => {
                        (a - b).abs() <= 1024.0 * self.unit_roundoff * (1.0 + a.abs())
                    }
                };
            if !agree {
                return Err(Failure(format!(
                    "{what}: result {i} is {a:e}, then {b:e}, promised {:?}",
                    self.promise
                )));
            }
        }
        Ok(())
    }

    /// A tensor uploaded in pieces is the tensor uploaded whole, in every precision; pieces of the
    /// wrong size and those that cannot be read are errors.
    pub fn upload_rows(&self) -> Outcome {
        let backend = (self.make)();
        for (rows, cols) in [(1, 1), (37, 5), (37, 1 << 16)] {
            for (precision, role) in [
                (Precision::F32, Role::Matrix),
                (Precision::F16, Role::Matrix),
                (Precision::Bf16, Role::Matrix),
                (Precision::F32, Role::Dense),
            ] {
                // Exact in every precision.
                let values = |range: Range<usize>| {
                    let all = (range.start * cols..range.end * cols).map(|i| (i % 251) as f32);
                    match precision {
                        Precision::F32 => HostTensor::F32(all.collect()),
                        Precision::F16 => HostTensor::F16(all.map(f16::from_f32).collect()),
                        Precision::Bf16 => HostTensor::Bf16(all.map(bf16::from_f32).collect()),
                    }
                };
                let what = format!("{rows} × {cols}, {precision:?}, {role:?}");
                let whole = upload(&backend, &values(0..rows), rows, cols, role)?;
                let mut next = 0;
                let pieces = backend.upload_rows([rows, cols], role, &mut |range| {
                    if range.start != next || range.end <= next || range.end > rows {
                        return Err(Error::batch(format!("{range:?} after {next} rows")));
                    }
                    next = range.end;
                    Ok(values(range))
                })?;
                if next != rows || backend.read(&whole)? != backend.read(&pieces)? {
                    return Err(Failure(format!("{what}: another tensor, {next} rows read")));
                }
                for rest in 0..2 {
                    let mut read = |range: Range<usize>| match rest {
                        0 => Err(Error::batch("unreadable")),
                        _ => Ok(values(range.start..range.end - 1)),
                    };
                    if backend.upload_rows([rows, cols], role, &mut read).is_ok() {
                        let how = ["unreadable", "too few"][rest];
                        return Err(Failure(format!("{what}: rows that are {how} are taken")));
                    }
                }
            }
        }
        Ok(())
    }

    /// Rows of a table, times a factor.
    ///
    /// Bound: the factor is rounded to the backend's precision, then one product, γ₂·|y|.
    pub fn embed(&self) -> Outcome {
        let (backend, mut draw) = ((self.make)(), Draw(1));
        for (&vocab, &width) in SIZES.iter().zip(SIZES.iter().rev()) {
            for (precision, scale) in [(0, 1.0), (1, 0.37), (2, 11.3)] {
                let table = draw.matrix(vocab, width, precision);
                let tokens: Vec<u32> = (0..SIZES[vocab % SIZES.len()])
                    .map(|_| draw.below(vocab) as u32)
                    .collect();
                let op = Embed {
                    tokens: &tokens,
                    vocab,
                    width,
                    scale,
                };
                let buffer = upload(&backend, &table, vocab, width, Role::Matrix)?;
                let got = backend.read(&backend.embed(&buffer, &op)?)?;
                let want = reference::embed(&wide(&table), &op)?;
                let bound = scaled(&want, self.gamma(2));
                close(
                    format!("embed {vocab} × {width} scale {scale}"),
                    &got,
                    &want,
                    &bound,
                )?;
            }
        }
        Ok(())
    }

    /// Root-mean-square and layer norm, over whole rows and head by head.
    ///
    /// Bound, for y = c·r·w + b with c = x − μ and r = (v + ε)^−½ over n elements: the mean is
    /// wrong by e = γ_{n+1}·mean|x| (0 without a mean), the variance by
    /// δv = (1 + γ_{n+4})·mean((|c| + e)²) − v, hence r by a factor 1 ± ρ with
    /// ρ = δv / (v + ε) ≤ ½; eight more roundings follow, so
    /// |Δy| ≤ r·|w|·((|c| + e)(1 + ρ)(1 + γ₈) − |c|) + γ₂·|b|.
    pub fn norm(&self) -> Outcome {
        let (backend, mut draw) = ((self.make)(), Draw(2));
        for (&width, groups) in SIZES.iter().zip([1, 3].into_iter().cycle()) {
            for kind in [NormKind::Rms, NormKind::Layer] {
                for (rows, epsilon, biased) in [(1, 1e-5, false), (7, 1e-6, true), (3, 0.1, false)]
                {
                    let x = Host::new(draw.awkward(rows * width * groups), rows, (3, 2));
                    let weight = draw.awkward(width);
                    let bias = biased.then(|| draw.awkward(width));
                    let buffers = (x.upload(&backend)?, vector(&backend, &weight)?);
                    let bias_buffer = bias.as_ref().map(|b| vector(&backend, b)).transpose()?;
                    let op = Norm {
                        kind,
                        epsilon,
                        width,
                        weight: &buffers.1,
                        bias: bias_buffer.as_ref(),
                    };
                    let got = backend.read(&backend.norm(x.columns(&buffers.0), &op)?)?;
                    let (w, b) = (to_f64(&weight), bias.as_ref().map(|b| to_f64(b)));
                    let op = Norm {
                        kind,
                        epsilon,
                        width,
                        weight: &w,
                        bias: b.as_ref(),
                    };
                    let host = to_f64(&x.values);
                    let want = reference::norm(x.columns(&host), &op)?;
                    let bound = self.norm_bound(&x, &op)?;
                    let what = format!("{kind:?} norm, {rows} rows of {groups} × {width}");
                    close(what, &got, &want, &bound)?;
                }
            }
        }
        Ok(())
    }

    fn norm_bound(&self, x: &Host, op: &Norm<'_, Vec<f64>>) -> Result<Vec<f64>, Failure> {
        let (n, count) = (op.width, op.width as f64);
        let mut bound = Vec::new();
        for group in x.content().chunks_exact(n) {
            let mean_of = |f: &dyn Fn(f64) -> f64| group.iter().map(|&x| f(x)).sum::<f64>() / count;
            let (mean, e) = match op.kind {
                NormKind::Rms => (0.0, 0.0),
                NormKind::Layer => (mean_of(&|x| x), self.gamma(n + 1) * mean_of(&f64::abs)),
            };
            let variance = mean_of(&|x| (x - mean).powi(2));
            let worst = (1.0 + self.gamma(n + 4)) * mean_of(&|x| ((x - mean).abs() + e).powi(2));
            let rho = (worst - variance) / (variance + op.epsilon);
            if rho > 0.5 {
                // Nothing can be said about such a group; the kit's own values avoid it.
                return Err(Failure(format!(
                    "no bound: variance {variance:e} of values ± {e:e}"
                )));
            }
            let r = (variance + op.epsilon).sqrt().recip();
            for (i, x) in group.iter().enumerate() {
                let c = (x - mean).abs();
                let factor = (c + e) * (1.0 + rho) * (1.0 + self.gamma(8)) - c;
                let bias = op.bias.map_or(0.0, |b| b[i].abs());
                bound.push(r * op.weight[i].abs() * factor + self.gamma(2) * bias);
            }
        }
        Ok(bound)
    }

    /// Products with a weight, with and without bias.
    ///
    /// Bound: n products in any order, a bias, and inputs rounded to the backend's precision,
    /// γ_{n+3}·(Σ|x||w| + |b|).
    pub fn linear(&self) -> Outcome {
        let (backend, mut draw) = ((self.make)(), Draw(3));
        let shapes = [
            (1, 1, 1),
            (2, 7, 15),
            (7, 15, 17),
            (16, 16, 16),
            (17, 63, 65),
            (65, 64, 33),
            (5, 257, 31),
            (13, 600, 100),
            (400, 9, 18),
            (6, 33, 1),
            (1, 65, 200),
        ];
        for (case, (rows, inputs, outputs)) in shapes.into_iter().enumerate() {
            for biased in [false, true] {
                let x = Host::new(draw.awkward(rows * inputs), rows, (case % 3, case % 2));
                let weight = draw.matrix(outputs, inputs, case);
                let bias = biased.then(|| draw.awkward(outputs));
                let buffers = (
                    x.upload(&backend)?,
                    upload(&backend, &weight, outputs, inputs, Role::Matrix)?,
                );
                let bias_buffer = bias.as_ref().map(|b| vector(&backend, b)).transpose()?;
                let op = Linear {
                    weight: &buffers.1,
                    bias: bias_buffer.as_ref(),
                    inputs,
                    outputs,
                };
                let got = backend.read(&backend.linear(x.columns(&buffers.0), &op)?)?;
                let linear = |x: &Host, weight: &Vec<f64>, bias: Option<Vec<f64>>| {
                    let op = Linear {
                        weight,
                        bias: bias.as_ref(),
                        inputs,
                        outputs,
                    };
                    reference::linear(x.columns(&to_f64(&x.values)), &op)
                };
                let w = wide(&weight);
                let want = linear(&x, &w, bias.as_ref().map(|b| to_f64(b)))?;
                let size = linear(&x.abs(), &abs(&w), bias.as_ref().map(|b| abs(&to_f64(b))))?;
                let bound = scaled(&size, self.gamma(inputs + 3));
                let what = format!("linear {rows} × {inputs} → {outputs}, bias {biased}");
                close(what, &got, &want, &bound)?;
            }
        }
        Ok(())
    }

    /// Rotary embedding of whole and of part of the heads, at near and far positions.
    ///
    /// Bound: cosine and sine of the angle, a product in `f64`, are right to 4 u; two products and
    /// a sum follow, (γ₈ + 2⁻⁵²·|angle|)·(|a| + |b|)·scale. What passes through is exact to u.
    pub fn rope(&self) -> Outcome {
        let (backend, mut draw) = ((self.make)(), Draw(4));
        // (elements of a head, rotated pairs, heads)
        for (dim, half, heads) in [
            (2, 1, 1),
            (6, 3, 2),
            (16, 8, 3),
            (17, 5, 2),
            (64, 32, 1),
            (10, 0, 2),
            (66, 33, 2),
        ] {
            for scale in [1.0, 1.37] {
                let positions = [0, 1, 2, 17, 63, 64, 65, 4095, 4096, 1_000_003, 3];
                let rows = positions.len();
                let x = Host::new(draw.awkward(rows * heads * dim), rows, (1, heads));
                let frequencies: Vec<f64> = (0..half)
                    .map(|i| 10_000f64.powf(-(i as f64) / half as f64))
                    .collect();
                let op = Rope {
                    positions: &positions,
                    head_dim: dim,
                    frequencies: &frequencies,
                    scale,
                };
                let buffer = x.upload(&backend)?;
                let got = backend.read(&backend.rope(x.columns(&buffer), &op)?)?;
                let want = reference::rope(x.columns(&to_f64(&x.values)), &op)?;
                let mut bound = Vec::with_capacity(want.len());
                for (r, row) in x.content().chunks_exact(heads * dim).enumerate() {
                    for head in row.chunks_exact(dim) {
                        bound.extend((0..dim).map(|i| {
                            if i >= 2 * half {
                                return self.unit_roundoff * head[i].abs();
                            }
                            let pair = i % half;
                            let angle = f64::from(positions[r]) * frequencies[pair];
                            let error = self.gamma(8) + f64::EPSILON * angle;
                            error * (head[pair].abs() + head[half + pair].abs()) * scale
                        }));
                    }
                }
                close(
                    format!("rope {half} pairs of heads of {dim}"),
                    &got,
                    &want,
                    &bound,
                )?;
            }
        }
        Ok(())
    }

    /// Attention over chains and forests, with grouped heads, windows and soft caps.
    ///
    /// Bound, for a row that sees n keys in heads of d elements: a score is wrong by at most
    /// δ = γ_{d+3}·scale·max Σ|q||k| (+ γ₆·c under a cap c, whose slope is at most 1), a weight
    /// relative to the largest therefore by a factor within η = e^{2δ + 2u·(s_max − s_min)} − 1 of
    /// 1; sums over the keys, online or not, add γ_{4n+16}:
    /// |Δy| ≤ ((1 + η)(1 + γ_{4n+16}) − 1)·Σp|v|. Weights may underflow to zero.
    pub fn attention(&self) -> Outcome {
        let (backend, mut draw) = ((self.make)(), Draw(5));
        for (case, segments) in forests().into_iter().enumerate() {
            for (heads, kv_heads, dim) in [(1, 1, 1), (4, 2, 6), (3, 1, 16), (2, 2, 33), (6, 3, 7)]
            {
                for (window, soft_cap, size) in [
                    (None, None, 1.0),
                    (Some(1), None, 1.0),
                    (Some(5), Some(1.5), 3.0),
                    (Some(64), None, 40.0),
                    (None, Some(30.0), 40.0),
                    (Some(100), None, 3.0),
                ] {
                    let op = Attention {
                        segments: &segments,
                        heads,
                        kv_heads,
                        head_dim: dim,
                        scale: 1.0 / (dim as f64).sqrt(),
                        window,
                        soft_cap,
                    };
                    let input = Qkv::new(&mut draw, &op, size);
                    let got = input.run(&backend, &op)?;
                    let (want, bound) = self.attention_bound(&input, &op)?;
                    let what = format!(
                        "attention, forest {case}, {heads}/{kv_heads} heads of {dim}, \
                         window {window:?}, cap {soft_cap:?}"
                    );
                    close(what, &got, &want, &bound)?;
                }
            }
        }
        Ok(())
    }

    /// The right answer and the bound of [`Kit::attention`].
    fn attention_bound(
        &self,
        input: &Qkv,
        op: &Attention<'_>,
    ) -> Result<(Vec<f64>, Vec<f64>), Failure> {
        let [q, k, v] = [&input.q, &input.k, &input.v].map(|x| to_f64(&x.values));
        let v_abs = abs(&v);
        let exact = |v: &Vec<f64>| {
            reference::attention(
                input.q.columns(&q),
                input.k.columns(&k),
                input.v.columns(v),
                op,
            )
        };
        let (want, mut bound) = (exact(&v)?, exact(&v_abs)?);
        let (dim, group) = (op.head_dim, op.heads / op.kv_heads);
        let (queries, keys) = (input.q.content(), input.k.content());
        let largest = input.v.content().iter().fold(0.0f64, |m, v| m.max(v.abs()));
        for segment in op.segments {
            for row in segment.start..segment.start + segment.len {
                let visible = reference::visible(op.segments, segment, row, op.window);
                for head in 0..op.heads {
                    let at = (row * op.heads + head) * dim;
                    let query = &queries[at..at + dim];
                    let (mut size, mut low, mut high) = (0.0f64, f64::INFINITY, f64::NEG_INFINITY);
                    for &j in &visible {
                        let key = &keys[(j * op.kv_heads + head / group) * dim..][..dim];
                        let products = || query.iter().zip(key).map(|(a, b)| a * b * op.scale);
                        let score: f64 = products().sum();
                        let score = op.soft_cap.map_or(score, |c| c * (score / c).tanh());
                        size = size.max(products().map(f64::abs).sum());
                        (low, high) = (low.min(score), high.max(score));
                    }
                    let delta =
                        self.gamma(dim + 3) * size + op.soft_cap.map_or(0.0, |c| self.gamma(6) * c);
                    let eta = (2.0 * delta + 2.0 * self.unit_roundoff * (high - low)).exp_m1();
                    let n = visible.len();
                    let factor = (1.0 + eta) * (1.0 + self.gamma(4 * n + 16)) - 1.0;
                    for b in &mut bound[at..at + dim] {
                        *b = factor * *b + n as f64 * UNDERFLOW * largest;
                    }
                }
            }
        }
        Ok((want, bound))
    }

    /// Every activation, with and without the second factor.
    ///
    /// Bound: γ₁₂·|x|·|up|. It is relative to x and not to f(x), because 1 + tanh z may cancel for
    /// negative z; the slope of the function times z stays below 1, so that the roundings of z
    /// count at most once each.
    pub fn activate(&self) -> Outcome {
        let (backend, mut draw) = ((self.make)(), Draw(6));
        for (&width, rows) in SIZES.iter().zip([1, 7, 65].into_iter().cycle()) {
            for function in [Activation::Silu, Activation::GeluTanh, Activation::GeluErf] {
                for with_up in [true, false] {
                    let values = draw
                        .awkward(rows * width)
                        .into_iter()
                        .map(|x| x * 3.0)
                        .collect();
                    let gate = Host::new(values, rows, (2, 1));
                    let up = Host::new(draw.awkward(rows * width), rows, (0, 5));
                    let buffers = (gate.upload(&backend)?, up.upload(&backend)?);
                    let second = with_up.then(|| up.columns(&buffers.1));
                    let got = backend.activate(gate.columns(&buffers.0), second, function)?;
                    let got = backend.read(&got)?;
                    let host = (to_f64(&gate.values), to_f64(&up.values));
                    let second = with_up.then(|| up.columns(&host.1));
                    let want = reference::activate(gate.columns(&host.0), second, function)?;
                    let bound: Vec<f64> = gate
                        .content()
                        .iter()
                        .zip(up.content())
                        .map(|(x, up)| {
                            let up = if with_up { up.abs() } else { 1.0 };
                            (self.gamma(12) + UNDERFLOW) * x.abs() * up
                        })
                        .collect();
                    close(
                        format!("{function:?}, up {with_up}, width {width}"),
                        &got,
                        &want,
                        &bound,
                    )?;
                }
            }
        }
        Ok(())
    }

    /// Sums.
    ///
    /// Bound: one rounding of each operand and one of the result, γ₂·(|x| + |y|).
    pub fn add(&self) -> Outcome {
        let (backend, mut draw) = ((self.make)(), Draw(7));
        for len in SIZES.into_iter().chain([1000, 40_000]) {
            let (x, y) = (draw.awkward(len), draw.awkward(len));
            let sum = backend.add(vector(&backend, &x)?, &vector(&backend, &y)?)?;
            let want: Vec<f64> = to_f64(&x)
                .iter()
                .zip(to_f64(&y))
                .map(|(x, y)| x + y)
                .collect();
            let bound: Vec<f64> = to_f64(&x)
                .iter()
                .zip(to_f64(&y))
                .map(|(x, y)| self.gamma(2) * (x.abs() + y.abs()))
                .collect();
            close(format!("add {len}"), &backend.read(&sum)?, &want, &bound)?;
        }
        Ok(())
    }

    /// Rows in any order, repeated or left out.
    ///
    /// Bound: a copy, u·|x|.
    pub fn gather(&self) -> Outcome {
        let (backend, mut draw) = ((self.make)(), Draw(8));
        for (&rows, &width) in SIZES.iter().zip(SIZES.iter().rev()) {
            let x = Host::new(draw.awkward(rows * width), rows, (1, 3));
            let asked: Vec<usize> = (0..rows + 2).map(|_| draw.below(rows)).collect();
            let buffer = x.upload(&backend)?;
            let got = backend.read(&backend.gather(x.columns(&buffer), &asked)?)?;
            let want = reference::gather(x.columns(&to_f64(&x.values)), &asked)?;
            let bound = scaled(&want, self.unit_roundoff);
            close(
                format!("gather {asked:?} of {rows} × {width}"),
                &got,
                &want,
                &bound,
            )?;
        }
        Ok(())
    }

    /// Rows below rows.
    ///
    /// Bound: a copy, u·|x|.
    pub fn concat(&self) -> Outcome {
        let (backend, mut draw) = ((self.make)(), Draw(14));
        for (i, &width) in SIZES.iter().enumerate() {
            let (above, below) = (SIZES[(3 * i + 1) % 10], SIZES[(7 * i + 2) % 10]);
            let x = Host::new(draw.awkward(above * width), above, (1, 3));
            let y = Host::new(draw.awkward(below * width), below, (0, i));
            let buffers = (x.upload(&backend)?, y.upload(&backend)?);
            let got = backend.concat(x.columns(&buffers.0), y.columns(&buffers.1))?;
            let want = [x.content(), y.content()].concat();
            let what = format!("{above} rows of {width} and {below} below them");
            let bound = scaled(&want, self.unit_roundoff);
            close(what, &backend.read(&got)?, &want, &bound)?;
        }
        Ok(())
    }

    /// Log-probabilities, with bias, soft cap, repeated and skipped rows.
    ///
    /// Bound, for V logits: each is wrong by at most δ = γ_{n+3}·max(Σ|x||w| + |b|) (+ γ₆·c under a
    /// cap c), which enters once by the target and once by the normaliser; the sum of exponentials
    /// adds γ_{V+16} and u·Σp|l − l_max|, and three roundings of l, l_max and the normaliser
    /// follow: 2δ + γ_{V+16} + u·Σp|l − l_max| + γ₄·(|l| + 2|l_max| + ln V).
    pub fn log_prob(&self) -> Outcome {
        let (backend, mut draw) = ((self.make)(), Draw(9));
        let shapes = [
            (1, 1, 1),
            (7, 15, 17),
            (3, 16, 255),
            (5, 33, 256),
            (4, 64, 257),
            (2, 9, 1000),
            (200, 5, 18),
            (13, 300, 65),
        ];
        for (case, (rows, inputs, vocab)) in shapes.into_iter().enumerate() {
            for (biased, soft_cap) in [
                (false, None),
                (true, None),
                (false, Some(5.0)),
                (true, Some(30.0)),
            ] {
                let head = Head::new(&mut draw, (rows, inputs, vocab), case, biased, soft_cap);
                let targets = some_targets(&mut draw, rows, vocab);
                let got = head.run(&backend, &targets)?;
                let (want, bound) = self.log_prob_bound(&head, &targets)?;
                let what = format!(
                    "log_prob {rows} × {inputs} → {vocab}, bias {biased}, cap {soft_cap:?}"
                );
                close_f64(what, &got, &want, &bound)?;
            }
        }
        Ok(())
    }

    /// The right answer and the bound of [`Kit::log_prob`].
    fn log_prob_bound(
        &self,
        head: &Head,
        targets: &[Target],
    ) -> Result<(Vec<f64>, Vec<f64>), Failure> {
        let (x, w) = (&head.x, wide(&head.weight));
        let bias = head.bias.as_ref().map(|b| to_f64(b));
        let op = LogProb {
            weight: &w,
            bias: bias.as_ref(),
            inputs: head.inputs,
            vocab: head.vocab,
            soft_cap: head.soft_cap,
            targets,
        };
        let want = reference::log_prob(x.columns(&to_f64(&x.values)), &op)?;
        let products = |x: &Host, weight: &Vec<f64>, bias: Option<&Vec<f64>>| {
            let op = Linear {
                weight,
                bias,
                inputs: head.inputs,
                outputs: head.vocab,
            };
            reference::linear(x.columns(&to_f64(&x.values)), &op)
        };
        let logits = products(x, &w, bias.as_ref())?;
        let sizes = products(&x.abs(), &abs(&w), bias.map(|b| abs(&b)).as_ref())?;
        let top = |values: &[f64]| values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let bound = targets
            .iter()
            .map(|target| {
                let row = target.row * head.vocab..(target.row + 1) * head.vocab;
                let cap = |l: f64| head.soft_cap.map_or(l, |c| c * (l / c).tanh());
                let logits: Vec<f64> = logits[row.clone()].iter().map(|&l| cap(l)).collect();
                let delta = self.gamma(head.inputs + 3) * top(&sizes[row])
                    + head.soft_cap.map_or(0.0, |c| self.gamma(6) * c);
                let (max, mut sum, mut spread) = (top(&logits), 0.0, 0.0);
                for l in &logits {
                    sum += (l - max).exp();
                    spread += (l - max).exp() * (max - l);
                }
                let vocab = head.vocab as f64;
                let size = logits[target.token as usize].abs() + 2.0 * max.abs() + vocab.ln();
                2.0 * delta
                    + self.gamma(head.vocab + 16)
                    + self.unit_roundoff * spread / sum
                    + self.gamma(4) * size
            })
            .collect();
        Ok((want, bound))
    }

    /// A row of a product or of the LM head does not depend on the rows beside it.
    pub fn rows_alone(&self) -> Outcome {
        let (backend, mut draw) = ((self.make)(), Draw(10));
        for (rows, inputs, outputs) in [(29, 33, 70), (7, 300, 17), (401, 5, 40)] {
            let head = Head::new(&mut draw, (rows, inputs, outputs), 0, true, None);
            let weight = upload(&backend, &head.weight, outputs, inputs, Role::Matrix)?;
            let op = Linear {
                weight: &weight,
                bias: None,
                inputs,
                outputs,
            };
            let x = head.x.upload(&backend)?;
            let together = backend.read(&backend.linear(head.x.columns(&x), &op)?)?;
            let token = draw.below(outputs) as u32;
            let targets: Vec<Target> = (0..rows).map(|row| Target { row, token }).collect();
            let scored = head.run(&backend, &targets)?;
            for (row, &scored) in scored.iter().enumerate().step_by(6) {
                let one = head.only(row);
                let buffer = one.x.upload(&backend)?;
                let alone = backend.read(&backend.linear(one.x.columns(&buffer), &op)?)?;
                let among = &together[row * outputs..(row + 1) * outputs];
                self.same(
                    format!("linear, row {row}"),
                    &to_f64(among),
                    &to_f64(&alone),
                )?;
                let alone = one.run(&backend, &[Target { row: 0, token }])?;
                self.same(format!("log_prob, row {row}"), &[scored], &alone)?;
            }
        }
        Ok(())
    }

    /// Changing the keys and values of a token changes no row that stands before it.
    pub fn attention_causality(&self) -> Outcome {
        let (backend, mut draw) = ((self.make)(), Draw(11));
        let segments = forest(&[(None, 80)]);
        let op = Attention {
            segments: &segments,
            heads: 4,
            kv_heads: 2,
            head_dim: 9,
            scale: 0.3,
            window: None,
            soft_cap: None,
        };
        let mut input = Qkv::new(&mut draw, &op, 2.0);
        let before = input.run(&backend, &op)?;
        for from in [79, 65, 64, 63, 17, 1] {
            for host in [&mut input.k, &mut input.v, &mut input.q] {
                for x in &mut host.values[from * host.stride..] {
                    *x = -*x + 1.0;
                }
            }
            let after = input.run(&backend, &op)?;
            let earlier = from * op.heads * op.head_dim;
            let what = format!("attention before token {from} of 80 after a change of the rest");
            self.same(
                what,
                &to_f64(&before[..earlier]),
                &to_f64(&after[..earlier]),
            )?;
            if before[earlier..] == after[earlier..] {
                return Err(Failure(format!(
                    "attention from token {from} on ignores its input"
                )));
            }
        }
        Ok(())
    }

    /// Every path of a forest gets what it gets alone, in one segment.
    pub fn attention_sharing(&self) -> Outcome {
        let (backend, mut draw) = ((self.make)(), Draw(12));
        for (case, segments) in forests().into_iter().enumerate() {
            for window in [None, Some(9), Some(70)] {
                let op = Attention {
                    segments: &segments,
                    heads: 4,
                    kv_heads: 2,
                    head_dim: 6,
                    scale: 0.4,
                    window,
                    soft_cap: None,
                };
                let input = Qkv::new(&mut draw, &op, 2.0);
                let shared = input.run(&backend, &op)?;
                for (index, segment) in segments.iter().enumerate() {
                    let last = segment.start + segment.len - 1;
                    let path = reference::visible(&segments, segment, last, None);
                    let chain = forest(&[(None, path.len())]);
                    let alone = input.rows(&path).run(
                        &backend,
                        &Attention {
                            segments: &chain,
                            ..op
                        },
                    )?;
                    let width = op.heads * op.head_dim;
                    let shared = &shared[segment.start * width..(last + 1) * width];
                    let alone = &alone[segment.position * width..];
                    let what = format!("forest {case}, window {window:?}, segment {index}");
                    self.same(what, &to_f64(shared), &to_f64(alone))?;
                }
            }
        }
        Ok(())
    }

    /// The last rows get the same where the first ones have keys and values but no queries.
    pub fn attention_prefix(&self) -> Outcome {
        let (backend, mut draw) = ((self.make)(), Draw(15));
        for (case, segments) in forests().into_iter().enumerate() {
            for (window, dim) in [(None, 6), (Some(9), 16), (Some(70), 7)] {
                let op = Attention {
                    window,
                    ..attention_op(&segments, 4, 2, dim)
                };
                let mut input = Qkv::new(&mut draw, &op, 2.0);
                let whole = to_f64(&input.run(&backend, &op)?);
                let rows = input.q.rows;
                // At the start of a segment, as models have it, and within.
                let starts = segments.iter().map(|s| s.start);
                for past in starts.chain([1, rows / 2, rows - 1, rows]) {
                    let asked: Vec<usize> = (past..rows).collect();
                    let queries = input.q.pick(&asked);
                    let all = std::mem::replace(&mut input.q, queries);
                    let got = to_f64(&input.run(&backend, &op)?);
                    input.q = all;
                    let what = format!("forest {case}, window {window:?}, queries from row {past}");
                    self.same(what, &whole[past * 4 * dim..], &got)?;
                }
            }
        }
        Ok(())
    }

    /// The probabilities of the whole vocabulary sum to 1.
    ///
    /// Bound: all share one normaliser; V exponentials of logits that are wrong by the bound β of
    /// [`Kit::log_prob`] give Σp = 1 within e^β − 1.
    pub fn normalisation(&self) -> Outcome {
        let (backend, mut draw) = ((self.make)(), Draw(13));
        for (vocab, soft_cap) in [(1, None), (17, None), (257, Some(4.0)), (700, None)] {
            let head = Head::new(&mut draw, (3, 40, vocab), 1, true, soft_cap);
            for row in [0, 2] {
                let all: Vec<Target> = (0..vocab as u32)
                    .map(|token| Target { row, token })
                    .collect();
                let total: f64 = head.run(&backend, &all)?.iter().map(|l| l.exp()).sum();
                let (_, bounds) = self.log_prob_bound(&head, &all)?;
                let bound = bounds.iter().copied().fold(0.0, f64::max).exp_m1() + 1e-14;
                let what = format!("sum of {vocab} probabilities");
                close_f64(what, &[total], &[1.0], &[bound])?;
            }
        }
        Ok(())
    }

    /// Operations on nothing give nothing or an error; they do not panic.
    pub fn empty(&self) -> Outcome {
        let backend = (self.make)();
        let nothing = |rows: usize, cols: usize, role: Role| {
            backend.upload(&Tensor {
                values: Values::F32(&[]),
                rows,
                cols,
                role,
            })
        };
        let results = [
            nothing(0, 3, Role::Dense).and_then(|x| {
                let weight = vector(&backend, &[1.0; 3])?;
                let (kind, epsilon) = (NormKind::Rms, 1e-5);
                let op = Norm {
                    kind,
                    epsilon,
                    width: 3,
                    weight: &weight,
                    bias: None,
                };
                backend.norm(Columns::all(&x, 0, 3), &op)
            }),
            nothing(0, 3, Role::Matrix).and_then(|weight| {
                let x = vector(&backend, &[1.0; 3])?;
                let op = Linear {
                    weight: &weight,
                    bias: None,
                    inputs: 3,
                    outputs: 0,
                };
                backend.linear(Columns::all(&x, 1, 3), &op)
            }),
            nothing(0, 2, Role::Dense).and_then(|x| {
                let op = Rope {
                    positions: &[],
                    head_dim: 2,
                    frequencies: &[1.0],
                    scale: 1.0,
                };
                backend.rope(Columns::all(&x, 0, 2), &op)
            }),
            nothing(0, 2, Role::Dense).and_then(|x| {
                let op = attention_op(&[], 1, 1, 2);
                let x = Columns::all(&x, 0, 2);
                backend.attention(x, x, x, &op)
            }),
            nothing(0, 2, Role::Dense).and_then(|x| {
                let x = Columns::all(&x, 0, 2);
                backend.concat(x, x)
            }),
            nothing(0, 2, Role::Dense)
                .and_then(|x| backend.activate(Columns::all(&x, 0, 2), None, Activation::Silu)),
            vector(&backend, &[1.0, 2.0]).and_then(|x| backend.gather(Columns::all(&x, 1, 2), &[])),
            nothing(0, 2, Role::Matrix).and_then(|table| {
                backend.embed(
                    &table,
                    &Embed {
                        tokens: &[],
                        vocab: 0,
                        width: 2,
                        scale: 1.0,
                    },
                )
            }),
        ];
        for result in results.into_iter().flatten() {
            let read = backend.read(&result)?;
            if !read.is_empty() {
                return Err(Failure(format!("{} values out of nothing", read.len())));
            }
        }
        for vocab in [0, 2] {
            let weight = HostTensor::F32(vec![0.5; vocab * 3]);
            let weight = upload(&backend, &weight, vocab, 3, Role::Matrix)?;
            let x = vector(&backend, &[1.0; 3])?;
            let op = LogProb {
                weight: &weight,
                bias: None,
                inputs: 3,
                vocab,
                soft_cap: None,
                targets: &[],
            };
            if backend
                .log_prob(Columns::all(&x, 1, 3), &op)
                .is_ok_and(|p| !p.is_empty())
            {
                return Err(Failure("probabilities without targets".to_owned()));
            }
        }
        Ok(())
    }

    /// Wrong lengths, indices and shapes are errors.
    pub fn wrong_input(&self) -> Outcome {
        let backend = (self.make)();
        let ones = |len: usize| vector(&backend, &vec![1.0; len]);
        let matrix = |rows: usize, cols: usize| {
            upload(
                &backend,
                &HostTensor::F32(vec![1.0; rows * cols]),
                rows,
                cols,
                Role::Matrix,
            )
        };
        let mut refused = Refused::default();

        for (rows, cols) in [
            (2, 4),
            (0, 3),
            (7, 1),
            (usize::MAX, 2),
            (usize::MAX / 2 + 1, 2),
        ] {
            for role in [Role::Dense, Role::Matrix] {
                let values = Values::F32(&[1.0; 6]);
                refused.see(
                    format!("upload of 6 values as {rows} × {cols}"),
                    backend.upload(&Tensor {
                        values,
                        rows,
                        cols,
                        role,
                    }),
                );
            }
        }

        let table = matrix(5, 3)?;
        for (tokens, vocab, width) in [
            (&[0, 5][..], 5, 3),
            (&[u32::MAX], 5, 3),
            (&[0], 6, 3),
            (&[0], 5, 4),
            (&[0], 4, 3),
            (&[0], usize::MAX, 3),
            (&[0], 5, usize::MAX),
        ] {
            let op = Embed {
                tokens,
                vocab,
                width,
                scale: 1.0,
            };
            refused.see(format!("{op:?} of 5 × 3"), backend.embed(&table, &op));
        }

        // Blocks that do not fit their buffer of 2 × 6, for every kernel that takes one.
        let twelve = ones(12)?;
        let square = matrix(6, 6)?;
        let six = ones(6)?;
        for (rows, stride, start, width) in [
            (3, 6, 0, 6),
            (2, 7, 0, 6),
            (2, 6, 1, 6),
            (2, 6, usize::MAX, 6),
            (usize::MAX, 6, 0, 6),
            (2, usize::MAX, 0, 6),
        ] {
            let x = Columns::block(&twelve, rows, stride, start, width);
            let good = Columns::all(&twelve, 2, 6);
            let what = format!("block {start}+{width} of {rows} rows of {stride}");
            let (kind, epsilon) = (NormKind::Rms, 1e-5);
            let norm = Norm {
                kind,
                epsilon,
                width: 6,
                weight: &six,
                bias: None,
            };
            refused.see(format!("norm, {what}"), backend.norm(x, &norm));
            let linear = Linear {
                weight: &square,
                bias: None,
                inputs: 6,
                outputs: 6,
            };
            refused.see(format!("linear, {what}"), backend.linear(x, &linear));
            let positions = vec![0; rows.min(3)];
            let rope = Rope {
                positions: &positions,
                head_dim: 6,
                frequencies: &[1.0],
                scale: 1.0,
            };
            refused.see(format!("rope, {what}"), backend.rope(x, &rope));
            let segments = forest(&[(None, rows.min(3))]);
            let op = attention_op(&segments, 1, 1, 6);
            refused.see(format!("above, {what}"), backend.concat(x, good));
            refused.see(format!("below, {what}"), backend.concat(good, x));
            refused.see(
                format!("queries, {what}"),
                backend.attention(x, good, good, &op),
            );
            refused.see(
                format!("keys, {what}"),
                backend.attention(good, x, good, &op),
            );
            refused.see(
                format!("values, {what}"),
                backend.attention(good, good, x, &op),
            );
            let silu = Activation::Silu;
            refused.see(format!("gate, {what}"), backend.activate(x, None, silu));
            refused.see(format!("up, {what}"), backend.activate(good, Some(x), silu));
            refused.see(format!("gather, {what}"), backend.gather(x, &[0]));
            let targets = [Target { row: 0, token: 0 }];
            let op = LogProb {
                weight: &square,
                bias: None,
                inputs: 6,
                vocab: 6,
                soft_cap: None,
                targets: &targets,
            };
            refused.see(format!("log_prob, {what}"), backend.log_prob(x, &op));
        }

        let x = Columns::all(&twelve, 2, 6);
        let (three, seven) = (ones(3)?, ones(7)?);
        for (width, weight, bias) in [
            (0, &six, None),
            (4, &six, None),
            (6, &three, None),
            (6, &seven, None),
            (6, &six, Some(&three)),
        ] {
            let op = Norm {
                kind: NormKind::Layer,
                epsilon: 1e-5,
                width,
                weight,
                bias,
            };
            refused.see(format!("norm in groups of {width}"), backend.norm(x, &op));
        }
        for (inputs, outputs, bias) in [
            (5, 6, None),
            (6, 5, None),
            (6, 7, None),
            (7, 6, None),
            (6, usize::MAX, None),
            (6, 6, Some(&three)),
            (6, 6, Some(&seven)),
        ] {
            let op = Linear {
                weight: &square,
                bias,
                inputs,
                outputs,
            };
            refused.see(
                format!("linear {inputs} → {outputs} on 6 × 6"),
                backend.linear(x, &op),
            );
            let targets = [Target { row: 0, token: 0 }];
            let op = LogProb {
                weight: &square,
                bias,
                inputs,
                vocab: outputs,
                soft_cap: None,
                targets: &targets,
            };
            refused.see(
                format!("log_prob {inputs} → {outputs} on 6 × 6"),
                backend.log_prob(x, &op),
            );
        }
        for (positions, head_dim, frequencies) in [
            (&[0][..], 6, &[1.0][..]),
            (&[0, 1, 2], 6, &[1.0]),
            (&[0, 1], 0, &[]),
            (&[0, 1], 4, &[1.0]),
            (&[0, 1], 6, &[1.0; 4]),
            (&[0, 1], 3, &[1.0; 2]),
            (&[0, 1], usize::MAX, &[1.0]),
        ] {
            let op = Rope {
                positions,
                head_dim,
                frequencies,
                scale: 1.0,
            };
            refused.see(format!("{op:?} on 2 × 6"), backend.rope(x, &op));
        }

        let segment = |start, len, parent, position| Segment {
            start,
            len,
            parent,
            position,
        };
        for segments in [
            vec![],
            vec![segment(0, 1, None, 0)],
            vec![segment(0, 3, None, 0)],
            vec![segment(1, 1, None, 0)],
            vec![segment(0, 2, None, 1)],
            vec![segment(0, 2, Some(0), 0)],
            vec![segment(0, 2, Some(usize::MAX), 0)],
            vec![segment(0, 1, Some(1), 1), segment(1, 1, None, 0)],
            vec![segment(0, 1, None, 0), segment(1, 1, Some(0), 0)],
            vec![segment(0, 1, None, 0), segment(1, 1, None, 1)],
            vec![segment(0, 0, None, 0), segment(0, 2, None, 0)],
            vec![segment(0, 1, None, 0), segment(0, 1, None, 0)],
            vec![
                segment(0, usize::MAX, None, 0),
                segment(usize::MAX, 3, None, 0),
            ],
        ] {
            let op = attention_op(&segments, 2, 1, 3);
            let kv = Columns::block(&twelve, 2, 6, 0, 3);
            refused.see(
                format!("{segments:?} for 2 rows"),
                backend.attention(x, kv, kv, &op),
            );
        }
        let segments = forest(&[(None, 2)]);
        for (heads, kv_heads, head_dim, q, kv) in [
            (1, 0, 6, 6, 6),
            (3, 2, 2, 6, 4),
            (0, 1, 6, 0, 6),
            (2, 2, 0, 0, 0),
            (2, 1, 3, 6, 6),
            (2, 2, 3, 3, 6),
            (1, 1, 5, 6, 6),
            (usize::MAX, 1, 2, 6, 2),
        ] {
            let op = attention_op(&segments, heads, kv_heads, head_dim);
            let q = Columns::block(&twelve, 2, 6, 0, q);
            let kv = Columns::block(&twelve, 2, 6, 0, kv);
            let what = format!("{heads} over {kv_heads} heads of {head_dim}");
            refused.see(
                format!("{what} on {} and {}", q.width, kv.width),
                backend.attention(q, kv, kv, &op),
            );
        }
        let op = attention_op(&segments, 1, 1, 6);
        let one = Columns::all(&six, 1, 6);
        refused.see("keys of 1 row".into(), backend.attention(x, one, x, &op));
        refused.see("values of 1 row".into(), backend.attention(x, x, one, &op));
        let narrow = Columns::block(&twelve, 2, 6, 0, 3);
        refused.see("narrow values".into(), backend.attention(x, x, narrow, &op));
        let short = forest(&[(None, 1)]);
        let fewer = attention_op(&short, 1, 1, 6);
        refused.see(
            "2 queries of 1 row".into(),
            backend.attention(x, one, one, &fewer),
        );
        refused.see("narrow rows below".into(), backend.concat(x, narrow));
        let blind = Attention {
            window: Some(0),
            ..op
        };
        refused.see("a window of 0".into(), backend.attention(x, x, x, &blind));

        let silu = Activation::Silu;
        refused.see(
            "a narrow up".into(),
            backend.activate(x, Some(narrow), silu),
        );
        refused.see("a short up".into(), backend.activate(x, Some(one), silu));
        refused.see("6 + 7".into(), backend.add(ones(6)?, &seven));
        refused.see("7 + 6".into(), backend.add(ones(7)?, &six));
        refused.see("gather row 2 of 2".into(), backend.gather(x, &[0, 2]));
        refused.see(
            "gather the last row".into(),
            backend.gather(x, &[usize::MAX]),
        );
        let target = |row, token| Target { row, token };
        for targets in [
            [target(2, 0), target(2, 0)],
            [target(0, 6), target(1, 0)],
            [target(0, 0), target(1, u32::MAX)],
            [target(1, 0), target(0, 0)],
            [target(0, 0), target(usize::MAX, 0)],
        ] {
            let op = LogProb {
                weight: &square,
                bias: None,
                inputs: 6,
                vocab: 6,
                soft_cap: None,
                targets: &targets,
            };
            refused.see(
                format!("{targets:?} of 2 rows and 6 tokens"),
                backend.log_prob(x, &op),
            );
        }
        refused.outcome()
    }

    /// Two tiny decoders against the reference in `f64`: at most 1024 u nats a token, about 50
    /// times what `f32` loses on them.
    pub fn model(&self) -> Outcome {
        for tiny in Tiny::all()? {
            let oracle = Transformer::load(tiny.path(), Reference::<f64>::new())?;
            let model = self.load(&tiny)?;
            let batch = a_batch()?;
            let (got, want) = (
                model.log_likelihoods(&batch)?,
                oracle.log_likelihoods(&batch)?,
            );
            let bound = vec![1024.0 * self.unit_roundoff; want.len()];
            close_f64(
                format!("{} against the reference", tiny.name),
                &got,
                &want,
                &bound,
            )?;
        }
        Ok(())
    }

    /// Tokens that follow a target change nothing about it.
    pub fn model_causality(&self) -> Outcome {
        for tiny in Tiny::all()? {
            let model = self.load(&tiny)?;
            let tokens = some_tokens(70, 3);
            let score = |tokens: &[u32]| -> Result<Vec<f64>, Failure> {
                let mut batch = Batch::new();
                let segment = batch.segment(None, tokens)?;
                for i in 0..20 {
                    batch.target(segment, i, 7)?;
                }
                Ok(model.log_likelihoods(&batch)?)
            };
            let before = score(&tokens)?;
            let mut changed = tokens.clone();
            changed[20..].reverse();
            self.same(
                format!("{}: other later tokens", tiny.name),
                &before,
                &score(&changed)?,
            )?;
            self.same(
                format!("{}: no later tokens", tiny.name),
                &before,
                &score(&tokens[..20])?,
            )?;
        }
        Ok(())
    }

    /// A sequence gets the same whatever else is in the batch, and in whatever order.
    pub fn model_packing(&self) -> Outcome {
        for tiny in Tiny::all()? {
            let model = self.load(&tiny)?;
            let texts: Vec<Vec<u32>> = [3, 1, 65, 17, 40]
                .iter()
                .enumerate()
                .map(|(i, &n)| some_tokens(n, i))
                .collect();
            let mut alone = Vec::new();
            for text in &texts {
                alone.push(model.log_likelihoods(&rolling(&[text])?)?);
            }
            for order in [[0, 1, 2, 3, 4], [4, 2, 0, 3, 1]] {
                let batch = rolling(&order.map(|i| texts[i].as_slice()))?;
                let want: Vec<f64> = order.iter().flat_map(|&i| alone[i].clone()).collect();
                let got = model.log_likelihoods(&batch)?;
                self.same(
                    format!("{}: texts {order:?} in one batch", tiny.name),
                    &want,
                    &got,
                )?;
            }
        }
        Ok(())
    }

    /// A path of a forest gets what it gets as a sequence of its own.
    pub fn model_sharing(&self) -> Outcome {
        for tiny in Tiny::all()? {
            let model = self.load(&tiny)?;
            let batch = a_batch()?;
            let together = model.log_likelihoods(&batch)?;
            for (&target, &together) in batch.targets().iter().zip(&together) {
                let alone = model.log_likelihoods(&unshared(&batch, target)?)?;
                self.same(
                    format!("{}: {target:?} alone", tiny.name),
                    &[together],
                    &alone,
                )?;
            }
        }
        Ok(())
    }

    /// What follows a prefix gets the same where the prefix was computed before.
    pub fn model_prefix(&self) -> Outcome {
        for tiny in Tiny::all()? {
            let model = self.load(&tiny)?;
            for len in [1, 17, 64] {
                let prefix = some_tokens(len, 20);
                let after = model.with_prefix(&prefix)?;
                // More than one batch: nothing of the first may stay.
                for seed in [21, 22] {
                    let (mut short, mut long) = (Batch::new(), Batch::new());
                    let root = long.segment(None, &prefix)?;
                    for (text, parent) in [(9, None), (50, None), (3, Some(1)), (5, Some(1))] {
                        let tokens = some_tokens(text, seed + text);
                        let here = short.segment(parent, &tokens)?;
                        let there = long.segment(Some(parent.map_or(root, |p| p + 1)), &tokens)?;
                        for offset in 0..text {
                            let token = (offset * 5 % VOCAB) as u32;
                            short.target(here, offset, token)?;
                            long.target(there, offset, token)?;
                        }
                    }
                    self.same(
                        format!("{}: after {len} tokens", tiny.name),
                        &model.log_likelihoods(&long)?,
                        &after.log_likelihoods(&short)?,
                    )?;
                }
            }
        }
        Ok(())
    }

    /// The same call gives the same answer, on the same model and on one loaded again.
    pub fn model_repeatability(&self) -> Outcome {
        for tiny in Tiny::all()? {
            let (model, again) = (self.load(&tiny)?, self.load(&tiny)?);
            let batch = a_batch()?;
            let first = model.log_likelihoods(&batch)?;
            for _ in 0..3 {
                self.same(
                    format!("{}: again", tiny.name),
                    &first,
                    &model.log_likelihoods(&batch)?,
                )?;
            }
            self.same(
                format!("{}: reloaded", tiny.name),
                &first,
                &again.log_likelihoods(&batch)?,
            )?;
        }
        Ok(())
    }

    /// The probabilities of all next tokens sum to 1, within 1024 u a token.
    pub fn model_normalisation(&self) -> Outcome {
        for tiny in Tiny::all()? {
            let model = self.load(&tiny)?;
            let mut batch = Batch::new();
            let segment = batch.segment(None, &some_tokens(9, 1))?;
            for token in 0..model.vocab_size() as u32 {
                batch.target(segment, 8, token)?;
            }
            let total: f64 = model.log_likelihoods(&batch)?.iter().map(|l| l.exp()).sum();
            let bound = [1024.0 * self.unit_roundoff];
            close_f64(
                format!("{}: sum of probabilities", tiny.name),
                &[total],
                &[1.0],
                &bound,
            )?;
        }
        Ok(())
    }

    fn load(&self, tiny: &Tiny) -> Result<Transformer<B>, Error> {
        Transformer::load(tiny.path(), (self.make)())
    }
}

/// What may be lost when a small intermediate is flushed to zero.
const UNDERFLOW: f64 = f32::MIN_POSITIVE as f64 * 64.0;

/// Fails on the first result that is not within its bound, the rounding of
/// [`Backend::read`] added.
fn close(what: impl fmt::Display, got: &[f32], want: &[f64], bound: &[f64]) -> Outcome {
    let bound: Vec<f64> = want
        .iter()
        .zip(bound)
        .map(|(want, bound)| bound + UNIT_ROUNDOFF_F32 * (want.abs() + bound) + UNDERFLOW)
        .collect();
    close_f64(what, &to_f64(got), want, &bound)
}

/// Fails on the first result that is not within its bound.
fn close_f64(what: impl fmt::Display, got: &[f64], want: &[f64], bound: &[f64]) -> Outcome {
    if got.len() != want.len() || want.len() != bound.len() {
        return Err(Failure(format!(
            "{what}: {} results, expected {}",
            got.len(),
            want.len()
        )));
    }
    for (i, ((&got, &want), &bound)) in got.iter().zip(want).zip(bound).enumerate() {
        let error = (got - want).abs();
        // In this direction a NaN fails.
        let within = error <= bound && bound.is_finite();
        if !within {
            return Err(Failure(format!(
                "{what}: result {i} is {got:e}, expected {want:e}: {error:.2e} off, allowed {bound:.2e}"
            )));
        }
    }
    Ok(())
}

/// Collects calls that should have been refused.
#[derive(Default)]
struct Refused {
    accepted: Vec<String>,
}

impl Refused {
    fn see<T>(&mut self, what: String, result: Result<T, Error>) {
        if result.is_ok() {
            self.accepted.push(what);
        }
    }

    fn outcome(self) -> Outcome {
        if self.accepted.is_empty() {
            return Ok(());
        }
        Err(Failure(format!(
            "accepted instead of refused: {}",
            self.accepted.join("; ")
        )))
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014, doi:10.1145/2660193.2660195).
struct Draw(u64);

impl Draw {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    /// In [−1, 1).
    fn uniform(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    fn plain(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.uniform()).collect()
    }

    /// Of every size a network meets: zeros of both signs, tiny, ordinary and large.
    fn awkward(&mut self, len: usize) -> Vec<f32> {
        (0..len)
            .map(|_| match self.below(12) {
                0 => 0.0,
                1 => -0.0,
                2 => self.uniform() * 1e-30,
                3 => self.uniform() * 1e-4,
                4 => self.uniform() * 1e3,
                _ => self.uniform(),
            })
            .collect()
    }

    /// A weight in one of the precisions of checkpoints.
    fn matrix(&mut self, rows: usize, cols: usize, precision: usize) -> HostTensor {
        let values = self.plain(rows * cols);
        match precision % 3 {
            0 => HostTensor::F32(values),
            1 => HostTensor::Bf16(values.into_iter().map(bf16::from_f32).collect()),
            _ => HostTensor::F16(values.into_iter().map(f16::from_f32).collect()),
        }
    }
}

/// A block of columns on the host; the columns beside it hold NaN.
struct Host {
    values: Vec<f32>,
    rows: usize,
    stride: usize,
    start: usize,
    width: usize,
}

impl Host {
    /// `content` in rows, with so many columns before and after.
    fn new(content: Vec<f32>, rows: usize, (before, after): (usize, usize)) -> Self {
        let width = content.len() / rows;
        let mut values = Vec::new();
        for row in content.chunks_exact(width) {
            values.extend(vec![f32::NAN; before]);
            values.extend(row);
            values.extend(vec![f32::NAN; after]);
        }
        Self {
            values,
            rows,
            stride: before + width + after,
            start: before,
            width,
        }
    }

    fn upload<B: Backend>(&self, backend: &B) -> Result<B::Buffer, Error> {
        let (rows, cols) = (self.rows, self.stride);
        backend.upload(&Tensor {
            values: Values::F32(&self.values),
            rows,
            cols,
            role: Role::Dense,
        })
    }

    fn columns<'a, T>(&self, buffer: &'a T) -> Columns<'a, T> {
        Columns::block(buffer, self.rows, self.stride, self.start, self.width)
    }

    /// The values of the block alone.
    fn content(&self) -> Vec<f64> {
        self.values
            .chunks_exact(self.stride)
            .flat_map(|row| to_f64(&row[self.start..self.start + self.width]))
            .collect()
    }

    fn abs(&self) -> Self {
        Self {
            values: self.values.iter().map(|x| x.abs()).collect(),
            ..*self
        }
    }

    /// The rows named.
    fn pick(&self, rows: &[usize]) -> Self {
        let row = |&r: &usize| self.values[r * self.stride..(r + 1) * self.stride].to_vec();
        Self {
            values: rows.iter().flat_map(row).collect(),
            rows: rows.len(),
            ..*self
        }
    }
}

/// Inputs of an attention call.
struct Qkv {
    q: Host,
    k: Host,
    v: Host,
}

impl Qkv {
    /// Queries of `size`; the larger, the more the softmax prefers one key.
    fn new(draw: &mut Draw, op: &Attention<'_>, size: f32) -> Self {
        let rows = op.segments.iter().map(|s| s.len).sum();
        let queries = draw
            .plain(rows * op.heads * op.head_dim)
            .into_iter()
            .map(|x| x * size);
        let width = rows * op.kv_heads * op.head_dim;
        Self {
            q: Host::new(queries.collect(), rows, (0, 3)),
            k: Host::new(draw.plain(width), rows, (5, 0)),
            v: Host::new(draw.awkward(width), rows, (2, 2)),
        }
    }

    fn rows(&self, rows: &[usize]) -> Self {
        Self {
            q: self.q.pick(rows),
            k: self.k.pick(rows),
            v: self.v.pick(rows),
        }
    }

    fn run<B: Backend>(&self, backend: &B, op: &Attention<'_>) -> Result<Vec<f32>, Error> {
        let [q, k, v] = [&self.q, &self.k, &self.v].map(|x| x.upload(backend));
        let (q, k, v) = (q?, k?, v?);
        let out = backend.attention(
            self.q.columns(&q),
            self.k.columns(&k),
            self.v.columns(&v),
            op,
        )?;
        backend.read(&out)
    }
}

/// Inputs of an LM head.
struct Head {
    x: Host,
    weight: HostTensor,
    bias: Option<Vec<f32>>,
    inputs: usize,
    vocab: usize,
    soft_cap: Option<f64>,
}

impl Head {
    fn new(
        draw: &mut Draw,
        (rows, inputs, vocab): (usize, usize, usize),
        precision: usize,
        biased: bool,
        soft_cap: Option<f64>,
    ) -> Self {
        let values = draw
            .plain(rows * inputs)
            .into_iter()
            .map(|x| 2.0 * x)
            .collect();
        Self {
            x: Host::new(values, rows, (1, 2)),
            weight: draw.matrix(vocab, inputs, precision),
            bias: biased.then(|| draw.plain(vocab)),
            inputs,
            vocab,
            soft_cap,
        }
    }

    /// The same head on one row.
    fn only(&self, row: usize) -> Self {
        let (weight, bias) = (self.weight.clone(), self.bias.clone());
        Self {
            x: self.x.pick(&[row]),
            weight,
            bias,
            ..*self
        }
    }

    fn run<B: Backend>(&self, backend: &B, targets: &[Target]) -> Result<Vec<f64>, Error> {
        let x = self.x.upload(backend)?;
        let weight = upload(backend, &self.weight, self.vocab, self.inputs, Role::Matrix)?;
        let bias = self.bias.as_ref().map(|b| vector(backend, b)).transpose()?;
        let op = LogProb {
            weight: &weight,
            bias: bias.as_ref(),
            inputs: self.inputs,
            vocab: self.vocab,
            soft_cap: self.soft_cap,
            targets,
        };
        backend.log_prob(self.x.columns(&x), &op)
    }
}

fn upload<B: Backend>(
    backend: &B,
    host: &HostTensor,
    rows: usize,
    cols: usize,
    role: Role,
) -> Result<B::Buffer, Error> {
    backend.upload(&Tensor {
        values: host.values(),
        rows,
        cols,
        role,
    })
}

fn vector<B: Backend>(backend: &B, values: &[f32]) -> Result<B::Buffer, Error> {
    let (values, cols) = (Values::F32(values), values.len());
    backend.upload(&Tensor {
        values,
        rows: 1,
        cols,
        role: Role::Dense,
    })
}

fn to_f64(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

fn wide(host: &HostTensor) -> Vec<f64> {
    to_f64(&host.values().to_f32())
}

fn abs(values: &[f64]) -> Vec<f64> {
    values.iter().map(|x| x.abs()).collect()
}

fn scaled(values: &[f64], factor: f64) -> Vec<f64> {
    values.iter().map(|x| x.abs() * factor).collect()
}

fn attention_op(
    segments: &[Segment],
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
) -> Attention<'_> {
    Attention {
        segments,
        heads,
        kv_heads,
        head_dim,
        scale: 0.5,
        window: None,
        soft_cap: None,
    }
}

/// Segments from their parents and lengths.
fn forest(shape: &[(Option<usize>, usize)]) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    let mut start = 0;
    for &(parent, len) in shape {
        let position = parent.map_or(0, |p| segments[p].position + segments[p].len);
        segments.push(Segment {
            start,
            len,
            parent,
            position,
        });
        start += len;
    }
    segments
}

/// Chains and forests whose segments end before, at and after multiples of 64.
fn forests() -> Vec<Vec<Segment>> {
    [
        &[(None, 1)][..],
        &[(None, 7)],
        &[(None, 65)],
        &[(None, 130)],
        &[(None, 5), (None, 1), (None, 17)],
        &[
            (None, 3),
            (Some(0), 2),
            (Some(0), 4),
            (Some(1), 1),
            (Some(2), 3),
            (Some(2), 1),
        ],
        &[
            (None, 63),
            (Some(0), 1),
            (Some(0), 2),
            (Some(2), 65),
            (Some(1), 3),
        ],
        &[
            (None, 64),
            (Some(0), 1),
            (None, 9),
            (Some(0), 64),
            (Some(2), 60),
        ],
        &[
            (None, 20),
            (Some(0), 20),
            (Some(1), 20),
            (Some(2), 20),
            (Some(1), 50),
            (Some(0), 1),
        ],
    ]
    .map(forest)
    .to_vec()
}

/// Rows repeated and skipped, in rising order.
fn some_targets(draw: &mut Draw, rows: usize, vocab: usize) -> Vec<Target> {
    let mut targets = Vec::new();
    for row in 0..rows {
        if rows == 1 || row % 4 != 1 {
            for _ in 0..1 + row % 3 {
                targets.push(Target {
                    row,
                    token: draw.below(vocab) as u32,
                });
            }
        }
    }
    // The first and the last token, where tiles of the vocabulary begin and end.
    targets.push(Target {
        row: rows - 1,
        token: 0,
    });
    targets.push(Target {
        row: rows - 1,
        token: vocab as u32 - 1,
    });
    targets
}

/// Vocabulary of the tiny models: no multiple of a tile.
const VOCAB: usize = 53;

fn some_tokens(len: usize, seed: usize) -> Vec<u32> {
    let mut draw = Draw(100 + seed as u64);
    (0..len).map(|_| draw.below(VOCAB) as u32).collect()
}

/// Texts scored from their second token on, and the token after their last.
fn rolling(texts: &[&[u32]]) -> Result<Batch, Error> {
    let mut batch = Batch::new();
    for text in texts {
        let segment = batch.segment(None, text)?;
        for (offset, &token) in text[1..].iter().chain(&[3]).enumerate() {
            batch.target(segment, offset, token)?;
        }
    }
    Ok(batch)
}

/// A forest with targets in every segment, out of order and repeated.
fn a_batch() -> Result<Batch, Error> {
    let mut batch = Batch::new();
    let context = batch.segment(None, &some_tokens(60, 0))?;
    let question = batch.segment(Some(context), &some_tokens(11, 1))?;
    let mut answers = Vec::new();
    for (i, len) in [1, 4, 2].into_iter().enumerate() {
        answers.push((
            batch.segment(Some(question), &some_tokens(len, 2 + i))?,
            len,
        ));
    }
    let other = batch.segment(None, &some_tokens(5, 9))?;
    let early = batch.segment(Some(context), &some_tokens(2, 10))?;
    for &(segment, len) in answers.iter().rev() {
        for offset in 0..len {
            batch.target(segment, offset, (7 * offset + segment) as u32)?;
        }
    }
    for (segment, offset, token) in [
        (context, 0, 1),
        (question, 10, 5),
        (question, 10, 6),
        (other, 4, 52),
        (early, 1, 0),
        (context, 59, 5),
    ] {
        batch.target(segment, offset, token)?;
    }
    Ok(batch)
}

/// The path to one target as a sequence of its own.
fn unshared(batch: &Batch, target: Target) -> Result<Batch, Error> {
    let segments = batch.segments();
    let segment = segments
        .iter()
        .find(|s| (s.start..s.start + s.len).contains(&target.row))
        .ok_or_else(|| Error::batch("a target outside the batch"))?;
    let path = reference::visible(segments, segment, target.row, None);
    let tokens: Vec<u32> = path.iter().map(|&row| batch.tokens()[row]).collect();
    let mut alone = Batch::new();
    let whole = alone.segment(None, &tokens)?;
    alone.target(whole, tokens.len() - 1, target.token)?;
    Ok(alone)
}

/// A tiny random checkpoint in a folder that lives as long as the value.
struct Tiny {
    name: &'static str,
    dir: PathBuf,
}

impl Drop for Tiny {
    fn drop(&mut self) {
        // A folder left behind in the system's temporary place is no reason to fail a test.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Tiny {
    fn path(&self) -> &Path {
        &self.dir
    }

    /// One of each architecture, every option of the forward pass switched on somewhere.
    fn all() -> Result<[Self; 2], Failure> {
        Ok([
            Self::write(
                "llama",
                r#"{"architectures": ["LlamaForCausalLM"], "vocab_size": 53, "hidden_size": 24,
                "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 3,
                "num_key_value_heads": 1, "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
                "attention_bias": true, "mlp_bias": true, "tie_word_embeddings": true}"#,
                [24, 40, 3, 1, 8],
            )?,
            Self::write(
                "qwen3",
                r#"{"architectures": ["Qwen3ForCausalLM"], "vocab_size": 53, "hidden_size": 20,
                "intermediate_size": 33, "num_hidden_layers": 2, "num_attention_heads": 4,
                "num_key_value_heads": 2, "head_dim": 6, "max_position_embeddings": 128,
                "rms_norm_eps": 1e-6, "rope_theta": 500.0, "tie_word_embeddings": false}"#,
                [20, 33, 4, 2, 6],
            )?,
        ])
    }

    fn write(name: &'static str, config: &str, shape: [usize; 5]) -> Result<Self, Failure> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = format!("relscale-conformance-{}-{number}", std::process::id());
        let tiny = Self {
            name,
            dir: std::env::temp_dir().join(folder),
        };
        let io = |e| Error::io(&tiny.dir, e);
        std::fs::create_dir_all(&tiny.dir).map_err(io)?;
        std::fs::write(tiny.dir.join("config.json"), config).map_err(io)?;
        let tensors = tiny_tensors(name == "qwen3", shape);
        let views = tensors.iter().map(|(name, dims, bytes)| {
            let view = TensorView::new(Dtype::F32, dims.clone(), bytes);
            view.map(|view| (name.as_str(), view))
                .map_err(|e| Failure(e.to_string()))
        });
        let views: Vec<_> = views.collect::<Result<_, _>>()?;
        let bytes = safetensors::serialize(views, None).map_err(|e| Failure(e.to_string()))?;
        std::fs::write(tiny.dir.join("model.safetensors"), bytes).map_err(io)?;
        Ok(tiny)
    }
}

/// Name, shape and little-endian values of every tensor of a tiny model.
fn tiny_tensors(
    qwen: bool,
    [hidden, mlp, heads, kv_heads, dim]: [usize; 5],
) -> Vec<(String, Vec<usize>, Vec<u8>)> {
    let mut draw = Draw(if qwen { 21 } else { 20 });
    let mut tensors = Vec::new();
    let mut tensor = |name: String, shape: &[usize], center: f32, size: f32| {
        let values = draw.plain(shape.iter().product());
        let bytes = values
            .iter()
            .flat_map(|x| (center + size * x).to_le_bytes())
            .collect();
        tensors.push((name, shape.to_vec(), bytes));
    };
    tensor(
        "model.embed_tokens.weight".into(),
        &[VOCAB, hidden],
        0.0,
        1.0,
    );
    for layer in 0..2 {
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        tensor(name("input_layernorm.weight"), &[hidden], 1.0, 0.3);
        tensor(name("post_attention_layernorm.weight"), &[hidden], 1.0, 0.3);
        if qwen {
            tensor(name("self_attn.q_norm.weight"), &[dim], 1.0, 0.3);
            tensor(name("self_attn.k_norm.weight"), &[dim], 1.0, 0.3);
        }
        for (part, outputs, inputs) in [
            ("self_attn.q_proj", heads * dim, hidden),
            ("self_attn.k_proj", kv_heads * dim, hidden),
            ("self_attn.v_proj", kv_heads * dim, hidden),
            ("self_attn.o_proj", hidden, heads * dim),
            ("mlp.gate_proj", mlp, hidden),
            ("mlp.up_proj", mlp, hidden),
            ("mlp.down_proj", hidden, mlp),
        ] {
            let size = 2.0 / (inputs as f32).sqrt();
            tensor(
                name(&format!("{part}.weight")),
                &[outputs, inputs],
                0.0,
                size,
            );
            if !qwen {
                tensor(name(&format!("{part}.bias")), &[outputs], 0.0, 0.2);
            }
        }
    }
    tensor("model.norm.weight".into(), &[hidden], 1.0, 0.3);
    if qwen {
        tensor("lm_head.weight".into(), &[VOCAB, hidden], 0.0, 0.5);
    }
    tensors
}
