//! The decoder of Hugging Face's `Qwen3ForCausalLM`, forward and backward by hand: RMSNorm, attention with
//! per-head norms of query and key before the rotary embedding, gated SiLU MLP, no biases, untied embeddings.
//!
//! Parameters and gradients are flat vectors; [`Layout`] names their stretches. Matrices are `[out][in]`.

use crate::kernels::{self, HeadScratch, simd};
use crate::matmul::{columns, matmul, rows};
use crate::real::Real;
use crate::shape::{HEAD_DIM, NORM_EPS, ROPE_THETA, Shape, VOCABULARY};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use std::ops::Range;

/// One named tensor inside the flat parameter vector.
#[derive(Clone, Debug)]
pub struct Tensor {
    pub name: String,
    pub shape: Vec<usize>,
    pub range: Range<usize>,
    /// Standard deviation at the start; `None` for a norm's weight, which starts at 1 and is not decayed.
    pub deviation: Option<f64>,
}

/// Offsets of a layer's tensors.
#[derive(Clone, Debug)]
struct Layer {
    input_norm: Range<usize>,
    q: Range<usize>,
    k: Range<usize>,
    v: Range<usize>,
    o: Range<usize>,
    q_norm: Range<usize>,
    k_norm: Range<usize>,
    post_norm: Range<usize>,
    /// Gate and up, one after the other: one product computes both.
    gate_up: Range<usize>,
    down: Range<usize>,
}

#[derive(Clone, Debug)]
pub struct Layout {
    pub tensors: Vec<Tensor>,
    embed: Range<usize>,
    layers: Vec<Layer>,
    norm: Range<usize>,
    head: Range<usize>,
    pub len: usize,
}

impl Layout {
    pub fn new(shape: Shape) -> Layout {
        let (h, a, m) = (shape.hidden, shape.attention_width(), shape.mlp);
        let mut tensors: Vec<Tensor> = Vec::new();
        let mut len = 0;
        let mut tensor = |name: String, shape: &[usize], deviation: Option<f64>| {
            let range = len..len + shape.iter().product::<usize>();
            len = range.end;
            tensors.push(Tensor {
                name,
                shape: shape.to_vec(),
                range: range.clone(),
                deviation,
            });
            range
        };
        let spread = |fan_in: usize| Some(0.7 / (fan_in as f64).sqrt());
        let residual =
            |fan_in: usize| Some(0.7 / (fan_in as f64 * 2.0 * shape.layers as f64).sqrt());
        let embed = tensor(
            "model.embed_tokens.weight".into(),
            &[VOCABULARY, h],
            Some(0.3),
        );
        let mut layers = Vec::new();
        for l in 0..shape.layers {
            let mut t = |name: &str, shape: &[usize], deviation| {
                tensor(format!("model.layers.{l}.{name}.weight"), shape, deviation)
            };
            let input_norm = t("input_layernorm", &[h], None);
            let q = t("self_attn.q_proj", &[a, h], spread(h));
            let k = t("self_attn.k_proj", &[a, h], spread(h));
            let v = t("self_attn.v_proj", &[a, h], spread(h));
            let o = t("self_attn.o_proj", &[h, a], residual(a));
            let q_norm = t("self_attn.q_norm", &[HEAD_DIM], None);
            let k_norm = t("self_attn.k_norm", &[HEAD_DIM], None);
            let post_norm = t("post_attention_layernorm", &[h], None);
            let gate = t("mlp.gate_proj", &[m, h], spread(h));
            let up = t("mlp.up_proj", &[m, h], spread(h));
            let down = t("mlp.down_proj", &[h, m], residual(m));
            layers.push(Layer {
                input_norm,
                q,
                k,
                v,
                o,
                q_norm,
                k_norm,
                post_norm,
                gate_up: gate.start..up.end,
                down,
            });
        }
        let norm = tensor("model.norm.weight".into(), &[h], None);
        let head = tensor(
            "lm_head.weight".into(),
            &[VOCABULARY, h],
            Some(0.1 / (h as f64).sqrt()),
        );
        Layout {
            tensors,
            embed,
            layers,
            norm,
            head,
            len,
        }
    }

    /// Fresh parameters; the same seed gives the same numbers.
    pub fn start<T: Real>(&self, seed: u64) -> Vec<T> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut out = Vec::with_capacity(self.len);
        for tensor in &self.tensors {
            for _ in tensor.range.clone() {
                out.push(T::of(tensor.deviation.map_or(1.0, |d| {
                    let x: f64 = StandardNormal.sample(&mut rng);
                    d * x
                })));
            }
        }
        out
    }
}

