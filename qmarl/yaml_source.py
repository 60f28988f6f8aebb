"""YAML 1.2 read so that every value still knows the file, line and column that it came from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import yaml

if TYPE_CHECKING:
    from pathlib import Path

Scalar: TypeAlias = str | int | float | bool | None

MAX_BYTES = 1 << 20
"""A configuration file larger than this [bytes] is refused."""
MAX_VALUES = 20_000
"""Aliases may expand a file to this many values, no further."""
MAX_DEPTH = 40
"""Sections and lists may be nested this deep."""

_INTEGER_LIMIT = 1 << 63
_INT = re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$")
_FLOAT = re.compile(
    r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
_NULL = re.compile(r"(?:~|null|Null|NULL|)$")
_BOOL = re.compile(r"(?:true|True|TRUE|false|False|FALSE)$")
_TAG = "tag:yaml.org,2002:"
_CORE: list[tuple[str, re.Pattern[str]]] = [
    (f"{_TAG}null", _NULL),
    (f"{_TAG}bool", _BOOL),
    (f"{_TAG}int", _INT),
    (f"{_TAG}float", _FLOAT),
]
_KNOWN_TAGS = {tag for tag, _ in _CORE} | {f"{_TAG}{name}" for name in ("str", "seq", "map")}


class _Loader(yaml.SafeLoader):
    """Composes nodes with the tags of the YAML 1.2 core schema (PyYAML's own are of YAML 1.1)."""


class _Dumper(yaml.SafeDumper):
    """Quotes whatever either version of YAML would read as something else."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True

    def represent_sequence(self, tag: str, sequence: Any, _flow: bool | None = None) -> Any:
        short = not any(isinstance(item, dict | list | tuple) for item in sequence)
        return super().represent_sequence(tag, sequence, flow_style=short)


_Loader.yaml_implicit_resolvers = {None: _CORE}
_Dumper.yaml_implicit_resolvers = {**yaml.SafeDumper.yaml_implicit_resolvers, None: _CORE}


class Origin(NamedTuple):
    """Where a value was written: a file with line and column (from 1), or an override (line 0)."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """Returns ``file:line:column``, or the source alone."""
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


class Problem(NamedTuple):
    """One thing that is wrong, where it stands, and the dotted path of the setting."""

    origin: Origin
    path: str
    message: str

    def __str__(self) -> str:
        """Returns ``origin: path: message``."""
        return ": ".join(str(part) for part in self if str(part))


@dataclass(frozen=True)
class Node:
    """A value with its origin; sections hold nodes by key, lists hold nodes in order.

    Attributes:
        value: The scalar, ``dict[str, Node]`` or ``list[Node]``.
        origin: Where it was written; for a section's entry, where its key was.
    """

    value: Scalar | dict[str, Node] | list[Node]
    origin: Origin

    def plain(self) -> Any:
        """Returns the value without origins: dicts, lists and scalars."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def find(self, path: tuple[str | int, ...]) -> Node:
        """Returns the node at ``path``, or the deepest one on the way there."""
        node = self
        for step in path:
            inner = node.value
            if isinstance(inner, dict) and step in inner:
                node = inner[str(step)]
            elif isinstance(inner, list) and isinstance(step, int) and step < len(inner):
                node = inner[step]
            else:
                break
        return node


class UnreadableError(Exception):
    """The text is no YAML at all; carries the one problem that says so."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def read_file(path: Path, problems: list[Problem]) -> Node:
    """Reads a file as one section.

    Args:
        path: File in UTF-8 of at most :data:`MAX_BYTES`.
        problems: Receives what is wrong inside the file, such as a key given twice.

    Raises:
        UnreadableError: The file is missing, a directory, no text, no YAML, empty, or no section.
    """
    origin = Origin(str(path))
    node = read_text(_text(path, origin), Origin(str(path), 1, 1), problems)
    if isinstance(node.value, dict):
        return Node(node.value, Origin(str(path), 1, 1))
    if node.value is None:
        raise UnreadableError(
            Problem(origin, "", "the file is empty; it must hold key: value lines")
        )
    got = "a list" if isinstance(node.value, list) else f"the single value {node.value!r:.40}"
    raise UnreadableError(Problem(origin, "", f"must hold key: value lines (got {got})"))


def read_text(text: str, origin: Origin, problems: list[Problem]) -> Node:
    """Reads YAML text.

    Args:
        text: The text.
        origin: Its source; with line 0 (an override) every value keeps it as it is.
        problems: Receives what is wrong inside.

    Raises:
        UnreadableError: The text is no YAML.
    """
    try:
        root = yaml.compose(text, _Loader)
    except yaml.YAMLError as error:
        raise UnreadableError(_syntax(error, origin)) from None
    except RecursionError:
        raise UnreadableError(Problem(origin, "", "is nested too deeply")) from None
    return _Builder(origin, problems).build(root) if root else Node(None, origin)


def write_text(data: Any) -> str:
    """Returns plain data (dicts, lists, scalars) as YAML that reads back as the same.

    >>> print(write_text({"name": "no", "rate": 1e-5, "hidden": [64, 64]}), end="")
    name: 'no'
    rate: 1.0e-05
    hidden: [64, 64]
    """
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def scalar(text: str) -> Scalar:
    """Resolves a plain (unquoted) scalar by the YAML 1.2 core schema.

    >>> scalar("1e-3"), scalar("no"), scalar("0o17"), scalar("010"), scalar("1_000")
    (0.001, 'no', 15, 10, '1_000')
    """
    if _NULL.match(text):
        return None
    if _BOOL.match(text):
        return text.lower() == "true"
    if _INT.match(text):
        return _integer(text)
    if _FLOAT.match(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


def _integer(text: str) -> int | float:
    digits = text.lstrip("+-0")
    if len(digits) > 19:  # also keeps int() away from strings that take it seconds to read
        return float("-inf" if text.startswith("-") else "inf")
    number = int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    return number if abs(number) < _INTEGER_LIMIT else float(number)


def _text(path: Path, origin: Origin) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UnreadableError(Problem(origin, "", _refusal(error))) from None
    except ValueError:
        raise UnreadableError(Problem(origin, "", "no file can have this name")) from None
    if len(raw) > MAX_BYTES:
        raise UnreadableError(
            Problem(origin, "", "larger than 1 MiB; this is no configuration file")
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnreadableError(Problem(origin, "", "not a text file (UTF-8 expected)")) from None


def _refusal(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, IsADirectoryError):
        return "is a directory; a configuration is a file"
    return f"cannot be read: {(error.strerror or str(error)).lower()}"


def _syntax(error: yaml.YAMLError, origin: Origin) -> Problem:
    if isinstance(error, yaml.MarkedYAMLError):
        what = error.problem or error.context or "not YAML"
        mark = error.problem_mark or error.context_mark
    else:  # a character that YAML does not allow
        what, mark = "not a text file (it holds control characters)", None
    if mark is not None and origin.line:
        origin = Origin(origin.source, mark.line + 1, mark.column + 1)
    return Problem(origin, "", f"not valid YAML: {what}")


@dataclass
class _Builder:
    """Turns PyYAML's nodes into ours, and notes what YAML allows but a configuration does not."""

    origin: Origin
    problems: list[Problem]
    count: int = 0

    def build(self, node: yaml.Node, origin: Origin | None = None, depth: int = 0) -> Node:
        self.count += 1
        origin = origin or self.at(node)
        if self.count > MAX_VALUES or depth > MAX_DEPTH:
            limit = f"{MAX_VALUES} values" if self.count > MAX_VALUES else f"{MAX_DEPTH} levels"
            raise UnreadableError(Problem(origin, "", f"expands to more than {limit}"))
        if node.tag not in _KNOWN_TAGS:
            self.problems.append(Problem(origin, "", f"tag {node.tag!r} is not allowed"))
        if isinstance(node, yaml.MappingNode):
            return Node(dict(self.entries(node, depth)), origin)
        if isinstance(node, yaml.SequenceNode):
            return Node([self.build(item, None, depth + 1) for item in node.value], origin)
        text: str = node.value
        return Node(text if node.tag == f"{_TAG}str" else scalar(text), origin)

    def at(self, node: yaml.Node) -> Origin:
        if not self.origin.line:
            return self.origin
        mark = node.start_mark
        return Origin(self.origin.source, mark.line + 1, mark.column + 1)

    def entries(self, node: yaml.MappingNode, depth: int) -> Iterator[tuple[str, Node]]:
        seen: set[str] = set()
        for key, value in node.value:
            origin = self.at(key)
            if not isinstance(key, yaml.ScalarNode):
                self.problems.append(Problem(origin, "", "a key must be a single word"))
            elif key.value in seen:
                self.problems.append(Problem(origin, key.value, "this key is given twice"))
            else:
                seen.add(key.value)
                yield key.value, self.build(value, origin, depth + 1)
