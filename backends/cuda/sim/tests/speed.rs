//! Speed of the simulator: `cargo test -p relscale-cuda-sim --test speed -- --ignored --nocapture`.

mod common;

use std::time::Instant;

use common::{Run, module};
use relscale_cuda_sim::{Config, Device};

#[test]
#[ignore = "a measurement"]
fn thread_instructions_a_second() {
    let scalar = "mov.f32 %f1, 0f3F800000; mov.u32 %r1, 0; L: fma.rn.f32 %f2, %f1, %f1, %f2; ld.global.f32 %f3, [%in]; \
                  add.f32 %f2, %f2, %f3; add.u32 %r1, %r1, 1; setp.lt.u32 %p1, %r1, 2000; @%p1 bra L;";
    let matrix = "mov.u32 %r3, sm; mad.lo.s32 %r4, %t, 16, %r3; st.shared.v4.b32 [%r4], {%r3, %r3, %r3, %r3}; bar.sync 0; \
                  mov.u32 %r1, 0; L: ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r5, %r6, %r7, %r8}, [%r4]; \
                  mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%f0, %f1, %f2, %f3}, {%r5, %r6, %r7, %r8}, {%r5, %r6}, \
                  {%f0, %f1, %f2, %f3}; add.u32 %r1, %r1, 1; setp.lt.u32 %p1, %r1, 2000; @%p1 bra L;";
    let how = Run {
        threads: 128,
        blocks: 8,
        ..common::WARP
    };
    for (name, body) in [("scalar", scalar), ("ldmatrix + mma", matrix)] {
        for workers in [1, 2] {
            let mut device = Device::new(Config {
                workers,
                ..Config::default()
            });
            let program = device
                .load(&module(".shared .align 16 .b8 sm[2048];", body))
                .expect("loads");
            let memory = device.upload(&[0; 4096]).expect("memory");
            let start = Instant::now();
            let (grid, block) = ([how.blocks, 1, 1], [how.threads, 1, 1]);
            device
                .launch(&program, "k", grid, block, 0, &[memory, memory])
                .expect("runs");
            let rate = device.steps() as f64 / start.elapsed().as_secs_f64() / 1e6;
            println!("{name}, {workers} workers: {rate:.1} M thread-instructions/s");
        }
    }
}
