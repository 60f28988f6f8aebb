"""What a run says of its privacy before the first round, and when it refuses to start."""

from __future__ import annotations

from collections.abc import Mapping

from qmarl.errors import ConfigurationError
from trainers.federation import Federation


def privacy_notes(federations: Mapping[str, Federation], rounds: int) -> list[str]:
    """Returns what all rounds together would cost, one sentence for each private group.

    Args:
        federations: By group.
        rounds: Rounds of the whole run.

    Raises:
        ConfigurationError: The budget does not last for a single round, or the package that counts
            is not installed.
    """
    notes = []
    for name, federation in federations.items():
        if federation.privacy is None:
            continue
        if federation.ended:
            raise ConfigurationError(f"federation.privacy.epsilon: {federation.ended}")
        spent = federation.privacy.forecast(rounds)
        notes.append(f"privacy of group '{name}' after {rounds} rounds: {spent.statement}")
    return notes
