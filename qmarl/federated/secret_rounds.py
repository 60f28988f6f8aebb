"""From what clients learned to what a server may know of it, where updates are only ever summed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from qmarl.errors import ConfigurationError
from qmarl.federated.config import FederationConfig
from qmarl.federated.group_privacy import GroupPrivacy
from qmarl.federated.privacy import to_vector
from qmarl.federated.privacy_noise import NoiseSource
from qmarl.federated.secagg import FEWEST_CLIENTS, SecureAggregationConfig
from qmarl.federated.secure_sums import Secured, SecureSums, weighed
from qmarl.federated.strategies import GeometricMedian
from qmarl.federated.sum_rules import AVERAGING
from qmarl.types import Array, Channel, Layout, Params

EXAMPLES_CAP = 2**20
"""What a client says of its examples beyond this counts as this."""


class SecretRounds:
    """Carries a group's updates through secure aggregation.

    Args:
        section: The federation's section, which has a ``secagg``.
        layout: Declaration of the shared parameters only.
        clients: Names of all clients.
        group: Name of the group.
        channel: What carries the bytes.
        seed: The run's seed.
        privacy: Protects what each client adds, where that is asked for.

    Raises:
        ConfigurationError: The clients are too few for the threshold or the buckets.
    """

    def __init__(
        self,
        section: FederationConfig,
        layout: Layout,
        clients: Sequence[str],
        group: str,
        channel: Channel,
        seed: int,
        privacy: GroupPrivacy | None = None,
    ) -> None:
        secagg = section.secagg or SecureAggregationConfig()
        _check(secagg, section.participation.most(len(clients)))
        self._section, self._secagg, self._layout = section, secagg, dict(layout)
        self._privacy = privacy
        self._sums = SecureSums(secagg, clients, group, channel, seed)
        self._size = sum(spec.size for spec in layout.values())

    def run(
        self,
        round_number: int,
        asked: Sequence[str],
        learned: Mapping[str, Params],
        examples: Mapping[str, int],
    ) -> Secured:
        """Plays a round and returns what the server learns in it.

        Args:
            round_number: The round.
            asked: Clients that take part.
            learned: Deltas of those of them that are there in time.
            examples: How many examples are behind each, capped.
        """
        learned = {name: deltas for name, deltas in learned.items() if examples[name] >= 1}
        if self._privacy is not None:
            return self._private(self._privacy, round_number, asked, learned)
        span = self._secagg.range
        if isinstance(self._section.strategy, GeometricMedian) and self._secagg.buckets == 1:
            vectors = {name: to_vector(deltas, self._layout) for name, deltas in learned.items()}
            return self._sums.median(round_number, asked, vectors, self._size, span)
        weights = self._weights({name: examples[name] for name in learned})
        vectors = {
            name: weighed(deltas, self._layout, weights[name]) for name, deltas in learned.items()
        }
        return self._sums.sums(round_number, asked, vectors, self._size + 1, span)

    def _private(
        self,
        privacy: GroupPrivacy,
        round_number: int,
        asked: Sequence[str],
        learned: Mapping[str, Params],
    ) -> Secured:
        parts = self._parts(len(asked))
        vectors: dict[str, Array] = {
            name: privacy.in_units(privacy.protected(name, deltas, round_number, parts))
            for name, deltas in learned.items()
        }
        return self._sums.sums(round_number, asked, vectors, privacy.size, privacy.span)

    def _parts(self, asked: int) -> int:
        """Clients that are sure to be in a sum, if there is one."""
        try:
            return self._secagg.needed(asked)
        except ConfigurationError:
            return 1  # too few take part: there will be none

    def _weights(self, examples: Mapping[str, int]) -> dict[str, float]:
        """Weights up to 1; their common scale, a power of two, is no secret."""
        strategy = self._section.strategy
        if not (isinstance(strategy, AVERAGING) and strategy.weighted):
            return dict.fromkeys(examples, 1.0)
        capped = {name: min(count, EXAMPLES_CAP) for name, count in examples.items()}
        scale = 2.0 ** math.ceil(math.log2(max(capped.values(), default=1)))
        return {name: count / scale for name, count in capped.items()}


def make_privacy(
    section: FederationConfig,
    layout: Layout,
    clients: int,
    group: str,
    source: NoiseSource | None,
    groups: int,
) -> GroupPrivacy | None:
    """Returns what hides each client of a group, where that is asked for.

    Args:
        section: The federation's section.
        layout: Declaration of the shared parameters only.
        clients: Number of the group's clients.
        group: Its name.
        source: Where the whole run's noise comes from.
        groups: Groups that each client has a model of.
    """
    if section.privacy is None or source is None:
        return None
    chosen = section.participation
    return GroupPrivacy(section.privacy, layout, clients, chosen, group, source, groups)


def _check(secagg: SecureAggregationConfig, most: int) -> None:
    """Refuses what no round can ever bring to an end."""
    secagg.needed(most)
    smallest = most // secagg.buckets
    if secagg.buckets > 1 and smallest < FEWEST_CLIENTS:
        raise ConfigurationError(
            f"federation.secagg.buckets: {secagg.buckets} buckets of {most} clients have fewer than"
            f" {FEWEST_CLIENTS} each; at most {most // FEWEST_CLIENTS} are possible"
        )
    if secagg.buckets > 1:
        for size in {smallest, -(-most // secagg.buckets)}:
            secagg.needed(size)
