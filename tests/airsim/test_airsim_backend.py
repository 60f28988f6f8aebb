"""The AirSim backend against our own backends: behind a wire, the same numbers."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from wire_fakes import FakeSimulator

from envs import make
from envs.airsim_server import serve
from envs.airsim_wire import calls
from envs.airsim_wire.address import Address
from envs.airsim_wire.client import Client, make_connection
from envs.backends.airsim_commands import Drive, move_of
from envs.backends.airsim_crew import make_airsim
from envs.backends.airsim_fleet import fleet_of
from envs.backends.airsim_settings import settings_text
from envs.bodies import Start
from envs.check import random_actions
from envs.front import section
from envs.mobility import capacity, make_backend
from qmarl.errors import ConfigurationError

KINDS = {
    "drone_navigation": "drone",
    "drone_formation": "drone",
    "drone_coverage": "drone",
    "drone_pursuit": "drone",
    "vehicle_intersection": "vehicle",
    "vehicle_platoon": "vehicle",
    "convoy_escort": "",
}


@pytest.fixture(autouse=True)
def no_fleets_left():
    yield
    fleet_of.cache_clear()


def both(env, server=None, **more):
    """A world's section flown by a simulator in this process, and by our own backend."""
    here = section({"id": env, "num_envs": 1, **more})
    world = make(here)
    spec = world.spec
    vehicles = dict(zip(spec.agents, spec.kinds, strict=True))
    crew = make_airsim(here.model_copy(update={"backend": "airsim"}), (1, len(vehicles)),
                       spec.agents, spec.kinds)  # fmt: skip
    physics = here.backend if here.backend != "bicycle" else "point"
    own = {**crew._own, "physics": physics}
    crew.close()
    settings = json.loads(settings_text("", vehicles, 0, own))
    return here, world, serve(settings, **(server or {}))


def flown(here, served, **airsim):
    where = {"addresses": (f"127.0.0.1:{served.port}",), **airsim}
    plain = here.model_dump(exclude_unset=True) | {"backend": "airsim", "airsim": where}
    return make(section(plain))


@pytest.mark.parametrize("physics", ["point", "quad6dof"])
def test_500_steps_of_four_drones_are_the_same_over_the_wire(physics):
    here, _, simulator = both("drone_navigation", drones=4, backend=physics)
    with simulator as served:
        where = {"addresses": (f"127.0.0.1:{served.port}",)}
        there = section(
            {**here.model_dump(exclude_unset=True), "backend": "airsim", "airsim": where}
        )
        names, kinds = [f"drone_{i}" for i in range(4)], ["drone"] * 4
        near = make_backend(here, (1, 4), here.arena, kinds)
        far = make_airsim(there, (1, 4), names, kinds)
        generator = np.random.default_rng(0)
        start = Start.resting(generator.uniform([-2, -2, 1], [2, 2, 2], (1, 4, 3)).astype("f4"))
        for backend in (near, far):
            backend.place(np.array([0]), start, np.zeros((1, backend.draws)))
        moving, worst = np.ones((1, 4), bool), 0.0
        for step in range(500):
            if step % 4 == 0:
                command = generator.uniform(-1, 1, (1, 4, 3)).astype(np.float32)
            near.advance(command, moving)
            far.advance(command, moving)
            gap = np.abs(near.position - far.position) / np.maximum(1, np.abs(near.position))
            worst = max(worst, float(gap.max()))
        far.close()
    assert worst <= 1e-6
    assert np.abs(near.velocity - far.velocity).max() <= 1e-5
    assert np.abs(near.heading - far.heading).max() <= 1e-5


@pytest.mark.parametrize("env", KINDS)
def test_every_task_begins_and_moves_the_same(env):
    here, near, simulator = both(env)
    with simulator as served:
        far = flown(here, served)
        ours, theirs = near.reset(3), far.reset(3)
        assert theirs.observations == pytest.approx(ours.observations, abs=1e-6)
        for number in range(6):
            actions = random_actions(near.spec, ours, 0, number)
            ours, theirs = near.step(actions).view, far.step(actions).view
            assert theirs.observations == pytest.approx(ours.observations, abs=2e-5)
            assert theirs.state == pytest.approx(ours.state, abs=2e-5)
        far.close()


