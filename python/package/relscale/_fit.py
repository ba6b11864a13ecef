"""From losses to laws."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from . import _options, _relscale
from ._analysis import Analysis
from ._errors import OptionError
from ._ladder import Ladder, Table, read_ladder

if TYPE_CHECKING:
    from typing_extensions import Unpack


def fit(
    data: Table | Ladder | Sequence[Table],
    baseline: str,
    *,
    columns: Mapping[str, str] | None = None,
    distributions: Iterable[str] = (),
    scale: str | None = None,
    hold_out: Iterable[str] = (),
    **options: Unpack[_options.Options],
) -> Analysis:
    """Measure how the gap between the baseline and every other distribution evolves with scale.

    Parameters
    ----------
    data : data frame, mapping of columns, path, Ladder, or a list of tables
        Losses, long or wide; see `read_ladder`. Several tables are read as one ladder.
    baseline : str
        The distribution with which all others are compared.
    columns : mapping, optional
        Columns that have another name in the tables: ``{"loss": "bpb"}``.
    distributions : iterable of str, optional
        Columns of wide tables that are losses.
    scale : str, optional
        Column that is the scale instead of training compute. It goes with no `axis`.
    hold_out : iterable of str, optional
        Runs that are predicted and never fitted.
    **options
        Options of the estimator, see `Options`.

    Returns
    -------
    Analysis

    Raises
    ------
    LadderError
        A table that cannot be read.
    FitError
        Losses that cannot be analysed as asked.
    OptionError
        An option with a value that makes no sense.
    TypeError
        An option that does not exist.

    Examples
    --------
    >>> import relscale
    >>> losses = relscale.simulate("plain", replicate=1).frame
    >>> analysis = relscale.fit(losses, baseline="baseline", aggregate="aggregate")
    >>> analysis.answer
    ['The gap to baseline widens for treatment (+2.28 % per decade of compute).']
    """
    text = _options.to_json(baseline, options)
    if scale is not None and "axis" in options:
        raise OptionError("options scale and axis: a column that is the scale is the axis; leave one out")
    tables = data if isinstance(data, (list, tuple)) else [data]
    ladder = read_ladder(*tables, columns=columns, distributions=distributions, scale=scale)
    if isinstance(hold_out, str):
        raise TypeError(f"hold_out is a list of runs, not the text {hold_out!r}")
    ladder = ladder.hold_out(*hold_out)
    analysis = _relscale.analyze(ladder._inner, text)
    return Analysis(analysis, ladder.notes, ladder._library)
