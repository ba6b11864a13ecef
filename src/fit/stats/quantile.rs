//! Tail probabilities and quantiles of the normal, t, F, χ² and noncentral t distributions.
//!
//! Degrees of freedom are real numbers throughout, because Satterthwaite's are. Every function
//! returns NaN for arguments outside its domain and never panics. Both tails are computed
//! directly: a p-value is a survival function, never one minus a distribution function, so that
//! 1e-30 is 1e-30 and not zero.
//!
//! `statrs` (0.19) is not used for them: its t quantile is off by 97 % at (ν = 1, p = 1e-10) and its
//! normal survival function carries an error of 9e-11. Its inverse error function is sound and is
//! used here.
//!
//! # References
//! - M. Abramowitz, I. A. Stegun (1964), *Handbook of Mathematical Functions*, §26.
//! - G. W. Hill (1970), *Communications of the ACM* 13:617, algorithm 395.
//! - E. B. Wilson, M. M. Hilferty (1931), *PNAS* 17:684, for χ².

use std::f64::consts::{FRAC_1_SQRT_2, LN_2, PI, SQRT_2};

use super::special::{
    HALF_LN_TWO_PI, beta_tails, gamma_tails, ln_beta_kernel, ln_gamma, stirling_error,
};

/// Above this many degrees of freedom Hill's expansion of t is exact to rounding, while the
/// continued fraction loses digits in 1 − ν/(ν + t²).
const HILL_DF: f64 = 1e3;

/// P(Z ≤ x) for a standard normal Z.
pub(crate) fn normal_cdf(x: f64) -> f64 {
    0.5 * libm::erfc(-x * FRAC_1_SQRT_2)
}

/// P(Z > x) for a standard normal Z.
pub(crate) fn normal_sf(x: f64) -> f64 {
    0.5 * libm::erfc(x * FRAC_1_SQRT_2)
}

/// The z with P(Z ≤ z) = `p`; ∓∞ at 0 and 1.
pub(crate) fn normal_quantile(p: f64) -> f64 {
    if !(0.0..=1.0).contains(&p) {
        return f64::NAN;
    }
    -SQRT_2 * statrs::function::erf::erfc_inv(2.0 * p)
}

/// P(T > `t`) for Student's t with `df` > 0 degrees of freedom (real; +∞ is the normal).
pub(crate) fn t_sf(t: f64, df: f64) -> f64 {
    if t.is_nan() || df.is_nan() || df <= 0.0 {
        f64::NAN
    } else if t < 0.0 {
        1.0 - t_upper(-t, df)
    } else {
        t_upper(t, df)
    }
}

/// P(T ≤ `t`) for Student's t with `df` > 0 degrees of freedom.
pub(crate) fn t_cdf(t: f64, df: f64) -> f64 {
    t_sf(-t, df)
}

/// P(|T| > |`t`|): the two-sided p-value of a t statistic.
pub(crate) fn t_two_sided(t: f64, df: f64) -> f64 {
    (2.0 * t_sf(t.abs(), df)).min(1.0)
}

/// The t with P(T ≤ t) = `p` for Student's t with `df` > 0 degrees of freedom.
pub(crate) fn t_quantile(p: f64, df: f64) -> f64 {
    if !(0.0..=1.0).contains(&p) || df.is_nan() || df <= 0.0 {
        f64::NAN
    } else if p < 0.5 {
        -t_upper_quantile(p, df)
    } else {
        // 1 − p is exact for p ≥ ½ (Sterbenz).
        t_upper_quantile(1.0 - p, df)
    }
}

/// The two-sided critical value: t with P(|T| > t) = 1 − `level`.
pub(crate) fn t_critical(level: f64, df: f64) -> f64 {
    if !(0.0..=1.0).contains(&level) || df.is_nan() || df <= 0.0 {
        return f64::NAN;
    }
    t_upper_quantile(0.5 * (1.0 - level), df)
}

