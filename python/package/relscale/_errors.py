"""Exceptions of the package. Their messages are those of the crate."""

from __future__ import annotations

__all__ = ["FitError", "LadderError", "OptionError", "PlotError", "RelscaleError", "ScoreError"]


class RelscaleError(Exception):
    """The base of every exception of this package."""


class LadderError(RelscaleError, ValueError):
    """A table of losses that cannot be read; the message names table, row and column."""


class FitError(RelscaleError, ValueError):
    """Losses that cannot be analysed as asked, with the reason."""


class OptionError(RelscaleError, ValueError):
    """An option with a value that makes no sense."""


class ScoreError(RelscaleError):
    """A checkpoint or an item that cannot be scored; the message names file, tensor or item."""


class PlotError(RelscaleError, ValueError):
    """A drawing that cannot be made."""


for _name in __all__:
    # In messages as users import them.
    globals()[_name].__module__ = "relscale"
