"""What the tests share."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import relscale

ROOT = Path(__file__).resolve().parents[2]
SCORES = ROOT / "suite" / "scores.csv"


@pytest.fixture(scope="session")
def analysis() -> relscale.Analysis:
    """The laws of the ladder that is part of the repository."""
    return relscale.fit(SCORES, "english-help", aggregate="aggregate")


@pytest.fixture(scope="session")
def program() -> str:
    """The Rust program, built by the tests of the workspace."""
    for folder in ("debug", "release"):
        path = ROOT / "target" / folder / "relscale"
        if path.exists():
            return str(path)
    found = shutil.which("relscale-program")
    if found is None:
        pytest.skip("the Rust program is not built: cargo build -p relscale-cli")
    return found


@pytest.fixture(scope="session")
def run(program: str):
    """Run the program in the root of the repository; return what it prints."""

    def call(*arguments: object) -> str:
        command = [program, *map(str, arguments)]
        return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout

    return call
