//! Scalar instructions: one function a (opcode, modifiers, type), chosen when a module is loaded.
//!
//! A register is 64 bits, of which an instruction reads and writes as many low ones as its type has;
//! the rest of a result is zero. Predicates are 0 or 1.

use half::{bf16, f16};

/// A scalar instruction as a function of its sources.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Alu {
    Un(fn(u64) -> u64),
    Bin(fn(u64, u64) -> u64),
    Tri(fn(u64, u64, u64) -> u64),
    /// A conversion without a function of its own.
    Cvt(Cvt),
}
use Alu::{Bin, Tri, Un};

/// The modifiers of an opcode; an instruction is known only when all of them were taken.
#[derive(Debug)]
pub(crate) struct Mods<'a> {
    opcode: &'a str,
    parts: Vec<&'a str>,
}

impl<'a> Mods<'a> {
    pub(crate) fn new(opcode: &'a str) -> Self {
        Self {
            opcode,
            parts: opcode.split('.').collect(),
        }
    }

    /// The next modifier, in order.
    pub(crate) fn next(&mut self) -> Result<&'a str, String> {
        if self.parts.is_empty() {
            return Err(format!("`{}` ends too early", self.opcode));
        }
        Ok(self.parts.remove(0))
    }

    /// Consumes the next modifier if it is `name`; false if it is another.
    pub(crate) fn take(&mut self, name: &str) -> bool {
        let found = self.parts.first() == Some(&name);
        if found {
            self.parts.remove(0);
        }
        found
    }

    /// The first of these names that comes next.
    pub(crate) fn one_of(&mut self, names: &[&'static str]) -> Option<&'static str> {
        names.iter().find(|n| self.take(n)).copied()
    }

    pub(crate) fn finish(&self) -> Result<(), String> {
        if self.parts.is_empty() {
            Ok(())
        } else {
            Err(self.unknown())
        }
    }

    pub(crate) fn unknown(&self) -> String {
        format!("unknown opcode `{}`", self.opcode)
    }
}

fn u8_(x: u64) -> u8 {
    x as u8
}
fn s8(x: u64) -> i8 {
    x as i8
}
fn u16_(x: u64) -> u16 {
    x as u16
}
fn s16(x: u64) -> i16 {
    x as i16
}
fn u32_(x: u64) -> u32 {
    x as u32
}
fn s32(x: u64) -> i32 {
    x as i32
}
fn u64_(x: u64) -> u64 {
    x
}
fn s64(x: u64) -> i64 {
    x as i64
}
fn f32_(x: u64) -> f32 {
    f32::from_bits(x as u32)
}
fn f64_(x: u64) -> f64 {
    f64::from_bits(x)
}
fn h32(x: u64) -> f32 {
    f16::from_bits(x as u16).to_f32()
}
fn b32(x: u64) -> f32 {
    bf16::from_bits(x as u16).to_f32()
}
fn of_u16(x: u16) -> u64 {
    u64::from(x)
}
fn of_s16(x: i16) -> u64 {
    u64::from(x as u16)
}
fn of_u32(x: u32) -> u64 {
    u64::from(x)
}
fn of_s32(x: i32) -> u64 {
    u64::from(x as u32)
}
fn of_u64(x: u64) -> u64 {
    x
}
fn of_s64(x: i64) -> u64 {
    x as u64
}
fn of_f32(x: f32) -> u64 {
    u64::from(x.to_bits())
}
fn of_f64(x: f64) -> u64 {
    x.to_bits()
}

/// Subnormal numbers become zero of the same sign.
fn flush(x: f32) -> f32 {
    if x.is_subnormal() {
        0.0_f32.copysign(x)
    } else {
        x
    }
}

/// Clamped to [0, 1]; not-a-number becomes zero.
fn saturate(x: f32) -> f32 {
    if x.is_nan() {
        0.0
    } else {
        x.clamp(0.0, 1.0) + 0.0
    }
}

fn min32(a: f32, b: f32) -> f32 {
    if a.is_nan() {
        b
    } else if b.is_nan() || a < b || (a == b && a.is_sign_negative()) {
        a
    } else {
        b
    }
}
fn max32(a: f32, b: f32) -> f32 {
    -min32(-a, -b)
}
fn min64(a: f64, b: f64) -> f64 {
    if a.is_nan() {
        b
    } else if b.is_nan() || a < b || (a == b && a.is_sign_negative()) {
        a
    } else {
        b
    }
}
fn max64(a: f64, b: f64) -> f64 {
    -min64(-a, -b)
}
fn nan_min32(a: f32, b: f32) -> f32 {
    if a.is_nan() || b.is_nan() {
        f32::NAN
    } else {
        min32(a, b)
    }
}
fn nan_max32(a: f32, b: f32) -> f32 {
    if a.is_nan() || b.is_nan() {
        f32::NAN
    } else {
        max32(a, b)
    }
}
fn add32(a: f32, b: f32) -> f32 {
    a + b
}
fn sub32(a: f32, b: f32) -> f32 {
    a - b
}
fn mul32(a: f32, b: f32) -> f32 {
    a * b
}
fn div32(a: f32, b: f32) -> f32 {
    a / b
}
fn fma32(a: f32, b: f32, c: f32) -> f32 {
    a.mul_add(b, c)
}

/// s + e = a + b exactly.
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let s = a + b;
    let bb = s - a;
    (s, (a - (s - bb)) + (b - bb))
}

