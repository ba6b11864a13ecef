"""The summary of an analysis as text, HTML and LaTeX."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from . import _relscale

_HEADINGS = ("", "delta_beta", "std err", "t", "P>|t|", "[", "]", "Holm P", "verdict", "notes")


class Summary:
    """Tables of an analysis: its setting, one row per law, and notes.

    `print` shows it as text, a notebook as HTML.
    """

    def __init__(
        self, inner: _relscale.Analysis, everything: Mapping[str, Any], notes: Sequence[str]
    ) -> None:
        self._inner = inner
        self._all = everything
        self._notes = list(notes)

    def _setting(self) -> list[tuple[str, str]]:
        everything, options = self._all, self._all["options"]
        corpora = everything["corpora"]
        scales = [s for c in corpora for s in c["scales"]]
        designs = sorted({str(c["design"]) for c in corpora})
        span = f"{min(scales):.1e} to {max(scales):.1e}" if scales else "-"
        return [
            ("Ladder:", everything["ladder"] or "-"),
            ("Baseline:", options["baseline"]),
            ("Design:", ", ".join(designs) or "-"),
            ("Covariance:", options["covariance"]),
            ("Corpora:", ", ".join(c["corpus"] for c in corpora) or "-"),
            ("No. runs:", str(sum(c["runs"] for c in corpora))),
            ("No. scales:", str(len(scales))),
            ("Scales:", span),
            ("Margin:", f"{options['margin_percent']:g} % per decade"),
            ("Version:", everything["version"]),
        ]

    def _headings(self) -> list[str]:
        alpha = self._all["options"]["alpha"]
        ends = {"[": f"[{alpha / 2:.3g}", "]": f"{1 - alpha / 2:.3g}]"}
        return [ends.get(h, h) for h in _HEADINGS]

    def _groups(self) -> list[tuple[str, list[list[str]]]]:
        """Rows of each corpus, under its name where there are several kinds or corpora."""
        columns = self._inner.law_columns()
        headings, table = self._inner.table()
        marks = [row[headings.index("notes")] for row in table]
        groups: dict[str, list[list[str]]] = {}
        for at, kind in enumerate(columns["kind"]):
            value, error = columns["delta_beta"][at], columns["standard_error"][at]
            t = value / error if error else math.nan
            row = [
                columns["name"][at],
                f"{value:.4f}",
                f"{error:.4f}",
                f"{t:.2f}",
                f"{columns['p_value'][at]:.3f}",
                f"{columns['delta_beta_lower'][at]:.4f}",
                f"{columns['delta_beta_upper'][at]:.4f}",
                f"{columns['holm_p'][at]:.3f}",
                columns["verdict"][at].replace("_", " "),
                marks[at],
            ]
            what = {"contrast": "contrasts, ", "corpora": "against another corpus, "}.get(kind, "")
            groups.setdefault(f"{what}corpus {columns['corpus'][at]}", []).append(row)
        return list(groups.items())

    def _footnotes(self) -> list[str]:
        options = self._all["options"]
        level = f"{100 * (1 - options['alpha']):g} %"
        lines = [
            "delta_beta is the exponent of the ratio of errors to the baseline along "
            f"{self._inner.scale}; intervals are {level} of each law alone.",
            "Holm P is adjusted for the number of laws and decides the verdict.",
        ]
        lines += [f"{mark}: {meaning}" for mark, _, meaning in self._inner.flags()]
        lines += self._notes
        refused = len(self._all["refused"])
        if refused:
            lines.append(f"{refused} comparisons could not be analysed (see .refused).")
        return lines

    def as_text(self) -> str:
        """Return the tables as aligned text."""
        headings, groups = self._headings(), self._groups()
        rows = [row for _, some in groups for row in some]
        widths = [max(len(row[i]) for row in [headings, *rows]) for i in range(len(headings))]

        def line(row: Sequence[str]) -> str:
            # Numbers line up at their right ends, words at their left ends.
            cells = [
                cell.rjust(width) if 0 < i < 8 else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            return "  ".join(cells).rstrip()

        width = max(78, sum(widths) + 2 * (len(widths) - 1))
        double, single = "=" * width, "-" * width
        text = ["Relative Scaling Laws".center(width).rstrip(), double]
        setting = self._setting()
        half = (len(setting) + 1) // 2
        for left, right in zip(setting[:half], setting[half:], strict=True):
            room = width // 2 - 15
            cells = [f"{name:<13}{_short(value, room):>{room}}" for name, value in (left, right)]
            text.append("    ".join(cells))
        text += [double, line(headings), single]
        for name, some in groups:
            if len(groups) > 1:
                text.append(name)
            text += [line(row) for row in some]
        text += [double, "Notes:"]
        text += [f"[{n}] {note}" for n, note in enumerate(self._footnotes(), 1)]
        return "\n".join(text)

    def as_html(self) -> str:
        """Return the tables as HTML."""
        e = html.escape
        setting = "".join(
            f"<tr><th>{e(name)}</th><td>{e(value)}</td></tr>" for name, value in self._setting()
        )
        head = "".join(f"<th>{e(h)}</th>" for h in self._headings())
        groups = self._groups()
        body = []
        for name, rows in groups:
            if len(groups) > 1:
                body.append(f'<tr><th colspan="{len(_HEADINGS)}">{e(name)}</th></tr>')
            for row in rows:
                cells = "".join(f"<td>{e(cell)}</td>" for cell in row[1:])
                body.append(f"<tr><th>{e(row[0])}</th>{cells}</tr>")
        notes = "".join(f"<li>{e(note)}</li>" for note in self._footnotes())
        return (
            f"<table><caption>Relative Scaling Laws</caption>{setting}</table>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
            f"<ol>{notes}</ol>"
        )

    def as_latex(self) -> str:
        """Return the table of laws as LaTeX, with the rules of the package booktabs."""
        return self._inner.latex()

    def as_markdown(self) -> str:
        """Return the table of laws as Markdown."""
        return self._inner.markdown()

    def __str__(self) -> str:
        return self.as_text()

    def __repr__(self) -> str:
        return self.as_text()

    def _repr_html_(self) -> str:
        return self.as_html()


def _short(text: str, width: int) -> str:
    """Return the end of a text that is too long: of a path, the name of the file."""
    return text if len(text) <= width else f"…{text[1 - width :]}"
