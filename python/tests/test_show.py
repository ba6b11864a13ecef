"""Summaries and pictures."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import relscale
from conftest import SCORES


def test_the_summary_has_a_row_per_law(analysis):
    text = str(analysis.summary())
    assert max(map(len, text.split("Notes:")[0].splitlines())) <= 100
    row = next(line for line in text.splitlines() if line.startswith("czech-help"))
    law = next(r for r in analysis.laws.to_dict("records") if r["name"] == "czech-help")
    numbers = row.split()
    assert numbers[1] == f"{law['delta_beta']:.4f}"
    assert numbers[2] == f"{law['standard_error']:.4f}"
    assert numbers[4] == f"{law['p_value']:.3f}"
    assert numbers[5] == f"{law['delta_beta_lower']:.4f}"
    assert numbers[8] == "widens"
    assert repr(analysis.summary()) == text
    assert "Relative Scaling Laws" in text
    assert "[0.025" in text
    assert "booktabs" in analysis.summary().as_latex()
    assert analysis.summary().as_markdown().startswith("|")


def test_a_long_name_keeps_the_table_in_shape(tmp_path):
    folder = tmp_path / ("long-" * 30)
    folder.mkdir()
    path = folder / "scores.csv"
    relscale.simulate("plain").ladder.to_csv(path)
    text = str(relscale.fit(path, "baseline").summary())
    line = next(line for line in text.splitlines() if line.startswith("Ladder:"))
    assert len(line) <= 100
    assert "…" in line
    assert "scores.csv" in line


def test_several_kinds_of_laws_stand_apart():
    contrasts = [{"treatment": "go-code", "baseline": "rust-code"}]
    analysis = relscale.fit(SCORES, "english-help", treatments=["german-help"], contrasts=contrasts)
    text = str(analysis.summary())
    assert "contrasts, corpus balanced" in text
    assert text.index("german-help") < text.index("contrasts,")


class Tags(HTMLParser):
    """Fails on tags that do not match."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_html_is_well_formed_and_escapes_names():
    evil = "<script>alert(1)</script>"
    frame = relscale.simulate("plain").frame.replace({"distribution": {"treatment": evil}})
    analysis = relscale.fit(frame, "baseline")
    page = analysis._repr_html_()
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert len(re.findall("<img ", page)) == 1


def test_pictures_are_those_of_the_program(analysis, run, tmp_path):
    options = [SCORES, "--baseline", "english-help", "--aggregate", "aggregate"]
    run("fit", *options, "--plots", tmp_path)
    figures = analysis.figures()
    written = {p.name: p.read_text(encoding="utf-8") for p in tmp_path.glob("*.svg")}
    assert figures == written
