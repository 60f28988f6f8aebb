"""Five people who add up secretly: what the tests of secure aggregation have in common."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from qmarl.federated.secagg import SecureAggregationConfig, SecureSession, open_session
from qmarl.federated.secagg_identity import Identity, new_identity
from qmarl.federated.secagg_round import SecureRound
from qmarl.federated.transport import InMemoryChannel
from qmarl.types import Array

ACTIVE_STAGES = ("advert", "shares", "masked", "confirm", "reveal")

NAMES = tuple("abcde")
PEOPLE = {name: new_identity("ed25519", bytes([place]) * 32) for place, name in enumerate(NAMES)}
CONFIG = SecureAggregationConfig(threshold=3, signatures="ed25519")
ACTIVE = SecureAggregationConfig(threshold=4, signatures="ed25519", active_server=True)
SIZE = 6
VECTORS = {name: np.random.default_rng(ord(name)).normal(size=SIZE) for name in NAMES}
Sent = dict[str, dict[str, bytes]]


def session_of(
    config: SecureAggregationConfig = CONFIG,
    round_number: int = 0,
    size: int = SIZE,
    people: dict[str, Identity] = PEOPLE,
) -> SecureSession:
    public = {name: identity.public for name, identity in people.items()}
    return open_session(config, "run/all", round_number, public, size)


def round_of(session: SecureSession, people: dict[str, Identity] = PEOPLE) -> SecureRound:
    return SecureRound(session, people, InMemoryChannel())


def upto(play: SecureRound, stage: str, vectors: dict[str, Array] = VECTORS) -> Sent:
    sent: Sent = {}
    while play.server.stage != stage:
        before = play.server.stage
        sent[before] = play.exchange(vectors)
        assert not play.rejected
    return sent


def exact(session: SecureSession, names: Iterable[str]) -> Array:
    return np.sum([session.number.encode(VECTORS[name]) for name in names], axis=0, dtype="<u8")