/// The x with P(X ≤ x) = `p` for χ² with `df` > 0 degrees of freedom.
pub(crate) fn chi2_quantile(p: f64, df: f64) -> f64 {
    if !(0.0..=1.0).contains(&p) || !is_positive(df) {
        return f64::NAN;
    }
    let half = 0.5 * df;
    // Wilson and Hilferty (1931), except where they go negative.
    let c = 2.0 / (9.0 * df);
    // Below about 0.1 the cube root's approximation is poor, then negative; the leading term of the
    // lower tail is the better start. The exact value does not matter: Newton's method corrects
    // either.
    let cube = 1.0 - c + normal_quantile(p) * c.sqrt();
    let start = if cube > 0.1 {
        df * cube * cube * cube
    } else {
        2.0 * ((p.ln() + ln_gamma(half + 1.0)) / half).exp()
    };
    solve_quantile(p, 1.0 - p, start, |x| {
        let (lower, upper) = chi2_tails(x, df);
        let ln_pdf = (0.5 * df - 1.0) * x.ln() - 0.5 * x - 0.5 * df * LN_2 - ln_gamma(0.5 * df);
        (lower, upper, ln_pdf)
    })
}

/// P(F > `f`) for F with `df1` and `df2` > 0 degrees of freedom.
pub(crate) fn f_sf(f: f64, df1: f64, df2: f64) -> f64 {
    f_tails(f, df1, df2).1
}

/// The f with P(F ≤ f) = `p` for F with `df1` and `df2` > 0 degrees of freedom.
pub(crate) fn f_quantile(p: f64, df1: f64, df2: f64) -> f64 {
    if !(0.0..=1.0).contains(&p) || !is_positive(df1) || df2.is_nan() || df2 <= 0.0 {
        return f64::NAN;
    }
    if df2 == f64::INFINITY {
        return chi2_quantile(p, df1) / df1;
    }
    solve_quantile(p, 1.0 - p, 1.0, |f| {
        let (lower, upper) = f_tails(f, df1, df2);
        let (x, y) = f_to_beta(f, df1, df2);
        let ln_pdf = ln_beta_kernel(0.5 * df2, 0.5 * df1, x, y) - f.ln();
        (lower, upper, ln_pdf)
    })
}

/// P(T' > `t`) for noncentral t with `df` > 0 degrees of freedom and noncentrality `delta`.
///
/// T' = (Z + δ)/√(χ²_ν/ν). Integrated over u = ln √(χ²_ν/ν) by the trapezoidal rule, which
/// converges geometrically there because the integrand is analytic and vanishes at both ends
/// faster than exponentially. All terms are positive, so far tails keep their relative accuracy.
pub(crate) fn nct_sf(t: f64, df: f64, delta: f64) -> f64 {
    if t.is_nan() || !delta.is_finite() || df.is_nan() || df <= 0.0 {
        return f64::NAN;
    }
    chi_mean(df, |s| normal_sf(t * s - delta))
}

/// P(T' ≤ `t`) for noncentral t with `df` > 0 degrees of freedom and noncentrality `delta`.
pub(crate) fn nct_cdf(t: f64, df: f64, delta: f64) -> f64 {
    nct_sf(-t, df, -delta)
}

/// The mean of `g(s)` over s = √(χ²_ν/ν), the studentising factor of a variance estimate.
///
/// `g` must be bounded and, for the accuracy stated at [`nct_sf`], smooth.
pub(crate) fn chi_mean(df: f64, g: impl Fn(f64) -> f64) -> f64 {
    // From here on the mean differs from g(1) by g''(1)/(4ν), less than 1e-12.
    if df > 1e12 {
        return g(1.0);
    }
    // Density of u = ln s: 2·(ν/2)^{ν/2}/Γ(ν/2) · exp(ν·u − ν·e^{2u}/2), written about its mode
    // u = 0 so that large ν does not cancel: the exponent is −½ν·(e^{2u} − 1 − 2u).
    let half = 0.5 * df;
    let ln_front = LN_2 + 0.5 * half.ln() - HALF_LN_TWO_PI - stirling_error(half);
    let term = |u: f64| {
        // `expm1`: near the mode e^{2u} − 1 − 2u is of order u², and would lose every digit.
        let expm = libm::expm1(2.0 * u);
        let weight = (ln_front - half * (expm - 2.0 * u)).exp();
        // Far out the weight underflows first; skipping `g` there avoids 0·NaN.
        if weight == 0.0 {
            0.0
        } else {
            weight * g(u.exp())
        }
    };
    // Where the density has fallen by e^-45: quadratic near the mode, linear far on the left,
    // exponential on the right.
    // e^-45 is 3e-20: what lies outside cannot change the last digit of the integral.
    let spread = (45.0 / df).sqrt();
    let left = -(1.2 * spread).max(spread + 45.0 / df);
    let right = (1.1 * spread).min(0.5 * (1.0 + 90.0 / df + 2.0 * spread).ln() + 0.3);
    let mut n = 32_u32;
    let mut width = (right - left) / f64::from(n);
    let mut sum: f64 = (0..=n).map(|k| term(left + width * f64::from(k))).sum();
    let mut value = sum * width;
    // The rule converges geometrically, so a few doublings do. The limit is for a `g` with jumps.
    while n < 1 << 16 {
        let middle: f64 = (0..n)
            .map(|k| term(left + width * (f64::from(k) + 0.5)))
            .sum();
        sum += middle;
        n *= 2;
        width *= 0.5;
        let next = sum * width;
        let change = (next - value).abs();
        value = next;
        if change <= 1e-15 * value.abs() {
            break;
        }
    }
    value
}

