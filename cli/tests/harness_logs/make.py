"""Writes tests/data/harness_logs: a folder of logs as lm-evaluation-harness itself writes them.

    pip install lm_eval==0.4.13 torch transformers
    python cli/tests/harness_logs/make.py cli/tests/data/harness_logs

Nothing is fetched: two random GPT-2 models of a few thousand parameters with a byte-level tokenizer,
and tasks of a few documents each, one for every kind of request: choices that are numbers, given by index;
words, given by text; repeated documents; contexts that differ by choice (as WinoGrande); one request per document
(as LAMBADA); running text; generated text with two filters; mutual information; several correct choices;
groups weighted by size, not weighted, and nested. One task is logged twice by one model. The harness runs
by its command line, with `--output_path` and `--log_samples`. Of its results files only `pretty_env_info` and
other descriptions of the machine are removed, which no reader needs.
"""

import json
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

import torch
import yaml
from lm_eval.__main__ import cli_evaluate
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

MACHINE = ["pretty_env_info", "upper_git_hash", "git_hash", "total_evaluation_time_seconds"]


def model(folder, width, seed):
    """A random model; its tokens are bytes."""
    torch.manual_seed(seed)
    vocabulary = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    vocabulary["<|end|>"] = len(vocabulary)
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|end|>", eos_token="<|end|>"
    )
    config = GPT2Config(
        vocab_size=len(vocabulary), n_positions=128, n_embd=width, n_layer=1, n_head=2,
        bos_token_id=vocabulary["<|end|>"], eos_token_id=vocabulary["<|end|>"],
        initializer_range=0.5,
    )
    network = GPT2LMHeadModel(config).eval()
    network.save_pretrained(folder)
    wrapped.save_pretrained(folder)
    return network, wrapped


def first_letter(network, tokenizer, prompt):
    """The first character that the model generates."""
    tokens = tokenizer(prompt, return_tensors="pt").input_ids
    with torch.no_grad():
        out = network.generate(tokens, max_new_tokens=4, do_sample=False, pad_token_id=0)
    return tokenizer.decode(out[0, tokens.shape[1]:]).strip()[:1]


def documents(network, tokenizer):
    """The documents of every task."""
    rng = random.Random(5)
    words = ["river", "stone", "cloud", "maple", "amber", "crow", "ridge", "fen"]
    text = lambda n: " ".join(rng.choice(words) for _ in range(n))
    numeric = []
    for i in range(5):
        choices = [str(n) for n in rng.sample(range(8), 4)]
        numeric.append({"question": f"{text(2)} {i}", "choices": choices, "gold": rng.randrange(4),
                        "subject": words[i % 2]})
    worded = []
    for i in range(4):
        choices = rng.sample(words, 3)
        worded.append({"question": f"{text(2)} {i}", "choices": choices, "answer": choices[i % 3]})
    repeated = [{"question": text(2), "choices": [" up", " down"], "gold": i % 2} for i in range(2)]
    wino = [{"options": [text(1), text(1)], "end": f"is {text(1)}.", "gold": rng.randrange(2)}
            for _ in range(5)]
    lines = [{"text": text(4)} for _ in range(4)]
    rolling = [{"text": text(n) + rng.choice(["", " — naïve café"])} for n in (3, 9, 40)]
    prompts = [f"{text(2)} {i}:" for i in range(5)]
    generated = [{"prompt": p, "answer": first_letter(network, tokenizer, p) if i % 2 else "q"}
                 for i, p in enumerate(prompts)]
    several = [{"question": text(2), "choices": ["a", "b", "c"], "golds": g} for g in ([0, 2], [1, 2])]
    return {"numeric": numeric, "worded": worded, "repeated": repeated * 2, "wino": wino, "lambada": lines,
            "rolling": rolling, "generated": generated, "several": several,
            "small": numeric[:2], "large": numeric[1:]}


def metrics(*names):
    return [{"metric": n, "aggregation": "mean", "higher_is_better": True} for n in names]


BRIER = {"metric": "brier_score", "aggregation": "brier_score", "higher_is_better": False}


