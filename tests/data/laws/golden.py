"""Golden numbers of tests/golden_laws.rs, by numpy, scipy and statsmodels.

    python tests/data/laws/golden.py [OLMO_LADDER.csv] > tests/data/laws/golden.json

Made with numpy 2.4.6, scipy 1.17.1, statsmodels 0.15.0. Nothing here shares code or method with the
library: surfaces are fitted by multi-start trust-region least squares on analytic residuals, the
rest by statsmodels. Data are written with the numbers, rounded as the library reads them.
"""

import csv
import json
import sys
import warnings

import numpy as np
import scipy
import statsmodels
import statsmodels.api as sm
from scipy.optimize import least_squares, minimize
from scipy.stats import t as student

warnings.simplefilter("ignore")


def surface_residuals(p, n, d, y):
    e, a, b, alpha, beta = p
    total = np.logaddexp(e, np.logaddexp(a - alpha * n, b - beta * d))
    return y - total


def surface_jacobian(p, n, d, y):
    e, a, b, alpha, beta = p
    tn, td = a - alpha * n, b - beta * d
    total = np.logaddexp(e, np.logaddexp(tn, td))
    sn, sd = np.exp(tn - total), np.exp(td - total)
    return -np.column_stack([np.exp(e - total), sn, sd, -sn * n, -sd * d])


def fit_surface(params, tokens, losses, huber=None):
    n, d = np.log(params), np.log(tokens)
    nm, dm = n.mean(), d.mean()
    n, d, y = n - nm, d - dm, np.log(losses)
    low = np.log(losses.min())
    best = None
    for e in (low - 0.3, low - 1.5):
        for alpha in (0.1, 0.3, 0.6, 1.0):
            for beta in (0.1, 0.3, 0.6, 1.0):
                for share in (-1.0, -3.0):
                    start = [e, low + share, low + share, alpha, beta]
                    # Least squares first; Huber starts from its solution and from the start itself.
                    fit = least_squares(
                        surface_residuals, start, surface_jacobian, args=(n, d, y), method="trf",
                        x_scale="jac", ftol=1e-15, xtol=1e-15, gtol=1e-15, max_nfev=4000,
                    )
                    if best is None or fit.cost < best.cost:
                        best = fit
    if huber is not None:
        def cost(p):
            r = np.abs(surface_residuals(p, n, d, y))
            return np.where(r <= huber, 0.5 * r * r, huber * (r - 0.5 * huber)).sum()

        def slope(p):
            r = surface_residuals(p, n, d, y)
            return surface_jacobian(p, n, d, y).T @ np.clip(r, -huber, huber)

        x = best.x
        for _ in range(20):
            x = least_squares(
                surface_residuals, x, surface_jacobian, args=(n, d, y), loss="huber",
                f_scale=huber, x_scale="jac", ftol=1e-15, xtol=1e-15, gtol=1e-15, max_nfev=4000,
            ).x
            x = minimize(cost, x, jac=slope, method="BFGS", options={"gtol": 1e-14, "maxiter": 4000}).x
        p, value = x, cost(x)
    else:
        p, value = best.x, best.cost
    r = surface_residuals(p, n, d, y)
    e, a, b, alpha, beta = p
    out = {
        "floor": np.exp(e), "a": np.exp(a + alpha * nm), "b": np.exp(b + beta * dm),
        "alpha": alpha, "beta": beta, "params_exponent": beta / (alpha + beta),
        "rss": (r**2).sum(), "cost": value,
    }
    if huber is None:
        j = surface_jacobian(p, n, d, y)
        df = len(y) - 5
        cov = (r @ r) / df * np.linalg.inv(j.T @ j)
        t = student.ppf(0.975, df)

        def span(value, g):
            half = t * np.sqrt(np.array(g) @ cov @ np.array(g))
            return [value - half, value + half]

        s = alpha + beta
        out["floor_interval"] = list(np.exp(span(e, [1, 0, 0, 0, 0])))
        out["alpha_interval"] = span(alpha, [0, 0, 0, 1, 0])
        out["beta_interval"] = span(beta, [0, 0, 0, 0, 1])
        out["params_exponent_interval"] = span(beta / s, [0, 0, 0, -beta / s**2, alpha / s**2])

        # N* by numerical differentiation of the closed form, not by the library's gradient.
        def ln_star(p, flops):
            _, a, b, alpha, beta = p
            a, b = a + alpha * nm, b + beta * dm
            q = np.log(flops / 6.0)
            return (np.log(alpha) + a - np.log(beta) - b + beta * q) / (alpha + beta)

        flops = 1e21
        g = np.array([
            (ln_star(p + h, flops) - ln_star(p - h, flops)) / 2e-5 for h in 1e-5 * np.eye(5)
        ])
        out["params_at_1e21"] = np.exp(ln_star(p, flops))
        out["params_at_1e21_interval"] = list(np.exp(span(ln_star(p, flops), g)))
    return out


def published_shape(seed, noise, outliers=False):
    """E = 1.69, A = 406.4, B = 410.7, α = .34, β = .28 (Hoffmann et al. 2022) on IsoFLOP budgets."""
    rng = np.random.default_rng(seed)
    params, tokens = [], []
    for c in np.geomspace(6e18, 3e21, 7):
        centre = 0.6 * np.sqrt(c / 6.0 / 20.0)
        for k in range(7):
            n = float(f"{centre * 2 ** (0.75 * (k - 3)):.6g}")
            params.append(n)
            tokens.append(float(f"{c / 6.0 / n:.6g}"))
    params, tokens = np.array(params), np.array(tokens)
    loss = 1.69 + 406.4 / params**0.34 + 410.7 / tokens**0.28
    loss *= np.exp(noise * rng.standard_normal(len(loss)))
    if outliers:
        loss[::9] *= 1.02
    return params, tokens, np.round(loss, 7)


def surfaces(out):
    for name, seed, noise, outliers, huber in [
        ("synthetic", 1, 2e-3, False, None),
        ("synthetic_huber", 2, 1e-3, True, 1e-3),
    ]:
        n, d, y = published_shape(seed, noise, outliers)
        out[name] = {"params": list(n), "tokens": list(d), "losses": list(y), "huber": huber,
                     "fit": fit_surface(n, d, y, huber)}


def olmo(path, out):
    with open(path) as file:
        rows = [r for r in csv.DictReader(file) if not r["run"].startswith("peteish")]
    n = np.array([float(r["N"]) for r in rows])
    d = np.array([float(r["tokens"]) for r in rows])
    for column in ("c4_en-validation", "pile-validation", "dolma_stack-validation"):
        y = np.array([float(r[column]) for r in rows])
        out["olmo"][column] = fit_surface(n, d, y)


def main():
    out = {"versions": {"numpy": np.__version__, "scipy": scipy.__version__,
                        "statsmodels": statsmodels.__version__}}
    surfaces(out)
    out["olmo"] = {}
    if len(sys.argv) > 1:
        olmo(sys.argv[1], out)
    json.dump(out, sys.stdout, indent=1, default=float)
    print()


if __name__ == "__main__":
    main()
