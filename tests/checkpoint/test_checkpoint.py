from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qmarl.checkpoint import load, save
from qmarl.errors import RunError
from qmarl.types import Params

META = {"round": 3, "scores": [0.1, None, 1e300], "rng": {"state": 2**127 + 1, "kind": "PCG64"}}


@pytest.fixture(autouse=True, scope="module")
def _quick_disk() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


def arrays(step: int) -> dict[str, Params]:
    rng = np.random.default_rng(step)
    return {
        "params": {"actor.angles": rng.normal(size=(2, 3)), "actor/bias": np.array(float(step))},
        "moments": {"first": rng.normal(size=4).astype(np.float32), "steps": np.array([step])},
    }


def same(left: dict[str, Params], right: dict[str, Params]) -> bool:
    flat = [
        {
            (m, n): (a.dtype, a.shape, a.tobytes())
            for m, named in one.items()
            for n, a in named.items()
        }
        for one in (left, right)
    ]
    return flat[0] == flat[1]


def steps(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def flip(path: Path, index: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[index] ^= 1
    path.write_bytes(data)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    place = save(tmp_path / "a" / "b", 12, arrays(12), META)
    got = load(tmp_path / "a" / "b")
    assert place.name == "step-00000012"
    assert (got.step, got.meta, got.skipped) == (12, META, ())
    assert same(got.arrays, arrays(12))
    assert all(a.flags.writeable for named in got.arrays.values() for a in named.values())
    assert steps(place) == ["manifest.json", "moments.safetensors", "params.safetensors"]


DTYPES = ["float64", "float32", "float16", "int64", "uint64", "int32", "uint8", "bool"]


@given(
    st.dictionaries(
        st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=8),
        st.sampled_from(DTYPES).flatmap(
            lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0))
        ),
        max_size=4,
    )
)
def test_every_number_survives(tmp_path_factory: pytest.TempPathFactory, named: Params) -> None:
    root = tmp_path_factory.mktemp("ck")
    save(root, 0, {"a": named, "empty": {}}, {})
    assert same(load(root).arrays, {"a": named, "empty": {}})


def test_memory_order_and_byte_order_do_not_matter(tmp_path: Path) -> None:
    odd = {"t": np.arange(6.0).reshape(2, 3).T, "b": np.arange(3.0).astype(">f8")}
    save(tmp_path, 0, {"a": odd}, {})
    got = load(tmp_path).arrays["a"]
    np.testing.assert_array_equal(got["t"], odd["t"])
    np.testing.assert_array_equal(got["b"], [0, 1, 2])


def test_the_last_ones_and_the_best_stay(tmp_path: Path) -> None:
    for step in range(8):
        save(tmp_path, step, arrays(step), {}, keep=2, best=step in (1, 3))
    assert steps(tmp_path) == ["step-00000003", "step-00000006", "step-00000007"]
    assert [load(tmp_path, which).step for which in ("latest", "best", 6)] == [7, 3, 6]


def test_without_a_best_the_latest_is_it(tmp_path: Path) -> None:
    save(tmp_path, 1, arrays(1), {})
    save(tmp_path, 2, arrays(2), {})
    assert load(tmp_path, "best").step == 2


def test_a_step_may_be_saved_again(tmp_path: Path) -> None:
    save(tmp_path, 1, arrays(1), {"try": 1})
    save(tmp_path, 1, arrays(9), {"try": 2})
    assert load(tmp_path).meta == {"try": 2}
    assert same(load(tmp_path).arrays, arrays(9))
    assert steps(tmp_path) == ["step-00000001"]


def test_saving_an_earlier_step_leaves_the_later_course(tmp_path: Path) -> None:
    for step in (10, 20, 30):
        save(tmp_path, step, arrays(step), {}, best=step == 30)
    save(tmp_path, 21, arrays(21), {})
    assert steps(tmp_path) == ["step-00000010", "step-00000020", "step-00000021"]
    assert load(tmp_path, "best").step == 21


@pytest.mark.parametrize("file", ["params.safetensors", "moments.safetensors", "manifest.json"])
@pytest.mark.parametrize("part", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999])
def test_a_flipped_byte_is_named_and_the_previous_one_used(
    tmp_path: Path, file: str, part: float
) -> None:
    save(tmp_path, 1, arrays(1), META)
    path = save(tmp_path, 2, arrays(2), META) / file
    flip(path, int(part * path.stat().st_size))
    got = load(tmp_path)
    assert got.step == 1
    assert same(got.arrays, arrays(1))
    assert len(got.skipped) == 1
    assert got.skipped[0].startswith(f"step-00000002/{file}: ")


def meta_or_none(root: Path) -> dict[str, Any] | None:
    try:
        return load(root).meta
    except RunError:
        return None


def test_no_flipped_bit_of_a_manifest_changes_what_is_loaded(tmp_path: Path) -> None:
    path = save(tmp_path, 2, {"a": {"x": np.zeros(1)}}, {"round": 7}) / "manifest.json"
    whole = path.read_bytes()
    for index in range(len(whole)):
        for bit in (1, 16):
            flipped = bytearray(whole)
            flipped[index] ^= bit
            path.write_bytes(flipped)
            assert meta_or_none(tmp_path) in (None, {"round": 7})  # white space may become other


