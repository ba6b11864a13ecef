#!/usr/bin/env bash
# The threads and the unsafe code of the CPU backend under the thread and the address sanitizer, with a
# standard library that is instrumented too; then the orders in which its threads can meet, under loom.
#
#     rustup toolchain install nightly --component rust-src
set -euo pipefail
cd "$(dirname "$0")/.."
host=$(rustc -vV | sed -n 's/^host: //p')
for sanitizer in thread address; do
    # Products, attention and the head on several threads, in every floating-point environment.
    RUSTFLAGS="-Zsanitizer=$sanitizer" CARGO_TARGET_DIR="target/$sanitizer" \
        cargo ${TOOLCHAIN-+nightly} test -Zbuild-std --target "$host" -p relscale-cpu --lib --test environment
done
CARGO_TARGET_DIR=target/loom cargo test --release --manifest-path backends/cpu/loom/Cargo.toml
