"""The server: order, patience and safety on the wire, with processes where it matters."""

from __future__ import annotations

import math
import signal
import socket
import subprocess
import sys
import time

import msgpack
import numpy as np
import pytest
from sim_tools import YAW, Desk, Raw, drones, pose, process, vec

from envs.airsim_server import serve
from envs.airsim_server.calls import CALLS, Deferred, counts, perform
from envs.airsim_server.rpc import Server
from envs.airsim_server.serving import make_server
from envs.airsim_server.settings import read
from envs.airsim_wire import structs
from envs.backends.point import PointBackend, PointConfig
from envs.backends.quad6dof import Quad6Dof, Quad6DofConfig
from envs.bodies import Start
from qmarl.errors import UnreachableError

POINT = {"physics": "point"}


@pytest.fixture
def connect():
    """Makes raw clients, and closes them in the end."""
    made = []

    def make(port):
        made.append(Raw(port))
        return made[-1]

    yield make
    for each in made:
        each.socket.close()


def test_words_of_rpclib_for_wrong_calls():
    made = Desk()
    assert made.error("fly", 1, 2) == (
        "rpclib: server could not find function 'fly' with argument count 2."
    )
    assert made.error("takeoff", 1.0) == (
        "rpclib: client error C0002: Function 'takeoff' was called with an invalid number of "
        "arguments. Expected: 2, got: 1"
    )


def test_versions_differ_where_airsim_and_cosys_do():
    classic, cosys = Desk(version=1), Desk(version=4)
    assert (classic.ask("getServerVersion"), cosys.ask("getServerVersion")) == (1, 4)
    request = [{"camera_name": "0", "image_type": 3, "pixels_as_float": True, "compress": False}]
    assert "annotation_name" not in classic.ask("simGetImages", request, "", False)[0]
    assert "Expected: 3, got: 2" in classic.error("simGetImages", request, "")
    asked = [{**request[0], "annotation_name": ""}]
    assert cosys.ask("simGetImages", asked, "")[0]["annotation_name"] == ""
    assert "Expected: 2, got: 3" in cosys.error("simGetImages", asked, "", False)
    assert "could not find" in classic.error("simGetPhysicsRawKinematics", "")
    assert counts(1).keys() < CALLS.keys()


def test_the_maps_that_are_made_by_hand_are_the_structs():
    made = Desk({"SimMode": "Car"}, version=1)
    for name, kind in (("getCarState", structs.CarState), ("simGetVehiclePose", structs.Pose)):
        assert kind.from_map(made.ask(name, "")).to_map() == made.ask(name, "")
    flies = Desk()
    state = flies.ask("getMultirotorState", "")
    assert structs.MultirotorState.from_map(state).to_map() == state
    assert state.keys() == structs.MultirotorState().to_map().keys()


@pytest.mark.parametrize("physics", ["point", "quad6dof"])
def test_lockstep_over_the_wire_is_the_backend_in_process(connect, physics):
    box = np.array([[-1e5, -1e5, 0], [1e5, 1e5, 1e5]], np.float32)
    own = (
        Quad6Dof(Quad6DofConfig(), (1, 4), box)
        if physics == "quad6dof"
        else PointBackend(PointConfig(), (1, 4), box)
    )
    starts = np.array([[[2.0 * i, 0, 6.3] for i in range(4)]], np.float32)
    own.place(np.arange(1), Start.resting(starts), np.zeros((1, 0)))
    names, rng = [f"D{i}" for i in range(4)], np.random.default_rng(0)
    with serve(drones(4), physics=physics) as served:
        client = connect(served.port)
        client.ask("simPause", True)
        for name in names:
            client.ask("enableApiControl", True, name)
            client.ask("armDisarm", True, name)
            client.ask("simSetVehiclePose", pose(0.0, 0.0, -5.0), True, name)
        for _ in range(500 if physics == "point" else 120):
            command = rng.uniform(-2, 2, (1, 4, 3)).astype(np.float32)
            own.advance(command, np.ones((1, 4), bool))
            quiet = [
                client.send("moveByVelocity", x, -y, -z, 10.0, 0, YAW, name)
                for name, (x, y, z) in zip(names, command[0].tolist(), strict=True)
            ]
            asked = [client.send("simContinueForTime", 0.1)]
            asked += [client.send("simGetGroundTruthKinematics", name) for name in names]
            answers = {}
            while not set(asked) <= answers.keys():
                number, error, result = client.answer()
                assert error is None
                answers[number] = result
            assert quiet[-1] < asked[0]
            for index, number in enumerate(asked[1:]):
                x, y, z = answers[number]["position"].values()
                here = np.array([x + 2.0 * index, -y, -(z - 1.3)])
                truth = own.position[0, index]
                assert (np.abs(here - truth) <= 1e-6 * np.maximum(1, np.abs(truth))).all()