/// s + e rounded to f32 downwards (-1), towards zero (0) or upwards (1).
fn directed(s: f64, e: f64, direction: i8) -> f32 {
    let r = s as f32;
    if !s.is_finite() {
        return r;
    }
    let d = s - f64::from(r);
    let d = if d == 0.0 { e } else { d };
    let down = direction < 0 || (direction == 0 && s > 0.0);
    let up = direction > 0 || (direction == 0 && s < 0.0);
    if d < 0.0 && down {
        r.next_down()
    } else if d > 0.0 && up {
        r.next_up()
    } else {
        r
    }
}
fn fma_directed<const D: i8>(a: f32, b: f32, c: f32) -> f32 {
    let (s, e) = two_sum(f64::from(a) * f64::from(b), f64::from(c));
    directed(s, e, D)
}
fn add_directed<const D: i8>(a: f32, b: f32) -> f32 {
    fma_directed::<D>(a, 1.0, b)
}
fn sub_directed<const D: i8>(a: f32, b: f32) -> f32 {
    fma_directed::<D>(a, 1.0, -b)
}
fn mul_directed<const D: i8>(a: f32, b: f32) -> f32 {
    directed(f64::from(a) * f64::from(b), 0.0, D)
}

/// a·b + c of narrow numbers, rounded to odd in f64, so that the rounding to the narrow type is the
/// only one.
fn fma_odd(a: f32, b: f32, c: f32) -> f64 {
    let (s, e) = two_sum(f64::from(a) * f64::from(b), f64::from(c));
    if e != 0.0 && s.to_bits() & 1 == 0 {
        if e > 0.0 { s.next_up() } else { s.next_down() }
    } else {
        s
    }
}
fn of_h(x: f64) -> u64 {
    u64::from(f16::from_f64(x).to_bits())
}
fn of_b(x: f64) -> u64 {
    u64::from(bf16::from_f64(x).to_bits())
}

// Approximations: the correctly rounded value stands for the hardware's, which lies within 2 ulp.
fn ex2(x: f32) -> f32 {
    f64::from(x).exp2() as f32
}
fn lg2(x: f32) -> f32 {
    f64::from(x).log2() as f32
}
fn rsqrt(x: f32) -> f32 {
    (1.0 / f64::from(x).sqrt()) as f32
}
fn sin(x: f32) -> f32 {
    f64::from(x).sin() as f32
}
fn cos(x: f32) -> f32 {
    f64::from(x).cos() as f32
}
fn tanh(x: f32) -> f32 {
    f64::from(x).tanh() as f32
}
fn rcp(x: f32) -> f32 {
    1.0 / x
}
fn neg32(x: f32) -> f32 {
    -x
}

/// `f` on f32 numbers with flushing of subnormals and saturation.
macro_rules! f32_fn {
    ($ftz:expr, $sat:expr, $kind:ident, $f:path, $($x:ident),+) => {
        match ($ftz, $sat) {
            (false, false) => $kind(|$($x),+| of_f32($f($(f32_($x)),+))),
            (true, false) => $kind(|$($x),+| of_f32(flush($f($(flush(f32_($x))),+)))),
            (false, true) => $kind(|$($x),+| of_f32(saturate($f($(f32_($x)),+)))),
            (true, true) => $kind(|$($x),+| of_f32(saturate(flush($f($(flush(f32_($x))),+))))),
        }
    };
}

/// `f` on each half of a packed pair.
fn pair2(a: u64, b: u64, f: impl Fn(u64, u64) -> u64) -> u64 {
    (f(a & 0xffff, b & 0xffff) & 0xffff)
        | ((f((a >> 16) & 0xffff, (b >> 16) & 0xffff) & 0xffff) << 16)
}
fn pair3(a: u64, b: u64, c: u64, f: impl Fn(u64, u64, u64) -> u64) -> u64 {
    (f(a & 0xffff, b & 0xffff, c & 0xffff) & 0xffff)
        | ((f((a >> 16) & 0xffff, (b >> 16) & 0xffff, (c >> 16) & 0xffff) & 0xffff) << 16)
}

/// Arithmetic of the narrow types: `$h` reads, `$o` rounds.
macro_rules! narrow {
    ($m:expr, $base:expr, $h:path, $o:path, $packed:expr) => {{
        macro_rules! b {
            ($f:expr) => {
                if $packed {
                    Bin(|a, b| pair2(a, b, $f))
                } else {
                    Bin($f)
                }
            };
        }
        match $base {
            "add" => b!(|a, b| $o(fma_odd($h(a), 1.0, $h(b)))),
            "sub" => b!(|a, b| $o(fma_odd($h(a), 1.0, -$h(b)))),
            "mul" => b!(|a, b| $o(f64::from($h(a)) * f64::from($h(b)))),
            "min" => b!(|a, b| $o(f64::from(min32($h(a), $h(b))))),
            "max" => b!(|a, b| $o(f64::from(max32($h(a), $h(b))))),
            "fma" if $packed => {
                Tri(|a, b, c| pair3(a, b, c, |a, b, c| $o(fma_odd($h(a), $h(b), $h(c)))))
            }
            "fma" => Tri(|a, b, c| $o(fma_odd($h(a), $h(b), $h(c)))),
            "neg" if $packed => Un(|a| (a ^ 0x8000_8000) & 0xffff_ffff),
            "neg" => Un(|a| (a ^ 0x8000) & 0xffff),
            "abs" if $packed => Un(|a| a & 0x7fff_7fff),
            "abs" => Un(|a| a & 0x7fff),
            "ex2" if !$packed => Un(|a| $o(f64::from($h(a)).exp2())),
            "tanh" if !$packed => Un(|a| $o(f64::from($h(a)).tanh())),
            _ => return Err($m.unknown()),
        }
    }};
}

