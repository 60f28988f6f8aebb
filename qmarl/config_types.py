"""What the annotations of a section say: its settings, its variants, its bare-word shorthand."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    Union,
    get_args,
    get_origin,
)

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    GetJsonSchemaHandler,
    Tag,
    ValidationInfo,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

Annotation = Any
"""A type annotation as it stands on a field, with or without ``Annotated``."""

_ANNOTATED: Any = Annotated  # untyped, so that it can be compared with an origin


class Section(BaseModel):
    """Base of every configuration model: strict, frozen, unknown keys forbidden, numbers finite.

    Lists become tuples and text becomes a path where the annotation asks for it, an empty section
    means its defaults, and a bare word stands for the setting that :attr:`shorthand` names.

    Attributes:
        shorthand: Setting that a bare word fills: with ``shorthand = "kind"``, ``executor: ray``
            means ``executor: {kind: ray}``. In a union of sections the first one's counts.
    """

    # Not use_attribute_docstrings: it parses the source of every section at import.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
    shorthand: ClassVar[str | None] = None

    @model_validator(mode="before")
    @classmethod
    def _fit(cls, data: Any, info: ValidationInfo) -> Any:
        if isinstance(data, str) and cls.shorthand:
            data = {cls.shorthand: data}
        if not isinstance(data, Mapping):
            return data
        known = settings(cls)
        return {
            key: _fitted(known.get(key), value, info.mode == "python")
            for key, value in data.items()
            if value is not None or key not in known or not empty_means_default(known[key])
        }

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Describes each setting by the docstring under it, and accepts the bare word too."""
        schema = handler.resolve_ref_schema(handler(core_schema))
        for name, text in docstrings(cls).items():
            schema.get("properties", {}).get(name, {}).setdefault("description", text)
        word = schema.get("properties", {}).get(cls.shorthand) if cls.shorthand else None
        return {"anyOf": [schema, word]} if word else schema


class Variant(NamedTuple):
    """One member of a union: its tag (``None`` in an untagged union) and its bare type."""

    tag: str | None
    type: Any


def docstrings(section: type[BaseModel]) -> dict[str, str]:
    """Returns the docstring under each setting of ``section``, by key, read from its source."""
    import ast
    import inspect
    import textwrap

    found: dict[str, str] = {}
    for cls in reversed(section.__mro__):
        if not issubclass(cls, BaseModel) or cls in (BaseModel, Section):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0].body  # type: ignore[attr-defined] # a class
        for setting, text in pairwise(body):
            match setting, text:
                case ast.AnnAssign(ast.Name(name)), ast.Expr(ast.Constant(str(doc))):
                    found[name] = inspect.cleandoc(doc)
    return found


def settings(section: type[BaseModel]) -> dict[str, Annotation]:
    """Returns the annotation of every setting of ``section``, by key."""
    return {
        name: Annotated[(info.annotation, *info.metadata, info)]
        for name, info in section.model_fields.items()
    }


def is_section(annotation: Annotation) -> bool:
    """Says whether a bare annotation is a section."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def peel(annotation: Annotation) -> tuple[Any, str | Callable[[Any], Any] | None]:
    """Returns the bare type under ``Annotated``, and the discriminator that was found there."""
    found: Any = None
    while get_origin(annotation) is _ANNOTATED:
        annotation, *notes = get_args(annotation)
        for note in notes:
            found = note.discriminator if isinstance(note, FieldInfo) else note
            if isinstance(found, str | Discriminator):
                return annotation, found.discriminator if isinstance(
                    found, Discriminator
                ) else found
    return annotation, None


def variants(annotation: Annotation) -> tuple[Variant, ...]:
    """Returns the members of a union without ``None``, or the one type that is no union."""
    bare, discriminator = peel(annotation)
    if get_origin(bare) not in (Union, types.UnionType):
        return (Variant(None, bare),)
    return tuple(_tagged(get_args(bare), discriminator))


def optional(annotation: Annotation) -> bool:
    """Says whether ``None`` is allowed."""
    return types.NoneType in get_args(peel(annotation)[0])


def empty_means_default(annotation: Annotation) -> bool:
    """Says whether an empty value stands for a section's defaults."""
    return bool(sections(annotation)) and not optional(annotation)


def sections(annotation: Annotation) -> tuple[type[BaseModel], ...]:
    """Returns the sections among the variants of an annotation."""
    return tuple(item.type for item in variants(annotation) if is_section(item.type))


