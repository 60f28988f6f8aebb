"""Puts what some learners learned into the stack of all; the others stay as they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from qmarl.federated.transport import Traffic
from qmarl.types import Array, Params
from trainers.algorithms.ppo import Learned


def stacked(parts: Mapping[int, Learned], params: Params, moments: Params) -> Learned:
    """Makes one stack of what was learned at some places; elsewhere nothing changes.

    Args:
        parts: What a stack of one learned, by its place.
        params: Parameters ``(S, ...)`` before.
        moments: Moments ``(S, ...)`` before.

    Returns:
        The stack after; its metrics are means over the parts, none where there are none.
    """
    places = sorted(parts)
    own = [parts[place] for place in places]
    count = len(next(iter(params.values())))
    names = own[0].metrics if own else ()
    return Learned(
        _into(params, places, [one.params for one in own]),
        _into(moments, places, [one.moments for one in own]),
        _replaced(np.zeros(count, np.int64), places, [one.examples for one in own]),
        {name: float(np.mean([one.metrics[name] for one in own])) for name in names},
        Traffic(sum(one.traffic.up for one in own), sum(one.traffic.down for one in own)),
        _replaced(np.zeros(count, np.int64), places, [one.steps for one in own]),
    )


def settled(learned: Learned, params: Params, moments: Params, absent: Sequence[int]) -> Learned:
    """Puts the places of those who do not take part back to what they were.

    Args:
        learned: What the whole stack learned.
        params: Parameters before. A critic that the whole group has in common moves on.
        moments: Moments before.
        absent: Places of those who do not take part.
    """
    if not absent:
        return learned
    examples, steps = learned.examples.copy(), learned.steps.copy()
    examples[list(absent)] = steps[list(absent)] = 0
    count = len(examples)
    return replace(
        learned,
        params=learned.params | _back(learned.params, params, absent, count),
        moments=learned.moments | _back(learned.moments, moments, absent, count),
        examples=examples,
        steps=steps,
    )


def _back(after: Params, before: Params, absent: Sequence[int], count: int) -> Params:
    own = {name: array for name, array in after.items() if len(array) == count}
    rows = [{name: before[name][place : place + 1] for name in own} for place in absent]
    return _into(own, absent, rows)


def _into(stack: Params, places: Sequence[int], rows: Sequence[Params]) -> Params:
    """Stacks with other rows, each a stack of one, at some places."""
    return {
        name: _replaced(array, places, [row[name] for row in rows]) for name, array in stack.items()
    }


def _replaced(stack: Array, places: Sequence[int], rows: Sequence[Array]) -> Array:
    whole = [stack[place : place + 1] for place in range(len(stack))]
    for place, row in zip(places, rows, strict=True):
        whole[place] = row
    return np.concatenate(whole)
