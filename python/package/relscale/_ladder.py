"""Ladders: runs and their losses, read from tables."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from . import _frames, _relscale
from ._frames import DataFrame

#: A table of losses or runs: a frame, a mapping of columns, or the path of a file.
Table: TypeAlias = "DataFrame | Mapping[str, Sequence[Any]] | str | os.PathLike[str]"


class Ladder:
    """Runs and their losses on test distributions, checked and in canonical order.

    `read_ladder` makes one; `fit` makes one by itself from whatever it is given.

    Examples
    --------
    >>> import relscale
    >>> ladder = relscale.simulate("plain").ladder
    >>> len(ladder), ladder.distributions
    (84, ['aggregate', 'baseline', 'treatment'])
    """

    def __init__(self, inner: _relscale.Ladder, notes: Sequence[str], library: str | None) -> None:
        self._inner = inner
        self._library = library
        #: What was understood without being said, in sentences.
        self.notes: list[str] = list(notes)

    @property
    def name(self) -> str:
        """Name of the tables."""
        return self._inner.name

    @property
    def corpora(self) -> list[str]:
        """Names of the training corpora, sorted."""
        return self._inner.corpora

    @property
    def distributions(self) -> list[str]:
        """Names of the test distributions, sorted."""
        return self._inner.distributions

    @property
    def runs(self) -> DataFrame:
        """The runs, sorted by corpus, budget, size and name."""
        return _frames.frame(self._inner.run_columns(), self._library)

    def error(self, run: str, distribution: str) -> float | None:
        """Return the error of a run on a distribution; None where it was not scored.

        Parameters
        ----------
        run : str
            Name of the run.
        distribution : str
            Name of the distribution.
        """
        return self._inner.error(run, distribution)

    def hold_out(self, *runs: str) -> Ladder:
        """Return the ladder with runs that are predicted and never fitted.

        Parameters
        ----------
        *runs : str
            Names of the runs.

        Raises
        ------
        LadderError
            A run that the ladder does not have.
        """
        inner = self._inner
        for run in runs:
            inner = inner.hold_out(run)
        return Ladder(inner, self.notes, self._library)

    def to_csv(self, path: str | os.PathLike[str] | None = None) -> str | None:
        """Write the long table that `read_ladder` reads back to the same ladder.

        Parameters
        ----------
        path : path, optional
            The file, which has the whole table or stays as it was; without it, the table is returned as
            text.
        """
        if path is None:
            return self._inner.to_csv()
        self._inner.write_csv(path)
        return None

    def __len__(self) -> int:
        return len(self._inner)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ladder) and self._inner == other._inner

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Ladder {self.name!r}: {len(self)} runs on {len(self.distributions)} distributions>"


def read_ladder(
    *tables: Table | Ladder,
    columns: Mapping[str, str] | None = None,
    distributions: Iterable[str] = (),
    scale: str | None = None,
) -> Ladder:
    """Read tables of losses and of runs as one ladder.

    A long table has one row per run and distribution (and item or cluster, if there are several), with
    the columns ``run``, ``distribution``, ``loss`` and ``params``, ``tokens``, ``flops`` of the run. A
    wide table has one column of losses per distribution. A table without losses describes runs and is
    joined by ``run``.

    Parameters
    ----------
    *tables : data frame, mapping of columns, or path
        Frames of pandas, polars or pyarrow; files in CSV, JSON lines or Parquet, plain or compressed.
    columns : mapping, optional
        Columns that have another name in the tables: ``{"loss": "bpb"}``.
    distributions : iterable of str, optional
        Columns of wide tables that are losses. Without it, every column of numbers that is nothing else.
    scale : str, optional
        Column that is the scale instead of training compute.

    Returns
    -------
    Ladder

    Raises
    ------
    LadderError
        A table that cannot be read, with table, row and column.

    Examples
    --------
    >>> import relscale
    >>> losses = {"run": ["s", "l"], "params": [1e8, 1e9], "tokens": [2e9, 2e10],
    ...           "news": [3.0, 2.5], "law": [4.0, 3.25]}
    >>> ladder = relscale.read_ladder(losses)
    >>> ladder.error("l", "law")
    3.25
    """
    if len(tables) == 1 and isinstance(tables[0], Ladder):
        if columns or list(distributions) or scale is not None:
            raise TypeError("columns, distributions and scale are of tables; a Ladder has been read")
        return tables[0]
    sources: list[tuple[str, object]] = []
    library = None
    for table in tables:
        if isinstance(table, Ladder):
            raise TypeError("a Ladder is read already and cannot be joined with tables")
        if isinstance(table, (str, os.PathLike)):
            sources.append((os.fspath(table), None))
        else:
            name = "data frame" if len(tables) == 1 else f"data frame {len(sources) + 1}"
            library = library or _frames.library_of(table)
            sources.append((name, _frames.source(table)))
    if isinstance(distributions, str):
        raise TypeError(f"distributions is a list of columns, not the text {distributions!r}")
    renamed = list((columns or {}).items())
    inner, notes = _relscale.read_tables(sources, list(distributions), scale, renamed)
    return Ladder(inner, notes, library)
