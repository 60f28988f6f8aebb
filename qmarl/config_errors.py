"""What pydantic found wrong, said in our words: what was got, what is allowed, the nearest name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from qmarl import config_types as types
from qmarl.errors import ConfigurationError
from qmarl.yaml_source import Node, Problem

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

Steps = tuple[str | int, ...]

_WANTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "string_unicode": "text that is valid Unicode",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a section",
    "model_type": "a section",
    "model_attributes_type": "a section",
    "path_type": "a path",
    "is_instance_of": "a path",
    "none_required": "empty",
    "finite_number": "a finite number",
    "greater_than_equal": "at least {ge}",
    "greater_than": "greater than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
    "multiple_of": "a multiple of {multiple_of}",
    "string_too_short": "at least {min_length} characters long",
    "string_too_long": "at most {max_length} characters long",
    "string_pattern_mismatch": "text that matches {pattern}",
    "too_short": "of length {min_length} or more",
    "too_long": "of length {max_length} or less",
}
"""What a value of each pydantic error type must be."""


class Misfits(ValueError):  # noqa: N818 - named for what it carries, raised only by validators
    """Settings that do not fit together, raised by a section's own validator.

    Every problem is reported at the place of the setting that it names.

    Args:
        problems: Pairs of dotted path, relative to the section that raises, and sentence.
    """

    def __init__(self, problems: Iterable[tuple[str, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{path}: {text}" for path, text in self.problems))


class _Finding(NamedTuple):
    """One of pydantic's errors with the path of the setting, its annotation and its section's."""

    path: Steps
    annotation: Any
    parent: Any
    error: Mapping[str, Any]


def nearest(word: str, allowed: Iterable[str]) -> str | None:
    """Returns the allowed word that is closest to ``word``, if one is close.

    >>> nearest("layrs", ["layers", "qubits"]), nearest("x", ["layers"])
    ('layers', None)
    """
    names = list(allowed)
    lower = {name.lower(): name for name in reversed(names)}
    found = difflib.get_close_matches(word.lower()[:80], lower, 1)
    return lower[found[0]] if found else None


def unknown(what: str, word: str, allowed: Sequence[str]) -> str:
    """Returns the sentence on an unknown word: the nearest name, or all that are known.

    >>> unknown("key", "layrs", ["layers", "qubits"])
    "unknown key 'layrs'; did you mean 'layers'?"
    >>> unknown("task", "zzz", ["a", "b"])
    "unknown task 'zzz' (allowed: a, b)"
    """
    near = nearest(word, allowed)
    if near is not None:
        return f"unknown {what} {word!r}; did you mean {near!r}?"
    return f"unknown {what} {word!r} (allowed: {', '.join(allowed) or 'none'})"


def dotted(path: Steps) -> str:
    """Returns a path as a person writes it.

    >>> dotted(("actor", "hidden", 0))
    'actor.hidden.0'
    """
    return ".".join(str(step) for step in path)


def refusal(problems: Iterable[Problem]) -> ConfigurationError:
    """Returns the one error that lists all problems, those in files first, in reading order."""
    found = sorted(dict.fromkeys(problems), key=lambda problem: problem.origin.line == 0)
    count = "1 problem" if len(found) == 1 else f"{len(found)} problems"
    return ConfigurationError("\n  ".join([f"{count} in the configuration", *map(str, found)]))


def translate(error: ValidationError, model: type[BaseModel], root: Node) -> list[Problem]:
    """Turns pydantic's errors into problems with origins.

    Args:
        error: What validating ``root.plain()`` raised.
        model: The model that was validated.
        root: The merged configuration, which knows where everything was written.
    """
    grouped: dict[Steps, list[_Finding]] = {}
    for item in error.errors(include_url=False):
        finding = _follow(model, item, root)
        grouped.setdefault(finding.path, []).append(finding)
    return [
        problem
        for path, found in grouped.items()
        if not any(len(other) > len(path) and other[: len(path)] == path for other in grouped)
        or not _all_wanted(found)
        for problem in _told(found, root)
    ]


def _follow(model: type[BaseModel], error: Mapping[str, Any], root: Node) -> _Finding:
    """Walks pydantic's ``loc`` along the annotations and leaves out the tags of unions."""
    path: list[str | int] = []
    annotation: Any = model
    parent: Any = None
    for step in error["loc"]:
        found = types.variants(annotation) if annotation is not None else ()
        if len(found) > 1:
            annotation = _labelled(found, str(step))
            continue
        here = root.find(tuple(path)).plain()
        if found and (step != "[key]" or (isinstance(here, dict) and step in here)):
            path.append(step)
            parent, annotation = annotation, types.inner(annotation, step, here)
    return _Finding(tuple(path), annotation, parent, error)


