"""Fits of frames of every library, against the Rust program and against each other."""

from __future__ import annotations

import datetime
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pytest
import relscale
from conftest import ROOT, SCORES

GOLDEN = Path(__file__).parent / "golden" / "suite.json"
BASELINE = "english-help"


def laws(analysis: relscale.Analysis) -> dict:
    """Everything but the name of the ladder."""
    found = json.loads(analysis.to_json())
    del found["ladder"]
    return found


def test_the_numbers_are_those_of_the_program(run, monkeypatch):
    monkeypatch.chdir(ROOT)
    ours = relscale.fit("suite/scores.csv", BASELINE, aggregate="aggregate")
    options = ["suite/scores.csv", "--baseline", BASELINE, "--aggregate", "aggregate"]
    theirs = run("fit", *options, "--format", "json", "--details")
    # As objects of Python: floats are equal only if their bits are.
    assert json.loads(ours.to_json()) == json.loads(theirs)
    summary = run("fit", *options, "--format", "json")
    assert json.loads(ours.to_json(details=False)) == json.loads(summary)
    assert str(ours).splitlines()[0] == run("fit", *options).splitlines()[0]


def test_the_numbers_are_those_of_the_golden(analysis):
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    ours = json.loads(analysis.to_json(details=False))
    for kind in ("laws", "absolute_laws"):
        assert ours[kind] == golden[kind]


def test_every_library_gives_the_same_bits_and_its_own_frames(analysis):
    frames = {
        pd.DataFrame: pl.read_csv(SCORES, infer_schema_length=None).to_pandas(),
        pl.DataFrame: pl.read_csv(SCORES, infer_schema_length=None),
        pa.Table: pyarrow.csv.read_csv(SCORES),
    }
    for kind, frame in frames.items():
        fitted = relscale.fit(frame, BASELINE, aggregate="aggregate")
        assert laws(fitted) == laws(analysis)
        for result in (
            fitted.laws,
            fitted.traditional,
            fitted.readings,
            fitted.contrasts,
            fitted.refused,
            fitted.predict(1e13),
        ):
            assert isinstance(result, kind)


def test_a_mapping_and_several_tables():
    losses = {"run": ["s", "m", "l", "x", "y"], "news": [4.0, 3.5, 3.1, 2.8, 2.6],
              "law": [5.0, 4.2, 3.6, 3.2, 2.9]}  # fmt: skip
    runs = {"run": ["s", "m", "l", "x", "y"], "params": np.geomspace(1e7, 1e9, 5),
            "tokens": np.geomspace(2e8, 2e10, 5)}  # fmt: skip
    together = relscale.fit([losses, runs], "news")
    frame = pd.DataFrame(losses).merge(pd.DataFrame(runs))
    assert laws(together) == laws(relscale.fit(frame, "news"))
    # The order of rows never matters.
    assert laws(together) == laws(relscale.fit(frame.sample(frac=1, random_state=1), "news"))


def test_columns_by_other_names_long_and_wide():
    long = relscale.simulate("plain").frame
    renamed = long.rename(columns={"loss": "bpb", "distribution": "domain"})
    names = {"loss": "bpb", "distribution": "domain"}
    want = relscale.fit(long, "baseline")
    assert laws(relscale.fit(renamed, "baseline", columns=names)) == laws(want)
    ids = ["corpus", "run", "budget", "flops", "params", "tokens", "seed"]
    wide = long.pivot(index=ids, columns="distribution", values="loss")
    # Runs of a pivoted table are its index, which has names.
    assert wide.index.names == ids
    columns = ["aggregate", "baseline", "treatment"]
    got = relscale.fit(wide, "baseline", distributions=columns)
    assert got.laws["delta_beta"].tolist() == want.laws["delta_beta"].tolist()


@pytest.mark.parametrize("dtype", ["category", "string", "large_string"])
def test_text_of_every_kind(dtype):
    frame = relscale.simulate("plain").frame
    want = laws(relscale.fit(frame, "baseline"))
    if dtype == "large_string":
        table = pa.Table.from_pandas(frame)
        at = table.schema.get_field_index("run")
        typed = table.set_column(at, "run", table["run"].cast(pa.large_string()))
    else:
        typed = frame.astype({"run": dtype, "distribution": dtype})
    assert laws(relscale.fit(typed, "baseline")) == want
    strings = pl.from_pandas(frame).with_columns(pl.col("distribution").cast(pl.Categorical))
    assert laws(relscale.fit(strings, "baseline")) == want
    assert laws(relscale.fit(strings.lazy(), "baseline")) == want


def test_gaps_are_gaps_in_every_library():
    frame = relscale.simulate("plain").frame
    ids = ["corpus", "run", "budget", "flops", "params", "tokens", "seed"]
    wide = frame.pivot(index=ids, columns="distribution", values="loss").reset_index()
    wide.loc[3, "treatment"] = np.nan
    options = {"distributions": ["aggregate", "baseline", "treatment"]}
    want = laws(relscale.fit(wide, "baseline", **options))
    for other in (pl.from_pandas(wide), pa.Table.from_pandas(wide), wide.to_dict("list")):
        assert laws(relscale.fit(other, "baseline", **options)) == want


