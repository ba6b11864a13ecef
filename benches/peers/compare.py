#!/usr/bin/env python3
"""Run relscale and its peers in alternation on the same checkpoints and items. See ../peers.sh."""

import argparse
import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# Largest allowed difference of two log-probabilities, in nats.
AGREE = 1e-3

# Largest allowed rms difference of ours in bf16 from ours in f32, in nats.
AGREE_BF16 = 5e-2

MODELS = {
    "1536x16": dict(hidden=1536, layers=16, heads=12, mlp=6144, vocab=128_256, seq=512, batch=1),
    "768x12": dict(hidden=768, layers=12, heads=12, mlp=2048, vocab=128_256, seq=512, batch=1),
    "512x6": dict(hidden=512, layers=6, heads=8, mlp=1536, vocab=128_256, seq=512, batch=1),
    "256x4": dict(hidden=256, layers=4, heads=4, mlp=768, vocab=512, seq=512, batch=8),
    "64x3": dict(hidden=64, layers=3, heads=4, mlp=192, vocab=260, seq=256, batch=8),
}
TEXTS = {
    "1536x16": "text, hidden 1536 × 16, vocabulary 128,256, 1 × 512",
    "768x12": "text, hidden 768 × 12, vocabulary 128,256, 1 × 512",
    "512x6": "text, hidden 512 × 6, vocabulary 128,256, 1 × 512",
    "256x4": "text, hidden 256 × 4, vocabulary 512, 8 × 512",
    "64x3": "text, hidden 64 × 3, vocabulary 260, 8 × 256",
}
TITLES = {
    **{f"transformers-{name}": title for name, title in TEXTS.items()},
    **{f"candle-{name}": title for name, title in TEXTS.items()},
    **{f"torch_bf16-{name}": f"{title}, bf16" for name, title in TEXTS.items()},
    **{f"openvino_bf16-{name}": f"{title}, bf16" for name, title in TEXTS.items()},
    "choices-text": "multiple choice, letter and text, hidden 512 × 6",
    "choices-letter": "multiple choice, single letter, hidden 512 × 6",
    "gemm": "products at 64 and 512 rows, geometric mean over shapes",
}


