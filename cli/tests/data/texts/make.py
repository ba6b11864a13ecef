"""Writes the texts of this folder: three documents in every form, with pandas 3.1 and zstandard 0.25.

    python make.py .
"""

import gzip
import sys
from pathlib import Path

import pandas as pd

out = Path(sys.argv[1])
documents = pd.DataFrame({
    "id": ["a", "b", "c"],
    "text": [" Grüße,\n\"Welt\" \n", "Two words", "日本語 and\ttabs"],
})
lines = dict(orient="records", lines=True, force_ascii=False)
documents.to_json(out / "lines.jsonl", **lines)
documents.to_json(out / "gzip.jsonl.gz", **lines, compression={"method": "gzip", "mtime": 0})
documents.to_json(out / "zstd.jsonl.zst", **lines)
documents.to_parquet(out / "columns.parquet")
(out / "plain").mkdir(exist_ok=True)
for row in documents.itertuples():
    (out / "plain" / f"{row.id}.txt").write_text(row.text)
(out / "lone.TXT").write_text(documents.text[0])
(out / "packed.txt.gz").write_bytes(gzip.compress(documents.text[0].encode(), mtime=0))
(out / "README.txt").write_text("Notes beside the texts are left out.\n")