/// Values of one layer that the backward pass needs.
#[derive(Debug)]
struct Kept<T> {
    /// The residual stream before attention and before the MLP.
    x: Vec<T>,
    middle: Vec<T>,
    normed: Vec<T>,
    normed_scale: Vec<T>,
    q_raw: Vec<T>,
    k_raw: Vec<T>,
    q_scale: Vec<T>,
    k_scale: Vec<T>,
    q: Vec<T>,
    k: Vec<T>,
    v: Vec<T>,
    probabilities: Vec<T>,
    mixed: Vec<T>,
    post: Vec<T>,
    post_scale: Vec<T>,
    gate_up: Vec<T>,
    act: Vec<T>,
}

/// A model's workspace for `windows` windows of `context` tokens at a time.
#[derive(Debug)]
pub struct Model<T> {
    pub layout: Layout,
    shape: Shape,
    context: usize,
    tokens: usize,
    cos: Vec<T>,
    sin: Vec<T>,
    kept: Vec<Kept<T>>,
    x: Vec<T>,
    last: Vec<T>,
    last_scale: Vec<T>,
    logits: Vec<T>,
    losses: Vec<T>,
    dx: Vec<T>,
    dnormed: Vec<T>,
    dmixed: Vec<T>,
    dq: Vec<T>,
    dk: Vec<T>,
    dv: Vec<T>,
    dact: Vec<T>,
    dhead: Vec<T>,
    scratch: HeadScratch<T>,
}

impl<T: Real> Model<T> {
    /// # Panics
    /// When `context` is not a multiple of 16.
    pub fn new(shape: Shape, windows: usize, context: usize) -> Self {
        assert!(context.is_multiple_of(16) && windows > 0);
        let tokens = windows * context;
        let (h, a, m) = (shape.hidden, shape.attention_width(), shape.mlp);
        let zeros = |n: usize| vec![T::zero(); n];
        let wide = |width: usize| zeros(tokens * width);
        let kept = (0..shape.layers).map(|_| Kept {
            x: wide(h),
            middle: wide(h),
            normed: wide(h),
            normed_scale: wide(1),
            q_raw: wide(a),
            k_raw: wide(a),
            q_scale: wide(shape.heads),
            k_scale: wide(shape.heads),
            q: wide(a),
            k: wide(a),
            v: wide(a),
            probabilities: zeros(windows * shape.heads * context * context),
            mixed: wide(a),
            post: wide(h),
            post_scale: wide(1),
            gate_up: wide(2 * m),
            act: wide(m),
        });
        let (cos, sin) = kernels::rotary_tables(context, ROPE_THETA);
        Self {
            layout: Layout::new(shape),
            shape,
            context,
            tokens,
            cos,
            sin,
            kept: kept.collect(),
            x: wide(h),
            last: wide(h),
            last_scale: wide(1),
            logits: wide(VOCABULARY),
            losses: wide(1),
            dx: wide(h),
            dnormed: wide(h),
            dmixed: wide(a),
            dq: wide(a),
            dk: wide(a),
            dv: wide(a),
            dact: wide(m),
            dhead: wide(a),
            scratch: HeadScratch::new(context),
        }
    }

    fn rotate(&self, heads: &mut [T], sign: T) {
        let (half, count) = (HEAD_DIM / 2, self.shape.heads);
        simd(
            #[inline(always)]
            || {
                for (t, row) in heads.chunks_exact_mut(count * HEAD_DIM).enumerate() {
                    let at = t % self.context * half;
                    for head in row.chunks_exact_mut(HEAD_DIM) {
                        kernels::rotate(
                            head,
                            &self.cos[at..at + half],
                            &self.sin[at..at + half],
                            sign,
                        );
                    }
                }
            },
        );
    }

