//! The inputs of the kit: pseudo-random numbers, forests of segments, blocks of columns.
//!
//! The public items serve kernel tests that a backend adds of its own, for instance at the edges
//! of its tiles or in its own number formats.

use half::{bf16, f16};

use crate::backend::{Backend, Columns, HostTensor, Role, Segment, Tensor, Values};
use crate::error::Error;

/// Sizes one below, at and one above the usual widths of registers, tiles and blocks (16, 32, 64),
/// and the smallest.
pub(super) const SIZES: [usize; 10] = [1, 2, 7, 15, 16, 17, 33, 63, 64, 65];

/// A small pseudo-random generator: the same seed gives the same numbers on every platform.
///
/// # Examples
/// ```
/// use relscale::conformance::inputs::SplitMix64;
///
/// let mut random = SplitMix64::new(1);
/// assert!((-1.0..1.0).contains(&random.uniform()));
/// assert!(random.below(6) < 6);
/// ```
///
/// # References
/// - G. L. Steele, D. Lea and C. H. Flood (2014), Fast splittable pseudorandom number generators,
///   OOPSLA, figure 17, doi:10.1145/2660193.2660195.
#[derive(Debug, Clone)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// The generator that starts from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn bits(&mut self) -> u64 {
        // Constants of the published generator (Steele, Lea and Flood 2014). Inputs must never
        // change, or measured bounds would.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..n`.
    ///
    /// The remainder favours small numbers by less than n / 2⁶⁴, which no test can notice.
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        // The remainder favours small numbers by less than one in 10¹⁵ here.
        (self.bits() % n as u64) as usize
    }

    /// A number in [−1, 1), a multiple of 2⁻²³.
    pub fn uniform(&mut self) -> f32 {
        // 24 bits, so that every value is exact in `f32`.
        (self.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    /// `len` numbers in [−1, 1).
    pub(super) fn uniforms(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.uniform()).collect()
    }

    /// Numbers of every size that a network meets: zeros of both signs, tiny, ordinary and large.
    pub(super) fn awkward(&mut self, len: usize) -> Vec<f32> {
        (0..len)
            .map(|_| match self.below(12) {
                0 => 0.0,
                1 => -0.0,
                // Its square underflows in `f32`.
                2 => self.uniform() * 1e-30,
                3 => self.uniform() * 1e-4,
                4 => self.uniform() * 1e3,
                _ => self.uniform(),
            })
            .collect()
    }

    /// A weight in one of the three precisions of checkpoints; `case` chooses which.
    pub(super) fn weight(&mut self, rows: usize, cols: usize, case: usize) -> HostTensor {
        let values = self.uniforms(rows * cols);
        match case % 3 {
            0 => HostTensor::F32(values),
            1 => HostTensor::Bf16(values.into_iter().map(bf16::from_f32).collect()),
            _ => HostTensor::F16(values.into_iter().map(f16::from_f32).collect()),
        }
    }
}

/// Segments from the index of each one's parent and its length.
///
/// # Panics
/// If a parent does not precede its child.
///
/// # Examples
/// ```
/// use relscale::conformance::inputs::forest;
///
/// let segments = forest(&[(None, 5), (Some(0), 2), (Some(0), 3)]);
/// assert_eq!((segments[2].start, segments[2].position), (7, 5));
/// ```
pub fn forest(shape: &[(Option<usize>, usize)]) -> Vec<Segment> {
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

/// A block of columns in host memory. The columns beside it hold NaN, so that a kernel which reads
/// them gives itself away.
#[derive(Clone)]
pub(super) struct Block {
    values: Vec<f32>,
    pub(super) rows: usize,
    stride: usize,
    start: usize,
    pub(super) width: usize,
}

impl Block {
    /// `content` in rows, with `before` and `after` columns of NaN on either side.
    pub(super) fn new(content: &[f32], rows: usize, (before, after): (usize, usize)) -> Self {
        let width = content.len() / rows;
        let mut values = Vec::new();
        for row in content.chunks_exact(width) {
            // Reading outside the block then shows in the result.
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

    /// The whole matrix on a backend, NaN included.
    pub(super) fn upload<B: Backend>(&self, backend: &B) -> Result<B::Buffer, Error> {
        backend.upload(&Tensor {
            values: Values::F32(&self.values),
            rows: self.rows,
            cols: self.stride,
            role: Role::Dense,
        })
    }

    /// The block within the uploaded matrix.
    pub(super) fn columns<'a, T>(&self, buffer: &'a T) -> Columns<'a, T> {
        Columns::block(buffer, self.rows, self.stride, self.start, self.width)
    }

    /// The values of the block, without the NaN beside them.
    pub(super) fn content(&self) -> Vec<f64> {
        self.values
            .chunks_exact(self.stride)
            .flat_map(|row| to_f64(&row[self.start..self.start + self.width]))
            .collect()
    }

    /// The block with `f` applied to every value.
    pub(super) fn map(&self, f: impl Fn(f32) -> f32) -> Self {
        Self {
            values: self.values.iter().map(|&x| f(x)).collect(),
            ..*self
        }
    }

    /// Applies `f` to every value of the rows from `first` on.
    pub(super) fn change_from(&mut self, first: usize, f: impl Fn(f32) -> f32) {
        for x in &mut self.values[first * self.stride..] {
            *x = f(*x);
        }
    }

    /// The rows whose indices are given.
    pub(super) fn pick(&self, rows: &[usize]) -> Self {
        let row = |&r: &usize| self.values[r * self.stride..(r + 1) * self.stride].to_vec();
        Self {
            values: rows.iter().flat_map(row).collect(),
            rows: rows.len(),
            ..*self
        }
    }
}

/// Uploads a matrix.
pub(super) fn upload<B: Backend>(
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

/// Uploads a vector.
pub(super) fn vector<B: Backend>(backend: &B, values: &[f32]) -> Result<B::Buffer, Error> {
    backend.upload(&Tensor {
        values: Values::F32(values),
        rows: 1,
        cols: values.len(),
        role: Role::Dense,
    })
}

/// Uploads a bias, if there is one.
pub(super) fn bias<B: Backend>(
    backend: &B,
    values: Option<&Vec<f32>>,
) -> Result<Option<B::Buffer>, Error> {
    values.map(|values| vector(backend, values)).transpose()
}

/// The values widened, exactly.
pub(super) fn to_f64(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}
