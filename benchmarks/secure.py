"""Measures what protecting the messages of a round costs, beside the messages themselves.

    python benchmarks/secure.py

50 clients; each gets a broadcast and sends an update, of 120 or of 10,000 numbers in float64. Both
ends' work together, since here they share one core: keys, sealing and opening, and with them key
agreements and handshakes where a transport has them. What a quantum link would take to make its
key is not in it: the light flies while the clients learn, and simulating it is another matter.

Prints medians in milliseconds of processor time and writes benchmarks/scores/secure.json.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qmarl.secure.lines import Line
    from qmarl.secure.sources import KeyBlock

SCORES = Path("benchmarks/scores/secure.json")
CLIENTS = 50
SIZES = {"120 numbers": 960, "10,000 numbers": 80_000}
TRANSPORTS = ("aes256gcm alone", "plain", "tls", "postquantum", "qkd", "qkd+postquantum", "pads")


class Ready:
    """A quantum link whose key is there already."""

    def __init__(self, octets: int) -> None:
        self._octets = octets

    def block(self, round_number: int, seconds: float) -> KeyBlock:  # noqa: ARG002
        """Returns as much key as a round takes."""
        from qmarl.secure.sources import KeyBlock

        return KeyBlock(bits=bytes(self._octets))


def lines(transport: str, size: int) -> dict[str, Line]:
    """A line of the kind for every client."""
    from qmarl.secure.certificates import Authority
    from qmarl.secure.key_store import KeyStore
    from qmarl.secure.keys import KeyManager
    from qmarl.secure.lines import PlainLine
    from qmarl.secure.quantum_line import PostQuantumLine, QuantumLine
    from qmarl.secure.tls_line import TlsLine, tls_ends
    from qmarl.secure.transport_config import LineConfig

    names = [f"client_{place:02d}" for place in range(CLIENTS)]
    if transport == "plain":
        return dict.fromkeys(names, PlainLine())
    if transport == "tls":
        authority = Authority()
        return {name: TlsLine(tls_ends(authority, "server", name)) for name in names}
    if transport == "postquantum":
        return {name: PostQuantumLine(LineConfig(kind="postquantum")) for name in names}
    manager = KeyManager(KeyStore(bytearray(os.urandom(32))))
    for name in names:
        manager.connect(name, "server")
    config = LineConfig(kind="qkd", cipher="one_time_pad")
    if transport != "pads":
        config = LineConfig.model_validate({"kind": transport})
    source = Ready(2 * (size + 32) if transport == "pads" else 64)
    return {
        name: QuantumLine(config, lambda _: source, manager, (name, "server")) for name in names
    }


def ciphers(size: int, rounds: int) -> list[float]:
    """Milliseconds of each round's sealing and opening alone, with keys that are there."""
    from uuid import uuid4

    from qmarl.secure.cipher import Address, Receiver, Sender

    payload, found = os.urandom(size), []
    for number in range(rounds + 1):
        begun = time.process_time()
        for place in range(CLIENTS):
            for direction in ("down", "up"):
                key, key_id = os.urandom(32), uuid4()
                address = Address(bytes(16), number, f"client_{place:02d}", direction)
                sender = Sender(bytearray(key), key_id, address)
                receiver = Receiver(bytearray(key), key_id, address)
                assert receiver.open(sender.seal(payload)) == payload
        found.append(1000 * (time.process_time() - begun))
    return found[1:]


def measured(transport: str, size: int, rounds: int) -> list[float]:
    """Milliseconds of processor time of each round, the first one left out."""
    from qmarl.federated.transport import InMemoryChannel
    from qmarl.secure.secure_channel import SecureChannel
    from qmarl.types import Link

    if transport == "aes256gcm alone":
        return ciphers(size, rounds)
    made = lines(transport, size)
    channel, payload, found = SecureChannel(InMemoryChannel(), made), os.urandom(size), []
    for number in range(rounds + 1):
        begun = time.process_time()
        for name in made:
            assert channel.transfer(payload, Link("server", name, number)) == payload
        for name in made:
            assert channel.transfer(payload, Link(name, "server", number)) == payload
        channel.take(number)
        found.append(1000 * (time.process_time() - begun))
    return found[1:]


def main() -> None:
    """Runs all and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    count = parser.parse_args().rounds
    rows = {
        f"{transport}, {label}": measured(transport, size, count)
        for transport in TRANSPORTS
        for label, size in SIZES.items()
    }
    medians = {
        name: {"cpu_ms": round(statistics.median(own), 1), "raw": [round(one, 1) for one in own]}
        for name, own in rows.items()
    }
    SCORES.write_text(json.dumps(medians, indent=1) + "\n")
    for name, row in medians.items():
        print(f"{name:<32} {row['cpu_ms']:>8} ms")


if __name__ == "__main__":
    main()
