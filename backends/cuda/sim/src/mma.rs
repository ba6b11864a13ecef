//! The matrices that a warp holds in its registers, by the tables of the PTX ISA manual
//! ("Matrix Fragments for mma.m16n8k16 with floating point type" and "ldmatrix").

use half::{bf16, f16};

/// Row and column in A (16×k) of half `h` (0 low, 1 high) of register `r` of a lane.
pub(crate) fn a_position(lane: usize, r: usize, h: usize) -> (usize, usize) {
    (lane / 4 + 8 * (r % 2), lane % 4 * 2 + h + 8 * (r / 2))
}

/// Row and column in B (k×8).
pub(crate) fn b_position(lane: usize, r: usize, h: usize) -> (usize, usize) {
    (lane % 4 * 2 + h + 8 * r, lane / 4)
}

/// Row and column in C and D (16×8), one f32 a register.
pub(crate) fn c_position(lane: usize, r: usize) -> (usize, usize) {
    (lane / 4 + 8 * (r / 2), lane % 4 * 2 + r % 2)
}

fn number(bits: u16, is_bf16: bool) -> f32 {
    if is_bf16 {
        bf16::from_bits(bits).to_f32()
    } else {
        f16::from_bits(bits).to_f32()
    }
}

/// D = A·B + C for the fragments of the 32 lanes: products exact, one f32 rounding a product, in the
/// order of k. Hardware sums in another order and with fewer roundings.
pub(crate) fn mma(
    is_bf16: bool,
    k: usize,
    a: &[[u64; 4]; 32],
    b: &[[u64; 2]; 32],
    c: &mut [[u64; 4]; 32],
) {
    let mut am = [[0.0_f32; 16]; 16];
    let mut bm = [[0.0_f32; 8]; 16];
    for lane in 0..32 {
        for (r, &pair) in a[lane][..k / 4].iter().enumerate() {
            for h in 0..2 {
                let (row, col) = a_position(lane, r, h);
                am[row][col] = number((pair >> (16 * h)) as u16, is_bf16);
            }
        }
        for (r, &pair) in b[lane][..k / 8].iter().enumerate() {
            for h in 0..2 {
                let (row, col) = b_position(lane, r, h);
                bm[row][col] = number((pair >> (16 * h)) as u16, is_bf16);
            }
        }
    }
    for (lane, c) in c.iter_mut().enumerate() {
        for (r, c) in c.iter_mut().enumerate() {
            let (row, col) = c_position(lane, r);
            let mut sum = f32::from_bits(*c as u32);
            for i in 0..k {
                sum += am[row][i] * bm[i][col];
            }
            *c = u64::from(sum.to_bits());
        }
    }
}

/// The two numbers that `ldmatrix` gives a lane from an 8×8 matrix of 16-bit numbers.
///
/// Row i of the matrix is `rows[i]`. The lane gets numbers 2·(lane mod 4) and the next of row
/// lane / 4, or of that column with `trans`.
pub(crate) fn ldmatrix(rows: &[[u16; 8]; 8], lane: usize, trans: bool) -> u64 {
    let (i, j) = (lane / 4, lane % 4 * 2);
    let (low, high) = if trans {
        (rows[j][i], rows[j + 1][i])
    } else {
        (rows[i][j], rows[i][j + 1])
    };
    u64::from(low) | u64::from(high) << 16
}
