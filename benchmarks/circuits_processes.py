"""Memory and start of whole processes that run circuits, for `benchmarks/circuits.py`."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

WORKER = """
import sys, numpy as np
from qmarl.circuits import Program
program = Program.from_bytes(sys.stdin.buffer.read())
shapes = {name: (4, *shape) for name, shape in program.weights}
bound = program.bind({name: np.ones(shape) for name, shape in shapes.items()})
bound(np.ones((4, 16, program.n_inputs), np.float32))
print(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1])
"""

PEAK = """
import sys, numpy as np, torch
from qmarl.circuits import Program
from qmarl.circuits.torch_function import run_program
def resident(key):
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1])
def step(batch):
    weights = {n: torch.ones(1, *s, requires_grad=True) for n, s in program.weights}
    run_program(program, torch.ones(1, batch, program.n_inputs), weights).sum().backward()
program = Program.from_bytes(sys.stdin.buffer.read())
step(1)
idle = resident("VmRSS")
open("/proc/self/clear_refs", "w").write("5")
step(4096)
print(resident("VmHWM") - idle)
"""


def child(code: str, program: bytes) -> tuple[float, float]:
    """Runs ``code`` on a serialised program; returns the MiB that it prints, and its seconds."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], input=program, stdout=-1, check=True)
    return round(int(done.stdout) / 1024, 1), round(time.perf_counter() - started, 2)


def processes(programs: Mapping[str, bytes]) -> dict[str, Any]:
    """Memory of whole processes, in MiB; the start of a worker is the best of five."""
    worker = [child(WORKER, programs["4q2L"]) for _ in range(5)]
    peaks = {n: child(PEAK, programs[n])[0] for n in ("8q4L", "8q4L re-upload") if n in programs}
    return {
        "worker_resident_mib": max(size for size, _ in worker),
        "worker_start_s": min(seconds for _, seconds in worker),
        "peak_above_idle_mib_batch_4096": peaks,
    }
