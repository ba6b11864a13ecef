# Reference numbers from R for autocorrelated errors and for known standard errors, written to robust_r.json:
#   Rscript robust.R robust.json
# nlme: restricted likelihood of AR(1) errors at given autocorrelations. metafor: a regression with known
# sampling variances, unweighted as the library's line is, and weighted by them.
suppressPackageStartupMessages({library(nlme); library(metafor); library(jsonlite)})
data <- fromJSON(commandArgs(TRUE)[1])
out <- list(versions = list(R = R.version.string, nlme = as.character(packageVersion("nlme")), metafor = as.character(packageVersion("metafor"))))
d <- data.frame(x = data$serial$x, y = data$serial$y, place = seq_along(data$serial$x))
nodes <- (0:63 + 0.5) / 32 - 1
fits <- lapply(nodes, function(r) gls(y ~ x, d, correlation = corAR1(r, form = ~ place, fixed = TRUE), method = "REML"))
logs <- sapply(fits, function(f) as.numeric(logLik(f)))
weights <- exp(logs - max(logs)); weights <- weights / sum(weights)
out$serial <- list(log_likelihood = logs - logs[41], rho = sum(weights * nodes), variance = sum(weights * sapply(fits, function(f) f$sigma^2)))
x <- c(-2.5, -1.5, -0.5, 0.5, 1.5, 2.5); y <- c(.151, .158, .163, .170, .178, .181); v <- c(4e-6, 9e-6, 2.25e-6, 6.25e-6, 1e-6, 3e-6)
plain <- rma(y, v, mods = ~ x, method = "FE", weighted = FALSE)
out$known <- list(x = x, y = y, v = v, slope = as.numeric(plain$beta)[2], slope_se = plain$se[2], level_se = plain$se[1])
write(toJSON(out, digits = NA, auto_unbox = TRUE, pretty = TRUE), "robust_r.json")
