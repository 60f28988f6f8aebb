"""Measures what fused circuits gain over PennyLane's `default.qubit`, side by side.

    python benchmarks/circuits.py            # the whole table, up to eight minutes
    python benchmarks/circuits.py --quick    # a few cases, about a minute; nothing is written
    python benchmarks/circuits.py --only "4q2L, batch 16" --only "12q4L" --repeats 3
        # rows whose names start like this, some times over, in float32; nothing is written

One process and one thread. Candidates are interleaved in random order and judged by the median of
their CPU time a call, so quote the ratios: seconds depend on the machine and on its other guests.
Weights are rebuilt in every call, except in the column `frozen`. Where JAX can be imported, some
cells also have the same circuit jitted by it; compile times (a first call) are in the results,
which go to benchmarks/scores/circuits.json.

Columns: PennyLane's time over ours for the forward pass, the forward pass under frozen weights,
forward and backward through torch, and the same without autograd (`direct`); in double precision
the last two once more. JAX's time over ours for `both` and `direct`.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import argparse
import gc
import importlib.util
import json
import random
import statistics
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from circuits_processes import processes

if TYPE_CHECKING:
    import torch

SCORES = Path("benchmarks/scores/circuits.json")
DTYPES = ("float32", "float64")
HAS_JAX = importlib.util.find_spec("jax") is not None

Call = Callable[[], Any]


class Case(NamedTuple):
    """RX on every wire and StronglyEntanglingLayers, with Z measured on every wire."""

    qubits: int
    layers: int
    reupload: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the weights."""
        return (self.layers, self.qubits, 3)

    def function(self, inputs: Any, weights: Any) -> Any:
        """The PennyLane quantum function."""
        import pennylane as qp

        wires = range(self.qubits)
        for layer in range(self.layers):
            if self.reupload or layer == 0:
                qp.AngleEmbedding(inputs, wires=wires)
            ranges = (layer % (self.qubits - 1) + 1,)
            qp.StronglyEntanglingLayers(weights[layer : layer + 1], wires=wires, ranges=ranges)
        return [qp.expval(qp.Z(wire)) for wire in wires]


CASES = {
    "4q2L": Case(4, 2, False),
    "4q5L re-upload": Case(4, 5, True),
    "8q4L": Case(8, 4, False),
    "8q4L re-upload": Case(8, 4, True),
    "12q4L": Case(12, 4, False),
}
BATCHES = (1, 16, 256, 4096)
MOST = {12: 256}  # PennyLane would need tens of GB beyond
WITH_JAX = (16, 256)
"""Batches at which JAX takes part: it compiles some ten seconds for every shape."""

QUICK = {"4q2L": (16, 256), "4q5L re-upload": (256,), "8q4L": (256,)}


def compare(candidates: Mapping[str, Call], budget: float = 1.0) -> dict[str, float]:
    """Median CPU seconds a call of every candidate; each gets about ``budget`` seconds."""
    runs: dict[str, tuple[int, int]] = {}
    for name, call in candidates.items():
        call()
        started = time.process_time()
        call()
        once = max(time.process_time() - started, 2e-6)
        repeat = max(1, round(2e-3 / once))
        runs[name] = repeat, max(2, min(40, round(budget / (once * repeat))))
    order = [name for name, (_, count) in runs.items() for _ in range(count)]
    random.Random(0).shuffle(order)
    samples: dict[str, list[float]] = {name: [] for name in candidates}
    gc.collect()
    gc.disable()
    for name in order:
        call, repeat = candidates[name], runs[name][0]
        started = time.process_time()
        for _ in range(repeat):
            call()
        samples[name].append((time.process_time() - started) / repeat)
    gc.enable()
    return {name: statistics.median(values) for name, values in samples.items()}


def pennylane(case: Case) -> Callable[[Any, Any], Any]:
    """The same circuit on ``default.qubit``, torch in and torch out."""
    import pennylane as qp
    import torch

    device = qp.device("default.qubit", wires=case.qubits)
    node = qp.QNode(case.function, device, interface="torch", diff_method="backprop")
    return lambda inputs, weights: torch.stack(node(inputs, weights), -1)


def jitted(case: Case, data: Data) -> tuple[dict[str, Call], dict[str, float]]:
    """The same under JAX, compiled, and the seconds that each first call took."""
    import jax
    import pennylane as qp

    warnings.filterwarnings("ignore", message="Explicitly requested dtype complex128")
    device = qp.device("default.qubit", wires=case.qubits)
    node = qp.QNode(case.function, device, interface="jax", diff_method="backprop")
    values = jax.jit(lambda w, x: jax.numpy.stack(node(x, w), -1))
    both = jax.jit(jax.value_and_grad(lambda w, x, c: (values(w, x) * c).sum()))
    x, w, c = (jax.numpy.asarray(part) for part in data)
    calls: dict[str, Call] = {
        "forward jax": lambda: values(w, x).block_until_ready(),
        "both jax": lambda: jax.block_until_ready(both(w, x, c)),
    }
    seconds = {}
    for name, call in calls.items():
        started = time.perf_counter()
        call()
        seconds[name] = round(time.perf_counter() - started, 1)
    return calls, seconds


