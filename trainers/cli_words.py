"""Arguments that several commands share, in the same words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="Configuration file (YAML).")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="a.b=value",
        help="Settings to change, such as seed=1 or actor.kind=mlp; preset=debug makes it tiny.",
    ),
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Run directory under runs/.")]
Json = Annotated[bool, typer.Option("--json", help="Write JSON to stdout, for machines.")]
