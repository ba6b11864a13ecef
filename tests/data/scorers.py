"""Golden values of the choice scorers: what lm-evaluation-harness makes of given log-likelihoods.

    DIR/bin/python tests/data/scorers.py > tests/data/scorers.json

Random choices and log-likelihoods go through `ConfigurableTask.process_results` itself (0.4.13), so
that not our reading of its formulas is tested but they are.
"""

import json
import random
from types import SimpleNamespace

import numpy as np
from lm_eval.api.metrics import brier_score
from lm_eval.api.task import ConfigurableTask
from lm_eval.utils import softmax

METRICS = ["acc", "acc_norm", "acc_bytes", "acc_mutual_info", "brier_score", "likelihood"]
WORDS = ["yes", "no", "a long answer of several words", "né", "日本語", "x", "42", "None of these"]


def main():
    rng = random.Random(5)
    items = []
    for _ in range(60):
        k = rng.randint(2, 6)
        choices = rng.sample(WORDS, k)
        tokens = [rng.randint(1, 6) for _ in choices]
        draw = lambda n: [round(-rng.expovariate(0.4), 6) for _ in range(n)]
        conditional = [draw(n) for n in tokens]
        unconditional = [draw(n) for n in tokens]
        gold = rng.randrange(k)
        task = SimpleNamespace(
            OUTPUT_TYPE="multiple_choice",
            _metric_fn_list=dict.fromkeys(METRICS),
            doc_to_choice=lambda doc, choices=choices: choices,
            doc_to_target=lambda doc, gold=gold: gold,
            multiple_input=False,
            multiple_target=False,
            config=SimpleNamespace(process_results=None),
        )
        results = [(sum(x), False) for x in conditional + unconditional]
        out = ConfigurableTask.process_results(task, {}, results)
        lls = np.array([sum(x) for x in conditional])
        # `choice_prob_norm`, which the harness does not have: softmax of minus bits per byte.
        bpb = -lls / np.log(2) / np.array([len(c.encode()) for c in choices])
        items.append({
            "choices": choices,
            "gold": gold,
            "conditional": conditional,
            "unconditional": unconditional,
            "acc": out["acc"],
            "acc_norm": out["acc_norm"],
            "acc_bytes": out["acc_bytes"],
            "acc_mutual_info": out["acc_mutual_info"],
            "brier_score": float(brier_score([out["brier_score"]])),
            "probability": float(softmax(lls)[gold]),
            "choice_prob_norm": float(softmax(-bpb)[gold]),
        })
    print("[\n" + ",\n".join(json.dumps(i, ensure_ascii=False) for i in items) + "\n]")


main()