macro_rules! int_compare {
    ($m:expr, $op:expr, $d:path) => {
        match $op {
            "eq" => |a, b| u64::from($d(a) == $d(b)),
            "ne" => |a, b| u64::from($d(a) != $d(b)),
            "lt" | "lo" => |a, b| u64::from($d(a) < $d(b)),
            "le" | "ls" => |a, b| u64::from($d(a) <= $d(b)),
            "gt" | "hi" => |a, b| u64::from($d(a) > $d(b)),
            "ge" | "hs" => |a, b| u64::from($d(a) >= $d(b)),
            _ => return Err($m.unknown()),
        }
    };
}
macro_rules! float_compare {
    ($m:expr, $op:expr, $d:expr) => {
        match $op {
            "eq" => |a, b| u64::from($d(a) == $d(b)),
            "ne" => |a, b| u64::from($d(a) < $d(b) || $d(a) > $d(b)),
            "lt" => |a, b| u64::from($d(a) < $d(b)),
            "le" => |a, b| u64::from($d(a) <= $d(b)),
            "gt" => |a, b| u64::from($d(a) > $d(b)),
            "ge" => |a, b| u64::from($d(a) >= $d(b)),
            "equ" => |a, b| u64::from(!($d(a) < $d(b) || $d(a) > $d(b))),
            "neu" => |a, b| u64::from($d(a) != $d(b)),
            "ltu" => |a, b| u64::from(!($d(a) >= $d(b))),
            "leu" => |a, b| u64::from(!($d(a) > $d(b))),
            "gtu" => |a, b| u64::from(!($d(a) <= $d(b))),
            "geu" => |a, b| u64::from(!($d(a) < $d(b))),
            "num" => |a, b| u64::from(!$d(a).is_nan() && !$d(b).is_nan()),
            "nan" => |a, b| u64::from($d(a).is_nan() || $d(b).is_nan()),
            _ => return Err($m.unknown()),
        }
    };
}

/// The comparison of `setp` or `set`, as a function that gives 0 or 1.
#[allow(
    clippy::neg_cmp_op_on_partial_ord,
    reason = "the unordered comparisons are the negations of the ordered ones"
)]
pub(crate) fn comparison(
    m: &mut Mods<'_>,
    op: &str,
    ty: &str,
    ftz: bool,
) -> Result<fn(u64, u64) -> u64, String> {
    Ok(match ty {
        "u8" => int_compare!(m, op, u8_),
        "s8" => int_compare!(m, op, s8),
        "u16" | "b16" => int_compare!(m, op, u16_),
        "s16" => int_compare!(m, op, s16),
        "u32" | "b32" => int_compare!(m, op, u32_),
        "s32" => int_compare!(m, op, s32),
        "u64" | "b64" => int_compare!(m, op, u64_),
        "s64" => int_compare!(m, op, s64),
        "f32" if ftz => float_compare!(m, op, |x| flush(f32_(x))),
        "f32" => float_compare!(m, op, f32_),
        "f64" => float_compare!(m, op, f64_),
        "f16" => float_compare!(m, op, h32),
        "bf16" => float_compare!(m, op, b32),
        _ => return Err(m.unknown()),
    })
}

/// Two's complement arithmetic of one type.
macro_rules! int {
    ($m:expr, $base:expr, $r:path, $w:path, $zero_div:expr) => {
        match $base {
            "add" => Bin(|a, b| $w($r(a).wrapping_add($r(b)))),
            "sub" => Bin(|a, b| $w($r(a).wrapping_sub($r(b)))),
            "mul" => Bin(|a, b| $w($r(a).wrapping_mul($r(b)))),
            "mad" => Tri(|a, b, c| $w($r(a).wrapping_mul($r(b)).wrapping_add($r(c)))),
            "min" => Bin(|a, b| $w($r(a).min($r(b)))),
            "max" => Bin(|a, b| $w($r(a).max($r(b)))),
            "div" => Bin(|a, b| {
                let (a, b) = ($r(a), $r(b));
                $w(if b == 0 { $zero_div } else { a.wrapping_div(b) })
            }),
            "rem" => Bin(|a, b| {
                let (a, b) = ($r(a), $r(b));
                $w(if b == 0 { a } else { a.wrapping_rem(b) })
            }),
            "neg" => Un(|a| $w($r(a).wrapping_neg())),
            _ => return Err($m.unknown()),
        }
    };
}
macro_rules! shift {
    ($base:expr, $r:path, $w:path, $bits:expr, $over:expr) => {
        match $base {
            "shl" => Bin(|a, b| {
                if u32_(b) >= $bits {
                    0
                } else {
                    $w($r(a) << u32_(b))
                }
            }),
            _ => Bin(|a, b| {
                if u32_(b) >= $bits {
                    $over($r(a))
                } else {
                    $w($r(a) >> u32_(b))
                }
            }),
        }
    };
}

fn prmt(a: u64, b: u64, c: u64) -> u64 {
    let bytes = (a & 0xffff_ffff) | (b << 32);
    (0..4).fold(0, |d, i| {
        let selector = (c >> (4 * i)) & 0xf;
        let byte = (bytes >> (8 * (selector & 7))) as u8;
        let byte = if selector & 8 != 0 {
            ((byte as i8) >> 7) as u8
        } else {
            byte
        };
        d | u64::from(byte) << (8 * i)
    })
}

