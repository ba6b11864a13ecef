#!/usr/bin/env python3
"""Reads a table with polars as `benches/tables.rs` asks for: prints wall seconds, processor seconds and
the largest resident memory in GB.

    python benches/peers/tables_polars.py losses.csv

Requires polars.
"""
import resource
import sys
import time

import polars

start = time.perf_counter(), time.process_time()
table = polars.read_csv(sys.argv[1])
wall, processor = time.perf_counter() - start[0], time.process_time() - start[1]
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
print(wall, processor, peak)
