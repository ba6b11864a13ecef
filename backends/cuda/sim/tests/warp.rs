//! Instructions of a warp: who gets what, by the tables of the PTX ISA manual.

mod common;

use common::{Run, WARP, module, run, run_report};
use half::{bf16, f16};
use relscale_cuda_sim::FaultKind;

/// The word that each of 32 lanes ends up with in %r0.
fn lanes(body: &str) -> Vec<u32> {
    let ptx = module("", &format!("{body}\nst.global.u32 [%o], %r0;"));
    let plain = run(&ptx, WARP, &[0], 32).expect("runs");
    for seed in 1..5 {
        assert_eq!(
            run(&ptx, Run { seed, ..WARP }, &[0], 32).expect("runs"),
            plain,
            "seed {seed}"
        );
    }
    plain
}

#[test]
fn shfl_moves_values_between_lanes() {
    let each = |f: fn(u32) -> u32| (0..32).map(f).collect::<Vec<_>>();
    let shfl = |mode: &str| lanes(&format!("add.u32 %r1, %t, 100; shfl.sync.{mode}, -1;"));
    assert_eq!(shfl("bfly.b32 %r0, %r1, 16, 31"), each(|l| 100 + (l ^ 16)));
    assert_eq!(
        shfl("bfly.b32 %r0|%p1, %r1, 1, 31"),
        each(|l| 100 + (l ^ 1))
    );
    assert_eq!(shfl("idx.b32 %r0, %r1, 5, 31"), each(|_| 105));
    assert_eq!(
        shfl("up.b32 %r0, %r1, 3, 0"),
        each(|l| if l >= 3 { 97 + l } else { 100 + l })
    );
    assert_eq!(
        shfl("down.b32 %r0, %r1, 3, 31"),
        each(|l| if l < 29 { 103 + l } else { 100 + l })
    );
    // Segments of eight lanes: c = (32 - 8) << 8 | clamp.
    assert_eq!(
        shfl("idx.b32 %r0, %r1, 2, 0x181f"),
        each(|l| 102 + l / 8 * 8)
    );
    assert_eq!(
        shfl("up.b32 %r0, %r1, 1, 0x1800"),
        each(|l| if l % 8 > 0 { 99 + l } else { 100 + l })
    );
    assert_eq!(
        shfl("down.b32 %r0, %r1, 1, 0x181f"),
        each(|l| if l % 8 < 7 { 101 + l } else { 100 + l })
    );
    // The predicate says whether the source was in range.
    assert_eq!(
        lanes("shfl.sync.down.b32 %r1|%p1, %t, 3, 31, -1; selp.b32 %r0, 1, 0, %p1;"),
        each(|l| u32::from(l < 29))
    );
}

#[test]
fn votes_count_lanes() {
    let odd = "and.b32 %r1, %t, 1; setp.eq.s32 %p1, %r1, 1; ";
    assert_eq!(
        lanes(&format!("{odd} vote.sync.ballot.b32 %r0, %p1, -1;")),
        vec![0xaaaa_aaaa; 32]
    );
    assert_eq!(
        lanes(&format!("{odd} vote.sync.ballot.b32 %r0, !%p1, -1;")),
        vec![0x5555_5555; 32]
    );
    for (mode, want) in [("any", 1), ("all", 0), ("uni", 0)] {
        let body = format!("{odd} vote.sync.{mode}.pred %p2, %p1, -1; selp.b32 %r0, 1, 0, %p2;");
        assert_eq!(lanes(&body), vec![want; 32], "{mode}");
    }
    // Two halves at one instruction, each with its own mask.
    let body = format!(
        "{odd} shr.u32 %r2, %t, 4; setp.eq.s32 %p3, %r2, 0; selp.b32 %r3, 0xffff, 0xffff0000, %p3; \
         vote.sync.ballot.b32 %r0, %p1, %r3;"
    );
    let want: Vec<u32> = (0..32)
        .map(|l| if l < 16 { 0xaaaa } else { 0xaaaa_0000 })
        .collect();
    assert_eq!(lanes(&body), want);
    assert_eq!(
        lanes("activemask.b32 %r0;"),
        (0..32).map(|l| 1 << l).collect::<Vec<_>>()
    );
}