class Data(NamedTuple):
    """Inputs ``(*agents, B, n)``, weights ``(*agents, L, n, 3)`` and output gradients."""

    inputs: Any
    weights: Any
    cotangent: Any


def draw(case: Case, agents: tuple[int, ...], batch: int, dtype: str) -> Data:
    """Random data, the same in every dtype."""
    rng = np.random.default_rng(0)
    shapes = ((*agents, batch, case.qubits), (*agents, *case.shape), (*agents, batch, case.qubits))
    return Data(*(rng.uniform(-3, 3, shape).astype(dtype) for shape in shapes))


def pulled(function: Callable[[Any, Any], Any], data: Data) -> Call:
    """Forward and backward through torch, the gradient of the weights alone."""
    import torch

    inputs, weights, cotangent = (torch.from_numpy(part) for part in data)
    weights.requires_grad_()

    def call() -> Any:
        return torch.autograd.grad((function(inputs, weights) * cotangent).sum(), [weights])

    return call


def pushed(function: Callable[[Any, Any], Any], data: Data) -> Call:
    """Forward alone, without a graph."""
    import torch

    inputs, weights, _ = (torch.from_numpy(part) for part in data)

    def call() -> Any:
        with torch.no_grad():
            return function(inputs, weights)

    return call


def each_agent(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """PennyLane has no axis of agents: a loop over them."""
    import torch

    return lambda inputs, weights: torch.stack(
        [function(x, w) for x, w in zip(inputs, weights, strict=True)]
    )


def frozen(circuit: Any, data: Data, dtype: str) -> Any:
    """The circuit's program under fixed weights."""
    return circuit.program.bind({"weights": data.weights}, dtype)


def candidates(
    case: Case, circuit: Any, agents: tuple[int, ...], batch: int, dtypes: Sequence[str] = DTYPES
) -> dict[str, Call]:
    """Everything that is compared in one cell."""
    reference = each_agent(pennylane(case)) if agents else pennylane(case)
    calls: dict[str, Call] = {}
    for dtype in dtypes:
        data = draw(case, agents, batch, dtype)
        bound = frozen(circuit, data, dtype)
        calls[f"forward pennylane {dtype}"] = pushed(reference, data)
        calls[f"both pennylane {dtype}"] = pulled(reference, data)
        calls[f"forward program {dtype}"] = pushed(circuit, data)
        calls[f"both program {dtype}"] = pulled(circuit, data)
        calls[f"frozen program {dtype}"] = lambda bound=bound, data=data: bound(data.inputs)
        calls[f"direct program {dtype}"] = lambda data=data: circuit.value_and_gradients(
            *data, need_inputs=False
        )
    return calls


def cell(
    case: Case, circuit: Any, agents: tuple[int, ...], batch: int, dtypes: Sequence[str] = DTYPES
) -> dict[str, Any]:
    """Measures one cell."""
    calls, compiled = candidates(case, circuit, agents, batch, dtypes), None
    if HAS_JAX and dtypes is DTYPES and not agents and batch in WITH_JAX and case.qubits <= 8:
        more, compiled = jitted(case, draw(case, (), batch, "float32"))
        calls |= more
    seconds = compare(calls)
    ratios: dict[str, dict[str, float]] = {}
    for dtype in dtypes:
        forward, both = (seconds[f"{what} pennylane {dtype}"] for what in ("forward", "both"))
        ratios[dtype] = {
            "forward": round(forward / seconds[f"forward program {dtype}"], 1),
            "frozen": round(forward / seconds[f"frozen program {dtype}"], 1),
            "both": round(both / seconds[f"both program {dtype}"], 1),
            "direct": round(both / seconds[f"direct program {dtype}"], 1),
        }
    if compiled is not None:
        ratios["jax"] = {
            what: round(seconds["both jax"] / seconds[f"{what} program float32"], 2)
            for what in ("both", "direct")
        }
    microseconds = {k: round(1e6 * v, 1) for k, v in seconds.items()}
    return {"ratios": ratios, "microseconds": microseconds, "jax_first_call_s": compiled}


def rollout(case: Case, circuit: Any, agents: int = 4, envs: int = 16) -> dict[str, Any]:
    """One acting step of every agent in all worlds: logits, sampled actions."""
    import torch

    from agents.heads import gumbel

    data = draw(case, (agents,), envs, "float32")
    observations, weights = torch.from_numpy(data.inputs), torch.from_numpy(data.weights)
    reference, bound = pennylane(case), frozen(circuit, data, "float32")
    tanh, linear, n = torch.nn.Tanh, torch.nn.Linear, case.qubits
    mlps = [
        torch.nn.Sequential(linear(n, 64), tanh(), linear(64, 64), tanh(), linear(64, n))
        for _ in range(agents)
    ]
    rng = np.random.default_rng(0)

    def sampled(logits: Sequence[torch.Tensor]) -> None:
        for each in logits:
            chosen = torch.distributions.Categorical(logits=each)
            chosen.log_prob(chosen.sample())

    def on_pennylane() -> None:
        with torch.no_grad():
            sampled([reference(x, w) for x, w in zip(observations, weights, strict=True)])

    def on_mlps() -> None:
        with torch.no_grad():
            sampled([mlp(x) for mlp, x in zip(mlps, observations, strict=True)])

    def on_program() -> None:  # Gumbel-max; log-probabilities are computed once a rollout
        logits = bound(data.inputs)
        np.argmax(logits + gumbel(rng, logits.shape), -1)

    seconds = compare({"pennylane": on_pennylane, "mlp": on_mlps, "program": on_program})
    return {
        "ratios": {
            "pennylane": round(seconds["pennylane"] / seconds["program"], 1),
            "mlp": round(seconds["mlp"] / seconds["program"], 1),
        },
        "microseconds": {k: round(1e6 * v, 1) for k, v in seconds.items()},
    }


COLUMNS = (
    ("float32", ("forward", "frozen", "both", "direct")),
    ("float64", ("both", "direct")),
    ("jax", ("both", "direct")),
)


def header() -> None:
    """Prints the head of the table."""
    kinds = "".join(f"{kind:<{8 * len(names)}}" for kind, names in COLUMNS)
    print(f"{'':<40}{kinds}")
    print(f"{'':<40}" + "".join(f"{name:<8}" for _, names in COLUMNS for name in names), flush=True)


def show(name: str, ratios: Mapping[str, Mapping[str, float]]) -> None:
    """Prints one row of ratios."""
    cells = (ratios.get(kind, {}).get(what, "") for kind, names in COLUMNS for what in names)
    print(f"{name:<40}" + "".join(f"{ratio:<8}" for ratio in cells), flush=True)


def rows_of(names: Sequence[str], *, quick: bool) -> dict[str, tuple[str, tuple[int, ...], int]]:
    """Case, agents and batch of each row of the table."""
    rows: dict[str, tuple[str, tuple[int, ...], int]] = {}
    for name in names:
        qubits = CASES[name].qubits
        for batch in QUICK[name] if quick else BATCHES:
            if batch <= MOST.get(qubits, batch):
                rows[f"{name}, batch {batch}"] = name, (), batch
        if qubits == 4:
            rows[f"{name}, batch 64 of 4 agents"] = name, (4,), 64
    return rows


def only(chosen: Sequence[str], repeats: int) -> None:
    """Measures some rows, some times over, and prints their ratios and the medians of those."""
    from qmarl.circuits import Circuit

    rows = rows_of(list(CASES), quick=False)
    wanted = {row: rows[row] for row in rows if any(row.startswith(start) for start in chosen)}
    header()
    for row, (name, agents, batch) in wanted.items():
        case = CASES[name]
        circuit, seen = Circuit(case.function, case.qubits, case.shape), []
        for _ in range(repeats):
            seen.append(cell(case, circuit, agents, batch, DTYPES[:1])["ratios"]["float32"])
            show(row, {"float32": seen[-1]})
        medians = {key: statistics.median(ratios[key] for ratios in seen) for key in seen[0]}
        show("    median", {"float32": medians})


def main() -> None:
    """Measures, prints and writes the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few cases; nothing is written")
    parser.add_argument("--only", action="append", metavar="NAME", help="rows that start like this")
    parser.add_argument("--repeats", type=int, default=1, help="how often --only measures a row")
    options = parser.parse_args()
    quick = options.quick
    import torch

    from qmarl.circuits import Circuit

    torch.set_num_threads(1)
    if options.only:
        only(options.only, options.repeats)
        return
    load = [round(value, 1) for value in os.getloadavg()]
    cases = {name: CASES[name] for name in (QUICK if quick else CASES)}
    circuits = {n: Circuit(c.function, c.qubits, c.shape) for n, c in cases.items()}
    rows: dict[str, Any] = {}
    if not HAS_JAX:
        print("JAX cannot be imported: its columns stay empty")
    header()
    for row, (name, agents, batch) in rows_of(list(cases), quick=quick).items():
        rows[row] = cell(cases[name], circuits[name], agents, batch)
        show(row, rows[row]["ratios"])
    step = rows["rollout step, 4 agents x 16"] = rollout(CASES["4q2L"], circuits["4q2L"])
    print(f"rollout step, 4 agents x 16: {step['ratios']} times the program's time")
    programs = {name: circuit.program.to_bytes() for name, circuit in circuits.items()}
    whole = processes(programs)
    for name, value in whole.items():
        print(f"{name}: {value}")
    if not quick:
        machine = {"cores": os.cpu_count(), "load_before": load, "load_after": os.getloadavg()}
        rows["processes"], rows["machine"] = whole, machine
        SCORES.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
