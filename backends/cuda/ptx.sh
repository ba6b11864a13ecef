#!/usr/bin/env bash
# Compiles kernels/*.cu to kernels/ptx/*.ptx with the pinned NVRTC and prints the report of ptxas.
# With --check it writes nothing and fails where a committed PTX file is stale.
# Needs python3 with pip; no GPU, no driver, no CUDA toolkit.
set -euo pipefail
cd "$(dirname "$0")"
tools=target/nvidia
pins=$(sha256sum kernels/requirements.txt | cut -c1-16)
if [ ! -e "$tools/$pins" ]; then
    rm -rf "$tools"
    mkdir -p "$tools"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
        --only-binary :all: --platform manylinux2014_x86_64 \
        -r kernels/requirements.txt -d "$tools/wheels"
    for wheel in "$tools"/wheels/*.whl; do
        python3 -m zipfile -e "$wheel" "$tools"
    done
    rm -r "$tools/wheels"
    touch "$tools/$pins"
fi
python3 kernels/compile.py "$tools" "$@"
