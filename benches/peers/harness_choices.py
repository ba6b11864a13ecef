#!/usr/bin/env python3
"""Time lm-evaluation-harness on multiple choice, on the CPU and in f32.

    python harness_choices.py --dir DIR --kind text|letter [--questions 20 --batch 8 --threads 2 --out FILE]

DIR holds a checkpoint of transformers_forward.py. Questions are random tokens of the sizes of a
5-shot exam: --shots tokens of examples that all share, about --question tokens of their own, and
four options of one token (letter) or 2 to --option tokens (text). They are written to
DIR/choices-KIND.jsonl for the other engine. The timed call is `HFLM._loglikelihood_tokens`, the part
of the harness after tokenisation, which shares one pass among options of one token. --out receives
the seconds, the peak memory and the log-likelihood of every option (nats). --make-only writes only
the questions.
"""

import argparse
import json
import os
import random
import resource
import sys
import time
from pathlib import Path

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["HF_HUB_OFFLINE"] = "1"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--kind", choices=["text", "letter"], required=True)
    parser.add_argument("--questions", type=int, default=20)
    parser.add_argument("--shots", type=int, default=480)
    parser.add_argument("--question", type=int, default=90)
    parser.add_argument("--option", type=int, default=16)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--make-only", action="store_true")
    return parser.parse_args()


def questions(args):
    """The random questions, the same in every run."""
    vocab = json.loads((args.dir / "config.json").read_text())["vocab_size"]
    rng = random.Random(7)
    some = lambda n: [rng.randrange(vocab) for _ in range(n)]
    shots = some(args.shots)
    letters = some(4)
    items = []
    for q in range(args.questions):
        context = shots + some(rng.randint(args.question // 2, args.question * 3 // 2))
        options = [[x] + (some(rng.randint(1, args.option - 1)) if args.kind == "text" else []) for x in letters]
        items.append({"id": f"q{q}", "context_tokens": context, "choices_tokens": options, "gold": q % 4})
    return items


def harness(args):
    import tokenizers
    import torch
    import transformers
    from lm_eval.models.huggingface import HFLM

    torch.set_num_threads(args.threads)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    model = transformers.AutoModelForCausalLM.from_pretrained(args.dir, dtype=torch.float32).eval()
    # Only its special tokens are used: the questions are token ids already.
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"<s>": 0, "</s>": 1}, unk_token="<s>"))
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    return HFLM(pretrained=model, tokenizer=tokenizer, device="cpu", batch_size=args.batch, max_length=4096)


def main():
    args = arguments()
    items = questions(args)
    lines = "".join(json.dumps(item) + "\n" for item in items)
    (args.dir / f"choices-{args.kind}.jsonl").write_text(lines)
    if args.make_only:
        return

    model = harness(args)
    requests = [
        (("", ""), item["context_tokens"], option) for item in items for option in item["choices_tokens"]
    ]
    # Warm-up.
    model._loglikelihood_tokens(requests[:4], disable_tqdm=True)
    begin = time.perf_counter()
    answers = model._loglikelihood_tokens(requests, disable_tqdm=True)
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    result = {
        "seconds": [seconds],
        "peak_rss_bytes": peak,
        "log_likelihoods": [float(answer[0]) for answer in answers],
    }
    args.out.write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
