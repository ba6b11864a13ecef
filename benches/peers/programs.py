"""The programs that table.py compares, and a loaded one as a process."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ENGINES = Path(__file__).resolve().parent / "engines"


@dataclass(frozen=True)
class Program:
    name: str
    # The process that runs it: engine and precision.
    worker: tuple
    mode: str
    # Largest rms error against f64 that its precision explains, in nats per token. On the models of this
    # comparison f32 gives some 1e-5, bf16 some 3e-2 and Q8_0 some 8e-2.
    allowed_rms: float

    @property
    def precision(self):
        return self.worker[1]

    @property
    def is_ours(self):
        return self.worker[0] == "relscale"

    def conversions(self, folder, kind):
        """Pairs of a file that the program needs and the command that makes it."""
        engine, precision = self.worker
        if engine == "openvino":
            return [(folder / f"openvino-{kind}.xml", [ENGINES / "openvino_engine.py", folder, kind, "convert"])]
        if engine == "llama":
            return [(folder / f"model-{precision}.gguf", [ENGINES / "llama_engine.py", folder, precision, "convert"])]
        return []


F32, BF16, Q8 = 1e-3, 1e-1, 3e-1
PROGRAMS = [
    Program("relscale f32", ("relscale", "f32"), "", F32),
    Program("relscale bf16", ("relscale", "bf16"), "", BF16),
    Program("torch f32", ("torch", "f32"), "eager", F32),
    Program("torch.compile f32", ("torch", "f32"), "compiled", F32),
    Program("OpenVINO f32", ("openvino", "f32"), "", F32),
    Program("torch bf16", ("torch", "bf16"), "eager", BF16),
    Program("torch.compile bf16", ("torch", "bf16"), "compiled", BF16),
    Program("OpenVINO bf16", ("openvino", "bf16"), "", BF16),
    Program("llama.cpp BF16", ("llama", "bf16"), "", BF16),
    Program("llama.cpp Q8_0", ("llama", "q8_0"), "", Q8),
]


def command(worker, root):
    engine, _ = worker
    if engine == "relscale":
        return [root / "target/peers/relscale/release/relscale-peer"]
    return [sys.executable, ENGINES / f"{engine}_engine.py"]


class Worker:
    """A process that has loaded a model. See engines/protocol.py."""

    def __init__(self, worker, folder, kind, root, logs):
        self.engine, self.load_seconds, self.failed = worker[0], None, None
        self.log = open(logs / f"{folder.name}-{kind}-{'-'.join(worker)}.log", "w")
        words = [str(w) for w in (*command(worker, root), folder, kind, worker[1])]
        try:
            self.process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True
            )
        except OSError as error:
            self.process, self.failed = None, f"{words[0]}: {error.strerror}"

    def wait(self):
        answer = self.read()
        if "error" in answer:
            self.failed = answer["error"]
        else:
            self.engine, self.load_seconds = answer["engine"], answer["load_seconds"]

    def read(self):
        if self.failed:
            return {"error": self.failed}
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        code = self.process.wait()
        self.failed = f"the process ended with {code}" + (" (killed: memory?)" if code == -9 else "")
        return {"error": self.failed}

    def ask(self, mode, threads):
        """One pass over the items."""
        if self.failed:
            return {"error": self.failed}
        try:
            self.process.stdin.write(json.dumps({"mode": mode, "threads": threads}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        answer = self.read()
        # Threads of a pool that spin for more work stop meanwhile.
        time.sleep(0.05)
        return answer

    def peak(self):
        """Largest resident memory of the process so far in bytes, weights included; None if unknown."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except (OSError, AttributeError):
            return None
        line = next((line for line in status.splitlines() if line.startswith("VmHWM:")), None)
        return 1024 * int(line.split()[1]) if line else None

    def close(self):
        if self.process:
            self.process.stdin.close()
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()
