"""The rules of the house that a machine can hold: names, sizes, docstrings, imports, documents."""

from __future__ import annotations

import ast
import importlib
import re
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("qmarl", "envs", "agents", "trainers")
SOURCES = sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
OTHERS = sorted(
    p for name in ("tests", "benchmarks", "examples") for p in (ROOT / name).rglob("*.py")
)
TREES = {path: ast.parse(path.read_text()) for path in SOURCES}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
Function = ast.FunctionDef | ast.AsyncFunctionDef


def nodes(kind: type | tuple[type, ...]) -> Iterator[tuple[str, ast.AST]]:
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, kind):
                yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}", node


def lines(node: ast.AST) -> int:
    return node.end_lineno - node.lineno + 1  # type: ignore[attr-defined] # functions have both


@pytest.mark.parametrize("package", PACKAGES)
def test_no_other_distribution_has_our_names(package: str) -> None:
    owners = set(metadata.packages_distributions().get(package, [])) - {"qmarl"}
    assert not owners, f"{sorted(owners)} installs a top-level '{package}': uninstall it"


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_come_from_this_checkout(package: str) -> None:
    found = Path(str(importlib.import_module(package).__file__)).resolve()
    assert found.is_relative_to(ROOT), f"'{package}' comes from {found}"


def test_files_are_short() -> None:
    sizes = {str(p.relative_to(ROOT)): p.read_text().count("\n") for p in SOURCES + OTHERS}
    assert not {path: size for path, size in sizes.items() if size > 400}


def test_functions_are_short() -> None:
    sizes = {where: lines(node) for where, node in nodes((ast.FunctionDef, ast.AsyncFunctionDef))}
    assert not {where: size for where, size in sizes.items() if size > 60}
    assert statistics.median(sizes.values()) <= 8


def test_public_names_explain_themselves() -> None:
    bare = [
        str(path.relative_to(ROOT)) for path, tree in TREES.items() if not ast.get_docstring(tree)
    ]
    for where, node in nodes(ast.ClassDef):
        assert isinstance(node, ast.ClassDef)
        if not node.name.startswith("_"):
            bare += [f"{where} {node.name}"] if not ast.get_docstring(node) else []
            bare += [f"{where} {node.name}.{n}" for n in undocumented(node)]
    for path, tree in TREES.items():
        bare += [f"{path.relative_to(ROOT)} {name}" for name in undocumented(tree)]
    assert not bare


def undocumented(body: ast.Module | ast.ClassDef) -> Iterator[str]:
    for node in body.body:
        public = isinstance(node, Function) and not node.name.startswith("_")
        if public and not ast.get_docstring(node):
            yield node.name


def test_no_pickle_stands_on_our_load_paths() -> None:
    banned = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
    found = []
    for where, node in nodes((ast.Import, ast.ImportFrom, ast.keyword)):
        if isinstance(node, ast.keyword):
            found += [where] if node.arg in ("allow_pickle", "weights_only") else []
            continue
        names = (
            [item.name for item in node.names] if isinstance(node, ast.Import) else [node.module]
        )  # type: ignore[attr-defined] # one of the two
        found += [where for name in names if str(name).split(".")[0] in banned]
    assert not found


def test_nothing_imports_the_tests() -> None:
    # A wheel of PennyLane installs a top-level "tests", so this import can reach strangers.
    pattern = re.compile(r"^\s*(?:import|from)\s+tests\b", re.MULTILINE)
    assert not [str(path) for path in SOURCES + OTHERS if pattern.search(path.read_text())]


def test_classes_are_not_asked_what_they_have() -> None:
    asked = [
        where
        for where, node in nodes(ast.Call)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "hasattr"
    ]
    open_ended = [
        f"{where} {node.name}"
        for where, node in nodes((ast.FunctionDef, ast.AsyncFunctionDef))
        if isinstance(node, Function) and node.args.kwarg and not node.name.startswith("_")
    ]
    assert not asked
    assert not open_ended


def test_the_acting_path_is_numpy_alone() -> None:
    code = "import sys, trainers.rollout; print({'torch', 'pennylane', 'ray'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("set()\n", 0), done.stderr


def test_the_floors_hold() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_project_cannot_reach_an_index_by_accident() -> None:
    assert "Private :: Do Not Upload" in PROJECT["project"]["classifiers"]


def test_every_direct_dependency_has_a_tested_version() -> None:
    wanted = PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"]["dev"]
    names = {re.split(r"[\[<>=!~;]", line)[0].strip().lower() for line in wanted}
    text = (ROOT / "constraints.txt").read_text()
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", text, re.MULTILINE))
    assert names == set(pinned)
    assert pinned["torch"] == "2.13.0"


def test_the_documents_name_every_command() -> None:
    from trainers.cli import app

    documents = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    text = "\n".join(path.read_text() for path in documents)
    callbacks = [command.callback for command in app.registered_commands]
    wanted = [f"qmarl {call.__name__}" for call in callbacks if call]
    for group in app.registered_groups:
        if group.typer_instance is None:
            continue
        for command in group.typer_instance.registered_commands:
            own = command.name or (command.callback.__name__ if command.callback else "")
            wanted.append(f"qmarl {group.name} {own.replace('_', '-')}")
    missing = [command for command in wanted if command not in text]
    assert not missing


REGISTRIES = [
    ("qmarl.circuits.encoding", "ENCODINGS"),
    ("qmarl.circuits.ansatz", "ANSATZES"),
    ("qmarl.circuits.readout", "READOUTS"),
    ("qmarl.federated.strategies", "AGGREGATORS"),
    ("qmarl.federated.attacks", "ATTACKS"),
    ("trainers.poisoning", "POISONS"),
    ("trainers.perception.poisoning", "POISONS"),
    ("envs.registry", "ENVS"),
]


@pytest.mark.parametrize(("module", "registry"), REGISTRIES)
def test_every_registered_name_is_tested_and_documented(module: str, registry: str) -> None:
    names = getattr(importlib.import_module(module), registry)
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    documents = "\n".join(path.read_text() for path in (ROOT / "docs").rglob("*.md"))
    # A test may name each one, or go through the whole registry.
    assert registry in tests or not [n for n in names if f'"{n}"' not in tests]
    assert not [name for name in names if name not in documents]
