"""One copy of a foreign world: what it tells is checked, made numbers, and written into its row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from envs.moves import Mover, given_mask, masked, mover
from envs.pettingzoo_source import PettingZooConfig, longest_episode, said
from envs.spaces import Pictures, Reader, reader
from envs.world import WorldSpec
from qmarl.errors import ConfigurationError, QmarlError, RunError
from qmarl.seeding import seed_for

if TYPE_CHECKING:
    from envs.block import Block, Page
    from envs.sources import Source, Told


@final
class Copy:
    """One foreign environment with its episodes.

    Args:
        config: Which one, and how it is used.
        source: The environment.
        like: What another copy of the same world found out; when left out, this one starts an
            episode to look at the joint state.

    Raises:
        ConfigurationError: Its spaces cannot be used, or its ``reset`` raised.
    """

    def __init__(
        self, config: PettingZooConfig, source: Source, like: WorldSpec | None = None
    ) -> None:
        self._source, self._name, self._outcomes = source, config.id, config.outcomes
        self._agents = like.agents if like else source.agents
        if set(self._agents) != set(source.agents):
            raise ConfigurationError(
                f"env.id {config.id!r}: its copies differ in their possible_agents"
            )
        self._readers = [_reader(config, source, agent) for agent in self._agents]
        self._sizes = tuple(each.size for each in self._readers)
        self._movers = [_mover(config, source, agent) for agent in self._agents]
        _refuse_mixture(config, self._movers, source)
        self._carried = [masked(source.observation_space(agent)) for agent in self._agents]
        self._max_steps = longest_episode(config, source)
        size = like.state_size if like else _state_size(config, source)
        self._state = _state_reader(config, source, size) if size else None
        self._seed, self._index, self._episode, self._steps = 0, 0, 0, 0
        self._over: set[str] = set()
        if config.pictures != Pictures():
            _refuse_blind(config, [*self._readers, self._state])

    def describe(self) -> WorldSpec:
        """Returns what is fixed about the world."""
        return WorldSpec(
            name=self._name,
            agents=self._agents,
            observation_sizes=self._sizes,
            action_counts=tuple(each.count for each in self._movers),
            state_size=self._state.size if self._state else 0,
            max_steps=self._max_steps,
            outcomes=self._outcomes,
            action_sizes=tuple(each.size for each in self._movers),
        )

    def place(self, seed: int, index: int) -> None:
        """Makes this copy world ``index`` of ``seed``, before its first episode."""
        self._seed, self._index, self._episode = seed, index, 0

    def begin(self, page: Page, row: int) -> None:
        """Starts the episode whose turn it is, and writes what is seen into a row.

        Raises:
            RunError: The environment raised, or broke its own interface.
        """
        seed = seed_for(self._seed, "env", self._index, self._episode) & 0x7FFFFFFF
        self._steps, self._over = 0, set()
        with self._foreign():
            observations, infos = self._source.reset(seed)
            present = self._present()
            if not present:
                raise RunError("no agent is there after reset")
            self._write(page, row, observations, infos, present)

    def advance(self, block: Block, row: int) -> None:
        """Moves by one decision, and starts the next episode where this one ended.

        Args:
            block: Where actions are read and everything else is written.
            row: This copy's row.

        Raises:
            RunError: The environment raised, or broke its own interface.
        """
        with self._foreign():
            told, acting = self._move(block, row)
            self._steps += 1
            self._judge(told, acting, block, row)
            gone = {name for name, column in acting.items() if block.terminated[row, column]}
            present = (self._present() | set(acting)) - gone
            self._write(block.final, row, told.observations, told.infos, present)
        cut = block.truncated[row]
        ended = not (block.final.alive[row] & ~cut).any()
        block.ended[row] = ended
        if ended:
            block.outcomes[row] = [_mean(name, told.infos) for name in self._outcomes]
            self._episode += 1
            self.begin(block.after, row)
        else:
            _turn(block.final, block.after, row, cut)

    def restart(self, block: Block, row: int) -> None:
        """Breaks the episode off where the block says that it ended, and starts the next.

        Raises:
            RunError: The environment raised, or broke its own interface.
        """
        if block.ended[row]:
            self._episode += 1
            self.begin(block.after, row)

    def picture(self) -> Any:
        """What the environment's own ``render`` shows."""
        return self._source.picture()

    def close(self) -> None:
        """Lets go of the environment."""
        self._source.close()

    def _move(self, block: Block, row: int) -> tuple[Told, dict[str, int]]:
        alive, waiting = block.after.alive[row], self._source.waiting()
        acting = {name: column for column, name in enumerate(self._agents) if alive[column]}
        moves = {}
        for name, column in acting.items():
            means = self._movers[column]
            action = block.actions[row, column]
            if name not in waiting:
                moves[name] = means.move(action[: means.size] if means.size else action)
        return self._source.step(moves), acting

    def _judge(self, told: Told, acting: Mapping[str, int], block: Block, row: int) -> None:
        """Writes rewards and ends of those who acted; who was not there has none."""
        block.rewards[row], block.terminated[row], block.truncated[row] = 0, False, False
        late = self._steps >= self._max_steps
        for name, column in acting.items():
            block.rewards[row, column] = _number(_of(told.rewards, name, "reward"), name)
            over = bool(_of(told.terminations, name, "termination"))
            cut = not over and bool(_of(told.truncations, name, "truncation"))
            if not (over or cut) and name not in self._source.present():
                raise RunError(f"{name} left without being terminated or truncated")
            block.terminated[row, column] = over
            block.truncated[row, column] = cut or (late and not over)
            if over or cut:
                self._over.add(name)

    def _present(self) -> set[str]:
        """Who is in the episode; who ended stays away, even where the environment forgets it."""
        present = self._source.present()
        strange = present - set(self._agents)
        if strange:
            raise RunError(f"{min(strange)!r} is there, but not among its possible_agents")
        return present - self._over

    def _write(
        self,
        page: Page,
        row: int,
        observations: Mapping[str, Any],
        infos: Mapping[str, Any],
        present: set[str],
    ) -> None:
        """Writes what the agents who are present see."""
        page.action_mask[row] = True
        page.observations[row] = 0
        waiting = self._source.waiting()
        for column, agent in enumerate(self._agents):
            page.alive[row, column] = agent in present
            if agent not in present:
                continue
            seen, info = observations.get(agent), infos.get(agent, {})
            if seen is not None:
                self._look(page, (row, column), seen, info, agent in waiting)
            elif agent not in self._over:  # who was cut in this very step need not see more
                raise RunError(f"{agent} was given no observation")
        page.state[row] = 0
        if self._state is not None and present:  # some games cannot tell when all is over
            state = self._source.state()
            if state is None:
                raise RunError("it gave no joint state, and it had one before")
            with _naming("the joint state"):
                page.state[row] = self._state.read(state)

    def _look(
        self, page: Page, at: tuple[int, int], observation: Any, info: Any, waits: bool
    ) -> None:
        agent, means = self._agents[at[1]], self._movers[at[1]]
        with _naming(f"what {agent} sees"), np.errstate(over="ignore"):
            page.observations[at][: self._sizes[at[1]]] = self._readers[at[1]].read(observation)
        if not means.count:
            return
        page.action_mask[at][means.count :] = False
        if waits:
            page.action_mask[at][1:] = False
            return
        with _naming(f"what {agent} may do"):
            given = given_mask(observation, info, self._carried[at[1]])
            allowed = np.ones(means.count, bool) if given is None else means.mask(given)
        if allowed.any():  # nothing is allowed to those who need not choose
            page.action_mask[at][: means.count] = allowed

    @contextmanager
    def _foreign(self) -> Iterator[None]:
        """Whatever goes wrong in a copy is told as its own, not as a defect of ours."""
        where = f"{self._name}: world {self._index}"
        try:
            yield
        except QmarlError as error:
            raise RunError(f"{where}: {error}") from error
        except Exception as error:
            raise RunError(f"{where} raised {said(error)}") from error


