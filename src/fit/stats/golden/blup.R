# Best linear unbiased predictions of random effects from metafor, written to blup.json
# (R 4.2, Debian packages r-cran-metafor and r-cran-jsonlite): Rscript blup.R
suppressPackageStartupMessages({library(metafor); library(jsonlite)})
y <- c(.0102, .0041, -.0013, .0155, .0070, .0021); v <- c(1.44e-6, 4e-6, 2.25e-6, 9e-6, 1.21e-6, 6.25e-6)
# In thousandths: metafor's root searches have absolute tolerances.
r <- rma(1000 * y, 1e6 * v, method = "REML", test = "z", control = list(threshold = 1e-12, maxiter = 1000))
b <- blup(r)
out <- list(versions = list(R = R.version.string, metafor = as.character(packageVersion("metafor"))),
            y = y, v = v, tau2 = r$tau2 / 1e6, tau2_variance = r$se.tau2^2 / 1e12, mean = as.numeric(r$beta) / 1000, mean_se = r$se / 1000,
            value = as.numeric(b$pred) / 1000, se = as.numeric(b$se) / 1000)
write(toJSON(out, digits = NA, auto_unbox = TRUE, pretty = TRUE), "blup.json")
