"""What every aggregator and every channel has to keep, as checks that anyone may run on theirs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from qmarl.federated.aggregators import Aggregator, Update
from qmarl.federated.transport import SERVER
from qmarl.types import Channel, Link, Params


def check_aggregator(make: Callable[[], Aggregator], clients: int = 5, seed: int = 0) -> None:
    """Proves on random updates that an aggregator keeps its protocol.

    It must be pure, independent of the updates' order and of the unit in which examples are
    counted, keep names and shapes in float64, treat identical clients as one, and need no more
    clients when a malicious one was caught than before.

    Args:
        make: Makes a fresh aggregator.
        clients: Number of updates, at least what the aggregator needs.
        seed: Seed of the random updates.

    Raises:
        AssertionError: A property does not hold; the text says which.
    """
    updates = _random_updates(clients, seed)
    _check_order(make(), updates)
    _check_purity(make(), updates)
    _check_unit(make(), updates)
    _check_identical(make(), updates[0], clients)
    _check_facing(make(), updates)


def check_channel(channel: Channel) -> None:
    """Proves that a channel delivers payloads of many sizes whole, in both directions.

    Raises:
        AssertionError: What came out is not what went in.
    """
    for round_number, size in enumerate((0, 1, 255, 4096, 100_000)):
        for sender, receiver in (("client", SERVER), (SERVER, "client")):
            payload = np.random.default_rng(size).bytes(size)
            got = channel.transfer(payload, Link(sender, receiver, round_number))
            assert got == payload, f"{size} bytes from {sender} to {receiver} came out changed"


def _random_updates(clients: int, seed: int) -> list[Update]:
    rng = np.random.default_rng(seed)
    return [
        Update(
            f"client_{i}",
            {"angles": rng.normal(size=(2, 3)), "bias": rng.normal(size=())},
            int(rng.integers(1, 1000)),
        )
        for i in range(clients)
    ]


def _rounds(aggregator: Aggregator, updates: Sequence[Update], count: int = 3) -> list[Params]:
    steps, state = [], dict[str, np.ndarray]()
    for _ in range(count):
        step, state = aggregator.aggregate(updates, state)
        steps.append(step)
    return steps


def _check_order(aggregator: Aggregator, updates: Sequence[Update]) -> None:
    forward, backward = _rounds(aggregator, updates), _rounds(aggregator, updates[::-1])
    assert _bits(forward) == _bits(backward), "the order of updates must not change a bit"


def _check_purity(aggregator: Aggregator, updates: Sequence[Update]) -> None:
    before = _bits([update.arrays for update in updates])
    _, state = aggregator.aggregate(updates, {})
    held = _bits([state])
    first, second = (aggregator.aggregate(updates, state)[0] for _ in range(2))
    assert _bits([first]) == _bits([second]), "the same arguments must give the same step"
    assert _bits([update.arrays for update in updates]) == before, "updates must stay as they are"
    assert _bits([state]) == held, "the state that was given must stay as it is"
    for name, array in updates[0].arrays.items():
        assert first[name].shape == array.shape, f"{name}: the shape must stay"
        assert first[name].dtype == np.float64, f"{name}: steps are float64"
    assert set(first) == set(updates[0].arrays), "the step must have the updates' names"


def _check_unit(aggregator: Aggregator, updates: Sequence[Update]) -> None:
    scaled = [Update(update.client, update.arrays, 7 * update.examples) for update in updates]
    _check_close(
        _rounds(aggregator, updates),
        _rounds(aggregator, scaled),
        "the unit of examples must not matter",
    )


def _check_identical(aggregator: Aggregator, update: Update, clients: int) -> None:
    def copies(step: int) -> list[Update]:
        return [Update(f"client_{i}", update.arrays, 1 + step * i) for i in range(clients)]

    _check_close(
        _rounds(aggregator, copies(0)),
        _rounds(aggregator, copies(3)),
        "the weights of identical clients must not matter",
    )


def _check_facing(aggregator: Aggregator, updates: Sequence[Update]) -> None:
    fewer = aggregator.facing(1)
    assert fewer.least() <= aggregator.least(), "one malicious client less needs no more clients"
    _check_order(fewer, updates)
    _check_purity(fewer, updates)


def _check_close(left: list[Params], right: list[Params], promise: str) -> None:
    for one, other in zip(left, right, strict=True):
        for name in one:
            assert np.allclose(one[name], other[name], rtol=1e-9, atol=1e-12), promise


def _bits(many: Sequence[Params]) -> list[tuple[str, bytes]]:
    return [(name, many_[name].tobytes()) for many_ in many for name in sorted(many_)]
