from __future__ import annotations

import json
import math
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from qmarl.errors import RunError
from trainers.logger import Logger, LoggingConfig, read_metrics
from trainers.rundir import RunDirectory


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


def logged(run: RunDirectory, rounds: range, attempt: float, tensorboard: bool = False) -> None:
    with Logger(run, tensorboard, first_round=rounds.start) as logger:
        for number in rounds:
            logger.log(number, {"return": number + attempt, "steps": 64})


def test_one_line_for_each_round(run: RunDirectory) -> None:
    logged(run, range(3), 0.5)
    lines = run.metrics.read_text().splitlines()
    assert [json.loads(line) for line in lines] == read_metrics(run)
    assert read_metrics(run)[2] == {"round": 2, "return": 2.5, "steps": 64}


def test_lines_are_there_before_the_log_is_closed(run: RunDirectory) -> None:
    with Logger(run, tensorboard=False) as logger:
        logger.log(0, {"x": 1.0})
        assert read_metrics(run) == [{"round": 0, "x": 1.0}]


def test_what_is_not_a_number_is_null(run: RunDirectory) -> None:
    with Logger(run) as logger:
        values = {"nan": math.nan, "inf": math.inf, "np": np.float32(0.5), "n": np.int64(3)}
        logger.log(0, values)
    assert "NaN" not in run.metrics.read_text()
    assert read_metrics(run) == [{"round": 0, "nan": None, "inf": None, "np": 0.5, "n": 3}]


def test_a_resumed_log_has_each_round_once(run: RunDirectory) -> None:
    logged(run, range(6), 0.0)
    logged(run, range(4, 8), 0.25)
    assert [line["round"] for line in read_metrics(run)] == list(range(8))
    assert [line["return"] for line in read_metrics(run)][3:6] == [3.0, 4.25, 5.25]


def test_a_resumed_log_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    whole, parts = (RunDirectory(tmp_path / name) for name in ("whole", "parts"))
    for one in (whole, parts):
        one.path.mkdir()
    logged(whole, range(6), 0.1)
    logged(parts, range(5), 0.1)
    logged(parts, range(3, 6), 0.1)
    assert whole.metrics.read_bytes() == parts.metrics.read_bytes()


def test_a_new_run_starts_with_an_empty_log(run: RunDirectory) -> None:
    assert read_metrics(run) == []
    logged(run, range(3), 0.0)
    logged(run, range(2), 0.0)
    assert len(read_metrics(run)) == 2


@pytest.mark.parametrize("tail", [b'{"round": 3, "ret', b"\0\0\0\0", b"{}\n", b"\xff\n"])
def test_a_half_written_last_line_is_passed_over(run: RunDirectory, tail: bytes) -> None:
    logged(run, range(3), 0.0)
    with run.metrics.open("ab") as file:
        file.write(tail)
    assert len(read_metrics(run)) == 3
    logged(run, range(3, 4), 0.0)
    assert [line["round"] for line in read_metrics(run)] == [0, 1, 2, 3]


def test_a_damaged_line_before_the_last_is_named(run: RunDirectory) -> None:
    logged(run, range(3), 0.0)
    lines = run.metrics.read_bytes().splitlines()
    run.metrics.write_bytes(b"\n".join([lines[0], lines[1][:-4], lines[2], b""]))
    with pytest.raises(RunError, match="line 2 is damaged"):
        read_metrics(run)


def test_a_round_cannot_be_logged_twice(run: RunDirectory) -> None:
    with Logger(run, tensorboard=False) as logger:
        logger.log(0, {})
        with pytest.raises(ValueError, match="round 0 was logged before"):
            logger.log(0, {})


def test_a_full_disk_is_one_sentence(run: RunDirectory) -> None:
    logger = Logger(run, tensorboard=False)
    logger._file.close()
    logger._file = Path("/dev/full").open("ab", buffering=0)  # noqa: SIM115 - closed below
    with pytest.raises(RunError, match=r"metrics\.jsonl.*No space left on device"):
        logger.log(0, {"x": 1.0})
    logger.close()


def scalars(run: RunDirectory) -> list[tuple[int, float]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(run.path)).Reload()
        return [(event.step, event.value) for event in events.Scalars("return")]


def test_tensorboard_reads_the_curves(run: RunDirectory) -> None:
    logged(run, range(3), 0.5, tensorboard=True)
    assert scalars(run) == [(0, 0.5), (1, 1.5), (2, 2.5)]


def test_tensorboard_forgets_what_was_done_again(run: RunDirectory) -> None:
    logged(run, range(6), 0.0, tensorboard=True)
    logged(run, range(4, 8), 0.25, tensorboard=True)
    assert scalars(run) == [
        (0, 0),
        (1, 1),
        (2, 2),
        (3, 3),
        (4, 4.25),
        (5, 5.25),
        (6, 6.25),
        (7, 7.25),
    ]


def test_events_need_no_torch_and_logging_config_no_tensorboard(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from trainers.logger import Logger\n"
        "from trainers.rundir import RunDirectory\n"
        "assert 'tensorboard' not in sys.modules\n"
        "with Logger(RunDirectory(Path(sys.argv[1]))) as log: log.log(0, {'x': 1.0})\n"
        "assert not {'torch', 'tensorflow', 'matplotlib'} & set(sys.modules)"
    )
    command = [sys.executable, "-W", "error", "-c", script, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_tensorboard_there_are_no_events(run: RunDirectory) -> None:
    logged(run, range(1), 0.0)
    assert [path.name for path in run.path.iterdir()] == ["metrics.jsonl"]


@pytest.mark.parametrize("values", [{"keep": 0}, {"checkpoint_every": 0}, {"directory": ""}])
def test_impossible_settings_are_refused(values: dict[str, object]) -> None:
    assert LoggingConfig().keep == 3
    with pytest.raises(ValidationError):
        LoggingConfig.model_validate(values)
