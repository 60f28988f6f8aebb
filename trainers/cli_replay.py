"""``qmarl replay``: looks at a flight again that an evaluation kept; and a gap in words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from qmarl.errors import ConfigurationError

_KEPT = Path("media") / "flights.npz"


def replay(
    source: Annotated[
        Path, typer.Argument(metavar="RUN", help="Run directory, or a file of flights.")
    ],
    episode: Annotated[int, typer.Option(min=0, help="Which flight, from 0.")] = 0,
    out: Annotated[Path | None, typer.Option(help="GIF to write.")] = None,
) -> None:
    """Draws a flight that `qmarl evaluate --record` kept, as a GIF."""
    from envs.flight_file import read_flights
    from envs.render import save_gif

    path = source / _KEPT if source.is_dir() else source
    flights = read_flights(path)
    if episode >= len(flights):
        raise ConfigurationError(f"--episode: '{path}' holds flights 0 to {len(flights) - 1}")
    flight = flights[episode]
    target = out or path.with_name(f"flight-{episode}.gif")
    typer.echo(f"gif: {save_gif(flight, target, title=flight.world)}")
    for name, value in flight.outcomes.items():
        typer.echo(f"{name:<12}  {value:.3f}")


def gap_text(gap: Mapping[str, Any]) -> str:
    """The gap between two worlds for people, one measure a line.

    >>> one = {"mean": 1.0, "low": 1.0, "high": 1.0}
    >>> print(gap_text({"measures": {"success": {"home": one, "away": one}}, "kept": 1.0}))
      success       home 1.000, away 1.000
      success kept  1.000
    """
    lines = []
    for name, parts in gap["measures"].items():
        numbers = ", ".join(f"{which} {part['mean']:.3f}" for which, part in parts.items())
        lines.append(f"  {name:<12}  {numbers}")
    kept = gap["kept"]
    return "\n".join([*lines, *([] if kept is None else [f"  success kept  {kept:.3f}"])])
