"""Suites that are not trained yet."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from . import _frames, _options, _relscale
from ._frames import DataFrame


class Plan:
    """The runs of an IsoFLOP suite.

    Attributes
    ----------
    recipe : dict
        The rules of the suite; `plan` takes them back.
    """

    def __init__(self, found: Mapping[str, Any], library: str | None) -> None:
        self.recipe: dict[str, Any] = dict(found["recipe"])
        self._runs: list[dict[str, Any]] = list(found["runs"])
        self._library = library

    @property
    def runs(self) -> DataFrame:
        """The runs: budget, shape, batch, steps, learning rate, tokens and FLOPs."""
        return _frames.frame(_frames.columns_of(self._runs, ()), self._library)

    @property
    def training_flops(self) -> float:
        """Training FLOPs of all runs."""
        return sum(float(run["training_flops"]) for run in self._runs)

    def forecast(
        self,
        *,
        seeds: int = 1,
        margin_percent: float = 0.5,
        budget_noise: float = 0.001,
        run_noise: float = 0.003,
        cluster_noise: float = 0.0,
        clusters: int = 0,
        frontier_error: float = 0.0,
    ) -> dict[str, float]:
        """Forecast the exponent that the suite can detect.

        Parameters
        ----------
        seeds : int
            Seeds per run.
        margin_percent : float
            Margin of the equivalence test, percent of the gap per decade of compute.
        budget_noise, run_noise : float
            Standard deviations of the log ratio shared by the runs of a budget, and between them.
        cluster_noise : float
            Standard deviation of the exponent between item clusters.
        clusters : int
            Clusters of test items; 0 for items that are the whole population.
        frontier_error : float
            Standard error that the uncertain frontier adds.

        Returns
        -------
        dict
            ``minimum_detectable`` (with 80 % probability at 5 %), ``standard_error``,
            ``equivalence_power`` and their parts.

        Raises
        ------
        FitError
            A number outside its range.

        Examples
        --------
        >>> import relscale
        >>> forecast = relscale.plan().forecast(seeds=2)
        >>> 0.001 < forecast["minimum_detectable"] < 0.01
        True
        """
        budgets = [run["budget"] for run in self._runs]
        planned = {
            "lowest_flops": min(self.recipe["budgets"]),
            "highest_flops": max(self.recipe["budgets"]),
            "budgets": len(self.recipe["budgets"]),
            # The weakest budget: the forecast has one number of sizes.
            "sizes": min(budgets.count(budget) for budget in self.recipe["budgets"]),
            "seeds": seeds,
            "budget_noise": budget_noise,
            "run_noise": run_noise,
            "frontier_error": frontier_error,
            "cluster_noise": cluster_noise,
            "clusters": clusters,
        }
        found: dict[str, float] = json.loads(_relscale.forecast(json.dumps(planned), margin_percent))
        return found

    def __repr__(self) -> str:
        return f"<Plan of {len(self._runs)} runs, {self.training_flops:.3e} training FLOPs>"


def plan(recipe: Mapping[str, Any] | None = None, *, library: str | None = None, **changes: Any) -> Plan:
    """List the runs of an IsoFLOP suite.

    Parameters
    ----------
    recipe : mapping, optional
        Rules of a suite, such as the `Plan.recipe` of another; those of the paper without it.
    library : {"pandas", "polars", "pyarrow"}, optional
        Library of the frames; the first that is installed, if none is named.
    **changes
        Fields of the recipe: ``budgets=[1e18, 1e19, 1e20]``, ``vocab=50304``.

    Returns
    -------
    Plan

    Raises
    ------
    OptionError
        A field that does not exist, or rules that make no suite.

    Examples
    --------
    >>> import relscale
    >>> relscale.plan()
    <Plan of 85 runs, 9.225e+21 training FLOPs>
    >>> len(relscale.plan(budgets=[1e18, 1e19, 1e20]).runs["budget"].unique())
    3
    """
    text = None if recipe is None else json.dumps(recipe, default=_options.plain)
    found = _relscale.plan(text, json.dumps(changes, default=_options.plain))
    return Plan(json.loads(found), library)
