#!/usr/bin/env python3
"""Run relscale in f32 and bf16 beside the fastest peers on the same checkpoints and items. See ../peers.sh.

All programs of a case stay loaded and run in turn, A B C A B C ..., one pass over the items each; the first turn
is a warm-up. Medians are reported, and the errors of the last turn against log-probabilities in f64
(reference64.py). --prepare makes checkpoints, references, converted models and compiled kernels, which a timed run
then finds, and checks the numbers of every program on a tiny model. --smoke does everything on that model.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import cases
import result
from programs import PROGRAMS, Worker

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, default=ROOT / "target/peers", help="checkpoints and results")
    parser.add_argument("--cases", nargs="*", choices=[c.name for c in cases.CASES], help="(all)")
    parser.add_argument("--peers", nargs="*", choices=[p.name for p in PROGRAMS], help="(all) relscale always runs")
    parser.add_argument("--threads", nargs="*", type=int, default=sorted({os.cpu_count(), 1}, reverse=True))
    parser.add_argument("--rounds", type=int, default=7, help="most turns of a case")
    parser.add_argument("--least-rounds", type=int, default=3, help="turns however long they take")
    parser.add_argument("--seconds", type=float, default=25, help="no further turn of a case and number of threads after this")
    parser.add_argument("--minutes", type=float, default=23, help="of the whole run: fewer turns, at least one, beyond its share")
    parser.add_argument("--isa", choices=["avx512_core_bf16", "avx512_core", "avx2"],
                        help="bound the instructions of oneDNN, which torch and OpenVINO use; the table says so")
    parser.add_argument("--out", type=Path, help="results without ending (DIR/table)")
    parser.add_argument("--prepare", action="store_true", help="time nothing")
    parser.add_argument("--smoke", action="store_true", help="tiny models, one turn")
    args = parser.parse_args()
    args.chosen = [c for c in cases.CASES if args.cases is None or c.name in args.cases]
    if args.smoke:
        args.chosen, args.rounds, args.least_rounds = cases.TINY, 1, 1
    args.out = args.out or args.dir / ("smoke" if args.smoke else "table")
    # Compiled kernels are kept from one run to the next.
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(args.dir / "inductor")
    if args.isa:
        os.environ["ONEDNN_MAX_CPU_ISA"] = args.isa
    return args


def say(text):
    print(f"{datetime.datetime.now():%H:%M:%S} {text}", file=sys.stderr, flush=True)


def prepare(args, case):
    """Checkpoint, items, reference and converted models of a case, unless they are there."""
    folder = args.dir / case.model
    folder.mkdir(parents=True, exist_ok=True)
    cases.prepare(case, folder)
    steps = [(cases.reference_path(folder, case.kind), [HERE / "reference64.py", folder, case.kind])]
    steps += [step for program in wanted(args) for step in program.conversions(folder, case.kind)]
    for path, command in steps:
        if not path.exists():
            say(f"{case.name}: {path.name}")
            done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
            if done.returncode:
                # The program then says that its file is missing, and the table why.
                path.with_suffix(".failed").write_text(done.stderr)
                say(f"{case.name}: {path.name} was not made: {done.stderr.strip().splitlines()[-1:]}")


def wanted(args):
    return [p for p in PROGRAMS if p.is_ours or args.peers is None or p.name in args.peers]


def groups(args, case):
    """Programs that are loaded at the same time. relscale is in each."""
    programs = wanted(args)
    if not case.large:
        return [programs]
    split = [[p for p in programs if p.is_ours or (p.precision == "f32") == single] for single in (True, False)]
    return [group for group in split if not all(p.is_ours for p in group)] or split[:1]


class Deadline:
    """Shares the time of a run among what is still to be measured."""

    def __init__(self, args, chosen):
        self.end = time.perf_counter() + 60 * args.minutes
        self.weight = sum(self.of(c, n) * len(groups(args, c)) for c in chosen for n in args.threads)

    @staticmethod
    def of(case, threads):
        return case.weight / threads

    def next(self, case, threads):
        """When the turns of a case should end."""
        now, share = time.perf_counter(), self.of(case, threads) / self.weight
        self.weight -= self.of(case, threads)
        return now + max(0.0, self.end - now) * share


class Group:
    """Loaded programs of a case, and what was measured."""

    def __init__(self, args, case, programs):
        self.args, self.case = args, case
        self.reference = json.loads(cases.reference_path(args.dir / case.model, case.kind).read_text())
        keys = {p.worker: None for p in programs}
        logs = args.dir / "logs"
        logs.mkdir(exist_ok=True)
        # All load at once; the slowest are bound by reading.
        self.workers = {key: Worker(key, args.dir / case.model, case.kind, ROOT, logs) for key in keys}
        for worker in self.workers.values():
            worker.wait()
        self.programs = programs

    def close(self):
        for worker in self.workers.values():
            worker.close()

    def measure(self, threads, rounds, end):
        """One row per program after at most `rounds` turns, about until `end`."""
        args, rows = self.args, []
        for program in self.programs:
            worker = self.workers[program.worker]
            begin = time.perf_counter()
            answer = worker.ask(program.mode, threads)
            row = result.Row(self.case.name, threads, program.name, program.precision, worker.engine, is_ours=program.is_ours)
            row.warm_up, row.load_seconds = time.perf_counter() - begin, worker.load_seconds
            row.peak = worker.peak()
            row.note(answer, self.reference, program.allowed_rms)
            rows.append(row)
        begin = time.perf_counter()
        for turn in range(rounds):
            now = time.perf_counter()
            if turn >= args.least_rounds and now - begin > args.seconds or turn and now > end:
                break
            for program, row in zip(self.programs, rows):
                if row.reason is None:
                    answer = self.workers[program.worker].ask(program.mode, threads)
                    row.time(answer, self.reference, program.allowed_rms)
        return rows


def run(args, chosen, rounds):
    rows = []
    for case in chosen:
        prepare(args, case)
    deadline = Deadline(args, chosen)
    for case in chosen:
        for programs in groups(args, case):
            group = Group(args, case, programs)
            try:
                for threads in args.threads:
                    say(f"{case.name}, {threads} threads: {', '.join(p.name for p in programs)}")
                    measured = group.measure(threads, rounds, deadline.next(case, threads))
                    result.ratios(measured)
                    rows += measured
            finally:
                group.close()
            if rounds:
                result.write(args.out, about(args), chosen, rows)
    return rows


def processor():
    """Name, with family and model where the name has no number, and what of it the programs may use."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    field = lambda name: next((line.split(":")[1].strip() for line in lines if line.startswith(name)), "")
    name = field("model name").replace("(R)", "").replace(" Processor", "") or platform.processor()
    # The line `model`, not `model name`.
    model = "model\t"
    if not any(letter.isdigit() for letter in name):
        name += f" (family {field('cpu family')}, model {field(model)}, stepping {field('stepping')})"
    known = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
    return name, [flag for flag in known if flag in field("flags").split()]


