"""Ladders of known truth."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

from . import _frames, _options, _relscale
from ._frames import DataFrame
from ._ladder import Ladder

__all__ = ["Simulated", "scenarios", "simulate"]

#: Columns of a long table that are text.
_NAMES = {"corpus", "run", "distribution", "cluster", "item", "trajectory", "flop_convention",
          "held_out", "scale_name", "scorer"}  # fmt: skip


class Simulated:
    """A ladder whose laws are known.

    Attributes
    ----------
    ladder : Ladder
        The ladder.
    exponents : dict of str to float
        The true exponent of each distribution's ratio to the baseline.
    simulation : dict
        Everything that was drawn from; `simulate` takes it back.
    """

    def __init__(self, inner: _relscale.Ladder, truth: Mapping[str, Any], library: str | None) -> None:
        self.ladder = Ladder(inner, [], library)
        self.exponents: dict[str, float] = dict(truth["exponents"])
        self.simulation: dict[str, Any] = dict(truth["simulation"])
        self._library = library

    @property
    def frame(self) -> DataFrame:
        """The ladder as a long table."""
        return _frames.frame(_columns(str(self.ladder.to_csv())), self._library)


def _columns(text: str) -> dict[str, list[Any]]:
    """Return the columns of a long table that are not empty, its numbers to the bit."""
    rows = list(csv.DictReader(io.StringIO(text)))
    columns: dict[str, list[Any]] = {}
    for name in rows[0]:
        read = str if name in _NAMES else int if name == "seed" else float
        column = [read(row[name]) if row[name] else None for row in rows]
        if any(value is not None for value in column):
            columns[name] = column
    return columns


def scenarios() -> list[str]:
    """Return the names of the calibrated scenarios."""
    return _relscale.scenarios()


def simulate(
    simulation: str | Mapping[str, Any] = "plain",
    *,
    baseline: str = "baseline",
    replicate: int = 0,
    library: str | None = None,
    **changes: Any,
) -> Simulated:
    """Draw a ladder whose laws are known, to test an analysis.

    Parameters
    ----------
    simulation : str or mapping
        One of `scenarios`, or the `Simulated.simulation` of another draw.
    baseline : str
        Distribution that the exponents are against.
    replicate : int
        Number of the draw: the design is the same in all, noise and items are new.
    library : {"pandas", "polars", "pyarrow"}, optional
        Library of the frames; the first that is installed, if none is named.
    **changes
        Fields of the simulation: ``seeds=2``, ``budgets=[1e18, 1e19, 1e20]``, ``seed=1``.

    Returns
    -------
    Simulated

    Raises
    ------
    OptionError
        A field that does not exist, or with a value that makes no sense.
    FitError
        A simulation that cannot be drawn.

    Examples
    --------
    >>> import relscale
    >>> drawn = relscale.simulate("plain")
    >>> sorted(drawn.exponents)
    ['aggregate', 'treatment']
    >>> len(relscale.simulate(drawn.simulation, seeds=2).ladder)
    168
    """
    if not isinstance(simulation, str):
        simulation = json.dumps(simulation, default=_options.plain)
    inner, truth = _relscale.simulate(
        simulation, json.dumps(changes, default=_options.plain), baseline, replicate
    )
    return Simulated(inner, json.loads(truth), library)
