#!/usr/bin/env python3
"""Time Hugging Face transformers on the CPU: next-token log-probabilities of random sequences.

    python transformers_forward.py --dir DIR [--hidden 768 --layers 12 --heads 12 --mlp 2048 --vocab 128256]
                                   [--seq 512 --batch 1 --runs 5 --threads 2 --dtype bfloat16] [--out FILE]

DIR receives a random Qwen3-shaped checkpoint (config.json, model.safetensors in --dtype) and
items.jsonl with one line {"id", "tokens"} per sequence, so that another program can score the same
sequences. Existing files are reused. The model computes in --compute (float32).

One run does what lm-evaluation-harness does for rolling log-likelihoods: the model on all tokens but
the last of each sequence, log_softmax over the vocabulary at every position, and the entry of each
next token. The harness's arg max and key-value cache are left out, in favour of the peer. After a
warm-up the median of --runs is printed in scored tokens per second, with useful GFLOP/s
(projections, LM head, causal attention) and the peak resident memory of this process. On a busy
machine the tokens per second of processor time say more; the load average tells. --out
(DIR/transformers.json) receives these figures and the log-probabilities (nats).
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

os.environ["CUDA_VISIBLE_DEVICES"] = ""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, required=True, help="folder of the checkpoint, made if absent")
    parser.add_argument("--out", type=Path, help="results as JSON (DIR/transformers.json)")
    parser.add_argument("--hidden", type=int, default=768)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--kv-heads", type=int, help="(--heads)")
    parser.add_argument("--head-dim", type=int, help="(hidden / heads)")
    parser.add_argument("--mlp", type=int, default=2048)
    parser.add_argument("--vocab", type=int, default=128_256)
    parser.add_argument("--tied", action="store_true", help="share embedding and LM head")
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16", help="of the stored weights")
    parser.add_argument("--compute", choices=["bfloat16", "float32"], default="float32")
    parser.add_argument("--seq", type=int, default=512, help="tokens per sequence; all but the first are scored")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--make-only", action="store_true", help="write checkpoint and items, time nothing")
    args = parser.parse_args()
    args.kv_heads = args.kv_heads or args.heads
    args.head_dim = args.head_dim or args.hidden // args.heads
    args.out = args.out or args.dir / "transformers.json"
    return args


def wanted_config(args):
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": args.vocab,
        "hidden_size": args.hidden,
        "intermediate_size": args.mlp,
        "num_hidden_layers": args.layers,
        "num_attention_heads": args.heads,
        "num_key_value_heads": args.kv_heads,
        "head_dim": args.head_dim,
        "max_position_embeddings": 32_768,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_theta": 1_000_000.0, "rope_type": "default"},
        "attention_bias": False,
        "tie_word_embeddings": args.tied,
        "dtype": args.dtype,
    }


def make_checkpoint(args):
    """Random weights: gain/sqrt(fan_in) for linear maps, norm weights around 1."""
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(args.seed)
    dtype = getattr(torch, args.dtype)

    def linear(rows, columns, gain=1.0):
        return torch.empty(rows, columns).normal_(0.0, gain / columns**0.5, generator=generator).to(dtype)

    def norm(width):
        return torch.empty(width).normal_(1.0, 0.1, generator=generator).to(dtype)

    queries, keys = args.heads * args.head_dim, args.kv_heads * args.head_dim
    tensors = {"model.embed_tokens.weight": linear(args.vocab, args.hidden, 2.0)}
    for i in range(args.layers):
        at = f"model.layers.{i}."
        tensors[at + "input_layernorm.weight"] = norm(args.hidden)
        tensors[at + "self_attn.q_proj.weight"] = linear(queries, args.hidden)
        tensors[at + "self_attn.k_proj.weight"] = linear(keys, args.hidden)
        tensors[at + "self_attn.v_proj.weight"] = linear(keys, args.hidden)
        tensors[at + "self_attn.o_proj.weight"] = linear(args.hidden, queries)
        tensors[at + "self_attn.q_norm.weight"] = norm(args.head_dim)
        tensors[at + "self_attn.k_norm.weight"] = norm(args.head_dim)
        tensors[at + "post_attention_layernorm.weight"] = norm(args.hidden)
        tensors[at + "mlp.gate_proj.weight"] = linear(args.mlp, args.hidden)
        tensors[at + "mlp.up_proj.weight"] = linear(args.mlp, args.hidden)
        tensors[at + "mlp.down_proj.weight"] = linear(args.hidden, args.mlp)
    tensors["model.norm.weight"] = norm(args.hidden)
    if not args.tied:
        tensors["lm_head.weight"] = linear(args.vocab, args.hidden, 2.0)
    args.dir.mkdir(parents=True, exist_ok=True)
    save_file(tensors, args.dir / "model.safetensors", metadata={"format": "pt"})
    # Last, so that a folder with a config is complete.
    (args.dir / "config.json").write_text(json.dumps(wanted_config(args), indent=2) + "\n")


def items(args):
    """The random sequences, which are also written to items.jsonl."""
    import random

    rng = random.Random(args.seed)
    sequences = [[rng.randrange(args.vocab) for _ in range(args.seq)] for _ in range(args.batch)]
    lines = "".join(json.dumps({"id": f"s{i}", "tokens": s}) + "\n" for i, s in enumerate(sequences))
    path = args.dir / "items.jsonl"
    if not path.exists() or path.read_text() != lines:
        path.write_text(lines)
    return sequences


def prepare(args):
    config = args.dir / "config.json"
    if not config.exists():
        make_checkpoint(args)
    elif json.loads(config.read_text()) != wanted_config(args):
        sys.exit(f"{config} describes another model than the one asked for: choose another --dir")
    items(args)


def useful_flops(args):
    """Operations of one run: 2 per weight and position, 4 * heads * head_dim per attended pair and layer."""
    attention = args.hidden * args.head_dim * 2 * (args.heads + args.kv_heads)
    weights = args.layers * (attention + 3 * args.hidden * args.mlp) + args.hidden * args.vocab
    positions = args.seq - 1
    pairs = positions * (positions + 1) // 2
    return args.batch * (2 * weights * positions + 4 * args.layers * args.heads * args.head_dim * pairs)


def load(args):
    import torch
    import transformers

    torch.set_num_threads(args.threads)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers.AutoModelForCausalLM.from_pretrained(
        args.dir, dtype=getattr(torch, args.compute), attn_implementation="sdpa"
    ).eval()


def measure(args, model):
    """What `timed` returns for the log-probabilities of the next tokens."""
    import torch

    tokens = torch.tensor(items(args))

    @torch.inference_mode()
    def run():
        logits = model(tokens[:, :-1], use_cache=False).logits
        log_probs = torch.nn.functional.log_softmax(logits, dim=-1)
        return log_probs.gather(2, tokens[:, 1:, None])[:, :, 0]

    return timed(args, run)


def timed(args, run):
    """Wall and processor seconds of every call of `run` after a warm-up, the load average before and after,
    and what the last one returned."""
    run()
    seconds, cpu_seconds, load_average = [], [], [os.getloadavg()[0]]
    for _ in range(args.runs):
        begin, cpu_begin = time.perf_counter(), time.process_time()
        scores = run()
        seconds.append(time.perf_counter() - begin)
        cpu_seconds.append(time.process_time() - cpu_begin)
    load_average.append(os.getloadavg()[0])
    return seconds, cpu_seconds, load_average, scores.tolist()


def finish(args, engine, isa, load_seconds, measured):
    """Prints what `timed` returned and writes it to --out."""
    seconds, cpu_seconds, load_average, log_probs = measured
    median = statistics.median(seconds)
    scored = args.batch * (args.seq - 1)
    result = {
        "engine": engine,
        "isa": isa,
        "threads": args.threads,
        "compute": args.compute,
        "scored_tokens": scored,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "load_average": load_average,
        "median_tokens_per_second": scored / median,
        "useful_gflop_per_second": useful_flops(args) / median / 1e9,
        "load_seconds": load_seconds,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        * (1 if sys.platform == "darwin" else 1024),
    }
    report(args, result)
    args.out.write_text(json.dumps(result | {"log_probs": log_probs}) + "\n")


def report(args, result):
    seconds, scored, load_average = result["seconds"], result["scored_tokens"], result["load_average"]
    print(f"{result['engine']} ({result['isa']}), {args.compute}, {args.threads} threads")
    print(f"{args.batch} x {args.seq} tokens, hidden {args.hidden} x {args.layers}, vocabulary {args.vocab}")
    print(
        f"median {result['median_tokens_per_second']:.1f} tokens/s "
        f"(range {scored / max(seconds):.1f} to {scored / min(seconds):.1f}, {args.runs} runs), "
        f"{result['useful_gflop_per_second']:.1f} useful GFLOP/s, "
        f"peak RSS {result['peak_rss_bytes'] / 2**20:.0f} MiB, loaded in {result['load_seconds']:.1f} s"
    )
    print(
        f"median {scored / statistics.median(result['cpu_seconds']):.1f} tokens per second of processor time, "
        f"load average {load_average[0]:.1f} to {load_average[1]:.1f}"
    )


def main():
    args = arguments()
    if args.make_only:
        return prepare(args)
    # In a process of its own, whose memory does not count towards the peak of this one.
    subprocess.run([sys.executable, __file__, *sys.argv[1:], "--make-only"], check=True)

    import torch
    import transformers

    begin = time.perf_counter()
    model = load(args)
    load_seconds = time.perf_counter() - begin
    engine = f"transformers {transformers.__version__}, torch {torch.__version__}"
    finish(args, engine, torch.backends.cpu.get_cpu_capability(), load_seconds, measure(args, model))


if __name__ == "__main__":
    main()
