"""What ``qmarl envs`` does with a world: tells what it is, measures its pace, plays an episode."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, final

from pydantic_core import PydanticUndefined

from envs.adapters import PettingZooConfig, PettingZooWorld
from envs.check import random_actions
from envs.drawing.gif import write_gif
from envs.flight import Recorder
from envs.references import POLICIES
from envs.registry import ENVS, EnvConfig, make
from envs.render import drawable, save_gif
from envs.section import WorldSection
from qmarl.config import Section, load
from qmarl.config_types import docstrings
from qmarl.errors import ConfigurationError
from trainers.shipped import shipped_configs

if TYPE_CHECKING:
    from envs.world import Step, View, World, WorldSpec
    from qmarl.types import Array

PolicyName = Literal["scripted", "random"]
SCORES = Path(__file__).resolve().parents[1] / "benchmarks" / "scores" / "worlds_reference.json"
"""Scores of policies without learning, in a checkout."""
_PAUSE = 60  # ms that a foreign world's picture stays


class _Job(Section):
    """What stands around a world's section in a configuration file."""

    env: EnvConfig


@dataclass(frozen=True)
class Pace:
    """How fast a world is.

    Attributes:
        num_envs: Number of copies.
        per_cpu_second: Steps of single copies in a second of this process's processor time.
        per_second: The same in a second of the clock.
    """

    num_envs: int
    per_cpu_second: float
    per_second: float


def section_of(name: str, settings: Sequence[str]) -> WorldSection:
    """Reads a world's section from its id and ``key=value`` words.

    Args:
        name: The id.
        settings: Such as ``drones=4``; dots lead into inner sections.

    Raises:
        ConfigurationError: They do not fit.
    """
    for text in settings:
        if "=" not in text:
            raise ConfigurationError(f"settings look like drones=4, got '{text}'")
    overrides = [f"env.id={name}", *(f"env.{text}" for text in settings)]
    with TemporaryDirectory() as folder:  # all is said in the overrides, above an empty file
        empty = Path(folder) / "world.yaml"
        empty.write_text("{}")
        job, _ = load(empty, overrides, _Job, shipped_configs() / "presets")
    return job.env


def about(config: WorldSection) -> str:
    """Returns what a world is about, in one line."""
    if config.id in ENVS:
        return ENVS[config.id].about
    return "a foreign environment, brought in from PettingZoo, Gymnasium or a module"


def keys(config: Section, prefix: str = "") -> Iterator[tuple[str, Any, Any, str]]:
    """Yields every key of a section and of those inside: name, value, default and meaning."""
    texts = docstrings(type(config))
    for key, field in type(config).model_fields.items():
        value = getattr(config, key)
        if isinstance(value, Section):
            yield from keys(value, f"{prefix}{key}.")
            continue
        default = field.get_default(call_default_factory=True)
        usual = value if default is PydanticUndefined else default
        meaning = " ".join(texts.get(key, "").split()).replace("``", "")
        yield f"{prefix}{key}", value, usual, meaning


def spec_of(config: WorldSection) -> WorldSpec:
    """Makes one copy of a world to see what is fixed about it."""
    world = make(config, 1)
    try:
        return world.spec
    finally:
        world.close()


def scores_of(name: str) -> dict[str, str]:
    """Returns the committed reference scores of a world as ``mean [low, high]``, by their place."""
    if not SCORES.is_file():
        return {}
    kept = json.loads(SCORES.read_text(encoding="utf-8"))
    for place in (kept, kept.get("worlds", {}), kept.get("scores", {})):
        if isinstance(place, Mapping) and name in place:
            return dict(_leaves(place[name], ()))
    return {}


