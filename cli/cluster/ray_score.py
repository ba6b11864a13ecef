"""Scores a planned study on a Ray cluster.

    relscale study plan study.json /shared/study
    python ray_score.py /shared/study --relscale /shared/bin/relscale
    relscale study merge /shared/study --out scores.csv

Every task runs `relscale study run` on some units of one checkpoint. A task whose node is lost is run again
on another; what is finished is not scored again, and neither is what a killed task had recorded.
Started again, the driver does what is left. It exits with 1 where units failed, each named.
"""

import argparse
import ctypes
import subprocess
import sys
import time

import ray


def listed(relscale, folder, *options):
    """Name and FLOPs of the units of a folder."""
    command = [relscale, "study", "list", folder, *options]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    fields = [line.split(None, 3) for line in lines.splitlines()]
    return [(name, float(flops)) for _, flops, name, *_ in fields]


def bundles(units, flops):
    """Neighbours of one checkpoint, of `flops` at most: small units share its loading."""
    found = []
    for name, cost in units:
        checkpoint = name.split("/")[0]
        if found and found[-1][0] == checkpoint and found[-1][2] + cost <= flops:
            found[-1][1].append(name)
            found[-1][2] += cost
        else:
            found.append([checkpoint, [name], cost])
    return [(names, cost) for _, names, cost in found]


def die_with_parent():
    # The process of a worker that is killed would go on and keep the lock of its unit.
    ctypes.CDLL(None).prctl(1, 9)


def score(command, attempts, pause):
    """Runs a command until it succeeds; what it said of errors where it never does."""
    for attempt in range(attempts):
        if attempt:
            time.sleep(pause)
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=die_with_parent,
        )
        if done.returncode == 0:
            return None
    return done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="the folder of the plan, the same on every node")
    parser.add_argument("--relscale", default="relscale", help="the program, the same on every node")
    parser.add_argument("--address", default="auto", help="of the Ray cluster")
    parser.add_argument("--cpus", type=int, default=1, help="cores of a task")
    parser.add_argument("--gpus", type=float, default=0, help="GPUs of a task (a cuda backend)")
    parser.add_argument("--attempts", type=int, default=3, help="how often a failing task is run")
    parser.add_argument("--pause", type=float, default=30, help="seconds between attempts")
    parser.add_argument("--retries", type=int, default=10, help="how many lost nodes a task outlives")
    options = parser.parse_args()

    largest = max(flops for _, flops in listed(options.relscale, options.folder))
    work = bundles(listed(options.relscale, options.folder, "--left"), largest)
    ray.init(address=options.address)
    task = ray.remote(score).options(
        num_cpus=options.cpus, num_gpus=options.gpus, max_retries=options.retries
    )
    running = {}
    for names, cost in work:
        command = [options.relscale, "study", "run", options.folder, *names, "--threads", str(options.cpus)]
        running[task.remote(command, options.attempts, options.pause)] = (names, cost)
    total, done, failed = sum(cost for _, cost in work), 0.0, 0
    print(f"{len(work)} tasks", flush=True)
    while running:
        finished, _ = ray.wait(list(running))
        for reference in finished:
            names, cost = running.pop(reference)
            try:
                said = ray.get(reference)
            except ray.exceptions.RayError as error:
                said = f"{', '.join(names)}: {error}"
            if said is None:
                done += cost
            else:
                failed += 1
                print(said, end="", file=sys.stderr)
            left = len(running)
            print(f"{100 * done / total:.0f}% of the FLOPs done, {left} tasks left", flush=True)
    if failed:
        sys.exit(f"{failed} tasks failed; `{options.relscale} study list {options.folder} --left` says why")


if __name__ == "__main__":
    main()
