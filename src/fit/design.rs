//! Read-off: from runs to one reading per scale.