def processor():
    try:
        names = re.findall(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
        return names[0] if names else platform.machine()
    except OSError:
        return platform.processor() or platform.machine()


def run(command):
    """Runs a command. Returns its output and its peak memory in bytes."""
    process = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    if status:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{output}")
    return output, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def ours(args, checkpoint, items, out, precision="f32", runs=None):
    output, peak = run([
        ROOT / "target/release/relscale", "score", "--checkpoint", checkpoint, "--items", items, "--out", out,
        "--threads", args.threads, "--repeat", (runs or args.runs) + 1, "--per-token", "--precision", precision,
    ])
    seconds = [float(s) for s in re.findall(r"tokens in ([0-9.]+) s", output)]
    loaded = float(re.search(r"loaded in ([0-9.]+) s", output).group(1))
    lines = [json.loads(line) for line in Path(out).read_text().splitlines()]
    # The first run is a warm-up, as for the peer.
    return seconds[1:], loaded, peak, lines


def options(settings):
    return [word for key, value in settings.items() for word in (f"--{key}", str(value))]


def worst(pairs):
    return max(abs(a - b) for a, b in pairs)


def rolling(args, name, folder, peer):
    settings = MODELS[name]
    theirs_out, ours_out = folder / f"{peer}.json", folder / "ours.jsonl"
    python = [sys.executable, HERE / "transformers_forward.py", "--dir", folder, *options(settings)]
    run([*python, "--make-only"])
    command = {
        "transformers": [*python, "--runs", args.runs, "--threads", args.threads, "--out", theirs_out],
        "candle": [ROOT / "target/peers/candle/release/candle-forward", folder, args.runs, args.threads, theirs_out],
    }[peer]
    theirs, mine, difference = [], [], 0.0
    for _ in range(args.rounds):
        run(command)
        result = json.loads(theirs_out.read_text())
        seconds, loaded, peak, lines = ours(args, folder, folder / "items.jsonl", ours_out)
        theirs += result["seconds"]
        mine += seconds
        rows = zip(lines, result["log_probs"])
        pairs = [pair for line, row in rows for pair in zip(line["token_log_likelihoods"], row)]
        if len(pairs) != result["scored_tokens"]:
            sys.exit(f"{name}: {len(pairs)} tokens compared of {result['scored_tokens']}")
        difference = max(difference, worst(pairs))
    return dict(peer=result["engine"], theirs=theirs, ours=mine, their_peak=result["peak_rss_bytes"], our_peak=peak,
                loaded=loaded, difference=difference)


def rms(pairs):
    pairs = list(pairs)
    return (sum((a - b) ** 2 for a, b in pairs) / len(pairs)) ** 0.5


def halved(args, name, folder, peer):
    """Both in bf16. Errors are against ours in f32, which is within 1e-5 nats of f64."""
    settings = MODELS[name]
    theirs_out, ours_out = folder / f"{peer}.json", folder / "ours.jsonl"
    shape = ["--dir", folder, *options(settings)]
    run([sys.executable, HERE / "transformers_forward.py", *shape, "--make-only"])
    script = {"torch_bf16": "transformers_forward.py", "openvino_bf16": "openvino_forward.py"}[peer]
    values = lambda lines: [value for line in lines for value in line["token_log_likelihoods"]]
    truth = values(ours(args, folder, folder / "items.jsonl", ours_out, runs=1)[3])
    theirs, mine = [], []
    for _ in range(args.rounds):
        run([sys.executable, HERE / script, *shape, "--compute", "bfloat16", "--runs", args.runs, "--threads",
             args.threads, "--out", theirs_out])
        result = json.loads(theirs_out.read_text())
        seconds, loaded, peak, lines = ours(args, folder, folder / "items.jsonl", ours_out, precision="bf16")
        theirs += result["seconds"]
        mine += seconds
    their_values = [value for row in result["log_probs"] for value in row]
    if not len(truth) == len(their_values) == result["scored_tokens"]:
        sys.exit(f"{name}: {len(truth)} and {len(their_values)} tokens of {result['scored_tokens']}")
    return dict(peer=f"{result['engine']}, bf16", theirs=theirs, ours=mine, their_peak=result["peak_rss_bytes"],
                our_peak=peak, loaded=loaded, their_rms=rms(zip(their_values, truth)),
                our_rms=rms(zip(values(lines), truth)))


def choices(args, kind, folder):
    settings = MODELS["512x6"]
    run([sys.executable, HERE / "transformers_forward.py", "--dir", folder, *options(settings), "--make-only"])
    theirs_out, ours_out = folder / f"theirs-{kind}.json", folder / f"ours-{kind}.jsonl"
    theirs, mine, difference = [], [], 0.0
    for _ in range(args.rounds):
        run([
            sys.executable, HERE / "harness_choices.py", "--dir", folder, "--kind", kind, "--questions",
            args.questions, "--batch", args.batch, "--threads", args.threads, "--out", theirs_out,
        ])
        peer = json.loads(theirs_out.read_text())
        seconds, loaded, peak, lines = ours(args, folder, folder / f"choices-{kind}.jsonl", ours_out)
        theirs += peer["seconds"]
        mine += seconds
        values = [value for line in lines for value in line["log_likelihood"]]
        if len(values) != 4 * args.questions or len(values) != len(peer["log_likelihoods"]):
            sys.exit(f"{kind}: {len(values)} options compared of {4 * args.questions}")
        difference = max(difference, worst(zip(values, peer["log_likelihoods"])))
    return dict(peer=f"lm-evaluation-harness, {args.questions} questions, batch {args.batch}", theirs=theirs, ours=mine,
                their_peak=peer["peak_rss_bytes"], our_peak=peak, loaded=loaded, difference=difference)


def gemm(args, _):
    output, _ = run(["cargo", "run", "--release", "--manifest-path", ROOT / "benches/peers/gemm/Cargo.toml", "--",
                     "--threads", args.threads, "--milliseconds", 30 if args.quick else 250])
    rows = re.findall(r"^\s*(avx\w+) f32\s+(\d+)\s+\d+\s+\d+\s+([\d.]+)\s+[\d.]+\s+([\d.]+)\s+[\d.]+\s+([\d.]+)", output, re.M)
    if not rows:
        sys.exit(f"no line of the gemm benchmark could be parsed:\n{output}")
    best = rows[0][0]
    picked = [(float(us), float(ratio)) for isa, m, us, ratio, _ in rows if isa == best and int(m) >= 64]
    seconds = statistics.geometric_mean(us for us, _ in picked) / 1e6
    ratio = statistics.geometric_mean(ratio for _, ratio in picked)
    return dict(peer="gemm crate", ours=[seconds], theirs=[seconds * ratio], table=output)


def table(results):
    lines = [
        "| case | peer | peer, s | ours, s | ratio | peer, GB | ours, GB | ours loaded in, s | largest difference, nats "
        "| rms error in bf16, nats: peer, ours |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    number = lambda x, digits: "" if x is None else f"{x:.{digits}g}"
    for key, r in results:
        theirs, mine = statistics.median(r["theirs"]), statistics.median(r["ours"])
        memory = [r.get(k) and r[k] / 1e9 for k in ("their_peak", "our_peak")]
        errors = f"{r['their_rms']:.2g}, {r['our_rms']:.2g}" if "our_rms" in r else ""
        lines.append(
            f"| {TITLES[key]} | {r['peer']} | {theirs:.3g} | {mine:.3g} | {theirs / mine:.2f}× | {number(memory[0], 2)} | "
            f"{number(memory[1], 2)} | {number(r.get('loaded'), 2)} | {number(r.get('difference'), 2)} | {errors} |"
        )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, default=ROOT / "target/peers")
    parser.add_argument("--rows", nargs="*", choices=list(TITLES), default=list(TITLES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=10, help="timed runs of a text per round")
    parser.add_argument("--questions", type=int, default=20)
    parser.add_argument("--batch", type=int, default=8, help="sequences the harness computes at once")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--fresh", action="store_true", help="measure again, ignoring kept results")
    parser.add_argument("--quick", action="store_true", help="one round of everything with few questions")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.runs, args.questions = 1, 1, 4
    args.dir.mkdir(parents=True, exist_ok=True)
    settings = dict(rounds=args.rounds, runs=args.runs, questions=args.questions, batch=args.batch, threads=args.threads,
                    processor=processor())
    results, failed = [], []
    for row in args.rows:
        path = args.dir / f"result-{row}.json"
        known = json.loads(path.read_text()) if path.exists() else None
        if args.fresh or known is None or known["settings"] != settings:
            print(f"{row} ...", file=sys.stderr, flush=True)
            what, _, name = row.partition("-")
            if what in ("transformers", "candle"):
                result = rolling(args, name, args.dir / name, what)
            elif what in ("torch_bf16", "openvino_bf16"):
                result = halved(args, name, args.dir / name, what)
            elif what == "choices":
                result = choices(args, name, args.dir / "512x6")
            else:
                result = gemm(args, None)
            known = dict(settings=settings, date=datetime.date.today().isoformat(), result=result)
            path.write_text(json.dumps(known) + "\n")
        results.append((row, known["result"]))
        if known["result"].get("difference", 0.0) > AGREE or known["result"].get("our_rms", 0.0) > AGREE_BF16:
            failed.append(row)
    print(f"\n{datetime.date.today().isoformat()}, {processor()}, {args.threads} threads; medians\n")
    print(table(results))
    if failed:
        sys.exit(f"results differ by more than {AGREE} nats, or {AGREE_BF16} rms in bf16: {', '.join(failed)}")


if __name__ == "__main__":
    main()
