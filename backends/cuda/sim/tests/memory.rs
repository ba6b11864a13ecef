//! Memory: what instructions do to it, and every kind of wrong access, each reported.

mod common;

use common::{Run, WARP, module, run, run_report};
use relscale_cuda_sim::{Config, Device, FaultKind, Report};

const TWO_WARPS: Run = Run {
    threads: 64,
    ..WARP
};

fn words(variables: &str, body: &str, how: Run, input: &[u32]) -> Vec<u32> {
    let ptx = module(variables, body);
    let plain = run(&ptx, how, input, how.threads as usize).expect("runs");
    for seed in 1..6 {
        assert_eq!(
            run(&ptx, Run { seed, ..how }, input, how.threads as usize).expect("runs"),
            plain,
            "seed {seed}"
        );
    }
    plain
}

/// The report of a fault that every order of threads meets.
fn fault(variables: &str, body: &str, how: Run) -> Box<Report> {
    let ptx = module(variables, body);
    let mut reports = (0..6).map(|seed| {
        let result = run_report(&ptx, Run { seed, ..how }, &[0; 64], 64);
        result.expect_err("a fault").1.expect("a report")
    });
    let first = reports.next().expect("a report");
    for other in reports {
        assert_eq!(
            (first.kind, first.line),
            (other.kind, other.line),
            "{first}\n{other}"
        );
    }
    first
}

/// A fault with these words in it.
#[track_caller]
fn expect(report: &Report, kind: FaultKind, part: &str) {
    assert_eq!(report.kind, kind, "{report}");
    assert!(report.to_string().contains(part), "{part:?} in {report}");
}

const SM: &str = ".shared .align 16 .b8 sm[1024];";
/// Shared address of this thread's word in %r1, of its neighbour's in the other warp in %r2.
const PLACE: &str = "mov.u32 %r3, sm; mad.lo.s32 %r1, %t, 4, %r3; xor.b32 %r4, %t, 32; mad.lo.s32 %r2, %r4, 4, %r3;\n";

#[test]
fn loads_and_stores() {
    let input = [0x8765_4321, 0xdead_beef, 3, 4, 5, 6, 7, 8];
    let load = |what: &str| {
        words(
            "",
            &format!("{what}\nst.global.u32 [%o], %r0;"),
            WARP,
            &input,
        )[0]
    };
    assert_eq!(load("ld.global.u32 %r0, [%in];"), 0x8765_4321);
    assert_eq!(load("ld.global.nc.b32 %r0, [%in+4];"), 0xdead_beef);
    assert_eq!(load("ld.global.u8 %r0, [%in+3];"), 0x87);
    assert_eq!(load("ld.global.s8 %r0, [%in+3];"), 0xffff_ff87);
    assert_eq!(load("ld.global.u16 %r0, [%in+2];"), 0x8765);
    assert_eq!(load("ld.global.s16 %r0, [%in+2];"), 0xffff_8765);
    assert_eq!(
        load("ld.global.u64 %d1, [%in]; shr.u64 %d1, %d1, 32; cvt.u32.u64 %r0, %d1;"),
        0xdead_beef
    );
    assert_eq!(load("ld.global.v2.u32 {%r1, %r0}, [%in+8];"), 4);
    assert_eq!(load("ld.global.v4.u32 {%r1, %r2, %r0, %r3}, [%in+16];"), 7);
    assert_eq!(
        load("ld.global.v2.u64 {%d1, %d2}, [%in]; cvt.u32.u64 %r0, %d2;"),
        3
    );
    assert_eq!(
        load("ld.global.v4.u16 {%h1, %h2, %h3, %h4}, [%in]; cvt.u32.u16 %r0, %h3;"),
        0xbeef
    );
    assert_eq!(load("ld.global.ca.L2::128B.u32 %r0, [%in];"), 0x8765_4321);
    assert_eq!(
        load("add.s64 %d1, %in, 8; ld.global.u32 %r0, [%d1+-4];"),
        0xdead_beef
    );
    assert_eq!(load("ld.u32 %r0, [%in];"), 0x8765_4321);
    // Neighbours of a narrow store keep what they had.
    let body = "mov.u32 %r1, 0; st.global.u32 [%o], %r1; mov.u16 %h1, 0xabcd; st.global.u16 [%o+2], %h1; \
                mov.u16 %h2, 0x7f; st.global.u8 [%o], %h2;";
    assert_eq!(words("", body, WARP, &input)[7], 0xabcd_007f);
}

