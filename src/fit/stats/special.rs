//! Gamma and beta functions: logarithms, incomplete integrals, ψ and ψ'.
//!
//! The incomplete functions return both tails, each computed directly where it is small, so that a
//! p-value of 1e-30 is 1e-30 and not zero. They are our own rather than those of `statrs` (0.19),
//! whose inverse incomplete beta panics or hangs in far tails and whose incomplete gamma loops
//! forever at large shapes.
//!
//! # References
//! - M. Abramowitz, I. A. Stegun (1964), *Handbook of Mathematical Functions*, §6 and §26.
//! - W. J. Lentz (1976), *Applied Optics* 15:668, for continued fractions.
//! - C. Loader (2000), *Fast and accurate computation of binomial probabilities*, for prefactors.
//! - G. K. Smyth (2004), *Statistical Applications in Genetics and Molecular Biology* 3:3,
//!   appendix, for the inverse of ψ'.

/// ½·ln 2π.
pub(crate) const HALF_LN_TWO_PI: f64 = 0.918_938_533_204_672_8;

/// ln Γ(x) for x > 0.
pub(crate) fn ln_gamma(x: f64) -> f64 {
    libm::lgamma(x)
}

/// ln Γ(z) − [(z − ½) ln z − z + ½ ln 2π].
pub(crate) fn stirling_error(z: f64) -> f64 {
    // From 12 on the six terms are exact to rounding; below, ln Γ(z) is small enough to subtract.
    if z < 12.0 {
        return ln_gamma(z) - ((z - 0.5) * z.ln() - z + HALF_LN_TWO_PI);
    }
    let s = 1.0 / (z * z);
    (1.0 / 12.0
        - s * (1.0 / 360.0
            - s * (1.0 / 1260.0 - s * (1.0 / 1680.0 - s * (1.0 / 1188.0 - s * 691.0 / 360_360.0)))))
        / z
}

/// ln[x^a·y^b/B(a, b)], y = 1 − x, without the cancellation of large log-gamma values.
pub(crate) fn ln_beta_kernel(a: f64, b: f64, x: f64, y: f64) -> f64 {
    if x <= 0.0 || y <= 0.0 {
        return f64::NEG_INFINITY;
    }
    // Loader's form: near the mode the three large logarithms cancel, their differences do not.
    let excess = x * b - y * a;
    let deviance = |n: f64, p: f64, excess: f64| {
        let relative = excess / n;
        if relative.abs() < 0.5 {
            n * relative.ln_1p()
        } else {
            n * (p * ((a + b) / n)).ln()
        }
    };
    deviance(a, x, excess) + deviance(b, y, -excess) + 0.5 * (a * (b / (a + b))).ln()
        - HALF_LN_TWO_PI
        + stirling_error(a + b)
        - stirling_error(a)
        - stirling_error(b)
}

/// The regularised incomplete gamma functions (P(a, x), Q(a, x)), x > 0.
pub(crate) fn gamma_tails(a: f64, x: f64) -> (f64, f64) {
    let relative = (x - a) / a;
    let ln_ratio = if relative.abs() < 0.5 {
        relative.ln_1p()
    } else {
        (x / a).ln()
    };
    // x^a e^{-x}/Γ(a)
    let kernel =
        (a * (ln_ratio - relative) + 0.5 * a.ln() - HALF_LN_TWO_PI - stirling_error(a)).exp();
    // The series converges fast below the mode, the fraction above; each gives its smaller tail.
    if x < a + 1.0 {
        // Series, Abramowitz and Stegun 6.5.29. About 8√a terms are needed near x = a, and larger
        // a than 5e7 do not come here: 100,000 terms are never reached.
        let mut term = 1.0 / a;
        let mut sum = term;
        for k in 1..100_000 {
            term *= x / (a + f64::from(k));
            sum += term;
            if term <= 0.5 * f64::EPSILON * sum {
                break;
            }
        }
        let lower = (kernel * sum).min(1.0);
        (lower, 1.0 - lower)
    } else {
        // Continued fraction, Abramowitz and Stegun 6.5.31, by Lentz's method.
        let mut b = x + 1.0 - a;
        let mut c = 1e300;
        let mut d = 1.0 / b;
        let mut h = d;
        for k in 1..100_000 {
            let k = f64::from(k);
            let numerator = -k * (k - a);
            b += 2.0;
            d = 1.0 / lentz_guard(numerator * d + b);
            c = lentz_guard(b + numerator / c);
            let step = d * c;
            h *= step;
            if (step - 1.0).abs() <= 2.0 * f64::EPSILON {
                break;
            }
        }
        let upper = (kernel * h).min(1.0);
        (1.0 - upper, upper)
    }
}

