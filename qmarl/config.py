"""Configuration: strict sections, YAML that means what it says, and errors that say where.

A configuration is a tree of :class:`Section` models. :func:`load` lays layers over each other, the
later ones above: the presets that the file names, the file, the presets named on the command line,
and the dotted overrides. It reports every problem of every layer at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from qmarl import config_types as types
from qmarl.config_errors import Misfits, nearest, refusal, translate, unknown
from qmarl.config_types import Section
from qmarl.yaml_source import (
    Node,
    Origin,
    Problem,
    UnreadableError,
    read_file,
    read_text,
    write_text,
)

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Misfits", "Section", "json_schema", "load", "nearest", "to_yaml", "unknown"]

Model = TypeVar("Model", bound=BaseModel)

_PRESETS = "presets"
_PRESET_WORDS = ("preset", "presets")


def load(
    path: Path, overrides: Sequence[str], model: type[Model], presets_dir: Path
) -> tuple[Model, dict[str, Any]]:
    """Reads a configuration file.

    Args:
        path: YAML 1.2 file. Its key ``presets`` names files of ``presets_dir`` to lie below it.
        overrides: ``a.b=value`` with the value in YAML, the last one winning. ``preset=debug``
            lays a preset above the file. ``=`` with nothing behind it means an empty value.
        model: What to read it as. Where an override changes the kind of a section, the settings
            that only the former kind knows are forgotten.
        presets_dir: Directory of ``<name>.yaml`` presets.

    Returns:
        The configuration, and what was written in all layers together (plain data, no defaults).

    Raises:
        ConfigurationError: Its text lists all problems, each as ``file:line:column: path: message``
            or ``override 'a.b=c': path: message``.
    """
    problems: list[Problem] = []
    try:
        file = read_file(path, problems)
    except UnreadableError as error:
        raise refusal([error.problem]) from None
    root = _merged(model, _layers(file, overrides, presets_dir, problems))
    try:
        config = model.model_validate(root.plain())
    except ValidationError as error:
        problems += translate(error, model, root)
    if problems:
        raise refusal(problems)
    return config, root.plain()


def to_yaml(config: BaseModel) -> str:
    """Returns a configuration with every default written out, as YAML that loads to the same."""
    return write_text(config.model_dump(mode="json"))


def json_schema(model: type[BaseModel], presets: Sequence[str] = ()) -> dict[str, Any]:
    """Returns the JSON Schema of a configuration file, for completion in editors.

    Args:
        model: What the file is read as.
        presets: Names that the key ``presets`` may hold.
    """
    schema = model.model_json_schema()
    word = {"type": "string", "enum": list(presets)} if presets else {"type": "string"}
    named = {"anyOf": [word, {"type": "array", "items": word}], "title": "Presets"}
    schema["properties"][_PRESETS] = {**named, "description": "Presets that lie below this file."}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def preset_names(presets_dir: Path) -> list[str]:
    """Returns the names of the presets in a directory, sorted."""
    return sorted(path.stem for path in presets_dir.glob("*.yaml"))


def _layers(
    file: Node, overrides: Sequence[str], presets_dir: Path, problems: list[Problem]
) -> list[Node]:
    """Returns the layers of a configuration, the lowest first."""
    entries = _entries(file)
    below = _names(entries.pop(_PRESETS, None), problems)
    settings = list(_overrides(overrides, problems))
    above = [
        name for key, node in settings if key in _PRESET_WORDS for name in _names(node, problems)
    ]
    return [
        *(_preset(name, presets_dir, problems) for name in below),
        Node(entries, file.origin),
        *(_preset(name, presets_dir, problems) for name in above),
        *(_nested(key, node) for key, node in settings if key not in _PRESET_WORDS),
    ]


def _entries(node: Node) -> dict[str, Node]:
    return dict(node.value) if isinstance(node.value, dict) else {}


def _names(node: Node | None, problems: list[Problem]) -> list[Node]:
    """Returns the nodes of preset names: one word, or a list of words."""
    if node is None:
        return []
    found = node.value if isinstance(node.value, list) else [node]
    wrong = [item for item in found if not isinstance(item.value, str)]
    problems += [Problem(i.origin, _PRESETS, "must be the name of a preset") for i in wrong]
    return [item for item in found if isinstance(item.value, str)]


def _preset(name: Node, presets_dir: Path, problems: list[Problem]) -> Node:
    known = preset_names(presets_dir)
    if name.value not in known:
        sentence = unknown("preset", str(name.value), known)
        problems.append(Problem(name.origin, _PRESETS, sentence))
        return Node({}, name.origin)
    try:
        return read_file(presets_dir / f"{name.value}.yaml", problems)
    except UnreadableError as error:
        problems.append(error.problem)
        return Node({}, name.origin)


def _overrides(texts: Sequence[str], problems: list[Problem]) -> Iterator[tuple[str, Node]]:
    """Reads each ``a.b=value`` into its key and value."""
    for text in texts:
        key, equals, value = text.partition("=")
        origin = Origin(f"override {text!r}")
        if not equals or not all(key.strip().split(".")):
            problems.append(Problem(origin, "", "must look like section.key=value"))
            continue
        try:
            yield key.strip(), read_text(value, origin, problems)
        except UnreadableError as error:
            problems.append(error.problem)


def _nested(key: str, node: Node) -> Node:
    for step in reversed(key.split(".")):
        node = Node({step: node}, node.origin)
    return node


def _merged(model: type[BaseModel], layers: Sequence[Node]) -> Node:
    root = layers[0]
    for layer in layers[1:]:
        root = _over(model, root, layer)
    return root


def _over(annotation: Any, lower: Node, upper: Node) -> Node:
    """Lays ``upper`` over ``lower``: sections are joined key by key, anything else is replaced."""
    lower = _with_kind(annotation, _spelled_out(annotation, lower))
    upper = _spelled_out(annotation, upper)
    if not isinstance(lower.value, dict) or not isinstance(upper.value, dict):
        return upper
    below, above = lower.value, upper.value
    joined = Node({**below, **above}, lower.origin)
    former = types.variant_of(annotation, lower.plain())
    section = types.variant_of(annotation, joined.plain())
    entries = {k: node for k, node in below.items() if not _forgotten(k, former, section)}
    for key, node in above.items():
        deeper = types.inner(annotation, key, joined.plain())
        entries[key] = _over(deeper, entries[key], node) if key in entries else node
    return Node(entries, lower.origin)


def _forgotten(key: str, former: type[BaseModel] | None, section: type[BaseModel] | None) -> bool:
    """Says whether a lower layer's key belonged to a kind that a higher layer changed."""
    if former is None or section is None or former is section:
        return False
    return key in former.model_fields and key not in section.model_fields


def _spelled_out(annotation: Any, node: Node) -> Node:
    """Writes a bare word or an empty section as the section that it stands for."""
    if annotation is None:
        return node
    word = types.shorthand_of(annotation) if isinstance(node.value, str) else None
    if word:
        return Node({word: node}, node.origin)
    if node.value is None and types.empty_means_default(annotation):
        return Node({}, node.origin)
    return node


def _with_kind(annotation: Any, node: Node) -> Node:
    """Writes the default's kind into a section that does not say its own."""
    tag = types.default_tag(annotation) if annotation is not None else None
    if tag is None or not isinstance(node.value, dict):
        return node
    return Node({tag[0]: Node(tag[1], node.origin), **node.value}, node.origin)