#[test]
fn fresh_memory_is_not_a_number() {
    let shared = format!("{PLACE} ld.shared.u32 %r0, [%r1]; st.global.u32 [%o], %r0;");
    assert!(
        words(SM, &shared, WARP, &[0])
            .iter()
            .all(|w| f32::from_bits(*w).is_nan())
    );
    assert_eq!(words("", "", WARP, &[0]), vec![u32::MAX; 32]);
    assert_eq!(
        words("", "st.global.f32 [%o], %f3;", WARP, &[0]),
        vec![u32::MAX; 32]
    );
}

#[test]
fn shared_local_constant_and_generic() {
    let swap = format!(
        "{PLACE} st.shared.u32 [%r1], %t; bar.sync 0; ld.shared.u32 %r0, [%r2]; st.global.u32 [%o], %r0;"
    );
    assert_eq!(
        words(SM, &swap, TWO_WARPS, &[0]),
        (0..64).map(|t| t ^ 32).collect::<Vec<_>>()
    );
    // The same through generic addresses, in dynamic memory.
    let generic = swap.replace(
        "st.shared.u32 [%r1], %t;",
        "cvt.u64.u32 %d1, %r1; cvta.shared.u64 %d2, %d1; st.u32 [%d2], %t; cvta.to.shared.u64 %d3, %d2;",
    );
    let dynamic = Run {
        dynamic: 256,
        ..TWO_WARPS
    };
    let out = words(
        ".extern .shared .align 16 .b8 sm[];",
        &generic,
        dynamic,
        &[0],
    );
    assert_eq!(out, (0..64).map(|t| t ^ 32).collect::<Vec<_>>());
    let local = ".local .align 8 .b8 depot[16]; mov.u64 %d1, depot; cvta.local.u64 %d2, %d1; st.local.u32 [%d1+8], %t; \
                 ld.u32 %r0, [%d2+8]; st.global.u32 [%o], %r0;";
    assert_eq!(words("", local, WARP, &[0]), (0..32).collect::<Vec<_>>());
    let table = ".const .align 4 .b32 table[4] = {10, 20, 30, 40}; .global .align 4 .b8 bytes[4] = {1, 2, 3, 4};";
    let body = "mov.u64 %d1, table; ld.const.u32 %r0, [%d1+8]; ld.global.u32 %r1, [bytes]; add.u32 %r0, %r0, %r1; \
                st.global.u32 [%o], %r0;";
    assert_eq!(words(table, body, WARP, &[0])[0], 0x0403_0201 + 30);
    assert_eq!(
        words(
            "",
            "ld.param.u32 %r0, [in+4]; st.global.u32 [%o], %r0;",
            WARP,
            &[0]
        )[0],
        0x7f00
    );
}

