"""Drawings on axes of matplotlib. Every number is one of the analysis."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from ._errors import PlotError
from ._options import did_you_mean

#: Kinds of drawings.
Kind: TypeAlias = "Literal['ratio', 'ratios', 'forest', 'profiles', 'traditional']"

#: Colours that remain apart for the colour-blind (Okabe and Ito).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")


def draw(
    everything: Mapping[str, Any],
    bands: Sequence[Mapping[str, Any]],
    scale: str,
    kind: str,
    ax: Any,
    names: Sequence[str] | None,
    corpus: str | None,
) -> Any:
    """Draw `kind` on `ax`, or on new axes; return the axes."""
    if kind not in _DRAWINGS:
        known = ", ".join(_DRAWINGS)
        raise PlotError(f"no drawing {kind!r}: there are {known}{did_you_mean(kind, _DRAWINGS)}")
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError("drawings need matplotlib: pip install 'relscale[plot]'")
    corpora = [c["corpus"] for c in everything["corpora"]]
    corpus = corpus if corpus is not None else (corpora[0] if corpora else "")
    if corpus not in corpora:
        raise PlotError(f"no corpus {corpus!r}: there are {', '.join(corpora)}")
    if ax is None:
        from matplotlib import pyplot

        _, ax = pyplot.subplots(layout="constrained")
    _DRAWINGS[kind](_Data(everything, bands, scale, corpus, names), ax)
    return ax


class _Data:
    """What one drawing is of."""

    def __init__(
        self,
        everything: Mapping[str, Any],
        bands: Sequence[Mapping[str, Any]],
        scale: str,
        corpus: str,
        names: Sequence[str] | None,
    ) -> None:
        self.everything, self.scale, self.corpus = everything, scale, corpus
        laws = [(law["treatment"], law) for law in everything["laws"]]
        laws += [(c["name"], c["law"]) for c in everything["contrasts"]]
        found = [(name, law, band["band"]) for (name, law), band in zip(laws, bands, strict=True)]
        self.laws = [law for law in found if law[1]["corpus"] == corpus]
        if names is not None:
            known = [name for name, _, _ in self.laws]
            for name in names:
                if name not in known:
                    raise PlotError(
                        f"no law {name!r}: there are {', '.join(known)}{did_you_mean(name, known)}"
                    )
            self.laws = [law for law in self.laws if law[0] in names]
        if not self.laws:
            raise PlotError(f"nothing to draw: no laws of corpus {corpus!r}")

    @property
    def axis(self) -> str:
        unit = " (FLOPs)" if self.scale == "compute" else ""
        return f"{self.scale}{unit}"


def _colour(at: int) -> str:
    return _COLOURS[at % len(_COLOURS)]


def _ratio_axes(data: _Data, ax: Any) -> None:
    ax.axhline(1.0, color="0.6", linewidth=0.8)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel(data.axis)
    baselines = {law["baseline"] for _, law, _ in data.laws}
    against = f" to {baselines.pop()}" if len(baselines) == 1 else ""
    ax.set_ylabel(f"ratio of errors{against}")


def _law(ax: Any, name: str, law: Mapping[str, Any], band: Sequence[Mapping[str, Any]], at: int) -> None:
    readings = law["readings"]
    # The readings are ratios of the two errors, which the analysis holds.
    ratios = [r["treatment_error"] / r["baseline_error"] for r in readings]
    ax.plot([r["scale"] for r in readings], ratios, "o", color=_colour(at), markersize=4)
    ax.plot([p["scale"] for p in band], [p["ratio"] for p in band], color=_colour(at), label=name)


def _ratios(data: _Data, ax: Any) -> None:
    _ratio_axes(data, ax)
    for at, (name, law, band) in enumerate(data.laws):
        _law(ax, name, law, band, at)
    ax.legend(frameon=False, fontsize="small")


def _ratio(data: _Data, ax: Any) -> None:
    if len(data.laws) != 1:
        known = ", ".join(name for name, _, _ in data.laws)
        raise PlotError(f"a drawing 'ratio' is of one law: give names=[...] with one of {known}")
    _ratio_axes(data, ax)
    ((name, law, band),) = data.laws
    scales = [p["scale"] for p in band]
    level = f"{100 * (1 - data.everything['options']['alpha']):g} %"
    for ends, shade, label in (
        (("simultaneous_lower", "simultaneous_upper"), 0.12, f"{level}, everywhere at once"),
        (("lower", "upper"), 0.25, f"{level}, each scale alone"),
    ):
        low, high = ([p[end] for p in band] for end in ends)
        ax.fill_between(scales, low, high, color=_colour(0), alpha=shade, linewidth=0, label=label)
    _law(ax, name, law, band, 0)
    ax.set_title(law["sentence"], fontsize="small", wrap=True)
    ax.legend(frameon=False, fontsize="small")


def _forest(data: _Data, ax: Any) -> None:
    margin = data.laws[0][1]["equivalence"]["margin"]
    ax.axvspan(-margin, margin, color="0.9", linewidth=0)
    ax.axvline(0.0, color="0.6", linewidth=0.8)
    for at, (_, law, _) in enumerate(data.laws):
        decision = law["multiplicity"]["decision"]
        ax.plot([decision["lower"], decision["upper"]], [at, at], color=_colour(0))
        ax.plot([decision["value"]], [at], "o", color=_colour(0), markersize=4)
    ax.set_yticks(range(len(data.laws)), [name for name, _, _ in data.laws])
    ax.invert_yaxis()
    ax.set_xlabel("exponent of the ratio, with the interval that decides")


def _profiles(data: _Data, ax: Any) -> None:
    report = next(c for c in data.everything["corpora"] if c["corpus"] == data.corpus)
    budgets = sorted({p["budget"] for p in report["profiles"]})
    # Rungs have one size per budget, which is no profile.
    if not budgets or not report["frontier"]:
        raise PlotError(f"nothing to draw: no size profiles of corpus {data.corpus!r}")
    for at, budget in enumerate(budgets):
        points = sorted((p["params"], p["aggregate"]) for p in report["profiles"] if p["budget"] == budget)
        ax.plot(
            *zip(*points, strict=True),
            "o-",
            color=_colour(at),
            markersize=4,
            linewidth=0.8,
            label=f"{budget:.1e}",
        )
    for at, size in enumerate(report["frontier"]["smoothed"]):
        ax.axvline(size, color=_colour(at), linewidth=0.8, linestyle=":")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("parameters")
    ax.set_ylabel("aggregate loss")
    ax.legend(title="budget", frameon=False, fontsize="small")


def _traditional(data: _Data, ax: Any) -> None:
    wanted = {name for name, _, _ in data.laws} | {law["baseline"] for _, law, _ in data.laws}
    laws = [a for a in data.everything["absolute_laws"] if a["corpus"] == data.corpus]
    scales = next(c["scales"] for c in data.everything["corpora"] if c["corpus"] == data.corpus)
    for at, law in enumerate(a for a in laws if a["distribution"] in wanted):
        ax.plot(scales, law["errors"], "o", color=_colour(at), markersize=4)
        alpha, beta, reference = law["alpha"]["value"], law["beta"]["value"], law["reference_flops"]
        fitted = [alpha * (scale / reference) ** -beta for scale in scales]
        ax.plot(scales, fitted, color=_colour(at), label=law["distribution"])
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel(data.axis)
    ax.set_ylabel("error")
    ax.legend(frameon=False, fontsize="small")


_DRAWINGS: dict[str, Callable[[_Data, Any], None]] = {
    "ratio": _ratio,
    "ratios": _ratios,
    "forest": _forest,
    "profiles": _profiles,
    "traditional": _traditional,
}
