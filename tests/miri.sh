#!/usr/bin/env bash
# The unsafe code of the CPU backend under Miri: its vector operations, and those kernels of the
# conformance kit that Miri gets through in minutes, portable and with AVX2.
#
#     rustup toolchain install nightly --component miri,rust-src
set -euo pipefail
cd "$(dirname "$0")/.."
# The thread pool makes pointers of integers, and does not keep to the older rules of borrowing.
export MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-ignore-leaks -Zmiri-tree-borrows -Zmiri-permissive-provenance"
checks=(add concat embed empty gather rope wrong_input)
for flags in "" "-Ctarget-feature=+avx2,+fma"; do
    export RUSTFLAGS=$flags
    cargo +nightly miri test -p relscale-cpu --lib -- every_operation
    cargo +nightly miri test --test conformance --no-default-features --features conformance -- \
        --exact "${checks[@]/#/cpu_one_thread::}"
done
