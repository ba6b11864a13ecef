#!/usr/bin/env python3
"""Speed of PyTorch on the models of the suite: python3 torch_speed.py RUN...

Trains transformers' `Qwen3ForCausalLM` in the shape and batch of each run of ladder.csv on random bytes, on one thread:
forward, backward, AdamW. Prints GFLOP/s of processor time, FLOPs counted as in README.md, beside what the trainer reached
on that run (its entry in runs/, where it is). Needs torch and transformers.
"""
import csv, json, pathlib, statistics, sys, time
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

SUITE = pathlib.Path(__file__).resolve().parent
CONTEXT, VOCABULARY = 256, 260


def step(model, optimizer, batch):
    tokens = torch.randint(0, VOCABULARY, (batch, CONTEXT + 1))
    logits = model(tokens[:, :-1]).logits
    loss = torch.nn.functional.cross_entropy(logits.reshape(-1, VOCABULARY), tokens[:, 1:].reshape(-1))
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()


def main():
    torch.set_num_threads(1)
    runs = {r["run"]: r for r in csv.DictReader(open(SUITE / "ladder.csv"))}
    for name in sys.argv[1:]:
        run = runs[name]
        config = json.loads((SUITE / run["checkpoint"] / "config.json").read_text())
        model = Qwen3ForCausalLM(Qwen3Config(**{k: v for k, v in config.items() if k != "torch_dtype"})).float()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), fused=True)
        batch = int(run["batch"])
        flops = int(run["flops"]) / int(run["tokens"]) * batch * CONTEXT
        speeds = []
        for turn in range(12):
            start = time.process_time()
            step(model, optimizer, batch)
            if turn >= 2:
                speeds.append(flops / (time.process_time() - start) / 1e9)
        line = f"{name}: PyTorch {statistics.median(speeds):.1f} GFLOP/s"
        entry = SUITE / f"runs/{name}.json"
        if entry.exists():
            seconds = json.loads(entry.read_text())["processor_seconds"]
            ours = int(run["flops"]) / seconds / 1e9
            line += f", the trainer {ours:.1f}, {ours / statistics.median(speeds):.2f} times as fast"
        print(line)


main()
