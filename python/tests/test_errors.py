"""Bad input is an exception of this package, with the crate's message; nothing panics."""

from __future__ import annotations

import json
import pickle
from typing import get_args, get_type_hints

import numpy as np
import pandas as pd
import polars as pl
import pytest
import relscale
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from relscale import _relscale
from relscale._options import Options

FRAME = relscale.simulate("plain").frame


def test_an_unknown_option_is_refused_with_the_one_that_was_meant():
    with pytest.raises(TypeError, match=r"margin_pct.*did you mean 'margin_percent'\?"):
        relscale.fit(FRAME, "baseline", margin_pct=1.0)
    with pytest.raises(TypeError, match="baseline is the name"):
        relscale.fit(FRAME, 3)


def test_the_options_are_those_of_the_program(run):
    schema = json.loads(run("schema", "options"))
    fields = set(schema["properties"]) - {"baseline"}
    assert fields == set(Options.__annotations__)
    for field in fields:
        assert f"    {field} : " in (Options.__doc__ or ""), field
    # Every choice of the stubs is one of the crate, and the reverse.
    for name, annotation in get_type_hints(Options).items():
        reference = schema["properties"][name].get("$ref", "").rpartition("/")[2]
        if reference:
            choices = schema["$defs"][reference]
            known = choices.get("enum") or [c["const"] for c in choices["oneOf"]]
            assert sorted(get_args(annotation)) == sorted(known), name


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("alpha", 2.0, "alpha"),
        ("alpha", "x", "f64"),
        ("design", "grids", "isoflop"),
        ("treatments", "treatment", "a list"),
        ("predict_at", [float("nan")], "not JSON compliant|nan"),
        ("seed", -1, "u64"),
    ],
)
def test_a_value_that_makes_no_sense(option, value, message):
    with pytest.raises((relscale.OptionError, relscale.FitError), match=message):
        relscale.fit(FRAME, "baseline", **{option: value})


def test_names_that_the_ladder_lacks():
    with pytest.raises(relscale.FitError, match=r'did you mean "baseline"'):
        relscale.fit(FRAME, "base-line")


def test_tables_that_cannot_be_read_name_the_row():
    broken = FRAME.astype({"loss": object})
    broken.loc[1, "loss"] = "many"
    with pytest.raises(relscale.LadderError, match=r"row 2.*many"):
        relscale.fit(broken.astype({"loss": str}), "baseline")
    # Arrow has no type for such a column.
    with pytest.raises(relscale.LadderError, match=r"row 2.*many"):
        relscale.fit(broken, "baseline")
    with pytest.raises(relscale.LadderError, match="row"):
        relscale.fit(pd.concat([FRAME, FRAME]), "baseline")
    with pytest.raises(relscale.LadderError, match="loss"):
        relscale.fit(FRAME.rename(columns={"loss": "los"}), "baseline", distributions=["x"])
    with pytest.raises(relscale.LadderError, match="No such file"):
        relscale.fit("no/such/file.csv", "baseline")
    with pytest.raises(relscale.LadderError, match="did you mean"):
        relscale.fit(FRAME, "baseline", columns={"distributoin": "bpb"})


def test_what_is_no_table():
    for wrong in (3, None, object(), np.zeros((3, 3)), [1, 2]):
        with pytest.raises(TypeError):
            relscale.fit(wrong, "baseline")
    for row in ({"run": "a", "loss": 1.0}, [{"run": 3}]):
        with pytest.raises(TypeError, match="column 'run' is one"):
            relscale.fit(row, "a")
    with pytest.raises(ValueError, match="different lengths"):
        relscale.fit({"a": [1], "b": [1, 2]}, "a")
    with pytest.raises(relscale.LadderError):
        relscale.fit({}, "a")
    with pytest.raises(relscale.LadderError):
        relscale.fit(pd.DataFrame(), "a")


def test_every_exception_has_one_base_and_can_be_pickled():
    names = [n for n in relscale.__all__ if n.endswith("Error")]
    for name in names:
        error = getattr(relscale, name)
        assert issubclass(error, relscale.RelscaleError)
        made = pickle.loads(pickle.dumps(error("why")))
        assert type(made) is error
        assert str(made) == "why"