def test_exactly_the_time_that_was_asked_for_passes(connect):
    with serve(drones(1, **POINT)) as served:
        client = connect(served.port)
        client.ask("simPause", True)
        first = client.ask("getMultirotorState", "")["timestamp"]
        client.ask("simContinueForTime", 0.123456789)
        second = client.ask("getMultirotorState", "")["timestamp"]
        assert second - first == 123_456_789
        assert client.ask("simIsPaused") is True
        client.ask("simContinueForFrames", 3)
        assert client.ask("getMultirotorState", "")["timestamp"] - second == 60_000_000


def test_time_passes_by_itself_as_fast_as_the_clock_speed_says(connect):
    with serve({"ClockSpeed": 20, "Qmarl": POINT}) as served:
        client = connect(served.port)
        first, start = client.ask("getMultirotorState", "")["timestamp"], time.perf_counter()
        time.sleep(0.3)
        passed = client.ask("getMultirotorState", "")["timestamp"] - first
        real = time.perf_counter() - start
        assert 0 < passed <= 20 * (real + 0.05) * 1e9
        client.ask("simPause", True)
        still = client.ask("getMultirotorState", "")["timestamp"]
        time.sleep(0.05)
        assert client.ask("getMultirotorState", "")["timestamp"] == still


def test_a_long_time_holds_its_own_connection_only(connect):
    with serve(drones(2)) as served:
        client, other = connect(served.port), connect(served.port)
        client.ask("simPause", True)
        run, after = client.send("simContinueForTime", 900_000.0), client.send("ping")
        assert other.ask("simIsPaused") is False
        other.ask("simPause", True)  # ends it
        assert [client.answer()[0] for _ in range(2)] == [run, after]
        assert other.ask("simIsPaused") is True


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xc1",
        b"GET / HTTP/1.1\r\n\r\n",
        msgpack.packb([0, 1, "ping"]),
        msgpack.packb([0, "one", "ping", []]),
        msgpack.packb({"a": 1}),
        msgpack.packb([0, 1, 2, []]),
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 100_000,
    ],
)
def test_malformed_bytes_close_their_connection_and_no_other(connect, garbage):
    with serve(drones(1, **POINT)) as served:
        good, bad = connect(served.port), connect(served.port)
        assert good.ask("ping") is True
        bad.socket.sendall(garbage)
        bad.socket.settimeout(10)
        assert bad.is_closed()
        assert good.ask("ping") is True


def test_a_message_beyond_the_limit_closes_the_connection(connect):
    with serve(drones(1, **POINT)) as served:
        bad = connect(served.port)
        head = msgpack.packb("simPrintLogMessage")
        bad.socket.sendall(b"\x94\x00\x01" + head + b"\x91\xc6" + (1 << 30).to_bytes(4, "big"))
        with pytest.raises(OSError, match=r"reset|pipe|closed"):
            bad.socket.sendall(b"x" * (64 << 20))
        assert connect(served.port).ask("ping") is True


def test_pieces_and_many_calls_at_once_are_answered_in_order(connect):
    with serve(drones(1, **POINT)) as served:
        client = connect(served.port)
        for byte in msgpack.packb([0, 9, "ping", []]):
            client.socket.sendall(bytes([byte]))
        assert client.answer() == (9, None, True)
        client.socket.sendall(msgpack.packb([2, "simPause", [True]]))  # wants no answer
        client.socket.sendall(b"".join(msgpack.packb([0, i, "ping", []]) for i in range(500)))
        assert [client.answer()[0] for _ in range(500)] == list(range(500))
        assert client.ask("simIsPaused") is True


def test_a_client_that_goes_away_in_mid_move_leaves_no_trace(connect):
    with serve(drones(1, **POINT)) as served:
        gone = connect(served.port)
        gone.ask("simPause", True)
        gone.send("moveByVelocity", 1.0, 0.0, 0.0, 0.2, 0, YAW, "")
        gone.socket.close()
        client = connect(served.port)
        client.ask("simContinueForTime", 1.0)
        assert client.ask("ping") is True


def test_a_process_says_where_it_serves_and_ends_on_a_signal(connect, tmp_path):
    with process(tmp_path, drones(1, **POINT), "--version", "4") as (child, port):
        assert connect(port).ask("getServerVersion") == 4
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 0


