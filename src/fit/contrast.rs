//! Contrasts across distributions and corpora.