/// True for a positive, finite number.
fn is_positive(parameter: f64) -> bool {
    parameter > 0.0 && parameter.is_finite()
}

/// P(T > t) for t ≥ 0.
fn t_upper(t: f64, df: f64) -> f64 {
    if t == f64::INFINITY {
        return 0.0;
    }
    if df == f64::INFINITY {
        return normal_sf(t);
    }
    if df > HILL_DF {
        return normal_sf(hill_normal_deviate(t, df));
    }
    let ratio = t / df.sqrt();
    if ratio > 1e9 {
        // 1/(1 + r²) underflows long before the probability does; the first term of the series
        // is then exact to rounding.
        let half = 0.5 * df;
        let ln_beta = ln_gamma(half) + 0.5 * PI.ln() - ln_gamma(half + 0.5);
        return (-df * ratio.ln() - ln_beta - half.ln() - LN_2).exp();
    }
    let square = ratio * ratio;
    // Both arguments are formed directly: 1 − x would be zero for large t.
    let (x, y) = (1.0 / (1.0 + square), square / (1.0 + square));
    0.5 * beta_tails(0.5 * df, 0.5, x, y).0
}

/// The t ≥ 0 with P(T > t) = p, for p ≤ ½.
fn t_upper_quantile(p: f64, df: f64) -> f64 {
    if p == 0.0 {
        return f64::INFINITY;
    }
    if p >= 0.5 {
        return 0.0;
    }
    let z = -normal_quantile(p);
    if df == f64::INFINITY {
        return z;
    }
    let half = 0.5 * df;
    // The tail's power law and the normal bracket the truth from either side; the larger is the
    // better start, as the tail dominates for small ν and the normal for large.
    let ln_beta = ln_gamma(half) + 0.5 * PI.ln() - ln_gamma(half + 0.5);
    let tail = df.sqrt() * (-((2.0 * p).ln() + half.ln() + ln_beta) / df).exp();
    let start = if tail.is_finite() { tail.max(z) } else { z };
    let ln_front = -ln_beta - 0.5 * df.ln();
    solve_quantile(0.5 - p, p, start, |t| {
        let upper = t_upper(t, df);
        let square = t / df * t;
        // ln(1 + t²/ν) without overflow of the square.
        let ln_one_plus = if square.is_finite() {
            square.ln_1p()
        } else {
            2.0 * (t.ln() - 0.5 * df.ln())
        };
        let ln_pdf = if df > HILL_DF {
            -0.5 * hill_normal_deviate(t, df).powi(2) - HALF_LN_TWO_PI
        } else {
            ln_front - (half + 0.5) * ln_one_plus
        };
        (0.5 - upper, upper, ln_pdf)
    })
}

/// Hill's normal deviate of the same tail probability as t.
fn hill_normal_deviate(t: f64, df: f64) -> f64 {
    let a = df - 0.5;
    let b = 48.0 * a * a;
    let y = a * (t * t / df).ln_1p();
    let inner = (((-0.4 * y - 3.3) * y - 24.0) * y - 85.5) / (0.8 * y * y + 100.0 + b);
    ((inner + y + 3.0) / b + 1.0) * y.sqrt()
}