def test_a_port_in_use_is_one_sentence_and_exit_code_3():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "envs.airsim_server", "--port", str(port)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 3
    assert done.stderr.startswith(f"error: port {port} of 127.0.0.1 cannot be listened at")
    assert done.stderr.count("\n") == 1


def test_only_this_machine_is_listened_to_by_default():
    server = make_server(read("{}"), "127.0.0.1", 0)
    assert server.address[0] == "127.0.0.1"
    with pytest.raises(UnreachableError, match="cannot be listened at"):
        Server(server.simulator, "127.0.0.1", server.address[1])
    server.stop()
    server.run()


STRANGE = [
    0.0,
    -1.0,
    1e7,
    1e308,
    math.inf,
    -math.inf,
    math.nan,
    2**63,
    True,
    None,
    "",
    b"x",
    [],
    {},
]
VALID = {
    "moveByVelocity": [1.0, 2.0, -1.0, 3.0, 0, YAW, "D0"],
    "moveOnPath": [[vec(1, 2, -3)] * 3, 3.0, 20.0, 0, YAW, -1, 1, "D0"],
    "moveToGPS": [47.64, -122.14, 130.0, 3.0, 9.0, 0, YAW, -1, 1, "D0"],
    "rotateToYaw": [90.0, 5.0, 5.0, "D0"],
    "moveByRollPitchYawZ": [0.1, 0.1, 0.1, -3.0, 2.0, "D0"],
    "moveByAngleRatesThrottle": [0.1, 0.1, 0.1, 0.5, 2.0, "D0"],
    "moveByMotorPWMs": [0.4, 0.4, 0.4, 0.4, 2.0, "D0"],
    "takeoff": [20.0, "D0"],
    "land": [20.0, "D0"],
    "simSetVehiclePose": [pose(1.0, 1.0, -3.0), True, "D0"],
    "simSetWind": [vec(1, 2, 3)],
    "simSpawnObject": ["b", "Cube", pose(3.0, 1.0, -2.0), vec(1, 1, 1), False, False],
    "simSetObjectPose": ["b", pose(3.0, 1.0, -2.0), True],
    "simSetObjectScale": ["b", vec(1, 1, 1)],
    "simAddVehicle": ["n", "simpleflight", pose(0.0, 9.0, -1.0), ""],
    "simSetCameraPose": ["0", pose(0.0, 0.0, 0.0), "D0", False],
    "simTestLineOfSightToPoint": [{"latitude": 1, "longitude": 2, "altitude": 3}, "D0"],
    "getMultirotorState": ["D0"],
    "getImuData": ["", "D0"],
    "getGpsData": ["", "D0"],
    "cancelLastTask": ["D0"],
}


def spoiled(value, rng):
    """The same with something strange in one place."""
    if isinstance(value, dict) and value:
        key = list(value)[rng.integers(len(value))]
        return {**value, key: spoiled(value[key], rng)}
    if isinstance(value, list) and value:
        at = rng.integers(len(value))
        return [*value[:at], spoiled(value[at], rng), *value[at + 1 :]]
    return STRANGE[rng.integers(len(STRANGE))]


@pytest.mark.parametrize("physics", ["point", "quad6dof"])
def test_nothing_that_a_client_says_breaks_the_simulator(physics):
    rng, made = np.random.default_rng(7), Desk(drones(2, physics=physics))
    table, names = counts(1), list(VALID)
    for round_ in range(1200):
        made.take_off("D0", "D1")
        name = names[rng.integers(len(names))]
        given = spoiled(VALID[name], rng) if rng.random() < 0.7 else VALID[name]
        error, result = perform(table, made.simulator, name, given)
        packed = None if isinstance(result, Deferred) else result
        msgpack.packb([1, 1, error, packed])
        if round_ % 5 == 0:
            made.run(0.05)
        for vehicle in made.simulator.vehicles:
            assert np.isfinite(vehicle.position).all(), (name, given)
    made.ask("reset")
    assert made.place("D0") == pytest.approx((0, 0, 0), abs=1e-6)


def test_who_asks_for_much_and_fetches_nothing_holds_up_nobody(connect):
    request = {"camera_name": "0", "image_type": 2, "pixels_as_float": True, "compress": False}
    with serve(drones(1, **POINT)) as served:
        greedy, other = connect(served.port), connect(served.port)
        many = 200
        for _ in range(many):
            greedy.send("simGetImages", [request], "", False)
        assert other.ask("ping") is True
        numbers = []
        for _ in range(3):
            number, error, images = greedy.answer()
            assert error is None
            assert len(images[0]["image_data_float"]) == 256 * 144
            numbers.append(number)
        assert numbers == [1, 2, 3]
        assert other.ask("ping") is True
