"""Data frames of pandas, polars and pyarrow, in and out, without importing what is not used."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ._errors import LadderError

#: A data frame of whichever library: `pandas.DataFrame`, `polars.DataFrame` or `pyarrow.Table`.
DataFrame = Any

#: In the order in which one is taken where the data came from none.
LIBRARIES = ("pandas", "polars", "pyarrow")


def library_of(data: object) -> str | None:
    """Return the library of a frame; None for anything else."""
    # Frames of geopandas and others are frames of pandas.
    roots = [base.__module__.partition(".")[0] for base in type(data).__mro__]
    return next((root for root in roots if root in LIBRARIES), None)


def any_library() -> str:
    """Return the first library that is installed."""
    for name in LIBRARIES:
        if importlib.util.find_spec(name) is not None:
            return name
    raise ImportError("data frames need pandas, polars or pyarrow: pip install relscale[pandas]")


def frame(columns: Mapping[str, Sequence[Any]], library: str | None) -> DataFrame:
    """Return a frame of `library` with these columns."""
    library = library or any_library()
    module = importlib.import_module(library)
    if library == "pyarrow":
        return module.table(dict(columns))
    if library == "polars":
        # By default polars guesses the type of a column from its first rows, which may be gaps.
        return module.DataFrame(dict(columns), strict=False, infer_schema_length=None)
    return module.DataFrame(dict(columns))


def source(data: object) -> object:
    """Return `data` as the native part takes it: with an Arrow stream, or as columns and rows."""
    if isinstance(data, Mapping):
        _refuse_indexes(data)
        return _rows(list(map(str, data)), list(data.values()))
    library = library_of(data)
    table: Any = data
    if library == "pandas":
        return _of_pandas(table)
    if library == "polars" and hasattr(table, "collect"):
        return table.collect()
    if hasattr(table, "__arrow_c_stream__"):
        return table
    kind = type(data).__name__
    raise TypeError(
        f"a table is a data frame (pandas, polars, pyarrow), a mapping of columns, a path or a "
        f"Ladder, not {kind}"
    )


def _of_pandas(table: Any) -> object:
    """Return a frame of pandas as an Arrow table, or as rows where Arrow has no type for a column."""
    try:
        # An index without a name numbers the rows; a filtered one would pass for a column of losses.
        table = table.reset_index(drop=all(name is None for name in table.index.names))
    except ValueError as error:
        # A named index is a column, and there is one of its name.
        raise LadderError(f"data frame: the index cannot be a column: {error}") from None
    names = [str(name) for name in table.columns]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise LadderError(f"data frame: two columns are called {twice!r}")
    if importlib.util.find_spec("pyarrow") is not None:
        import pyarrow

        try:
            # Arrow needs text as names.
            return pyarrow.Table.from_pandas(table.set_axis(names, axis="columns"), preserve_index=False)
        except pyarrow.ArrowException:
            # Numbers and text in one column: the crate says which row is wrong.
            pass
    return _rows(names, [table.iloc[:, at] for at in range(len(names))])


def _refuse_indexes(columns: Mapping[Any, Any]) -> None:
    """Refuse Series whose rows have other names: columns of a mapping are joined by position."""
    series = [(name, c.index) for name, c in columns.items()
              if library_of(c) == "pandas" and hasattr(c, "index")]  # fmt: skip
    for name, index in series[1:]:
        first, its = series[0]
        if not its.equals(index):
            raise LadderError(
                f"the Series of the columns {str(first)!r} and {str(name)!r} have different indexes, and "
                f"columns are joined by position: give pandas.DataFrame(columns), which joins them by "
                f"index, or Series after reset_index(drop=True)"
            )


def _rows(names: list[str], columns: list[Any]) -> tuple[list[str], list[list[Any]]]:
    values = []
    for name, column in zip(names, columns, strict=True):
        # A text would be read letter by letter; a number is no column at all; a set has no order, and of a
        # mapping the keys would be read.
        wrong = (str, bytes, set, frozenset, Mapping)
        if isinstance(column, wrong) or not isinstance(column, Iterable):
            kind = type(column).__name__
            raise TypeError(f"column {name!r} is one {kind}: a mapping has a sequence per column")
        values.append(_values(column))
    lengths = {len(c) for c in values}
    if len(lengths) > 1:
        raise LadderError(f"columns of different lengths: {sorted(lengths)}")
    return names, [list(row) for row in zip(*values, strict=True)]


#: Types of columns whose numbers are short, by the names that NumPy, pandas and polars have for them.
_SHORT = ("float32", "float16", "float[pyarrow]", "halffloat[pyarrow]")


def _values(column: Any) -> list[Any]:
    """Return a column as values of Python, its gaps as None."""
    if str(getattr(column, "dtype", "")).lower() in _SHORT:
        # Before `tolist` widens them.
        if library_of(column) == "pandas":
            column = column.to_numpy(dtype=np.float32, na_value=np.nan)
        column = np.asarray(column, dtype=np.float32)
        return [_short(value) for value in column]
    values = column.tolist() if hasattr(column, "tolist") else column
    return [_value(value) for value in values]


def _value(value: Any) -> Any:
    if is_gap(value):
        return None
    return _short(value) if isinstance(value, (np.float32, np.float16)) else value


def _short(value: Any) -> float | None:
    """Return the number of the digits of a short one: 0.1, not 0.10000000149, as through Arrow."""
    return None if is_gap(value) else float(str(np.float32(value)))


def is_gap(value: object) -> bool:
    """Return True for None, NaN, and the NA and NaT of pandas and NumPy."""
    if value is None:
        return True
    if isinstance(value, (float, np.generic)):
        return bool(value != value)
    # None of them is there without pandas.
    pandas = sys.modules.get("pandas")
    return pandas is not None and (value is pandas.NA or value is pandas.NaT)


def flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers of a nested record by joined names.

    A ``value`` has the name of its record: ``{"beta": {"value": 1, "lower": 0}}`` becomes ``beta``
    and ``beta_lower``. Lists are left out.
    """
    row: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, Mapping):
            for inner, number in flat(value).items():
                row[key if inner == "value" else f"{key}_{inner}"] = number
        elif not isinstance(value, list):
            row[key] = value
    return row


def columns_of(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, list[Any]]:
    """Return records as columns: those of `names`, then others that any record has."""
    found = dict.fromkeys(names)
    for row in rows:
        found.update(dict.fromkeys(row))
    return {name: [row.get(name) for row in rows] for name in found}
