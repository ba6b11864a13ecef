#!/usr/bin/env python3
"""Reference numbers for golden tests (statsmodels / scipy / exact enumeration). Writes statsmodels.json."""
import itertools, json, math
import numpy as np, scipy, statsmodels, statsmodels.api as sm
from scipy import stats, optimize
from scipy.special import ndtr, ndtri
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.stattools import durbin_watson
from statsmodels.stats.meta_analysis import combine_effects
out = {"versions": {"numpy": np.__version__, "scipy": scipy.__version__, "statsmodels": statsmodels.__version__}}
C = [1e18, 3e18, 6e18, 1e19, 3e19, 6e19, 1e20]
g = [0.1520, 0.1615, 0.1660, 0.1748, 0.1835, 0.1931, 0.1926]          # ln(E_t/E_b), fixed literals
v = [4e-6, 2e-6, 2e-6, 1e-6, 1e-6, 1e-6, 2e-6]                         # stage-1 variances for WLS
lx = np.log(C); x = lx - lx.mean(); g = np.array(g); v = np.array(v); J = 7
X = np.c_[np.ones(J), x]
ols = sm.OLS(g, X).fit(); inf = ols.get_influence()
o = {"C": C, "g": g.tolist(), "x_centered": x.tolist(), "params": ols.params.tolist(), "bse": ols.bse.tolist(), "t": ols.tvalues.tolist(),
     "p": ols.pvalues.tolist(), "ci95": ols.conf_int().tolist(), "sigma": math.sqrt(ols.scale), "r2": ols.rsquared, "F": ols.fvalue,
     "gamma_at_gmean": math.exp(ols.params[0]), "ln_gamma_at_1flop": ols.params[0] - ols.params[1] * lx.mean(),
     "leverage": inf.hat_matrix_diag.tolist(), "cooks": inf.cooks_distance[0].tolist(), "rstudent": inf.resid_studentized_external.tolist(),
     "dffits": inf.dffits[0].tolist(), "dfbetas": inf.dfbetas.tolist(), "press": float((inf.resid_press ** 2).sum()), "durbin_watson": float(durbin_watson(ols.resid)),
     "aic": ols.aic, "bic": ols.bic}
for k in ("HC0", "HC1", "HC2", "HC3"): o[k] = sm.OLS(g, X).fit(cov_type=k).bse.tolist()
w = sm.WLS(g, X, weights=1 / v).fit(); o["WLS"] = {"weights": (1 / v).tolist(), "params": w.params.tolist(), "bse": w.bse.tolist(), "scale": w.scale}
q = sm.OLS(g, np.c_[X, x ** 2]).fit(); o["curvature"] = {"coef": q.params[2], "se": q.bse[2], "t": q.tvalues[2], "p": q.pvalues[2], "F": q.compare_f_test(ols)[0], "p_F": q.compare_f_test(ols)[1]}
Sxx = float((x ** 2).sum()); d = ols.params[1]; se = ols.bse[1]; s2 = ols.scale; wv = x / Sxx; h = inf.hat_matrix_diag
H = X @ np.linalg.solve(X.T @ X, X.T); Q = (wv / np.sqrt(1 - h))[:, None] * (np.eye(J) - H); P = Q @ Q.T
o["HC2_satterthwaite_df"] = float(np.trace(P) ** 2 / (P ** 2).sum())
t5 = stats.t.ppf(.975, J - 2)
for F in (1e21, 1e22):
    x0 = math.log(F) - lx.mean(); m = ols.params[0] + d * x0; o[f"predict_{F:.0e}"] = {"mean": m, "ci95": [m - t5 * math.sqrt(s2 * (1 / J + x0 ** 2 / Sxx)), m + t5 * math.sqrt(s2 * (1 / J + x0 ** 2 / Sxx))], "pi95": [m - t5 * math.sqrt(s2 * (1 + 1 / J + x0 ** 2 / Sxx)), m + t5 * math.sqrt(s2 * (1 + 1 / J + x0 ** 2 / Sxx))]}