def test_wind_late_commands_and_sensors_are_the_same():
    more = {
        "wind": {"speed": 1.0},
        "randomisation": {"latency": 2},
        "sensors": {"position": {"noise": 0.01, "bias": 0.1}, "lidar": {"beams": 8}},
    }
    here, near, simulator = both("drone_navigation", backend="quad6dof", **more)
    with simulator as served:
        far = flown(here, served)
        ours, theirs = near.reset(1), far.reset(1)
        for number in range(12):
            assert theirs.observations == pytest.approx(ours.observations, abs=1e-4)
            actions = random_actions(near.spec, ours, 0, number)
            ours, theirs = near.step(actions).view, far.step(actions).view
        far.close()


@pytest.mark.parametrize("manner", ["attitude", "motors"])
def test_attitudes_and_rotors_are_the_same(manner):
    here, _, simulator = both("drone_navigation", drones=2, backend="quad6dof")
    with simulator as served:
        where = {"addresses": (f"127.0.0.1:{served.port}",)}
        there = section(
            {**here.model_dump(exclude_unset=True), "backend": "airsim", "airsim": where}
        )
        near = make_backend(here, (1, 2), here.arena, ["drone"] * 2)
        far = make_airsim(there, (1, 2), ["drone_0", "drone_1"], ["drone"] * 2)
        start = Start.resting(np.array([[[-1, 0, 1.5], [1, 0, 1.5]]], np.float32))
        hover = 0.027 * 9.80665 / (4 * 0.1483)
        steps = {
            "attitude": [[[0.1, 0.05, 0.3, hover], [0.0, -0.1, -0.2, hover * 1.1]]] * 6,
            "motors": [[[hover * 1.02] * 4, [hover * 0.98] * 4]] * 3,
        }[manner]
        for backend in (near, far):
            backend.place(np.array([0]), start, np.zeros((1, backend.draws)))
            for command in steps:
                act = backend.advance_motors if manner == "motors" else backend.advance_attitude
                act(np.array([command], np.float32), np.ones((1, 2), bool))
        assert far.position == pytest.approx(near.position, abs=1e-3)
        assert far.heading == pytest.approx(near.heading, abs=1e-3)
        assert np.abs(near.position - start.position).max() > 0.005  # it does something
        far.close()


def test_two_simulators_are_two_copies():
    here, near, first = both("drone_navigation", drones=2)
    _, _, second = both("drone_navigation", drones=2)
    two = section(here.model_dump(exclude_unset=True) | {"num_envs": 2})
    with first as one, second as other:
        addresses = [f"127.0.0.1:{served.port}" for served in (one, other)]
        far = make(section(two.model_dump(exclude_unset=True) | {
            "backend": "airsim", "airsim": {"addresses": addresses}}))  # fmt: skip
        near = make(two)
        ours, theirs = near.reset(5), far.reset(5)
        for number in range(110):  # into the next episodes
            assert theirs.observations == pytest.approx(ours.observations, abs=2e-5)
            actions = np.full((2, 2), 6 if number % 2 else 0)
            ours, theirs = near.step(actions).view, far.step(actions).view
        far.close()


def test_places_are_counted_from_where_vehicles_were_spawned():
    here, _, simulator = both("drone_navigation", drones=2)
    with simulator as served:
        world = flown(here, served, origin=(10.0, 20.0, -5.0))
        world.reset(0)
        ours = world.positions()[0]
        connection = make_connection("wire", Address(port=served.port), 2.0)
        client = Client(connection)
        client.open()
        for name, place in zip(("drone_0", "drone_1"), ours.tolist(), strict=True):
            pose = client.call(calls.object_pose(name)).position
            seen = pose.x_val - 10, -(pose.y_val - 20), -(pose.z_val + 5)
            assert seen == pytest.approx(place, abs=1e-5)
        client.close()
        world.close()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("version", [1, 4])
def test_the_package_cosysairsim_flies_the_same(version):
    pytest.importorskip("cosysairsim")
    here, near, simulator = both("drone_navigation", {"version": version}, drones=2)
    with simulator as served, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        far = flown(here, served, client="cosysairsim")
        ours, theirs = near.reset(0), far.reset(0)
        for number in range(10):
            assert theirs.observations == pytest.approx(ours.observations, abs=2e-5)
            actions = random_actions(near.spec, ours, 0, number)
            ours, theirs = near.step(actions).view, far.step(actions).view
        far.close()


def test_a_package_that_is_not_there():
    world = make({"id": "drone_navigation", "backend": "airsim", "num_envs": 1,
                  "airsim": {"client": "airsim"}})  # fmt: skip
    with pytest.raises(ConfigurationError, match=r"'airsim' cannot be imported .* docs/airsim.md"):
        world.reset(0)
    world.close()


