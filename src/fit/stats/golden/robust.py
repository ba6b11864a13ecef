"""Reference numbers for error rates that bend, outlying runs, autocorrelated errors and accuracies.

    python -P robust.py laws.json > robust.json

`-P` keeps the neighbour statsmodels.py out of the way. Made with numpy, scipy and statsmodels; versions
in the file. Nothing here shares code with the library.
Data are written with the numbers, rounded as the library reads them.
"""

import json
import sys
import warnings

import numpy as np
import scipy
import statsmodels
import statsmodels.api as sm
from scipy.optimize import curve_fit
from scipy.stats import t as student

warnings.simplefilter("ignore")


def bent_counts(out, laws):
    """The counts of laws.json with the squared scale: coefficient and error, of each and of the ratio."""
    data = laws["counts"]
    flops, items = np.array(data["flops"]), np.array(data["items"], dtype=float)
    x = np.log(flops) - np.log(flops).mean()
    design = np.column_stack([np.ones_like(x), x, x * x])
    parts = {}
    for name in ("treatment", "baseline"):
        wrong = np.array(data[name]["wrong"], dtype=float)
        family = sm.families.Binomial(link=sm.families.links.Log())
        model = sm.GLM(wrong / items, design, family=family, var_weights=items)
        start = [np.log(wrong.sum() / items.sum()), 0.0, 0.0]
        fit = model.fit(scale="X2", start_params=start, tol=1e-13, maxiter=500)
        p = fit.params.copy()
        for _ in range(50):
            mu = np.exp(design @ p)
            score = design.T @ (items * (wrong / items - mu) / (1 - mu))
            info = design.T @ (design * (items * mu / (1 - mu))[:, None])
            p = p + np.linalg.solve(info, score)
        assert np.allclose(p, fit.params, rtol=1e-6), (p, fit.params)
        mu = np.exp(design @ p)
        pearson = (wrong - items * mu) / np.sqrt(items * mu * (1 - mu))
        parts[name] = (p, info, pearson, np.sqrt(items * mu / (1 - mu)))
        out[name] = {"square": p[2], "square_error": fit.bse[2]}
    (pt, it, rt, wt), (pb, ib, rb, wb) = parts["treatment"], parts["baseline"]
    df = len(x) - 3
    cross = np.linalg.inv(it) @ (design.T @ (design * (wt * wb)[:, None])) @ np.linalg.inv(ib)
    cross *= rt @ rb / df
    own = np.linalg.inv(it) * (rt @ rt / df) + np.linalg.inv(ib) * (rb @ rb / df)
    variance = own - cross - cross.T
    out["square"], out["square_error"] = pt[2] - pb[2], np.sqrt(variance[2, 2])


def serial(out):
    """A line under AR(1) errors, averaged over rho: GLS at 64 values, weighted by restricted likelihood."""
    rng = np.random.default_rng(6)
    x = np.round(np.linspace(-3.0, 3.0, 10), 3)
    e = np.zeros(10)
    for i in range(10):
        e[i] = 0.6 * e[i - 1] + rng.standard_normal() if i else rng.standard_normal() / 0.8
    y = np.round(0.2 + 0.05 * x + 0.01 * e, 6)
    n, p = 10, 2
    design = sm.add_constant(x)
    place = np.arange(n)
    bread = np.linalg.inv(design.T @ design)
    nodes = (np.arange(64) + 0.5) / 32 - 1
    log_likelihood, scale, spread = [], [], []
    for rho in nodes:
        v = rho ** np.abs(place[:, None] - place[None, :])
        fit = sm.GLS(y, design, sigma=v).fit()
        # statsmodels scales by n - p, as the restricted likelihood does.
        rss = fit.scale * (n - p)
        information = design.T @ np.linalg.solve(v, design)
        logs = np.linalg.slogdet(v)[1] + np.linalg.slogdet(information)[1]
        log_likelihood.append(-0.5 * ((n - p) * np.log(rss) + logs))
        scale.append(fit.scale)
        spread.append(bread @ design.T @ v @ design @ bread)
    log_likelihood = np.array(log_likelihood)
    weights = np.exp(log_likelihood - log_likelihood.max())
    weights /= weights.sum()
    covariance = sum(w * s * m for w, s, m in zip(weights, scale, spread))
    out["x"], out["y"] = list(x), list(y)
    out["rho"] = weights @ nodes
    out["variance"] = weights @ np.array(scale)
    out["covariance"] = covariance.tolist()
    out["log_likelihood"] = list(log_likelihood - log_likelihood[40])


def accuracy(out):
    """A sigmoid of the loss, by trust-region least squares from several starts."""
    rng = np.random.default_rng(7)
    losses = np.round(np.linspace(1.5, 0.75, 14) + 0.02 * rng.standard_normal(14), 4)
    truth = 0.25 + 0.65 / (1 + np.exp((losses - 0.95) / 0.12))
    accuracies = np.round(truth + 0.008 * rng.standard_normal(14), 4)
    out["losses"], out["accuracies"] = list(losses), list(accuracies)

    def fit(name, curve, starts):
        best = None
        for start in starts:
            p, c = curve_fit(curve, losses, accuracies, p0=start, maxfev=20000, xtol=1e-15, ftol=1e-15)
            rss = np.sum((accuracies - curve(losses, *p)) ** 2)
            if best is None or rss < best[0]:
                best = (rss, p, c)
        rss, p, c = best
        df = len(losses) - len(p)
        step = 1e-6
        slope = (curve(0.7 + step, *p) - curve(0.7 - step, *p)) / (2 * step)
        gradient = []
        for k in range(len(p)):
            up, down = p.copy(), p.copy()
            up[k] += step
            down[k] -= step
            gradient.append((curve(0.7, *up) - curve(0.7, *down)) / (2 * step))
        gradient = np.array(gradient)
        variance = gradient @ c @ gradient + (slope * 0.02) ** 2
        out[name] = {
            "parameters": list(p), "errors": list(np.sqrt(np.diag(c))), "df": df,
            "residual_sd": np.sqrt(rss / df), "value": curve(0.7, *p),
            "half_curve": student.ppf(0.975, df) * np.sqrt(variance),
            "half_new": student.ppf(0.975, df) * np.sqrt(variance + rss / df),
        }

    def whole(x, low, height, middle, log_width):
        return low + height / (1 + np.exp((x - middle) / np.exp(log_width)))

    fit("free", whole, [(0.2, 0.6, m, np.log(w)) for m in (0.8, 1.0, 1.2) for w in (0.05, 0.2)])
    fit("fixed", lambda x, h, m, w: whole(x, 0.25, h, m, w), [(0.6, m, np.log(0.1)) for m in (0.8, 1.0)])


if __name__ == "__main__":
    laws = json.load(open(sys.argv[1]))
    versions = {m.__name__: m.__version__ for m in (np, scipy, statsmodels)}
    out = {"versions": versions, "bent_counts": {}, "serial": {}, "accuracy": {}}
    bent_counts(out["bent_counts"], laws)
    serial(out["serial"])
    accuracy(out["accuracy"])
    json.dump(out, sys.stdout, indent=1)
    print()
