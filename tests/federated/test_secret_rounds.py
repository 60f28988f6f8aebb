from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from qmarl.errors import ConfigurationError, UndeliveredError
from qmarl.federated.config import FederationConfig
from qmarl.federated.group_privacy import GroupPrivacy
from qmarl.federated.privacy import from_vector, to_vector
from qmarl.federated.privacy_noise import NoiseSource
from qmarl.federated.robust import geometric_median
from qmarl.federated.round_report import RoundReport
from qmarl.federated.secret_rounds import SecretRounds, make_privacy
from qmarl.federated.server import Server
from qmarl.federated.transport import SERVER, InMemoryChannel
from qmarl.types import Array, Channel, Layout, Link, ParameterSpec, Params

LAYOUT: Layout = {
    "angles": ParameterSpec((2, 3), 2 * np.pi, "angles"),
    "bias": ParameterSpec((4,), None, "readout"),
}
SIZE = 10
STEP = 1e-12  # coarser than any rounding of these sums to fixed point
START = {name: np.zeros(spec.shape) for name, spec in LAYOUT.items()}


@dataclass(frozen=True)
class Spy:
    """Reads all that passes, and cuts some links."""

    cut: frozenset[str] = frozenset()
    seen: list[tuple[Link, bytes]] = field(default_factory=list)

    def transfer(self, payload: bytes, link: Link) -> bytes:
        self.seen.append((link, payload))
        if self.cut & {link.sender, link.receiver}:
            raise UndeliveredError("the link is down")
        return payload


class Table:
    """A group's server and what carries its clients' updates there."""

    def __init__(self, clients: int = 6, channel: Channel | None = None, **settings: Any) -> None:
        section = {"secagg": {"signatures": "ed25519"}} | settings
        self.config = FederationConfig.model_validate(section)
        self.names = tuple(f"c{place}" for place in range(clients))
        self.privacy = make_privacy(self.config, LAYOUT, clients, "all", NoiseSource(3), 1)
        self.channel = channel or InMemoryChannel()
        self.secret = SecretRounds(
            self.config,
            LAYOUT,
            self.names,
            "all",
            self.channel,
            0,
            self.privacy,
        )
        self.server = Server(
            LAYOUT, START, self.config.aggregator(), self.names, privacy=self.privacy
        )

    def play(
        self, vectors: dict[str, Array], examples: dict[str, int] | None = None, number: int = 0
    ) -> RoundReport:
        self.server.ask(number, self.names)
        learned = {name: from_vector(vector, LAYOUT) for name, vector in vectors.items()}
        counts = dict.fromkeys(vectors, 1) | (examples or {})
        return self.server.settle(number, self.secret.run(number, self.names, learned, counts))

    @property
    def reached(self) -> Array:
        return to_vector(self.server.params, LAYOUT)


def drawn(clients: int = 6) -> dict[str, Array]:
    rng = np.random.default_rng(1)
    return {f"c{place}": rng.normal(size=SIZE) for place in range(clients)}


@pytest.mark.parametrize("strategy", ["fedavg", "fedavgm", "fedprox", "fedadam", "fedyogi"])
def test_the_server_makes_the_step_that_it_makes_of_plain_updates(strategy: str) -> None:
    secret, vectors = Table(strategy=strategy), drawn()
    examples = {name: 3 + 5 * place for place, name in enumerate(vectors)}
    for number in range(2):
        report = secret.play(vectors, examples, number)
        assert report.participants == secret.names
        assert not report.kept
    plain = Server(LAYOUT, START, secret.config.strategy, secret.names)
    from qmarl.federated.client import Client

    for number in range(2):
        for name, vector in vectors.items():
            client = Client(name, "all", LAYOUT)
            payload = client.send(number, from_vector(vector, LAYOUT), examples[name])
            assert plain.receive(payload, number) is None
        plain.aggregate(number)
    np.testing.assert_allclose(secret.reached, to_vector(plain.params, LAYOUT), atol=1e-8)


