#!/usr/bin/env bash
# Make a Python virtual environment in DIR for the peers and the fixture scripts, CPU only.
#
#   bash benches/peers/setup.sh DIR          then DIR/bin/python benches/peers/transformers_forward.py ...
#   FULL_TORCH=1 bash benches/peers/setup.sh DIR
#
# On Linux x86-64 the torch wheel of the Python package index is built for CUDA and requires some
# 2 GB of libraries that a run on the CPU never calls. So the wheel is installed alone, with the two
# small libraries whose code runs when it loads (CUDA runtime, CUPTI) and empty ones (made here with
# cc) in place of the rest. Functions are bound lazily, so nothing misses them. FULL_TORCH=1, and
# every other platform, installs torch with all its requirements. About 0.6 GB to download, 1.7 GB on
# disk.
set -euo pipefail
[ $# -eq 1 ] || { sed -n '2,14p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2; }
dir=$1
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}

[ -x "$dir/bin/python" ] || "$python" -m venv "$dir"
pip() { "$dir/bin/python" -m pip --quiet --disable-pip-version-check "$@"; }
pip install --upgrade 'setuptools>=77.0.3'

if [ -n "${FULL_TORCH:-}" ] || [ "$(uname -s)-$(uname -m)" != Linux-x86_64 ]; then
    pip install -r "$here/requirements.txt"
else
    torch=$(grep '^torch==' "$here/requirements.txt")
    grep -v '^torch==' "$here/requirements.txt" > "$dir/requirements-without-torch.txt"
    pip install -r "$dir/requirements-without-torch.txt" \
        filelock fsspec jinja2 networkx sympy typing-extensions
    pip install --no-deps "$torch" 'nvidia-cuda-runtime==13.2.*' 'nvidia-cuda-cupti==13.2.*'

    site=$("$dir/bin/python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
    # Bind functions on first use, which never comes. Python would bind all of them at load.
    echo 'import os, sys; sys.setdlopenflags(os.RTLD_LAZY)' > "$site/cpu_only_torch.pth"
    # Variables are looked up at load whatever the flag; these are the ones looked up in NVSHMEM.
    stub=$(mktemp -d)
    trap 'rm -rf "$stub"' EXIT
    : > "$stub/empty.c"
    cat > "$stub/nvshmem.c" <<'C'
char nvshmem_init[64], nvshmem_selected_device_transport[64];
char nvshmemi_device_only_state[4096], nvshmemi_get_device_state_ptrs[64];
C
    echo 'NVSHMEM { global: *; };' > "$stub/nvshmem.map"
    cd "$site/torch/lib"
    missing=$(ldd ./libtorch_cuda.so ./libtorch_cuda_linalg.so ./libtorch_python.so ./libtorch_cpu.so |
        awk '/not found/ { print $1 }' | sort -u)
    for library in $missing; do
        case $library in
        libnvshmem_host.so.*)
            cc -shared -fPIC "-Wl,-soname,$library,--version-script=$stub/nvshmem.map" \
                -o "$library" "$stub/nvshmem.c" ;;
        *) cc -shared -fPIC "-Wl,-soname,$library" -o "$library" "$stub/empty.c" ;;
        esac
    done
    cd - > /dev/null
fi

"$dir/bin/python" - <<'PY'
import numpy, torch, transformers
from transformers import LlamaForCausalLM, Qwen3ForCausalLM
x = torch.ones(3, 3, dtype=torch.float64)
assert (x @ x).sum().item() == 27.0
print(f"torch {torch.__version__}, transformers {transformers.__version__}, numpy {numpy.__version__}")
PY
