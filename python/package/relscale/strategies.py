"""Hypothesis strategies for ladders, to test code that fits them.

They draw what the strategies of the Rust crate draw: laws, noise, items and designs as real ladders have
them. What shrinks is the simulation, towards fewer budgets, sizes and items, flatter laws and less noise.

Examples
--------
>>> import relscale
>>> from hypothesis import given, settings
>>> from relscale import strategies
>>> @settings(max_examples=5, deadline=None)
... @given(strategies.ladders("isoflop"))
... def test(drawn):
...     analysis = relscale.fit(drawn.ladder, "baseline")
...     assert set(analysis.laws["treatment"]) <= {"treatment", "other", "aggregate"}
>>> test()
"""

from __future__ import annotations

from typing import Any, Literal

try:
    from hypothesis import strategies as st
except ImportError as error:  # pragma: no cover
    raise ImportError("the strategies need hypothesis: pip install 'relscale[hypothesis]'") from error

from ._simulate import Simulated, simulate

__all__ = ["ladders", "simulations"]

Design = Literal["isoflop", "rungs", "grid"]


def _between(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False, allow_subnormal=False)


def _shapes(design: Design) -> st.SearchStrategy[Any]:
    if design == "isoflop":
        fields = {"sizes": st.integers(6, 11), "drift": _between(-0.5, 0.5)}
        return st.fixed_dictionaries({"isoflop": st.fixed_dictionaries(fields)})
    if design == "rungs":
        return st.one_of(
            st.just("rungs"),
            st.fixed_dictionaries({"equal_tokens": st.fixed_dictionaries({"tokens": _between(1e9, 1e12)})}),
            st.fixed_dictionaries({"one_size": st.fixed_dictionaries({"params": _between(1e7, 1e9)})}),
        )
    if design == "grid":
        grid = {
            "params": st.integers(3, 5).map(lambda n: [1e8 * 2.5**i for i in range(n)]),
            "tokens_per_param": st.integers(3, 4).map(lambda n: [10.0 * 2.0**i for i in range(n)]),
        }
        trajectories = grid | {"correlation": _between(0.0, 0.9)}
        return st.one_of(
            st.fixed_dictionaries({"grid": st.fixed_dictionaries(grid)}),
            st.fixed_dictionaries({"trajectories": st.fixed_dictionaries(trajectories)}),
        )
    raise ValueError(f"no design {design!r}: there are isoflop, rungs and grid")


@st.composite
def simulations(draw: st.DrawFn, design: Design = "isoflop") -> dict[str, Any]:
    """Draw simulations of one design with the distributions treatment, baseline, other and aggregate.

    Parameters
    ----------
    draw
        Given by Hypothesis.
    design : {"isoflop", "rungs", "grid"}
        Design of the ladder.
    """
    shape = draw(_shapes(design))
    step = draw(_between(0.2, 0.5))
    noise = draw(_between(0.0, 0.002))
    clusters = draw(st.none() | st.integers(2, 9))
    distributions: list[dict[str, Any]] = []
    for name in ("treatment", "baseline", "other"):
        profile = [draw(_between(0.02, 0.04)), draw(_between(-0.004, 0.0)), 0.0]
        law: dict[str, Any] = {
            "name": name,
            "level": draw(_between(-0.5, 0.5)),
            "beta": draw(_between(0.0, 0.1)),
            "profile": profile,
            "shift": draw(_between(-0.3, 0.3)),
            "noise": noise,
            "data_per_param": 0.02,
        }
        if clusters is not None:
            # The spread of natural-language benchmarks, as the crate's own strategies have it.
            law["items"] = {
                "items": 2 * clusters,
                "clusters": clusters,
                "difficulty": [0.3, 0.4],
                "slope": [0.015, 0.04],
                "noise": 0.1,
            }
        distributions.append(law)
    aggregate = {"name": "aggregate", "level": 0.1, "beta": 0.05, "profile": [0.03, -0.003, 0.0]}
    return {
        "budgets": [1e18 * 10.0 ** (step * i) for i in range(draw(st.integers(4, 7)))],
        "shape": shape,
        "distributions": [*distributions, aggregate],
        "corpora": draw(st.integers(1, 2)),
        "run_noise": draw(_between(0.0, 0.002)),
        "seed": draw(st.integers(0, 2**32 - 1)),
    }


def ladders(design: Design = "isoflop", *, library: str | None = None) -> st.SearchStrategy[Simulated]:
    """Draw ladders of one design, each with the laws that it was drawn from.

    Parameters
    ----------
    design : {"isoflop", "rungs", "grid"}
        Design of the ladder.
    library : {"pandas", "polars", "pyarrow"}, optional
        Library of the frames.
    """
    # Now, and not when the first example is drawn.
    _shapes(design)
    return simulations(design).map(lambda fields: simulate(fields, library=library))
