from __future__ import annotations

import ast
from pathlib import Path

import pytest

from purify.pipeline import code_version as module
from purify.pipeline.code_version import code_version
from purify.storage.run_folder import RunFolder

CODE = {"embed": ("embedding",), "train": ("training.py",)}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of three files in place of ours."""
    (tmp_path / "embedding").mkdir()
    (tmp_path / "embedding" / "extract.py").write_text(
        '"""Text."""\n\n\ndef f(x):\n    """More."""\n    return x + 1\n'
    )
    (tmp_path / "training.py").write_text("RATE = 0.1\n")
    (tmp_path / "report.py").write_text("TITLE = 'a'\n")
    monkeypatch.setattr(module, "_PACKAGE", tmp_path)
    monkeypatch.setattr(module, "_CODE", CODE)
    return tmp_path


def versions() -> dict[str, str]:
    code_version.cache_clear()
    module._statements.cache_clear()
    return {stage: code_version(stage) for stage in ("embed", "embed-round-2", "train-raw", "unknown")}


def test_only_what_a_stage_runs_counts(package: Path) -> None:
    before = versions()
    assert before["embed"] == before["embed-round-2"]
    (package / "report.py").write_text("TITLE = 'b'\n")
    after_report = versions()
    assert {stage for stage in before if before[stage] != after_report[stage]} == {"unknown"}
    (package / "training.py").write_text("RATE = 0.2\n")
    after_training = versions()
    assert {stage for stage in before if after_report[stage] != after_training[stage]} == {"train-raw", "unknown"}


def test_comments_docstrings_and_layout_do_not_count(package: Path) -> None:
    before = versions()
    (package / "embedding" / "extract.py").write_text(
        "# new\ndef f(x):\n    '''Other.'''\n    return (x\n        + 1)\n"
    )
    assert versions() == before
    (package / "embedding" / "extract.py").write_text("def f(x):\n    return x + 2\n")
    assert versions()["embed"] != before["embed"]


def test_a_renamed_file_counts(package: Path) -> None:
    before = versions()
    (package / "embedding" / "extract.py").rename(package / "embedding" / "extractor.py")
    assert versions()["embed"] != before["embed"]


def test_every_named_place_is_there() -> None:
    for places in module._CODE.values():
        for place in places:
            assert (module._PACKAGE / place).exists(), place


def test_what_a_stage_imports_is_named_too() -> None:
    """A module that computes part of a result must count; those of `carriers` move files and values only."""
    carriers = {"arrays.py", "blocks.py", "code_version.py", "config.py", "errors.py", "mirror.py", "progress.py"}
    moving = "archives blobs defects ingest io remote remote_blobs roots schema sources tables uris"
    carriers |= {f"manifest/{name}.py" for name in moving.split()}
    unnamed = {
        f"{stage}: {name}"
        for stage, places in module._CODE.items()
        for path in module._sources(places)
        for name in imported_files(path)
        if module._PACKAGE / name not in module._sources(places) and name not in carriers
    }
    assert unnamed == set()


def imported_files(path: Path) -> set[str]:
    """Files of the package that a file imports, relative to it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    files = {name.removeprefix("purify.").replace(".", "/") + ".py" for name in names if name.startswith("purify.")}
    return {name for name in files if (module._PACKAGE / name).is_file()}


def test_a_stage_is_done_again_by_other_code(package: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    output, calls = run.root / "out.txt", []

    def work() -> None:
        run.root.mkdir(exist_ok=True)
        output.write_text("result")
        calls.append(1)

    versions()
    for _ in range(2):
        run.run_stage("train-raw", {"seed": 1}, [output], work)
    assert len(calls) == 1
    (package / "training.py").write_text("RATE = 0.3\n")
    versions()
    run.run_stage("train-raw", {"seed": 1}, [output], work)
    assert len(calls) == 2


@pytest.fixture(autouse=True)
def fresh_caches() -> object:
    yield
    code_version.cache_clear()
    module._statements.cache_clear()
