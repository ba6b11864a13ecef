"""Checkpoints: scores and log-likelihoods, against the Rust program and against each other."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import relscale
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

CHECKPOINT = ROOT / "suite/checkpoints/balanced/isoflop-1.8ep12-d48-L2-B8-balanced"
OTHER = ROOT / "suite/checkpoints/balanced/isoflop-1.8ep11-d24-L1-B4-balanced"
TEXTS = ROOT / "suite/texts/english-help.jsonl"


@pytest.fixture(scope="module")
def model() -> relscale.Model:
    return relscale.Model(CHECKPOINT)


@pytest.fixture(scope="module")
def texts() -> list[dict]:
    lines = TEXTS.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def score(*arguments, **options):
    return relscale.score(*arguments, progress=False, **options)


def test_scores_are_those_of_the_program(model, run, tmp_path):
    out = tmp_path / "out.jsonl"
    run("score", "--checkpoint", CHECKPOINT, "--items", TEXTS, "--out", out)
    theirs = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    ours = score(model, TEXTS, ["nats_per_token", "bits_per_byte"])
    assert ours["distribution"].unique().tolist() == ["english-help"]
    nats = ours[ours.scorer == "nats_per_token"]
    assert nats["item"].tolist() == [t["id"] for t in theirs]
    for (_, row), their in zip(nats.iterrows(), theirs, strict=True):
        assert row["loss"] == -their["log_likelihood"] / their["tokens"]
        assert row["weight"] == their["tokens"]
    assert len(ours) == 2 * len(theirs)


def test_items_in_memory_of_every_form_give_the_same_bits(model, texts):
    want = score(model, TEXTS, name=None).drop(columns="distribution")
    frame = pd.DataFrame(texts)
    forms = [texts, frame, pl.from_pandas(frame), frame.to_dict("records")]
    for form in forms:
        got = score(model, form, library="pandas").drop(columns="distribution")
        pd.testing.assert_frame_equal(got, want, check_exact=True)
    assert isinstance(score(model, pl.from_pandas(frame).head(2)), pl.DataFrame)
    plain = score(model, [t["text"] for t in texts], name="help")
    assert plain["item"].tolist() == [str(i) for i in range(len(texts))]
    assert plain["loss"].tolist() == want["loss"].tolist()
    assert set(plain["distribution"]) == {"help"}


def test_a_log_is_kept_and_read_again(model, texts, tmp_path):
    log = tmp_path / "scores.log"
    half = tmp_path / "half.log"
    first = score(model, texts, log=log)
    size = log.stat().st_size
    called = []
    again = relscale.score(model, texts, log=log, progress=lambda *p: called.append(p))
    assert log.stat().st_size == size
    assert called == []
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    pd.testing.assert_frame_equal(first, score(model, texts), check_exact=True)
    with pytest.raises(relscale.ScoreError, match="differs"):
        score(model, texts, log=log, context=64)

    def stop(tokens: int, total: int) -> None:
        raise KeyError("enough")

    # An error of the progress function ends the evaluation and is raised as it is.
    with pytest.raises(KeyError, match="enough"):
        relscale.score(model, texts, log=half, batch_tokens=512, progress=stop)
    kept = half.read_bytes()
    assert 0 < len(kept) < size
    pd.testing.assert_frame_equal(score(model, texts, log=half), first, check_exact=True)
    assert half.read_bytes().startswith(kept)


def test_the_key_of_a_log_is_that_of_the_program(model, program, tmp_path):
    header, *rows = (ROOT / "suite/ladder.csv").read_text(encoding="utf-8").splitlines()
    (row,) = [r for r in rows if f"{CHECKPOINT.name}," in r]
    row = row.replace(",checkpoints/", f",{ROOT}/suite/checkpoints/")
    (tmp_path / "runs.csv").write_text(f"{header}\n{row}\n", encoding="utf-8")
    (tmp_path / "texts").mkdir()
    for name in ("english-help", "other"):
        shutil.copy(TEXTS, tmp_path / "texts" / f"{name}.jsonl")
    command = [program, "ladder", "--runs", "runs.csv", "--texts", "texts", "--baseline", "other"]
    # One checkpoint is scored and not fitted.
    subprocess.run([*command, "--out", "out"], cwd=tmp_path, check=False, capture_output=True)
    (theirs,) = (tmp_path / "out/logs").rglob("english-help.jsonl")
    mine = tmp_path / "scores.log"
    score(model, TEXTS, log=mine)

    def key(log: Path) -> dict:
        found = json.loads(log.read_text(encoding="utf-8").splitlines()[0])["key"]
        # A folder of texts has every item as a cluster of its own.
        del found["distribution_hash"]
        return found

    assert key(mine) == key(theirs)
    assert "kernels" in key(mine)["backend_version"]


def test_a_checkpoint_that_changed_since_it_was_loaded_is_not_logged(texts, tmp_path):
    folder = tmp_path / "checkpoint"
    shutil.copytree(CHECKPOINT, folder)
    model = relscale.Model(folder)
    score(model, texts[:2], log=tmp_path / "before.log")
    shutil.copy(OTHER / "model.safetensors", folder / "model.safetensors")
    with pytest.raises(relscale.ScoreError, match="changed"):
        score(model, texts[:2], log=tmp_path / "after.log")
    assert not (tmp_path / "after.log").exists()


INTERRUPTED = """
import json, sys, relscale
texts = [json.loads(line) for line in open(sys.argv[2], encoding="utf-8")]
items = [t | {"id": f"{n}-{t['id']}"} for n in range(200) for t in texts]
def progress(tokens, total):
    print(tokens, flush=True)
