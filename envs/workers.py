"""Copies of a foreign world in processes of their own; numbers pass through shared memory."""

from __future__ import annotations

import json
import signal
import weakref
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from itertools import pairwise
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, Protocol, final

from envs.block import Block, bytes_of
from envs.copies import Copy
from envs.pettingzoo_source import PettingZooConfig, factory
from envs.world import WorldSpec
from qmarl.errors import ConfigurationError, QmarlError, RunError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

_PATIENCE = 5.0  # seconds that a process is given to close its copies before it is ended
_BEGIN, _STEP, _RESTART, _CLOSE, _DONE = b"b", b"s", b"r", b"c", b"."


class Crew(Protocol):
    """Whoever moves the copies.

    Attributes:
        block: Where everything is written.
    """

    block: Block

    def begin(self, seed: int, first_env: int) -> None:
        """Starts episode 0 of ``seed`` in every copy."""
        ...

    def advance(self) -> None:
        """Moves every copy by the actions in the block."""
        ...

    def restart(self) -> None:
        """Starts the next episode in every copy whose episode the block says has ended."""
        ...

    def close(self) -> None:
        """Lets go of the copies."""
        ...


@final
class Inline:
    """Moves copies one after another, here; implements :class:`Crew`."""

    def __init__(self, copies: Sequence[Copy], block: Block) -> None:
        self.copies, self.block = copies, block

    def begin(self, seed: int, first_env: int) -> None:
        """Starts episode 0 of ``seed`` in every copy."""
        for row, copy in enumerate(self.copies):
            copy.place(seed, first_env + row)
            copy.begin(self.block.after, row)

    def advance(self) -> None:
        """Moves every copy by the actions in the block."""
        for row, copy in enumerate(self.copies):
            copy.advance(self.block, row)

    def restart(self) -> None:
        """Starts the next episode in every copy whose episode the block says has ended."""
        for row, copy in enumerate(self.copies):
            copy.restart(self.block, row)

    def close(self) -> None:
        """Closes every copy."""
        for copy in self.copies:
            copy.close()


@final
class Workers:
    """Moves copies in processes, each a stretch of rows; implements :class:`Crew`.

    The processes are started anew (``spawn``), so they inherit nothing but what is passed: the
    section as JSON and the shared memory. They end with :meth:`close`, with this object, and when
    this process ends in whatever way: then their pipe breaks.

    Args:
        config: The section; its ``workers`` says how many processes.
        spec: What the world is like.
        count: Number ``E`` of copies.

    Raises:
        ConfigurationError: A copy cannot be made.
        RunError: A process died.
    """

    def __init__(self, config: PettingZooConfig, spec: WorldSpec, count: int) -> None:
        context = get_context("spawn")
        memory = context.RawArray("b", bytes_of(spec, count))
        self.block = Block.over(memory, spec, count)
        self._name, self._first, self._ready = spec.name, 0, False
        number = min(config.workers, count)
        edges = [count * i // number for i in range(number + 1)]
        self._stretches = list(pairwise(edges))
        words = _described(config, spec, count)
        self._pipes: list[Connection] = []
        self._processes: list[SpawnProcess] = []
        self._finish = weakref.finalize(self, _end, self._pipes, self._processes)
        for stretch in self._stretches:
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_work, args=(words, stretch, memory, theirs), daemon=True
            )
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        self._gather()
        self._ready = True

    @property
    def pids(self) -> list[int]:
        """The processes' ids."""
        return [process.pid or 0 for process in self._processes]

    def begin(self, seed: int, first_env: int) -> None:
        """Starts episode 0 of ``seed`` in every copy."""
        self._first = first_env
        self._tell(
            [_BEGIN + json.dumps([seed, first_env + low]).encode() for low, _ in self._stretches]
        )

    def advance(self) -> None:
        """Moves every copy by the actions in the block."""
        self._tell([_STEP] * len(self._pipes))

    def restart(self) -> None:
        """Starts the next episode in every copy whose episode the block says has ended."""
        self._tell([_RESTART] * len(self._pipes))

    def close(self) -> None:
        """Ends the processes."""
        self._finish()

    def _tell(self, words: Sequence[bytes]) -> None:
        if not self._finish.alive:
            raise RunError(f"{self._name}: its worker processes have ended")
        for pipe, word in zip(self._pipes, words, strict=True):
            with suppress(OSError):  # a broken pipe is found, and told, when the answer is missing
                pipe.send_bytes(word)
        self._gather()

    def _gather(self) -> None:
        """Waits for every process; the first trouble ends them all."""
        answers = [self._answer(number) for number in range(len(self._pipes))]
        for kind, text in answers:
            if kind != _DONE:
                self.close()
                raise (ConfigurationError if kind == b"C" else RunError)(text)

    def _answer(self, number: int) -> tuple[bytes, str]:
        try:
            answer = self._pipes[number].recv_bytes()
        except (EOFError, OSError):
            process = self._processes[number]
            process.join(_PATIENCE)
            low, high = (self._first + edge for edge in self._stretches[number])
            hint = "" if self._ready else "; a script must stand under if __name__ == '__main__'"
            return b"R", (
                f"{self._name}: the process of worlds {low} to {high - 1} died "
                f"(exit code {process.exitcode}){hint}"
            )
        return answer[:1], answer[1:].decode()


def _described(config: PettingZooConfig, spec: WorldSpec, count: int) -> str:
    try:
        section = config.model_dump(mode="json")
    except ValueError as error:
        raise ConfigurationError(
            f"env.workers: the kwargs of {config.id!r} must be plain data to reach another process"
        ) from error
    return json.dumps([section, asdict(spec), count])


def _end(pipes: Sequence[Connection], processes: Sequence[SpawnProcess]) -> None:
    """Asks every process to close; one that does not listen is ended."""
    for pipe in pipes:
        with suppress(OSError):
            pipe.send_bytes(_CLOSE)
        pipe.close()
    for process in processes:
        process.join(_PATIENCE)
        for force in (process.terminate, process.kill):
            if process.is_alive():
                force()
                process.join(_PATIENCE)
        process.close()


def _work(words: str, stretch: tuple[int, int], memory: Any, pipe: Connection) -> None:
    """What a process does: builds its copies, then obeys until it is told to close."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it decides when it ends
    section, known, count = json.loads(words)
    config = PettingZooConfig.model_validate(section)
    spec = WorldSpec(**{key: _frozen(value) for key, value in known.items()})
    low, high = stretch
    copies: list[Copy] = []
    crew = Inline(copies, Block.over(memory, spec, count).rows(slice(low, high)))
    answer = _tried(_build, config, spec, copies, high - low)
    try:
        while True:
            pipe.send_bytes(answer)
            order = pipe.recv_bytes()
            if order[:1] == _CLOSE:
                break
            if order[:1] == _BEGIN:
                answer = _tried(crew.begin, *json.loads(order[1:]))
            else:
                answer = _tried(crew.restart if order == _RESTART else crew.advance)
    except (EOFError, OSError):  # whoever started it is gone
        pass
    finally:
        crew.close()


def _build(config: PettingZooConfig, spec: WorldSpec, copies: list[Copy], count: int) -> None:
    make = factory(config)
    copies.extend(Copy(config, make(), spec) for _ in range(count))


def _tried(work: Any, *arguments: Any) -> bytes:
    try:
        work(*arguments)
    except QmarlError as error:
        kind = b"C" if isinstance(error, ConfigurationError) else b"R"
        return kind + str(error).encode()
    return _DONE


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
