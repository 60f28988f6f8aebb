"""What noisy releases cost: events, and the epsilon that they add up to."""

from __future__ import annotations

import importlib
import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

from qmarl.errors import ConfigurationError

Mechanism = Literal["gaussian", "laplace"]
Sampling = Literal["none", "poisson", "fixed"]
Accountant = Literal["pld", "rdp"]
Adjacency = Literal["add_remove", "replace_one"]
"""Which runs must look alike: with and without one client, or with one client exchanged."""


@dataclass(frozen=True)
class Event:
    """One noisy sum of clients' vectors.

    Attributes:
        mechanism: Which noise.
        noise_multiplier: Its standard deviation (Gaussian) or scale (Laplace), divided by the
            greatest L2 or L1 norm of one client's vector.
        sampling: Who takes part. ``none``: everybody may, or the observer knows who does.
            ``poisson``: each client independently. ``fixed``: so many, drawn without replacement.
        rate: Probability that a client takes part; 1 without sampling.
        population: Number of clients; needed for ``fixed`` alone.
    """

    mechanism: Mechanism
    noise_multiplier: float
    sampling: Sampling = "none"
    rate: float = 1.0
    population: int = 0

    def __post_init__(self) -> None:
        """Refuses what no mechanism can be.

        Raises:
            ValueError: A number is outside its range.
        """
        if not 0 <= self.noise_multiplier < math.inf or not 0 < self.rate <= 1:
            raise ValueError(f"no event has these numbers: {self}")
        if (self.sampling == "none") is not (self.rate == 1):
            raise ValueError(f"a rate below 1 belongs to sampling, and only there: {self}")
        if self.sampling == "fixed" and round(self.rate * self.population) < 1:
            raise ValueError(f"a fixed sample needs a population to be drawn from: {self}")


Entry = tuple[Event, int]
"""An event, and how often it happened."""


def epsilon_of(
    entries: Sequence[Entry], delta: float, accountant: Accountant, adjacency: Adjacency
) -> float:
    """Returns the epsilon of all events together, an upper bound.

    Plain Gaussian events are taken together in closed form, exactly (Balle and Wang 2018,
    arXiv:1805.06530); all others by the package ``dp-accounting``. A Laplace event counts as the
    scalar one with the whole L1 norm as its shift. That is a bound in any dimension: the trade-off
    of a composition is at least that of its steps one after the other, and for log-concave noise
    on a line steps one after the other are one step of their sum (Dong et al. 2022,
    arXiv:1905.02383, Lemma A.5 and Proposition A.3).

    Args:
        entries: Events and their counts.
        delta: From 0 to 1.
        accountant: ``pld`` (privacy loss distributions, tight) or ``rdp`` (Rényi divergences).
        adjacency: Which runs must look alike.

    Raises:
        ConfigurationError: The package is not installed, or the accountant does not know an event.
    """
    counted = [entry for entry in entries if entry[1]]
    if not counted:
        return 0.0
    if any(event.noise_multiplier == 0 for event, _ in counted):
        return math.inf
    dp = _library()
    if accountant == "rdp":
        return _by_moments(dp, counted, delta, adjacency)
    if all(event.mechanism == "gaussian" and event.sampling == "none" for event, _ in counted):
        return _gaussian(dp, counted, delta, adjacency)
    return _by_loss(dp, counted, delta, adjacency)


def noise_multiplier_for(
    epsilon: float, event: Event, rounds: int, delta: float, accountant: Accountant = "pld"
) -> float:
    """Returns the least noise multiplier, to 1e-3, that keeps ``rounds`` of ``event`` in a budget.

    Args:
        epsilon: The budget, above 0.
        event: What happens every round; its own noise multiplier does not matter.
        rounds: How often.
        delta: From 0 to 1.
        accountant: As in :func:`epsilon_of`.
    """

    def spent(multiplier: float) -> float:
        trial = Event(event.mechanism, multiplier, event.sampling, event.rate, event.population)
        return epsilon_of([(trial, rounds)], delta, accountant, _adjacency_of(trial))

    # Upwards first and then down in halves: far too little noise would take very long to count.
    high = 1.0
    while spent(high) > epsilon:
        high *= 2
    while spent(high / 2) <= epsilon:
        high /= 2
    low = high / 2
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (middle, high) if spent(middle) > epsilon else (low, middle)
    return high


