//! Quantised tensors of GGUF: blocks of integers with scales in half precision, widened at load.
//!
//! The layouts are those of `ggml`. Each value is computed in `f32` in the order of operations of the
//! Python package `gguf`, so that both give the same bits.

use std::io::{self, Read};

use half::f16;

use crate::backend::HostTensor;

/// Storage of the elements of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Storage {
    F32,
    F16,
    Bf16,
    Blocks(Block),
    /// A type of safetensors that is not read.
    Other(safetensors::Dtype),
}

/// A block type of `ggml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Block {
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4K,
    Q5K,
    Q6K,
}

impl Storage {
    /// The type with this number in a GGUF file.
    pub(super) fn of_ggml(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Blocks(Block::Q4_0),
            3 => Self::Blocks(Block::Q4_1),
            6 => Self::Blocks(Block::Q5_0),
            7 => Self::Blocks(Block::Q5_1),
            8 => Self::Blocks(Block::Q8_0),
            12 => Self::Blocks(Block::Q4K),
            13 => Self::Blocks(Block::Q5K),
            14 => Self::Blocks(Block::Q6K),
            30 => Self::Bf16,
            _ => return None,
        })
    }

    /// Number of elements and of bytes of the smallest unit of a row.
    pub(super) fn unit(self) -> (u64, u64) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::Bf16 => (1, 2),
            Self::Blocks(block) => (block.elements() as u64, block.bytes() as u64),
            // Zero for types of less than a byte. They are refused by name before a read, but sizes
            // are computed before that, so nothing may divide by it.
            Self::Other(dtype) => (1, dtype.bitsize() as u64 / 8),
        }
    }

    /// Number of bytes of `elements` elements in whole units.
    pub(super) fn bytes(self, elements: usize) -> u64 {
        let (of, unit) = self.unit();
        elements as u64 / of * unit
    }
}

/// Number of bytes read at a time: few calls, and little memory beside the values.
// Reading a megabyte takes far longer than the system call; the exact size does not matter.
const PIECE: usize = 1 << 20;

/// The types that [`Storage::of_ggml`] knows, for messages.
pub(super) const GGML_TYPES: &str =
    "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K";

/// Name of a `ggml` type, for messages.
pub(super) fn ggml_name(number: u32) -> &'static str {
    const NAMES: [(u32, &str); 26] = [
        (9, "Q8_1"),
        (10, "Q2_K"),
        (11, "Q3_K"),
        (15, "Q8_K"),
        (16, "IQ2_XXS"),
        (17, "IQ2_XS"),
        (18, "IQ3_XXS"),
        (19, "IQ1_S"),
        (20, "IQ4_NL"),
        (21, "IQ3_S"),
        (22, "IQ2_S"),
        (23, "IQ4_XS"),
        (24, "I8"),
        (25, "I16"),
        (26, "I32"),
        (27, "I64"),
        (28, "F64"),
        (29, "IQ1_M"),
        (31, "Q4_0_4_4"),
        (32, "Q4_0_4_8"),
        (33, "Q4_0_8_8"),
        (34, "TQ1_0"),
        (35, "TQ2_0"),
        (39, "MXFP4"),
        (40, "NVFP4"),
        (41, "Q1_0"),
    ];
    NAMES
        .iter()
        .find(|(n, _)| *n == number)
        .map_or("(unknown)", |(_, name)| name)
}

impl Block {
    fn elements(self) -> usize {
        match self {
            Self::Q4K | Self::Q5K | Self::Q6K => 256,
            _ => 32,
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
        }
    }

    /// Reads `bytes` bytes of whole blocks, a piece at a time, so that the bytes are never all in memory
    /// beside the values.
    pub(super) fn read(self, from: &mut impl Read, bytes: usize) -> io::Result<HostTensor> {
        let unit = self.bytes();
        let mut values = Vec::with_capacity(bytes / unit * self.elements());
        // A whole number of blocks.
        let piece = PIECE / unit * unit;
        let mut buffer = vec![0u8; bytes.min(piece)];
        let mut left = bytes;
        while left > 0 {
            let buffer = &mut buffer[..left.min(piece)];
            from.read_exact(buffer)?;
            left -= buffer.len();
            self.widen(buffer, &mut values);
        }
        Ok(HostTensor::F32(values))
    }