def test_the_server_never_sees_a_single_update() -> None:
    spy = Spy()
    table, vectors = Table(channel=spy), drawn()
    report = table.play(vectors)
    assert report.bytes_up == sum(len(p) for link, p in spy.seen if link.receiver == SERVER)
    assert report.bytes_down == sum(len(p) for link, p in spy.seen if link.sender == SERVER)
    passed = b"".join(payload for _, payload in spy.seen)
    step = 2.0**-49
    for vector in vectors.values():
        fixed = np.rint(np.append(vector, 1.0) / step).astype("<i8")
        for number, word in zip(vector, fixed, strict=False):
            assert number.tobytes() not in passed
            assert word.tobytes() not in passed
    np.testing.assert_allclose(table.reached, np.mean(list(vectors.values()), axis=0), atol=STEP)


def test_no_session_is_ever_repeated() -> None:
    spies = Spy(), Spy()
    for spy in spies:
        Table(channel=spy).play(drawn())
        Table(channel=spy).play(drawn())
    masked = [payload for spy in spies for _, payload in spy.seen if len(payload) > 200]
    assert len(set(masked)) == len(masked)


def test_who_drops_out_is_missing_and_the_others_sum_is_exact() -> None:
    vectors = drawn()
    there = {name: vector for name, vector in vectors.items() if name != "c2"}
    table = Table(channel=Spy(frozenset({"c4"})))
    report = table.play(there)
    assert report.kept == "secure aggregation: 4 of 6 clients are left after 'masked', 5 are needed"
    assert not table.reached.any()
    loose = Table(
        channel=Spy(frozenset({"c4"})), secagg={"threshold": 0.5, "signatures": "ed25519"}
    )
    report = loose.play(there)
    assert report.missing == ("c2", "c4")
    rest = [vectors[name] for name in report.participants]
    np.testing.assert_allclose(loose.reached, np.mean(rest, axis=0), atol=STEP)


def test_nonsense_drops_out_by_name() -> None:
    vectors = drawn() | {"c1": np.full(SIZE, np.nan)}
    table = Table(secagg={"threshold": 0.5, "signatures": "ed25519"})
    report = table.play(vectors)
    assert [(one.client, "not finite" in one.reason) for one in report.rejected] == [("c1", True)]
    assert "c1" in report.missing
    assert np.isfinite(table.reached).all()


def test_a_strategy_compares_the_means_of_buckets() -> None:
    secagg = {"buckets": 5, "threshold": 0.6, "signatures": "ed25519"}
    table = Table(15, secagg=secagg, strategy={"kind": "krum"})
    vectors = {name: np.full(SIZE, 0.1) for name in table.names} | {"c3": np.full(SIZE, -7.0)}
    report = table.play(vectors)
    assert len(report.participants) == 15
    np.testing.assert_allclose(table.reached, 0.1, atol=STEP)
    naive = Table(15, secagg=secagg)
    naive.play(vectors)
    assert naive.reached.max() < -0.3


def test_buckets_are_dealt_anew_in_every_round() -> None:
    spy = Spy()
    table = Table(9, spy, secagg={"buckets": 3, "threshold": 0.6, "signatures": "ed25519"})
    met = []
    for number in range(3):
        spy.seen.clear()
        table.play(drawn(9), number=number)
        order = [link.sender for link, _ in spy.seen if link.receiver == SERVER]
        met.append(tuple(dict.fromkeys(order)))
    assert len(set(met)) == 3
    assert all(sorted(order) == sorted(table.names) for order in met)


def test_secure_averages_find_the_geometric_median() -> None:
    vectors = drawn(9) | {"c0": np.full(SIZE, 6.0), "c1": np.full(SIZE, -5.0)}
    settings = {"iterations": 40, "smoothing": 1e-4, "signatures": "ed25519"}
    table = Table(9, strategy="geometric_median", secagg=settings)
    report = table.play(vectors)
    assert len(report.participants) == 9
    exact = geometric_median(np.stack([vectors[name] for name in table.names]))
    np.testing.assert_allclose(table.reached, exact, atol=1e-4)
    four = Table(9, strategy="geometric_median")
    four.play(vectors)
    mean = np.mean(list(vectors.values()), axis=0)
    assert np.linalg.norm(four.reached - exact) < 0.1 * np.linalg.norm(mean - exact) + 0.02


