"""Uses an installed wheel with NumPy alone and prints digests, to be compared between machines."""

from __future__ import annotations

import hashlib
from pathlib import Path

import relscale

ROOT = Path(__file__).resolve().parents[2]


def digest(data: bytes) -> str:
    """The SHA-256 of bytes."""
    return hashlib.sha256(data).hexdigest()


def main() -> None:
    """Fits the ladder of the repository and scores with its smallest and largest checkpoints."""
    ladder = relscale.read_ladder(ROOT / "suite" / "scores.csv")
    analysis = relscale.fit(ladder, "english-help", aggregate="aggregate", wild_bootstrap=True)
    # Without the path, which is that of this machine.
    text = analysis.to_json().replace(str(ROOT), "")
    print("fit", digest(text.encode()))
    print("figures", digest("".join(analysis.figures().values()).encode()))
    files = sorted(ROOT.glob("suite/checkpoints/*/*/model.safetensors"), key=lambda p: (p.stat().st_size, p))
    for file in (files[0], files[-1]):
        for precision in ("f32", "bf16"):
            model = relscale.Model(file.parent, precision=precision)
            nats = model.log_likelihoods([model.encode("The quick brown fox jumps over the lazy dog.")])
            print(file.parent.name, precision, digest(nats[0].tobytes()))


if __name__ == "__main__":
    main()