#[test]
fn atomics() {
    let all = |op: &str, start: u32| {
        let ptx = module(
            "",
            &format!(
                "mov.u32 %r1, {start}; setp.eq.u32 %p1, %t, 0; @%p1 st.global.u32 [%out], %r1; bar.sync 0; add.u32 %r2, %t, 1; {op}"
            ),
        );
        run(&ptx, TWO_WARPS, &[0], 64).expect("runs")[0]
    };
    assert_eq!(all("red.global.add.u32 [%out], %r2;", 5), 5 + 64 * 65 / 2);
    assert_eq!(all("atom.global.add.u32 %r3, [%out], %r2;", 0), 64 * 65 / 2);
    assert_eq!(all("red.global.max.s32 [%out], %r2;", u32::MAX), 64);
    assert_eq!(all("red.global.min.u32 [%out], %r2;", u32::MAX), 1);
    assert_eq!(all("red.global.or.b32 [%out], %r2;", 0), 127);
    assert_eq!(all("red.global.and.b32 [%out], %r2;", 127), 0);
    assert_eq!(
        all(
            "cvt.rn.f32.u32 %f1, %r2; red.global.add.f32 [%out], %f1;",
            0
        ),
        (64.0_f32 * 65.0 / 2.0).to_bits()
    );
    assert!(all("atom.global.cas.b32 %r3, [%out], %t, %r2;", 0) > 0);
    // One counter for many blocks.
    let ptx = module(
        "",
        "red.global.add.u32 [%in], 1; setp.eq.u32 %p1, %t, 77; @%p1 st.global.u32 [%o], %t;",
    );
    run(&ptx, Run { blocks: 50, ..WARP }, &[0], 32).expect("runs");
    let shared = format!(
        "{PLACE} setp.eq.u32 %p1, %t, 0; mov.u32 %r5, 0; @%p1 st.shared.u32 [sm], %r5; bar.sync 0; \
                          atom.shared.add.u32 %r6, [sm], 2; bar.sync 0; ld.shared.u32 %r0, [sm]; st.global.u32 [%o], %r0;"
    );
    assert_eq!(words(SM, &shared, TWO_WARPS, &[0]), vec![128; 64]);
}

#[test]
fn out_of_bounds_is_reported() {
    use FaultKind::IllegalAddress;
    // The 64 input words end at byte 256.
    let past = fault("", "ld.global.u32 %r0, [%in+256];", WARP);
    expect(
        &past,
        IllegalAddress,
        "offset 256 of an allocation of 256 bytes",
    );
    assert_eq!((past.kernel.as_str(), past.block), ("k", [0; 3]));
    assert_eq!(past.source, "ld.global.u32 %r0, [%in+256];");
    expect(
        &fault("", "ld.global.u32 %r0, [%in+-4];", WARP),
        IllegalAddress,
        "4 bytes before",
    );
    expect(
        &fault(
            "",
            "st.global.v4.u32 [%out+256], {%r0, %r1, %r2, %r3};",
            WARP,
        ),
        IllegalAddress,
        "16 bytes",
    );
    expect(
        &fault("", "mov.u64 %d1, 0; ld.global.u32 %r0, [%d1];", WARP),
        IllegalAddress,
        "in no allocation",
    );
    expect(
        &fault("", "atom.global.add.u32 %r0, [%in+400], 1;", WARP),
        IllegalAddress,
        "offset 400",
    );
    expect(
        &fault(SM, "ld.shared.u32 %r0, [sm+1024];", WARP),
        IllegalAddress,
        "shared address 0x800",
    );
    expect(
        &fault(SM, "mov.u32 %r1, 0; st.shared.u32 [%r1], %r1;", WARP),
        IllegalAddress,
        "shared address 0x0",
    );
    expect(
        &fault("", ".local .b8 l[8]; ld.local.u32 %r0, [l+8];", WARP),
        IllegalAddress,
        "Local",
    );
    // Shared memory that the launch did not give.
    expect(
        &fault(
            ".extern .shared .align 16 .b8 sm[];",
            "ld.shared.u32 %r0, [sm];",
            WARP,
        ),
        IllegalAddress,
        "shared",
    );
    let copy = "mov.u32 %r1, sm; cp.async.cg.shared.global [%r1], [%in+256], 16;";
    expect(
        &fault(SM, copy, Run { threads: 1, ..WARP }),
        IllegalAddress,
        "offset 256",
    );
}

#[test]
fn the_first_block_that_fails_is_the_one_reported() {
    // Blocks from 7 on read past the end, the later ones sooner.
    let body = "mov.u32 %r1, %ctaid.x; mov.u32 %r2, 40; sub.u32 %r2, %r2, %r1; L: sub.u32 %r2, %r2, 1; \
                setp.ne.s32 %p1, %r2, 0; @%p1 bra L; mad.lo.s32 %r3, %r1, 37, %r1; mul.wide.u32 %d1, %r3, 1; \
                and.b64 %d1, %d1, -4; add.s64 %d1, %d1, %in; ld.global.u32 %r4, [%d1];";
    for _ in 0..20 {
        let how = Run { blocks: 40, ..WARP };
        let (_, report) = run_report(&module("", body), how, &[0; 64], 64).expect_err("a fault");
        assert_eq!(report.expect("a report").block, [7, 0, 0]);
    }
}