@pytest.mark.parametrize("file", ["params.safetensors", "manifest.json"])
def test_truncated_missing_and_swapped_files_are_passed_over(tmp_path: Path, file: str) -> None:
    for step in (1, 2, 3, 4):
        save(tmp_path, step, arrays(step), META, keep=9)
    second, third, fourth = (tmp_path / f"step-0000000{step}" / file for step in (2, 3, 4))
    fourth.unlink()
    os.truncate(third, third.stat().st_size - 3)
    second.write_bytes((tmp_path / "step-00000001" / file).read_bytes())
    got = load(tmp_path)
    assert got.step == 1
    assert [text.split(":")[0] for text in got.skipped] == [
        f"step-0000000{step}/{file}" for step in (4, 3, 2)
    ]


def test_a_damaged_best_gives_way_to_the_best_that_is_left(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save(tmp_path, step, arrays(step), {}, best=step < 3)
    flip(tmp_path / "step-00000002" / "params.safetensors")
    got = load(tmp_path, "best")
    assert got.step == 1
    assert "step-00000002/params.safetensors: checksum mismatch" in got.skipped


def test_a_step_asked_for_by_number_has_no_stand_in(tmp_path: Path) -> None:
    save(tmp_path, 1, arrays(1), {})
    flip(save(tmp_path, 2, arrays(2), {}) / "params.safetensors")
    with pytest.raises(RunError, match=r"none of step 2 .*checksum mismatch"):
        load(tmp_path, 2)
    with pytest.raises(RunError, match="none of step 5"):
        load(tmp_path, 5)


def test_nothing_usable_is_an_error_that_names_everything(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is none"):
        load(tmp_path / "missing")
    flip(save(tmp_path, 1, arrays(1), {}) / "params.safetensors")
    flip(save(tmp_path, 2, arrays(2), {}) / "manifest.json", 0)
    with pytest.raises(RunError, match=r"step-00000002/manifest.*step-00000001/params"):
        load(tmp_path)


def test_another_format_is_refused_by_its_number(tmp_path: Path) -> None:
    path = save(tmp_path, 1, arrays(1), {}) / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2}))
    with pytest.raises(RunError, match="format 2, this program reads 1"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("../evil", "name of a file"), ("", "name of a file"), ("a/b", "name of a file")],
)
def test_mappings_cannot_leave_the_directory(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(RunError, match=reason):
        save(tmp_path, 1, {name: {}}, {})


@pytest.mark.parametrize(
    "meta",
    [{"x": float("nan")}, {"x": (1, 2)}, {1: "x"}, {"x": b"bytes"}, {"x": np.zeros(2)}, {"x": {1}}],
)
def test_meta_that_would_not_come_back_is_refused(tmp_path: Path, meta: dict[Any, Any]) -> None:
    with pytest.raises(RunError, match="meta is not plain data"):
        save(tmp_path, 1, {}, meta)
    assert not steps(tmp_path)


def test_arrays_that_cannot_be_saved_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="a/x is object"):
        save(tmp_path, 1, {"a": {"x": np.array([object()])}}, {})


def forge(root: Path, change: dict[str, Any]) -> None:
    """Rewrites a manifest with a checksum that fits, as an attacker would."""
    from qmarl import checkpoint

    path = root / "step-00000001" / "manifest.json"
    content = json.loads(path.read_text()) | change
    content.pop("sha256")
    content["sha256"] = checkpoint._sha256(checkpoint._canonical(content))
    path.write_text(json.dumps(content))


ENTRY = {"sha256": "0" * 64, "size": 10**12}


@pytest.mark.parametrize(
    "change",
    [
        {"files": {"../../secret.safetensors": ENTRY}},
        {"files": {"/etc/passwd": ENTRY}},
        {"files": {"a.safetensors": {**ENTRY, "more": 1}}},
        {"files": {"a.safetensors": {**ENTRY, "size": "big"}}},
        {"files": ["a.safetensors"]},
        {"meta": []},
        {"best": 1},
        {"step": 2},
        {"more": 1},
    ],
)
def test_a_forged_manifest_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    save(tmp_path, 1, arrays(1), {})
    assert load(tmp_path).step == 1
    forge(tmp_path, change)
    with pytest.raises(RunError, match="not a manifest of this step"):
        load(tmp_path)


def test_links_and_devices_are_not_read(tmp_path: Path) -> None:
    place = save(tmp_path / "run", 1, arrays(1), {})
    (place / "params.safetensors").unlink()
    (place / "params.safetensors").symlink_to("/dev/zero")
    with pytest.raises(RunError, match=r"params\.safetensors: not a plain file"):
        load(tmp_path / "run")
    save(tmp_path / "other", 3, arrays(3), {})
    (tmp_path / "run" / "step-00000003").symlink_to(tmp_path / "other" / "step-00000003")
    with pytest.raises(RunError, match=r"step-00000003/manifest\.json: not a plain file"):
        load(tmp_path / "run", 3)


def test_a_deeply_nested_manifest_is_only_damaged(tmp_path: Path) -> None:
    path = save(tmp_path, 1, arrays(1), {}) / "manifest.json"
    path.write_text("[" * 200_000)
    with pytest.raises(RunError, match="not a manifest"):
        load(tmp_path)


def test_well_checked_bytes_that_are_not_safetensors_are_only_damaged(tmp_path: Path) -> None:
    from qmarl import checkpoint

    path = save(tmp_path, 1, arrays(1), {}) / "params.safetensors"
    path.write_bytes(b"\xff" * 64)
    entry = {"sha256": checkpoint._sha256(b"\xff" * 64), "size": 64}
    forge(tmp_path, {"files": {"params.safetensors": entry}})
    with pytest.raises(RunError, match=r"params\.safetensors: not readable"):
        load(tmp_path)


def test_a_file_in_the_place_of_the_directory_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("")
    with pytest.raises(RunError, match=r"checkpoints: .*File exists"):
        save(tmp_path / "checkpoints", 1, {}, {})
