"""Where the configuration files are that ship with qmarl."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).resolve().parent


def shipped_configs() -> Path:
    """Returns the directory ``configs``: the checkout's, or the copy inside an installed wheel."""
    checkout = _HERE.parent / "configs"
    return checkout if checkout.is_dir() else _HERE / "configs"
