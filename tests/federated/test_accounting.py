from __future__ import annotations

import math
import sys

import numpy as np
import pytest

from qmarl.errors import ConfigurationError, RunError
from qmarl.federated import privacy_ledger
from qmarl.federated.accounting import Event, epsilon_of, noise_multiplier_for
from qmarl.federated.privacy_ledger import Ledger


@pytest.fixture
def library() -> None:
    pytest.importorskip("dp_accounting", reason="needs the extra 'privacy' (dp-accounting)")


def gaussian(multiplier: float, rate: float = 0.1) -> Event:
    return Event("gaussian", multiplier, "none" if rate == 1 else "poisson", rate)


def laplace(scale: float, rate: float = 0.1) -> Event:
    return Event("laplace", scale, "none" if rate == 1 else "poisson", rate)


FIXED = Event("gaussian", 2.0, "fixed", 0.1, 100)  # exchanging a client moves the sum by 2 C


@pytest.mark.parametrize(
    ("event", "rounds", "accountant", "adjacency", "epsilon"),
    [
        (gaussian(1), 1000, "rdp", "add_remove", 27.163),
        (gaussian(1), 1000, "pld", "add_remove", 25.205),
        (gaussian(1), 1000, "pld", "replace_one", 46.262),
        (FIXED, 1000, "rdp", "replace_one", 63.066),
        (gaussian(1, 1.0), 1000, "pld", "add_remove", 633.930),
        (laplace(1), 1000, "pld", "add_remove", 16.214),
        (laplace(1, 1.0), 1000, "pld", "add_remove", 474.302),
        (laplace(1, 1.0), 1000, "rdp", "add_remove", 485.495),
        (laplace(10), 1000, "pld", "add_remove", 1.179),
        (gaussian(11.866), 1000, "pld", "add_remove", 1.000),
        (gaussian(1), 100, "rdp", "add_remove", 7.904),
        (gaussian(1), 100, "pld", "add_remove", 7.047),
        (gaussian(1), 500, "rdp", "add_remove", 18.159),
        (gaussian(1), 500, "pld", "add_remove", 16.562),
        (gaussian(1, 0.01), 500, "rdp", "add_remove", 1.653),
        (gaussian(1, 0.01), 500, "pld", "add_remove", 1.326),
        (gaussian(1, 1.0), 100, "rdp", "add_remove", 96.116),
        (gaussian(1, 1.0), 100, "pld", "add_remove", 91.817),
        (gaussian(4, 1.0), 100, "rdp", "add_remove", 14.132),
        (gaussian(4, 1.0), 100, "pld", "add_remove", 13.207),
    ],
)
def test_published_figures(
    library: None, event: Event, rounds: int, accountant: str, adjacency: str, epsilon: float
) -> None:
    got = epsilon_of([(event, rounds)], 1e-5, accountant, adjacency)  # type: ignore[arg-type]
    assert got == pytest.approx(epsilon, abs=1e-3)


@pytest.mark.slow
def test_the_closed_form_is_what_the_loss_distributions_say(library: None) -> None:
    import dp_accounting as dp

    account = dp.pld.PLDAccountant()
    account.compose(dp.GaussianDpEvent(1.0), 1000)
    closed = epsilon_of([(gaussian(1, 1.0), 1000)], 1e-5, "pld", "add_remove")
    assert closed == pytest.approx(account.get_epsilon(1e-5), abs=1e-3)
    assert closed == pytest.approx(633.93, abs=1e-2)


def test_plain_gaussian_events_add_up_whatever_their_order(library: None) -> None:
    mixed = [(gaussian(2, 1.0), 3), (gaussian(1, 1.0), 1)]
    got = epsilon_of(mixed, 1e-5, "pld", "add_remove")
    one = gaussian((3 / 4 + 1) ** -0.5, 1.0)
    assert got == pytest.approx(epsilon_of([(one, 1)], 1e-5, "pld", "add_remove"))
    assert got == pytest.approx(epsilon_of(mixed[::-1], 1e-5, "pld", "add_remove"))
    assert got < epsilon_of(mixed, 1e-5, "pld", "replace_one")
    assert got < epsilon_of(mixed, 1e-5, "rdp", "add_remove")


def test_exchanging_a_client_counts_double_for_both_accountants(library: None) -> None:
    for accountant in ("pld", "rdp"):
        twice = epsilon_of([(gaussian(2, 1.0), 10)], 1e-5, accountant, "replace_one")  # type: ignore[arg-type]
        once = epsilon_of([(gaussian(1, 1.0), 10)], 1e-5, accountant, "add_remove")  # type: ignore[arg-type]
        assert twice == pytest.approx(once)


def test_nothing_costs_nothing_and_no_noise_costs_everything() -> None:
    assert epsilon_of([], 1e-5, "pld", "add_remove") == 0
    assert epsilon_of([(gaussian(1), 0)], 1e-5, "pld", "add_remove") == 0
    assert epsilon_of([(gaussian(0), 1)], 1e-5, "pld", "add_remove") == math.inf


@pytest.mark.parametrize(
    ("event", "accountant", "adjacency"),
    [
        (laplace(1), "rdp", "add_remove"),
        (gaussian(1), "rdp", "replace_one"),
        (laplace(1), "pld", "replace_one"),
        (FIXED, "pld", "replace_one"),
        (FIXED, "rdp", "add_remove"),
    ],
)
def test_what_an_accountant_does_not_know(
    library: None, event: Event, accountant: str, adjacency: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"'{accountant}' cannot count {event.mechanism}"):
        epsilon_of([(event, 1)], 1e-5, accountant, adjacency)  # type: ignore[arg-type]


