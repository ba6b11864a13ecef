"""Agreement with lm-evaluation-harness, item by item, on checkpoints and tasks made here.

    bash benches/peers/setup.sh DIR
    DIR/bin/pip install --no-deps lm-eval==0.4.13 accelerate
    DIR/bin/pip install datasets evaluate sqlitedict word2number more_itertools sacrebleu \
        rouge-score scikit-learn jsonlines dill pytablewriter zstandard psutil
    cargo build --release -p relscale-cli
    DIR/bin/python cli/tests/harness_agreement/agree.py --relscale target/release/relscale

Nothing is fetched: the texts are those of suite/texts, the checkpoints are one of the suite's
(byte-level, trained, context 256; its tokenizer written as a tokenizer.json that the harness can
read) and a random Llama with a byte-pair tokenizer that puts a beginning-of-sequence token
(context 128). The multiple-choice task asks which of four passages goes on a text; some contexts end in
white space, some are too long for the context. The rolling task has whole documents of several
windows. Every log-likelihood is compared (nats) and every accuracy; a difference above the
tolerance ends the script with an error.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import torch
import yaml
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM

ROOT = Path(__file__).resolve().parents[3]
TOLERANCE = 1e-4
METRICS = {
    "acc": "",
    "acc_norm": "characters",
    "acc_bytes": "bytes",
    "acc_mutual_info": "unconditional",
}


def documents():
    """Every text of the suite, by distribution."""
    found = {}
    for path in sorted((ROOT / "suite/texts").glob("*.jsonl")):
        lines = path.read_text(encoding="utf-8").splitlines()
        found[path.stem] = [json.loads(line)["text"] for line in lines]
    return found


def byte_checkpoint(folder):
    """The middle one of the suite's checkpoints by size, with its bytes as a tokenizer.json."""
    found = (ROOT / "suite/checkpoints").glob("*/*/model.safetensors")
    found = sorted(found, key=lambda p: (p.stat().st_size, str(p)))
    source = found[len(found) // 2].parent
    print(f"bytes: {source.name}")
    shutil.copytree(source, folder)
    config = json.loads((folder / "config.json").read_text())
    # The characters that byte-level tokenizers write bytes with, in the order of the bytes.
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in printable]
    names = {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(rest)}
    vocab = {names[b]: b for b in range(256)}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<bos>"])
    assert tokenizer.token_to_id("<bos>") == config["bos_token_id"]
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<bos>",
                "eos_token": "<bos>", "pad_token": "<bos>", "add_bos_token": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return config["bos_token_id"]