#[test]
fn special_registers() {
    let each = |f: fn(u32) -> u32| (0..32).map(f).collect::<Vec<_>>();
    assert_eq!(lanes("mov.u32 %r0, %laneid;"), each(|l| l));
    assert_eq!(lanes("mov.u32 %r0, %ntid.x;"), each(|_| 32));
    assert_eq!(lanes("mov.u32 %r0, %nctaid.y;"), each(|_| 1));
    assert_eq!(lanes("mov.u32 %r0, %lanemask_lt;"), each(|l| (1 << l) - 1));
    assert_eq!(
        lanes("mov.u32 %r0, %lanemask_gt;"),
        each(|l| !((1 << l) | ((1 << l) - 1)))
    );
}

/// "Matrix Fragments for mma.m16n8k16 with floating point type": row and column of element i.
fn a16(lane: usize, i: usize) -> (usize, usize) {
    let (group, thread) = (lane >> 2, lane % 4);
    let row = if i < 2 || (4..6).contains(&i) {
        group
    } else {
        group + 8
    };
    let col = thread * 2 + (i & 1) + if i < 4 { 0 } else { 8 };
    (row, col)
}
fn b16(lane: usize, i: usize) -> (usize, usize) {
    (
        lane % 4 * 2 + (i & 1) + if i < 2 { 0 } else { 8 },
        lane >> 2,
    )
}
fn c16(lane: usize, i: usize) -> (usize, usize) {
    (
        if i < 2 { lane >> 2 } else { (lane >> 2) + 8 },
        lane % 4 * 2 + (i & 1),
    )
}

