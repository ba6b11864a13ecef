#!/usr/bin/env python3
"""Checks committed checkpoints against Hugging Face transformers: python3 verify.py RUN...

Loads each checkpoint as `Qwen3ForCausalLM` in float32 on CPU, scores texts/aggregate.jsonl as `table` does
(separate windows of 256 bytes, BOS before each) and compares every cluster with scores.csv.
Needs torch and transformers.
"""
import csv, json, math, pathlib, sys
import torch
from transformers import Qwen3ForCausalLM

SUITE = pathlib.Path(__file__).resolve().parent
BOS, CONTEXT = 256, 256


def bits(model, text):
    data, total = list(text.encode()), 0.0
    for at in range(0, len(data), CONTEXT):
        window = data[at : at + CONTEXT]
        with torch.no_grad():
            logits = model(torch.tensor([[BOS] + window[:-1]])).logits[0].double()
        total -= torch.log_softmax(logits, -1)[torch.arange(len(window)), torch.tensor(window)].sum().item()
    return total / math.log(2)


def main():
    with open(SUITE / "scores.csv") as file:
        table = {(r["run"], r["cluster"]): float(r["loss"]) for r in csv.DictReader(file) if r["distribution"] == "aggregate"}
    items = [json.loads(line) for line in open(SUITE / "texts/aggregate.jsonl", encoding="utf-8")]
    for run in sys.argv[1:]:
        (folder,) = SUITE.glob(f"checkpoints/*/{run}")
        model = Qwen3ForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        sums = {}
        for item in items:
            entry = sums.setdefault(item["cluster"], [0.0, 0])
            entry[0] += bits(model, item["text"])
            entry[1] += len(item["text"].encode())
        worst = max(abs(b / n - table[run, cluster]) for cluster, (b, n) in sums.items())
        mean = sum(b for b, _ in sums.values()) / sum(n for _, n in sums.values())
        print(f"{run}: {mean:.5f} bits/byte, largest difference of a cluster {worst:.1e}")
        assert worst < 1e-5, worst


main()
