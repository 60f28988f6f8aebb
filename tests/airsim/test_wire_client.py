"""The client: pipelined, typed, and never waiting for ever."""

from __future__ import annotations

import dataclasses
import inspect
import socket
import time

import msgpack
import pytest
from wire_fakes import FakeSimulator

from envs.airsim_wire import calls, structs
from envs.airsim_wire.address import Address
from envs.airsim_wire.client import Client, make_connection
from envs.airsim_wire.codec import CLASSIC, COSYS, Struct, WireError
from envs.airsim_wire.connection import LostError, RefusedError, Request, WireConnection
from qmarl.errors import UnreachableError

STRUCTS = [
    each
    for _, each in inspect.getmembers(structs, inspect.isclass)
    if issubclass(each, Struct) and each is not Struct
]


@pytest.fixture
def fake():
    with FakeSimulator() as simulator:
        yield simulator


@pytest.fixture
def client_of():
    made = []

    def make(fake, timeout_s=2.0):
        made.append(Client(make_connection("wire", fake.address, timeout_s)))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.mark.parametrize("version", [CLASSIC, COSYS])
@pytest.mark.parametrize("kind", STRUCTS, ids=lambda kind: kind.__name__)
def test_a_struct_comes_back_from_its_map(kind, version):
    there = msgpack.unpackb(msgpack.packb(kind().to_map(version)))
    assert kind.from_map(there, version) == kind()


def test_structs_have_the_fields_of_their_version():
    lidar = structs.LidarData(segmentation=(1, 2), groundtruth=("wall",))
    assert "groundtruth" not in lidar.to_map(CLASSIC)
    assert "segmentation" not in lidar.to_map(COSYS)
    assert structs.LidarData.from_map(lidar.to_map(COSYS), COSYS).groundtruth == ("wall",)
    assert "annotation_name" not in structs.ImageRequest().to_map(CLASSIC)
    assert "annotation_name" in structs.ImageRequest().to_map(COSYS)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (3, "allowed is a map"),
        ({"x_val": 1.0, "y_val": 2.0}, "'z_val' is missing"),
        ({"x_val": 1.0, "y_val": "2", "z_val": 0}, r"Vector3r.y_val: got '2'; allowed is a number"),
        ({"x_val": True, "y_val": 2.0, "z_val": 0}, "allowed is a number"),
    ],
)
def test_a_map_that_is_no_struct_is_refused_by_name(given, said):
    with pytest.raises(WireError, match=said):
        structs.Vector3r.from_map(given)


def test_unknown_fields_are_passed_over():
    given = {**structs.Pose().to_map(), "from_the_future": 1}
    assert structs.Pose.from_map(given) == structs.Pose()


@pytest.mark.parametrize("version", [CLASSIC, COSYS])
def test_every_call_becomes_plain_data(version):
    """Also what each call takes is what AirSim's own client sends."""
    made = calls.images([structs.ImageRequest()], "drone_0").request(version)
    assert len(made.params) == (3 if version == CLASSIC else 2)
    assert len(calls.object_pose("wall").request(version).params) == (
        1 if version == CLASSIC else 2
    )
    move = calls.move_by_velocity(structs.Vector3r(1, 2, 3), 4, vehicle="drone_0").request(version)
    yaw = {"is_rate": True, "yaw_or_rate": 0.0}
    assert move == Request("moveByVelocity", (1.0, 2.0, 3.0, 4.0, 0, yaw, "drone_0"))
    msgpack.packb([move.params, made.params])


def test_the_version_is_found_out(fake, client_of):
    for version in (CLASSIC, COSYS):
        fake.version = version
        assert client_of(fake).open() == version


def test_another_version_is_refused(fake, client_of):
    fake.version = 2
    with pytest.raises(UnreachableError, match=r"speaks version 2 .* allowed are 1 .* and 4"):
        client_of(fake).open()


def test_calls_are_typed(fake, client_of):
    client = client_of(fake)
    client.open()
    assert client.call(calls.list_vehicles()) == ["drone_0", "drone_1"]
    client.call(calls.set_vehicle_pose(structs.Pose(structs.Vector3r(1, 2, -3)), vehicle="drone_1"))
    state = client.call(calls.multirotor_state("drone_1"))
    assert state.kinematics_estimated.position == structs.Vector3r(1, 2, -3)
    client.close()


