"""Writes tests/data/inspect_archives: logs of inspect_ai as archives and as the same program converts them.

    pip install inspect_ai==0.3.285
    python cli/tests/inspect_logs/make_archives.py cli/tests/data/inspect_archives

The tasks are those of `make.py`. `zstd` holds the archives as inspect_ai wrote them (members compressed with
Zstandard), `deflate` the same members deflated, as older versions wrote them, and `json` what
`inspect log convert --to json` makes of them, without transcripts.
"""

import json
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

import make
from inspect_ai.log import read_eval_log, write_eval_log


def main():
    out = Path(sys.argv[1]).resolve()
    shutil.rmtree(out, ignore_errors=True)
    for name in ["zstd", "deflate", "json"]:
        (out / name).mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for name, right in [("small", 0.4), ("large", 0.8)]:
            make.run(folder, name, "sums", right, 1, "eval")
            make.run(folder, name, "letters", right, 3, "eval")
        for path in sorted(folder.glob("*.eval")):
            shutil.copy(path, out / "zstd" / path.name)
            with zipfile.ZipFile(path) as old, zipfile.ZipFile(
                out / "deflate" / path.name, "w", zipfile.ZIP_DEFLATED
            ) as new:
                for member in old.infolist():
                    new.writestr(member.filename, old.read(member))
            converted = folder / (path.stem + ".json")
            write_eval_log(read_eval_log(str(path)), str(converted), format="json")
            log = json.loads(converted.read_text())
            for name in ["stats", "plan"]:
                log.pop(name)
            for sample in log["samples"]:
                for name in ["messages", "events", "output", "events_data", "attachments", "store"]:
                    sample.pop(name, None)
            (out / "json" / converted.name).write_text(json.dumps(log) + "\n")


if __name__ == "__main__":
    main()