@pytest.mark.parametrize("mechanism", ["gaussian", "laplace"])
@pytest.mark.parametrize("noise", ["server", "client", "distributed"])
@pytest.mark.parametrize("adaptive", [None, {}])
def test_private_sums_are_what_private_updates_sum_to(
    mechanism: str, noise: str, adaptive: dict[str, Any] | None
) -> None:
    pytest.importorskip("dp_accounting", reason="needs the extra 'privacy' (dp-accounting)")
    privacy = {"mechanism": mechanism, "noise": noise, "adaptive": adaptive}
    table, vectors = Table(privacy=privacy), drawn()
    assert table.privacy is not None
    report = table.play(vectors)
    assert not report.kept
    assert report.spent is not None
    assert report.spent.rounds == 1
    alone = Table(privacy=privacy).privacy
    assert alone is not None
    parts = 5 if noise == "distributed" else 1
    own = [
        alone.protected(name, from_vector(vector, LAYOUT), 0, parts)
        for name, vector in sorted(vectors.items())
    ]
    update = alone.joined_sum(alone.in_units(np.sum(own, axis=0)), 0)
    np.testing.assert_allclose(table.reached, to_vector(update.arrays, LAYOUT), atol=1e-9)
    assert (table.privacy.clipping_norm != 0.5) is (adaptive is not None)


def test_a_private_round_without_anybody_is_noise_and_counts() -> None:
    pytest.importorskip("dp_accounting", reason="needs the extra 'privacy' (dp-accounting)")
    section = FederationConfig.model_validate({"privacy": {"noise_multiplier": 2}})
    assert section.privacy is not None
    privacy = GroupPrivacy(section.privacy, LAYOUT, 4, section.participation, "all", NoiseSource(0))
    server = Server(LAYOUT, START, section.strategy, ("a", "b", "c", "d"), privacy=privacy)
    server.ask(0, ())
    report = server.aggregate(0)
    assert not report.kept
    assert report.update_norm > 0
    assert report.spent is not None
    assert report.spent.rounds == 1


def test_a_sum_that_fails_counts_as_well() -> None:
    pytest.importorskip("dp_accounting", reason="needs the extra 'privacy' (dp-accounting)")
    table = Table(privacy={"noise": "distributed"})
    report = table.play({"c0": np.ones(SIZE)})
    assert report.kept
    assert report.spent is not None
    assert report.spent.rounds == 1
    assert not table.reached.any()


def test_where_nobody_is_to_know_who_came_a_sum_that_fails_is_noise() -> None:
    pytest.importorskip("dp_accounting", reason="needs the extra 'privacy' (dp-accounting)")
    table = Table(privacy={}, participation={"kind": "poisson", "rate": 0.5})
    report = table.play({"c0": np.ones(SIZE)})
    assert not report.kept
    assert report.hidden
    assert "c0" not in str(report)
    assert table.reached.all()


@pytest.mark.parametrize(
    ("clients", "secagg", "reason"),
    [
        (2, {}, "needs 3 clients or more, there are 2"),
        (6, {"threshold": 0.4}, "means 3 of 6 clients; it must mean from 4 to 6"),
        (8, {"buckets": 3}, "3 buckets of 8 clients have fewer than 3 each; at most 2"),
        (9, {"buckets": 3, "threshold": 5}, "means 5 of 3 clients"),
    ],
)
def test_too_few_clients_are_refused_before_round_0(
    clients: int, secagg: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        Table(clients, secagg=secagg | {"signatures": "ed25519"})


def test_weights_of_nothing_move_nothing() -> None:
    table = Table()
    report = table.play(drawn(), dict.fromkeys(drawn(), 0))
    assert "0 of 6 clients are left after 'masked'" in report.kept
    params: Params = table.server.params
    assert not any(array.any() for array in params.values())
