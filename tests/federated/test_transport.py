from __future__ import annotations

import pytest

from qmarl.federated.conformance import check_channel
from qmarl.federated.transport import SERVER, InMemoryChannel, MeteredChannel, Traffic
from qmarl.types import Link


def test_our_channels_conform() -> None:
    check_channel(InMemoryChannel())
    check_channel(MeteredChannel(InMemoryChannel()))


def test_a_channel_that_loses_a_byte_does_not() -> None:
    class Lossy:
        def transfer(self, payload: bytes, link: Link) -> bytes:
            return payload[: 4096 if link.receiver == SERVER else None]

    with pytest.raises(AssertionError, match="100000 bytes from client"):
        check_channel(Lossy())


def test_bytes_are_counted_by_direction_and_round() -> None:
    channel = MeteredChannel(InMemoryChannel())
    for client, size in (("a", 10), ("b", 20), ("a", 5)):
        channel.transfer(bytes(size), Link(client, SERVER, 0))
    channel.transfer(bytes(7), Link(SERVER, "a", 0))
    channel.transfer(bytes(100), Link("a", SERVER, 1))
    assert channel.sent[Link("a", SERVER, 0)] == 15
    assert channel.take(0) == Traffic(up=35, down=7)
    assert channel.take(0) == Traffic(up=0, down=0)
    assert channel.take(1) == Traffic(up=100, down=0)
    assert not channel.sent
