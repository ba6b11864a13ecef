"""The examples of the docstrings and of the README run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest
import relscale

MODULES = ["relscale"] + [
    f"relscale.{m.name}"
    for m in pkgutil.iter_modules(relscale.__path__)
    if m.name not in ("_relscale", "lm_eval")
]
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_docstrings(name):
    module = importlib.import_module(name)
    assert doctest.testmod(module, optionflags=OPTIONS).failed == 0


def test_examples_of_the_readme(monkeypatch):
    path = Path(__file__).parents[1] / "README.md"
    monkeypatch.chdir(Path(__file__).parents[2])
    assert doctest.testfile(str(path), module_relative=False, optionflags=OPTIONS).failed == 0


def test_public_names_have_docstrings():
    for name in relscale.__all__:
        if name != "__version__":
            assert getattr(relscale, name).__doc__, name