fn mma(k: usize, ty: &str) {
    let bits = |x: f32| {
        u32::from(if ty == "bf16" {
            bf16::from_f32(x).to_bits()
        } else {
            f16::from_f32(x).to_bits()
        })
    };
    // Small whole numbers, so that sums are exact in every order.
    let a = |r: usize, c: usize| ((r * 5 + c * 3) % 17) as f32 - 8.0;
    let b = |r: usize, c: usize| ((r * 7 + c * 11) % 13) as f32 - 6.0;
    let c = |r: usize, c: usize| (r * 8 + c) as f32;
    let mut input = Vec::new();
    for lane in 0..32 {
        for i in (0..k / 2).step_by(2) {
            let x: Vec<f32> = (i..i + 2)
                .map(|i| a16(lane, i))
                .map(|(r, c)| a(r, c))
                .collect();
            input.push(bits(x[0]) | bits(x[1]) << 16);
        }
        for i in (0..k / 4).step_by(2) {
            let x: Vec<f32> = (i..i + 2)
                .map(|i| b16(lane, i))
                .map(|(r, c)| b(r, c))
                .collect();
            input.push(bits(x[0]) | bits(x[1]) << 16);
        }
        input.extend(
            (0..4)
                .map(|i| c16(lane, i))
                .map(|(row, col)| c(row, col).to_bits()),
        );
    }
    let (words, na) = (k / 4 + k / 8 + 4, k / 4);
    let mut body = format!(
        "mul.wide.u32 %d1, %t, {}; add.s64 %d1, %d1, %in; mul.wide.u32 %d2, %t, 16; add.s64 %d2, %d2, %out;\n",
        words * 4
    );
    for i in 0..words {
        body += &format!("ld.global.b32 %r{i}, [%d1+{}];\n", 4 * i);
    }
    let list = |from: usize, n: usize| {
        (from..from + n)
            .map(|i| format!("%r{i}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let cs = list(words - 4, 4);
    body += &format!(
        "mma.sync.aligned.m16n8k{k}.row.col.f32.{ty}.{ty}.f32 {{{cs}}}, {{{}}}, {{{}}}, {{{cs}}};\nst.global.v4.b32 [%d2], {{{cs}}};",
        list(0, na),
        list(na, na / 2)
    );
    let out = run(&module("", &body), WARP, &input, 128).expect("runs");
    for lane in 0..32 {
        for i in 0..4 {
            let (row, col) = c16(lane, i);
            let want = c(row, col) + (0..k).map(|j| a(row, j) * b(j, col)).sum::<f32>();
            assert_eq!(
                f32::from_bits(out[lane * 4 + i]),
                want,
                "D[{row}][{col}], {ty}, k = {k}"
            );
        }
    }
}

#[test]
fn mma_multiplies_fragments() {
    // A few places of the manual's figures, in numbers.
    assert_eq!(a16(5, 0), (1, 2));
    assert_eq!(a16(31, 7), (15, 15));
    assert_eq!(b16(6, 3), (13, 1));
    assert_eq!(c16(30, 2), (15, 4));
    for ty in ["bf16", "f16"] {
        mma(16, ty);
        mma(8, ty);
    }
}

/// Loads `n` matrices whose element (i, j) of matrix m is 64·m + 8·i + j.
fn ldmatrix(n: usize, trans: bool) -> Vec<u32> {
    let list = (1..=n)
        .map(|i| format!("%r{i}"))
        .collect::<Vec<_>>()
        .join(", ");
    let mut body = "mov.u32 %r10, sm; mad.lo.s32 %r11, %t, 16, %r10;\n".to_owned();
    for i in 0..8 {
        body += &format!(
            "mad.lo.s32 %r12, %t, 8, {i}; cvt.u16.u32 %h1, %r12; st.shared.u16 [%r11+{}], %h1;\n",
            2 * i
        );
    }
    let t = if trans { ".trans" } else { "" };
    body += &format!(
        "bar.sync 0;\nldmatrix.sync.aligned.m8n8.x{n}{t}.shared.b16 {{{list}}}, [%r11];\n"
    );
    body += &format!("mul.wide.u32 %d1, %t, {}; add.s64 %d1, %d1, %out;\n", 4 * n);
    for i in 0..n {
        body += &format!("st.global.u32 [%d1+{}], %r{};\n", 4 * i, i + 1);
    }
    run(
        &module(".shared .align 16 .b8 sm[512];", &body),
        WARP,
        &[0],
        32 * n,
    )
    .expect("runs")
}

#[test]
fn ldmatrix_spreads_rows() {
    for n in [1, 2, 4] {
        for trans in [false, true] {
            let out = ldmatrix(n, trans);
            for lane in 0..32 {
                for m in 0..n {
                    // "Each thread loads a fragment of a row": row lane / 4, elements 2·(lane % 4) and the next.
                    let (i, j) = (lane / 4, lane % 4 * 2);
                    let (low, high) = if trans {
                        (8 * j + i, 8 * (j + 1) + i)
                    } else {
                        (8 * i + j, 8 * i + j + 1)
                    };
                    let want = (64 * m + low) as u32 | ((64 * m + high) as u32) << 16;
                    assert_eq!(
                        out[lane * n + m],
                        want,
                        "lane {lane}, matrix {m}, trans {trans}"
                    );
                }
            }
        }
    }
}

fn fault(body: &str, threads: u32) -> (FaultKind, String) {
    let (_, report) =
        run_report(&module("", body), Run { threads, ..WARP }, &[0], 64).expect_err("a fault");
    let report = report.expect("a report");
    (report.kind, report.to_string())
}

#[test]
fn masks_are_checked() {
    let some = "setp.lt.u32 %p1, %t, 16; ";
    for (body, threads, part) in [
        (
            "shfl.sync.idx.b32 %r0, %t, 0, 31, 1;",
            32,
            "not in its own mask",
        ),
        (
            "setp.lt.u32 %p1, %t, 16; @%p1 ret; shfl.sync.idx.b32 %r0, %t, 0, 31, -1;",
            32,
            "has ended",
        ),
        (
            "shfl.sync.idx.b32 %r0, %t, 0, 31, -1;",
            16,
            "which the block does not have",
        ),
        (
            "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%f0,%f1,%f2,%f3}, {%r0,%r1}, {%r2}, {%f0,%f1,%f2,%f3};",
            40,
            "does not have",
        ),
        (
            "and.b32 %r1, %t, 1; setp.eq.s32 %p1, %r1, 0; selp.b32 %r2, -1, 0x0fffffff, %p1; shfl.sync.idx.b32 %r0, %t, 0, 31, %r2;",
            32,
            "mask",
        ),
        (
            "setp.lt.u32 %p1, %t, 16; @!%p1 bra E; shfl.sync.idx.b32 %r0, %t, 20, 31, 0xffff; E:",
            32,
            "reads lane 20",
        ),
        (
            "setp.lt.u32 %p1, %t, 16; @%p1 shfl.sync.idx.b32 %r0, %t, 0, 31, -1; @!%p1 shfl.sync.idx.b32 %r0, %t, 0, 31, -1;",
            32,
            "divergence",
        ),
    ] {
        let (kind, text) = fault(body, threads);
        assert_eq!(kind, FaultKind::LaunchFailed, "{text}");
        assert!(text.contains(part), "{part:?} in {text}");
    }
    // Half a warp alone is fine when it says so.
    let body = format!(
        "{some} @!%p1 bra E; shfl.sync.idx.b32 %r0, %t, 3, 31, 0xffff; st.global.u32 [%o], %r0; E:"
    );
    let out = run(&module("", &body), WARP, &[0], 32).expect("runs");
    assert_eq!((out[15], out[16]), (3, u32::MAX));
}
