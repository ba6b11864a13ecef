"""Golden values of a difference of pairs, by statsmodels' OLS and Fieller's formula.

Writes `arms.csv` (seven rungs, four distributions, one cluster each) and `arms.json` beside it:
    python3 -m venv venv && venv/bin/pip install numpy scipy statsmodels && venv/bin/python arms.py
Made with numpy 2.4.6, scipy 1.17.1 and statsmodels 0.15.0.
"""

import json
import pathlib

import numpy as np
import statsmodels.api as sm
from scipy import stats

here = pathlib.Path(__file__).parent
rng = np.random.default_rng(20261128)
flops = 1e18 * 10 ** (0.4 * np.arange(7))
x = np.log(flops) - np.log(flops).mean()
gap = 0.4 - 0.02 * x
noise = rng.normal(0, 0.004, (4, 7)) + rng.normal(0, 0.01, 7)
loss = {
    "all-before": np.exp(1.0 - 0.05 * x + noise[0]),
    "client-before": np.exp(1.0 - 0.05 * x + gap + noise[1]),
    "all-after": np.exp(0.9 - 0.05 * x + noise[2]),
    "client-after": np.exp(0.9 - 0.05 * x + 0.6 * gap + noise[3]),
}

rows = ["corpus,run,budget,flops,params,tokens,distribution,loss"]
for j, f in enumerate(flops):
    for name, values in loss.items():
        rows.append(f"c,r{j},{f!r},{f!r},1e8,{f / 6e8!r},{name},{values[j]!r}".replace("np.float64(", "").replace(")", ""))
(here / "arms.csv").write_text("\n".join(rows) + "\n")


def ols(y):
    return sm.OLS(y, np.column_stack([np.ones(7), x])).fit()


one = np.log(loss["client-after"] / loss["all-after"])
two = np.log(loss["client-before"] / loss["all-before"])
difference = ols(one - two)
both = [ols(one), ols(two)]
t = stats.t.ppf(0.975, 5)
# Covariance of the residuals of both lines, by equations (seemingly unrelated regressions).
s = np.array([[a.resid @ b.resid / 5 for b in both] for a in both])
closed = []
for at in (x.min(), 0.0, x.max()):
    h = 1 / 7 + at**2 / (x @ x)
    n, d = (f.params @ [1, at] for f in both)
    v = s * h
    # (n - r d)^2 <= t^2 (v11 - 2 r v12 + r^2 v22), solved for r.
    roots = np.roots([
        d**2 - t**2 * v[1, 1],
        -2 * (n * d - t**2 * v[0, 1]),
        n**2 - t**2 * v[0, 0],
    ])
    closed.append([1 - n / d, 1 - roots.max(), 1 - roots.min()])

golden = {
    "delta_beta": difference.params[1],
    "standard_error": difference.bse[1],
    "p_value": difference.pvalues[1],
    "interval": list(difference.conf_int()[1]),
    "gamma": float(np.exp(difference.params[0])),
    "closed": closed,
}
(here / "arms.json").write_text(json.dumps(golden, indent=1, default=float) + "\n")
