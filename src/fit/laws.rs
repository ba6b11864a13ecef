//! Parametric laws: floors and the Chinchilla surface.
