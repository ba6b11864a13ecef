"""Relative scaling laws: how the gap between test distributions evolves as language models scale.

`fit` measures the laws of a table of losses; `simulate` draws tables of known truth. Frames of pandas,
polars and pyarrow go in, and frames of the same library come out. Every number comes from the Rust crate
of the same name.

Examples
--------
>>> import relscale
>>> losses = relscale.simulate("plain").frame
>>> analysis = relscale.fit(losses, baseline="baseline", aggregate="aggregate")
>>> print(analysis.summary())  # doctest: +SKIP
"""

from __future__ import annotations

from ._analysis import Analysis
from ._errors import FitError, LadderError, OptionError, PlotError, RelscaleError, ScoreError
from ._fit import fit
from ._ladder import Ladder, read_ladder
from ._options import Options
from ._plan import Plan, plan
from ._relscale import __version__
from ._score import Model, score
from ._simulate import Simulated, scenarios, simulate
from ._summary import Summary

__all__ = [
    "Analysis",
    "FitError",
    "Ladder",
    "LadderError",
    "Model",
    "OptionError",
    "Options",
    "Plan",
    "PlotError",
    "RelscaleError",
    "ScoreError",
    "Simulated",
    "Summary",
    "__version__",
    "fit",
    "plan",
    "read_ladder",
    "scenarios",
    "score",
    "simulate",
]
