#!/usr/bin/env python3
"""The point estimates of the default analysis with OLS and HC3 variances, by numpy and statsmodels.

    RELSCALE_PEER=target/peer cargo bench --bench fit
    python benches/peers/fit_statsmodels.py target/peer

Reads the ladder that the benchmark wrote, repeats its estimator (per-budget cubics of the paired
log-ratio at the smoothed frontier, then a straight line), times it, and compares every number.
It does less than the benchmark: it computes no item variance, no specification check, and no diagnostics.
Requires numpy and statsmodels.
"""
import csv
import sys
import time

import numpy as np
import statsmodels.api as sm

DISTRIBUTIONS, CLUSTERS = 128, 100


def polynomial(u, degree):
    return np.stack([u**k for k in range(degree + 1)], axis=1)


def window(size, loss, width):
    best = size[np.argmin(loss)]
    near = np.abs(size - best) <= np.log(width) + 1e-9
    return near, 3 if near.sum() >= 6 else 2


def minimum(size, loss):
    """ln N at the interior minimum of the local polynomial."""
    near, degree = window(size, loss, 8)
    centre = size[near].mean()
    c = np.linalg.lstsq(polynomial(size[near] - centre, degree), loss[near], rcond=None)[0]
    c = np.append(c, 0.0)[:4]
    root = -c[1] / (c[2] + np.sqrt(c[2] ** 2 - 3 * c[1] * c[3]))
    return centre + root


def corpus_laws(budget, size, log_error):
    """Δβ, its classical and its HC3 variance for every treatment; log_error is runs × distributions."""
    levels = np.unique(budget)
    x = np.log(levels)
    rows = [np.flatnonzero(budget == level) for level in levels]
    optimum = np.array([minimum(size[r], log_error[r, 0]) for r in rows])
    smooth = sm.OLS(optimum, sm.add_constant(x - x.mean())).fit().fittedvalues
    ratio = log_error[:, 2:] - log_error[:, [1]]
    readings = np.empty((len(levels), ratio.shape[1]))
    for j, r in enumerate(rows):
        near, degree = window(size[r], log_error[r, 0], 8)
        centre = size[r][near].mean()
        coefficients = np.linalg.lstsq(
            polynomial(size[r][near] - centre, degree), ratio[r][near], rcond=None
        )[0]
        readings[j] = polynomial(np.array([smooth[j] - centre]), degree) @ coefficients
    design = sm.add_constant(x - x.mean())
    out = []
    for y in readings.T:
        fit = sm.OLS(y, design).fit()
        out.append((fit.params[1], fit.bse[1] ** 2, fit.HC3_se[1] ** 2))
    return np.array(out)


def read_ladder(folder):
    """Corpus, budget and ln size of every run, and losses as runs × distributions × clusters."""
    with open(f"{folder}/runs.csv") as f:
        runs = list(csv.DictReader(f))
    corpus = np.array([r["corpus"] for r in runs])
    budget = np.array([float(r["budget"]) for r in runs])
    size = np.log([float(r["params"]) for r in runs])
    losses = np.fromfile(f"{folder}/losses.f64", "<f8").reshape(len(runs), DISTRIBUTIONS, CLUSTERS)
    return corpus, budget, size, losses


def main(folder):
    corpus, budget, size, losses = read_ladder(folder)
    start = time.perf_counter()
    log_error = np.log(losses.mean(axis=2))
    laws = {}
    for name in dict.fromkeys(corpus):
        here = corpus == name
        laws[name] = corpus_laws(budget[here], size[here], log_error[here])
    seconds = time.perf_counter() - start
    with open(f"{folder}/ours.csv") as f:
        ours_seconds = float(f.readline()[1:])
        worst = np.zeros(3)
        count = 0
        for row in csv.DictReader(f):
            theirs = laws[row["corpus"]][int(row["distribution"][1:]) - 2]
            mine = np.array([float(row[k]) for k in ("delta", "variance", "hc3")])
            worst = np.maximum(worst, np.abs(mine - theirs) / np.abs(theirs))
            count += 1
    print(f"{count} laws; worst relative difference: delta {worst[0]:.1e}, OLS variance "
          f"{worst[1]:.1e}, HC3 variance {worst[2]:.1e}")
    print(f"statsmodels, point estimates with OLS and HC3: {seconds:.3f} s")
    print(f"relscale, the same with all diagnostics:       {ours_seconds:.3f} s")


if __name__ == "__main__":
    main(sys.argv[1])
