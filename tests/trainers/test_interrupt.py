import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from qmarl.errors import QmarlError
from trainers.interrupt import SIGNALS, RunInterruptedError, interruptible

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_becomes_an_error_with_its_exit_code(number, code):
    with (
        pytest.raises(RunInterruptedError, match=f"interrupted by {number.name}") as caught,
        interruptible(),
    ):
        signal.raise_signal(number)
    assert caught.value.exit_code == code


def test_no_world_that_catches_its_own_errors_swallows_it():
    assert not issubclass(RunInterruptedError, Exception | QmarlError)

    def careless():
        with suppress(Exception):
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(RunInterruptedError), interruptible():
        careless()


@pytest.mark.parametrize("way", ["through", "error", "signal"])
def test_the_handlers_from_before_come_back(way):
    def mine(number, frame):
        raise AssertionError

    former = {number: signal.signal(number, mine) for number in SIGNALS}
    try:
        try:
            with interruptible():
                assert all(signal.getsignal(number) is not mine for number in SIGNALS)
                if way == "error":
                    raise ValueError
                if way == "signal":
                    signal.raise_signal(signal.SIGTERM)
        except (ValueError, RunInterruptedError):
            assert way != "through"
        assert all(signal.getsignal(number) is mine for number in SIGNALS)
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def test_a_second_signal_kills_at_once():
    code = """
import signal
from trainers.interrupt import RunInterruptedError, interruptible
with interruptible():
    try:
        signal.raise_signal(signal.SIGTERM)
    except RunInterruptedError:
        signal.raise_signal(signal.SIGTERM)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, timeout=60)
    assert done.returncode == -signal.SIGTERM


def test_other_threads_are_left_alone():
    before = {number: signal.getsignal(number) for number in SIGNALS}
    seen = []

    def work():
        with interruptible():
            seen.extend(signal.getsignal(number) for number in SIGNALS)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == list(before.values())