# Fieller for x*: a + d x* = 0
a = ols.params[0]; A = d * d - t5 ** 2 * s2 / Sxx; B = a * d; Cc = a * a - t5 ** 2 * s2 / J; disc = math.sqrt(B * B - A * Cc)
o["fieller"] = {"log10_Fstar": (lx.mean() - a / d) / math.log(10), "ci95_log10": sorted([(lx.mean() + (-B - disc) / A) / math.log(10), (lx.mean() + (-B + disc) / A) / math.log(10)]), "g_stat": t5 ** 2 * s2 / Sxx / d ** 2}
o["tost"] = {"margin": 0.003, "p": float(max(stats.t.sf((d + .003) / se, J - 2), stats.t.cdf((d - .003) / se, J - 2)))}
# exact bootstraps / permutation / wild / Theil-Sen
ms = list(itertools.combinations_with_replacement(range(J), J)); sl, pr = [], []
for c in ms:
    idx = np.array(c); xb = x[idx] - x[idx].mean()
    if (xb ** 2).sum() < 1e-9: continue
    cnt = np.bincount(idx, minlength=J); sl.append(float((xb * g[idx]).sum() / (xb ** 2).sum())); pr.append(math.factorial(J) / np.prod([math.factorial(int(k)) for k in cnt]) / J ** J)
sl, pr = np.array(sl), np.array(pr) / sum(pr); od = np.argsort(sl, kind="stable"); cp = np.cumsum(pr[od])
wq = lambda p: float(sl[od][np.searchsorted(cp, p)])
jk = np.array([np.polyfit(np.delete(x, j), np.delete(g, j), 1)[0] for j in range(J)]); dm = jk.mean() - jk; acc = float((dm ** 3).sum() / (6 * ((dm ** 2).sum()) ** 1.5))
p0 = float(pr[sl < d].sum() + .5 * pr[np.isclose(sl, d, rtol=0, atol=1e-15)].sum()); z0 = float(ndtri(p0))
bc = [float(ndtr(z0 + (z0 + z) / (1 - acc * (z0 + z)))) for z in (-1.959963984540054, 1.959963984540054)]
o["pairs_bootstrap_exact"] = {"n_multisets_used": len(sl), "mean": float((sl * pr).sum()), "sd": float(math.sqrt((sl ** 2 * pr).sum() - (sl * pr).sum() ** 2)), "pct95": [wq(.025), wq(.975)], "z0": z0, "acceleration": acc, "bca_levels": bc, "bca95": [wq(bc[0]), wq(bc[1])]}
o["jackknife"] = {"leave_one_out": jk.tolist(), "se": float(math.sqrt((J - 1) / J * ((jk - jk.mean()) ** 2).sum()))}
T = abs(d); cnt = tot = 0
for p in itertools.permutations(range(J)): tot += 1; cnt += abs(float((x[list(p)] * g).sum() / Sxx)) >= T * (1 - 1e-12)
o["permutation"] = {"count": cnt, "total": tot, "p": cnt / tot}
e0 = g - g.mean(); hc2 = math.sqrt(float((wv ** 2 * ols.resid ** 2 / (1 - h)).sum())); T = abs(d) / hc2; cnt = 0
for s in itertools.product([-1., 1.], repeat=J):
    G = g.mean() + e0 * np.array(s); ds = float(wv @ G); es = G - H @ G; cnt += abs(ds) / math.sqrt(float((wv ** 2 * es ** 2 / (1 - h)).sum())) >= T * (1 - 1e-12)