def test_no_panic_crosses(capfd):
    with pytest.raises(relscale.RelscaleError, match=r"internal error.*on purpose"):
        _relscale._panicking("on purpose")


def test_json_of_another_kind_is_refused(analysis):
    for text in ("", "{}", "[]", "null", '{"schema": 1}'):
        with pytest.raises(relscale.RelscaleError):
            relscale.Analysis.from_json(text)
    other = json.loads(analysis.to_json()) | {"schema": 999}
    with pytest.raises(relscale.RelscaleError, match="schema 999"):
        relscale.Analysis.from_json(json.dumps(other))


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=2),
)
names = st.sampled_from(
    ["run", "loss", "distribution", "params", "tokens", "flops", "budget", "seed", "a", "b", ""]
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(names, st.lists(values, min_size=3, max_size=3), max_size=8),
    st.text(max_size=3),
)
def test_any_table_gives_laws_or_an_exception_of_ours(columns, baseline):
    try:
        relscale.fit(columns, baseline)
    except relscale.RelscaleError as error:
        assert str(error)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(Options.__annotations__)), values)
def test_any_option_gives_laws_or_an_exception_of_ours(name, value):
    if name in ("floor_draws", "surface_draws") and isinstance(value, int) and value > 999:
        return
    try:
        relscale.fit(SMALL, "baseline", **{name: value})
    except (relscale.RelscaleError, TypeError) as error:
        assert str(error)


SMALL = relscale.simulate("plain", budgets=[1e18, 1e19, 1e20]).ladder


def test_nan_is_a_gap_in_a_wide_table_and_refused_in_a_long_one():
    columns = {
        "run": list("abcd"),
        "params": [1e8, 1e9, 1e10, 1e11],
        "tokens": [2e9, 2e10, 2e11, 2e12],
        "x": [3.0, 2.7, 2.4, 2.0],
        "y": [3.0, float("nan"), 2.2, 1.9],
    }
    ladder = relscale.read_ladder(pl.DataFrame(columns), distributions=["x", "y"])
    assert ladder.error("b", "y") is None
    long = pl.from_pandas(FRAME).with_columns(loss=pl.lit(float("nan")))
    with pytest.raises(relscale.LadderError, match=r"(?i)row 1.*nan"):
        relscale.fit(long, "baseline")


def test_columns_that_are_joined_by_position_have_one():
    runs, losses = ["a", "b"], pd.Series([3.0, 2.0], index=[5, 6])
    with pytest.raises(TypeError, match="column 'run' is one set"):
        relscale.read_ladder({"run": {"a", "b"}, "x": [3.0, 2.0]})
    with pytest.raises(TypeError, match="column 'run' is one dict"):
        relscale.read_ladder({"run": {0: "a", 1: "b"}, "x": [3.0, 2.0]})
    with pytest.raises(relscale.LadderError, match="'run' and 'x' have different indexes"):
        relscale.read_ladder({"run": pd.Series(runs), "x": losses})
    # Of one index, or of one of them without any.
    scale = {"params": [1e8, 1e9], "tokens": [2e9, 2e10]}
    for run in (runs, pd.Series(runs, index=[5, 6])):
        ladder = relscale.read_ladder({"run": run, "x": losses, **scale})
        assert ladder.error("a", "x") == 3.0


def test_frames_with_columns_of_one_name():
    with pytest.raises(relscale.LadderError, match="two columns are called 'loss'"):
        relscale.fit(pd.concat([FRAME, FRAME[["loss"]]], axis=1), "baseline")
    with pytest.raises(relscale.LadderError, match=r"the index cannot be a column.*run"):
        relscale.fit(FRAME.set_index("run", drop=False), "baseline")


def test_half_of_a_surrogate_pair_is_no_name():
    columns = {"run": ["a", "b\ud800"], "params": [1e8, 1e9], "tokens": [2e9, 2e10], "x": [3.0, 2.0]}
    with pytest.raises(relscale.LadderError, match=r"row 2: column `run` .*surrogate"):
        relscale.read_ladder(columns)
    with pytest.raises(relscale.LadderError, match=r"name of a column .*surrogate"):
        relscale.read_ladder({"\udc80": [1.0, 2.0]} | columns)
