#!/usr/bin/env bash
# Add the peers of table.py to a virtual environment that setup.sh has made.
#
#   bash benches/peers/setup_table.sh DIR
#
# llama.cpp is compiled for this processor (GGML_NATIVE), which takes some ten minutes on two cores; the
# instructions that it then uses are written to DIR/llama-build.txt. LLAMA_WHEEL=FILE installs a wheel
# that was compiled on such a processor.
set -euo pipefail
[ $# -eq 1 ] || { sed -n '2,8p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2; }
dir=$1
here=$(cd "$(dirname "$0")" && pwd)
pip() { "$dir/bin/python" -m pip --quiet --disable-pip-version-check "$@" >&2; }

grep -v '^llama' "$here/requirements-table.txt" > "$dir/requirements-without-llama.txt"
pip install -r "$dir/requirements-without-llama.txt"
flags='-DGGML_NATIVE=ON -DGGML_LLAMAFILE=ON -DLLAVA_BUILD=OFF'
if ! "$dir/bin/python" -c 'import llama_cpp' 2>/dev/null; then
    pip install diskcache jinja2 typing-extensions
    if [ -n "${LLAMA_WHEEL:-}" ]; then
        pip install --no-deps "$LLAMA_WHEEL"
    else
        CMAKE_ARGS=$flags pip install --no-deps --no-binary llama-cpp-python \
            "$(grep '^llama' "$here/requirements-table.txt")"
    fi
fi
cc -O3 -march=native -ffast-math -fopenmp -shared -fPIC -o "$dir/lib/log_softmax.so" "$here/log_softmax.c" -lm
"$dir/bin/python" - "$flags" > "$dir/llama-build.txt" <<'PY'
import sys
from llama_cpp import llama_cpp
print(f"built with {sys.argv[1]}; {llama_cpp.llama_print_system_info().decode().strip()}")
PY