def test_pandas_without_arrow(monkeypatch):
    import importlib.util

    frame = relscale.simulate("plain").frame
    want = laws(relscale.fit(frame, "baseline"))
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "pyarrow" else find(name, *a)
    )
    assert laws(relscale.fit(frame, "baseline")) == want
    gaps = frame.astype({"seed": "Int64"}).assign(epochs=pd.NA)
    assert laws(relscale.fit(gaps, "baseline")) == want


def test_a_subclass_of_a_frame_is_a_frame():
    class Frame(pd.DataFrame):
        pass

    frame = relscale.simulate("plain").frame
    assert isinstance(relscale.fit(Frame(frame), "baseline").laws, pd.DataFrame)


def test_a_filtered_frame_has_no_column_for_its_index():
    frame = relscale.simulate("plain").frame
    ids = ["corpus", "run", "budget", "flops", "params", "tokens", "seed"]
    wide = frame.pivot(index=ids, columns="distribution", values="loss").reset_index()
    ladder = relscale.read_ladder(wide[wide.budget > 1e18])
    assert ladder.distributions == ["aggregate", "baseline", "treatment"]


def test_results_survive_json_pickle_and_comparison(analysis):
    again = relscale.Analysis.from_json(analysis.to_json())
    assert again == analysis
    unpickled = pickle.loads(pickle.dumps(analysis))
    assert unpickled == analysis
    assert str(unpickled.summary()) == str(analysis.summary())
    assert unpickled != relscale.fit(SCORES, "german-help")
    ladder = relscale.read_ladder(SCORES)
    assert pickle.loads(pickle.dumps(ladder)) == ladder
    assert laws(relscale.fit(ladder, BASELINE, aggregate="aggregate")) == laws(analysis)


def test_frames_hold_the_numbers_of_the_json(analysis):
    everything = json.loads(analysis.to_json())
    by_name = {law["treatment"]: law for law in everything["laws"]}
    assert len(analysis.laws) == len(by_name)
    for row in analysis.laws.to_dict("records"):
        law = by_name[row["treatment"]]
        assert row["delta_beta"] == law["delta_beta"]["value"]
        assert row["delta_beta_upper"] == law["delta_beta"]["upper"]
        assert row["decision_lower"] == law["multiplicity"]["decision"]["lower"]
        assert row["gamma"] == law["gamma"]["value"]
        assert row["verdict"] == law["verdict"]
    alone = {law["distribution"]: law for law in everything["absolute_laws"]}
    for row in analysis.traditional.to_dict("records"):
        law = alone[row["distribution"]]
        assert row["beta"] == law["beta"]["value"]
        assert row["alpha_lower"] == law["alpha"]["lower"]
        if law["floor"]:
            assert row["floor"] == law["floor"]["floor"]
            assert row["floor_exponent"] == law["floor"]["exponent"]
    readings = sum(len(law["readings"]) for law in everything["laws"])
    assert len(analysis.readings) == readings
    first = analysis.readings.iloc[0]
    assert first["log_ratio"] == by_name[first["treatment"]]["readings"][0]["log_ratio"]


def test_contrasts_groups_and_predictions():
    options = {
        "treatments": ["german-help"],
        "groups": {"code": ["python-code", "go-code"]},
        "contrasts": [{"treatment": "go-code", "baseline": "rust-code", "name": "go"}],
        "predict_at": [1e13],
    }
    analysis = relscale.fit(SCORES, BASELINE, **options)
    assert sorted(analysis.contrasts["name"]) == ["code : english-help", "go"]
    assert analysis.laws["treatment"].tolist() == ["german-help"]
    law = json.loads(analysis.to_json())["laws"][0]
    predicted = analysis.predict([1e13, 1e12]).to_dict("records")
    assert predicted[0]["ratio"] == law["predictions"][0]["ratio"]["value"]
    assert predicted[0]["line_upper"] == law["predictions"][0]["line"]["upper"]
    assert [p["scale"] for p in predicted] == [1e13, 1e12] * 3


def test_held_out_runs_are_not_fitted():
    ladder = relscale.simulate("plain").ladder
    run = ladder.runs["run"].iloc[-1]
    held = relscale.fit(ladder, "baseline", hold_out=[run])
    assert laws(held) == laws(relscale.fit(ladder.hold_out(run), "baseline"))
    assert laws(held) != laws(relscale.fit(ladder, "baseline"))
    with pytest.raises(relscale.LadderError, match="no-such-run"):
        ladder.hold_out("no-such-run")


