#!/usr/bin/env bash
# The CPU backend on 64-bit ARM, emulated: its tests, and scores whose bytes are those of this machine.
#
#     rustup target add aarch64-unknown-linux-gnu
#     apt install qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross
set -euo pipefail
cd "$(dirname "$0")/.."
target=aarch64-unknown-linux-gnu
emulate="qemu-aarch64 -L /usr/aarch64-linux-gnu"
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=$emulate

cargo clippy --quiet -p relscale-cpu --all-targets --target $target -- -D warnings
cargo test -p relscale-cpu --lib --target $target
cargo test --test reproducibility --target $target
# Of the conformance tests those of this backend; the names of the others begin otherwise.
cargo test --test conformance --target $target -- cpu

cargo build --release -p relscale-cli
cargo build --release -p relscale-cli --target $target
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
head -4 suite/texts/english-help.jsonl >"$out/items.jsonl"
for checkpoint in $(find suite/checkpoints -name model.safetensors | sort | sed -n '1p;$p' | xargs dirname); do
    options=(--checkpoint "$checkpoint" --items "$out/items.jsonl" --per-token)
    target/release/relscale score "${options[@]}" --out "$out/here.jsonl"
    $emulate target/$target/release/relscale score "${options[@]}" --out "$out/there.jsonl"
    cmp "$out/here.jsonl" "$out/there.jsonl"
done
echo "the same bytes"