def _leaves(value: Any, place: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if not isinstance(value, Mapping):
        return
    if {"mean", "low", "high"} <= value.keys():
        yield " ".join(place), f"{value['mean']:g} [{value['low']:g}, {value['high']:g}]"
        return
    for key, inner in value.items():
        yield from _leaves(inner, (*place, str(key)))


def paces(config: WorldSection, counts: Sequence[int], seconds: float) -> Iterator[Pace]:
    """Measures how fast a world is under random actions.

    Args:
        config: Which world.
        counts: Numbers of copies to try.
        seconds: Processor time of each try, drawing actions apart.
    """
    for count in counts:
        world = make(config, count)
        try:
            yield _pace(world, seconds)
        finally:
            world.close()


def _pace(world: World, seconds: float) -> Pace:
    view, spec = world.reset(0), world.spec
    for step in range(3):  # what is only done once does not count
        view = world.step(random_actions(spec, view, 0, step)).view
    spent, passed, steps = 0.0, 0.0, 0
    stop = time.perf_counter() + 10 * seconds
    pool = [random_actions(spec, view, 1, step) for step in range(8)]
    while spent < seconds and time.perf_counter() < stop:
        free = bool(view.action_mask.all())
        actions = pool[steps % 8] if free else random_actions(spec, view, 0, steps)
        cpu, clock = time.process_time(), time.perf_counter()
        view = world.step(actions).view
        spent += time.process_time() - cpu
        passed += time.perf_counter() - clock
        steps += 1
    done = steps * world.num_envs
    return Pace(world.num_envs, done / max(spent, 1e-9), done / max(passed, 1e-9))


def play(
    config: WorldSection, policy: PolicyName | None, seed: int, out: Path | None
) -> dict[str, Any]:
    """Plays one episode of a world without learning, and draws it.

    Args:
        config: Which world.
        policy: How; ``scripted`` when left out, where there is such a policy.
        seed: Of the world, and of random actions.
        out: GIF to write; nothing is drawn when left out.

    Returns:
        ``policy``, ``return`` (mean over agents), ``length``, the world's outcomes, and ``gif``
        where one was written.

    Raises:
        ConfigurationError: There is no scripted policy for this world.
        RunError: There is nothing to draw.
    """
    if out is not None and isinstance(config, PettingZooConfig):
        config = config.model_copy(
            update={"kwargs": {"render_mode": "rgb_array", **config.kwargs}, "workers": 0}
        )
    world = make(config, 1)
    try:
        known = config.id in POLICIES
        name = policy or ("scripted" if known else "random")
        if name == "scripted" and not known:
            raise ConfigurationError(
                f"--policy scripted: there is none for '{config.id}'; use --policy random"
            )
        camera = _Camera(world, out is not None)
        found = {"policy": name, **_episode(config, world, name, seed, camera)}
        if out is not None:
            found["gif"] = str(camera.save(out, f"{config.id}, {name}"))
        return found
    finally:
        world.close()


def can_draw(config: WorldSection) -> bool:
    """Tells whether a world is known to be drawable; a foreign one may or may not be."""
    return not isinstance(config, PettingZooConfig) and drawable(spec_of(config))


def _episode(
    config: WorldSection, world: World, policy: str, seed: int, camera: _Camera
) -> dict[str, Any]:
    view, total, length = world.reset(seed), 0.0, 0
    choose = _chooser(config, world, policy, seed)
    camera.begin()
    while True:
        step = world.step(choose(view, length))
        view, length = step.view, length + 1
        total += float(step.rewards[0].mean())
        camera.watch(step)
        if step.ended[0]:
            told = {name: float(values[0]) for name, values in step.outcomes.items()}
            return {"return": total, "length": length, **told}


def _chooser(
    config: WorldSection, world: World, policy: str, seed: int
) -> Callable[[View, int], Array]:
    if policy == "scripted":
        own = POLICIES[config.id](config)
        return lambda view, _: own(view)
    return lambda view, step: random_actions(world.spec, view, seed, step)


@final
class _Camera:
    """Keeps what there is to see of copy 0: a recording, or a foreign world's own pictures.

    Args:
        world: What to look at.
        on: Whether to look at all.
    """

    def __init__(self, world: World, on: bool) -> None:
        self._foreign = world if on and isinstance(world, PettingZooWorld) else None
        self._recorder = Recorder(world) if on and self._foreign is None else None
        self._pictures: list[Array] = []

    def begin(self) -> None:
        """Sees the start; the world has been reset."""
        if self._recorder is not None:
            self._recorder.begin()
        if self._foreign is not None:
            self._pictures.append(self._foreign.picture())

    def watch(self, step: Step) -> None:
        """Sees what a step brought; of a foreign world not the last one, which has begun anew."""
        if self._recorder is not None:
            self._recorder.watch(step)
        if self._foreign is not None and not step.ended[0]:
            self._pictures.append(self._foreign.picture())

    def save(self, path: Path, title: str) -> Path:
        """Writes a GIF."""
        if self._recorder is not None:
            return save_gif(self._recorder.recording(), path, title)
        write_gif(self._pictures, path, _PAUSE)
        return path
