"""A report's words on privacy: what the guarantee is, what it cost, and what it leaves out."""

from __future__ import annotations

from typing import Any, NamedTuple

from trainers.report_data import Record
from trainers.report_text import at, count, listed, number, section, words


class Account(NamedTuple):
    """The privacy of one group's clients."""

    group: str
    statement: str
    facts: tuple[tuple[str, str], ...]
    outside: tuple[str, ...]


def accounts(record: Record) -> list[Account]:
    """Returns what ``privacy.json`` says of each group."""
    groups = section(record.privacy, "groups")
    return [_account(record, name, told) for name, told in groups.items()]


def hiding(record: Record) -> str:
    """Says in a sentence what the server does not see, or that it sees everything."""
    federation = section(record.config, "federation")
    secret, private = section(federation, "secagg"), section(federation, "privacy")
    if secret and (number(secret.get("buckets")) or 1) > 1:
        return "The server saw the sum of the updates of each bucket of clients, and no single one."
    if secret:
        return "The server saw the sum of the updates, and no single one."
    if private and private.get("noise") != "server":
        return "The server saw every client's update, under noise of the client's own."
    return "The server sees every update in clear, and updates tell something of the data."


def _account(record: Record, name: str, told: Any) -> Account:
    settings = section(record.config, "federation", "privacy")
    clipping = number(settings.get("clipping_norm"))
    adaptive = " at first, then adaptive" if settings.get("adaptive") else ""
    facts = (
        ("Epsilon", _four(at(told, "epsilon"))),
        ("Budget", _four(settings.get("epsilon")) if settings.get("epsilon") else "unlimited"),
        ("Delta", _four(at(told, "delta"))),
        ("Adjacent runs", _ADJACENCY.get(str(at(told, "adjacency")), "not known")),
        ("Accountant", words(at(told, "accountant"))),
        ("Releases", count(number(at(told, "rounds")))),
        ("Noise", f"{words(settings.get('mechanism'))}, multiplier {_four(_multiplier(settings))}"),
        ("Added by", words(settings.get("noise"))),
        ("Clipping norm", f"{_four(clipping)}{adaptive}"),
    )
    outside = tuple(words(sentence, 300) for sentence in listed(told, "outside"))
    return Account(words(name), words(at(told, "statement"), 400), facts, outside)


_ADJACENCY = {
    "add_remove": "one client's contributions are there, or are not",
    "replace_one": "one client is exchanged for another",
}


def _multiplier(settings: dict[str, Any]) -> float | None:
    return number(settings.get("noise_multiplier"))


def _four(value: Any) -> str:
    plain = number(value)
    return "without bound" if plain is None else f"{plain:.4g}"
