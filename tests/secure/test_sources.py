from __future__ import annotations

import numpy as np
import pytest

from qmarl.secure.links_config import LinksConfig, LinkSection
from qmarl.secure.sources import PAID_BACK, LinkSource

QUICK = {"protocol": "bbm92", "pairs": 600_000}
NEAR = {"link": "fibre", "receiver": [10_000.0, 0.0, 0.0]}


def source(
    name: str = "drone_0", seed: int = 0, secure: bool = False, **keys: object
) -> LinkSource:
    section = LinkSection.model_validate({**NEAR, "session": QUICK, **keys})
    return LinkSource(name, section, seed, secure)


def test_a_block_follows_from_seed_link_and_round_alone() -> None:
    first, again = source(), source()
    blocks = [first.block(r, 1.0) for r in (0, 1)]
    assert [again.block(r, 1.0).bits for r in (1, 0)] == [blocks[1].bits, blocks[0].bits]
    others = [source(name="drone_1").block(0, 1.0), source(seed=1).block(0, 1.0), *blocks]
    assert len({block.bits for block in others}) == len(others)
    assert all(len(block.bits) > 64 and not block.aborted for block in others)
    assert source(secure=True).block(0, 1.0).bits != blocks[0].bits
    report = blocks[0].reports[0]
    assert len(blocks[0].bits) == report.length // 8 - PAID_BACK
    assert blocks[0].qber == report.error_rate > 0
    assert blocks[0].seconds == pytest.approx(0.006)


def test_a_block_does_not_show_its_key() -> None:
    block = source().block(0, 1.0)
    assert block.bits
    assert repr(block.bits) not in repr(block)
    assert "bits=" not in repr(block).replace("leaked_bits=", "")


@pytest.mark.parametrize("session", [QUICK, {"protocol": "bb84", "pulses": 3_000_000}])
def test_an_eavesdropper_keeps_to_the_rounds(session: dict[str, object]) -> None:
    spied = source(session=session, eavesdropper={"who": "intercept_resend", "rounds": [1, 1]})
    quiet = source(session=session)
    for r in range(3):
        block = spied.block(r, 1.0)
        if r == 1:
            assert (block.aborted, block.eavesdropper) == ("error_rate", "intercept_resend")
            assert block.bits == b""
            assert block.leaked_bits > 1000
            assert "allowed" in block.why
        else:
            assert (block.aborted, block.eavesdropper, block.leaked_bits) == ("", "", 0)
            assert block.bits == quiet.block(r, 1.0).bits


@pytest.mark.parametrize(
    ("who", "reason"),
    [
        ({"kind": "jamming", "clicks": 0.3}, "error_rate"),
        ("man_in_the_middle", "authentication"),
    ],
)
@pytest.mark.parametrize("contact", ["seed", "ml-dsa-65"])
def test_nobody_on_the_line_gets_a_key_through(who: str, reason: str, contact: str) -> None:
    block = source(first_contact=contact, eavesdropper={"who": who}).block(0, 1.0)
    assert (block.aborted, block.bits) == (reason, b"")


def test_a_signed_first_contact_gives_the_same_key() -> None:
    assert source(first_contact="ml-dsa-65").block(0, 1.0).bits == source().block(0, 1.0).bits


def test_time_limits_a_session() -> None:
    found = source().block(0, 0.004)
    assert found.reports[0].pulses == 400_000
    assert found.seconds == pytest.approx(0.004)
    assert source().block(0, 0.0).aborted == "no_time"


def test_relays() -> None:
    air = {"link": "drone_drone", "sender": [0.0, 0.0, 80.0], "receiver": [400.0, 0.0, 80.0]}
    relay = {"position": [200.0, 0.0, 80.0], "onward": "drone_drone"}
    mirror = source(**air, relay=relay).block(0, 1.0)
    trusted = source(**air, relay={**relay, "kind": "trusted"}).block(0, 1.0)
    assert (len(mirror.reports), len(trusted.reports)) == (1, 2)
    assert len(trusted.bits) > len(mirror.bits) > 0


def test_a_satellite_comes_and_goes() -> None:
    space = {"link": "satellite_ground", "satellite": {"step": 100.0}, "receiver": [0.0, 0.0, 0.0]}
    section = LinkSection.model_validate(space)
    rates = [float(section.hops(r)[0].key_rate()) for r in range(60)]
    assert np.argmax(rates) == 1  # round 0 is 100 s before the middle
    assert rates[1] > 1e4
    assert rates[20] == 0  # on the other side of the Earth
    assert rates[57] == pytest.approx(rates[0], rel=1e-6)  # the next pass


def test_a_world_may_know_the_positions() -> None:
    section = LinkSection.model_validate({"link": "drone_drone", "session": QUICK})
    ends = {0: 100.0, 1: 400.0, 2: 50_000.0}
    line = LinkSource(
        "drone_0",
        section,
        0,
        ground=lambda r: (np.array([0.0, 0, 50]), np.array([ends[r], 0, 50])),
    )
    lengths = [len(line.block(r, 1.0).bits) for r in range(3)]
    assert lengths[0] > lengths[1] > lengths[2] == 0


def test_links_by_pattern() -> None:
    config = LinksConfig.model_validate(
        {
            "default": {"link": "satellite_drone", "satellite": {}},
            "clients": {"drone_1*": {"link": "drone_drone"}, "drone_*": {"link": "ground_drone"}},
        }
    )
    kinds = [config.of(name).link.kind for name in ("drone_12", "drone_2", "car_0")]
    assert kinds == ["drone_drone", "ground_drone", "satellite_drone"]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"eavesdropper": {"who": "intercept_resend", "rounds": [5, 2]}}, "rounds"),
        ({"session": "bbm92", "eavesdropper": {"who": "photon_number_splitting"}}, "eavesdropper"),
        ({"link": "carrier_pigeon"}, "link"),
        ({"first_contact": "handshake"}, "first_contact"),
        ({"relay": {"kind": "magic"}}, "relay"),
        ({"link": "satellite_ground"}, "needs a satellite"),
        ({"link": "fibre", "satellite": {}}, "no place for a satellite"),
    ],
)
def test_links_that_make_no_sense_are_refused(settings: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        LinkSection.model_validate(settings)
