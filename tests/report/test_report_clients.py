from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainers.report import write_report
from trainers.report_clients import clients

Make = Callable[..., Path]


def told(number: int, **parts: Any) -> dict[str, Any]:
    return {"round": number, "groups": {"all": parts}}


ROUNDS = [
    told(
        0,
        asked=["drone_0", "drone_1"],
        participants=["drone_0"],
        rejected=[{"client": "drone_1", "reason": "'actor.bias' is not finite"}],
        contributions=[{"client": "drone_0", "similarity": 1.0, "weight": 1.0}],
    ),
    told(1, asked=["drone_0"], missing=["drone_0"]),
    told(
        2,
        asked=["drone_1"],
        participants=["drone_0", "drone_1"],
        contributions=[
            {"client": "drone_0", "similarity": 0.5, "weight": 0.25},
            {"client": "drone_1", "similarity": None},
        ],
    ),
]


def test_each_client_is_summed_up() -> None:
    one, other = clients(ROUNDS, "all")
    assert one == ("drone_0", "2", "2", "0", "1", "0.62", "0.75", "■·■", "")
    assert other == ("drone_1", "2", "1", "1", "0", "–", "–", "▲□■", "'actor.bias' is not finite")
    assert clients(ROUNDS, "other") == ()


def test_many_clients_and_rounds_stay_readable() -> None:
    names = [f"c{i:03}" for i in range(100)]
    rows = clients([told(n, asked=names, participants=names) for n in range(500)], "all")
    assert len(rows) == 40
    assert {len(row.strip) for row in rows} == {60}


def test_the_table_stands_in_the_report(make_run: Make) -> None:
    run = make_run()
    (run / "federation.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in ROUNDS))
    page = write_report(run).read_text(encoding="utf-8")
    assert "▲□■" in page
    assert "last refused: &#39;actor.bias&#39; is not finite" in page


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json\n",
        '{"round": 0}\n{"round": 1, "groups": []}\n',
        '{"round": 0, "groups": {"all": {"asked": 3, "rejected": [1, {}], "missing": {}}}}\n',
        '{"round": 0, "groups": {"all": {"participants": ["<script>x</script>", 4, null]}}}\n',
    ],
)
def test_a_strangers_file_does_no_harm(make_run: Make, text: str) -> None:
    run = make_run()
    (run / "federation.jsonl").write_text(text)
    assert "<script>" not in write_report(run).read_text(encoding="utf-8")
