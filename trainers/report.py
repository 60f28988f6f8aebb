"""Writes a run's report: one HTML file that needs nothing else, for people to read and keep.

Whatever stands in a run directory may come from a stranger: the template escapes all of it, there
is no script, and the page's own policy forbids it to load anything.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qmarl.yaml_source import write_text
from trainers import report_parts as parts
from trainers import report_words as sentences
from trainers.report_compare import compare, evaluation_row, labelled
from trainers.report_curves import health_charts, learning_charts, smoothing
from trainers.report_data import Record, read
from trainers.report_gap import gap_part
from trainers.report_links import links_part
from trainers.report_privacy import accounts
from trainers.report_text import UNSEEN, at
from trainers.rundir import RunDirectory

TEMPLATES = Path(__file__).parent / "templates"


def write_report(run: Path, others: Sequence[Path] = ()) -> Path:
    """Writes ``report.html`` into a run's directory.

    Args:
        run: The run's directory, or ``runs/<name>`` for the last run of that name. Files may be
            missing, as after an interruption; the report says which.
        others: Directories of runs to show beside it, such as one with a classical actor.

    Returns:
        The report's path.

    Raises:
        RunError: A directory is not a run's, or the report cannot be written.
    """
    records = [read(path) for path in (run, *others)]
    page = render(records).translate(UNSEEN)
    # Lone surrogates, which JSON can hold, have no UTF-8.
    return RunDirectory(records[0].path).write("report.html", page.encode(errors="replace"))


def render(records: Sequence[Record]) -> str:
    """Returns the page about the first of ``records``, with the others beside it."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(**_context(records))


def _context(records: Sequence[Record]) -> dict[str, Any]:
    runs, record = labelled(records), records[0]
    return {
        "title": sentences.title(record),
        "state": sentences.state(record),
        "summary": sentences.summary(record),
        "missing": _missing(records),
        "tiles": sentences.tiles(record),
        "facts": sentences.facts(record),
        "flight": b64encode(record.flight).decode() if record.flight else "",
        "runs": runs,
        "charts": learning_charts(runs),
        "smoothing": smoothing(runs),
        "health": health_charts(record),
        "evaluations": [evaluation_row(one) for one in record.evaluations],
        "gap": gap_part(record.gap),
        "comparison": compare(runs) if len(runs) > 1 else None,
        "parameters": parts.parameters(record),
        "circuits": parts.circuits(record),
        "sharing": sentences.sharing(record),
        "communication": parts.communication(record),
        "accounts": accounts(record),
        "links": links_part(record),
        "times": parts.times(runs),
        "limits": sentences.limits(record, compared=len(runs) > 1),
    } | _recipe(record)


def _recipe(record: Record) -> dict[str, Any]:
    """What is needed to repeat the run."""
    config = write_text(record.config) if record.config else ""
    return {
        "commands": parts.commands(record),
        "changed": bool(at(record.env, "git", "changed")),
        "seed": record.seed,
        "versions": parts.versions(record),
        "config": config,
        "config_data": b64encode(config.encode(errors="replace")).decode(),
    }


def _missing(records: Sequence[Record]) -> list[str]:
    """What could not be read; of other runs with their directory's name."""
    first, *others = records
    more = [f"{one.path.name}/{sentence}" for one in others for sentence in one.missing]
    return [*first.missing, *more]
