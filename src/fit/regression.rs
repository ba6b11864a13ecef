//! Least squares on small designs, with robust variances and influence.