try:
    relscale.score(sys.argv[1], items, log=sys.argv[3], batch_tokens=512, threads=1, progress=progress)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_an_interrupt_stops_it_with_the_log_kept(tmp_path):
    log = tmp_path / "scores.log"
    command = [sys.executable, "-c", INTERRUPTED, str(CHECKPOINT), str(TEXTS), str(log)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for _ in range(3):
        assert child.stdout.readline().strip().isdigit()
    child.send_signal(signal.SIGINT)
    start = time.monotonic()
    rest, _ = child.communicate(timeout=60)
    assert time.monotonic() - start < 10
    assert rest.strip().splitlines()[-1] == "interrupted"
    assert child.returncode == 0
    assert len(log.read_text(encoding="utf-8").splitlines()) > 1


def test_other_threads_run_meanwhile(model, texts):
    ticks = []
    done = threading.Event()

    def tick() -> None:
        while not done.is_set():
            ticks.append(time.monotonic())
            time.sleep(0.002)

    thread = threading.Thread(target=tick)
    thread.start()
    start = time.monotonic()
    # One batch: nothing but the released lock lets the other thread run.
    score(model, [t | {"id": f"{n}-{t['id']}"} for n in range(8) for t in texts], batch_tokens=10**9)
    end = time.monotonic()
    done.set()
    thread.join()
    within = [t for t in ticks if start < t < end]
    assert len(within) > 0.1 * (end - start) / 0.002


ids = st.lists(st.integers(0, 255), min_size=1, max_size=40)


@settings(max_examples=30, deadline=None)
@given(prefix=ids, ends=st.lists(ids, min_size=1, max_size=6))
def test_shared_prefixes_change_no_bit(model, prefix, ends):
    together = model.log_likelihoods([prefix + end for end in ends])
    alone = [model.log_likelihoods([np.array(prefix + end)])[0] for end in ends]
    after = model.log_likelihoods(ends, contexts=[prefix] * len(ends))
    for one, two, three, end in zip(together, alone, after, ends, strict=True):
        assert one.dtype == np.float64
        assert len(one) == len(prefix) + len(end) - 1
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one[len(prefix) - 1 :], three)
        assert (one <= 0).all()


def test_threads_batches_and_the_reference_agree(model):
    tokens = [model.encode("The quick brown fox jumps over the lazy dog.")]
    want = model.log_likelihoods(tokens)[0]
    one = relscale.Model(CHECKPOINT, threads=1, batch_tokens=1)
    np.testing.assert_array_equal(one.log_likelihoods(tokens)[0], want)
    exact = relscale.Model(CHECKPOINT, backend="reference").log_likelihoods(tokens)[0]
    assert 0 < np.abs(exact - want).max() < 1e-4
    rough = relscale.Model(CHECKPOINT, precision="bf16").log_likelihoods(tokens)[0]
    assert 1e-4 < np.abs(exact - rough).max() < 0.1


def test_what_a_model_says(model):
    assert (model.vocab_size, model.context_len, model.bos_token) == (260, 256, 256)
    assert model.adds_bos
    assert model.encode("né").tolist() == [0x6E, 0xC3, 0xA9]
    assert model.warnings == []


def test_choices_and_tokens(model):
    question = {"id": "q", "context": "The capital of France is", "choices": [" Paris", " x"], "gold": 0}
    frame = score(model, [question], ["choice_log_loss", "error_rate"])
    assert frame["scorer"].tolist() == ["choice_log_loss", "error_rate"]
    tokens = score(model, [{"id": 1, "tokens": [1, 2, 3, 4]}], ["nats_per_token"])
    nats = model.log_likelihoods([[1, 2, 3, 4]])[0]
    assert tokens["loss"].item() == -nats.sum() / 3


