"""Reference numbers for surfaces, loss-to-loss, counts and mixed models.

    python laws.py olmo.csv > laws.json

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
    # The table leaves the size of the 3B models out.
    n = np.array([float(r["N"] or 3169537280) for r in rows])
    d = np.array([float(r["tokens"]) for r in rows])
    for column in ("c4_en-validation", "pile-validation", "dolma_stack-validation"):
        y = np.array([float(r[column]) for r in rows])
        out["olmo"][column] = fit_surface(n, d, y)


def loss_to_loss(out):
    """kappa = beta_t/beta_b with the scale as instrument, and Fieller's set by its definition."""
    rng = np.random.default_rng(3)
    flops = np.geomspace(1e18, 1e21, 7)
    x = np.log(flops) - np.log(flops).mean()
    shared = 0.004 * rng.standard_normal(7)
    for name, slope, noise in (("bounded", 0.05, 2e-3), ("unbounded", 0.001, 1e-2)):
        b = np.exp(1.0 - slope * x + shared + noise * rng.standard_normal(7))
        t = np.exp(1.2 - 0.9 * slope * x + shared + noise * rng.standard_normal(7))
        b, t = np.round(b, 9), np.round(t, 9)
        design = sm.add_constant(x)
        fit_t, fit_b = sm.OLS(np.log(t), design).fit(), sm.OLS(np.log(b), design).fit()
        two_stage = sm.OLS(np.log(t), sm.add_constant(fit_b.fittedvalues)).fit().params[1]
        cov = np.cov(np.vstack([fit_t.resid, fit_b.resid])) * 6 / 5 / (x @ x)
        st, sb = fit_t.params[1], fit_b.params[1]
        c2 = student.ppf(0.975, 5) ** 2
        roots = np.roots([
            sb**2 - c2 * cov[1, 1], -2 * (st * sb - c2 * cov[0, 1]), st**2 - c2 * cov[0, 0]
        ])
        out[name] = {"flops": list(flops), "treatment": list(t), "baseline": list(b),
                     "kappa": st / sb, "two_stage": two_stage, "roots": sorted(roots.real),
                     "real": bool(np.isreal(roots).all()), "bounded": bool(sb**2 > c2 * cov[1, 1])}


def counts(out):
    """Quasi-binomial regression with a logarithmic link, zeros among the counts."""
    rng = np.random.default_rng(4)
    flops = np.geomspace(1e18, 1e21, 12)
    x = np.log(flops) - np.log(flops).mean()
    items = np.array([60, 60, 60, 60, 60, 60, 60, 60, 80, 80, 80, 80])
    design = sm.add_constant(x)
    fits, wrong = {}, {}
    for name, level, slope in (("treatment", 0.07, 0.50), ("baseline", 0.15, 0.35)):
        rate = np.minimum(level * np.exp(-slope * x + 0.15 * rng.standard_normal(12)), 0.95)
        wrong[name] = rng.binomial(items, rate)
        # Shares with items as variance weights: on pairs of counts, statsmodels divides Pearson's
        # chi-squared by the items once more.
        family = sm.families.Binomial(link=sm.families.links.Log())
        model = sm.GLM(wrong[name] / items, design, family=family, var_weights=items)
        start = [np.log(wrong[name].sum() / items.sum()), 0.0]
        fit = model.fit(scale="X2", start_params=start, tol=1e-13, maxiter=500)
        # The same by Newton's method on the likelihood, should the iterations have stopped early.
        p = fit.params.copy()
        for _ in range(50):
            mu = np.exp(design @ p)
            score = design.T @ (items * (wrong[name] / items - mu) / (1 - mu))
            info = design.T @ (design * (items * mu / (1 - mu))[:, None])
            p = p + np.linalg.solve(info, score)
        assert np.allclose(p, fit.params, rtol=1e-8), (p, fit.params)
        mu = np.exp(design @ p)
        pearson = (wrong[name] - items * mu) / np.sqrt(items * mu * (1 - mu))
        assert np.isclose(pearson @ pearson / 10, fit.scale, rtol=1e-8)
        fits[name] = (p, info, pearson, np.sqrt(items * mu / (1 - mu)))
        out[name] = {
            "wrong": [int(v) for v in wrong[name]], "level": p[0], "slope": p[1],
            "dispersion": fit.scale,
            "slope_error": fit.bse[1], "level_error": fit.bse[0],
        }
    # Var(slope_t - slope_b) with the residuals of the two regressions correlated over runs.
    (pt, it, rt, wt), (pb, ib, rb, wb) = fits["treatment"], fits["baseline"]
    cross = np.linalg.inv(it) @ (design.T @ (design * (wt * wb)[:, None])) @ np.linalg.inv(ib)
    cross *= rt @ rb / 10
    own = np.linalg.inv(it) * (rt @ rt / 10) + np.linalg.inv(ib) * (rb @ rb / 10)
    variance = own - cross - cross.T
    out["flops"], out["items"] = list(flops), [int(v) for v in items]
    out["delta"] = pt[1] - pb[1]
    out["delta_error"] = np.sqrt(variance[1, 1])
    out["log_gamma"] = pt[0] - pb[0]
    out["log_gamma_error"] = np.sqrt(variance[0, 0])