_INTERVALS = ((1e-3, 10.0), (1e-4, 0.1), (1e-5, 0.0))
"""How finely losses are told apart, and from which epsilon on that is fine enough."""


def _adjacency_of(event: Event) -> Adjacency:
    return "replace_one" if event.sampling == "fixed" else "add_remove"


def _gaussian(
    dp: ModuleType, entries: Sequence[Entry], delta: float, adjacency: Adjacency
) -> float:
    shift = 2.0 if adjacency == "replace_one" else 1.0
    precision = sum(count * (shift / event.noise_multiplier) ** 2 for event, count in entries)
    return float(dp.get_epsilon_gaussian(precision**-0.5, delta))


def _by_loss(dp: ModuleType, entries: Sequence[Entry], delta: float, adjacency: Adjacency) -> float:
    """Coarse steps are quick and still a bound; finer ones follow where they would show."""
    epsilon = 0.0
    for interval, enough in _INTERVALS:
        account = dp.pld.PLDAccountant(_relation(dp, adjacency), interval)
        epsilon = _composed(dp, account, entries, delta, "pld", adjacency)
        if epsilon >= enough:
            break
    return epsilon


def _by_moments(
    dp: ModuleType, entries: Sequence[Entry], delta: float, adjacency: Adjacency
) -> float:
    account = dp.rdp.RdpAccountant(neighboring_relation=_relation(dp, adjacency))
    return _composed(dp, account, entries, delta, "rdp", adjacency)


def _relation(dp: ModuleType, adjacency: Adjacency) -> Any:
    one = dp.NeighboringRelation
    return one.REPLACE_ONE if adjacency == "replace_one" else one.ADD_OR_REMOVE_ONE


def _composed(
    dp: ModuleType,
    account: Any,
    entries: Sequence[Entry],
    delta: float,
    accountant: Accountant,
    adjacency: Adjacency,
) -> float:
    with _quiet():
        for event, count in entries:
            try:
                account.compose(_dp_event(dp, event, accountant, adjacency), count)
            except dp.UnsupportedEventError as error:
                raise ConfigurationError(_unsupported(event, accountant, adjacency)) from error
        return float(account.get_epsilon(delta))


def _dp_event(dp: ModuleType, event: Event, accountant: Accountant, adjacency: Adjacency) -> Any:
    # Exchanging a client moves the sum by twice the clipping norm. The PLD accountant knows; the
    # RDP accountant takes the multiplier as it is, relative to the sensitivity.
    halved = accountant == "rdp" and adjacency == "replace_one"
    multiplier = event.noise_multiplier / (2 if halved else 1)
    gaussian = event.mechanism == "gaussian"
    inner = (dp.GaussianDpEvent if gaussian else dp.LaplaceDpEvent)(multiplier)
    match event.sampling:
        case "none":
            return inner
        case "poisson":
            return dp.PoissonSampledDpEvent(event.rate, inner)
        case "fixed":
            drawn = round(event.rate * event.population)
            return dp.SampledWithoutReplacementDpEvent(event.population, drawn, inner)


def _unsupported(event: Event, accountant: Accountant, adjacency: Adjacency) -> str:
    return (
        f"federation.privacy.accountant: '{accountant}' cannot count {event.mechanism} noise with"
        f" sampling '{event.sampling}' under adjacency '{adjacency}'; 'pld' counts Poisson sampling"
        " of both, 'rdp' with 'replace_one' counts Gaussian noise on fixed samples"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the notes on the Rényi orders that are left out; leaving one out keeps the bound."""
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _library() -> ModuleType:
    try:
        importlib.import_module("dp_accounting.pld")
        importlib.import_module("dp_accounting.rdp")
        return importlib.import_module("dp_accounting")
    except ImportError as error:
        raise ConfigurationError(
            "federation.privacy: epsilon is computed by the package 'dp-accounting', which is not"
            " installed; install the extra: pip install 'qmarl[privacy]'"
        ) from error
