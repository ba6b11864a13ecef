"""The log-softmax of log_softmax.c, for engines that hand out logits: neither memory nor time of torch."""

import ctypes
import sys
from pathlib import Path

import numpy

# Where ../setup.sh puts it.
FUNCTION = ctypes.CDLL(str(Path(sys.prefix) / "lib" / "log_softmax.so")).log_softmax


def log_softmax(logits, targets, threads, rows=None):
    """Log-probability of `targets[i]` in row `rows[i]` of `logits`, or in row i.

    `logits` are [rows, vocabulary], contiguous and f32."""
    assert logits.dtype == numpy.float32 and logits.flags.c_contiguous
    whole = lambda values: numpy.ascontiguousarray(values, dtype=numpy.int64)
    targets = whole(targets)
    rows = whole(numpy.arange(len(targets)) if rows is None else rows)
    assert len(rows) == len(targets) and rows.max() < len(logits)
    out = numpy.empty(len(targets), numpy.float32)
    at = lambda array: array.ctypes.data_as(ctypes.c_void_p)
    long = ctypes.c_long
    FUNCTION(at(logits), long(logits.shape[1]), long(len(targets)), at(rows), at(targets), ctypes.c_int(threads), at(out))
    return out
