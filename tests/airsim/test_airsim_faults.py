"""What goes wrong with simulators: an episode is cut and marked, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from real_simulator import Proxy, SimulatorProcess, gone
from wire_fakes import FakeSimulator

from envs import make
from envs.airsim_wire import calls
from envs.airsim_wire.structs import Pose, Vector3r
from envs.backends.airsim_fleet import fleet_of
from envs.front import section
from qmarl.errors import ConfigurationError, UnreachableError

STAY = np.zeros((1, 2), np.int64)


def world_at(address, **airsim):
    """Drone navigation, moved by the simulator at an address."""
    quick = {"timeout_s": 0.5, "patience_s": 8.0, **airsim}
    where = {"airsim": {"addresses": [str(address)], **quick}}
    return make(
        {"id": "drone_navigation", "drones": 2, "backend": "airsim", "num_envs": 1, **where}
    )


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    found = SimulatorProcess(tmp_path_factory.mktemp("simulator"))
    yield found
    found.kill()


@pytest.fixture
def simulator(process):
    yield process
    process.thaw()
    if not process.alive:
        process.start()


@pytest.fixture(autouse=True)
def no_fleets_left():
    yield
    fleet_of.cache_clear()


def step_until_cut(world, most=40):
    """Steps until the simulator is lost; returns that step."""
    for _ in range(most):
        step = world.step(STAY)
        if step.ended[0]:
            return step
    raise AssertionError("no episode was cut")


def assert_cut_and_marked(step):
    assert step.truncated.all()
    assert not step.terminated.any()
    assert step.outcomes["lost"][0] == 1


def test_killed_in_mid_episode_and_back_after_two_seconds(simulator):
    world = world_at(simulator.address)
    world.reset(0)
    world.step(STAY)
    simulator.kill()
    threading.Timer(2.0, simulator.start).start()
    step = step_until_cut(world)  # and begins the next episode, which waits
    assert_cut_and_marked(step)
    assert step.final.alive.all()
    after = world.step(STAY)
    assert not after.ended.any()
    world.close()


def test_killed_for_good(simulator):
    world = world_at(simulator.address, patience_s=0.5)
    world.reset(0)
    simulator.kill()
    with pytest.raises(UnreachableError, match=r"no simulator answers .* gave up after 0.5 s"):
        step_until_cut(world)
    world.close()


def test_frozen_for_three_seconds(simulator):
    world = world_at(simulator.address)
    world.reset(0)
    simulator.freeze()
    threading.Timer(3.0, simulator.thaw).start()
    assert_cut_and_marked(step_until_cut(world))
    assert not world.step(STAY).ended.any()
    world.close()


def test_frozen_for_ever(simulator):
    world = world_at(simulator.address, patience_s=1.0)
    world.reset(0)
    simulator.freeze()
    with pytest.raises(UnreachableError, match=r"did not answer 'getServerVersion' in 0.5 s"):
        step_until_cut(world)
    world.close()


SPOILS = {
    "garbage": lambda data: b"\xc1" * len(data),
    "a truncated reply": lambda data: data[: len(data) // 2],
    "a reply that ends": lambda data: None,
}


@pytest.mark.parametrize("name", SPOILS)
def test_bytes_that_are_wrong(simulator, name):
    proxy = Proxy(simulator.address)
    world = world_at(proxy.address)
    world.reset(0)
    world.step(STAY)
    sound = time.monotonic() + 0.4

    def spoil(data):
        return data if time.monotonic() > sound else SPOILS[name](data)

    proxy.spoil = spoil
    assert_cut_and_marked(step_until_cut(world))
    assert not world.step(STAY).ended.any()
    world.close()
    proxy.close()


def test_slow_replies_are_waited_for_and_too_slow_ones_are_a_loss(simulator):
    proxy = Proxy(simulator.address)
    world = world_at(proxy.address)
    world.reset(0)

    def slow(data):
        time.sleep(0.15)
        return data

    proxy.spoil = slow
    assert not world.step(STAY).ended.any()
    slowed = []

    def slower(data):
        slowed.append(1)
        time.sleep(0.8 if len(slowed) == 1 else 0.0)
        return data

    proxy.spoil = slower
    assert_cut_and_marked(step_until_cut(world))
    world.close()
    proxy.close()


def test_stale_timestamps():
    with FakeSimulator() as fake:
        world = world_at(fake.address)
        world.reset(0)
        world.step(STAY)
        fake.frozen_clock = True
        assert_cut_and_marked(step_until_cut(world))
        fake.frozen_clock = False
        assert not world.step(STAY).ended.any()
        world.close()


def test_numbers_that_are_not_finite():
    with FakeSimulator() as fake:
        world = world_at(fake.address)
        world.reset(0)
        fake.place["drone_1"] = [float("nan")] * 3
        step = step_until_cut(world)
        assert_cut_and_marked(step)
        assert np.isfinite(step.final.observations).all()
        world.close()


def test_a_latched_collision_does_not_count_in_the_next_episode(simulator):
    world = world_at(simulator.address)
    world.reset(0)
    other = simulator.client()
    spawn = Vector3r(0, -3, -10)  # where drone_0 is, seen from drone_1's spawn
    other.call(calls.set_vehicle_pose(Pose(Vector3r(0, 0, -10)), vehicle="drone_0"))
    other.call(calls.set_vehicle_pose(Pose(spawn), vehicle="drone_1"))
    other.call(calls.continue_for_time(0.1))
    world.restart(np.array([True]))
    assert not other.call(calls.collision_info("drone_0")).has_collided
    world.step(STAY)
    assert world._backend.outcomes()["contact"][0] == 0
    other.close()
    world.close()


def test_left_paused_by_a_run_that_crashed_and_never_left_paused_by_us(simulator):
    other = simulator.client()
    other.call(calls.pause(True))
    world = world_at(simulator.address)
    world.reset(0)
    assert not world.step(STAY).ended.any()
    assert other.call(calls.is_paused())
    world.close()
    assert not other.call(calls.is_paused())
    other.close()


def test_api_control_taken_away(simulator):
    world = world_at(simulator.address)
    world.reset(0)
    world.step(STAY)
    other = simulator.client()
    other.call(calls.enable_api_control(False, "drone_1"))
    assert_cut_and_marked(step_until_cut(world))
    for _ in range(5):
        assert not world.step(STAY).ended.any()
    other.close()
    world.close()


def test_a_vehicle_is_missing(tmp_path):
    simulator = SimulatorProcess(tmp_path, vehicles=("drone_0", "uav"))
    world = world_at(simulator.address)
    with pytest.raises(
        ConfigurationError, match=r"has no vehicle 'drone_1'; it has 'drone_0', 'uav'"
    ):
        world.reset(0)
    world.close()
    named = world_at(simulator.address, vehicles=["drone_0", "uav"])
    named.reset(0)
    named.close()
    simulator.kill()


def test_another_version_of_the_protocol():
    with FakeSimulator(version=3) as fake:
        world = world_at(fake.address)
        with pytest.raises(UnreachableError, match="speaks version 3"):
            world.reset(0)
        world.close()


def test_another_program_steps_the_simulator(simulator):
    world = world_at(simulator.address)
    world.reset(0)
    other = simulator.client()
    stop = threading.Event()
    cut = None
    for _ in range(30):
        other.call(calls.continue_for_time(0.1))
        step = world.step(STAY)
        if step.ended[0]:
            cut = step
            break
    stop.set()
    assert cut is not None
    assert_cut_and_marked(cut)
    assert "another program steps it too" in world._backend._losses[0][-1]
    other.close()
    world.close()


def test_a_simulator_that_is_lost_again_and_again_ends_the_run(simulator):
    world = world_at(simulator.address)
    world.reset(0)
    other = simulator.client()

    def steal():
        for _ in range(60):
            other.call(calls.enable_api_control(False, "drone_0"))
            world.step(STAY)

    with pytest.raises(UnreachableError, match=r"lost in 5 episodes in a row.*API control"):
        steal()
    other.close()
    world.close()


TRAINER = """
import sys, time
from envs import make
world = make({"id": "drone_navigation", "drones": 2, "backend": "airsim", "num_envs": 1,
              "airsim": %s})
