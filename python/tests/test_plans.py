"""Simulations, plans and strategies, against the Rust program."""

from __future__ import annotations

import json
import subprocess
import sys

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import relscale
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from relscale import strategies


def test_a_simulation_is_that_of_the_program(run, tmp_path):
    for scenario in ("plain", "held_out"):
        drawn = relscale.simulate(scenario, replicate=3)
        out = tmp_path / f"{scenario}.csv"
        run("simulate", "--scenario", scenario.replace("_", "-"), "--replicate", 3, "--out", out)
        assert drawn.ladder.to_csv() == out.read_text(encoding="utf-8")
        truth = json.loads(out.with_suffix(".truth.json").read_text(encoding="utf-8"))
        assert drawn.simulation == truth["simulation"]
        assert drawn.exponents == {e["treatment"]: e["delta_beta"] for e in truth["exponents"]}


def test_the_scenarios_are_those_of_the_program(run):
    schema = json.loads(run("schema", "simulation"))
    assert schema["title"] == "Simulation"
    for name in relscale.scenarios():
        assert len(relscale.simulate(name).ladder) > 0
    assert "plain" in relscale.scenarios()


@pytest.mark.parametrize(
    ("library", "kind"), [("pandas", pd.DataFrame), ("polars", pl.DataFrame), ("pyarrow", pa.Table)]
)
def test_frames_of_simulations_and_plans_are_of_the_library_asked_for(library, kind):
    drawn = relscale.simulate("plain", library=library)
    assert isinstance(drawn.frame, kind)
    assert isinstance(drawn.ladder.runs, kind)
    assert isinstance(relscale.plan(library=library).runs, kind)
    # The frame is the ladder, to the bit.
    again = relscale.read_ladder(drawn.frame)
    want, got = relscale.fit(drawn.ladder, "baseline"), relscale.fit(again, "baseline")
    assert json.loads(want.to_json())["laws"] == json.loads(got.to_json())["laws"]


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(relscale.OptionError, match="unknown variant"):
        relscale.simulate("simple")
    with pytest.raises(relscale.OptionError, match="sedes"):
        relscale.simulate("plain", sedes=2)
    with pytest.raises(relscale.OptionError, match="the simulation has"):
        relscale.simulate("plain", baseline="web")
    with pytest.raises(relscale.RelscaleError, match="no runs"):
        relscale.simulate("plain", seeds=0)


def test_a_plan_is_that_of_the_program(run, tmp_path):
    ours = relscale.plan()
    run("plan", "--json", tmp_path / "plan.json")
    theirs = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    assert ours.recipe == theirs["recipe"]
    assert ours.runs.to_dict("list") == pd.DataFrame(theirs["runs"]).to_dict("list")
    said = run("plan")
    forecast = ours.forecast()
    assert f"detects |Δβ| ≥ {forecast['minimum_detectable']:.5f}" in said
    assert f"standard error {forecast['standard_error']:.5f}" in said
    assert f"{ours.training_flops:.3e}".replace("e+", "e") in said
    again = relscale.plan(ours.recipe, budgets=[1e18, 1e19, 1e20])
    assert sorted(set(again.runs["budget"])) == [1e18, 1e19, 1e20]
    assert again.forecast()["minimum_detectable"] > forecast["minimum_detectable"]


def test_a_plan_that_makes_no_suite_is_refused():
    with pytest.raises(relscale.OptionError, match="vocabb"):
        relscale.plan(vocabb=3)
    with pytest.raises(relscale.OptionError):
        relscale.plan(budgets=[-1.0])
    with pytest.raises(relscale.FitError, match="seeds"):
        relscale.plan().forecast(seeds=0)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(["isoflop", "rungs", "grid"]).flatmap(strategies.ladders))
def test_every_ladder_of_the_strategies_can_be_fitted(drawn):
    ladder = drawn.ladder
    assert ladder.distributions == ["aggregate", "baseline", "other", "treatment"]
    analysis = relscale.fit(ladder, "baseline", aggregate="aggregate", floor_draws=0)
    assert len(analysis.laws) + len(analysis.refused) >= 2
    assert relscale.Analysis.from_json(analysis.to_json()) == analysis


def test_a_design_that_does_not_exist():
    with pytest.raises(ValueError, match="isoflop, rungs and grid"):
        strategies.ladders("square")


def test_nothing_is_imported_that_is_not_used():
    """`import relscale` costs NumPy and the native part."""
    heavy = ["pandas", "polars", "pyarrow", "matplotlib", "lm_eval", "hypothesis"]
    code = f"import sys, relscale; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