fn bfe(a: u64, position: u64, length: u64, bits: u32, signed: bool) -> u64 {
    let (position, length) = (position as u32 & 0xff, length as u32 & 0xff);
    let mask = if bits == 64 {
        u64::MAX
    } else {
        (1 << bits) - 1
    };
    let sign = signed && length > 0 && {
        let last = (position + length - 1).min(bits - 1);
        a >> last & 1 == 1
    };
    let mut d = if position >= 64 {
        0
    } else {
        (a & mask) >> position
    };
    let kept = length.min(bits.saturating_sub(position)).min(64);
    if kept < 64 {
        d &= (1 << kept) - 1;
        if sign {
            d |= u64::MAX << kept;
        }
    }
    d & mask
}

/// `bfi` and `lop3` take four sources, one of them constant in practice; the parser calls these.
pub(crate) fn bfi(a: u64, b: u64, position: u64, length: u64, bits: u32) -> u64 {
    let (position, length) = (position as u32 & 0xff, length as u32 & 0xff);
    let mask = if bits == 64 {
        u64::MAX
    } else {
        (1 << bits) - 1
    };
    if position >= bits || length == 0 {
        return b & mask;
    }
    let field = if length >= 64 {
        u64::MAX
    } else {
        (1 << length) - 1
    };
    let field = (field << position) & mask;
    ((b & !field) | ((a << position) & field)) & mask
}

/// Every one of the 256 functions of three bits, by its truth table.
pub(crate) fn lop3(a: u64, b: u64, c: u64, table: u64) -> u64 {
    (0..8).filter(|i| table >> i & 1 == 1).fold(0, |d, i| {
        let pick = |x: u64, bit: u64| if i & bit != 0 { x } else { !x };
        d | (pick(a, 4) & pick(b, 2) & pick(c, 1))
    }) & 0xffff_ffff
}

fn bits_of(ty: &str) -> Option<u32> {
    Some(match ty {
        "pred" => 1,
        "b16" | "u16" | "s16" | "f16" | "bf16" => 16,
        "b32" | "u32" | "s32" | "f32" | "f16x2" | "bf16x2" => 32,
        "b64" | "u64" | "s64" | "f64" => 64,
        _ => return None,
    })
}

/// The scalar instruction of this opcode, or nothing when it is not a scalar one.
pub(crate) fn scalar(opcode: &str) -> Result<Option<Alu>, String> {
    let mut m = Mods::new(opcode);
    let base = m.next()?;
    let alu = match base {
        "mov" => match bits_of(m.next()?) {
            Some(1) => Un(|a| a & 1),
            Some(16) => Un(|a| a & 0xffff),
            Some(32) => Un(|a| a & 0xffff_ffff),
            Some(_) => Un(|a| a),
            None => return Err(m.unknown()),
        },
        "and" | "or" | "xor" | "not" | "cnot" => {
            macro_rules! logic {
                ($mask:expr) => {
                    match base {
                        "and" => Bin(|a, b| a & b & $mask),
                        "or" => Bin(|a, b| (a | b) & $mask),
                        "xor" => Bin(|a, b| (a ^ b) & $mask),
                        "not" => Un(|a| !a & $mask),
                        _ => Un(|a| u64::from(a & $mask == 0)),
                    }
                };
            }
            match m.next()? {
                "pred" if base != "cnot" => logic!(1),
                "b16" => logic!(0xffff),
                "b32" => logic!(0xffff_ffff),
                "b64" => logic!(u64::MAX),
                _ => return Err(m.unknown()),
            }
        }
        "shl" | "shr" => {
            let ty = m.next()?;
            match (base, ty) {
                ("shl", "b16") | ("shr", "b16" | "u16") => shift!(base, u16_, of_u16, 16, |_| 0),
                ("shl", "b32") | ("shr", "b32" | "u32") => shift!(base, u32_, of_u32, 32, |_| 0),
                ("shl", "b64") | ("shr", "b64" | "u64") => shift!(base, u64_, of_u64, 64, |_| 0),
                ("shr", "s16") => shift!(base, s16, of_s16, 16, |a: i16| of_s16(a >> 15)),
                ("shr", "s32") => shift!(base, s32, of_s32, 32, |a: i32| of_s32(a >> 31)),
                ("shr", "s64") => shift!(base, s64, of_s64, 64, |a: i64| of_s64(a >> 63)),
                _ => return Err(m.unknown()),
            }
        }
        "shf" => {
            // A funnel of two words; without .clamp the amount wraps.
            let left = match m.next()? {
                "l" => true,
                "r" => false,
                _ => return Err(m.unknown()),
            };
            let wrap = match m.next()? {
                "wrap" => true,
                "clamp" => false,
                _ => return Err(m.unknown()),
            };
            if m.next()? != "b32" {
                return Err(m.unknown());
            }
            fn amount<const WRAP: bool>(c: u64) -> u64 {
                if WRAP {
                    c & 31
                } else {
                    (c & 0xffff_ffff).min(32)
                }
            }
            fn word(a: u64, b: u64) -> u64 {
                (a & 0xffff_ffff) | (b << 32)
            }
            match (left, wrap) {
                (true, true) => {
                    Tri(|a, b, c| ((word(a, b) << amount::<true>(c)) >> 32) & 0xffff_ffff)
                }
                (true, false) => {
                    Tri(|a, b, c| ((word(a, b) << amount::<false>(c)) >> 32) & 0xffff_ffff)
                }
                (false, true) => Tri(|a, b, c| (word(a, b) >> amount::<true>(c)) & 0xffff_ffff),
                (false, false) => Tri(|a, b, c| (word(a, b) >> amount::<false>(c)) & 0xffff_ffff),
            }
        }
        "popc" | "clz" | "brev" => match (base, m.next()?) {
            ("popc", "b32") => Un(|a| u64::from(u32_(a).count_ones())),
            ("popc", "b64") => Un(|a| u64::from(a.count_ones())),
            ("clz", "b32") => Un(|a| u64::from(u32_(a).leading_zeros())),
            ("clz", "b64") => Un(|a| u64::from(a.leading_zeros())),
            ("brev", "b32") => Un(|a| of_u32(u32_(a).reverse_bits())),
            ("brev", "b64") => Un(u64::reverse_bits),
            _ => return Err(m.unknown()),
        },
        "bfind" => {
            let shift = m.take("shiftamt");
            match (m.next()?, shift) {
                ("u32", false) => Un(|a| of_u32(31_u32.wrapping_sub(u32_(a).leading_zeros()))),
                ("u32", true) => Un(|a| {
                    of_u32(if u32_(a) == 0 {
                        u32::MAX
                    } else {
                        u32_(a).leading_zeros()
                    })
                }),
                _ => return Err(m.unknown()),
            }
        }
        "bfe" => match m.next()? {
            "u32" => Tri(|a, b, c| bfe(a, b, c, 32, false)),
            "s32" => Tri(|a, b, c| bfe(a, b, c, 32, true)),
            "u64" => Tri(|a, b, c| bfe(a, b, c, 64, false)),
            "s64" => Tri(|a, b, c| bfe(a, b, c, 64, true)),
            _ => return Err(m.unknown()),
        },
        "prmt" => match m.next()? {
            "b32" => Tri(prmt),
            _ => return Err(m.unknown()),
        },
        "selp" => match bits_of(m.next()?) {
            Some(16) => Tri(|a, b, c| (if c & 1 == 1 { a } else { b }) & 0xffff),
            Some(32) => Tri(|a, b, c| (if c & 1 == 1 { a } else { b }) & 0xffff_ffff),
            Some(64) => Tri(|a, b, c| if c & 1 == 1 { a } else { b }),
            _ => return Err(m.unknown()),
        },
        "cvt" => return conversion(&mut m).map(Some),
        "add" | "sub" | "mul" | "mad" | "fma" | "div" | "rem" | "min" | "max" | "neg" | "abs"
        | "mul24" | "mad24" | "sad" | "copysign" | "testp" | "rcp" | "sqrt" | "rsqrt" | "ex2"
        | "lg2" | "sin" | "cos" | "tanh" => arithmetic(base, &mut m)?,
        _ => return Ok(None),
    };
    m.finish()?;
    Ok(Some(alu))
}

