"""Pictures of circuits, drawn by PennyLane."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qmarl.errors import ConfigurationError

if TYPE_CHECKING:
    from qmarl.circuits.circuit import Circuit

FORMATS = (".png", ".svg", ".pdf")


def check_picture(path: Path) -> None:
    """Refuses files that cannot become a picture, before any work is done.

    Raises:
        ConfigurationError: The name's ending or its directory will not do.
    """
    if path.suffix.lower() not in FORMATS:
        raise ConfigurationError(f"{path}: a picture's name ends with {' or '.join(FORMATS)}")
    if not path.absolute().parent.is_dir():
        raise ConfigurationError(f"{path}: there is no directory '{path.parent}'")


def save_drawing(circuit: Circuit, path: Path) -> None:
    """Draws a circuit to a file.

    Args:
        circuit: The circuit.
        path: PNG, SVG or PDF, as its name ends.

    Raises:
        ConfigurationError: The file's name or directory will not do.
    """
    check_picture(path)
    from matplotlib import pyplot
    from pennylane import drawer

    figure, _ = drawer.tape_mpl(circuit.tape, decimals=None, style="black_white")
    figure.savefig(path, bbox_inches="tight", dpi=120)
    pyplot.close(figure)
