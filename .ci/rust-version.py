"""No dependency under the committed lock file asks for a newer Rust than this crate promises."""

import json
import subprocess
import sys

metadata = json.loads(
    subprocess.check_output(
        ["cargo", "metadata", "--format-version", "1", "--all-features", "--locked"]
    )
)


def version(text):
    return tuple(int(part) for part in (text.split(".") + ["0"])[:2])


packages = metadata["packages"]
promised = {p["name"]: p["rust_version"] for p in packages}["relscale"]
newer = [
    f"{p['name']} {p['version']} needs Rust {p['rust_version']}"
    for p in packages
    if p["rust_version"] and version(p["rust_version"]) > version(promised)
]
silent = sum(not p["rust_version"] for p in packages)
print(f"{len(packages)} packages, Rust {promised} promised, {silent} say nothing")
if newer:
    sys.exit("\n".join(newer))
