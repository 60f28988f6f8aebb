"""What the examples share: AirSim's own client, Microsoft's or Cosys-AirSim's, and its clock."""

from __future__ import annotations

import argparse
import importlib
import json
import time
from pathlib import Path
from types import ModuleType
from typing import Any


def arguments(about: str | None) -> argparse.Namespace:
    """Reads which client to use, where the simulator is, and where to write files."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--client", choices=("cosysairsim", "airsim"), default="cosysairsim")
    parser.add_argument("--port", type=int, default=41451)
    parser.add_argument("--out", type=Path, default=Path("airsim-example"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    return given


def package(name: str) -> ModuleType:
    """Imports a client as it was installed."""
    return importlib.import_module(name)


def wait(client: Any, seconds: float) -> None:
    """Waits for some simulated seconds, by the settings' ``ClockSpeed``."""
    speed = json.loads(client.getSettingsString()).get("ClockSpeed", 1.0)
    time.sleep(seconds / speed)