def bpe_checkpoint(folder, texts):
    """A random Llama whose tokenizer merges bytes and puts a token before every text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=["<s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    bos = tokenizer.token_to_id("<s>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", bos)]
    )
    torch.manual_seed(11)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=48, intermediate_size=96,
        num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=128, bos_token_id=bos, eos_token_id=bos,
        initializer_range=0.12, tie_word_embeddings=False,
    )
    LlamaForCausalLM(config).to(torch.float32).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>",
                "eos_token": "<s>", "pad_token": "<s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return bos


def questions(texts, count):
    """Which of four passages goes on a text? Contexts of 20 to 300 characters; one in eight ends
    in white space that a choice would else begin with."""
    rng = random.Random(17)
    names = sorted(texts)
    made = []
    while len(made) < count:
        name = rng.choice(names)
        text = rng.choice(texts[name])
        length = rng.randint(20, 300)
        start = rng.randrange(max(1, len(text) - length - 40))
        context = text[start:start + length].rstrip()
        after = text[start + len(context):start + len(context) + rng.randint(5, 40)].strip()
        choices = [after]
        for _ in range(3):
            other = rng.choice(texts[rng.choice([name, rng.choice(names)])])
            at = rng.randrange(max(1, len(other) - 40))
            choices.append(other[at:at + rng.randint(5, 40)].strip())
        if not context or any(not c for c in choices) or len(set(choices)) < 4:
            continue
        if len(made) % 8 == 0:
            context += rng.choice([" ", "\n", "\n\n"])
        order = rng.sample(range(4), 4)
        made.append({
            "id": len(made),
            "context": context,
            "choices": [choices[i] for i in order],
            "gold": order.index(0),
        })
    return made


def write(path, lines):
    path.write_text("".join(json.dumps(l, ensure_ascii=False) + "\n" for l in lines), encoding="utf-8")


def harness(folder, checkpoint, task, dtype="float32", **arguments):
    """Samples and metrics of the harness on a task."""
    model = HFLM(pretrained=str(checkpoint), dtype=dtype, device="cpu", batch_size=16, **arguments)
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    out = simple_evaluate(model=model, tasks=[task], task_manager=manager, log_samples=True,
                          bootstrap_iters=0, verbosity="ERROR")
    samples = sorted(out["samples"][task], key=lambda s: s["doc_id"])
    return samples, out["results"][task]


def ours(relscale, folder, checkpoint, items, *options):
    out = folder / "out.jsonl"
    command = [relscale, "score", "--checkpoint", checkpoint, "--items", items, "--out", out, *options]
    subprocess.run([str(c) for c in command], check=True)
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def accuracies(answer, item):
    """Whether the gold choice is the likeliest, by normalisation."""
    lls = np.array(answer["log_likelihood"])
    lengths = {
        "": np.ones(len(lls)),
        "characters": np.array([len(c) for c in item["choices"]]),
        "bytes": np.array([len(c.encode()) for c in item["choices"]]),
    }
    right = {by: int(np.argmax(lls / n)) == item["gold"] for by, n in lengths.items()}
    right["unconditional"] = int(np.argmax(lls - answer["unconditional"])) == item["gold"]
    return right


class Table:
    def __init__(self):
        self.rows = []
        self.failed = False

    def add(self, checkpoint, what, count, difference, bound=TOLERANCE):
        ok = difference <= bound
        self.failed |= not ok
        self.rows.append((checkpoint, what, count, f"{difference:.2e}", "" if ok else "DIFFERS"))

    def print(self):
        rows = [("checkpoint", "what", "items", "largest difference", "")] + self.rows
        widths = [max(len(str(r[i])) for r in rows) for i in range(5)]
        for row in rows:
            print("  ".join(str(v).ljust(w) for v, w in zip(row, widths)).rstrip())


def compare(table, relscale, folder, name, checkpoint, bos, adds, items, texts):
    # Multiple choice, with the harness's defaults.
    samples, results = harness(folder, checkpoint, "choice")
    asked = [i | {"choices": [f" {c}" for c in i["choices"]], "unconditional": ""} for i in items]
    path = folder / "asked.jsonl"
    write(path, asked)
    # The harness puts the token where the tokenizer does, and before an empty context always. It
    # drops the token with the start of a context that is too long: `--bos-first`.
    if adds:
        answers = ours(relscale, folder, checkpoint, path, "--truncate", "--bos-first", bos)
        unconditional = answers
    else:
        write(path, [{k: v for k, v in i.items() if k != "unconditional"} for i in asked])
        answers = ours(relscale, folder, checkpoint, path, "--truncate", "--bos", "never")
        write(path, asked)
        unconditional = ours(relscale, folder, checkpoint, path, "--truncate", "--bos-first", bos)
    assert len(samples) == len(answers) == len(items)
    worst = worst_unconditional = 0.0
    disagree = dict.fromkeys(METRICS, 0)
    same = dict.fromkeys(METRICS, 0.0)
    for sample, answer, other, item in zip(samples, answers, unconditional, items):
        answer["unconditional"] = other["unconditional"]
        theirs = np.array([float(r[0][0]) for r in sample["resps"]])
        k = len(item["choices"])
        worst = max(worst, np.abs(theirs[:k] - answer["log_likelihood"]).max())
        worst_unconditional = max(
            worst_unconditional, np.abs(theirs[k:] - answer["unconditional"]).max())
        right = accuracies(answer, item)
        for metric, by in METRICS.items():
            disagree[metric] += bool(sample[metric]) != right[by]
            same[metric] += right[by] / len(items)
    truncated = sum(any("dropped" in w for w in a.get("warnings", [])) for a in answers)
    spanned = sum(any("spans" in w for w in a.get("warnings", [])) for a in answers)
    table.add(name, "choice log-likelihood, nats", 4 * len(items), worst)
    table.add(name, "unconditional log-likelihood, nats", 4 * len(items), worst_unconditional)
    for metric, by in METRICS.items():
        label = f"{metric} ({same[metric]:.4f}), items that differ"
        table.add(name, label, len(items), float(disagree[metric]), 0.0)
        table.add(name, f"{metric}, mean", len(items), abs(results[f"{metric},none"] - same[metric]), 1e-12)
    print(f"{name}: {truncated} items with a truncated context, {spanned} with a token across the cut")

    # Rolling text: the harness puts its prefix token before the first window, whatever the
    # tokenizer does; where that adds one too it would stand twice, so it is told not to.
    # Sums over a thousand tokens are held against the harness in float64: in float32 its own
    # rounding is larger than the tolerance, as the last row shows.
    def rolling(dtype):
        samples, results = harness(folder, checkpoint, "rolling", dtype, add_bos_token=False)
        return [float(s["resps"][0][0]) for s in samples], results

    theirs, results = rolling("float64")
    single, _ = rolling("float32")
    answers = ours(relscale, folder, checkpoint, folder / "rolling.jsonl", "--bos-first", bos)
    assert len(theirs) == len(answers) == len(texts)
    worst = max(abs(t - a["log_likelihood"]) for t, a in zip(theirs, answers))
    tokens = max(a["tokens"] for a in answers)
    table.add(name, f"rolling log-likelihood, nats (to {tokens} tokens)", len(texts), worst)
    bits = sum(-a["log_likelihood"] for a in answers) / np.log(2) / sum(a["bytes"] for a in answers)
    table.add(name, f"bits per byte ({bits:.6f})", len(texts), abs(bits - results["bits_per_byte,none"]), 1e-7)
    rounding = max(abs(t - s) for t, s in zip(theirs, single))
    table.add(name, "(rolling, the harness in float32 against itself)", len(texts), rounding, np.inf)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--relscale", type=Path, default=ROOT / "target/release/relscale")
    parser.add_argument("--items", type=int, default=600)
    parser.add_argument("--documents", type=int, default=60)
    options = parser.parse_args()
    # More threads than cores make models this small wait for each other.
    torch.set_num_threads(1)
    by_name = documents()
    everything = [text for texts in by_name.values() for text in texts]
    table = Table()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        items = questions(by_name, options.items)
        texts = random.Random(3).sample(everything, options.documents)
        write(folder / "choice.jsonl", items)
        write(folder / "rolling.jsonl", [{"id": i, "text": t} for i, t in enumerate(texts)])
        tasks = {
            "choice": {
                "output_type": "multiple_choice",
                "doc_to_text": "{{context}}",
                "doc_to_choice": "{{choices}}",
                "doc_to_target": "gold",
                "metric_list": [{"metric": m} for m in METRICS],
            },
            "rolling": {
                "output_type": "loglikelihood_rolling",
                "doc_to_text": "",
                "doc_to_target": "{{text}}",
                "metric_list": [{"metric": "bits_per_byte"}],
            },
        }
        for name, task in tasks.items():
            task |= {
                "task": name,
                "dataset_path": "json",
                "dataset_kwargs": {"data_files": {"test": str(folder / f"{name}.jsonl")}},
                "test_split": "test",
            }
            (folder / f"{name}.yaml").write_text(yaml.safe_dump(task))
        bos = byte_checkpoint(folder / "bytes")
        compare(table, options.relscale, folder, "bytes", folder / "bytes", bos, False, items, texts)
        bos = bpe_checkpoint(folder / "bpe", everything)
        compare(table, options.relscale, folder, "byte pairs", folder / "bpe", bos, True, items, texts)
    table.print()
    sys.exit(1 if table.failed else 0)


if __name__ == "__main__":
    main()
