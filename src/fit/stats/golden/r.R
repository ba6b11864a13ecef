# Reference numbers from R, written to r.json (R 4.2, Debian r-cran-* packages).
suppressPackageStartupMessages({library(sandwich); library(clubSandwich); library(metafor); library(limma); library(jsonlite)})
out <- list(versions = list(R = R.version.string, sandwich = as.character(packageVersion("sandwich")), clubSandwich = as.character(packageVersion("clubSandwich")),
                            metafor = as.character(packageVersion("metafor")), limma = as.character(packageVersion("limma"))))
C <- c(1e18, 3e18, 6e18, 1e19, 3e19, 6e19, 1e20); g <- c(.1520, .1615, .1660, .1748, .1835, .1931, .1926); x <- log(C) - mean(log(C))
m <- lm(g ~ x)
out$ladder7 <- list(coef = unname(coef(m)), se = unname(sqrt(diag(vcov(m)))))
for (k in c("HC0", "HC1", "HC2", "HC3", "HC4", "HC4m", "HC5")) out$ladder7[[k]] <- unname(sqrt(diag(vcovHC(m, type = k))))
# CR2 with one observation a cluster = HC2 with Bell-McCaffrey df
ct <- coef_test(m, vcov = vcovCR(m, cluster = 1:7, type = "CR2"), test = "Satterthwaite")
out$ladder7$CR2_singletons <- list(se = ct$SE, df = ct$df, p = ct$p_Satt)
# unbalanced clusters: 5 budgets with 2, 3, 1, 4, 2 runs
cl <- rep(1:5, c(2, 3, 1, 4, 2)); xx <- c(-2.1, -2.1, -1.0, -1.1, -0.9, 0.05, 1.0, 1.2, 0.9, 1.1, 2.0, 2.1)
yy <- c(.151, .149, .158, .163, .160, .170, .176, .183, .179, .181, .190, .186); d <- lm(yy ~ xx)
for (k in c("CR0", "CR1", "CR1S", "CR2", "CR3")) { t <- coef_test(d, vcov = vcovCR(d, cluster = cl, type = k), test = "Satterthwaite"); out$clustered[[k]] <- list(se = t$SE, df = t$df, p = t$p_Satt) }
out$clustered$data <- list(cluster = cl, x = xx, y = yy); out$clustered$coef <- unname(coef(d))
# meta-analysis and meta-regression, Knapp-Hartung
y <- c(.0102, .0041, -.0013, .0155, .0070, .0021); v <- c(1.44e-6, 4e-6, 2.25e-6, 9e-6, 1.21e-6, 6.25e-6); z <- c(8.4, 8.2, 6.9, 8.0, 7.7, 7.3)
# metafor's root search for PM has an absolute tolerance: at this scale it stops far off, so fit in thousandths and scale back
Y <- 1000 * y; V <- 1e6 * v; ctl <- list(threshold = 1e-12, maxiter = 1000, tol = 1e-14)
for (k in c("DL", "PM", "REML", "ML", "EB", "SJ", "HE")) { r <- rma(Y, V, method = k, test = "knha", control = ctl); p <- predict(r)
  out$meta[[k]] <- list(tau2 = r$tau2 / 1e6, b = as.numeric(r$beta) / 1000, se = r$se / 1000, ci = c(r$ci.lb, r$ci.ub) / 1000, p = r$pval, I2 = r$I2, Q = r$QE, pi = c(p$pi.lb, p$pi.ub) / 1000)
  q <- rma(Y, V, mods = ~ z, method = k, test = "knha", control = ctl)
  out$metareg[[k]] <- list(tau2 = q$tau2 / 1e6, b = as.numeric(q$beta) / 1000, se = q$se / 1000, p = q$pval, QE = q$QE, R2 = q$R2) }
out$meta$data <- list(y = y, v = v, z = z)
# variance moderation
s2 <- c(2.1e-6, 3.4e-6, .8e-6, 5.9e-6, 1.7e-6, 2.6e-6, 9.3e-6, 1.1e-6, 2.2e-6, 4.4e-6); sv <- squeezeVar(s2, df = 5)
out$squeeze <- list(s2 = s2, df = 5, df.prior = sv$df.prior, var.prior = sv$var.prior, var.post = sv$var.post)
write(toJSON(out, digits = NA, auto_unbox = TRUE, pretty = TRUE), "r.json")
