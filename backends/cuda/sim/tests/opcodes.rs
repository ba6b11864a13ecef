//! Scalar instructions against values worked out by hand from the PTX ISA manual.

use std::collections::BTreeSet;
use std::path::Path;

use relscale_cuda_sim::{Config, Device};

/// One instruction in a kernel: sources %d1 to %d4 (64 bits), %r1 to %r4, %h1 to %h4, %p1 to %p4 (bit
/// 0) hold the inputs; the result is in %d0, %r0, %h0 or %p0.
fn kernel(instruction: &str) -> String {
    let target = instruction.split_whitespace().nth(1).unwrap_or_default();
    let store = match target.trim_start_matches('{').get(..2) {
        Some("%d") => "",
        Some("%h") => "cvt.u64.u16 %d0, %h0;",
        Some("%p") => "selp.b64 %d0, 1, 0, %p0;",
        _ => "cvt.u64.u32 %d0, %r0;",
    };
    let mut inputs = String::new();
    for i in 1..=4 {
        inputs += &format!(
            "ld.param.u64 %d{i}, [p{i}]; cvt.u32.u64 %r{i}, %d{i}; cvt.u16.u64 %h{i}, %d{i};
             and.b64 %d5, %d{i}, 1; setp.eq.s64 %p{i}, %d5, 1;\n"
        );
    }
    format!(
        ".version 8.4\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 out, .param .u64 p1, \
         .param .u64 p2, .param .u64 p3, .param .u64 p4)\n{{\n.reg .b64 %d<8>; .reg .b32 %r<8>; .reg .b16 %h<8>; \
         .reg .pred %p<8>; .reg .b64 %o;\nld.param.u64 %o, [out];\n{inputs}\n{instruction}\n{store}\n\
         st.global.u64 [%o], %d0;\nret;\n}}\n"
    )
}

fn run(instruction: &str, inputs: [u64; 4]) -> Result<u64, String> {
    let mut device = Device::new(Config {
        workers: 1,
        ..Config::default()
    });
    let program = device
        .load(&kernel(instruction))
        .map_err(|e| e.to_string())?;
    let out = device.upload(&[0; 8]).map_err(|e| e.to_string())?;
    let [a, b, c, d] = inputs;
    let launched = device.launch(&program, "k", [1; 3], [1; 3], 0, &[out, a, b, c, d]);
    launched.map_err(|e| e.to_string())?;
    let bytes = device.read(out, 8).map_err(|e| e.to_string())?;
    Ok(u64::from_le_bytes(bytes.try_into().map_err(|_| "size")?))
}

fn f(x: f32) -> u64 {
    u64::from(x.to_bits())
}
fn d(x: f64) -> u64 {
    x.to_bits()
}
/// As 32 bits.
fn w(x: i32) -> u64 {
    u64::from(x as u32)
}

const INF: f32 = f32::INFINITY;
const NAN: f32 = f32::NAN;