#[test]
fn misaligned_is_reported() {
    use FaultKind::Misaligned;
    expect(
        &fault("", "ld.global.u32 %r0, [%in+2];", WARP),
        Misaligned,
        "misaligned: 4 bytes",
    );
    expect(
        &fault("", "ld.global.v4.f32 {%f0, %f1, %f2, %f3}, [%in+8];", WARP),
        Misaligned,
        "16 bytes",
    );
    expect(
        &fault(SM, "st.shared.u64 [sm+4], %d1;", WARP),
        Misaligned,
        "8 bytes",
    );
    let matrix = "mov.u32 %r1, sm; ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r0}, [%r1+8];";
    expect(&fault(SM, matrix, WARP), Misaligned, "16 bytes");
    let copy = "mov.u32 %r1, sm; cp.async.cg.shared.global [%r1+4], [%in], 16;";
    expect(
        &fault(SM, copy, Run { threads: 1, ..WARP }),
        Misaligned,
        "16 bytes",
    );
}

#[test]
fn use_after_free_is_reported() {
    let mut device = Device::new(Config::default());
    let program = device
        .load(&module("", "ld.global.u32 %r0, [%in+4];"))
        .expect("loads");
    let gone = device.upload(&[0; 64]).expect("memory");
    assert!(device.free(gone) && !device.free(gone));
    let failure = device
        .launch(&program, "k", [1; 3], [32, 1, 1], 0, &[gone, gone])
        .expect_err("a fault");
    assert!(
        failure
            .message
            .contains("in a freed allocation of 64 bytes (offset 4)"),
        "{failure}"
    );
    // The error sticks.
    assert_eq!(device.upload(&[0]).expect_err("sticks").code, 700);
}

#[test]
fn races_in_shared_memory_are_reported() {
    use FaultKind::LaunchFailed;
    let race = |body: &str| fault(SM, &format!("{PLACE}{body}"), TWO_WARPS);
    // Written, then read by another warp; the other way round; written twice.
    let missing = race("st.shared.u32 [%r1], %t; ld.shared.u32 %r0, [%r2];");
    assert_eq!(missing.kind, LaunchFailed);
    assert!(
        missing.message.contains("race") && missing.message.contains("no barrier between"),
        "{missing}"
    );
    let first = "st.shared.u32 [%r1], %t; bar.sync 0;";
    assert_eq!(
        race(&format!(
            "{first} ld.shared.u32 %r0, [%r2]; st.shared.u32 [%r1], %r0;"
        ))
        .kind,
        LaunchFailed
    );
    expect(&race("st.shared.u32 [sm], %t;"), LaunchFailed, "writes");
    // Through ldmatrix, which reads what other threads wrote.
    let matrix = "mov.u32 %r3, sm; mad.lo.s32 %r1, %t, 16, %r3; st.shared.v4.b32 [%r1], {%r1, %r1, %r1, %r1};
                  add.u32 %r2, %r3, 512; setp.lt.u32 %p1, %t, 32; selp.b32 %r2, 512, -512, %p1; add.s32 %r2, %r1, %r2;
                  ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r4, %r5, %r6, %r7}, [%r2];";
    expect(&fault(SM, matrix, TWO_WARPS), LaunchFailed, "race");
    // In one warp, too: lanes are not in step.
    let lanes =
        format!("{PLACE} st.shared.u32 [%r1], %t; xor.b32 %r5, %r1, 4; ld.shared.u32 %r0, [%r5];");
    expect(&fault(SM, &lanes, WARP), LaunchFailed, "race");
}