fn arithmetic(base: &str, m: &mut Mods<'_>) -> Result<Alu, String> {
    let half = m.one_of(&["lo", "hi", "wide"]);
    let approx = m.one_of(&["approx", "full"]);
    let rounding = m.one_of(&["rn", "rz", "rm", "rp"]);
    let ftz = m.take("ftz");
    let nan = m.take("NaN");
    let sat = m.take("sat");
    let ty = m.next()?;
    let float = matches!(ty, "f16" | "f16x2" | "bf16" | "bf16x2" | "f32" | "f64");
    // Modifiers that the form at hand does not have make it unknown.
    let plain = !ftz && !sat && !nan && approx.is_none();
    if !float {
        if !plain || rounding.is_some() {
            return Err(m.unknown());
        }
        return integer(base, m, half, ty);
    }
    if half.is_some() {
        return Err(m.unknown());
    }
    let round_ok = match base {
        "add" | "sub" | "mul" => true,
        "fma" | "mad" | "div" | "rcp" | "sqrt" => rounding.is_some() != approx.is_some(),
        "ex2" | "lg2" | "sin" | "cos" | "rsqrt" | "tanh" => {
            approx == Some("approx") && rounding.is_none()
        }
        _ => rounding.is_none() && approx.is_none(),
    };
    if !round_ok
        || (approx == Some("full") && base != "div")
        || (nan && !matches!(base, "min" | "max"))
    {
        return Err(m.unknown());
    }
    if matches!(ty, "f16" | "f16x2" | "bf16" | "bf16x2") {
        if sat || nan || ftz || !matches!(rounding, None | Some("rn")) {
            return Err(m.unknown());
        }
        let packed = ty.ends_with("x2");
        return Ok(if ty.starts_with("bf16") {
            narrow!(m, base, b32, of_b, packed)
        } else {
            narrow!(m, base, h32, of_h, packed)
        });
    }
    if ty == "f64" {
        if ftz || sat || nan || approx.is_some() || !matches!(rounding, None | Some("rn")) {
            return Err(m.unknown());
        }
        return Ok(match base {
            "add" => Bin(|a, b| of_f64(f64_(a) + f64_(b))),
            "sub" => Bin(|a, b| of_f64(f64_(a) - f64_(b))),
            "mul" => Bin(|a, b| of_f64(f64_(a) * f64_(b))),
            "div" => Bin(|a, b| of_f64(f64_(a) / f64_(b))),
            "min" => Bin(|a, b| of_f64(min64(f64_(a), f64_(b)))),
            "max" => Bin(|a, b| of_f64(max64(f64_(a), f64_(b)))),
            "fma" | "mad" => Tri(|a, b, c| of_f64(f64_(a).mul_add(f64_(b), f64_(c)))),
            "neg" => Un(|a| of_f64(-f64_(a))),
            "abs" => Un(|a| of_f64(f64_(a).abs())),
            "rcp" => Un(|a| of_f64(1.0 / f64_(a))),
            "sqrt" => Un(|a| of_f64(f64_(a).sqrt())),
            _ => return Err(m.unknown()),
        });
    }
    let directed = !matches!(rounding, None | Some("rn"));
    if directed && !matches!(base, "add" | "sub" | "mul" | "fma" | "mad") {
        return Err(m.unknown());
    }
    macro_rules! rounded {
        ($kind:ident, $near:path, $dir:ident, $($x:ident),+) => {
            match rounding {
                Some("rz") => f32_fn!(ftz, sat, $kind, $dir::<0>, $($x),+),
                Some("rm") => f32_fn!(ftz, sat, $kind, $dir::<-1>, $($x),+),
                Some("rp") => f32_fn!(ftz, sat, $kind, $dir::<1>, $($x),+),
                _ => f32_fn!(ftz, sat, $kind, $near, $($x),+),
            }
        };
    }
    if sat && !matches!(base, "add" | "sub" | "mul" | "fma" | "mad") {
        return Err(m.unknown());
    }
    Ok(match base {
        "add" => rounded!(Bin, add32, add_directed, a, b),
        "sub" => rounded!(Bin, sub32, sub_directed, a, b),
        "mul" => rounded!(Bin, mul32, mul_directed, a, b),
        "fma" | "mad" => rounded!(Tri, fma32, fma_directed, a, b, c),
        "div" => f32_fn!(ftz, false, Bin, div32, a, b),
        "min" if nan => f32_fn!(ftz, false, Bin, nan_min32, a, b),
        "max" if nan => f32_fn!(ftz, false, Bin, nan_max32, a, b),
        "min" => f32_fn!(ftz, false, Bin, min32, a, b),
        "max" => f32_fn!(ftz, false, Bin, max32, a, b),
        "neg" => f32_fn!(ftz, false, Un, neg32, a),
        "abs" => f32_fn!(ftz, false, Un, f32::abs, a),
        "rcp" => f32_fn!(ftz, false, Un, rcp, a),
        "sqrt" => f32_fn!(ftz, false, Un, f32::sqrt, a),
        "rsqrt" => f32_fn!(ftz, false, Un, rsqrt, a),
        "ex2" => f32_fn!(ftz, false, Un, ex2, a),
        "lg2" => f32_fn!(ftz, false, Un, lg2, a),
        "sin" => f32_fn!(ftz, false, Un, sin, a),
        "cos" => f32_fn!(ftz, false, Un, cos, a),
        "tanh" if !ftz => f32_fn!(false, false, Un, tanh, a),
        "copysign" if !ftz => Bin(|a, b| (b & 0x7fff_ffff) | (a & 0x8000_0000)),
        _ => return Err(m.unknown()),
    })
}