def test_requests_travel_together_and_moves_are_not_waited_for(fake, client_of):
    client = client_of(fake)
    client.open()
    client.call(calls.enable_api_control(True, "drone_0"))
    move = calls.move_by_velocity(structs.Vector3r(1, 0, 0), 10, vehicle="drone_0")
    asked = [move.request(COSYS, quiet=True), Request("simContinueForTime", (0.5,))]
    assert client.ask([*asked, Request("simIsPaused")]) == [None, False]
    state = client.call(calls.multirotor_state("drone_0"))
    assert state.kinematics_estimated.position.x_val == 0.5
    client.close()


def test_a_refusal_is_told_in_the_simulators_words(fake, client_of):
    client = client_of(fake)
    client.open()
    with pytest.raises(RefusedError, match=r"refused 'getMultirotorState': .*'nobody'"):
        client.call(calls.multirotor_state("nobody"))
    assert client.call(calls.ping())  # the connection goes on


def test_a_move_that_was_refused_is_told_later(fake, client_of):
    client = client_of(fake)
    client.open()
    move = calls.move_by_velocity(structs.Vector3r(), 1, vehicle="drone_0").request(COSYS, True)
    with pytest.raises(RefusedError, match="moveByVelocity"):
        client.ask([move, Request("ping")])


def test_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(LostError, match=f"no simulator answers at 127.0.0.1:{port}"):
        WireConnection(Address(port=port)).open()


def test_silence_ends_after_the_time_limit(fake, client_of):
    fake.answer = lambda method, usual: b"" if method == "ping" else usual
    client = client_of(fake, timeout_s=0.2)
    client.open()
    began = time.monotonic()
    with pytest.raises(LostError, match=r"did not answer 'ping' in 0.2 s"):
        client.call(calls.ping())
    assert time.monotonic() - began < 2


def test_drops_of_bytes_do_not_stretch_the_time_limit(fake, client_of):
    def drip(method, usual):
        if method != "ping":
            return usual
        time.sleep(0.3)
        return b"\x94"

    fake.answer = drip
    client = client_of(fake, timeout_s=0.2)
    client.open()
    with pytest.raises(LostError, match="did not answer"):
        client.ask([Request("ping")] * 20)


@pytest.mark.parametrize(
    "bad", [b"\xc1\xc1\xc1", b"HTTP/1.1 400 Bad Request\r\n", b"\x93\x01\x02\x03"]
)
def test_garbage_is_named_and_the_next_connection_is_clean(fake, client_of, bad):
    fake.answer = lambda method, usual: bad if method == "ping" else usual
    client = client_of(fake)
    client.open()
    with pytest.raises(LostError, match="no msgpack-RPC"):
        client.call(calls.ping())
    fake.answer = lambda method, usual: usual
    client.open()
    assert client.call(calls.ping())


def test_a_reply_that_breaks_off_is_a_loss(fake, client_of):
    client = client_of(fake)
    client.open()
    client.connection._socket.shutdown(socket.SHUT_RDWR)
    with pytest.raises(LostError, match="lost the simulator"):
        client.call(calls.ping())
    fake.answer = lambda method, usual: None if method == "getMultirotorState" else usual
    client.open()
    with pytest.raises(LostError, match="it closed the connection"):
        client.call(calls.multirotor_state("drone_0"))


def test_a_reply_has_a_greatest_size(fake):
    fake.answer = lambda method, usual: msgpack.packb([1, 1, None, bytes(10_000)])
    connection = WireConnection(fake.address, 2.0, most_bytes=5000)
    with pytest.raises(LostError, match="longer than 5000 bytes"):
        connection.ask([Request("ping")])


def test_a_state_of_another_shape_is_a_loss(fake, client_of):
    state = structs.MultirotorState().to_map()
    del state["timestamp"]
    fake.answer = lambda method, usual: (
        msgpack.packb([1, msgpack.unpackb(usual)[1], None, state]) if "State" in method else usual
    )
    client = client_of(fake)
    client.open()
    with pytest.raises(LostError, match="MultirotorState: 'timestamp' is missing"):
        client.call(calls.multirotor_state("drone_0"))


@pytest.mark.parametrize("text", ["", "host:0", "host:99999", "a b", "host:port", "::1"])
def test_addresses_that_are_none(text):
    with pytest.raises(ValueError, match="an address looks like"):
        Address.parse(text)


def test_addresses():
    assert Address.parse("sim") == Address("sim", 41451)
    assert str(Address.parse("[::1]:5000")) == "[::1]:5000"


def test_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        structs.Vector3r().x_val = 1.0
