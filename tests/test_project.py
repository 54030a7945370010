"""What holds for the project as a whole: versions, dependencies, what text may say."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import purify

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = ("purify", "purify_demo")
SOURCES = sorted(path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py"))
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]

IMPORT_NAMES = {
    "dlib-bin": "dlib",
    "faiss-cpu": "faiss",
    "pillow": "PIL",
    "prefect-dask": "prefect_dask",
    "prefect-ray": "prefect_ray",
}
"""Distributions whose import name is another."""


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement_name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match, requirement
    return canonical(match.group())


def imported_modules(path: Path) -> Iterator[str]:
    """Names of the modules that a file imports anywhere, at the top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


def importers(of: set[str], *, among: list[Path]) -> set[str]:
    return {
        str(path.relative_to(REPOSITORY))
        for path in among
        if any(module.split(".")[0] in of for module in imported_modules(path))
    }


def test_the_version_is_in_the_changelog() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", purify.__version__)
    changelog = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{purify.__version__}]" in changelog
    assert PROJECT["dynamic"] == ["version"]


def test_stores_are_known_in_one_place() -> None:
    assert importers({"fsspec"}, among=SOURCES) == {"purify/storage/remote.py"}


def test_every_import_is_a_declared_dependency() -> None:
    extras = [PROJECT["optional-dependencies"][extra] for extra in ("dask", "faces", "lmdb", "onnx", "ray")]
    declared = {requirement_name(requirement) for group in (PROJECT["dependencies"], *extras) for requirement in group}
    importable = {IMPORT_NAMES.get(name, name) for name in declared} | set(PACKAGES) | {"dask", "distributed", "ray"}
    undeclared = {
        f"{path.relative_to(REPOSITORY)} imports {module}"
        for path in SOURCES
        for module in imported_modules(path)
        if (top := module.split(".")[0]) not in importable and top not in sys.stdlib_module_names
    }
    assert undeclared == set()


def test_constraints_pin_every_direct_dependency_once() -> None:
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [canonical(line.split("==")[0]) for line in lines if line and not line.startswith("#")]
    assert len(pins) == len(set(pins))
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines if line and not line.startswith("#"))
    direct = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]
    assert {requirement_name(requirement) for requirement in direct} <= set(pins)


def test_every_locked_package_has_its_pin_and_hashes() -> None:
    text = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8")
    assert "//" not in text  # no index of packages is named
    blocks = re.split(r"\n(?=\w)", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).strip())
    locked = {canonical(block.split("==")[0]): re.split(r"==|[ ;\\]", block)[1] for block in blocks}
    assert len(locked) == len(blocks)
    assert [block for block in blocks if not re.search(r"--hash=sha256:[0-9a-f]{64}\b", block)] == []
    pins = (line.split("==") for line in (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines())
    pinned = {canonical(pin[0]): pin[1] for pin in pins if len(pin) == 2}
    of_other_platforms = {"appnope", "whenever"}
    assert {
        name: version for name, version in locked.items() if pinned.get(name) != version
    }.keys() <= of_other_platforms
    direct = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]
    assert {requirement_name(requirement) for requirement in direct} - set(locked) == {"torch"}


def test_the_command_starts_without_heavy_imports() -> None:
    """`purify --help` must not wait for torch, pandas, faiss or Prefect."""
    code = "import sys, purify.cli; print(*({'torch', 'pandas', 'faiss', 'prefect'} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert answer.stdout.split() == []


def test_a_run_starts_its_server_before_the_heavy_imports() -> None:
    """What the command imports before has a temporary server start later, and the first stage with it."""
    heavy = "{'torch', 'faiss', 'matplotlib', 'prefect'}"
    code = f"import sys, purify.orchestration.launch; print(*({heavy} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert answer.stdout.split() == []


def tracked_texts() -> Iterator[tuple[str, str]]:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        check=False,
    )
    if listing.returncode:
        pytest.skip("not a git checkout")
    for name in listing.stdout.decode().split("\0"):
        path = REPOSITORY / name
        if name and path.is_file():
            data = path.read_bytes()
            if b"\0" not in data:
                yield name, data.decode("utf-8")


def test_no_text_names_a_path_of_a_developer_machine() -> None:
    private = re.compile(r"(?<![\w.])/(?:work|root|home/\w+)/")
    this_file = Path(__file__).relative_to(REPOSITORY).as_posix()
    found = [
        f"{name}:{number}"
        for name, text in tracked_texts()
        if name != this_file
        for number, line in enumerate(text.splitlines(), start=1)
        if private.search(line)
    ]
    assert found == []


def test_source_is_ascii() -> None:
    assert [str(path.relative_to(REPOSITORY)) for path in SOURCES if not path.read_text("utf-8").isascii()] == []