def mixed(out):
    """REML with a random effect of the budget; degrees of freedom by dense matrices."""
    rng = np.random.default_rng(5)
    for name, sd in (("effects", 2e-3), ("none", 0.0)):
        x, y, group = [], [], []
        for j, v in enumerate(np.linspace(-3.0, 3.0, 12)):
            shock = sd * rng.standard_normal()
            for _ in range(2 + j % 3):
                x.append(v)
                group.append(j)
                y.append(round(0.3 + 0.004 * v + shock + 1e-3 * rng.standard_normal(), 9))
        x, y, group = np.array(x), np.array(y), np.array(group)
        design = sm.add_constant(x)
        # Data of order one: the tolerances of the optimiser are absolute.
        fit = sm.MixedLM(1e3 * y, design, group).fit(reml=True, method=["bfgs", "lbfgs"], gtol=1e-10)
        z = (group[:, None] == group[None, :]).astype(float)
        e = np.eye(len(y))

        def parts(theta):
            v = np.linalg.inv(theta[0] * z + theta[1] * e)
            c = np.linalg.inv(design.T @ v @ design)
            return v, c, v - v @ design @ c @ design.T @ v

        def deviance(logs):
            v, c, p = parts(np.exp(logs))
            return -np.linalg.slogdet(v)[1] - np.linalg.slogdet(c)[1] + y @ p @ y

        best = min(
            (minimize(deviance, start, method="Nelder-Mead",
                      options={"xatol": 1e-10, "fatol": 1e-12, "maxiter": 8000})
             for start in ([-13.0, -13.8], [-20.0, -13.8])),
            key=lambda r: r.fun,
        )
        theta = np.exp(best.x)
        v, c, p = parts(theta)
        half = [p @ z, p @ e]
        info = 0.5 * np.array([[np.trace(a @ b) for b in half] for a in half])
        grad = np.array([(c @ design.T @ v @ m @ v @ design @ c)[1, 1] for m in (z, e)])
        out[name] = {
            "x": list(x), "y": list(y), "group": [int(g) for g in group],
            "slope": fit.fe_params[1] * 1e-3, "slope_error": fit.bse_fe[1] * 1e-3,
            "budget_variance": float(fit.cov_re[0, 0]) * 1e-6, "run_variance": fit.scale * 1e-6,
            "dense": {"budget_variance": theta[0], "run_variance": theta[1],
                      "slope_error": np.sqrt(c[1, 1]),
                      "df": 2 * c[1, 1] ** 2 / (grad @ np.linalg.inv(info) @ grad)},
        }


def main():
    out = {"versions": {"numpy": np.__version__, "scipy": scipy.__version__,
                        "statsmodels": statsmodels.__version__}}
    surfaces(out)
    out["olmo"] = {}
    if len(sys.argv) > 1:
        olmo(sys.argv[1], out)
    for name, part in (("loss_to_loss", loss_to_loss), ("counts", counts), ("mixed", mixed)):
        out[name] = {}
        part(out[name])
    json.dump(out, sys.stdout, indent=1, default=float)
    print()


if __name__ == "__main__":
    main()