world.reset(0)
print(world._backend._berths[0].address.port, flush=True)
time.sleep(60)
"""


def trainer(airsim):
    found = subprocess.Popen(
        [sys.executable, "-c", TRAINER % airsim], stdout=subprocess.PIPE, text=True
    )
    return found, int(found.stdout.readline())


def end(process):
    process.kill()
    process.wait()
    process.stdout.close()


def test_two_trainers_on_one_simulator(simulator):
    first, _ = trainer({"addresses": [str(simulator.address)]})
    world = world_at(simulator.address)
    with pytest.raises(
        UnreachableError, match=rf"in use by another program: .*process {first.pid}"
    ):
        world.reset(0)
    end(first)
    world.reset(0)  # it is free again, and works
    assert not world.step(STAY).ended.any()
    world.close()


def test_a_port_that_is_taken_is_passed_over_and_no_process_is_left_behind():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        launch = {"command": ["qmarl"], "physics": "point", "port": port}
        process, found = trainer({"launch": launch})
        assert found > port
    os.kill(process.pid, signal.SIGKILL)  # it cannot clean up
    assert gone(found)
    end(process)


def test_a_simulator_of_ours_is_started_again():
    launch = {"command": ["qmarl"], "physics": "point", "port": 42000}
    config = section({"id": "drone_navigation", "drones": 2, "num_envs": 1, "backend": "airsim",
                      "airsim": {"launch": launch, "timeout_s": 0.5}})  # fmt: skip
    world = make(config)
    world.reset(0)
    berth = world._backend._berths[0]
    os.killpg(berth._process._process.pid, signal.SIGSTOP)  # frozen for ever
    assert_cut_and_marked(step_until_cut(world))
    assert not world.step(STAY).ended.any()
    world.close()
    fleet_of(config.simulators).close()
    assert gone(berth.address.port)


@pytest.mark.parametrize(
    ("launch", "said"),
    [
        ({"command": ["no-such-simulator"]}, "cannot run 'no-such-simulator'"),
        ({"command": ["qmarl"], "settings": "/no/such.json"}, "launch.settings: /no/such.json"),
    ],
)
def test_a_command_that_cannot_be_run(launch, said):
    world = make({"id": "drone_navigation", "backend": "airsim", "num_envs": 1,
                  "airsim": {"launch": launch}})  # fmt: skip
    with pytest.raises(ConfigurationError, match=said):
        world.reset(0)
    world.close()


def test_a_simulator_that_ends_at_once():
    launch = {"command": [sys.executable, "-c", "print('no licence')"]}
    world = make({"id": "drone_navigation", "backend": "airsim", "num_envs": 1,
                  "airsim": {"launch": launch}})  # fmt: skip
    with pytest.raises(UnreachableError, match="ended as soon as it was started: no licence"):
        world.reset(0)
    world.close()