def tasks():
    """The tasks, by name: data set and configuration."""
    choice = {
        "output_type": "multiple_choice", "doc_to_text": "{{question}} =", "doc_to_choice": "choices",
        "doc_to_target": "gold", "metric_list": [*metrics("acc", "acc_norm", "acc_bytes"), BRIER],
    }
    perplexity = [
        {"metric": m, "aggregation": a, "higher_is_better": False}
        for m, a in [("word_perplexity", "weighted_perplexity"),
                     ("byte_perplexity", "weighted_perplexity"), ("bits_per_byte", "bits_per_byte")]
    ]
    letter = {"function": "regex", "regex_pattern": r"(\S)", "group_select": 0}
    return {
        "numeric": ("numeric", choice),
        "worded": ("worded", choice | {"doc_to_target": "{{answer}}"}),
        "numeric_mutual": ("numeric", choice | {"metric_list": metrics("acc", "acc_mutual_info")}),
        "repeated": ("repeated", choice | {"metric_list": metrics("acc"), "target_delimiter": ""}),
        "several": ("several", choice | {"doc_to_target": "golds", "metric_list": metrics("acc")}),
        "wino": ("wino", {
            "output_type": "multiple_choice", "doc_to_text": "gold", "doc_to_choice": "options",
            "doc_to_target": "end", "metric_list": metrics("acc"),
        }),
        "lambada": ("lambada", {
            "output_type": "loglikelihood",
            "doc_to_text": "{{text.split(' ')[:-1]|join(' ')}}",
            "doc_to_target": "{{' '+text.split(' ')[-1]}}",
            "metric_list": [{"metric": "perplexity", "aggregation": "perplexity",
                             "higher_is_better": False}, *metrics("acc")],
        }),
        "rolling": ("rolling", {
            "output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "text",
            "metric_list": perplexity,
        }),
        "generated": ("generated", {
            "output_type": "generate_until", "doc_to_text": "{{prompt}}", "doc_to_target": "answer",
            "generation_kwargs": {"until": ["\n"], "max_gen_toks": 4, "do_sample": False},
            "metric_list": [*metrics("exact_match"),
                            {"metric": "bleu", "aggregation": "bleu", "higher_is_better": True}],
            "filter_list": [
                {"name": "letter", "filter": [letter, {"function": "take_first"}]},
                {"name": "whole", "filter": [{"function": "take_first"}]},
            ],
        }),
        "small": ("small", choice), "large": ("large", choice),
    }


def groups():
    """Names of groups with their members and the weighting of `acc` (by size, equal, or none)."""
    return {
        "by_size": (["small", "large"], True),
        "equal": (["small", "large"], False),
        "nested": (["by_size", "repeated"], True),
    }


def write_tasks(root, data):
    (root / "tasks").mkdir()
    (root / "data").mkdir()
    for name, lines in data.items():
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (root / f"data/{name}.jsonl").write_text(text, encoding="utf-8")
    for name, (source, config) in tasks().items():
        task = {
            "task": name, "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": f"data/{source}.jsonl"}},
            "test_split": "test", "metadata": {"version": 1.0}, **config,
        }
        (root / f"tasks/{name}.yaml").write_text(yaml.safe_dump(task, allow_unicode=True))
    for name, (members, by_size) in groups().items():
        aggregate = [{"metric": "acc", "weight_by_size": by_size}]
        group = {"group": name, "task": members, "aggregate_metric_list": aggregate,
                 "metadata": {"version": 1.0}}
        (root / f"tasks/{name}.yaml").write_text(yaml.safe_dump(group))


def run(root, checkpoint, names, *more):
    os.chdir(root)
    sys.argv = [
        "lm_eval", "run", "--model", "hf", "--model_args",
        f"pretrained={checkpoint},dtype=float32", "--tasks", ",".join(names), "--include_path", "tasks",
        "--output_path", "logs", "--log_samples", "--device", "cpu", "--batch_size", "4", *more,
    ]
    cli_evaluate()


def main():
    out = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        network, tokenizer = model(root / "tiny/a", 8, 1)
        model(root / "tiny/b", 16, 2)
        write_tasks(root, documents(network, tokenizer))
        names = [n for n in tasks() if n not in ("small", "large", "repeated")]
        run(root, "tiny/a", ["numeric"], "--limit", "2")
        for checkpoint in ("tiny/a", "tiny/b"):
            # A task may stand in one group of an evaluation only; `nested` contains `by_size`.
            run(root, checkpoint, [*names, "nested"])
            run(root, checkpoint, ["equal"])
        for path in (root / "logs").rglob("results_*.json"):
            results = json.loads(path.read_text())
            for name in MACHINE:
                results.pop(name, None)
            path.write_text(json.dumps(results, ensure_ascii=False) + "\n")
        if out.exists():
            shutil.rmtree(out)
        shutil.copytree(root / "logs", out)


if __name__ == "__main__":
    main()