INTERRUPTED = """
import relscale
ladder = relscale.simulate("plain").ladder
print("fitting", flush=True)
try:
    relscale.fit(ladder, "baseline", aggregate="aggregate", surface_draws=100_000)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    # The package can still be used.
    print(len(relscale.fit(ladder, "baseline").laws), flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_an_interrupt_ends_a_fit_of_minutes():
    child = subprocess.Popen([sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline().strip() == "fitting"
    time.sleep(0.5)
    child.send_signal(signal.SIGINT)
    start = time.monotonic()
    try:
        rest, _ = child.communicate(timeout=60)
    finally:
        child.kill()
    assert time.monotonic() - start < 20
    assert rest.split() == ["interrupted", "2"]
    assert child.returncode == 0


def test_a_table_is_written_whole_or_not_at_all(tmp_path):
    ladder = relscale.read_ladder(SCORES)
    path = tmp_path / "ladder.csv"
    path.write_text("old")
    assert ladder.to_csv(path) is None
    assert path.read_text(encoding="utf-8") == ladder.to_csv()
    assert [p.name for p in tmp_path.iterdir()] == ["ladder.csv"]
    with pytest.raises(relscale.LadderError, match="folder"):
        ladder.to_csv(tmp_path)
    with pytest.raises(relscale.LadderError, match="no-such"):
        ladder.to_csv(tmp_path / "no-such" / "ladder.csv")


def wide(**more) -> dict:
    """A wide table of four runs, with more columns or other ones."""
    columns = {
        "run": list("abcd"),
        "params": [1e8, 1e9, 1e10, 1e11],
        "tokens": [2e9, 2e10, 2e11, 2e12],
        "x": [3.0, 2.7, 2.4, 2.0],
        "y": [3.5, 3.0, 2.6, 2.2],
    }
    return columns | more


def test_gaps_of_pandas_are_gaps_in_a_mapping():
    def outcome(gap: object) -> tuple:
        columns = wide(y=[3.5, gap, 2.6, 2.2], seed=[1, gap, 1, 1])
        ladder = relscale.read_ladder(columns, distributions=["x", "y"])
        try:
            named = relscale.read_ladder(wide(corpus=["web", gap, "web", "web"]), distributions=["x"])
            return ladder.error("b", "y"), ladder.runs["seed"].tolist(), named.corpora
        except relscale.LadderError as error:
            return ladder.error("b", "y"), ladder.runs["seed"].tolist(), str(error)

    for gap in (pd.NA, pd.NaT, np.datetime64("NaT"), float("nan")):
        assert repr(outcome(gap)) == repr(outcome(None)), gap
    assert outcome(None)[0] is None


def test_short_floats_are_their_digits_by_every_route(monkeypatch):
    import importlib.util

    numbers = np.array([3.1, 2.7, 2.4, 2.05], dtype=np.float32)
    columns = wide(x=numbers)
    frame = pd.DataFrame(columns)
    forms = [
        columns,
        wide(x=list(numbers)),
        wide(x=pd.Series(numbers)),
        wide(x=pd.Series(numbers, dtype="Float32")),
        wide(x=pl.Series(numbers)),
        frame,
        pl.DataFrame(columns),
        pa.table(columns),
    ]

    def errors(form) -> list[float | None]:
        ladder = relscale.read_ladder(form, distributions=["x", "y"])
        return [ladder.error(run, "x") for run in "abcd"]

    for form in forms:
        assert errors(form) == [3.1, 2.7, 2.4, 2.05]
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "pyarrow" else find(name, *a)
    )
    assert errors(frame) == [3.1, 2.7, 2.4, 2.05]


def test_days_and_times_through_arrow_are_text():
    moment = datetime.datetime(2024, 1, 2, 3, 4, 5, 678000)
    for kind, value, text in [
        (pa.date32(), moment.date(), "2024-01-02"),
        (pa.date64(), moment.date(), "2024-01-02"),
        (pa.timestamp("s"), moment.replace(microsecond=0), "2024-01-02 03:04:05.000 +00:00"),
        (pa.timestamp("ms"), moment, "2024-01-02 03:04:05.678 +00:00"),
        (pa.timestamp("us"), moment, "2024-01-02 03:04:05.678000 +00:00"),
        (pa.timestamp("ns"), moment, "2024-01-02 03:04:05.678000000 +00:00"),
        (pa.time32("ms"), moment.time(), "03:04:05.678"),
        (pa.time64("us"), moment.time(), "03:04:05.678000"),
        (pa.duration("ms"), datetime.timedelta(seconds=2), "2000"),
    ]:
        table = pa.table(wide(corpus=pa.array([value] * 4, kind)))
        ladder = relscale.read_ladder(table, distributions=["x", "y"])
        assert ladder.corpora == [text], kind


def test_a_scale_has_no_axis_and_predictions_have_scales(analysis):
    frame = relscale.simulate("plain").frame
    with pytest.raises(relscale.OptionError, match="scale and axis"):
        relscale.fit(frame, "baseline", scale="params", axis="params")
    for scale in (0, -1e18, float("nan"), float("inf"), [1e13, 0.0]):
        with pytest.raises(relscale.FitError, match="scale of a prediction"):
            analysis.predict(scale)
