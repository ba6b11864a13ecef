"""Rows of the table of table.py, as Markdown and as JSON."""

import dataclasses
import json
import statistics
from dataclasses import dataclass, field


@dataclass
class Row:
    case: str
    threads: int
    program: str
    precision: str
    engine: str
    is_ours: bool
    seconds: list = field(default_factory=list)
    # Why there are no figures.
    reason: str | None = None
    # Errors against f64 in nats per token.
    rms: float | None = None
    worst: float | None = None
    peak: int | None = None
    load_seconds: float | None = None
    # Seconds of the first pass, in which some programs compile.
    warm_up: float | None = None
    # Time over that of relscale in the same group and at the same number of threads.
    to_f32: float | None = None
    to_bf16: float | None = None

    @property
    def median(self):
        return statistics.median(self.seconds) if self.seconds else None

    def note(self, answer, reference, allowed):
        """Takes the numbers of an answer, or the reason why there are none."""
        if "error" in answer:
            self.reason = answer["error"]
            return
        values = answer["log_probs"]
        if len(values) != len(reference):
            self.reason = f"{len(values)} log-probabilities for {len(reference)} tokens"
            self.rms = float("inf")
            return
        errors = [abs(a - b) for a, b in zip(values, reference)]
        self.rms, self.worst = (sum(e * e for e in errors) / len(errors)) ** 0.5, max(errors)
        if not self.rms <= allowed:
            self.reason = f"wrong numbers: rms error {self.rms:.2g} nats per token"

    def time(self, answer, reference, allowed):
        self.note(answer, reference, allowed)
        if self.reason is None:
            self.seconds.append(answer["seconds"])


def ratios(rows):
    """Fills in the ratios of rows that were measured in alternation."""
    ours = {row.precision: row.median for row in rows if row.is_ours}
    for row in rows:
        if row.median:
            row.to_f32, row.to_bf16 = (ours.get(p) and row.median / ours[p] for p in ("f32", "bf16"))


def merged(rows):
    """Rows of relscale that were measured in several groups become one, with the times of all."""
    out = {}
    for row in rows:
        key = (row.case, row.threads, row.program)
        if key in out:
            known = out[key]
            known.seconds = known.seconds + row.seconds
            known.peak = max(known.peak or 0, row.peak or 0)
            known.reason = known.reason or row.reason
        else:
            out[key] = dataclasses.replace(row)
    return list(out.values())


HEAD = """| processor | case | threads | program | version | precision | time, s | spread | ÷ relscale f32 | ÷ relscale bf16 \
| peak memory, GB | error, rms | error, worst |
|---|---|---:|---|---|---|---:|---:|---:|---:|---:|---:|---:|"""


def line(processor, title, row):
    front = f"| {processor} | {title} | {row.threads} | {row.program} | {row.engine} | {row.precision} |"
    if row.reason or row.median is None:
        return f"{front} cannot run: {row.reason or 'not timed'} | | | | | | |"
    ratio = lambda x: "" if x is None else f"{x:.2f}" if x >= 1 or row.is_ours else f"**{x:.2f}**"
    spread = (max(row.seconds) - min(row.seconds)) / row.median
    memory = "" if row.peak is None else f"{row.peak / 1e9:.2f}"
    return (
        f"{front} {row.median:.4g} | {100 * spread:.0f} % | {ratio(row.to_f32)} | {ratio(row.to_bf16)} | {memory} | "
        f"{row.rms:.1e} | {row.worst:.1e} |"
    )


def markdown(about, chosen, rows):
    out = [
        f"{about['date']}, {about['processor']}, {about['cores']} cores ({', '.join(about['instructions'])}). Medians of "
        "passes in alternation; spread is (longest − shortest) / median. A ratio is the program's time over relscale's: "
        "below 1, in bold, relscale is slower. Errors are against f64, in nats per token. Memory is the peak of the process.",
    ]
    if about["onednn_max_isa"]:
        out.append(f"torch and OpenVINO are held to {about['onednn_max_isa']}.")
    if about["llama_build"]:
        out.append(f"llama.cpp: {about['llama_build']}.")
    lines = []
    for case in chosen:
        of = [row for row in merged(rows) if row.case == case.name]
        of.sort(key=lambda row: -row.threads)
        lines += [line(about["processor"], case.title, row) for row in of]
    out.append("\n".join([HEAD, *lines]))
    return "\n\n".join(out) + "\n"


def write(path, about, chosen, rows):
    """Writes PATH.md and PATH.json."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(path.name + ".md").write_text(markdown(about, chosen, rows))
    extra = lambda row: {"median": row.median, "processor": about["processor"]}
    lines = [dataclasses.asdict(row) | extra(row) for row in rows]
    path.with_name(path.name + ".json").write_text(json.dumps({"about": about, "rows": lines}, indent=1) + "\n")
