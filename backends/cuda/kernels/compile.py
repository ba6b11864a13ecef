"""Compiles kernels/*.cu to kernels/ptx/*.ptx with NVRTC and reports what ptxas makes of them.

usage: compile.py TOOLS [--check] [--no-report]

TOOLS is the folder with the unpacked wheels. With --check nothing is written: a PTX file that
differs from what its source gives now is an error. Either way ptxas assembles every file for
sm_80, sm_89 and sm_90, and a spill or a kernel above its register budget is an error; --no-report leaves
that out.
"""

import ctypes
import pathlib
import re
import subprocess
import sys
import tempfile

KERNELS = pathlib.Path(__file__).resolve().parent
DEVICES = ["sm_80", "sm_89", "sm_90"]
# Registers a thread. Two blocks of 128 threads of the tensor-core kernel, twenty of 32 of the plain
# one, five of 256 of rotations, which hold two lanes and their biases, and six of the others fit the 65536 of a
# multiprocessor.
BUDGET = {"flash": 255, "attention": 96, "rope": 48, "elementwise": 40, "head": 32, "norm": 64}


def check(nvrtc, status, what):
    if status != 0:
        nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p
        sys.exit(f"{what}: {nvrtc.nvrtcGetErrorString(status).decode()}")


def text(nvrtc, program, size_of, get):
    size = ctypes.c_size_t()
    check(nvrtc, size_of(program, ctypes.byref(size)), "size")
    buffer = ctypes.create_string_buffer(size.value)
    check(nvrtc, get(program, buffer), "text")
    return buffer.value


def compile_one(nvrtc, source):
    program = ctypes.c_void_p()
    header = (KERNELS / "common.cuh").read_bytes()
    check(
        nvrtc,
        nvrtc.nvrtcCreateProgram(
            ctypes.byref(program),
            source.read_bytes(),
            source.name.encode(),
            1,
            (ctypes.c_char_p * 1)(header),
            (ctypes.c_char_p * 1)(b"common.cuh"),
        ),
        source.name,
    )
    options = [b"--gpu-architecture=compute_80", b"--std=c++17", b"-DINFINITY=__int_as_float(0x7f800000)"]
    status = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    log = text(nvrtc, program, nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog).decode()
    if log.strip():
        print(log, file=sys.stderr)
    check(nvrtc, status, source.name)
    ptx = text(nvrtc, program, nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return ptx


def report(ptxas, name, ptx):
    """One line a kernel and device; whether all keep the budget."""
    good = True
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "kernel.ptx"
        path.write_bytes(ptx)
        for device in DEVICES:
            done = subprocess.run(
                [ptxas, "-v", f"-arch={device}", str(path), "-o", str(path.with_suffix(".cubin"))],
                capture_output=True,
                text=True,
            )
            if done.returncode != 0:
                sys.exit(f"{name}: ptxas for {device}: {done.stderr}")
            found = re.findall(
                r"Function properties for (\w+)\n.*?(\d+) bytes stack frame, (\d+) bytes spill stores, "
                r"(\d+) bytes spill loads\n.*?Used (\d+) registers(.*)",
                done.stderr,
            )
            if len(found) != ptx.count(b".entry"):
                sys.exit(f"{name}: {len(found)} kernels in the report of {device}: {done.stderr}")
            for kernel, stack, stores, loads, registers, rest in found:
                shared = re.search(r"(\d+) bytes smem", rest)
                budget = BUDGET.get(kernel.split("_")[0], BUDGET[name])
                ok = stack == stores == loads == "0" and int(registers) <= budget
                good &= ok
                print(
                    f"{device}  {kernel:20} {registers:>3} registers of {budget:3}, "
                    f"{shared[1] if shared else 0:>5} bytes shared, {stores} + {loads} spilled"
                    + ("" if ok else "  TOO MUCH")
                )
    return good


def main():
    tools, checking = pathlib.Path(sys.argv[1]), "--check" in sys.argv[2:]
    nvrtc = ctypes.CDLL(str(next(tools.glob("nvidia/cuda_nvrtc/lib/libnvrtc.so.*"))))
    ptxas = next(tools.glob("nvidia/cuda_nvcc/bin/ptxas"))
    ptxas.chmod(0o755)
    (KERNELS / "ptx").mkdir(exist_ok=True)
    good = True
    for source in sorted(KERNELS.glob("*.cu")):
        ptx = compile_one(nvrtc, source)
        path = KERNELS / "ptx" / f"{source.stem}.ptx"
        if not checking:
            path.write_bytes(ptx)
        elif not path.exists() or path.read_bytes() != ptx:
            print(f"{path} is not what {source.name} gives: run ptx.sh and commit", file=sys.stderr)
            good = False
        if "--no-report" not in sys.argv[2:]:
            good &= report(str(ptxas), source.stem, ptx)
    sys.exit(0 if good else 1)


main()
