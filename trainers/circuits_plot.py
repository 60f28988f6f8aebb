"""One picture of a circuit's diagnosis: gradients against width, and the states it reaches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qmarl.circuits.diagnostics import Expressibility, GradientScan

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TONES = ("#9ecae1", "#4292c6", "#2171b5", "#08519c", "#08306b")
"""From shallow to deep."""

OWN, HAAR = "#d95f0e", "#555555"


def plot(scans: Sequence[GradientScan], states: Expressibility, name: str, path: Path) -> None:
    """Draws the picture.

    Args:
        scans: The landscape under uniform angles, then where the configuration starts.
        states: Fidelities of the configuration's circuit.
        name: Name of the circuit.
        path: File to write; its name says the format.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(10, 4.2), layout=ConstrainedLayoutEngine(wspace=0.06))
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    _gradients(left, scans)
    _fidelities(right, states)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(name, x=0.01, ha="left", fontsize=12, fontweight="bold")
    figure.savefig(path, dpi=150)


def _gradients(axes: Axes, scans: Sequence[GradientScan]) -> None:
    for order, scan in enumerate(scans):
        depths = sorted({row.layers for row in scan.rows})
        for k, depth in enumerate(depths):
            tone = OWN if order else TONES[min(k, len(TONES) - 1)]
            words = f"{depth} layers, {scan.initialisation.replace('_', ' ')}"
            _line(axes, scan, depth, tone, words, "--" if order else "-")
    axes.set_yscale("log")
    axes.set_xticks(sorted({row.qubits for scan in scans for row in scan.rows}))
    axes.set_xlabel("qubits")
    axes.set_ylabel(f"variance of the gradient, {scans[0].observable} cost")
    axes.set_title("Mean over all angles, 95 % interval", loc="left", fontsize=10)
    axes.grid(axis="y", color="#e5e5e5", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, fontsize=9)


def _line(axes: Axes, scan: GradientScan, depth: int, tone: str, words: str, style: str) -> None:
    rows = [row for row in scan.rows if row.layers == depth]
    widths = [row.qubits for row in rows]
    axes.plot(widths, [r.mean for r in rows], style, color=tone, marker="o", ms=4, label=words)
    axes.fill_between(
        widths, [r.low for r in rows], [r.high for r in rows], color=tone, alpha=0.2, lw=0
    )


def _fidelities(axes: Axes, states: Expressibility) -> None:
    bins = len(states.fidelities)
    edges = np.linspace(0, 1, bins + 1)
    axes.stairs(states.fidelities, edges, fill=True, color=TONES[1], alpha=0.6, label="circuit")
    axes.stairs(states.haar, edges, color=HAAR, linewidth=1.4, label="Haar-random states")
    seen = np.flatnonzero(np.maximum(states.fidelities, states.haar) > 1e-3)
    axes.set_xlim(0, edges[min(seen.max() + 2, bins)] if seen.size else 1)
    axes.set_xlabel("fidelity of two random states")
    axes.set_ylabel("share of pairs")
    title = f"Expressibility: divergence {states.divergence:.3f} nat (floor {states.floor:.3f})"
    axes.set_title(title, loc="left", fontsize=10)
    axes.legend(frameon=False, fontsize=9)