def _labelled(found: tuple[types.Variant, ...], label: str) -> Any:
    """Returns the member of a union that pydantic calls ``label``."""
    tagged = (item.type for item in found if item.tag == label)
    named = (
        item.type
        for item in found
        if item.tag is None and re.search(rf"\b{item.type.__name__}\b", label, re.IGNORECASE)
    )
    return next(tagged, None) or next(named, None)


def _all_wanted(found: list[_Finding]) -> bool:
    return all(item.error["type"] in (*_WANTED, "literal_error") for item in found)


def _told(found: list[_Finding], root: Node) -> list[Problem]:
    first = found[0]
    if _all_wanted(found):
        wanted = " or ".join(dict.fromkeys(_wanted(item) for item in found))
        words = [word for item in found for word in types.choices(item.annotation)]
        return [_problem(first.path, f"must be {wanted}{_got(first.error['input'], words)}", root)]
    return [problem for item in found for problem in _one(item, root)]


def _one(finding: _Finding, root: Node) -> list[Problem]:
    path, error = finding.path, finding.error
    kind, cause = error["type"], error.get("ctx", {}).get("error")
    if isinstance(cause, Misfits):
        return [_problem((*path, *_steps(at)), text, root) for at, text in cause.problems]
    if kind == "extra_forbidden":
        return [_problem(path, _unknown_key(finding, root), root)]
    if kind == "missing":
        return [_problem(path, "is required", root)]
    if kind.startswith("union_tag"):
        return [_untold_kind(finding, root)]
    if cause is not None:  # the section's own sentence
        return [_problem(path, str(cause), root)]
    got = "" if isinstance(error["input"], Mapping) else _got(error["input"], ())
    return [_problem(path, f"{_wanted(finding)}{got}", root)]


def _untold_kind(finding: _Finding, root: Node) -> Problem:
    """The tag of a union is missing or unknown."""
    key = types.tag_key(finding.annotation)
    allowed = types.choices(finding.annotation)
    value = finding.error["input"]
    path = (*finding.path, key) if key else finding.path
    if not isinstance(value, Mapping) or key not in value:
        return _problem(path, f"is required (allowed: {', '.join(allowed)})", root)
    return _problem(path, f"must be {_one_of(allowed)}{_got(value[key], allowed)}", root)


def _unknown_key(finding: _Finding, root: Node) -> str:
    here = root.find(finding.path[:-1]).plain()
    section = types.variant_of(finding.parent, here)
    names = list(section.model_fields) if section else []
    return unknown("key", str(finding.path[-1]), names)


def _wanted(finding: _Finding) -> str:
    """Returns what the value must be, to stand after "must be"."""
    kind, context = finding.error["type"], finding.error.get("ctx", {})
    if kind == "literal_error":
        return _one_of(types.choices(finding.annotation))
    if kind in _WANTED:
        limits = {k: f"{v:g}" if isinstance(v, float) else v for k, v in context.items()}
        return _WANTED[kind].format(**limits)
    text = str(finding.error["msg"])
    return text[:1].lower() + text[1:]


def _one_of(words: Sequence[str]) -> str:
    return f"one of {', '.join(words)}" if len(words) > 1 else repr("".join(words))


def _got(value: Any, words: Iterable[str]) -> str:
    """Returns the bracket that shows what was got, and the nearest of the allowed words."""
    if isinstance(value, Mapping):
        return " (got a section)"
    if isinstance(value, list | tuple):
        value = f"a list of {len(value)}"
    elif value is None or isinstance(value, bool):
        value = "nothing" if value is None else str(value).lower()
    else:
        near = nearest(value, words) if isinstance(value, str) else None
        value = f"{value!r:.60}" + (f"; did you mean {near!r}?" if near else "")
    return f" (got {value})"


def _steps(path: str) -> Steps:
    return tuple(int(step) if step.isdigit() else step for step in path.split(".") if step)


def _problem(path: Steps, message: str, root: Node) -> Problem:
    return Problem(root.find(path).origin, dotted(path), message)