    /// Appends the values of whole blocks.
    fn widen(self, bytes: &[u8], out: &mut Vec<f32>) {
        for block in bytes.chunks_exact(self.bytes()) {
            match self {
                Self::Q4_0 => {
                    let d = half(block, 0);
                    nibbles(&block[2..], |_, q| d * (f32::from(q) - 8.0), out);
                }
                Self::Q4_1 => {
                    let (d, m) = (half(block, 0), half(block, 2));
                    nibbles(&block[4..], |_, q| d * f32::from(q) + m, out);
                }
                Self::Q5_0 => {
                    let (d, high) = (half(block, 0), word(block, 2));
                    // Subtraction before the product, as in `gguf`: `d·q − 16·d` would round twice.
                    let value = |i: usize, q: u8| d * (f32::from(q | fifth(high, i)) - 16.0);
                    nibbles(&block[6..], value, out);
                }
                Self::Q5_1 => {
                    let (d, m, high) = (half(block, 0), half(block, 2), word(block, 4));
                    let value = |i: usize, q: u8| d * f32::from(q | fifth(high, i)) + m;
                    nibbles(&block[8..], value, out);
                }
                Self::Q8_0 => {
                    let d = half(block, 0);
                    out.extend(block[2..].iter().map(|&q| f32::from(q as i8) * d));
                }
                Self::Q4K => q45k(block, None, &block[16..], out),
                Self::Q5K => q45k(block, Some(&block[16..48]), &block[48..], out),
                Self::Q6K => q6k(block, out),
            }
        }
    }
}

fn half(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

fn word(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

/// Bit `i` of `high` at the place of a fifth bit.
fn fifth(high: u32, i: usize) -> u8 {
    (high >> i & 1) as u8 * 16
}

/// 32 values from 16 bytes: first those of the low halves, then those of the high halves.
fn nibbles(bytes: &[u8], value: impl Fn(usize, u8) -> f32, out: &mut Vec<f32>) {
    out.extend(bytes.iter().enumerate().map(|(i, b)| value(i, b & 15)));
    out.extend(bytes.iter().enumerate().map(|(i, b)| value(i + 16, b >> 4)));
}

/// Eight groups of 32 values with a scale and a minimum of six bits each, and a fifth bit from
/// `high`.
fn q45k(block: &[u8], high: Option<&[u8]>, low: &[u8], out: &mut Vec<f32>) {
    let (d, least, scales) = (half(block, 0), half(block, 2), &block[4..16]);
    for group in 0..8 {
        // Twelve bytes hold sixteen numbers of six bits: the upper two bits of the last eight are
        // in the first eight bytes.
        let (scale, min) = if group < 4 {
            (scales[group] & 63, scales[group + 4] & 63)
        } else {
            (
                scales[group + 4] & 15 | scales[group - 4] >> 6 << 4,
                scales[group + 4] >> 4 | scales[group] >> 6 << 4,
            )
        };
        let (d, min) = (d * f32::from(scale), least * f32::from(min));
        for (i, byte) in low[group / 2 * 32..][..32].iter().enumerate() {
            let q = if group % 2 == 0 { byte & 15 } else { byte >> 4 };
            let fifth = high.map_or(0, |high| high[i] >> group & 1) * 16;
            out.push(d * f32::from(q | fifth) - min);
        }
    }
}

/// Sixteen groups of 16 values of six bits, with a signed scale each.
fn q6k(block: &[u8], out: &mut Vec<f32>) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let d = half(block, 208);
    for i in 0..256 {
        let (part, row, at) = (i / 128, i % 128 / 32, i % 32);
        let byte = low[part * 64 + row % 2 * 32 + at];
        let four = if row < 2 { byte & 15 } else { byte >> 4 };
        let two = high[part * 32 + at] >> (2 * row) & 3;
        let q = f32::from(four | two << 4) - 32.0;
        // From left to right, as in `gguf`: the product of two scales first.
        out.push(d * f32::from(scales[i / 16] as i8) * q);
    }
}
