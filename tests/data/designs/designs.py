"""Golden values of coarse sizes, corpora as arms, two grids and sizes at equal tokens.

Writes `coarse.csv`, `arms.csv`, `grids.csv`, `equal_tokens.csv` and `designs.json` beside it, by numpy's
polynomials and statsmodels' OLS:
    python3 -m venv venv && venv/bin/pip install numpy scipy statsmodels && venv/bin/python designs.py
Made with numpy 2.4.6, scipy 1.17.1 and statsmodels 0.15.0.
"""

import json
import pathlib

import numpy as np
import statsmodels.api as sm

here = pathlib.Path(__file__).parent
rng = np.random.default_rng(20261129)
HEADER = "corpus,run,budget,flops,params,tokens,distribution,loss"


def write(name, rows):
    lines = [",".join(v if isinstance(v, str) else repr(float(v)) for v in row) for row in rows]
    (here / name).write_text("\n".join([HEADER, *lines]) + "\n")


def ols(y, *columns):
    return sm.OLS(y, np.column_stack([np.ones(len(y)), *columns])).fit()


def coarse():
    """Six budgets of four sizes a factor of 3.5 apart: parabolas and cubics through all four."""
    budgets = 1e18 * 4.0 ** np.arange(6)
    x = np.log(budgets) - np.log(budgets).mean()
    rows, log_n, a, y = [], [], [], []
    for j, c in enumerate(budgets):
        centre = np.log(0.1 * np.sqrt(c)) + rng.uniform(-0.2, 0.2)
        n = centre + np.log(3.5) * np.array([-1.4, -0.4, 0.6, 1.6])
        z = n - np.log(0.1 * np.sqrt(c))
        bowl = 0.03 * z**2 - 0.002 * z**3
        base = 1.0 - 0.05 * x[j]
        logs = {
            "aggregate": base + bowl + rng.normal(0, 5e-4, 4),
            "baseline": base + 0.9 * bowl + rng.normal(0, 1e-3, 4),
            "treatment": base + 0.3 + 0.01 * x[j] + 1.1 * bowl + 0.01 * z + rng.normal(0, 1e-3, 4),
        }
        for k in range(4):
            for name, values in logs.items():
                size = np.exp(n[k])
                rows.append(["c", f"r{j}-{k}", c, c, size, c / (6 * size), name, np.exp(values[k])])
        log_n.append(n)
        a.append(logs["aggregate"])
        y.append(logs["treatment"] - logs["baseline"])
    write("coarse.csv", rows)

    def read(degree):
        minima = []
        for n, loss in zip(log_n, a):
            p = np.poly1d(np.polyfit(n - n.mean(), loss, degree))
            roots = p.deriv().roots
            [best] = [r.real for r in roots if abs(r.imag) < 1e-9 and p.deriv(2)(r.real) > 0]
            minima.append(best + n.mean())
        frontier = ols(np.array(minima), x)
        at = frontier.predict()
        readings = [
            np.polyval(np.polyfit(n - n.mean(), v, degree), u - n.mean())
            for n, v, u in zip(log_n, y, at)
        ]
        return np.exp(minima), ols(np.array(readings), x)

    minima, two = read(2)
    _, three = read(3)
    return {
        "minima": list(minima),
        "delta_beta": two.params[1],
        "level": two.params[0],
        "run_variance": two.bse[1] ** 2,
        "interpolated": three.params[1],
    }


def arms():
    """One distribution of six rungs in two corpora, whose real FLOPs differ by up to 1 %."""
    params = 1e7 * 2.0 ** np.arange(6)
    rows, x, y = [], {}, {}
    for corpus, exponent, level in [("a", -0.048, 0.9), ("b", -0.055, 1.0)]:
        flops = 120 * params**2 * (1 + rng.uniform(-5e-3, 5e-3, 6))
        x[corpus] = np.log(flops)
        y[corpus] = level + exponent * np.log(flops / 1e17) + rng.normal(0, 2e-3, 6)
        for j in range(6):
            tokens = flops[j] / (6 * params[j])
            rows.append([corpus, f"{corpus}{j}", 120 * params[j] ** 2, flops[j], params[j], tokens, "news", np.exp(y[corpus][j])])
    write("arms.csv", rows)
    mean = 0.5 * sum(v - v.mean() for v in x.values())
    fit = ols(y["a"] - y["b"], mean)
    return {
        "delta_beta": fit.params[1],
        "standard_error": fit.bse[1],
        "p_value": fit.pvalues[1],
        "gamma": np.exp(fit.params[0]),
        "reference_flops": np.exp(0.5 * sum(v.mean() for v in x.values())),
    }


def grids():
    """Two corpora over four sizes and four lengths, the lengths rounded differently."""
    sizes, ratios = 1e8 * 2.2 ** np.arange(4), 10 * 2.0 ** np.arange(4)
    rows, cells = [], {}
    for corpus, exponent in [("a", 0.004), ("b", -0.003)]:
        columns = []
        for i, n in enumerate(sizes):
            for k, r in enumerate(ratios):
                tokens = r * n * (1 + rng.uniform(-3e-3, 3e-3))
                c = 6 * n * tokens
                base = 1.2 - 0.05 * np.log(c / 1e20) + rng.normal(0, 2e-3)
                gap = 0.2 + exponent * np.log(c / 1e20) + 0.01 * np.log(r) + rng.normal(0, 1e-3)
                for name, value in [("baseline", base), ("treatment", base + gap)]:
                    rows.append([corpus, f"{corpus}-{i}-{k}", c, c, n, tokens, name, np.exp(value)])
                columns.append([np.log(c), np.log(tokens / n), gap])
        cells[corpus] = np.array(columns)
    write("grids.csv", rows)
    centred = {k: v[:, :2] - v[:, :2].mean(axis=0) for k, v in cells.items()}
    mean = 0.5 * (centred["a"] + centred["b"])
    fit = ols(cells["a"][:, 2] - cells["b"][:, 2], mean)
    return {"exponent": fit.params[1], "level": fit.params[0]}


def equal_tokens():
    """Seven sizes on 300 billion tokens, with FLOPs that leave embeddings out."""
    params = 7e7 * 2.0 ** np.arange(7)
    flops = 1.8e12 * (params - 3e7)
    gap = 0.3 - 0.02 * np.log(params / 5e8) + rng.normal(0, 2e-3, 7)
    rows = []
    for j in range(7):
        loss = params[j] ** -0.07
        for name, value in [("baseline", loss), ("treatment", loss * np.exp(gap[j]))]:
            rows.append(["c", f"r{j}", flops[j], flops[j], params[j], 3e11, name, value])
    write("equal_tokens.csv", rows)
    by_flops, by_params = ols(gap, np.log(flops)), ols(gap, np.log(params))
    return {
        "delta_beta": by_flops.params[1],
        "per_log_params": by_params.params[1],
        "standard_error": by_params.bse[1],
        "p_value": by_params.pvalues[1],
    }


golden = {f.__name__: f() for f in (coarse, arms, grids, equal_tokens)}
(here / "designs.json").write_text(json.dumps(golden, indent=2) + "\n")
