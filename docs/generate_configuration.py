"""Writes docs/configuration.md from the sections themselves, so that it cannot say anything else.

.venv/bin/python docs/generate_configuration.py
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from qmarl.config_types import docstrings, sections, settings
from trainers.config import ExperimentConfig

TARGET = Path(__file__).parent / "configuration.md"

INTRODUCTION = """\
# Configuration

<!-- Written by docs/generate_configuration.py; change the sections' docstrings, then run it. -->

Every section and every key that a configuration file may have. `qmarl config show FILE` prints a
file with all defaults written out, `qmarl config check FILE` finds everything that is wrong with it
at once, and `qmarl config schema` prints a JSON Schema with which editors complete keys.

- Files are YAML 1.2: `1e-3` is a number, `no` is a word. Unknown and doubled keys are refused.
- `a.b=value` on the command line changes one key; the last one wins.
- `presets: debug` in a file lays `configs/presets/debug.yaml` below it; `preset=debug` on the
  command line lays it above.
- A section with a *shorthand* may be written as one bare word: `executor: ray` means
  `executor: {kind: ray}`.
- A dash as default means that the key must be given.
"""


class Place(NamedTuple):
    """Where a section stands in a file: its dotted path, its class, and what it is by default."""

    path: str
    section: type[BaseModel]
    default: BaseModel | None
    tag: str


def document() -> str:
    """Returns the whole page."""
    places = list(walk(Place("", ExperimentConfig, None, "")))
    chapters = dict.fromkeys(chapter(place) for place in places)  # worlds share most of theirs
    return "\n".join([INTRODUCTION, *chapters])


def walk(place: Place) -> Iterator[Place]:
    """Visits a section, then the sections inside it."""
    yield place
    for key, annotation in settings(place.section).items():
        found = sections(annotation)
        default = default_of(place, key)
        for section in found:
            own = default if type(default) is section else None
            path = f"{place.path}.{key}".lstrip(".")
            yield from walk(Place(path, section, own, tag_of(section) if len(found) > 1 else ""))


def default_of(place: Place, key: str) -> Any:
    """Returns what a key is where a file does not give it."""
    if place.default is not None:
        return getattr(place.default, key)
    return place.section.model_fields[key].get_default(call_default_factory=True)


def tag_of(section: type[BaseModel]) -> str:
    """Returns what sets a section apart from others that may stand in its place."""
    for key in ("kind", "id"):
        word = section.model_fields[key].default if key in section.model_fields else None
        if isinstance(word, str):
            return f"{key}: {word}"
    return "id: module:factory"


def chapter(place: Place) -> str:
    """Returns heading, purpose and table of one section."""
    title = f"`{place.path}`" if place.path else "Top level"
    kind = f" (`{place.tag}`)" if place.tag else ""
    about = (place.section.__doc__ or "").partition("\n\n")[0]
    word = getattr(place.section, "shorthand", None)
    short = f" Shorthand: the bare word is `{word}`." if word else ""
    rows = [row(place, key) for key in place.section.model_fields]
    head = ["| key | allowed | default | meaning |", "|---|---|---|---|"]
    return "\n".join([f"## {title}{kind}", "", plain(about) + short, "", *head, *rows, ""])


def row(place: Place, key: str) -> str:
    """Returns one key's line of the table."""
    annotation = settings(place.section)[key]
    texts = docstrings(place.section)
    if inner := sections(annotation):
        kinds = sorted({tag_of(section) for section in inner}) if len(inner) > 1 else []
        allowed = "section" + (": " + ", ".join(f"`{kind}`" for kind in kinds) if kinds else "")
        default = chosen(default_of(place, key), len(inner))
        about = texts.get(key, (inner[0].__doc__ or "").partition("\n")[0] if not kinds else "")
    else:
        allowed = values(properties(place.section)[key])
        default = shown(default_of(place, key))
        about = texts.get(key, "")
    cells = (f"`{key}`", allowed, default, plain(about) or "Which of its kinds.")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def chosen(default: Any, kinds: int) -> str:
    """Says what a section is by default: absent, one of several kinds, or all its defaults."""
    if not isinstance(default, BaseModel):
        return "-"
    return f"`{{{tag_of(type(default))}}}`" if kinds > 1 else "its defaults"


@cache
def properties(section: type[BaseModel]) -> dict[str, Any]:
    """Returns the JSON Schemas of a section's keys."""
    schema = section.model_json_schema()
    whole = schema.get("anyOf", [schema])[0]  # a section with a shorthand is also a bare word
    found: dict[str, Any] = whole["properties"]
    return found


def values(schema: dict[str, Any]) -> str:
    """Says in words what a JSON Schema allows.

    >>> values({"type": "integer", "minimum": 1})
    'integer >= 1'
    >>> values({"anyOf": [{"type": "string"}, {"type": "null"}]})
    'text, or nothing'
    """
    if "anyOf" in schema:
        return ", or ".join(values(part) for part in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        words = schema.get("enum", [schema.get("const")])
        return ", ".join(f"`{word}`" for word in words)
    inner = schema.get("items") or schema.get("additionalProperties") or {}
    within = values(inner) if isinstance(inner, dict) and inner else "anything"
    return _NAMES[schema.get("type", "any")].format(within) + _bounds(schema)


_NAMES = {
    "integer": "integer",
    "number": "number",
    "string": "text",
    "boolean": "`true`, `false`",
    "null": "nothing",
    "array": "list of {}",
    "object": "map of names to {}",
    "any": "anything",
}
_SIGNS = {
    "minimum": ">=",
    "exclusiveMinimum": ">",
    "maximum": "<=",
    "exclusiveMaximum": "<",
    "pattern": "like",
}


def _bounds(schema: dict[str, Any]) -> str:
    found = [(sign, schema[key]) for key, sign in _SIGNS.items() if key in schema]
    texts = [f"{s} `{v}`" if s == "like" else f"{s} {v:g}" for s, v in found]
    return "".join(f" {text}" if at == 0 else f", {text}" for at, text in enumerate(texts))


def shown(value: Any) -> str:
    """Writes a default as a YAML file would.

    >>> shown((64, 64)), shown(None), shown(PydanticUndefined)
    ('`[64, 64]`', 'nothing', '-')
    """
    if value is PydanticUndefined:
        return "-"
    if value is None:
        return "nothing"
    text = value if isinstance(value, str) else json.dumps(value)
    return f"`{text}`"


def plain(docstring: str) -> str:
    """Turns a docstring into one line of Markdown.

    >>> plain("``ray``: on workers.")
    '`ray`: on workers.'
    """
    return re.sub(r"\s+", " ", docstring).replace("``", "`").strip()


if __name__ == "__main__":
    TARGET.write_text(document(), encoding="utf-8")