def variant_of(annotation: Annotation, value: Any) -> type[BaseModel] | None:
    """Returns the section that plain ``value`` belongs to, where its tag tells or only one fits."""
    found = sections(annotation)
    discriminator = peel(annotation)[1]
    if len(found) < 2 or discriminator is None:
        return found[0] if len(found) == 1 else None
    tag = tag_of(discriminator, value)
    return next((item.type for item in variants(annotation) if tag and item.tag == tag), None)


def tag_of(discriminator: str | Callable[[Any], Any], value: Any) -> str | None:
    """Returns the tag that a discriminator reads from plain ``value``."""
    if not isinstance(value, Mapping):
        return None
    tag = discriminator(value) if callable(discriminator) else value.get(discriminator)
    return tag if isinstance(tag, str) else None


def tag_key(annotation: Annotation) -> str | None:
    """Returns the key that tells the variants apart: the discriminator, or one they all have."""
    discriminator = peel(annotation)[1]
    if isinstance(discriminator, str):
        return discriminator
    found = sections(annotation)
    shared = (name for name in settings(found[0])) if found else iter(())
    return next((name for name in shared if all(name in s.model_fields for s in found)), None)


def default_tag(annotation: Annotation) -> tuple[str, str] | None:
    """Returns key and tag of a union's default, which holds where a section does not say its kind.

    With ``actor: A | B = A()`` a file may write ``actor: {qubits: 2}`` without the kind.
    """
    notes = get_args(annotation)[1:] if get_origin(annotation) is _ANNOTATED else ()
    default = next((note.default for note in notes if isinstance(note, FieldInfo)), None)
    key = tag_key(annotation)
    tag = getattr(default, key, None) if key and isinstance(default, BaseModel) else None
    return (key, tag) if key and isinstance(tag, str) and len(sections(annotation)) > 1 else None


def shorthand_of(annotation: Annotation) -> str | None:
    """Returns the setting that a bare word fills, or ``None`` where text is text."""
    found = sections(annotation)
    if not found or str in (item.type for item in variants(annotation)):
        return None
    words = (section.shorthand for section in found if issubclass(section, Section))
    return next((word for word in words if word), None)


def inner(annotation: Annotation, key: str | int, value: Any = None) -> Annotation | None:
    """Returns the annotation of what stands under ``key`` in ``value``, or ``None`` if unknown."""
    section = variant_of(annotation, value)
    for candidate in (section,) if section else sections(annotation):
        if key in candidate.model_fields:
            return settings(candidate)[str(key)]
    for item in variants(annotation):
        args = get_args(item.type)
        if isinstance(key, str) and get_origin(item.type) is dict:
            return args[1]
        if isinstance(key, int) and get_origin(item.type) in (tuple, list) and args:
            return args[0] if args[-1] is Ellipsis or key >= len(args) else args[key]
    return None


def choices(annotation: Annotation) -> tuple[str, ...]:
    """Returns the words that an annotation allows: tags of a union, values of a literal."""
    found: list[str] = []
    for item in variants(annotation):
        if item.tag is not None:
            found.append(item.tag)
        elif get_origin(item.type) is Literal:
            found.extend(str(word) for word in get_args(item.type))
    return tuple(dict.fromkeys(found))


def _tagged(
    members: tuple[Any, ...], discriminator: str | Callable[[Any], Any] | None
) -> Iterator[Variant]:
    for member in members:
        bare, _ = peel(member)
        if bare is types.NoneType:
            continue
        notes = get_args(member)[1:] if get_origin(member) is _ANNOTATED else ()
        named = [note.tag for note in notes if isinstance(note, Tag)]
        if isinstance(discriminator, str) and is_section(bare):
            named = [str(word) for word in get_args(bare.model_fields[discriminator].annotation)]
        yield from (Variant(tag, bare) for tag in named)
        if not named:
            yield Variant(None, bare)


def _fitted(annotation: Annotation | None, value: Any, paths: bool) -> Any:
    """Turns what YAML can write into what strict fields expect (in JSON, a path stays text)."""
    if annotation is None:
        return value
    kinds = [item.type for item in variants(annotation)]
    if isinstance(value, str):
        word = shorthand_of(annotation)
        return {word: value} if word else Path(value) if paths and Path in kinds else value
    if isinstance(value, Mapping) and any(get_origin(kind) is dict for kind in kinds):
        return {key: _fitted(inner(annotation, key), item, paths) for key, item in value.items()}
    if isinstance(value, Mapping) and (tag := default_tag(annotation)):
        return dict([tag]) | dict(value)
    if isinstance(value, list | tuple) and not any(is_section(kind) for kind in kinds):
        items = [_fitted(inner(annotation, at), item, paths) for at, item in enumerate(value)]
        return tuple(items) if any(get_origin(kind) is tuple for kind in kinds) else items
    return value
