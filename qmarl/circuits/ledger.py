"""What circuits cost on a device: counted while they run, and estimated before anyone pays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Any, Literal, Protocol, final

from qmarl.errors import ConfigurationError
from qmarl.types import Layout


@final
@dataclass(frozen=True)
class Counts:
    """What was run on a device.

    Attributes:
        jobs: Calls that hand a list of circuits to the device.
        executions: Circuits run: one for each sample, shifted sample and group of observables that
            are measured together.
        shots: Measurements of all executions; 0 where results are exact.
        shifted: Those of the executions that parameter-shift gradients asked for.
        derivatives: Samples whose gradients the device computed by itself (adjoint), which no
            quantum computer can.
        retries: Calls that were repeated because the device did not answer.
    """

    jobs: int = 0
    executions: int = 0
    shots: int = 0
    shifted: int = 0
    derivatives: int = 0
    retries: int = 0

    def plus(self, other: Counts) -> Counts:
        """The sum of both.

        >>> Counts(jobs=1, executions=4).plus(Counts(jobs=1)).jobs
        2
        """
        return Counts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def since(self, earlier: Counts) -> Counts:
        """What was run after ``earlier``.

        >>> Counts(jobs=3).since(Counts(jobs=1)).jobs
        2
        """
        return Counts(*(a - b for a, b in zip(astuple(self), astuple(earlier), strict=True)))


@final
class Ledger:
    """Counts what one circuit runs on its device, in this process.

    Backpropagation through a simulator runs no circuit and is not counted.
    """

    def __init__(self) -> None:
        self._counts = Counts()

    def add(self, counts: Counts) -> None:
        """Enters what was run."""
        self._counts = self._counts.plus(counts)

    def snapshot(self) -> Counts:
        """What was run so far."""
        return self._counts


class Written(Protocol):
    """A circuit as it was written, whatever runs it."""

    @property
    def name(self) -> str:
        """Name for messages."""
        ...

    @property
    def n_inputs(self) -> int:
        """Inputs of one sample."""
        ...

    @property
    def named(self) -> bool:
        """Whether the weights are a mapping of names."""
        ...

    @property
    def layout(self) -> Layout:
        """The parameters."""
        ...

    @property
    def tape(self) -> Any:
        """PennyLane's tape of one sample."""
        ...

    @property
    def quantum_function(self) -> Callable[..., Any]:
        """The PennyLane function of ``inputs`` and ``weights``."""
        ...


def estimate(
    circuit: Written,
    samples: int,
    shots: int | None = None,
    gradient: Literal["none", "parameter_shift"] = "parameter_shift",
) -> Counts:
    """What a batch would cost on a quantum computer.

    Each sample runs once for every group of observables that are measured together. Its gradient
    takes two further runs for each gate whose angle depends on a weight, and for controlled
    rotations four (Wierichs et al. 2022, arXiv:2107.12390). Samples share nothing: where a weight
    is one number, its gates still differ from sample to sample.

    Args:
        circuit: Any circuit, whatever runs it here.
        samples: Samples of the batch, over all agents.
        shots: Measurements of each run.
        gradient: How gradients with respect to the weights are had.

    Raises:
        ConfigurationError: A number is below 1, or the circuit has no parameter-shift rule.
    """
    for name, number in (("samples", samples), ("shots", 1 if shots is None else shots)):
        if number < 1:
            raise ConfigurationError(
                f"circuit '{circuit.name}': {name} must be at least 1, got {number}"
            )
    groups = measured_groups(circuit.tape.measurements)
    shifts = parameter_shifts(circuit) if gradient == "parameter_shift" else 0
    executions = samples * groups * (1 + shifts)
    return Counts(
        jobs=1 + (shifts > 0),
        executions=executions,
        shots=executions * (shots or 0),
        shifted=samples * groups * shifts,
    )


def measured_groups(measurements: Any) -> int:
    """How many circuits measure these PennyLane measurements: one for each commuting group."""
    import pennylane as qp

    tapes, _ = qp.transforms.split_non_commuting(qp.tape.QuantumScript([], measurements))
    return len(tapes)


def parameter_shifts(circuit: Written) -> int:
    """Shifted circuits behind the gradient of one sample with respect to all weights.

    Raises:
        ConfigurationError: The circuit has no parameter-shift rule.
    """
    import pennylane as qp

    tape = _differentiable_tape(circuit)
    try:
        [expanded], _ = qp.gradients.param_shift.expand_transform(tape)
        live = _live_operations(expanded)
        if any(isinstance(m, qp.measurements.VarianceMP) for m in expanded.measurements):
            return len(qp.gradients.param_shift(tape)[0])  # its rule depends on the observables
        places = [expanded.get_operation(k) for k in range(expanded.num_params)]
        return sum(_terms(op, place) for op, index, place in places if index in live)
    except (
        ValueError,
        qp.exceptions.QuantumFunctionError,
        qp.exceptions.OperatorPropertyUndefined,
    ) as error:
        raise ConfigurationError(
            f"circuit '{circuit.name}': it has no parameter-shift gradient: {error}"
        ) from error


def _terms(op: Any, place: int) -> int:
    """Shifted circuits of one argument of a gate."""
    recipe = op.grad_recipe[place]
    return 2 * len(op.parameter_frequencies[place]) if recipe is None else len(recipe)


def _live_operations(tape: Any) -> set[int]:
    """Indices of the operations that can change what is measured; the others are never shifted."""
    live: set[int] = set()
    wires = {wire for m in tape.measurements for wire in m.wires or tape.wires}
    for index in reversed(range(len(tape.operations))):
        touched = set(tape.operations[index].wires)
        if touched & wires:
            live.add(index)
            wires |= touched
    return live


def _differentiable_tape(circuit: Written) -> Any:
    """The tape of one sample, its trainable parameters those that depend on a weight."""
    import pennylane as qp
    import torch

    weights = {
        name: torch.full(spec.shape, 0.5, dtype=torch.float64, requires_grad=True)
        for name, spec in circuit.layout.items()
    }
    given = weights if circuit.named else next(iter(weights.values()))
    inputs = torch.full((circuit.n_inputs,), 0.25, dtype=torch.float64)
    tape = qp.tape.make_qscript(circuit.quantum_function)(inputs, given)
    tape.trainable_params = qp.math.get_trainable_indices(tape.get_parameters(trainable_only=False))
    return tape
