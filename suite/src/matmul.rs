//! Matrix products on slices: a checked face of the `gemm` crate, and the only unsafe code here.

use crate::real::Real;

/// A matrix inside a slice: element (i, j) stands at `row · i + col · j`.
#[derive(Clone, Copy, Debug)]
pub struct View<'a, T> {
    pub data: &'a [T],
    pub row: usize,
    pub col: usize,
}

/// A row-major matrix of `width` columns.
pub fn rows<T>(data: &[T], width: usize) -> View<'_, T> {
    View {
        data,
        row: width,
        col: 1,
    }
}

/// The transpose of a row-major matrix of `width` columns.
pub fn columns<T>(data: &[T], width: usize) -> View<'_, T> {
    View {
        data,
        row: 1,
        col: width,
    }
}

/// `out = a·b`, or `out += a·b` when `add`; `out` is row-major m × n, a is m × k, b is k × n.
///
/// # Panics
/// When a slice is too short for its shape.
#[allow(
    unsafe_code,
    reason = "gemm takes raw pointers; every extent is checked first"
)]
pub fn matmul<T: Real>(
    out: &mut [T],
    [m, k, n]: [usize; 3],
    a: View<'_, T>,
    b: View<'_, T>,
    add: bool,
) {
    let fits = |v: View<'_, T>, r: usize, c: usize| {
        r == 0 || c == 0 || (r - 1) * v.row + (c - 1) * v.col < v.data.len()
    };
    assert!(
        out.len() >= m * n && fits(a, m, k) && fits(b, k, n),
        "matmul: slice too short"
    );
    let keep = if add { T::one() } else { T::zero() };
    // SAFETY: the three matrices lie inside their slices (checked above), `out` is borrowed mutably and so apart.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            add,
            a.data.as_ptr(),
            a.col as isize,
            a.row as isize,
            b.data.as_ptr(),
            b.col as isize,
            b.row as isize,
            keep,
            T::one(),
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_plain_loops() {
        let (m, k, n) = (5, 7, 3);
        let a: Vec<f64> = (0..m * k).map(|i| (i as f64 * 0.37).sin()).collect();
        let b: Vec<f64> = (0..n * k).map(|i| (i as f64 * 0.91).cos()).collect();
        let mut out = vec![1.0; m * n];
        matmul(&mut out, [m, k, n], rows(&a, k), columns(&b, k), true);
        for i in 0..m {
            for j in 0..n {
                let exact: f64 = 1.0 + (0..k).map(|x| a[i * k + x] * b[j * k + x]).sum::<f64>();
                assert!((out[i * n + j] - exact).abs() < 1e-12);
            }
        }
    }
}