/// (P(X ≤ x), P(X > x)) of χ².
fn chi2_tails(x: f64, df: f64) -> (f64, f64) {
    if x.is_nan() || !is_positive(df) {
        return (f64::NAN, f64::NAN);
    }
    if x <= 0.0 {
        return (0.0, 1.0);
    }
    if x == f64::INFINITY {
        return (1.0, 0.0);
    }
    // The series would need more terms than its limit, see `gamma_tails`.
    if df > 1e8 {
        // Wilson and Hilferty (1931): the error is below 1e-9 here.
        let c = 2.0 / (9.0 * df);
        let z = ((x / df).cbrt() - (1.0 - c)) / c.sqrt();
        return (normal_cdf(z), normal_sf(z));
    }
    gamma_tails(0.5 * df, 0.5 * x)
}

/// The beta variates (ν₂/(ν₂+ν₁f), ν₁f/(ν₂+ν₁f)) of an F statistic.
fn f_to_beta(f: f64, df1: f64, df2: f64) -> (f64, f64) {
    let ratio = df1 / df2 * f;
    // Divides by the larger term, so that an infinite ratio gives 0 and 1, not NaN.
    if ratio > 1.0 {
        let inverse = 1.0 / ratio;
        (inverse / (1.0 + inverse), 1.0 / (1.0 + inverse))
    } else {
        (1.0 / (1.0 + ratio), ratio / (1.0 + ratio))
    }
}

/// (P(F ≤ f), P(F > f)).
fn f_tails(f: f64, df1: f64, df2: f64) -> (f64, f64) {
    if f.is_nan() || !is_positive(df1) || df2.is_nan() || df2 <= 0.0 {
        return (f64::NAN, f64::NAN);
    }
    if f <= 0.0 {
        return (0.0, 1.0);
    }
    if f == f64::INFINITY {
        return (1.0, 0.0);
    }
    if df2 == f64::INFINITY {
        return chi2_tails(f * df1, df1);
    }
    let (x, y) = f_to_beta(f, df1, df2);
    let (lower, upper) = beta_tails(0.5 * df2, 0.5 * df1, x, y);
    (upper, lower)
}

/// Solves P(X ≤ q) = `lower`, P(X > q) = `upper` for a positive variable, given its tails and log
/// density, by bracketed Newton steps on the logarithm of the smaller tail in ln q (where power
/// tails are straight lines).
fn solve_quantile(
    lower: f64,
    upper: f64,
    start: f64,
    tails: impl Fn(f64) -> (f64, f64, f64),
) -> f64 {
    if lower <= 0.0 {
        return 0.0;
    }
    if upper <= 0.0 {
        return f64::INFINITY;
    }
    // The logarithm of the smaller tail: the larger one is flat and has no digits to solve for.
    let by_upper = upper <= lower;
    let target = if by_upper { upper.ln() } else { lower.ln() };
    let (mut low, mut high) = (f64::MIN_POSITIVE.ln(), f64::MAX.ln());
    let mut u = if start > 0.0 && start.is_finite() {
        start.ln()
    } else {
        0.0
    };
    // Newton's method takes a few steps. 200 also covers bisecting the whole range of exponents.
    for _ in 0..200 {
        let (below, above, ln_density) = tails(u.exp());
        let (value, tail) = if by_upper {
            (above.ln() - target, above.ln())
        } else {
            (target - below.ln(), below.ln())
        };
        // `value` decreases in u and is zero at the quantile.
        if value.is_nan() {
            return f64::NAN;
        }
        if value == 0.0 {
            break;
        }
        if value > 0.0 {
            low = low.max(u);
        } else {
            high = high.min(u);
        }
        // Outside the bracket Newton's step has overshot; bisection cannot.
        let newton = u + value * (tail - ln_density - u).exp();
        let next = if newton >= low && newton <= high {
            newton
        } else {
            0.5 * (low + high)
        };
        let step = (next - u).abs();
        u = next;
        // The tail itself is known to a few ulp, so no step below this is meaningful.
        if step <= 4e-16 * u.abs().max(1.0) {
            break;
        }
    }
    // A quantile beyond the range of f64 has been bisected to its end.
    if u > 709.0 { f64::INFINITY } else { u.exp() }
}

#[cfg(test)]
mod tests;
