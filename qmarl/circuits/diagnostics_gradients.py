"""Barren plateaus: how the variance of gradients falls as circuits grow wider and deeper.

The cost is one of the two of Cerezo et al. 2021 (arXiv:2001.00550, eq. 5 and 6): ``global``,
``1 - p(0...0)``, or ``local``, ``1 - mean_k p(qubit k is 0)``. Where the variance over random
parameters of ``d cost / d angle`` falls like ``2^(-a n)``, gradients cannot be followed on many
qubits (McClean et al. 2018, arXiv:1803.11173).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from qmarl.circuits.builtin import MAX_QUBITS, CircuitConfig, initial_weights
from qmarl.circuits.decay import INTERVAL, Decay, fit_decay, resampled_variances
from qmarl.circuits.diagnostics_draws import call, require_samples, shares, tensors
from qmarl.circuits.encoding import capacity
from qmarl.circuits.initialisation import Initialisation, check_identity_block
from qmarl.circuits.readout import ReadoutConfig
from qmarl.errors import ConfigurationError
from qmarl.seeding import seed_for, stream
from qmarl.types import Array

if TYPE_CHECKING:
    import torch

    from qmarl.circuits.plugins import DeviceSettings

Observable = Literal["global", "local"]


@dataclass(frozen=True)
class GradientRow:
    """The gradients of one width and depth.

    Attributes:
        qubits: Width.
        layers: Depth.
        angles: Number of trainable angles.
        first: Variance of the derivative by one fixed angle, the first RX or RY on qubit 0.
        mean: Variance averaged over all angles.
        low: Lower end of the 95 % bootstrap interval of ``mean``.
        high: Its upper end.
    """

    qubits: int
    layers: int
    angles: int
    first: float
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class GradientScan:
    """Variances of gradients against width and depth.

    Attributes:
        observable: ``global`` or ``local`` cost.
        initialisation: How the angles were drawn.
        samples: Parameter sets behind each row.
        rows: One row for each depth and width, depth by depth.
        decays: How ``mean`` falls with the width, for each depth; empty below three widths.
    """

    observable: Observable
    initialisation: Initialisation
    samples: int
    rows: tuple[GradientRow, ...]
    decays: tuple[Decay, ...]


def gradient_variance(
    config: CircuitConfig,
    qubits: Sequence[int],
    layers: Sequence[int],
    samples: int,
    seed: int,
    observable: Observable = "local",
    *,
    initialisation: Initialisation = "uniform",
    backend: str = "program",
    device: DeviceSettings | None = None,
) -> GradientScan:
    """Measures the variance of gradients over random parameters.

    Every circuit takes as many inputs as its qubits have room for, drawn uniformly from [-1, 1) for
    each parameter set; scales are drawn as those of a new circuit.

    Args:
        config: The circuit; its width, depth, readout and initialisation are replaced.
        qubits: Widths; three or more give a rate of decay.
        layers: Depths.
        samples: Parameter sets for each width and depth, at least 2.
        seed: Seed of parameters and inputs.
        observable: The cost.
        initialisation: How angles are drawn; ``uniform`` shows the landscape, the others where
            training starts.
        backend: ``program`` or ``pennylane:<device>``.
        device: How a PennyLane device is made and asked.

    Raises:
        ConfigurationError: Too few samples, a width or depth that cannot be, or an initialisation
            that does not fit the ansatz.
    """
    require_samples(samples)
    widths, depths = sorted(set(qubits)), sorted(set(layers))
    rows, decays = [], []
    for depth in depths:
        resized = [_resized(config, n, depth, observable, initialisation) for n in widths]
        clouds = [_gradients(one, samples, seed, backend, device) for one in resized]
        resamples = [resampled_variances(cloud, seed) for cloud in clouds]
        found = [_row(*each) for each in zip(resized, clouds, resamples, strict=True)]
        rows += found
        if len(widths) > 2:
            decays.append(fit_decay(depth, widths, [row.mean for row in found], resamples))
    return GradientScan(observable, initialisation, samples, tuple(rows), tuple(decays))


def _resized(
    config: CircuitConfig, qubits: int, layers: int, observable: Observable, start: Initialisation
) -> CircuitConfig:
    if not 1 <= qubits <= MAX_QUBITS:
        raise ConfigurationError(f"qubits: got {qubits}, allowed are 1 to {MAX_QUBITS}")
    if layers < 1:
        raise ConfigurationError(f"layers: got {layers}, at least 1 is needed")
    if start == "identity_block":
        check_identity_block(config.ansatz.kind, qubits, layers, reupload=config.reupload)
    readout = ReadoutConfig(kind="z" if observable == "local" else "probabilities")
    ansatz = config.ansatz.model_copy(update={"initialisation": start})
    changed = {"qubits": qubits, "layers": layers, "ansatz": ansatz, "readout": readout}
    return config.model_copy(update=changed)


def _gradients(
    config: CircuitConfig, samples: int, seed: int, backend: str, device: DeviceSettings | None
) -> Array:
    """Derivatives ``(samples, angles)`` of the cost by every angle."""
    import torch

    from qmarl.circuits.circuit import build_circuit

    inputs = capacity(config.encoding, config.qubits)
    circuit = build_circuit(config, inputs, backend, device)
    root = seed_for(seed, config.qubits, config.layers)
    drawn = [initial_weights(config, inputs, stream(root, "weights", k)) for k in range(samples)]
    weights = {name: np.stack([one[name] for one in drawn]) for name in circuit.layout}
    features = stream(root, "inputs").uniform(-1, 1, (samples, 1, inputs))
    found = []
    for part in shares(samples, config.qubits):
        leaves = tensors(weights, part)
        cost = _cost(call(circuit, torch.as_tensor(features[part]), leaves), config)
        [gradient] = torch.autograd.grad(cost.sum(), [leaves["angles"]])
        found.append(gradient.numpy())
    return _by_angle(np.concatenate(found))


def _cost(measured: torch.Tensor, config: CircuitConfig) -> torch.Tensor:
    if config.readout.kind == "z":
        return 0.5 - 0.5 * measured.mean(-1)
    return 1 - measured[..., 0]


def _by_angle(gradients: Array) -> Array:
    """``(samples, angles)`` with the first RX or RY on qubit 0 in front."""
    flat = gradients.reshape(len(gradients), -1)
    return np.roll(flat, -1, 1) if gradients.ndim == 4 else flat  # RZ, RY, RZ come in threes


def _row(config: CircuitConfig, gradients: Array, resamples: Array) -> GradientRow:
    variances = gradients.var(0, ddof=1)
    low, high = np.percentile(resamples, INTERVAL)
    return GradientRow(
        qubits=config.qubits,
        layers=config.layers,
        angles=gradients.shape[1],
        first=float(variances[0]),
        mean=float(variances.mean()),
        low=float(low),
        high=float(high),
    )