    fn forward(&mut self, p: &[T], inputs: &[u16]) {
        assert_eq!(inputs.len(), self.tokens, "a full batch of windows");
        let (h, a, m, s) = (
            self.shape.hidden,
            self.shape.attention_width(),
            self.shape.mlp,
            self.context,
        );
        let (n, eps) = (self.tokens, T::of(NORM_EPS));
        let embed = &p[self.layout.embed.clone()];
        for (x, &token) in self.x.chunks_exact_mut(h).zip(inputs) {
            x.copy_from_slice(&embed[usize::from(token) * h..][..h]);
        }
        let mut kept = std::mem::take(&mut self.kept);
        for (layer, keep) in self.layout.layers.iter().zip(&mut kept) {
            keep.x.copy_from_slice(&self.x);
            simd(
                #[inline(always)]
                || {
                    kernels::norm(
                        &self.x,
                        &p[layer.input_norm.clone()],
                        eps,
                        &mut keep.normed,
                        &mut keep.normed_scale,
                    )
                },
            );
            for (out, weight) in [
                (&mut keep.q_raw, &layer.q),
                (&mut keep.k_raw, &layer.k),
                (&mut keep.v, &layer.v),
            ] {
                matmul(
                    out,
                    [n, h, a],
                    rows(&keep.normed, h),
                    columns(&p[weight.clone()], h),
                    false,
                );
            }
            simd(
                #[inline(always)]
                || {
                    kernels::norm(
                        &keep.q_raw,
                        &p[layer.q_norm.clone()],
                        eps,
                        &mut keep.q,
                        &mut keep.q_scale,
                    );
                    kernels::norm(
                        &keep.k_raw,
                        &p[layer.k_norm.clone()],
                        eps,
                        &mut keep.k,
                        &mut keep.k_scale,
                    );
                },
            );
            self.rotate(&mut keep.q, T::one());
            self.rotate(&mut keep.k, T::one());
            for w in 0..n / s {
                let part = w * s * a..(w + 1) * s * a;
                for head in 0..self.shape.heads {
                    let at = (w * self.shape.heads + head) * s * s;
                    simd(
                        #[inline(always)]
                        || {
                            kernels::attention(
                                [
                                    &keep.q[part.clone()],
                                    &keep.k[part.clone()],
                                    &keep.v[part.clone()],
                                ],
                                a,
                                head,
                                &mut keep.probabilities[at..at + s * s],
                                &mut keep.mixed[part.clone()],
                                &mut self.scratch,
                            );
                        },
                    );
                }
            }
            matmul(
                &mut self.x,
                [n, a, h],
                rows(&keep.mixed, a),
                columns(&p[layer.o.clone()], a),
                true,
            );
            keep.middle.copy_from_slice(&self.x);
            simd(
                #[inline(always)]
                || {
                    kernels::norm(
                        &self.x,
                        &p[layer.post_norm.clone()],
                        eps,
                        &mut keep.post,
                        &mut keep.post_scale,
                    )
                },
            );
            matmul(
                &mut keep.gate_up,
                [n, h, 2 * m],
                rows(&keep.post, h),
                columns(&p[layer.gate_up.clone()], h),
                false,
            );
            simd(
                #[inline(always)]
                || kernels::swiglu(&keep.gate_up, m, &mut keep.act),
            );
            matmul(
                &mut self.x,
                [n, m, h],
                rows(&keep.act, m),
                columns(&p[layer.down.clone()], m),
                true,
            );
        }
        self.kept = kept;
        simd(
            #[inline(always)]
            || {
                kernels::norm(
                    &self.x,
                    &p[self.layout.norm.clone()],
                    eps,
                    &mut self.last,
                    &mut self.last_scale,
                )
            },
        );
        matmul(
            &mut self.logits,
            [n, h, VOCABULARY],
            rows(&self.last, h),
            columns(&p[self.layout.head.clone()], h),
            false,
        );
    }

    /// Cross-entropy in nats of every target.
    pub fn losses(&mut self, p: &[T], inputs: &[u16], targets: &[u16]) -> &[T] {
        self.forward(p, inputs);
        simd(
            #[inline(always)]
            || kernels::cross_entropy(&mut self.logits, targets, &mut self.losses, T::zero()),
        );
        &self.losses
    }

