"""Drawings on matplotlib hold the numbers of the analysis."""

from __future__ import annotations

import json

import matplotlib
import numpy as np
import pytest
import relscale

matplotlib.use("Agg")
from matplotlib import pyplot


@pytest.fixture(autouse=True)
def closed():
    yield
    pyplot.close("all")


def law_of(analysis, name):
    return next(law for law in json.loads(analysis.to_json())["laws"] if law["treatment"] == name)


def test_a_ratio_is_drawn_with_its_bands(analysis):
    ax = analysis.plot("ratio", names=["czech-help"])
    law = law_of(analysis, "czech-help")
    points, line = [one for one in ax.lines if len(one.get_xdata()) > 2]
    readings = law["readings"]
    np.testing.assert_array_equal(points.get_xdata(), [r["scale"] for r in readings])
    np.testing.assert_allclose(np.log(points.get_ydata()), [r["log_ratio"] for r in readings], atol=1e-12)
    # The line goes through gamma at the reference scale, by the law.
    x, y = np.log(line.get_xdata()), np.log(line.get_ydata())
    exponent, gamma = law["delta_beta"]["value"], law["gamma"]["value"]
    np.testing.assert_allclose(y, np.log(gamma) + exponent * (x - np.log(law["reference_flops"])), atol=1e-12)
    scales = np.exp(x[[0, -1]])
    predicted = analysis.predict(scales)
    ends = predicted[predicted.treatment == "czech-help"]["line_upper"]
    alone = ax.collections[1].get_paths()[0].vertices
    for scale, end in zip(scales, ends, strict=True):
        at = alone[np.isclose(alone[:, 0], scale)]
        assert at[:, 1].max() == pytest.approx(end, rel=1e-9)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_every_kind_is_drawn_on_the_axes_given(analysis):
    for kind in ("ratios", "forest", "profiles", "traditional"):
        _, ax = pyplot.subplots()
        assert analysis.plot(kind, ax) is ax
        assert ax.lines
        ax.figure.canvas.draw()


def test_a_forest_has_the_intervals_that_decide(analysis):
    ax = analysis.plot("forest", names=["czech-help", "go-code"])
    assert [t.get_text() for t in ax.get_yticklabels()] == ["czech-help", "go-code"]
    low, high = ax.lines[1].get_xdata()
    decision = law_of(analysis, "czech-help")["multiplicity"]["decision"]
    assert (low, high) == (decision["lower"], decision["upper"])


def test_contrasts_are_drawn_by_name():
    contrasts = [{"name": "go", "treatment": "other", "baseline": "treatment"}]
    frame = relscale.simulate("plain").frame.replace({"distribution": {"aggregate": "other"}})
    analysis = relscale.fit(frame, "baseline", contrasts=contrasts)
    assert analysis.plot(names=["go"]).get_legend().get_texts()[0].get_text() == "go"


def test_what_cannot_be_drawn_is_refused(analysis):
    with pytest.raises(relscale.PlotError, match=r"did you mean 'ratios'"):
        analysis.plot("ratioss")
    with pytest.raises(relscale.PlotError, match=r"did you mean 'czech-help'"):
        analysis.plot("ratio", names=["czech-hlp"])
    with pytest.raises(relscale.PlotError, match="of one law"):
        analysis.plot("ratio")
    with pytest.raises(relscale.PlotError, match="no corpus 'x'"):
        analysis.plot(corpus="x")
    rungs = relscale.simulate("plain", shape="rungs").ladder
    with pytest.raises(relscale.PlotError, match="profiles"):
        relscale.fit(rungs, "baseline").plot("profiles")


def test_matplotlib_is_not_needed_before(analysis, monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"relscale\[plot\]"):
        analysis.plot()