fn integer(base: &str, m: &mut Mods<'_>, half: Option<&str>, ty: &str) -> Result<Alu, String> {
    match (base, half) {
        ("mul" | "mad", None) | ("mul" | "mad", Some("lo")) if half.is_none() => {
            return Err(m.unknown());
        }
        ("mul" | "mad", Some("wide")) => {
            return Ok(match (base, ty) {
                ("mul", "u16") => Bin(|a, b| u64::from(u16_(a)) * u64::from(u16_(b))),
                ("mul", "s16") => Bin(|a, b| of_s32(i32::from(s16(a)) * i32::from(s16(b)))),
                ("mul", "u32") => Bin(|a, b| u64::from(u32_(a)) * u64::from(u32_(b))),
                ("mul", "s32") => Bin(|a, b| of_s64(i64::from(s32(a)) * i64::from(s32(b)))),
                ("mad", "u16") => Tri(|a, b, c| {
                    of_u32((u32::from(u16_(a)) * u32::from(u16_(b))).wrapping_add(u32_(c)))
                }),
                ("mad", "s16") => Tri(|a, b, c| {
                    of_s32((i32::from(s16(a)) * i32::from(s16(b))).wrapping_add(s32(c)))
                }),
                ("mad", "u32") => {
                    Tri(|a, b, c| (u64::from(u32_(a)) * u64::from(u32_(b))).wrapping_add(c))
                }
                ("mad", "s32") => Tri(|a, b, c| {
                    of_s64((i64::from(s32(a)) * i64::from(s32(b))).wrapping_add(s64(c)))
                }),
                _ => return Err(m.unknown()),
            });
        }
        ("mul" | "mad", Some("hi")) => {
            fn hi_u32(a: u64, b: u64) -> u64 {
                (u64::from(u32_(a)) * u64::from(u32_(b))) >> 32
            }
            fn hi_s32(a: u64, b: u64) -> u64 {
                of_s32(((i64::from(s32(a)) * i64::from(s32(b))) >> 32) as i32)
            }
            fn hi_u64(a: u64, b: u64) -> u64 {
                ((u128::from(a) * u128::from(b)) >> 64) as u64
            }
            fn hi_s64(a: u64, b: u64) -> u64 {
                ((i128::from(s64(a)) * i128::from(s64(b))) >> 64) as u64
            }
            return Ok(match (base, ty) {
                ("mul", "u16") => Bin(|a, b| (u64::from(u16_(a)) * u64::from(u16_(b))) >> 16),
                ("mul", "s16") => {
                    Bin(|a, b| of_s16(((i32::from(s16(a)) * i32::from(s16(b))) >> 16) as i16))
                }
                ("mul", "u32") => Bin(hi_u32),
                ("mul", "s32") => Bin(hi_s32),
                ("mul", "u64") => Bin(hi_u64),
                ("mul", "s64") => Bin(hi_s64),
                ("mad", "u32") => Tri(|a, b, c| of_u32(u32_(hi_u32(a, b)).wrapping_add(u32_(c)))),
                ("mad", "s32") => Tri(|a, b, c| of_u32(u32_(hi_s32(a, b)).wrapping_add(u32_(c)))),
                ("mad", "u64") => Tri(|a, b, c| hi_u64(a, b).wrapping_add(c)),
                ("mad", "s64") => Tri(|a, b, c| hi_s64(a, b).wrapping_add(c)),
                _ => return Err(m.unknown()),
            });
        }
        (_, Some(_)) if !matches!(base, "mul" | "mad") => return Err(m.unknown()),
        _ => {}
    }
    if base == "abs" {
        return Ok(match ty {
            "s16" => Un(|a| of_s16(s16(a).wrapping_abs())),
            "s32" => Un(|a| of_s32(s32(a).wrapping_abs())),
            "s64" => Un(|a| of_s64(s64(a).wrapping_abs())),
            _ => return Err(m.unknown()),
        });
    }
    Ok(match ty {
        "u16" => int!(m, base, u16_, of_u16, u16::MAX),
        "s16" => int!(m, base, s16, of_s16, -1),
        "u32" => int!(m, base, u32_, of_u32, u32::MAX),
        "s32" => int!(m, base, s32, of_s32, -1),
        "u64" => int!(m, base, u64_, of_u64, u64::MAX),
        "s64" => int!(m, base, s64, of_s64, -1),
        _ => return Err(m.unknown()),
    })
}