/// (I_x(a, b), 1 − I_x(a, b)), given both x and y = 1 − x so that neither is rounded away.
pub(crate) fn beta_tails(a: f64, b: f64, x: f64, y: f64) -> (f64, f64) {
    if x <= 0.0 {
        return (0.0, 1.0);
    }
    if y <= 0.0 {
        return (1.0, 0.0);
    }
    let kernel = ln_beta_kernel(a, b, x, y).exp();
    // The fraction converges fast on this side only; the other side is its mirror image.
    if x < (a + 1.0) / (a + b + 2.0) {
        let lower = (kernel * beta_fraction(a, b, x) / a).clamp(0.0, 1.0);
        (lower, 1.0 - lower)
    } else {
        let upper = (kernel * beta_fraction(b, a, y) / b).clamp(0.0, 1.0);
        (1.0 - upper, upper)
    }
}

/// Keeps a continued fraction's denominators off zero.
fn lentz_guard(v: f64) -> f64 {
    if v.abs() < 1e-300 { 1e-300 } else { v }
}

/// The continued fraction of the incomplete beta function (Abramowitz and Stegun 26.5.8) by
/// Lentz's method.
fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    let mut c = 1.0;
    let mut d = 1.0 / lentz_guard(1.0 - (a + b) * x / (a + 1.0));
    let mut h = d;
    // About √max(a, b) terms are needed. The limit only keeps hostile arguments from hanging.
    for m in 1..20_000 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / lentz_guard(1.0 + even * d);
        c = lentz_guard(1.0 + even / c);
        h *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / lentz_guard(1.0 + odd * d);
        c = lentz_guard(1.0 + odd / c);
        let step = d * c;
        h *= step;
        if (step - 1.0).abs() <= 2.0 * f64::EPSILON {
            break;
        }
    }
    h
}

/// ψ(x), x > 0; that of `statrs` is exact to a few ulp.
pub(crate) fn digamma(x: f64) -> f64 {
    statrs::function::gamma::digamma(x)
}

/// ψ'(x), x > 0, by recurrence up to 15 and the asymptotic series (Abramowitz–Stegun 6.4.12).
pub(crate) fn trigamma(x: f64) -> f64 {
    let mut x = x;
    let mut sum = 0.0;
    // From 15 on six terms of the series are exact to rounding.
    while x < 15.0 {
        sum += 1.0 / (x * x);
        x += 1.0;
    }
    let s = 1.0 / (x * x);
    let series = 1.0 / 6.0
        - s * (1.0 / 30.0
            - s * (1.0 / 42.0 - s * (1.0 / 30.0 - s * (5.0 / 66.0 - s * 691.0 / 2730.0))));
    sum + 1.0 / x + 0.5 * s + series * s / x
}

/// The x > 0 with ψ'(x) = y, y > 0: Newton's method on 1/ψ', which is convex and nearly linear
/// (Smyth 2004, appendix). It starts below the root and rises monotonically.
pub(crate) fn inverse_trigamma(y: f64) -> f64 {
    // Here ψ'(x) = 1/x² to a few parts in 1e7, and below 1e-6 likewise ψ'(x) = 1/x (limma's
    // limits).
    if y > 1e7 {
        return 1.0 / y.sqrt();
    }
    if y < 1e-6 {
        return 1.0 / y;
    }
    let mut x = 0.5 + 1.0 / y;
    // Monotone Newton steps settle in about ten.
    for _ in 0..60 {
        let value = trigamma(x);
        // ψ'' by the same series, differentiated numerically well enough to keep Newton's rate;
        // the fixed point depends on ψ' alone.
        let step = 1e-5 * x;
        let slope = (trigamma(x + step) - trigamma(x - step)) / (2.0 * step);
        let change = value * (1.0 - value / y) / slope;
        x += change;
        if (change / x).abs() < 1e-15 {
            break;
        }
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trigamma_has_its_known_values() {
        let pi2 = std::f64::consts::PI.powi(2);
        assert!((trigamma(1.0) - pi2 / 6.0).abs() < 1e-14);
        assert!((trigamma(0.5) - pi2 / 2.0).abs() < 1e-14);
        for x in [1e-3, 0.3, 2.5, 40.0, 9e5] {
            assert!(
                (inverse_trigamma(trigamma(x)) / x - 1.0).abs() < 1e-10,
                "{x}"
            );
        }
    }
}