def about(args):
    name, instructions = processor()
    names = ("torch", "transformers", "openvino", "llama-cpp-python", "numpy")
    build = Path(sys.prefix) / "llama-build.txt"
    return {
        "date": f"{datetime.datetime.now():%Y-%m-%d %H:%M}",
        "processor": name,
        "cores": os.cpu_count(),
        "instructions": instructions,
        "onednn_max_isa": args.isa,
        "load_average": os.getloadavg(),
        "versions": {name: installed(name) for name in names},
        "llama_build": build.read_text().strip() if build.exists() else None,
    }


def installed(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def verify(args):
    """Sees that every program gives the right numbers on a tiny model, before anything is timed."""
    rows = run(args, cases.TINY, 0)
    failed = [r for r in rows if r.reason]
    for row in failed:
        say(f"{row.case}, {row.program}, {row.threads} threads: {row.reason}")
    wrong = [r for r in rows if r.reason and r.rms is not None]
    if wrong:
        sys.exit("programs give wrong numbers on a tiny model; nothing was timed")
    say(f"{len(rows) - len(failed)} of {len(rows)} give the right numbers on a tiny model")


def main():
    args = arguments()
    args.dir.mkdir(parents=True, exist_ok=True)
    begin = time.perf_counter()
    verify(args)
    rows = run(args, args.chosen, 0 if args.prepare else args.rounds)
    if args.prepare:
        for row in rows:
            print(f"{row.case}, {row.threads} threads, {row.program}: " + (row.reason or f"rms {row.rms:.1e}, first pass {row.warm_up:.1f} s"))
    else:
        print(result.markdown(about(args), args.chosen, rows))
    say(f"{time.perf_counter() - begin:.0f} s")
    if any(row.rms is not None and row.reason for row in rows):
        sys.exit("some numbers are wrong: see the table")


if __name__ == "__main__":
    main()