/// A number type of `cvt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    Int { bits: u32, signed: bool },
    F16,
    Bf16,
    F32,
    F64,
}

fn number(ty: &str) -> Option<Number> {
    Some(match ty {
        "u8" => Number::Int {
            bits: 8,
            signed: false,
        },
        "s8" => Number::Int {
            bits: 8,
            signed: true,
        },
        "u16" => Number::Int {
            bits: 16,
            signed: false,
        },
        "s16" => Number::Int {
            bits: 16,
            signed: true,
        },
        "u32" => Number::Int {
            bits: 32,
            signed: false,
        },
        "s32" => Number::Int {
            bits: 32,
            signed: true,
        },
        "u64" => Number::Int {
            bits: 64,
            signed: false,
        },
        "s64" => Number::Int {
            bits: 64,
            signed: true,
        },
        "f16" => Number::F16,
        "bf16" => Number::Bf16,
        "f32" => Number::F32,
        "f64" => Number::F64,
        _ => return None,
    })
}

/// A conversion: destination, source, rounding (n, z, m, p; `integral` for rni and its like).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cvt {
    to: Number,
    from: Number,
    rounding: u8,
    integral: bool,
    sat: bool,
    ftz: bool,
    relu: bool,
}

impl Cvt {
    pub(crate) fn apply(&self, x: u64) -> u64 {
        match self.from {
            Number::Int { bits, signed } => {
                let shift = 64 - bits;
                let value = if signed {
                    i128::from(((x << shift) as i64) >> shift)
                } else {
                    i128::from((x << shift) >> shift)
                };
                match self.to {
                    Number::Int { bits, signed } => {
                        // The destination register of an 8-bit result holds its extension.
                        let value = if self.sat {
                            clamp(value, bits, signed)
                        } else {
                            value
                        };
                        narrow_int(value, bits, signed)
                    }
                    Number::F64 => of_f64(value as f64),
                    Number::F32 => of_f32(self.int_to_f32(value)),
                    Number::F16 => of_h(value as f64),
                    Number::Bf16 => of_b(value as f64),
                }
            }
            _ => self.apply_float(x),
        }
    }

    fn int_to_f32(&self, value: i128) -> f32 {
        let r = value as f32;
        let direction = match self.rounding {
            b'z' => -value.signum(),
            b'm' => -1,
            b'p' => 1,
            _ => 0,
        };
        match (r as i128).cmp(&value) {
            std::cmp::Ordering::Greater if direction < 0 => r.next_down(),
            std::cmp::Ordering::Less if direction > 0 => r.next_up(),
            _ => r,
        }
    }

    fn apply_float(&self, x: u64) -> u64 {
        let mut value = match self.from {
            Number::F16 => f64::from(h32(x)),
            Number::Bf16 => f64::from(b32(x)),
            Number::F32 if self.ftz => f64::from(flush(f32_(x))),
            Number::F32 => f64::from(f32_(x)),
            _ => f64_(x),
        };
        if self.integral {
            value = match self.rounding {
                b'n' => value.round_ties_even(),
                b'z' => value.trunc(),
                b'm' => value.floor(),
                _ => value.ceil(),
            };
        }
        if let Number::Int { bits, signed } = self.to {
            // Float to integer always clamps; not-a-number becomes zero.
            return narrow_int(clamp(value as i128, bits, signed), bits, signed);
        }
        if self.sat {
            value = if value.is_nan() {
                0.0
            } else {
                value.clamp(0.0, 1.0)
            };
        }
        if self.relu && value < 0.0 {
            value = 0.0;
        }
        match self.to {
            Number::F64 => of_f64(value),
            Number::F32 => {
                let r = match self.rounding {
                    b'z' => directed(value, 0.0, 0),
                    b'm' => directed(value, 0.0, -1),
                    b'p' => directed(value, 0.0, 1),
                    _ => value as f32,
                };
                of_f32(if self.ftz { flush(r) } else { r })
            }
            Number::F16 => {
                let r = f16::from_f64(value);
                u64::from(towards_zero(self.rounding, r.to_bits(), r.to_f64(), value))
            }
            _ => {
                let r = bf16::from_f64(value);
                u64::from(towards_zero(self.rounding, r.to_bits(), r.to_f64(), value))
            }
        }
    }
}

