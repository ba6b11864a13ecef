"""Writes tests/data/inspect_logs: logs in JSON as inspect_ai itself writes them.

    pip install inspect_ai==0.3.285
    python cli/tests/inspect_logs/make.py cli/tests/data/inspect_logs

No model runs: `mockllm` gives answers made here. Two models, a task of arithmetic with two scorers and
two epochs, and a task of choices. The task of choices is logged twice by one model. Transcripts of the
samples (`messages`, `events`, `output`), statistics and the description of the machine are removed, which
no reader needs.
"""

import json
import random
import shutil
import sys
import tempfile
from pathlib import Path

from inspect_ai import Task, eval
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import choice, f1, match
from inspect_ai.solver import generate, multiple_choice


def tasks():
    sums = [Sample(input=f"{a} + {a + 1} =", target=str(2 * a + 1), id=f"sum-{a}",
                   metadata={"level": "easy" if a < 3 else "hard"}) for a in range(5)]
    letters = [Sample(input=f"Which is letter {n}?", choices=["a", "b", "c", "d"], target="ABCD"[n])
               for n in range(4)]
    return {
        "sums": (Task(dataset=MemoryDataset(sums), solver=generate(), scorer=[match(), f1()],
                      epochs=2, name="sums"), [s.target for s in sums] * 2),
        "letters": (Task(dataset=MemoryDataset(letters), solver=multiple_choice(), scorer=choice(),
                         name="letters"), [f"ANSWER: {s.target}" for s in letters]),
    }


def run(folder, name, task, right, seed, log_format="json"):
    rng = random.Random(seed)
    task, answers = tasks()[task]
    answers = [a if rng.random() < right else "none" for a in answers]
    outputs = [ModelOutput.from_content(f"mockllm/{name}", a) for a in answers]
    for output in outputs:
        # Stated, because counting them would fetch a tokenizer.
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
    model = get_model(f"mockllm/{name}", custom_outputs=outputs)
    logs = eval(task, model=model, log_dir=str(folder), log_format=log_format, display="none",
                max_samples=1, max_connections=1)
    assert logs[0].status == "success"


def main():
    out = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        run(folder, "small", "letters", 0.2, 0)
        for name, right in [("small", 0.4), ("large", 0.8)]:
            run(folder, name, "sums", right, 1)
            run(folder, name, "letters", right, 3)
        if out.exists():
            shutil.rmtree(out)
        out.mkdir()
        for path in folder.glob("*.json"):
            log = json.loads(path.read_text())
            for name in ["stats", "plan"]:
                log.pop(name)
            for name in ["revision", "config", "model_args"]:
                log["eval"].pop(name)
            for sample in log["samples"]:
                for name in ["messages", "events", "output", "events_data", "attachments", "store"]:
                    sample.pop(name, None)
            (out / path.name).write_text(json.dumps(log) + "\n")


if __name__ == "__main__":
    main()