def test_cars_are_driven_by_pedals_and_a_wheel():
    drive = Drive(gas=10.0, brake=5.0, steer=0.5)

    def controls(acceleration, angle, moving=True):
        own = [acceleration, angle, 0.0], moving
        (given, name) = move_of("vehicle", "car", own, "velocity", drive).params
        return name, given["throttle"], given["brake"], given["steering"], given["handbrake"]

    assert controls(5.0, 0.25) == ("car", 0.5, 0.0, -0.5, False)  # AirSim's right is positive
    assert controls(-2.5, -0.5) == ("car", 0.0, 0.5, 1.0, False)
    assert controls(99.0, -9.0) == ("car", 1.0, 0.0, 1.0, False)
    assert controls(5.0, 0.0, moving=False) == ("car", 0.0, 1.0, 0.0, True)


def test_who_does_not_move_is_told_to_stand_still():
    with FakeSimulator() as fake:
        world = make({"id": "drone_navigation", "drones": 2, "backend": "airsim", "num_envs": 1,
                      "address": str(fake.address)})  # fmt: skip
        world.reset(0)
        backend = world._backend
        backend.advance(np.ones((1, 2, 3), np.float32), np.array([[True, False]]))
        assert fake.speed["drone_0"] == [1, -1, -1]  # ours is north, west and up
        assert fake.speed["drone_1"] == [0, 0, 0]
        world.close()


def test_contacts_and_the_clock_are_outcomes():
    with FakeSimulator() as fake:
        world = make({"id": "drone_navigation", "drones": 2, "backend": "airsim", "num_envs": 1,
                      "max_steps": 3, "address": str(fake.address)})  # fmt: skip
        assert world.spec.outcomes[-3:] == ("lost", "contact", "clock")
        world.reset(0)
        stay = np.zeros((1, 2), np.int64)
        world.step(stay)
        fake.hit["drone_1"] = True
        world.step(stay)
        step = world.step(stay)
        told = {name: float(step.outcomes[name][0]) for name in ("lost", "contact", "clock")}
        assert told == {"lost": 0, "contact": 1, "clock": pytest.approx(1)}
        for _ in range(3):
            step = world.step(stay)
        assert step.outcomes["contact"][0] == 0  # the next episode's own
        world.close()


def test_worlds_of_one_process_hand_their_simulator_over():
    with FakeSimulator() as fake:
        settings = {"id": "drone_navigation", "drones": 2, "backend": "airsim", "num_envs": 1,
                    "address": str(fake.address)}  # fmt: skip
        training, judging = make(settings), make(settings)
        training.reset(0)
        judging.reset(0)
        judging.step(np.zeros((1, 2), np.int64))
        training.reset(1)
        training.step(np.zeros((1, 2), np.int64))
        judging.close()
        assert not training.step(np.zeros((1, 2), np.int64)).ended.any()
        training.close()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"num_envs": 2}, "env.num_envs: 2 copies .* as many simulators, and env.airsim has 1"),
        ({"airsim": {"vehicles": ["a", "a"]}}, "env.airsim.vehicles: got .* for 2 agents"),
        ({"airsim": {"addresses": ["x:y"]}}, "airsim.addresses.*an address looks like"),
        ({"airsim": {"addresses": ["x", "x:41451"]}}, "must name each simulator once"),
        ({"address": "nowhere:0"}, "address.*an address looks like"),
        ({"address": "a", "airsim": {"addresses": ["b"]}}, "say in one place"),
        (
            {"airsim": {"addresses": ["b"], "launch": {"command": ["x"]}}},
            "name simulators or start",
        ),
    ],
)
def test_settings_that_do_not_fit(settings, said):
    with pytest.raises(ConfigurationError, match=said):
        make(
            {"id": "drone_navigation", "drones": 2, "backend": "airsim", "num_envs": 1, **settings}
        )


def test_the_capacity_is_the_number_of_simulators():
    def room(**airsim):
        return capacity(section({"id": "drone_navigation", "backend": "airsim", "airsim": airsim}))

    assert capacity(section("drone_navigation")) is None
    assert capacity(section("coin_game")) is None
    assert room() == 1
    assert room(addresses=["a", "b", "c"]) == 3
    assert room(launch={"command": ["qmarl"], "simulators": 4}) == 4


def test_time_per_decision_is_the_training_backends():
    drone = section({"id": "drone_navigation", "backend": "airsim", "point": {"dt": 0.05}})
    car = section({"id": "vehicle_platoon", "backend": "airsim"})
    given = section({"id": "vehicle_platoon", "backend": "airsim", "airsim": {"dt": 0.5}})
    assert (drone.dt, car.dt, given.dt) == (0.05, car.bicycle.dt, 0.5)
