#!/usr/bin/env bash
# Measure relscale and its peers in alternation on the same random checkpoints and items, check that
# they agree, and print one table.
#
#   bash benches/peers.sh [--quick] [--rows ROW...] [--rounds N] [--questions N] [--fresh] ...
#
# Peers: transformers, candle and, in bf16, torch and OpenVINO on running text, lm-evaluation-harness on
# multiple choice, the gemm crate. They are installed into target/peers, the Python ones into the virtual environment
# PEERS_VENV (target/peers/venv) unless they are there. Each row's result is kept in target/peers, so
# that an interrupted run resumes; --fresh measures again. `--help` lists the options.
#
#   bash benches/peers.sh table [--prepare | --smoke] [--cases CASE...] [--peers PEER...] ...
#
# Beside the fastest peers in every precision: torch with and without torch.compile, OpenVINO, llama.cpp. See
# peers/table.py. --prepare does all that needs no quiet machine.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
venv=${PEERS_VENV:-$root/target/peers/venv}

if ! "$venv/bin/python" -c 'import torch, transformers' 2>/dev/null; then
    mkdir -p "$(dirname "$venv")"
    bash "$here/peers/setup.sh" "$venv" >&2
fi
if [ "${1:-}" = table ]; then
    shift
    if ! [ -f "$venv/llama-build.txt" ]; then
        bash "$here/peers/setup_table.sh" "$venv"
    fi
    cargo build --quiet --release --manifest-path "$root/benches/peers/relscale/Cargo.toml" \
        --target-dir "$root/target/peers/relscale"
    exec "$venv/bin/python" "$here/peers/table.py" "$@"
fi
if ! "$venv/bin/python" -c 'import lm_eval' 2>/dev/null; then
    pip() { "$venv/bin/python" -m pip --quiet --disable-pip-version-check install "$@" >&2; }
    # Without dependencies: they require torch, which is there, and pip would fetch its CUDA libraries.
    pip --no-deps lm_eval==0.4.13 accelerate==1.15.0
    pip datasets==5.2.0 evaluate==0.4.6 jsonlines more-itertools pytablewriter rouge-score \
        sacrebleu scikit-learn sqlitedict word2number zstandard dill jinja2 psutil
fi
if ! "$venv/bin/python" -c 'import openvino' 2>/dev/null; then
    "$venv/bin/python" -m pip --quiet --disable-pip-version-check install openvino==2026.4.1 >&2
fi
cargo build --quiet --release --manifest-path "$root/Cargo.toml" -p relscale-cli
# Compiled for this processor, as candle's own instructions say.
RUSTFLAGS='-C target-cpu=native' cargo build --quiet --release \
    --manifest-path "$root/benches/peers/candle/Cargo.toml" --target-dir "$root/target/peers/candle"
exec "$venv/bin/python" "$here/peers/compare.py" "$@"
