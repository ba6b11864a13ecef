#!/usr/bin/env bash
# Builds what travels to a machine with a GPU and no Rust: tests, probe and benchmark, stripped, in .gpu/ of
# the repository, which git is told to ignore.
#
# usage: pack.sh [PROFILE]     a Cargo profile, release if none is named
#
# Then copy the repository with .gpu/ there, and run backends/cuda/on_device.sh.
set -euo pipefail
cd "$(git -C "$(dirname "$0")" rev-parse --show-toplevel)"
profile=${1:-release}
exclude=$(git rev-parse --git-path info/exclude)
mkdir -p "$(dirname "$exclude")"
grep -qxs /.gpu/ "$exclude" || echo /.gpu/ >> "$exclude"
tests=(kernels conformance golden_checkpoints device errors replicas)
rm -rf .gpu
mkdir .gpu
# One after the other, and with the whole workspace: so every crate is built once.
{
    cargo test --workspace --profile "$profile" "${tests[@]/#/--test=}" --bench cuda --no-run --message-format=json
    cargo build --workspace --profile "$profile" --example probe --message-format=json
} | python3 -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    target = message.get("target", {})
    # The package of the library has tests of the same names.
    own = "backends/cuda" in target.get("src_path", "") or target.get("kind") == ["bench"]
    if message.get("executable") and own and target["kind"][0] in ("test", "bench", "example"):
        print(target["name"], message["executable"])' |
    while read -r name executable; do
        strip -o ".gpu/$name" "$executable"
    done
git rev-parse HEAD > .gpu/commit
ls -l .gpu
for name in "${tests[@]}" cuda probe; do
    [ -x ".gpu/$name" ] || { echo "$name was not built" >&2; exit 1; }
done