type Case = (&'static str, Vec<u64>, u64);

fn cases() -> Vec<Case> {
    let tiny = f32::from_bits(1);
    let one_up = 1.0_f32.next_up();
    let mut cases: Vec<Case> = vec![
        // Moves, packing.
        ("mov.b16 %h0, %h1;", vec![0x1_2345], 0x2345),
        ("mov.u16 %h0, %h1;", vec![0x1_2345], 0x2345),
        ("mov.u32 %r0, %r1;", vec![u64::MAX], 0xffff_ffff),
        ("mov.u32 %r0, -1;", vec![], 0xffff_ffff),
        ("mov.u64 %d0, -1;", vec![], u64::MAX),
        ("mov.u64 %d0, %d1;", vec![1 << 63], 1 << 63),
        ("mov.f32 %r0, 0f3F800000;", vec![], f(1.0)),
        ("mov.f64 %d0, 0d3FF8000000000000;", vec![], d(1.5)),
        ("mov.pred %p0, %p1;", vec![1], 1),
        (
            "mov.b32 %r0, {%h1, %h2};",
            vec![0x1111, 0x2222],
            0x2222_1111,
        ),
        ("mov.b32 %r0, {0, %h2};", vec![0, 0x2222], 0x2222_0000),
        ("mov.b64 %d0, {%r1, %r2};", vec![1, 2], 2 << 32 | 1),
        ("mov.b32 {%h0, %h7}, %r1;", vec![0x2222_1111], 0x1111),
        ("mov.b32 {%h7, %h0}, %r1;", vec![0x2222_1111], 0x2222),
        ("mov.b64 {%r7, %r0}, %d1;", vec![7 << 32], 7),
        // Integers.
        ("add.s32 %r0, %r1, %r2;", vec![w(i32::MAX), 1], w(i32::MIN)),
        ("add.u32 %r0, %r1, %r2;", vec![w(-1), 2], 1),
        ("add.s16 %h0, %h1, %h2;", vec![0xffff, 2], 1),
        ("add.s64 %d0, %d1, %d2;", vec![u64::MAX, 3], 2),
        ("add.u64 %d0, %d1, 5;", vec![1], 6),
        ("sub.s32 %r0, %r1, %r2;", vec![3, 5], w(-2)),
        ("sub.u32 %r0, %r1, %r2;", vec![3, 5], w(-2)),
        ("sub.s64 %d0, %d1, %d2;", vec![3, 5], -2_i64 as u64),
        ("mul.lo.s32 %r0, %r1, %r2;", vec![w(-3), 5], w(-15)),
        (
            "mul.lo.u32 %r0, %r1, %r2;",
            vec![0x1_0001, 0x1_0001],
            0x2_0001,
        ),
        (
            "mul.lo.s64 %d0, %d1, %d2;",
            vec![-3_i64 as u64, 5],
            -15_i64 as u64,
        ),
        (
            "mul.hi.u32 %r0, %r1, %r2;",
            vec![0xffff_ffff, 0xffff_ffff],
            0xffff_fffe,
        ),
        ("mul.hi.s32 %r0, %r1, %r2;", vec![w(-1), w(-1)], 0),
        ("mul.hi.s32 %r0, %r1, %r2;", vec![w(i32::MIN), 2], w(-1)),
        ("mul.hi.u64 %d0, %d1, %d2;", vec![1 << 63, 4], 2),
        (
            "mul.wide.s32 %d0, %r1, %r2;",
            vec![w(-3), 5],
            -15_i64 as u64,
        ),
        (
            "mul.wide.u32 %d0, %r1, %r2;",
            vec![0xffff_ffff, 2],
            0x1_ffff_fffe,
        ),
        ("mul.wide.s16 %r0, %h1, %h2;", vec![0xfffd, 5], w(-15)),
        ("mul.wide.u16 %r0, %h1, %h2;", vec![0xffff, 2], 0x1_fffe),
        ("mad.lo.s32 %r0, %r1, %r2, %r3;", vec![w(-3), 5, 20], 5),
        ("mad.lo.u32 %r0, %r1, %r2, %r3;", vec![3, 5, 20], 35),
        ("mad.hi.u32 %r0, %r1, %r2, %r3;", vec![1 << 31, 4, 5], 7),
        ("mad.wide.s32 %d0, %r1, %r2, %d3;", vec![w(-3), 5, 20], 5),
        (
            "mad.wide.u32 %d0, %r1, %r2, %d3;",
            vec![0xffff_ffff, 2, 2],
            0x2_0000_0000,
        ),
        ("div.s32 %r0, %r1, %r2;", vec![w(-7), 2], w(-3)),
        (
            "div.u32 %r0, %r1, %r2;",
            vec![w(-7), 2],
            (u64::from(u32::MAX) - 6) / 2,
        ),
        ("div.u64 %d0, %d1, %d2;", vec![1 << 40, 3], 366_503_875_925),
        ("rem.s32 %r0, %r1, %r2;", vec![w(-7), 2], w(-1)),
        ("rem.u32 %r0, %r1, %r2;", vec![17, 5], 2),
        ("rem.u64 %d0, %d1, %d2;", vec![1 << 40, 3], 1),
        ("min.s32 %r0, %r1, %r2;", vec![w(-1), 1], w(-1)),
        ("min.u32 %r0, %r1, %r2;", vec![w(-1), 1], 1),
        ("max.s32 %r0, %r1, %r2;", vec![w(-1), 1], 1),
        ("max.u32 %r0, %r1, %r2;", vec![w(-1), 1], w(-1)),
        ("max.s64 %d0, %d1, %d2;", vec![u64::MAX, 1], 1),
        ("neg.s32 %r0, %r1;", vec![5], w(-5)),
        ("neg.s64 %d0, %d1;", vec![5], -5_i64 as u64),
        ("abs.s32 %r0, %r1;", vec![w(-5)], 5),
        // Bits.
        ("and.b32 %r0, %r1, %r2;", vec![0b1100, 0b1010], 0b1000),
        ("or.b32 %r0, %r1, %r2;", vec![0b1100, 0b1010], 0b1110),
        ("xor.b32 %r0, %r1, %r2;", vec![0b1100, 0b1010], 0b0110),
        ("not.b32 %r0, %r1;", vec![0], 0xffff_ffff),
        ("and.b64 %d0, %d1, %d2;", vec![3 << 40, 1 << 40], 1 << 40),
        ("or.b64 %d0, %d1, %d2;", vec![2 << 40, 1 << 40], 3 << 40),
        ("xor.b64 %d0, %d1, %d2;", vec![3 << 40, 1 << 40], 2 << 40),
        ("not.b64 %d0, %d1;", vec![0], u64::MAX),
        ("and.b16 %h0, %h1, %h2;", vec![0xf0f0, 0xff00], 0xf000),
        ("or.b16 %h0, %h1, %h2;", vec![0xf0f0, 0xff00], 0xfff0),
        ("and.pred %p0, %p1, %p2;", vec![1, 0], 0),
        ("or.pred %p0, %p1, %p2;", vec![1, 0], 1),
        ("xor.pred %p0, %p1, %p2;", vec![1, 1], 0),
        ("not.pred %p0, %p1;", vec![1], 0),
        ("not.pred %p0, %p1;", vec![0], 1),
        ("shl.b32 %r0, %r1, %r2;", vec![3, 31], 1 << 31),
        ("shl.b32 %r0, %r1, %r2;", vec![3, 32], 0),
        ("shl.b64 %d0, %d1, %r2;", vec![3, 63], 1 << 63),
        ("shl.b16 %h0, %h1, %r2;", vec![3, 15], 0x8000),
        ("shr.u32 %r0, %r1, %r2;", vec![w(-8), 1], 0x7fff_fffc),
        ("shr.b32 %r0, %r1, %r2;", vec![w(-8), 40], 0),
        ("shr.s32 %r0, %r1, %r2;", vec![w(-8), 1], w(-4)),
        ("shr.s32 %r0, %r1, %r2;", vec![w(-8), 99], w(-1)),
        ("shr.u64 %d0, %d1, %r2;", vec![1 << 63, 63], 1),
        ("shr.s64 %d0, %d1, %r2;", vec![1 << 63, 63], u64::MAX),
        ("shr.u16 %h0, %h1, %r2;", vec![0x8000, 15], 1),
        (
            "shf.l.wrap.b32 %r0, %r1, %r2, %r3;",
            vec![0x8000_0000, 1, 1],
            3,
        ),
        (
            "shf.r.wrap.b32 %r0, %r1, %r2, %r3;",
            vec![2, 1, 33],
            0x8000_0001,
        ),
        ("shf.r.clamp.b32 %r0, %r1, %r2, %r3;", vec![2, 7, 40], 7),
        ("popc.b32 %r0, %r1;", vec![0xff00_00ff_ff00], 16),
        ("popc.b64 %r0, %d1;", vec![0xff00_00ff_ff00], 24),
        ("clz.b32 %r0, %r1;", vec![1], 31),
        ("clz.b32 %r0, %r1;", vec![0], 32),
        ("clz.b64 %r0, %d1;", vec![1], 63),
        ("brev.b32 %r0, %r1;", vec![1], 1 << 31),
        ("bfind.u32 %r0, %r1;", vec![0x100], 8),
        ("bfind.u32 %r0, %r1;", vec![0], 0xffff_ffff),
        ("bfind.shiftamt.u32 %r0, %r1;", vec![0x100], 23),
        ("bfe.u32 %r0, %r1, %r2, %r3;", vec![0xabcd_ef01, 8, 8], 0xef),
        (
            "bfe.s32 %r0, %r1, %r2, %r3;",
            vec![0xabcd_ef01, 8, 8],
            0xffff_ffef,
        ),
        (
            "bfe.s32 %r0, %r1, %r2, %r3;",
            vec![0x8000_0000, 28, 8],
            0xffff_fff8,
        ),
        ("bfe.u32 %r0, %r1, %r2, %r3;", vec![0xabcd_ef01, 8, 0], 0),
        ("bfe.u64 %d0, %d1, %r2, %r3;", vec![0xab << 40, 40, 4], 0xb),
        (
            "bfi.b32 %r0, %r1, %r2, %r3, %r4;",
            vec![0xff, 0, 4, 8],
            0xff0,
        ),
        (
            "bfi.b32 %r0, %r1, %r2, %r3, %r4;",
            vec![0, 0xffff_ffff, 28, 8],
            0x0fff_ffff,
        ),
        (
            "bfi.b64 %d0, %d1, %d2, %r3, %r4;",
            vec![5, 0, 60, 64],
            5 << 60,
        ),
        (
            "prmt.b32 %r0, %r1, %r2, 0x5410;",
            vec![0x3322_1100, 0x7766_5544],
            0x5544_1100,
        ),
        (
            "prmt.b32 %r0, %r1, %r2, 0x7632;",
            vec![0x3322_1100, 0x7766_5544],
            0x7766_3322,
        ),
        (
            "prmt.b32 %r0, %r1, %r2, 0x8888;",
            vec![0x80, 0],
            0xffff_ffff,
        ),
        // a & b | ~c: rows 111, 110, and every one with c = 0.
        (
            "lop3.b32 %r0, %r1, %r2, %r3, 0xD5;",
            vec![0b1100, 0b1010, 0b1111],
            0xffff_fff8,
        ),
        (
            "lop3.b32 %r0, %r1, %r2, %r3, 0x96;",
            vec![0b1100, 0b1010, 0b0110],
            0,
        ),
        ("selp.b32 %r0, %r1, %r2, %p3;", vec![1, 2, 1], 1),
        ("selp.f32 %r0, %r1, %r2, %p3;", vec![1, 2, 0], 2),
        ("selp.u32 %r0, %r1, %r2, %p3;", vec![1, 2, 0], 2),
        ("selp.b16 %h0, %h1, %h2, %p3;", vec![1, 2, 0], 2),
        ("selp.b64 %d0, %d1, %d2, %p3;", vec![1, 2, 1], 1),
        // Comparisons.
        ("setp.eq.s32 %p0, %r1, %r2;", vec![1 << 32, 0], 1),
        ("setp.ne.s32 %p0, %r1, %r2;", vec![1, 0], 1),
        ("setp.lt.s32 %p0, %r1, %r2;", vec![w(-1), 0], 1),
        ("setp.lt.u32 %p0, %r1, %r2;", vec![w(-1), 0], 0),
        ("setp.le.s32 %p0, %r1, %r2;", vec![1, 1], 1),
        ("setp.le.u32 %p0, %r1, %r2;", vec![2, 1], 0),
        ("setp.gt.s32 %p0, %r1, %r2;", vec![0, w(-1)], 1),
        ("setp.gt.u32 %p0, %r1, %r2;", vec![0, w(-1)], 0),
        ("setp.ge.s32 %p0, %r1, %r2;", vec![0, 0], 1),
        ("setp.ge.u32 %p0, %r1, %r2;", vec![0, 1], 0),
        ("setp.eq.s64 %p0, %d1, %d2;", vec![1 << 32, 0], 0),
        ("setp.ge.u64 %p0, %d1, %d2;", vec![1 << 63, 1], 1),
        ("setp.ge.s64 %p0, %d1, %d2;", vec![1 << 63, 1], 0),
        ("setp.lt.s64 %p0, %d1, %d2;", vec![1 << 63, 1], 1),
        ("setp.eq.s16 %p0, %h1, %h2;", vec![0x1_0000, 0], 1),
        ("setp.lt.and.s32 %p0, %r1, %r2, %p3;", vec![1, 2, 0], 0),
        ("setp.lt.or.s32 %p0, %r1, %r2, %p3;", vec![2, 1, 1], 1),
        ("setp.lt.and.s32 %p0, %r1, %r2, !%p3;", vec![1, 2, 0], 1),
        ("setp.lt.xor.s32 %p0, %r1, %r2, %p3;", vec![1, 2, 1], 0),
        ("setp.lt.s32 %p7|%p0, %r1, %r2;", vec![1, 2], 0),
        ("set.lt.u32.s32 %r0, %r1, %r2;", vec![1, 2], 0xffff_ffff),
        ("set.lt.f32.s32 %r0, %r1, %r2;", vec![1, 2], f(1.0)),
        // Float arithmetic.
        ("add.f32 %r0, %r1, %r2;", vec![f(1.5), f(2.25)], f(3.75)),
        (
            "add.rn.f32 %r0, %r1, %r2;",
            vec![f(1.0), f(2f32.powi(-24))],
            f(1.0),
        ),
        (
            "add.rp.f32 %r0, %r1, %r2;",
            vec![f(1.0), f(2f32.powi(-60))],
            f(one_up),
        ),
        (
            "add.rm.f32 %r0, %r1, %r2;",
            vec![f(1.0), f(-(2f32.powi(-60)))],
            f(1.0_f32.next_down()),
        ),
        (
            "add.rz.f32 %r0, %r1, %r2;",
            vec![f(-1.0), f(-(2f32.powi(-60)))],
            f(-1.0),
        ),
        ("add.sat.f32 %r0, %r1, %r2;", vec![f(1.0), f(1.0)], f(1.0)),
        ("add.sat.f32 %r0, %r1, %r2;", vec![f(NAN), f(1.0)], 0),
        ("add.ftz.f32 %r0, %r1, %r2;", vec![f(tiny), f(tiny)], 0),
        ("add.f32 %r0, %r1, %r2;", vec![f(tiny), f(tiny)], 2),
        ("sub.f32 %r0, %r1, %r2;", vec![f(1.5), f(2.25)], f(-0.75)),
        (
            "sub.rm.f32 %r0, %r1, %r2;",
            vec![f(1.0), f(2f32.powi(-60))],
            f(1.0_f32.next_down()),
        ),
        ("mul.f32 %r0, %r1, %r2;", vec![f(1.5), f(-2.0)], f(-3.0)),
        (
            "mul.rn.f32 %r0, %r1, %r2;",
            vec![f(one_up), f(one_up)],
            f(1.0 + 2f32.powi(-22)),
        ),
        (
            "mul.rp.f32 %r0, %r1, %r2;",
            vec![f(one_up), f(one_up)],
            f((1.0 + 2f32.powi(-22)).next_up()),
        ),
        (
            "fma.rn.f32 %r0, %r1, %r2, %r3;",
            vec![f(one_up), f(one_up), f(-1.0 - 2f32.powi(-22))],
            f(2f32.powi(-46)),
        ),
        (
            "fma.rm.f32 %r0, %r1, %r2, %r3;",
            vec![f(1.0), f(1.0), f(-(2f32.powi(-60)))],
            f(1.0_f32.next_down()),
        ),
        (
            "fma.rz.f32 %r0, %r1, %r2, %r3;",
            vec![f(1.0), f(1.0), f(2f32.powi(-24) * 1.5)],
            f(1.0),
        ),
        (
            "fma.rp.f32 %r0, %r1, %r2, %r3;",
            vec![f(1.0), f(1.0), f(2f32.powi(-80))],
            f(one_up),
        ),
        (
            "div.rn.f32 %r0, %r1, %r2;",
            vec![f(1.0), f(3.0)],
            0x3eaa_aaab,
        ),
        ("div.rn.f32 %r0, %r1, %r2;", vec![f(1.0), f(0.0)], f(INF)),
        (
            "div.approx.f32 %r0, %r1, %r2;",
            vec![f(6.0), f(3.0)],
            f(2.0),
        ),
        ("div.full.f32 %r0, %r1, %r2;", vec![f(6.0), f(3.0)], f(2.0)),
        ("rcp.rn.f32 %r0, %r1;", vec![f(3.0)], 0x3eaa_aaab),
        ("rcp.approx.ftz.f32 %r0, %r1;", vec![f(4.0)], f(0.25)),
        ("sqrt.rn.f32 %r0, %r1;", vec![f(2.0)], 0x3fb5_04f3),
        ("sqrt.approx.f32 %r0, %r1;", vec![f(9.0)], f(3.0)),
        ("rsqrt.approx.f32 %r0, %r1;", vec![f(4.0)], f(0.5)),
        ("rsqrt.approx.f32 %r0, %r1;", vec![f(0.0)], f(INF)),
        ("ex2.approx.f32 %r0, %r1;", vec![f(-3.0)], f(0.125)),
        ("ex2.approx.ftz.f32 %r0, %r1;", vec![f(0.5)], 0x3fb5_04f3),
        ("ex2.approx.ftz.f32 %r0, %r1;", vec![f(-INF)], 0),
        ("ex2.approx.ftz.f32 %r0, %r1;", vec![f(-140.0)], 0),
        ("lg2.approx.f32 %r0, %r1;", vec![f(8.0)], f(3.0)),
        ("lg2.approx.ftz.f32 %r0, %r1;", vec![f(0.0)], f(-INF)),
        ("sin.approx.f32 %r0, %r1;", vec![f(0.0)], f(0.0)),
        ("cos.approx.f32 %r0, %r1;", vec![f(0.0)], f(1.0)),
        ("tanh.approx.f32 %r0, %r1;", vec![f(INF)], f(1.0)),
        ("neg.f32 %r0, %r1;", vec![f(0.0)], 0x8000_0000),
        ("abs.f32 %r0, %r1;", vec![f(-1.0)], f(1.0)),
        ("min.f32 %r0, %r1, %r2;", vec![f(NAN), f(1.0)], f(1.0)),
        ("min.f32 %r0, %r1, %r2;", vec![f(0.0), f(-0.0)], 0x8000_0000),
        ("max.f32 %r0, %r1, %r2;", vec![f(1.0), f(NAN)], f(1.0)),
        ("max.f32 %r0, %r1, %r2;", vec![f(-0.0), f(0.0)], 0),
        (
            "max.NaN.f32 %r0, %r1, %r2;",
            vec![f(1.0), f(NAN)],
            0x7fc0_0000,
        ),
        (
            "copysign.f32 %r0, %r1, %r2;",
            vec![f(-1.0), f(3.0)],
            f(-3.0),
        ),
        ("setp.lt.f32 %p0, %r1, %r2;", vec![f(1.0), f(2.0)], 1),
        ("setp.lt.f32 %p0, %r1, %r2;", vec![f(NAN), f(2.0)], 0),
        ("setp.ltu.f32 %p0, %r1, %r2;", vec![f(NAN), f(2.0)], 1),
        ("setp.leu.f32 %p0, %r1, %r2;", vec![f(3.0), f(2.0)], 0),
        ("setp.gt.f32 %p0, %r1, %r2;", vec![f(3.0), f(2.0)], 1),
        ("setp.gtu.f32 %p0, %r1, %r2;", vec![f(NAN), f(NAN)], 1),
        ("setp.ge.f32 %p0, %r1, %r2;", vec![f(2.0), f(2.0)], 1),
        ("setp.geu.f32 %p0, %r1, %r2;", vec![f(1.0), f(2.0)], 0),
        ("setp.eq.f32 %p0, %r1, %r2;", vec![f(0.0), f(-0.0)], 1),
        ("setp.equ.f32 %p0, %r1, %r2;", vec![f(NAN), f(0.0)], 1),
        ("setp.ne.f32 %p0, %r1, %r2;", vec![f(NAN), f(0.0)], 0),
        ("setp.neu.f32 %p0, %r1, %r2;", vec![f(NAN), f(0.0)], 1),
        ("setp.num.f32 %p0, %r1, %r2;", vec![f(NAN), f(0.0)], 0),
        ("setp.nan.f32 %p0, %r1, %r2;", vec![f(NAN), f(0.0)], 1),
        (
            "add.f64 %d0, %d1, %d2;",
            vec![d(0.1), d(0.2)],
            d(0.30000000000000004),
        ),
        ("mul.f64 %d0, %d1, %d2;", vec![d(1.5), d(1.5)], d(2.25)),
        (
            "fma.rn.f64 %d0, %d1, %d2, %d3;",
            vec![d(2.0), d(3.0), d(1.0)],
            d(7.0),
        ),
        ("div.rn.f64 %d0, %d1, %d2;", vec![d(1.0), d(4.0)], d(0.25)),
        // Narrow floats: 0x3c00 is 1 in f16, 0x3f80 in bf16.
        ("add.f16 %h0, %h1, %h2;", vec![0x3c00, 0x3c00], 0x4000),
        ("mul.f16 %h0, %h1, %h2;", vec![0x4000, 0x4200], 0x4600),
        (
            "fma.rn.f16 %h0, %h1, %h2, %h3;",
            vec![0x4000, 0x4200, 0x3c00],
            0x4700,
        ),
        (
            "fma.rn.bf16 %h0, %h1, %h2, %h3;",
            vec![0x4000, 0x4040, 0x3f80],
            0x40e0,
        ),
        // 1 + 2^-8 is a tie: to even.
        (
            "fma.rn.bf16 %h0, %h1, %h2, %h3;",
            vec![0x3b80, 0x3f80, 0x3f80],
            0x3f80,
        ),
        (
            "add.f16x2 %r0, %r1, %r2;",
            vec![0x3c00_4000, 0x3c00_3c00],
            0x4000_4200,
        ),
        (
            "fma.rn.bf16x2 %r0, %r1, %r2, %r3;",
            vec![0x3f80_4000, 0x3f80_4040, 0x3f80_3f80],
            0x4000_40e0,
        ),
        ("neg.bf16 %h0, %h1;", vec![0x3f80], 0xbf80),
        ("neg.f16x2 %r0, %r1;", vec![0x3c00_bc00], 0xbc00_3c00),
        ("abs.bf16x2 %r0, %r1;", vec![0xbf80_bf80], 0x3f80_3f80),
        (
            "max.bf16x2 %r0, %r1, %r2;",
            vec![0x3f80_bf80, 0x4000_8000],
            0x4000_8000,
        ),
        ("min.f16 %h0, %h1, %h2;", vec![0x3c00, 0xbc00], 0xbc00),
        // Conversions.
        ("cvt.u16.u32 %h0, %r1;", vec![0x1_2345], 0x2345),
        ("cvt.u32.u16 %r0, %h1;", vec![0x8000], 0x8000),
        ("cvt.s32.s16 %r0, %h1;", vec![0x8000], 0xffff_8000),
        ("cvt.u32.u64 %r0, %d1;", vec![0x1_0000_0002], 2),
        ("cvt.u64.u32 %d0, %r1;", vec![0xffff_ffff], 0xffff_ffff),
        ("cvt.s64.s32 %d0, %r1;", vec![w(-2)], -2_i64 as u64),
        ("cvt.s32.s8 %r0, %r1;", vec![0x80], 0xffff_ff80),
        ("cvt.u32.u8 %r0, %r1;", vec![0x180], 0x80),
        ("cvt.sat.u8.s32 %r0, %r1;", vec![300], 255),
        ("cvt.sat.s16.s32 %h0, %r1;", vec![w(-40_000)], 0x8000),
        (
            "cvt.rn.f32.s32 %r0, %r1;",
            vec![0x100_0001],
            f(16_777_216.0),
        ),
        (
            "cvt.rp.f32.s32 %r0, %r1;",
            vec![0x100_0001],
            f(16_777_218.0),
        ),
        (
            "cvt.rz.f32.s32 %r0, %r1;",
            vec![w(-0x100_0003)],
            f(-16_777_218.0),
        ),
        (
            "cvt.rn.f32.u32 %r0, %r1;",
            vec![0xffff_ffff],
            f(4_294_967_296.0),
        ),
        ("cvt.rn.f32.u16 %r0, %h1;", vec![7], f(7.0)),
        ("cvt.rn.f32.u64 %r0, %d1;", vec![1 << 40], f(2f32.powi(40))),
        ("cvt.rn.f64.s64 %d0, %d1;", vec![u64::MAX], d(-1.0)),
        ("cvt.rni.f32.f32 %r0, %r1;", vec![f(2.5)], f(2.0)),
        ("cvt.rzi.f32.f32 %r0, %r1;", vec![f(-2.5)], f(-2.0)),
        ("cvt.rmi.f32.f32 %r0, %r1;", vec![f(-2.5)], f(-3.0)),
        ("cvt.rpi.f32.f32 %r0, %r1;", vec![f(2.1)], f(3.0)),
        ("cvt.rni.s32.f32 %r0, %r1;", vec![f(3.5)], 4),
        ("cvt.rzi.s32.f32 %r0, %r1;", vec![f(-3.9)], w(-3)),
        ("cvt.rzi.s32.f32 %r0, %r1;", vec![f(1e20)], w(i32::MAX)),
        ("cvt.rzi.s32.f32 %r0, %r1;", vec![f(NAN)], 0),
        ("cvt.rzi.u32.f32 %r0, %r1;", vec![f(-1.0)], 0),
        ("cvt.rzi.s64.f32 %d0, %r1;", vec![f(-2.0)], -2_i64 as u64),
        ("cvt.sat.f32.f32 %r0, %r1;", vec![f(1.5)], f(1.0)),
        ("cvt.f64.f32 %d0, %r1;", vec![f(0.1)], d(f64::from(0.1_f32))),
        ("cvt.rn.f32.f64 %r0, %d1;", vec![d(0.1)], f(0.1)),
        (
            "cvt.rm.f32.f64 %r0, %d1;",
            vec![d(0.1)],
            f(0.1_f32.next_down()),
        ),
        ("cvt.f32.f16 %r0, %h1;", vec![0x3555], 0x3eaa_a000),
        ("cvt.f32.bf16 %r0, %h1;", vec![0x3eab], 0x3eab_0000),
        ("cvt.rn.f16.f32 %h0, %r1;", vec![0x3eaa_aaab], 0x3555),
        ("cvt.rn.f16.f32 %h0, %r1;", vec![f(1e6)], 0x7c00),
        ("cvt.rz.f16.f32 %h0, %r1;", vec![f(1e6)], 0x7bff),
        ("cvt.rn.bf16.f32 %h0, %r1;", vec![0x3eaa_aaab], 0x3eab),
        ("cvt.rz.bf16.f32 %h0, %r1;", vec![0x3eaa_aaab], 0x3eaa),
        ("cvt.rn.bf16.f32 %h0, %r1;", vec![0x3f80_8000], 0x3f80),
        ("cvt.rn.bf16.f32 %h0, %r1;", vec![0x3f81_8000], 0x3f82),
        ("cvt.rn.relu.bf16.f32 %h0, %r1;", vec![f(-1.0)], 0),
        (
            "cvt.rn.bf16x2.f32 %r0, %r1, %r2;",
            vec![f(1.0), f(2.0)],
            0x3f80_4000,
        ),
        (
            "cvt.rn.f16x2.f32 %r0, %r1, %r2;",
            vec![f(1.0), f(2.0)],
            0x3c00_4000,
        ),
        // Predication and branches.
        ("mov.u32 %r0, 1; @%p1 mov.u32 %r0, 2;", vec![1], 2),
        ("mov.u32 %r0, 1; @!%p1 mov.u32 %r0, 2;", vec![1], 1),
        ("mov.u32 %r0, 1; bra L; mov.u32 %r0, 2; L:", vec![], 1),
        ("mov.u32 %r0, 1; @%p1 bra L; mov.u32 %r0, 2; L:", vec![0], 2),
        (
            "mov.u32 %r0, 0; L: add.u32 %r0, %r0, 3; setp.lt.u32 %p7, %r0, %r1; @%p7 bra.uni L;",
            vec![10],
            12,
        ),
        (
            "mov.u32 %r0, 9; T: .branchtargets A, B; brx.idx %r1, T; A: mov.u32 %r0, 1; B:",
            vec![1],
            9,
        ),
        (
            "mov.u32 %r0, 9; T: .branchtargets A, B; brx.idx %r1, T; A: mov.u32 %r0, 1; B:",
            vec![0],
            1,
        ),
        (
            "mov.u32 %r0, 1; { .reg .b32 %r0; mov.u32 %r0, 2; }",
            vec![],
            1,
        ),
        ("mov.u32 %r0, WARP_SZ;", vec![], 32),
    ];
    cases.sort_by_key(|c| c.0);
    cases
}

#[test]
fn each_gives_the_value_of_the_manual() {
    let mut wrong = Vec::new();
    for (instruction, inputs, want) in cases() {
        let mut four = [0; 4];
        four[..inputs.len()].copy_from_slice(&inputs);
        match run(instruction, four) {
            Ok(got) if got == want => {}
            Ok(got) => wrong.push(format!(
                "{instruction} of {inputs:x?}: {got:#x}, not {want:#x}"
            )),
            Err(e) => wrong.push(format!("{instruction}: {e}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_unknown_does_not_load() {
    for bad in [
        "foo.b32 %r0, %r1;",
        "add.s32.foo %r0, %r1, %r2;",
        "add.sat.s64 %d0, %d1, %d2;",
        "add.s32 %r0, %r1;",
        "add.s32 %r0, %r1, %r2, %r3;",
        "add.s32 %r0, %r1, %nope;",
        "mul.s32 %r0, %r1, %r2;",
        "fma.f32 %r0, %r1, %r2, %r3;",
        "div.f32 %r0, %r1, %r2;",
        "sqrt.f32 %r0, %r1;",
        "ex2.rn.f32 %r0, %r1;",
        "min.approx.f32 %r0, %r1, %r2;",
        "cvt.f32.s32 %r0, %r1;",
        "cvt.s32.f32 %r0, %r1;",
        "cvt.bf16.f32 %h0, %r1;",
        "cvt.rn.u16.u32 %h0, %r1;",
        "setp.lt.b8 %p0, %r1, %r2;",
        "setp.foo.s32 %p0, %r1, %r2;",
        "bra NOWHERE;",
        "call foo;",
        "ld.global.b128 %d0, [%d1];",
        "ld.global.v4.u64 {%d0, %d1, %d2, %d3}, [%o];",
        "ld.global.v2.u32 %r0, [%o];",
        "bar.sync 0, 32;",
        "mov.u32 %r0, %clock;",
        "mov.u32 %r0, %smid;",
        "shfl.bfly.b32 %r0, %r1, %r2, %r3;",
        "wgmma.fence.sync.aligned;",
        "cp.async.wait_group %r1;",
        "cp.async.cg.shared.global [%r0], [%d0], %r1;",
        "mma.sync.aligned.m16n8k16.row.row.f32.bf16.bf16.f32 {%r0,%r1,%r2,%r3}, {%r0,%r1,%r2,%r3}, {%r0,%r1}, {%r0,%r1,%r2,%r3};",
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%r0,%r1,%r2,%r3}, {%r0,%r1}, {%r0,%r1}, {%r0,%r1,%r2,%r3};",
        "cp.async.cg.shared.global [%r0], [%d0], 8;",
        "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r0,%r1}, [%r3];",
        ".foo;",
    ] {
        let error = run(bad, [0; 4]).expect_err(bad);
        assert!(error.contains("PTX line"), "{bad}: {error}");
    }
}

#[test]
fn hostile_text_is_an_error() {
    for text in [
        "",
        "\u{0}",
        ".version",
        ".version 8.4\n.target sm_80\n.visible .entry k(",
        ".version 8.4\n.entry",
        "{}}",
    ] {
        assert!(
            Device::new(Config::default()).load(text).is_err(),
            "{text:?}"
        );
    }
    // Cut anywhere, a module is an error or another module, and nothing else.
    let whole = kernel("add.s32 %r0, %r1, %r2;");
    for end in 0..whole.len() {
        if whole.is_char_boundary(end) {
            let _ = Device::new(Config {
                workers: 1,
                ..Config::default()
            })
            .load(&whole[..end]);
        }
    }
}

/// Instructions that the tests of memory and warps execute (`tests/memory.rs`, `tests/warp.rs`).
const ELSEWHERE: [&str; 20] = [
    "activemask",
    "atom",
    "bar",
    "bra",
    "brx",
    "cp",
    "cvta",
    "exit",
    "fence",
    "ld",
    "ldmatrix",
    "membar",
    "mma",
    "red",
    "ret",
    "shfl",
    "st",
    "trap",
    "vote",
    "barrier",
];

#[test]
fn the_readme_names_every_opcode() {
    let readme = include_str!("../README.md");
    let cases = cases();
    let tested = cases
        .iter()
        .flat_map(|c| c.0.split(';'))
        .filter_map(|i| i.split_whitespace().next());
    let bases = tested
        .filter(|o| o.contains('.'))
        .filter_map(|o| o.split('.').next());
    for base in bases
        .chain(ELSEWHERE)
        .filter(|b| b.starts_with(|c: char| c.is_ascii_lowercase()))
    {
        assert!(
            readme.contains(&format!("`{base}")),
            "`{base}` is not in the README"
        );
    }
}

#[test]
fn every_scalar_opcode_of_the_kernels_is_tested() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernels/ptx");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        eprintln!("no kernels in {}", folder.display());
        return;
    };
    let tested: BTreeSet<&str> = cases()
        .iter()
        .flat_map(|c| c.0.split(';'))
        .filter_map(|i| i.split_whitespace().next())
        .collect();
    let mut missing = BTreeSet::new();
    for entry in entries {
        let text = std::fs::read_to_string(entry.expect("an entry").path()).expect("PTX text");
        for line in text.lines() {
            let line = line.trim().trim_start_matches(['{', ' ']);
            let line = if line.starts_with('@') {
                line.split_once(' ').map_or("", |l| l.1)
            } else {
                line
            };
            let opcode = line
                .split_whitespace()
                .next()
                .unwrap_or_default()
                .trim_end_matches(';');
            let base = opcode.split('.').next().unwrap_or_default();
            if opcode.contains('.')
                && base.chars().all(|c| c.is_ascii_alphanumeric())
                && base.starts_with(|c: char| c.is_ascii_lowercase())
                && !ELSEWHERE.contains(&base)
                && !tested.contains(opcode)
            {
                missing.insert(opcode.to_owned());
            }
        }
    }
    assert!(missing.is_empty(), "opcodes without a test: {missing:?}");
}