@final
@dataclass(frozen=True)
class _AsGiven:
    """Reads a joint state whose space is not told: as many numbers as it had at first."""

    size: int
    pictures: int = 0

    def read(self, value: Any) -> Any:
        found = np.asarray(value, np.float32).ravel()
        if found.size != self.size:
            raise ValueError(f"has {found.size} numbers, it had {self.size}")
        return found


def _turn(final: Page, after: Page, row: int, cut: Any) -> None:
    """What is seen next in an episode that goes on: as ``final``, without who was cut."""
    after.observations[row] = final.observations[row] * ~cut[:, None]
    after.state[row] = final.state[row]
    after.alive[row] = final.alive[row] & ~cut
    after.action_mask[row] = final.action_mask[row] | cut[:, None]


def _of(values: Mapping[str, Any], name: str, what: str) -> Any:
    if name not in values:
        raise RunError(f"{name} was given no {what}")
    return values[name]


def _number(value: Any, name: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise RunError(f"the reward of {name} is {value!r}, which is not a number") from None


def _mean(name: str, infos: Mapping[str, Any]) -> float:
    found = [float(info[name]) for info in infos.values() if name in info]
    return float(np.mean(found)) if found else float("nan")


@contextmanager
def _naming(what: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise RunError(f"{what} {error}") from error


def _reader(config: PettingZooConfig, source: Source, agent: str) -> Reader:
    space = source.observation_space(agent)
    try:
        return reader(space, config.pictures)
    except ValueError as error:
        raise ConfigurationError(
            f"env.id {config.id!r}: {agent} observes {space}; {error}"
        ) from None


def _mover(config: PettingZooConfig, source: Source, agent: str) -> Mover:
    space = source.action_space(agent)
    try:
        return mover(space)
    except ValueError as error:
        raise ConfigurationError(
            f"env.id {config.id!r}: {agent} acts in {space}; {error}"
        ) from None


def _state_size(config: PettingZooConfig, source: Source) -> int:
    """Numbers in the joint state as it is given, 0 where there is none; starts an episode."""
    try:
        source.reset(0)
        state = source.state()
        return 0 if state is None else int(np.asarray(state).size)
    except Exception as error:
        raise ConfigurationError(f"env.id {config.id!r}: its reset raised {said(error)}") from error


def _state_reader(config: PettingZooConfig, source: Source, size: int) -> Reader:
    if source.state_space is None:
        return _AsGiven(size)
    try:
        return reader(source.state_space, config.pictures)
    except ValueError as error:
        raise ConfigurationError(
            f"env.id {config.id!r}: its state is in {source.state_space}; {error}"
        ) from None


def _refuse_mixture(config: PettingZooConfig, movers: Sequence[Mover], source: Source) -> None:
    kinds = [each.size > 0 for each in movers]
    if any(kinds) and not all(kinds):
        agents = source.agents[kinds.index(True)], source.agents[kinds.index(False)]
        raise ConfigurationError(
            f"env.id {config.id!r}: {agents[0]} acts by numbers and {agents[1]} by choices; "
            "one world has one kind of actions"
        )
    if any(kinds) and source.turns:
        raise ConfigurationError(
            f"env.id {config.id!r}: agents take turns and act by numbers; "
            "where agents take turns, only choices are supported"
        )


def _refuse_blind(config: PettingZooConfig, readers: Sequence[Reader | None]) -> None:
    if not any(each.pictures for each in readers if each is not None):
        key = "resize" if config.resize else "grayscale"
        raise ConfigurationError(f"env.{key}: no agent of {config.id!r} sees a picture")