o["wild_null_imposed_HC2"] = {"count": cnt, "total": 2 ** J, "p": cnt / 2 ** J}
I, K = np.triu_indices(J, 1); ts = np.sort((g[K] - g[I]) / (x[K] - x[I])); o["theil_sen"] = {"median": float(np.median(ts)), "ci_exact_kendall_97": [float(ts[3]), float(ts[17])], "sorted": ts.tolist()}
out["ladder7"] = o
# multiplicity
ps = [0.0004, 0.0039, 0.0121, 0.0201, 0.0301, 0.0412, 0.2345, 0.5, 0.73, 0.9]
out["multiplicity"] = {"p": ps, **{m: multipletests(ps, .05, method=m)[1].tolist() for m in ("bonferroni", "sidak", "holm", "holm-sidak", "hommel", "simes-hochberg", "fdr_bh", "fdr_by")}}
# meta analysis
y = np.array([.0102, .0041, -.0013, .0155, .0070, .0021]); vi = np.array([.0012, .0020, .0015, .0030, .0011, .0025]) ** 2
m = {"y": y.tolist(), "v": vi.tolist()}
for meth, nm in (("dl", "DL"), ("iterated", "PM")):
    r = combine_effects(y, vi, method_re=meth, use_t=True); m[nm] = {"tau2": float(r.tau2), "mean_re": float(r.mean_effect_re), "se_re": float(r.sd_eff_w_re), "se_hksj": float(r.sd_eff_w_re_hksj), "Q": float(r.q), "mean_fe": float(r.mean_effect_fe), "se_fe": float(r.sd_eff_w_fe)}
def reml(t2):
    ww = 1 / (vi + t2); mu = (ww * y).sum() / ww.sum(); return .5 * (np.log(vi + t2).sum() + math.log(ww.sum()) + (ww * (y - mu) ** 2).sum())
r = optimize.minimize_scalar(reml, bounds=(0, 1e-3), method="bounded", options={"xatol": 1e-16}); t2 = r.x; ww = 1 / (vi + t2); mu = (ww * y).sum() / ww.sum()
m["REML"] = {"tau2": float(t2), "mean": float(mu), "se": float(ww.sum() ** -.5)}; Q = m["DL"]["Q"]; m["I2"] = max(0., (Q - 5) / Q); m["p_Q"] = float(stats.chi2.sf(Q, 5))
m["eb_shrunk"] = ((y * t2 + mu * vi) / (t2 + vi)).tolist()
out["meta"] = m
# three-parameter law: noiseless and noisy, log-residual least squares and Huber
xl = np.log(np.array(C) / 1e19); E = 1.8 + 1.2 * np.exp(-.15 * xl); pert = np.array([1.1, -.7, .3, -1.2, .9, -.4, .2]) * 1e-3
fit = lambda ly, loss, fs=1.0: optimize.least_squares(lambda p: ly - np.logaddexp(p[0], p[1] - p[2] * xl), [math.log(1.5), math.log(1.5), .1], loss=loss, f_scale=fs, xtol=1e-15, ftol=1e-15, gtol=1e-15)
r1, r2, r3 = fit(np.log(E), "linear"), fit(np.log(E) + pert, "linear"), fit(np.log(E) + pert, "huber", 5e-4)
cv = lambda r: {"E_inf": math.exp(r.x[0]), "A_at_1e19": math.exp(r.x[1]), "b": r.x[2], "cost": r.cost}
out["three_param"] = {"E": E.tolist(), "perturbation_log": pert.tolist(), "noiseless": cv(r1), "noisy_ls": cv(r2), "noisy_huber_5e-4": cv(r3)}
# quantiles statrs must reproduce
out["quantiles"] = {"t_0.975": {str(k): float(stats.t.ppf(.975, k)) for k in (1, 2, 2.9, 3, 4, 5, 7, 9.3, 30, 120)}, "t_sf(2.5)": {str(k): float(stats.t.sf(2.5, k)) for k in (2, 2.9, 5, 30)}, "norm_sf(1.96)": float(stats.norm.sf(1.96)), "chi2_sf(11.07;5)": float(stats.chi2.sf(11.07, 5)), "F_sf(7.7;1,4)": float(stats.f.sf(7.7, 1, 4)), "nct_sf(2.5705818366147395;5,nc=3.5)": float(stats.nct.sf(2.5705818366147395, 5, 3.5))}
json.dump(out, open("statsmodels.json", "w"), indent=1, default=float)
print(json.dumps({k: o[k] for k in ("params", "bse", "p", "ci95", "HC3", "curvature", "HC2_satterthwaite_df", "fieller", "tost", "pairs_bootstrap_exact", "permutation", "wild_null_imposed_HC2", "predict_1e+22")}, indent=0, default=float)[:3500]); print(m); print(out["three_param"]); print(out["quantiles"]); print(out["multiplicity"])