#[test]
fn what_barriers_order_is_no_race() {
    let loop_ = format!(
        "{PLACE} mov.u32 %r7, 0; mov.u32 %r8, %t; L: st.shared.u32 [%r1], %r8; bar.sync 0; ld.shared.u32 %r9, [%r2]; \
         add.u32 %r8, %r8, %r9; bar.sync 0; add.u32 %r7, %r7, 1; setp.lt.u32 %p1, %r7, 5; @%p1 bra L; \
         st.global.u32 [%o], %r8;"
    );
    let out = words(SM, &loop_, TWO_WARPS, &[0]);
    assert_eq!((out[0], out[40]), (32 * 16, (40 + 8) * 16));
    // A warp barrier orders the lanes of a warp.
    let warp = format!(
        "{PLACE} st.shared.u32 [%r1], %t; bar.warp.sync -1; xor.b32 %r5, %r1, 4; ld.shared.u32 %r0, [%r5]; \
         bar.warp.sync -1; st.shared.u32 [%r1], %r0; st.global.u32 [%o], %r0;"
    );
    assert_eq!(
        words(SM, &warp, WARP, &[0]),
        (0..32).map(|t| t ^ 1).collect::<Vec<_>>()
    );
    // Many may read; two halves of one word have two owners.
    let halves = "mov.u32 %r3, sm; mad.lo.s32 %r1, %t, 2, %r3; cvt.u16.u32 %h1, %t; st.shared.u16 [%r1], %h1; bar.sync 0; \
                  ld.shared.u16 %h2, [sm+2]; cvt.u32.u16 %r0, %h2; st.global.u32 [%o], %r0;";
    assert_eq!(words(SM, halves, TWO_WARPS, &[0]), vec![1; 64]);
    // Threads that have ended do not hold up a barrier.
    let ended = format!(
        "{PLACE} setp.ge.u32 %p1, %t, 32; @%p1 ret; st.shared.u32 [%r1], %t; bar.sync 0; \
                         ld.shared.u32 %r0, [sm]; st.global.u32 [%o], %r0;"
    );
    assert_eq!(words(SM, &ended, TWO_WARPS, &[0])[..32], [0; 32]);
}

/// Each thread copies its 16 bytes, then does `after`.
fn copy(size: &str, after: &str) -> String {
    format!(
        "mov.u32 %r3, sm; mad.lo.s32 %r1, %t, 16, %r3; mul.wide.u32 %d1, %t, 16; add.s64 %d1, %d1, %in; \
         cp.async.cg.shared.global [%r1], [%d1], 16{size};\n{after}\nst.global.u32 [%o], %r0;"
    )
}

#[test]
fn cp_async_lands_when_it_was_waited_for() {
    let how = Run {
        threads: 16,
        ..WARP
    };
    let input: Vec<u32> = (0..64).collect();
    let done = copy(
        "",
        "cp.async.commit_group; cp.async.wait_group 0; ld.shared.u32 %r0, [%r1+4];",
    );
    assert_eq!(
        words(SM, &done, how, &input),
        (0..16).map(|t| 4 * t + 1).collect::<Vec<_>>()
    );
    let all = copy("", "cp.async.wait_all; ld.shared.u32 %r0, [%r1+4];");
    assert_eq!(words(SM, &all, how, &input)[3], 13);
    // The rest of a short source is zero; an empty one need not exist.
    let short = copy(
        ", 8",
        "cp.async.wait_all; ld.shared.v4.u32 {%r4, %r5, %r6, %r7}, [%r1]; shl.b32 %r0, %r5, 8; or.b32 %r0, %r0, %r6;",
    );
    assert_eq!(words(SM, &short, how, &input)[3], 13 << 8);
    let none = "mov.u64 %d1, 0; mov.u32 %r2, 0; mov.u32 %r1, sm; mad.lo.s32 %r1, %t, 16, %r1; \
                cp.async.cg.shared.global [%r1], [%d1], 16, %r2; cp.async.wait_all; ld.shared.u32 %r0, [%r1]; st.global.u32 [%o], %r0;";
    assert_eq!(words(SM, none, how, &input), vec![0; 16]);
    // Groups land in order: with one still allowed in flight, the first is there.
    let groups = copy(
        "",
        "cp.async.commit_group; cp.async.cg.shared.global [%r1+512], [%d1], 16; cp.async.commit_group; \
         cp.async.wait_group 1; ld.shared.u32 %r0, [%r1];",
    );
    assert_eq!(words(SM, &groups, how, &input)[5], 20);
}

