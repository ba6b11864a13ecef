"""The model of lm-evaluation-harness, against what its `hf` model answers (golden/harness.py)."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import relscale
from conftest import ROOT

pytest.importorskip("lm_eval", reason="pip install 'relscale[harness]'")
pytestmark = pytest.mark.filterwarnings("default")

os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"

HERE = Path(__file__).parent / "golden"
GOLDEN = json.loads((HERE / "harness.json").read_text(encoding="utf-8"))
CHECKPOINTS = sorted(
    (ROOT / "suite/checkpoints").glob("*/*/model.safetensors"), key=lambda p: (p.stat().st_size, str(p))
)
# The one of agree.py.
CHECKPOINT = CHECKPOINTS[len(CHECKPOINTS) // 2].parent


@pytest.fixture(scope="module")
def maker():
    spec = importlib.util.spec_from_file_location("harness_golden", HERE / "harness.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tasks(maker, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    maker.write_tasks(folder, GOLDEN["documents"])
    return folder


@pytest.fixture(scope="module")
def model():
    from relscale.lm_eval import RelscaleLM

    return RelscaleLM(str(CHECKPOINT), add_bos_token=False)


def test_every_answer_is_that_of_the_harness(maker, model, tasks):
    ours = maker.answers(model, tasks)
    for name, theirs in GOLDEN["answers"].items():
        for us, them in zip(ours[name]["nats"], theirs["nats"], strict=True):
            assert us == pytest.approx(them, abs=1e-4)
        for metric, value in theirs["metrics"].items():
            assert ours[name]["metrics"][metric] == pytest.approx(value, rel=1e-6), metric
    assert ours["last_word"]["greedy"] == GOLDEN["answers"]["last_word"]["greedy"]
    # Both happen, or the comparison would show nothing.
    assert len({g for (g,) in ours["last_word"]["greedy"]}) == 2


def test_greediness_of_choices_is_found_on_request(maker, tasks, model):
    from relscale.lm_eval import RelscaleLM

    all_of_them = maker.answers(RelscaleLM(str(CHECKPOINT), add_bos_token=False, greedy=True), tasks)
    assert all_of_them["choice"]["greedy"] == GOLDEN["answers"]["choice"]["greedy"]
    usual = maker.answers(model, tasks)
    # The same bits, whichever way they were computed.
    assert all_of_them["choice"]["nats"] == usual["choice"]["nats"]


def test_greediness_that_was_not_found_is_said_once(maker, tasks, caplog):
    from relscale.lm_eval import RelscaleLM

    def warned(**options) -> list[str]:
        caplog.clear()
        model = RelscaleLM(str(CHECKPOINT), add_bos_token=False, **options)
        for _ in range(2):
            maker.answers(model, tasks)
        return [r.getMessage() for r in caplog.records if r.name == "relscale.lm_eval"]

    (message,) = warned()
    assert "greedy=True" in message
    assert warned(greedy=True) == []
    assert warned(greedy=False) == []


def test_the_command_runs_a_task(tasks, tmp_path):
    command = [
        sys.executable, "-m", "relscale.lm_eval", "--model", "relscale",
        "--model_args", f"pretrained={CHECKPOINT},add_bos_token=False,threads=1",
        "--tasks", "choice", "--include_path", str(tasks), "--output_path", str(tmp_path),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    (results,) = tmp_path.rglob("results*.json")
    # By the name of the logs, `relscale harness` finds the run.
    assert results.parent.name.endswith(CHECKPOINT.name)
    found = json.loads(results.read_text())["results"]["choice"]
    assert found["acc,none"] == GOLDEN["answers"]["choice"]["metrics"]["acc,none"]


def test_generation_is_refused_by_name(model):
    from lm_eval.api.instance import Instance

    request = Instance("generate_until", {}, ("Say", {}), 0, metadata=("gsm8k", 0, 1))
    with pytest.raises(relscale.RelscaleError, match=r"generate_until of gsm8k.*hf"):
        model.generate_until([request])


def test_arguments(model):
    from lm_eval.api.registry import get_model

    with pytest.raises(relscale.OptionError, match="pretrained=DIR"):
        get_model("relscale").create_from_arg_string("threads=1", {})

    made = get_model("relscale").create_from_arg_string(
        f"checkpoint={CHECKPOINT},precision=bf16,max_length=64", {"batch_size": 1, "device": "cpu"}
    )
    assert made.max_length == 64
    assert made.get_model_info()["model_backend"] == "cpu bf16"
    assert made.tok_encode("ab") == [256, 97, 98]
    assert made.tok_encode("ab", add_special_tokens=False) == [97, 98]
    assert model.tok_encode("ab") == [97, 98]
    assert model.prefix_token_id == 256