def test_bad_input_is_refused(model, tmp_path):
    with pytest.raises(relscale.ScoreError, match="no/such"):
        relscale.Model("no/such")
    with pytest.raises(relscale.OptionError, match="cuda f32"):
        relscale.Model(CHECKPOINT, backend="cuda")
    with pytest.raises(relscale.OptionError, match="is none of"):
        score(model, ["a text"], ["accuracy"])
    with pytest.raises(TypeError, match="a list of names"):
        score(model, ["a text"], "bits_per_byte")
    with pytest.raises(relscale.OptionError, match="stride"):
        score(model, ["a text"], stride=10**6)
    with pytest.raises(relscale.ScoreError, match="line 2"):
        score(model, [{"text": "x"}, {"txt": "x"}])
    with pytest.raises(relscale.ScoreError, match="no items"):
        score(model, [])
    with pytest.raises(relscale.ScoreError, match="memory"):
        relscale.Model(CHECKPOINT, memory_limit=1000)
    for tokens, error in [
        ([], relscale.ScoreError),
        ([5], relscale.ScoreError),
        ([1, 300], relscale.ScoreError),
        ([1, -1], relscale.ScoreError),
        ([1, 2**32 + 1], relscale.ScoreError),
        ([1] * 258, relscale.ScoreError),
        (["a", "b"], TypeError),
        ([[1, 2]], TypeError),
        ([1.5, 2.0], TypeError),
    ]:
        with pytest.raises(error):
            model.log_likelihoods([tokens])
    with pytest.raises(ValueError, match="contexts"):
        model.log_likelihoods([[1, 2]], contexts=[])


def test_from_checkpoints_to_a_law(run):
    """Scores of a few checkpoints, with the columns of their runs, are a table that fits."""
    runs = pl.read_csv(ROOT / "suite/ladder.csv", infer_schema_length=None)
    assert Path(ROOT / "suite/ladder.csv").exists()
    frames = []
    for name in ["isoflop-1.8ep11-d24-L1-B4-balanced", "isoflop-1.8ep12-d24-L1-B8-balanced"]:
        for text in ("english-help", "german-help"):
            path = ROOT / f"suite/texts/{text}.jsonl"
            frame = score(ROOT / "suite/checkpoints/balanced" / name, path, library="polars")
            frames.append(frame.with_columns(run=pl.lit(name)))
    ladder = relscale.read_ladder(pl.concat(frames), runs)
    assert ladder.distributions == ["english-help", "german-help"]
    scored = pl.concat(frames).filter(pl.col("run") == name, pl.col("distribution") == "german-help")
    want = (scored["loss"] * scored["weight"]).sum() / scored["weight"].sum()
    assert ladder.error(name, "german-help") == pytest.approx(want, rel=1e-12)


def test_greediness(model):
    context = model.encode("The quick brown fox jum").tolist()
    best = []
    for _ in range(3):
        nats = [n.item() for n in model.log_likelihoods([[t] for t in range(260)], [context + best] * 260)]
        best.append(int(np.argmax(nats)))
    other = [best[0], (best[1] + 1) % 256, best[2]]
    answers = model.greedy_log_likelihoods([best, other, best[:1]], [context] * 3)
    assert [greedy for _, greedy in answers] == [True, False, True]
    for (nats, _), sequence in zip(answers, [best, other, best[:1]], strict=True):
        assert nats == np.cumsum(model.log_likelihoods([sequence], [context])[0])[-1]
    with pytest.raises(relscale.ScoreError, match="no context"):
        model.greedy_log_likelihoods([[1]], [[]])
    with pytest.raises(relscale.ScoreError, match="vocabulary"):
        model.greedy_log_likelihoods([[1000]], [[1]])


def test_options_of_a_model_that_is_loaded_are_its_own(model, texts):
    for option in [{"precision": "bf16"}, {"backend": "reference"}, {"threads": 1},
                   {"special_tokens": True}]:  # fmt: skip
        (name,) = option
        with pytest.raises(TypeError, match=f"{name}=.* but the model was loaded with {name}="):
            score(model, texts, **option)
    same = score(model, texts, backend="cpu", precision="f32", special_tokens=False)
    pd.testing.assert_frame_equal(same, score(model, texts), check_exact=True)


def test_the_token_budget_is_that_of_the_model(model, texts):
    def batches(one: relscale.Model, **options) -> int:
        called = []
        relscale.score(one, texts, progress=lambda *p: called.append(p), **options)
        return len(called)

    small = relscale.Model(CHECKPOINT, batch_tokens=64)
    assert batches(small) > batches(model)
    assert batches(small, batch_tokens=8192) == batches(model)


def test_gaps_of_a_frame_of_items_are_fields_that_are_not_there(model):
    frame = pd.DataFrame({"text": ["one text", "another"], "cluster": [pd.NA, pd.NaT]}, dtype=object)
    got = score(model, frame)
    pd.testing.assert_frame_equal(got, score(model, frame[["text"]]), check_exact=True)
    named = score(model, frame.assign(cluster=pd.Series(["a", pd.NA], dtype="string")))
    assert named["cluster"].tolist() == ["a", got["cluster"][1]]
