"""Options of a fit, by the names of the Rust crate."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from ._errors import OptionError


class Options(TypedDict, total=False):
    """Options of `relscale.fit`.

    They have the names, the defaults and the checks of the Rust crate's ``fit::Options``.

    Attributes
    ----------
    treatments : sequence of str
        The distributions compared with the baseline; empty for all others except the aggregate.
    contrasts : sequence of mapping
        Comparisons beside those with the baseline: ``{"treatment": ..., "baseline": ...}``, with an
        optional ``"name"`` and an optional pair ``"minus"``.
    groups : mapping
        Groups of distributions by name: a list of members, or members with weights.
    worst : {"treatments", "groups"} or None
        The distributions among which the largest ratio is followed along the ladder.
    corpus_baseline : str or None
        The training corpus with which the others are compared.
    aggregate : str or None
        The distribution whose loss picks the compute-optimal size.
    design : {"auto", "isoflop", "rungs", "grid"}
        Design by which scales are compared.
    axis : {"flops", "params", "tokens"}
        The scale.
    averaging : {"micro", "macro"}
        Average of the clusters of a distribution.
    optimum : {"smoothed", "best_run", "parabola"}
        Point at which IsoFLOP profiles are read.
    covariance : {"ols", "hc2", "hc3", "ar1"}
        Covariance type of the fitted line.
    weighting : {"equal", "design"}
        Weights of the readings.
    items : {"population", "fixed"}
        Population that the items stand for.
    stratified : sequence of str
        Distributions whose clusters are named ``stratum/cluster``.
    specification_term : bool
        If true, the disagreement of two rules of reading enters the variance.
    robust : bool
        If true, runs far from their size profile count less.
    moderation : bool
        If true, variances of eight or more treatments are moderated towards a common one.
    margin_percent : float
        Smallest change of the ratio that matters, in percent per decade of compute.
    gap_margin_percent : float
        Largest gap that does not matter, in percent.
    family : {"corpus", "all"}
        The family of laws that p-values and intervals are adjusted for.
    alpha : float
        Level of tests; intervals have level ``1 - alpha``.
    tokens_per_param : float or None
        Tokens per parameter at which grids are read.
    chance : mapping of str to float
        Loss of a model that knows nothing, per distribution.
    chance_either_side : sequence of str
        Distributions whose chance level lies within the range of what models reach.
    error_rates : sequence of str
        Distributions whose loss is an error rate.
    across_scorers : bool
        If true, distributions of different scorers are compared.
    mixed_model : bool
        If true, a mixed model is fitted beside each law.
    covariate : mapping of str to float
        Value of a covariate for each distribution, on which the exponents are regressed.
    surface_huber : float or None
        Threshold of Huber's loss for the surfaces.
    surface_draws : int or None
        Number of redrawn sets of runs behind the intervals of the surfaces.
    partial_pooling : bool
        If true, exponents are drawn towards their mean, for display.
    predict_at : sequence of float
        Scales at which the ratio is predicted.
    crossed_bootstrap : bool
        If true, each law gets a bootstrap interval of runs crossed with items.
    wild_bootstrap : bool
        If true, each law gets an interval by wild draws of the runs.
    max_t : bool
        If true, each law gets an interval that holds for all laws at once.
    floor_draws : int
        Number of redrawn pairs behind the ratio of two laws with floors.
    seed : int
        Seed of random draws.
    """

    treatments: Sequence[str]
    contrasts: Sequence[Mapping[str, Any]]
    groups: Mapping[str, Sequence[str] | Mapping[str, float]]
    worst: Literal["treatments", "groups"] | None
    corpus_baseline: str | None
    aggregate: str | None
    design: Literal["auto", "isoflop", "rungs", "grid"]
    axis: Literal["flops", "params", "tokens"]
    averaging: Literal["micro", "macro"]
    optimum: Literal["smoothed", "best_run", "parabola"]
    covariance: Literal["ols", "hc2", "hc3", "ar1"]
    weighting: Literal["equal", "design"]
    items: Literal["population", "fixed"]
    stratified: Sequence[str]
    specification_term: bool
    robust: bool
    moderation: bool
    margin_percent: float
    gap_margin_percent: float
    family: Literal["corpus", "all"]
    alpha: float
    tokens_per_param: float | None
    chance: Mapping[str, float]
    chance_either_side: Sequence[str]
    error_rates: Sequence[str]
    across_scorers: bool
    mixed_model: bool
    covariate: Mapping[str, float]
    surface_huber: float | None
    surface_draws: int | None
    partial_pooling: bool
    predict_at: Sequence[float]
    crossed_bootstrap: bool
    wild_bootstrap: bool
    max_t: bool
    floor_draws: int
    seed: int


#: Options whose value is a list of names: one name alone is a slip that would be read letter by letter.
_LISTS = {
    "treatments",
    "stratified",
    "chance_either_side",
    "error_rates",
    "contrasts",
    "predict_at",
}


def to_json(baseline: str, options: Mapping[str, Any]) -> str:
    """Return the options as the JSON that the crate reads."""
    known = Options.__annotations__
    for name in options:
        if name not in known:
            raise TypeError(f"fit() got an unknown option {name!r}{did_you_mean(name, known)}")
    if not isinstance(baseline, str):
        kind = type(baseline).__name__
        raise TypeError(f"baseline is the name of a distribution, not {kind}")
    for name in _LISTS & options.keys():
        if isinstance(options[name], str):
            raise OptionError(f"option {name}: a list, not the text {options[name]!r}")
    try:
        return json.dumps({"baseline": baseline, **options}, default=plain, allow_nan=False)
    except ValueError as error:
        raise OptionError(f"options: {error}") from None


def did_you_mean(name: str, known: Any) -> str:
    """Return a hint at the known name closest to `name`, empty without one."""
    near = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def plain(value: Any) -> Any:
    """Return a value that JSON has for one of NumPy, a set or a frame's column."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "to_list"):
        return value.to_list()
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    kind = type(value).__name__
    raise TypeError(f"an option cannot hold a value of type {kind}")
