"""One picture of quantum links: key rate against distance, height, time and weather."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trainers.links import LinkBudget, Sweep
from trainers.links_flight import Flight

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TONES = {
    "clear": "#08519c",
    "haze": "#4292c6",
    "rain": "#41ab5d",
    "mist": "#d95f0e",
    "fog": "#737373",
    "fibre": "#6a3d9a",
}
"""Colour of each weather."""
DRONES = ("#08519c", "#d95f0e", "#41ab5d", "#6a3d9a", "#c51b8a", "#737373")

_FLOOR = 1.0  # bits a second below which a rate is not drawn


def plot(budgets: Sequence[LinkBudget], flights: Mapping[str, Flight], path: Path) -> None:
    """Draws the picture, a row for each link and each flight.

    Args:
        budgets: The links.
        flights: Key rates along a flight, by link.
        path: File to write; its name says the format.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    rows = len(budgets) + len(flights)
    figure = Figure(figsize=(10, 3.3 * rows), layout=ConstrainedLayoutEngine(hspace=0.08))
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(rows, 2)
    for row, budget in enumerate(budgets):
        _link(figure, [grid[row, 0], grid[row, 1]], grid[row, :], budget)
    for row, (name, flight) in enumerate(flights.items(), len(budgets)):
        _flight(figure.add_subplot(grid[row, :]), name, flight)
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#e8e8e8", linewidth=0.7)
        axes.set_axisbelow(True)
    figure.savefig(path, dpi=130)


def _link(figure: Figure, halves: Sequence[object], whole: object, budget: LinkBudget) -> None:
    title = f"{budget.name}: {budget.kind.replace('_', ' ')}"
    if not budget.sweeps:
        _bars(figure.add_subplot(whole), title, budget.rates)  # type: ignore[call-overload] # a spec
        return
    places = halves if len(budget.sweeps) > 1 else [whole]
    for place, sweep in zip(places, budget.sweeps, strict=True):
        axes = figure.add_subplot(place)  # type: ignore[call-overload] # matplotlib's spec
        _rates(axes, sweep)
        if title:
            axes.legend(frameon=False, fontsize=8, loc="lower left")
        axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
        title = ""  # and the legend are said once for each link


def _rates(axes: Axes, sweep: Sweep) -> None:
    for weather, rates in sweep.rates.items():
        shown = np.where(rates >= _FLOOR, rates, np.nan)
        if np.isfinite(shown).any():
            axes.plot(sweep.values, shown, color=TONES[weather], lw=1.6, label=weather)
    if sweep.values[0] <= sweep.here <= sweep.values[-1]:
        axes.axvline(sweep.here, color="#333333", lw=0.9, ls=":", label="configured")
    if sweep.logarithmic:
        axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(bottom=_FLOOR)
    axes.set_xlabel(sweep.name)
    axes.set_ylabel("key rate, bit/s")


def _bars(axes: Axes, title: str, rates: Mapping[str, float]) -> None:
    names = list(rates)
    axes.bar(names, [max(rates[name], _FLOOR) for name in names], color=[TONES[n] for n in names])
    axes.set_yscale("log")
    axes.set_ylim(bottom=_FLOOR)
    axes.set_ylabel("key rate, bit/s")
    axes.set_title(f"{title} by a relay", loc="left", fontsize=10, fontweight="bold")


def _flight(axes: Axes, name: str, flight: Flight) -> None:
    relayed = "by a teammate"
    for drone, agent in enumerate(flight.agents):
        tone, own = DRONES[drone % len(DRONES)], flight.direct[:, drone]
        best = np.where(flight.best[:, drone] > own, flight.best[:, drone], np.nan)
        axes.plot(flight.seconds, own / 1e3, color=tone, lw=1.5, label=agent)
        if np.isfinite(best).any():
            axes.plot(flight.seconds, best / 1e3, ":", color=tone, lw=1.8, label=relayed)
            relayed = ""
    axes.set_xlabel("time of the flight, s")
    axes.set_ylabel("key rate, kbit/s")
    axes.set_title(f"{name}: drones in {flight.world}", loc="left", fontsize=10, fontweight="bold")
    axes.legend(frameon=False, fontsize=8, loc="lower left", ncols=4)
