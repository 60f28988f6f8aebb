"""Measures what fused circuits gain over PennyLane's `default.qubit`, side by side.

    python benchmarks/circuits.py            # the whole table, some minutes
    python benchmarks/circuits.py --quick    # a few cases

One process and one thread. Candidates are interleaved in random order and judged by the median of
their CPU time a call, so quote the ratios: seconds depend on the machine and on its other guests.
Weights are rebuilt in every call, except in the column `frozen`. Results go to
benchmarks/scores/circuits.json.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import argparse
import gc
import importlib.util
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

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
QUICK = {"4q2L": (16, 256), "4q5L re-upload": (256,), "8q4L": (256,)}


def compare(candidates: Mapping[str, Call], budget: float = 1.5) -> dict[str, float]:
    """Median CPU seconds a call of every candidate; each gets about ``budget`` seconds."""
    runs: dict[str, tuple[int, int]] = {}
    for name, call in candidates.items():
        call()
        started = time.process_time()
        call()
        once = max(time.process_time() - started, 2e-6)
        repeat = max(1, round(2e-3 / once))
        runs[name] = repeat, max(3, min(40, round(budget / (once * repeat))))
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


def jitted(case: Case, data: Data) -> dict[str, Call]:
    """The same under JAX, compiled; empty where JAX is not installed."""
    if not HAS_JAX:
        return {}
    import jax
    import pennylane as qp

    device = qp.device("default.qubit", wires=case.qubits)
    node = qp.QNode(case.function, device, interface="jax", diff_method="backprop")
    values = jax.jit(lambda w, x: jax.numpy.stack(node(x, w), -1))
    both = jax.jit(jax.value_and_grad(lambda w, x, c: (values(w, x) * c).sum()))
    x, w, c = (jax.numpy.asarray(part) for part in data)
    return {
        "forward jax": lambda: values(w, x).block_until_ready(),
        "both jax": lambda: jax.block_until_ready(both(w, x, c)),
    }


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


def candidates(case: Case, circuit: Any, agents: tuple[int, ...], batch: int) -> dict[str, Call]:
    """Everything that is compared in one cell."""
    reference = each_agent(pennylane(case)) if agents else pennylane(case)
    calls: dict[str, Call] = {}
    for dtype in DTYPES:
        data = draw(case, agents, batch, dtype)
        bound = frozen(circuit, data, dtype)
        calls[f"forward pennylane {dtype}"] = pushed(reference, data)
        calls[f"both pennylane {dtype}"] = pulled(reference, data)
        calls[f"forward program {dtype}"] = pushed(circuit, data)
        calls[f"both program {dtype}"] = pulled(circuit, data)
        calls[f"frozen program {dtype}"] = lambda bound=bound, data=data: bound(data.inputs)
        if hasattr(circuit, "value_and_gradients"):
            calls[f"direct program {dtype}"] = lambda data=data: circuit.value_and_gradients(
                *data, need_inputs=False
            )
    if not agents:
        calls |= jitted(case, draw(case, (), batch, "float32"))
    return calls


def cell(case: Case, circuit: Any, agents: tuple[int, ...], batch: int) -> dict[str, Any]:
    """Measures one cell; ratios are PennyLane's time over ours."""
    seconds = compare(candidates(case, circuit, agents, batch))
    ratios = {
        dtype: {
            "forward": seconds[f"forward pennylane {dtype}"] / seconds[f"forward program {dtype}"],
            "both": seconds[f"both pennylane {dtype}"] / seconds[f"both program {dtype}"],
            "frozen": seconds[f"forward pennylane {dtype}"] / seconds[f"frozen program {dtype}"],
            **(
                {"direct": seconds[f"both pennylane {dtype}"] / seconds[f"direct program {dtype}"]}
                if f"direct program {dtype}" in seconds
                else {}
            ),
        }
        for dtype in DTYPES
    }
    micros = {name: round(1e6 * value, 1) for name, value in seconds.items()}
    return {
        "ratios": {k: {n: round(v, 1) for n, v in r.items()} for k, r in ratios.items()},
        "microseconds": micros,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    a = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    from qmarl.circuits import Circuit
    import qmarl

    print(qmarl.__file__)
    for name, case in CASES.items():
        batches = QUICK.get(name, ()) if a.quick else BATCHES
        if not batches:
            continue
        circuit = Circuit(case.function, case.qubits, case.shape)
        for batch in batches:
            r = cell(case, circuit, (), batch)
            print(
                name,
                batch,
                r["ratios"]["float32"],
                r["ratios"]["float64"],
                {k: v for k, v in r["microseconds"].items() if k.endswith("32")},
                flush=True,
            )
        if case.qubits == 4:
            r = cell(case, circuit, (4,), 64)
            print(
                name,
                "4x64",
                r["ratios"]["float32"],
                r["ratios"]["float64"],
                {k: v for k, v in r["microseconds"].items() if k.endswith("32")},
                flush=True,
            )


if __name__ == "__main__":
    main()
