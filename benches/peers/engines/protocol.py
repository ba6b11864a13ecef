"""How table.py talks with the programs that it compares.

A program loads its model and writes a line {"engine": name and version, "load_seconds": s}. It then reads
lines {"mode": ..., "threads": n} and answers each with {"seconds": s, "log_probs": [...]} for one pass over
all items, or with {"error": reason}.
"""

import json
import os
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


class CannotRun(Exception):
    """The reason why a program cannot run a case, for the table."""


def serve(load):
    """`load(folder, kind, precision)` returns the engine's name and `prepare(mode, threads)`, which returns the
    function to time and one that turns what it returned into a list of log-probabilities."""
    answers = os.fdopen(os.dup(1), "w")
    # What libraries print to standard output is for the log.
    os.dup2(2, 1)

    def answer(value):
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    def reason(error):
        traceback.print_exc()
        text = str(error) if isinstance(error, CannotRun) else f"{type(error).__name__}: {error}"
        answer({"error": " ".join(text.split())[:200]})

    folder, kind, precision = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    begin = time.perf_counter()
    try:
        engine, prepare = load(folder, kind, precision)
    except Exception as error:
        return reason(error)
    answer({"engine": engine, "load_seconds": time.perf_counter() - begin})
    ready = None
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            if ready != asked:
                run, values = prepare(asked["mode"], asked["threads"])
                ready = asked
            begin = time.perf_counter()
            result = run()
            seconds = time.perf_counter() - begin
            answer({"seconds": seconds, "log_probs": values(result)})
        except Exception as error:
            reason(error)
