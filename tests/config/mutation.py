"""Breaks a valid configuration at random, for property tests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def mutate(data: Any, draw: st.DrawFn) -> Any:
    """Drops, renames, adds or replaces one thing somewhere in the tree."""
    if not isinstance(data, dict) or not data or draw(st.integers(0, 7)) == 0:
        return draw(JUNK)
    key = draw(st.sampled_from(sorted(data)))
    rest = {name: value for name, value in data.items() if name != key}
    action = draw(st.sampled_from(["drop", "rename", "deeper", "add"]))
    if action == "drop":
        return rest
    if action == "rename":
        return {**rest, draw(st.text(max_size=5)): data[key]}
    if action == "add":
        return {**data, draw(st.sampled_from(["kind", "id", "presets", "<<"])): draw(JUNK)}
    return {**rest, key: mutate(data[key], draw)}


@st.composite
def mutants(draw: st.DrawFn, data: Any) -> Any:
    """Draws ``data`` with one to four things broken."""
    for _ in range(draw(st.integers(1, 4))):
        data = mutate(data, draw)
    return data
