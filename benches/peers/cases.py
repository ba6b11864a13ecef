"""Models, items and the order of their log-probabilities, shared by all programs of table.py.

A model is a random checkpoint of transformers_forward.py. A case is a model with items of one kind:

* `text`: `batch` sequences of `seq` tokens, every token but the first scored;
* `choices`: questions that share `shots` tokens of examples, each with tokens of its own and four
  options of one to `option` tokens. Every token of an option is scored.

Every program reports one log-probability per scored token, in the order of the items, then of the
options, then of the tokens.
"""

import argparse
import json
import random
from dataclasses import dataclass, field
from pathlib import Path

import transformers_forward

MODELS = {
    "256x4": dict(hidden=256, layers=4, heads=4, mlp=768, vocab=512),
    "512x6": dict(hidden=512, layers=6, heads=8, mlp=1536, vocab=128_256),
    "768x12": dict(hidden=768, layers=12, heads=12, mlp=2048, vocab=128_256),
    # 0.83 billion parameters, 1.67 GB in bf16.
    "0.85B": dict(hidden=1536, layers=16, heads=12, kv_heads=4, mlp=4608, vocab=128_256),
    # Only to see that every program gives the right numbers.
    "tiny": dict(hidden=64, layers=2, heads=4, kv_heads=2, mlp=160, vocab=512),
}


@dataclass(frozen=True)
class Case:
    model: str
    kind: str
    title: str
    sizes: dict = field(default_factory=dict)
    # If true, peers in f32 and in lower precision are measured one after the other, each beside relscale:
    # together they would not fit into memory.
    large: bool = False
    # Share of the time of a run, relative to other cases.
    weight: float = 1

    @property
    def name(self):
        return self.model if self.kind == "text" else f"{self.model}-choices"


FOUR = dict(questions=4, shots=480, question=90, option=16)
CASES = [
    Case("256x4", "text", "hidden 256 × 4, vocabulary 512, 8 × 512 tokens", dict(seq=512, batch=8)),
    Case("512x6", "text", "hidden 512 × 6, vocabulary 128,256, 512 tokens", dict(seq=512, batch=1), weight=2),
    Case("512x6", "choices", "hidden 512 × 6, 4 questions of 4 options after a prefix of 480 tokens", FOUR, weight=2),
    Case("768x12", "text", "hidden 768 × 12, vocabulary 128,256, 512 tokens", dict(seq=512, batch=1), weight=4),
    Case("0.85B", "text", "0.85 B (1536 × 16, GQA), vocabulary 128,256, 512 tokens", dict(seq=512, batch=1), True, 8),
    Case("0.85B", "choices", "0.85 B, 4 questions of 4 options after a prefix of 480 tokens", FOUR, True, 10),
]
TINY = [
    Case("tiny", "text", "tiny, 2 × 48 tokens", dict(seq=48, batch=2)),
    Case("tiny", "choices", "tiny, 2 questions after a prefix of 24 tokens", dict(questions=2, shots=24, question=8, option=5)),
]


def shape(model, folder):
    """The arguments of transformers_forward.py for a model."""
    settings = dict(dtype="bfloat16", tied=False, seed=1, seq=0, batch=0) | MODELS[model]
    settings["head_dim"] = settings["hidden"] // settings["heads"]
    settings.setdefault("kv_heads", settings["heads"])
    return argparse.Namespace(dir=Path(folder), **settings)


def prepare(case, folder):
    """Writes checkpoint and items unless they are there."""
    args = shape(case.model, folder)
    config = args.dir / "config.json"
    if not config.exists():
        transformers_forward.make_checkpoint(args)
    elif json.loads(config.read_text()) != transformers_forward.wanted_config(args):
        raise SystemExit(f"{config} describes another model: choose another --dir")
    lines = "".join(json.dumps(item) + "\n" for item in make_items(case, args.vocab))
    path = items_path(folder, case.kind)
    if not path.exists() or path.read_text() != lines:
        path.write_text(lines)
        reference_path(folder, case.kind).unlink(missing_ok=True)


def items_path(folder, kind):
    return Path(folder) / f"{kind}.jsonl"


def reference_path(folder, kind):
    return Path(folder) / f"{kind}-f64.json"


def make_items(case, vocab):
    rng = random.Random(7)
    some = lambda n: [rng.randrange(vocab) for _ in range(n)]
    sizes = case.sizes
    if case.kind == "text":
        return [{"id": f"s{i}", "tokens": some(sizes["seq"])} for i in range(sizes["batch"])]
    shots, letters, items = some(sizes["shots"]), some(4), []
    for q in range(sizes["questions"]):
        question = some(rng.randint(sizes["question"] // 2, sizes["question"] * 3 // 2))
        options = [[x] + some(rng.randint(0, sizes["option"] - 1)) for x in letters]
        items.append({"id": f"q{q}", "context_tokens": shots + question, "choices_tokens": options, "gold": q % 4})
    return items


def items(folder, kind):
    return [json.loads(line) for line in items_path(folder, kind).read_text().splitlines()]


@dataclass
class Tree:
    """Input tokens of questions, with everything that they share present once.

    `sequences[i]` lists the options that see token i, `parents[i]` is the index of the token before it or
    -1. `targets` are pairs of an input token and the token whose log-probability after it is asked for.
    The first `prefix` tokens are common to all options. The last token of an option is no input.
    """

    tokens: list
    positions: list
    parents: list
    sequences: list
    targets: list
    prefix: int

    def visible(self):
        """Rows of booleans: if true, the token of the row sees that of the column."""
        rows = []
        for i, parent in enumerate(self.parents):
            row = list(rows[parent]) if parent >= 0 else [False] * len(self.tokens)
            row[i] = True
            rows.append(row)
        return rows


def tree(questions):
    contexts = [q["context_tokens"] for q in questions]
    prefix = 0
    while all(len(c) > prefix + 1 and c[prefix] == contexts[0][prefix] for c in contexts):
        prefix += 1
    count = sum(len(q["choices_tokens"]) for q in questions)
    t = Tree([], [], [], [], [], prefix)

    def add(parent, token, options):
        t.tokens.append(token)
        t.positions.append(t.positions[parent] + 1 if parent >= 0 else 0)
        t.parents.append(parent)
        t.sequences.append(options)
        return len(t.tokens) - 1

    shared, option = -1, 0
    for token in contexts[0][:prefix]:
        shared = add(shared, token, list(range(count)))
    for question in questions:
        options = list(range(option, option + len(question["choices_tokens"])))
        last = shared
        for token in question["context_tokens"][prefix:]:
            last = add(last, token, options)
        for choice in question["choices_tokens"]:
            at = last
            for i, token in enumerate(choice):
                t.targets.append((at, token))
                if i + 1 < len(choice):
                    at = add(at, token, [option])
            option += 1
    return t
