"""Which parameters travel: name patterns, and the rest stays at home."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import TypeVar

from qmarl.errors import ConfigurationError

Named = TypeVar("Named")


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Says whether ``name`` fits any of ``patterns`` (shell style: ``*``, ``?``, ``[ab]``).

    >>> matches("actor.angles", ("actor.*",))
    True
    >>> matches("critic.0.weight", ("actor.*",))
    False
    """
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def select(
    named: Mapping[str, Named], patterns: Iterable[str], key: str = "federation.share"
) -> dict[str, Named]:
    """Returns what is shared of ``named``, in its order; works on parameters and on layouts.

    Args:
        named: Anything by parameter name.
        patterns: Shell-style patterns; each has to match at least one name.
        key: Where the patterns stand in a configuration, for the error's text.

    Raises:
        ConfigurationError: A pattern matches nothing; the text lists the names that exist.
    """
    patterns = tuple(patterns)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in named):
            raise ConfigurationError(_nothing_matches(key, pattern, sorted(named)))
    return {name: value for name, value in named.items() if matches(name, patterns)}


def _nothing_matches(key: str, pattern: str, names: list[str]) -> str:
    near = difflib.get_close_matches(pattern, names, n=1, cutoff=0.4)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return f"{key}: '{pattern}' matches no parameter{hint} (there are {names})"
