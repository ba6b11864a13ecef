"""The result of a fit: frames, summary, pictures, predictions."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from . import _frames, _relscale
from ._frames import DataFrame
from ._plot import Kind, draw
from ._summary import Summary

_TRADITIONAL = (
    "kind", "corpus", "distribution", "beta", "beta_lower", "beta_upper", "beta_standard_error",
    "beta_df", "beta_p_value", "alpha", "alpha_lower", "alpha_upper", "reference_flops",
)  # fmt: skip
_READINGS = (
    "kind", "corpus", "name", "treatment", "baseline", "run", "budget", "scale", "params",
    "treatment_error", "baseline_error", "log_ratio", "residual",
)  # fmt: skip


class Analysis:
    """Relative scaling laws with their intervals, verdicts and reservations.

    Every number is that of the Rust crate, to the bit. `fit` makes one, `from_json` reads one.

    Examples
    --------
    >>> import relscale
    >>> losses = relscale.simulate("plain").frame
    >>> analysis = relscale.fit(losses, "baseline", aggregate="aggregate")
    >>> analysis.laws[["treatment", "verdict"]].values.tolist()
    [['treatment', 'widens']]
    >>> round(float(analysis.laws["delta_beta"][0]), 4)
    0.0101
    """

    def __init__(
        self, inner: _relscale.Analysis, notes: Sequence[str] = (), library: str | None = None
    ) -> None:
        self._inner = inner
        self._library = library
        #: What was understood about the tables without being said, in sentences.
        self.notes: list[str] = list(notes)

    @cached_property
    def _all(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._inner.json())
        return found

    def _frame(self, columns: dict[str, list[Any]]) -> DataFrame:
        return _frames.frame(columns, self._library)

    @property
    def options(self) -> dict[str, Any]:
        """Every option of the fit, with its value."""
        return dict(self._all["options"])

    @property
    def answer(self) -> list[str]:
        """The laws in sentences, for quoting."""
        return self._inner.answer()

    def _laws(self, kinds: Iterable[str]) -> DataFrame:
        columns = self._inner.law_columns()
        wanted = set(kinds)
        kept = [k in wanted for k in columns["kind"]]
        return self._frame(
            {name: [v for v, keep in zip(column, kept, strict=True) if keep]
             for name, column in columns.items()}
        )  # fmt: skip

    @property
    def laws(self) -> DataFrame:
        """Relative laws, one row per corpus and treatment, the worst first.

        ``delta_beta`` has the interval of the law alone, ``decision`` the one that decides, adjusted
        for the number of laws. ``gamma`` is the ratio at ``reference_flops``.
        """
        return self._laws(("law", "error_rate"))

    @property
    def contrasts(self) -> DataFrame:
        """Laws of the contrasts and groups that the options name, with the columns of `laws`."""
        return self._laws(("contrast",))

    @property
    def arms(self) -> DataFrame:
        """Laws of each distribution between corpora, with the columns of `laws`."""
        return self._laws(("corpora",))

    @property
    def traditional(self) -> DataFrame:
        """The power law of each distribution by itself, ``E = alpha (F / reference_flops)^-beta``.

        Columns beyond those are its curvature, its floor and its semi-logarithmic form.
        """
        rows = []
        for kind, laws in (("loss", "absolute_laws"), ("error_rate", "rates")):
            for law in self._all[laws]:
                floor = law.get("floor") or {}
                row = _frames.flat({k: v for k, v in law.items() if k not in ("surface", "floor")})
                for name in ("floor", "exponent"):
                    if name in floor:
                        key = "floor" if name == "floor" else "floor_exponent"
                        row[key] = floor[name]
                        row[f"{key}_lower"], row[f"{key}_upper"] = floor[f"{name}_interval"]
                for name in ("amplitude", "floor_share", "aicc_difference", "p_value"):
                    if name in floor:
                        row[name if name.startswith("floor") else f"floor_{name}"] = floor[name]
                rows.append({"kind": kind, **row})
        return self._frame(_frames.columns_of(rows, _TRADITIONAL))

    @property
    def readings(self) -> DataFrame:
        """The readings that each law goes through, one row per law and scale."""
        rows = []
        named = [("contrast", c["name"], c["law"]) for c in self._all["contrasts"]]
        laws = [("law", law["treatment"], law) for law in self._all["laws"]]
        counts = [("error_rate", law["treatment"], law) for law in self._all["counts"]]
        for kind, name, law in laws + counts + named:
            sides = {k: law[k] for k in ("corpus", "treatment", "baseline")}
            rows += [{"kind": kind, "name": name, **sides, **r} for r in law["readings"]]
        return self._frame(_frames.columns_of(rows, _READINGS))

    @property
    def refused(self) -> DataFrame:
        """Comparisons and corpora that could not be analysed, with the reason."""
        return self._frame(
            _frames.columns_of(self._all["refused"], ("corpus", "distribution", "budget", "reason"))
        )

    def predict(self, flops: float | Iterable[float]) -> DataFrame:
        """Predict the ratio of every law and contrast at scales of any size.

        Parameters
        ----------
        flops : float or iterable of float
            Scales, in the unit of the axis, each more than 0.

        Returns
        -------
        data frame
            ``ratio`` with the interval of a new reading, ``line`` with that of the law, and the
            distance from the ladder in ``decades_beyond``.

        Raises
        ------
        FitError
            A scale that is no number above 0.

        Examples
        --------
        >>> import relscale
        >>> losses = relscale.simulate("plain").frame
        >>> analysis = relscale.fit(losses, "baseline", aggregate="aggregate")
        >>> round(float(analysis.predict(1e21)["decades_beyond"][0]), 6)
        1.0
        """
        scales = [float(flops)] if isinstance(flops, (int, float)) else [float(f) for f in flops]
        rows = [_frames.flat(p) for p in json.loads(self._inner.predictions(scales))]
        names = ("corpus", "name", "treatment", "baseline", "scale", "ratio", "ratio_lower",
                 "ratio_upper", "line", "line_lower", "line_upper")  # fmt: skip
        return self._frame(_frames.columns_of(rows, names))

    def summary(self) -> Summary:
        """Return the laws as tables in the manner of statsmodels.

        It prints as text and shows as HTML in notebooks; `Summary.as_latex` is for papers.
        """
        return Summary(self._inner, self._all, self.notes)

    def details(self) -> str:
        """Return every table of the analysis as text: floors, shapes, surfaces, backtests."""
        return self._inner.details()

    def methods(self) -> str:
        """Return the methods in a paragraph for a paper."""
        return self._inner.methods()

    def figures(self) -> dict[str, str]:
        """Return every drawing that the analysis allows, SVG by file name."""
        return dict(self._inner.drawings())

    def plot(
        self,
        kind: Kind = "ratios",
        ax: Any = None,
        *,
        names: Sequence[str] | None = None,
        corpus: str | None = None,
    ) -> Any:
        """Draw on axes of matplotlib.

        Parameters
        ----------
        kind : {"ratios", "ratio", "forest", "profiles", "traditional"}
            Ratios of all laws along the scale; one law with its bands; exponents with their intervals;
            losses by size and budget; the power laws of the distributions themselves.
        ax : matplotlib axes, optional
            Where to draw; new axes without it.
        names : sequence of str, optional
            Laws to draw, by treatment or name of the contrast; all without it.
        corpus : str, optional
            The corpus; the first without it.

        Returns
        -------
        matplotlib axes

        Raises
        ------
        PlotError
            A kind, a law or a corpus that does not exist.
        """
        bands = json.loads(self._inner.bands())
        return draw(self._all, bands, self._inner.scale, kind, ax, names, corpus)

    def to_json(self, *, details: bool = True) -> str:
        """Return the analysis as JSON.

        Parameters
        ----------
        details : bool
            If true, everything, which `from_json` reads; else the numbers to quote.
        """
        return self._inner.json() if details else self._inner.summary_json()

    @classmethod
    def from_json(cls, text: str, *, library: str | None = None) -> Analysis:
        """Read an analysis that `to_json` or ``relscale fit --json FILE --details`` wrote.

        Parameters
        ----------
        text : str
            The JSON.
        library : {"pandas", "polars", "pyarrow"}, optional
            Library of the frames; the first that is installed, if none is named.

        Raises
        ------
        RelscaleError
            Text that is no such JSON, or that another version wrote.
        """
        return cls(_relscale.Analysis.from_json(text), library=library)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Analysis) and self._inner == other._inner

    __hash__ = None  # type: ignore[assignment]

    def __getstate__(self) -> tuple[_relscale.Analysis, list[str], str | None]:
        return self._inner, self.notes, self._library

    def __setstate__(self, state: tuple[_relscale.Analysis, list[str], str | None]) -> None:
        self._inner, self.notes, self._library = state

    def __str__(self) -> str:
        return self._inner.screen()

    def __repr__(self) -> str:
        laws = len(self._inner.law_columns()["kind"])
        return f"<Analysis of {self._all['ladder']!r}: {laws} laws>"

    def _repr_html_(self) -> str:
        pictures = []
        for name, svg in self._inner.figures():
            data = base64.b64encode(svg.encode()).decode()
            alt = html.escape(name.removesuffix(".svg"))
            pictures.append(
                f'<img alt="{alt}" src="data:image/svg+xml;base64,{data}" style="max-width: 100%">'
            )
        return f"<div>{self.summary().as_html()}{''.join(pictures)}</div>"
