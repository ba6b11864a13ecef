//! The loops between the matrix products. Each runs inside [`simd`], which compiles it for the widest
//! vector instructions found at run time; sums use fixed lanes, so a machine's own result repeats exactly.

use crate::real::Real;
use crate::shape::HEAD_DIM;

const LANES: usize = 16;

/// Runs `f` compiled for AVX-512 or AVX2 where the machine has it.
#[inline(always)]
pub fn simd<R>(f: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(f)
}

#[inline(always)]
fn dot<T: Real>(a: &[T], b: &[T]) -> T {
    let mut lanes = [T::zero(); LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let mut tail = T::zero();
    for (x, y) in a_chunks.remainder().iter().zip(b_chunks.remainder()) {
        tail = x.mul_add(*y, tail);
    }
    for (x, y) in a_chunks.zip(b_chunks) {
        for l in 0..LANES {
            lanes[l] = x[l].mul_add(y[l], lanes[l]);
        }
    }
    sum_lanes(lanes) + tail
}

#[inline(always)]
fn sum_lanes<T: Real>(mut lanes: [T; LANES]) -> T {
    let mut width = LANES / 2;
    while width > 0 {
        for l in 0..width {
            let other = lanes[l + width];
            lanes[l] += other;
        }
        width /= 2;
    }
    lanes[0]
}

/// Rows of `x` divided by their root mean square, times `weight`; `scale` keeps 1/rms of each row.
#[inline(always)]
pub fn norm<T: Real>(x: &[T], weight: &[T], eps: T, y: &mut [T], scale: &mut [T]) {
    let h = weight.len();
    let inverse = T::of(1.0 / h as f64);
    for ((x, y), s) in x.chunks_exact(h).zip(y.chunks_exact_mut(h)).zip(scale) {
        *s = (dot(x, x) * inverse + eps).sqrt().recip();
        for i in 0..h {
            y[i] = x[i] * *s * weight[i];
        }
    }
}

/// Adds to `dx` (or sets it) and to `dweight` what `norm`'s output gradient `dy` passes on.
#[inline(always)]
pub fn norm_backward<T: Real>(
    x: &[T],
    weight: &[T],
    scale: &[T],
    dy: &[T],
    dx: &mut [T],
    dweight: &mut [T],
) {
    let h = weight.len();
    let inverse = T::of(1.0 / h as f64);
    let mut wdy = vec![T::zero(); h];
    for (((x, dy), dx), &s) in x
        .chunks_exact(h)
        .zip(dy.chunks_exact(h))
        .zip(dx.chunks_exact_mut(h))
        .zip(scale)
    {
        for i in 0..h {
            wdy[i] = weight[i] * dy[i];
            dweight[i] += dy[i] * x[i] * s;
        }
        let shared = dot(&wdy, x) * s * s * s * inverse;
        for i in 0..h {
            dx[i] += wdy[i] * s - x[i] * shared;
        }
    }
}

/// cos and sin of position × frequency, `[positions][HEAD_DIM / 2]` each.
pub fn rotary_tables<T: Real>(positions: usize, theta: f64) -> (Vec<T>, Vec<T>) {
    let half = HEAD_DIM / 2;
    (0..positions * half)
        .map(|i| {
            let frequency = theta.powf(-((i % half) as f64) / half as f64);
            let (sin, cos) = ((i / half) as f64 * frequency).sin_cos();
            (T::of(cos), T::of(sin))
        })
        .unzip()
}

/// Turns one head by its position, halves split as in Hugging Face's `rotate_half`; `sign` −1 turns back.
#[inline(always)]
pub fn rotate<T: Real>(head: &mut [T], cos: &[T], sin: &[T], sign: T) {
    let half = HEAD_DIM / 2;
    let (a, b) = head.split_at_mut(half);
    for l in 0..half {
        let (x, y, s) = (a[l], b[l], sin[l] * sign);
        a[l] = x * cos[l] - y * s;
        b[l] = y * cos[l] + x * s;
    }
}

/// `act = silu(gate) · up` where each row of `gate_up` holds the m gates and then the m ups.
#[inline(always)]
pub fn swiglu<T: Real>(gate_up: &[T], m: usize, act: &mut [T]) {
    for (row, act) in gate_up.chunks_exact(2 * m).zip(act.chunks_exact_mut(m)) {
        let (gate, up) = row.split_at(m);
        for i in 0..m {
            act[i] = gate[i] / (T::one() + (-gate[i]).fast_exp()) * up[i];
        }
    }
}

/// The gradient of `swiglu`, written over `gate_up`.
#[inline(always)]
pub fn swiglu_backward<T: Real>(gate_up: &mut [T], m: usize, dact: &[T]) {
    for (row, dact) in gate_up.chunks_exact_mut(2 * m).zip(dact.chunks_exact(m)) {
        let (gate, up) = row.split_at_mut(m);
        for i in 0..m {
            let (g, u, d) = (gate[i], up[i], dact[i]);
            let sigmoid = T::one() / (T::one() + (-g).fast_exp());
            gate[i] = d * u * sigmoid * (T::one() + g * (T::one() - sigmoid));
            up[i] = d * g * sigmoid;
        }
    }
}

/// Cross-entropy in nats against `targets`: fills `loss` by row and turns the logits into `rate` × their gradient.
#[inline(always)]
pub fn cross_entropy<T: Real>(logits: &mut [T], targets: &[u16], loss: &mut [T], rate: T) {
    let v = logits.len() / targets.len();
    for ((row, &target), loss) in logits.chunks_exact_mut(v).zip(targets).zip(loss) {
        let target = usize::from(target);
        let gold = row[target];
        let (max, sum) = softmax_terms(row);
        *loss = sum.ln() + max - gold;
        let factor = rate / sum;
        for x in row.iter_mut() {
            *x *= factor;
        }
        row[target] -= rate;
    }
}

/// Replaces a row by `exp(x − max)`; gives max and the sum.
#[inline(always)]
fn softmax_terms<T: Real>(row: &mut [T]) -> (T, T) {
    let mut tops = [T::neg_infinity(); LANES];
    let chunks = row.chunks_exact(LANES);
    let mut max = T::neg_infinity();
    for &x in chunks.remainder() {
        max = if x > max { x } else { max };
    }
    for chunk in chunks {
        for l in 0..LANES {
            tops[l] = if chunk[l] > tops[l] {
                chunk[l]
            } else {
                tops[l]
            };
        }
    }
    for x in tops {
        max = if x > max { x } else { max };
    }
    let mut lanes = [T::zero(); LANES];
    let mut chunks = row.chunks_exact_mut(LANES);
    for chunk in &mut chunks {
        for l in 0..LANES {
            chunk[l] = (chunk[l] - max).fast_exp();
            lanes[l] += chunk[l];
        }
    }
    let mut tail = T::zero();
    for x in chunks.into_remainder() {
        *x = (*x - max).fast_exp();
        tail += *x;
    }
    (max, sum_lanes(lanes) + tail)
}

/// Queries handled together: what they share is loaded once.
const BLOCK: usize = 4;
type Head<T> = [T; HEAD_DIM];

/// `out[b][j] = rows[b] · column j` for j < n, with the columns' matrix given as `[HEAD_DIM][s]`.
#[inline(always)]
fn products<T: Real>(rows: &[Head<T>; BLOCK], transposed: &[T], s: usize, n: usize, out: &mut [T]) {
    for j in (0..n).step_by(LANES) {
        let mut sums = [[T::zero(); LANES]; BLOCK];
        for d in 0..HEAD_DIM {
            let column: &[T] = &transposed[d * s + j..d * s + j + LANES];
            for b in 0..BLOCK {
                for l in 0..LANES {
                    sums[b][l] = column[l].mul_add(rows[b][d], sums[b][l]);
                }
            }
        }
        for b in 0..BLOCK {
            out[b * s + j..b * s + j + LANES].copy_from_slice(&sums[b]);
        }
    }
}

/// `Σ_j weights[b][j] · rows[j]` for j < n.
#[inline(always)]
fn combine<T: Real>(weights: &[T], s: usize, n: usize, rows: &[Head<T>]) -> [Head<T>; BLOCK] {
    let mut sums = [[T::zero(); HEAD_DIM]; BLOCK];
    for j in 0..n {
        let row = &rows[j];
        for b in 0..BLOCK {
            let w = weights[b * s + j];
            for l in 0..HEAD_DIM {
                sums[b][l] = row[l].mul_add(w, sums[b][l]);
            }
        }
    }
    sums
}

/// `out[j] += Σ_b weights[b][j] · rows[b]` for j < n.
#[inline(always)]
fn scatter<T: Real>(
    weights: &[T],
    s: usize,
    n: usize,
    rows: &[Head<T>; BLOCK],
    out: &mut [Head<T>],
) {
    for j in 0..n {
        let mut sum = out[j];
        for b in 0..BLOCK {
            let w = weights[b * s + j];
            for l in 0..HEAD_DIM {
                sum[l] = rows[b][l].mul_add(w, sum[l]);
            }
        }
        out[j] = sum;
    }
}

fn load<T: Real>(matrix: &[T], width: usize, head: usize, rows: &mut [Head<T>]) {
    for (row, out) in matrix.chunks_exact(width).zip(rows) {
        out.copy_from_slice(&row[head * HEAD_DIM..(head + 1) * HEAD_DIM]);
    }
}

fn transpose<T: Real>(rows: &[Head<T>], out: &mut [T]) {
    let s = rows.len();
    for (j, row) in rows.iter().enumerate() {
        for d in 0..HEAD_DIM {
            out[d * s + j] = row[d];
        }
    }
}

fn block<T: Real>(rows: &[Head<T>], i: usize) -> [Head<T>; BLOCK] {
    std::array::from_fn(|b| rows[i + b])
}

/// Scratch for one head of one window of `s` positions (a multiple of 16).
#[derive(Debug)]
pub struct HeadScratch<T> {
    q: Vec<Head<T>>,
    k: Vec<Head<T>>,
    v: Vec<Head<T>>,
    dout: Vec<Head<T>>,
    dk: Vec<Head<T>>,
    dv: Vec<Head<T>>,
    transposed: Vec<T>,
    rows: Vec<T>,
}

impl<T: Real> HeadScratch<T> {
    pub fn new(s: usize) -> Self {
        let heads = || vec![[T::zero(); HEAD_DIM]; s];
        Self {
            q: heads(),
            k: heads(),
            v: heads(),
            dout: heads(),
            dk: heads(),
            dv: heads(),
            transposed: vec![T::zero(); HEAD_DIM * s],
            rows: vec![T::zero(); BLOCK * s],
        }
    }
}

/// Causal attention of one window and head. `q`, `k`, `v`, `out` are `[s][width]`, the head one stripe of
/// each; `probabilities` is `[s][s]` and kept for the backward pass.
#[inline(always)]
pub fn attention<T: Real>(
    [q, k, v]: [&[T]; 3],
    width: usize,
    head: usize,
    probabilities: &mut [T],
    out: &mut [T],
    scratch: &mut HeadScratch<T>,
) {
    let s = q.len() / width;
    load(q, width, head, &mut scratch.q);
    load(k, width, head, &mut scratch.k);
    load(v, width, head, &mut scratch.v);
    transpose(&scratch.k, &mut scratch.transposed);
    let scale = T::of(1.0 / (HEAD_DIM as f64).sqrt());
    for q in &mut scratch.q {
        for x in q {
            *x *= scale;
        }
    }
    for i in (0..s).step_by(BLOCK) {
        let n = (i + BLOCK).next_multiple_of(LANES);
        let p = &mut probabilities[i * s..(i + BLOCK) * s];
        products(&block(&scratch.q, i), &scratch.transposed, s, n, p);
        for b in 0..BLOCK {
            let row = &mut p[b * s..b * s + n];
            row[i + b + 1..].fill(T::neg_infinity());
            let (_, sum) = softmax_terms(row);
            let inverse = sum.recip();
            for x in row.iter_mut() {
                *x *= inverse;
            }
            // The fast exponential of −∞ is tiny but not 0.
            row[i + b + 1..].fill(T::zero());
        }
        let sums = combine(p, s, i + BLOCK, &scratch.v);
        for (b, sum) in sums.iter().enumerate() {
            let at = (i + b) * width + head * HEAD_DIM;
            out[at..at + HEAD_DIM].copy_from_slice(sum);
        }
    }
}

/// Backward of [`attention`]: writes the head's stripe of `dq`, `dk`, `dv`.
#[inline(always)]
pub fn attention_backward<T: Real>(
    [q, k, v]: [&[T]; 3],
    width: usize,
    head: usize,
    probabilities: &[T],
    dout: &[T],
    [dq, dk, dv]: [&mut [T]; 3],
    scratch: &mut HeadScratch<T>,
) {
    let s = q.len() / width;
    load(q, width, head, &mut scratch.q);
    load(k, width, head, &mut scratch.k);
    load(v, width, head, &mut scratch.v);
    load(dout, width, head, &mut scratch.dout);
    transpose(&scratch.v, &mut scratch.transposed);
    scratch.dk.fill([T::zero(); HEAD_DIM]);
    scratch.dv.fill([T::zero(); HEAD_DIM]);
    let scale = T::of(1.0 / (HEAD_DIM as f64).sqrt());
    for i in (0..s).step_by(BLOCK) {
        let n = (i + BLOCK).next_multiple_of(LANES);
        let p = &probabilities[i * s..(i + BLOCK) * s];
        let dout = block(&scratch.dout, i);
        scatter(p, s, i + BLOCK, &dout, &mut scratch.dv);
        products(&dout, &scratch.transposed, s, n, &mut scratch.rows);
        for b in 0..BLOCK {
            let row = &mut scratch.rows[b * s..b * s + n];
            let p = &p[b * s..b * s + n];
            let mean = dot(row, p);
            for j in 0..n {
                row[j] = p[j] * (row[j] - mean) * scale;
            }
        }
        scatter(
            &scratch.rows,
            s,
            i + BLOCK,
            &block(&scratch.q, i),
            &mut scratch.dk,
        );
        let sums = combine(&scratch.rows, s, i + BLOCK, &scratch.k);
        for (b, sum) in sums.iter().enumerate() {
            let at = (i + b) * width + head * HEAD_DIM;
            dq[at..at + HEAD_DIM].copy_from_slice(sum);
        }
    }
    for j in 0..s {
        let at = j * width + head * HEAD_DIM;
        dk[at..at + HEAD_DIM].copy_from_slice(&scratch.dk[j]);
        dv[at..at + HEAD_DIM].copy_from_slice(&scratch.dv[j]);
    }
}
