"""Data frames of pandas, polars and pyarrow, in and out, without importing what is not used."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

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
    # An index without a name numbers the rows; a filtered one would pass for a column of losses.
    table = table.reset_index(drop=all(name is None for name in table.index.names))
    names = [str(name) for name in table.columns]
    if importlib.util.find_spec("pyarrow") is not None:
        import pyarrow

        try:
            # Arrow needs text as names.
            return pyarrow.Table.from_pandas(table.set_axis(names, axis="columns"), preserve_index=False)
        except pyarrow.ArrowException:
            # Numbers and text in one column: the crate says which row is wrong.
            pass
    columns = [table.iloc[:, at] for at in range(len(names))]
    # The gaps of pandas are NaN, NA and NaT.
    return _rows(names, [c.astype(object).where(c.notna(), None).tolist() for c in columns])


def _rows(names: list[str], columns: list[Any]) -> tuple[list[str], list[list[Any]]]:
    values = []
    for name, column in zip(names, columns, strict=True):
        # A text would be read letter by letter; a number is no column at all.
        if isinstance(column, (str, bytes)) or not isinstance(column, Iterable):
            kind = type(column).__name__
            raise TypeError(f"column {name!r} is one {kind}: a mapping has a sequence per column")
        values.append(column.tolist() if hasattr(column, "tolist") else list(column))
    lengths = {len(c) for c in values}
    if len(lengths) > 1:
        raise ValueError(f"columns of different lengths: {sorted(lengths)}")
    return names, [list(row) for row in zip(*values, strict=True)]


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