    /// Adds `rate` × the gradient of the summed loss to `grad`; gives the summed loss.
    pub fn backward(
        &mut self,
        p: &[T],
        inputs: &[u16],
        targets: &[u16],
        rate: T,
        grad: &mut [T],
    ) -> f64 {
        self.forward(p, inputs);
        let (h, a, m, s) = (
            self.shape.hidden,
            self.shape.attention_width(),
            self.shape.mlp,
            self.context,
        );
        let n = self.tokens;
        simd(
            #[inline(always)]
            || kernels::cross_entropy(&mut self.logits, targets, &mut self.losses, rate),
        );
        let layout = self.layout.clone();
        matmul(
            &mut grad[layout.head.clone()],
            [VOCABULARY, n, h],
            columns(&self.logits, VOCABULARY),
            rows(&self.last, h),
            true,
        );
        matmul(
            &mut self.dnormed,
            [n, VOCABULARY, h],
            rows(&self.logits, VOCABULARY),
            rows(&p[layout.head.clone()], h),
            false,
        );
        self.dx.fill(T::zero());
        simd(
            #[inline(always)]
            || {
                kernels::norm_backward(
                    &self.x,
                    &p[layout.norm.clone()],
                    &self.last_scale,
                    &self.dnormed,
                    &mut self.dx,
                    &mut grad[layout.norm.clone()],
                );
            },
        );
        let mut kept = std::mem::take(&mut self.kept);
        for (layer, keep) in layout.layers.iter().zip(&mut kept).rev() {
            // MLP: dx is the gradient of the stream behind it and, the stream being a sum, before it.
            matmul(
                &mut grad[layer.down.clone()],
                [h, n, m],
                columns(&self.dx, h),
                rows(&keep.act, m),
                true,
            );
            matmul(
                &mut self.dact,
                [n, h, m],
                rows(&self.dx, h),
                rows(&p[layer.down.clone()], m),
                false,
            );
            simd(
                #[inline(always)]
                || kernels::swiglu_backward(&mut keep.gate_up, m, &self.dact),
            );
            matmul(
                &mut grad[layer.gate_up.clone()],
                [2 * m, n, h],
                columns(&keep.gate_up, 2 * m),
                rows(&keep.post, h),
                true,
            );
            matmul(
                &mut self.dnormed,
                [n, 2 * m, h],
                rows(&keep.gate_up, 2 * m),
                rows(&p[layer.gate_up.clone()], h),
                false,
            );
            simd(
                #[inline(always)]
                || {
                    kernels::norm_backward(
                        &keep.middle,
                        &p[layer.post_norm.clone()],
                        &keep.post_scale,
                        &self.dnormed,
                        &mut self.dx,
                        &mut grad[layer.post_norm.clone()],
                    );
                },
            );
            // Attention.
            matmul(
                &mut grad[layer.o.clone()],
                [h, n, a],
                columns(&self.dx, h),
                rows(&keep.mixed, a),
                true,
            );
            matmul(
                &mut self.dmixed,
                [n, h, a],
                rows(&self.dx, h),
                rows(&p[layer.o.clone()], a),
                false,
            );
            for w in 0..n / s {
                let part = w * s * a..(w + 1) * s * a;
                for head in 0..self.shape.heads {
                    let at = (w * self.shape.heads + head) * s * s;
                    simd(
                        #[inline(always)]
                        || {
                            kernels::attention_backward(
                                [
                                    &keep.q[part.clone()],
                                    &keep.k[part.clone()],
                                    &keep.v[part.clone()],
                                ],
                                a,
                                head,
                                &keep.probabilities[at..at + s * s],
                                &self.dmixed[part.clone()],
                                [
                                    &mut self.dq[part.clone()],
                                    &mut self.dk[part.clone()],
                                    &mut self.dv[part.clone()],
                                ],
                                &mut self.scratch,
                            );
                        },
                    );
                }
            }
            let mut turned = [std::mem::take(&mut self.dq), std::mem::take(&mut self.dk)];
            for (d, (raw, scale, norm, weight)) in turned.iter_mut().zip([
                (&keep.q_raw, &keep.q_scale, &layer.q_norm, &layer.q),
                (&keep.k_raw, &keep.k_scale, &layer.k_norm, &layer.k),
            ]) {
                self.rotate(d, -T::one());
                self.dhead.fill(T::zero());
                simd(
                    #[inline(always)]
                    || {
                        kernels::norm_backward(
                            raw,
                            &p[norm.clone()],
                            scale,
                            d,
                            &mut self.dhead,
                            &mut grad[norm.clone()],
                        )
                    },
                );
                let add = weight.start != layer.q.start;
                matmul(
                    &mut grad[weight.clone()],
                    [a, n, h],
                    columns(&self.dhead, a),
                    rows(&keep.normed, h),
                    true,
                );
                matmul(
                    &mut self.dnormed,
                    [n, a, h],
                    rows(&self.dhead, a),
                    rows(&p[weight.clone()], h),
                    add,
                );
            }
            [self.dq, self.dk] = turned;
            matmul(
                &mut grad[layer.v.clone()],
                [a, n, h],
                columns(&self.dv, a),
                rows(&keep.normed, h),
                true,
            );
            matmul(
                &mut self.dnormed,
                [n, a, h],
                rows(&self.dv, a),
                rows(&p[layer.v.clone()], h),
                true,
            );
            simd(
                #[inline(always)]
                || {
                    kernels::norm_backward(
                        &keep.x,
                        &p[layer.input_norm.clone()],
                        &keep.normed_scale,
                        &self.dnormed,
                        &mut self.dx,
                        &mut grad[layer.input_norm.clone()],
                    );
                },
            );
        }
        self.kept = kept;
        let embed = &mut grad[layout.embed];
        for (dx, &token) in self.dx.chunks_exact(h).zip(inputs) {
            for (g, d) in embed[usize::from(token) * h..][..h].iter_mut().zip(dx) {
                *g += *d;
            }
        }
        self.losses.iter().map(|x| x.f64()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(tokens: usize) -> (Vec<u16>, Vec<u16>) {
        let token = |i: usize| ((i * 37 + i * i * 11) % VOCABULARY) as u16;
        (
            (0..tokens).map(token).collect(),
            (1..=tokens).map(token).collect(),
        )
    }

    fn probe<T: Real>() -> (Vec<T>, Vec<T>, f64) {
        let shape = Shape {
            hidden: 24,
            layers: 2,
            heads: 2,
            mlp: 40,
        };
        let mut model = Model::<T>::new(shape, 2, 32);
        let mut p: Vec<T> = model.layout.start(5);
        // norm weights off 1, so that a slip in their use shows
        for t in model
            .layout
            .tensors
            .iter()
            .filter(|t| t.deviation.is_none())
        {
            for (i, x) in p[t.range.clone()].iter_mut().enumerate() {
                *x += T::of(0.1 * (i as f64).sin());
            }
        }
        let (inputs, targets) = batch(64);
        let mut grad = vec![T::zero(); p.len()];
        let loss = model.backward(&p, &inputs, &targets, T::of(1.0 / 64.0), &mut grad) / 64.0;
        (p, grad, loss)
    }

    #[test]
    fn gradient_agrees_with_finite_differences() {
        let shape = Shape {
            hidden: 24,
            layers: 2,
            heads: 2,
            mlp: 40,
        };
        let (p, grad, _) = probe::<f64>();
        let (inputs, targets) = batch(64);
        let mut model = Model::<f64>::new(shape, 2, 32);
        let mut mean = |p: &[f64]| model.losses(p, &inputs, &targets).iter().sum::<f64>() / 64.0;
        for tensor in Layout::new(shape).tensors {
            for i in tensor
                .range
                .clone()
                .step_by((tensor.range.len() / 5).max(1))
            {
                let eps = 1e-5;
                let mut moved = p.clone();
                moved[i] = p[i] + eps;
                let up = mean(&moved);
                moved[i] = p[i] - eps;
                let numeric = (up - mean(&moved)) / (2.0 * eps);
                assert!(
                    (numeric - grad[i]).abs() < 1e-8 + 1e-5 * numeric.abs(),
                    "{} {i}: {numeric} {}",
                    tensor.name,
                    grad[i]
                );
            }
        }
    }

    #[test]
    fn single_precision_agrees_with_double() {
        let ((_, wide, loss64), (_, narrow, loss32)) = (probe::<f64>(), probe::<f32>());
        assert!((loss64 - loss32).abs() < 1e-5);
        let largest = wide.iter().fold(0.0f64, |m, x| m.max(x.abs()));
        for (a, b) in wide.iter().zip(&narrow) {
            assert!((a - b.f64()).abs() < 1e-5 * largest);
        }
    }

    #[test]
    fn later_tokens_do_not_reach_back() {
        let shape = Shape::of_width(16);
        let mut model = Model::<f32>::new(shape, 1, 32);
        let p: Vec<f32> = model.layout.start(1);
        let (mut inputs, targets) = batch(32);
        let before = model.losses(&p, &inputs, &targets).to_vec();
        inputs[20] = 7;
        let after = model.losses(&p, &inputs, &targets);
        assert_eq!(before[..20], after[..20]);
        assert_ne!(before[20..], after[20..]);
    }
}
