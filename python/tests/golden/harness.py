"""Makes harness.json: what the harness's `hf` model answers on three tasks, and compares relscale with it.

    VENV/bin/pip install lm-eval==0.4.13 torch transformers accelerate pyyaml relscale-*.whl
    VENV/bin/python python/tests/golden/harness.py                # compare, larger tasks, two checkpoints
    VENV/bin/python python/tests/golden/harness.py --write        # write harness.json

Checkpoints and tasks are those of cli/tests/harness_agreement/agree.py; a third task asks for the start of
the last word of a passage, as LAMBADA asks for the word. Sums over whole documents are held against the
harness in float64.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = Path(__file__).with_name("harness.json")
TASKS = {
    "choice": {
        "output_type": "multiple_choice",
        "doc_to_text": "{{context}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "gold",
        "metric_list": [{"metric": m} for m in ("acc", "acc_norm")],
    },
    "last_word": {
        "output_type": "loglikelihood",
        "doc_to_text": "{{context}}",
        "doc_to_target": "{{word}}",
        "metric_list": [{"metric": "perplexity"}, {"metric": "acc"}],
    },
    "rolling": {
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "{{text}}",
        "metric_list": [{"metric": "bits_per_byte"}],
    },
}


def agreement():
    """The script that compares the Rust program with the harness."""
    path = ROOT / "cli/tests/harness_agreement/agree.py"
    spec = importlib.util.spec_from_file_location("agree", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def last_words(by_name, count):
    """Passages without their last word. Most continuations that a small model likes best are one letter."""
    rng = random.Random(5)
    texts = [t for name in sorted(by_name) for t in by_name[name]]
    made = []
    while len(made) < count:
        words = rng.choice(texts)[: rng.randint(60, 200)].split(" ")
        if len(words) > 4 and words[-1].strip():
            # One character, so that some are what greedy decoding would give.
            made.append(
                {"id": len(made), "context": " ".join(words[:-1]), "word": f" {words[-1].strip()[:1]}"}
            )
    return made


def write_tasks(folder, documents):
    """Writes documents and tasks for the harness into a folder."""
    import yaml

    for name, task in TASKS.items():
        lines = "".join(json.dumps(d) + "\n" for d in documents[name])
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
        files = {"data_files": {"test": str(folder / f"{name}.jsonl")}}
        source = {"task": name, "dataset_path": "json", "dataset_kwargs": files, "test_split": "test"}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(task | source))


def answers(model, folder):
    """Log-likelihoods, greediness and metrics of every task."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(folder), include_defaults=False)
    out = simple_evaluate(
        model=model, tasks=list(TASKS), task_manager=manager, log_samples=True, bootstrap_iters=0
    )
    found = {}
    for name in TASKS:
        samples = sorted(out["samples"][name], key=lambda s: s["doc_id"])
        nats, greedy = [], []
        for sample in samples:
            of = [r[0] for r in sample["resps"]]
            rolling = name == "rolling"
            nats.append([float(a if rolling else a[0]) for a in of])
            greedy.append([] if rolling else [bool(a[1]) for a in of])
        metrics = {k: v for k, v in out["results"][name].items() if isinstance(v, float)}
        found[name] = {"nats": nats, "greedy": greedy, "metrics": metrics}
    return found


def documents(agree, choices, words, texts):
    by_name = agree.documents()
    everything = [t for name in by_name.values() for t in name]
    sample = random.Random(3).sample(everything, texts)
    return {
        "choice": agree.questions(by_name, choices),
        "last_word": last_words(by_name, words),
        "rolling": [{"id": i, "text": t} for i, t in enumerate(sample)],
    }


def both(agree, folder, checkpoint, adds_bos, dtype):
    """The answers of the harness."""
    from lm_eval.models.huggingface import HFLM

    extra = {} if adds_bos else {"add_bos_token": False}
    # `hf` in one thread and small batches: models this small gain nothing by more.
    return answers(
        HFLM(pretrained=str(checkpoint), dtype=dtype, device="cpu", batch_size=16, **extra), folder
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    agree = agreement()
    size = (24, 40, 6) if options.write else (300, 300, 40)
    docs = documents(agree, *size)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write_tasks(folder, docs)
        agree.byte_checkpoint(folder / "bytes")
        theirs = both(agree, folder, folder / "bytes", False, "float64")
        if options.write:
            GOLDEN.write_text(json.dumps({"documents": docs, "answers": theirs}, ensure_ascii=False) + "\n")
            return
        agree.bpe_checkpoint(folder / "bpe", [t for d in agree.documents().values() for t in d])
        worst = compare(folder, "bytes", theirs, {"add_bos_token": False})
        worst = max(worst, compare(folder, "bpe", both(agree, folder, folder / "bpe", True, "float64"), {}))
    sys.exit(worst > 1e-4)


def compare(folder, name, theirs, arguments):
    """Prints the largest differences; returns the largest of the log-likelihoods."""
    from relscale.lm_eval import RelscaleLM

    ours = answers(RelscaleLM(str(folder / name), **arguments), folder)
    worst = 0.0
    for task in TASKS:
        pairs = zip(ours[task]["nats"], theirs[task]["nats"], strict=True)
        difference = max(abs(a - b) for us, them in pairs for a, b in zip(us, them, strict=True))
        differ = sum(a != b for a, b in zip(ours[task]["greedy"], theirs[task]["greedy"], strict=True))
        count = sum(map(len, theirs[task]["nats"]))
        metrics = {k: (v, ours[task]["metrics"][k]) for k, v in theirs[task]["metrics"].items()}
        greedy = f", greediness differs in {differ}" if task == "last_word" else ""
        print(f"{name} {task}: {count} log-likelihoods within {difference:.2e} nats{greedy}; {metrics}")
        worst = max(worst, difference)
        if task == "last_word" and differ:
            worst = float("inf")
    return worst


if __name__ == "__main__":
    main()