def test_the_least_noise_for_a_budget(library: None) -> None:
    assert noise_multiplier_for(1.0, gaussian(1), 1000, 1e-5) == pytest.approx(11.866, abs=2e-3)
    found = noise_multiplier_for(50.0, gaussian(1, 1.0), 10, 1e-5)
    assert found < 0.5
    assert epsilon_of([(gaussian(found, 1.0), 10)], 1e-5, "pld", "add_remove") <= 50


def test_the_budget_is_asked_before_it_is_spent(library: None) -> None:
    ledger, rounds = Ledger(1e-5, "rdp"), 0
    while not ledger.would_exceed(4.0, gaussian(1)):
        ledger.record(gaussian(1))
        rounds += 1
        assert ledger.epsilon() <= 4.0
    assert rounds > 1
    assert ledger.rounds == rounds
    ledger.record(gaussian(1))
    assert ledger.epsilon() > 4.0
    assert not Ledger(1e-5, "rdp").would_exceed(4.0, gaussian(1), rounds)
    assert Ledger(1e-5, "rdp").would_exceed(4.0, gaussian(1), rounds + 1)


def test_asking_and_then_recording_costs_one_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def counting(entries: list[object], *_: object) -> float:
        asked.append(tuple(entries))
        return float(len(asked))

    monkeypatch.setattr(privacy_ledger, "epsilon_of", counting)
    ledger = Ledger(1e-5)
    for _ in range(3):
        ledger.would_exceed(100.0, gaussian(1))
        ledger.record(gaussian(1))
        ledger.epsilon()
        ledger.spent()
    assert len(asked) == 3


def test_a_ledger_survives_a_checkpoint(library: None) -> None:
    ledger = Ledger(1e-5)
    for event, count in ((gaussian(1), 3), (laplace(2), 1), (gaussian(1), 4), (FIXED, 2)):
        ledger.record(event, count)
    state = ledger.state()
    assert all(array.dtype.kind in "if" for array in state.values())
    again = Ledger(1e-5)
    again.load_state(state)
    assert again.entries == ledger.entries == ((gaussian(1), 7), (laplace(2), 1), (FIXED, 2))
    assert again.rounds == 10
    empty = Ledger(1e-5)
    again.load_state(empty.state())
    assert again.entries == ()
    assert again.spent().epsilon == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("codes", np.array([[5, 0, 0]])),
        ("codes", np.array([[-1, 0, 0]])),
        ("codes", np.array([[0, 2, 0]])),
        ("codes", np.zeros((2, 3), np.int64)),
        ("numbers", np.array([[np.nan, 1.0]])),
        ("numbers", np.array([[1.0, 2.0]])),
        ("counts", np.array([0])),
    ],
)
def test_a_damaged_ledger_is_refused(name: str, value: np.ndarray) -> None:
    ledger = Ledger(1e-5)
    ledger.record(gaussian(1, 1.0))
    with pytest.raises(RunError, match="privacy ledger does not fit"):
        Ledger(1e-5).load_state(ledger.state() | {name: value})
    with pytest.raises(RunError, match="privacy ledger does not fit"):
        Ledger(1e-5).load_state({})


@pytest.mark.parametrize(
    ("multiplier", "sampling", "rate", "population"),
    [
        (-1.0, "none", 1.0, 0),
        (math.inf, "none", 1.0, 0),
        (1.0, "poisson", 1.0, 0),
        (1.0, "none", 0.5, 0),
        (1.0, "poisson", 0.0, 0),
        (1.0, "fixed", 0.1, 0),
    ],
)
def test_events_that_cannot_be(
    multiplier: float, sampling: str, rate: float, population: int
) -> None:
    with pytest.raises(ValueError, match=r"Event\("):
        Event("gaussian", multiplier, sampling, rate, population)  # type: ignore[arg-type]


def test_the_account_says_what_it_is_worth(library: None) -> None:
    ledger = Ledger(1e-5, outside=("Metrics are in clear.",))
    ledger.record(gaussian(4), 20)
    spent = ledger.spent()
    assert spent.rounds == 20
    assert spent.epsilon < 10
    assert spent.statement.startswith(f"({spent.epsilon:.4g}, 1e-05)-differential privacy against")
    assert spent.statement.endswith("in which one client contributed nothing")
    assert spent.outside == ("Metrics are in clear.",)
    ledger = Ledger(1e-5, adjacency="replace_one", accountant="rdp")
    ledger.record(FIXED, 1000)
    assert ledger.spent().statement.startswith("no meaningful guarantee: (63.07, 1e-05)")
    assert "one client exchanged" in ledger.spent().statement


def test_ten_clients_in_every_round_have_no_meaningful_guarantee(library: None) -> None:
    ledger = Ledger(1e-5)
    ledger.record(gaussian(1, 1.0), 100)
    spent = ledger.spent()
    assert spent.epsilon == pytest.approx(91.817, abs=1e-3)
    assert spent.statement.startswith("no meaningful guarantee")
    assert spent.statement.endswith("no sampling hides who takes part, so nothing is amplified")


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dp_accounting.pld", None)
    ledger = Ledger(1e-5)
    with pytest.raises(
        ConfigurationError, match=r"'dp-accounting'.*pip install 'qmarl\[privacy\]'"
    ):
        ledger.would_exceed(1.0, gaussian(1))