#[test]
fn missing_waits_are_reported() {
    use FaultKind::LaunchFailed;
    let how = Run { threads: 4, ..WARP };
    let flight = |after: &str| {
        let report = fault(SM, &copy("", after), how);
        expect(&report, LaunchFailed, "under way: no wait before");
    };
    flight("ld.shared.u32 %r0, [%r1];");
    flight("cp.async.commit_group; ld.shared.u32 %r0, [%r1];");
    // Not committed: the wait is for groups.
    flight("cp.async.wait_group 0; ld.shared.u32 %r0, [%r1];");
    flight("cp.async.commit_group; cp.async.wait_group 1; ld.shared.u32 %r0, [%r1];");
    flight("cp.async.commit_group; st.shared.u32 [%r1], %t;");
    // A barrier is no wait, and a wait is no barrier.
    flight("cp.async.commit_group; bar.sync 0; ld.shared.u32 %r0, [%r1];");
    let other = "xor.b32 %r2, %r1, 16; cp.async.commit_group; cp.async.wait_group 0; ld.shared.u32 %r0, [%r2];";
    let report = fault_any(&copy("", other), how);
    assert!(
        report.message.contains("race") || report.message.contains("under way"),
        "{report}"
    );
    let good = copy(
        "",
        "xor.b32 %r2, %r1, 16; cp.async.wait_all; bar.sync 0; ld.shared.u32 %r0, [%r2];",
    );
    words(SM, &good, how, &[7; 64]);
}

/// A fault, whichever thread meets it first.
fn fault_any(body: &str, how: Run) -> Box<Report> {
    let ptx = module(SM, body);
    (0..6)
        .map(|seed| {
            run_report(&ptx, Run { seed, ..how }, &[0; 64], 64)
                .expect_err("a fault")
                .1
                .expect("a report")
        })
        .next_back()
        .expect("a report")
}

#[test]
fn divergence_at_barriers_is_reported() {
    use FaultKind::LaunchFailed;
    let odd = "and.b32 %r1, %t, 1; setp.eq.s32 %p1, %r1, 1;\n";
    let report = fault(
        "",
        &format!("{odd}@%p1 bra A;\nbar.sync 0;\nbra B;\nA:\nbar.sync 0;\nB:"),
        TWO_WARPS,
    );
    expect(&report, LaunchFailed, "divergence");
    assert!(
        report.message.contains("32 threads") && report.message.contains("bar.sync 0"),
        "{report}"
    );
    let two = "setp.lt.u32 %p1, %t, 32; selp.b32 %r1, 1, 2, %p1; bar.sync %r1;";
    expect(&fault("", two, TWO_WARPS), LaunchFailed, "divergence");
    // A barrier that some lanes never come to, while they wait for others in their turn.
    let crossed =
        format!("{odd}@%p1 bra A;\nbar.sync 0;\nA: shfl.sync.idx.b32 %r0, %t, 0, 31, -1;");
    expect(&fault("", &crossed, WARP), LaunchFailed, "divergence");
}

#[test]
fn endless_loops_and_traps_are_reported() {
    expect(
        &fault("", "L: bra L;", WARP),
        FaultKind::Timeout,
        "no end in sight",
    );
    expect(&fault("", "trap;", WARP), FaultKind::LaunchFailed, "trap");
    let table = "T: .branchtargets A; mov.u32 %r1, 5; brx.idx %r1, T; A:";
    expect(
        &fault("", table, WARP),
        FaultKind::IllegalAddress,
        "branch index 5, 1 targets",
    );
}

#[test]
fn barriers_of_a_spinning_warp_make_progress() {
    // One warp waits in a loop for a flag that another sets: turns end, so it comes.
    let body = "setp.lt.u32 %p1, %t, 32; @%p1 bra S; mov.u32 %r1, 1; setp.eq.u32 %p2, %t, 32; \
                @%p2 atom.global.exch.b32 %r2, [%in], %r1; bra E; S: atom.global.or.b32 %r2, [%in], 0; \
                setp.eq.u32 %p3, %r2, 0; @%p3 bra S; E: st.global.u32 [%o], %t;";
    assert_eq!(
        run(&module("", body), TWO_WARPS, &[0; 64], 64).expect("runs")[3],
        3
    );
}