/// One step back where rounding to nearest went away from zero and rz was asked for.
fn towards_zero(rounding: u8, bits: u16, rounded: f64, value: f64) -> u16 {
    if rounding == b'z' && rounded.abs() > value.abs() && value.is_finite() {
        bits - 1
    } else {
        bits
    }
}

fn clamp(value: i128, bits: u32, signed: bool) -> i128 {
    let (low, high) = if signed {
        (-(1_i128 << (bits - 1)), (1_i128 << (bits - 1)) - 1)
    } else {
        (0, (1_i128 << bits) - 1)
    };
    value.clamp(low, high)
}

/// The low bits, extended to 32 where the type is narrower than a register can be.
fn narrow_int(value: i128, bits: u32, signed: bool) -> u64 {
    match (bits, signed) {
        (8, true) => u64::from(value as i8 as u32),
        (8, false) => u64::from(value as u8),
        (16, _) => u64::from(value as u16),
        (32, _) => u64::from(value as u32),
        _ => value as u64,
    }
}

fn conversion(m: &mut Mods<'_>) -> Result<Alu, String> {
    let mut rounding = 0;
    let mut integral = false;
    if let Some(r) = m.one_of(&["rni", "rzi", "rmi", "rpi", "rn", "rz", "rm", "rp"]) {
        rounding = r.as_bytes()[1];
        integral = r.len() == 3;
    }
    let ftz = m.take("ftz");
    let relu = m.take("relu");
    let sat = m.take("sat");
    let to_name = m.next()?;
    let from_name = m.next()?;
    m.finish()?;
    if matches!(to_name, "bf16x2" | "f16x2") {
        if from_name != "f32" || rounding != b'n' || ftz || sat {
            return Err(m.unknown());
        }
        // The first source is the upper half.
        return Ok(match (to_name, relu) {
            ("bf16x2", false) => Bin(|a, b| {
                u64::from(bf16::from_f32(f32_(a)).to_bits()) << 16
                    | u64::from(bf16::from_f32(f32_(b)).to_bits())
            }),
            ("f16x2", false) => Bin(|a, b| {
                u64::from(f16::from_f32(f32_(a)).to_bits()) << 16
                    | u64::from(f16::from_f32(f32_(b)).to_bits())
            }),
            _ => return Err(m.unknown()),
        });
    }
    let (Some(to), Some(from)) = (number(to_name), number(from_name)) else {
        return Err(m.unknown());
    };
    let to_int = matches!(to, Number::Int { .. });
    let from_int = matches!(from, Number::Int { .. });
    let width = |n: Number| match n {
        Number::F16 | Number::Bf16 => 16,
        Number::F32 => 32,
        Number::F64 => 64,
        Number::Int { bits, .. } => bits,
    };
    let narrow = matches!(to, Number::F16 | Number::Bf16);
    let valid = match (from_int, to_int) {
        (true, true) => rounding == 0,
        (true, false) => rounding != 0 && !integral && (!narrow || rounding == b'n') && !sat,
        (false, true) => integral,
        (false, false) if to == from => integral || rounding == 0,
        // Between the two 16-bit types, or narrowing: a rounding mode is a must; widening has none.
        (false, false) if width(to) <= width(from) => {
            rounding != 0 && !integral && (!narrow || matches!(rounding, b'n' | b'z'))
        }
        (false, false) => rounding == 0,
    };
    if !valid || (relu && (!narrow || from_int)) {
        return Err(m.unknown());
    }
    let spec = Cvt {
        to,
        from,
        rounding,
        integral,
        sat,
        ftz,
        relu,
    };
    // The common ones at full speed.
    if !sat && !relu {
        let fast: Option<fn(u64) -> u64> = match (to_name, from_name, rounding) {
            ("bf16", "f32", b'n') if !ftz => Some(|a| u64::from(bf16::from_f32(f32_(a)).to_bits())),
            ("f16", "f32", b'n') if !ftz => Some(|a| u64::from(f16::from_f32(f32_(a)).to_bits())),
            ("f32", "bf16", _) => Some(|a| of_f32(b32(a))),
            ("f32", "f16", _) if !ftz => Some(|a| of_f32(h32(a))),
            ("s64", "s32", _) => Some(|a| of_s64(i64::from(s32(a)))),
            ("u64", "u32", _) | ("u32" | "s32", "u64" | "s64" | "u32" | "s32", _) => {
                Some(|a| a & 0xffff_ffff)
            }
            ("f32", "s32", b'n') => Some(|a| of_f32(s32(a) as f32)),
            ("f32", "u32", b'n') => Some(|a| of_f32(u32_(a) as f32)),
            _ => None,
        };
        if let Some(f) = fast {
            return Ok(Un(f));
        }
    }
    Ok(Alu::Cvt(spec))
}
