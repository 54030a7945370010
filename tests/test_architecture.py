"""The rules of the house: who may import whom, how deep, and how large files and functions may be.

A room is a folder of ``purify/`` or a single file in it, or a package beside it. Imports inside functions and for types
count like those at the top of a file.
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PURIFY = REPOSITORY / "purify"
PACKAGES = ("purify", "purify_demo", "flows", "benchmarks")
NUMERICAL = ("models", "training", "embedding", "analysis", "evaluation", "inversion")

#: Rooms from the ground up. A room imports from lower tiers and, without a cycle, from its own.
TIERS = (
    ("errors", "arrays", "progress", "credentials", "processes", "version"),
    ("config", "config_files", "config_places", "storage"),
    ("tables", "images", "models", "faces"),
    ("ingest", "training", "embedding", "analysis", "evaluation", "inversion"),
    ("report",),
    ("pipeline", "review", "export"),
    ("purify",),  # purify/__init__.py: the names of the API, each imported when it is first used
    ("orchestration", "purify_demo"),
    ("cli", "flows"),
    ("__main__", "benchmarks"),
)
MOST_LEVELS = 9
MOST_LINES = 49_060
MOST_MEDIAN_FILE = 120
MOST_FUNCTION_P90 = 22


def sources(package: str) -> list[Path]:
    return sorted(path for path in (REPOSITORY / package).rglob("*.py") if "__pycache__" not in path.parts)


def room_of(path: Path) -> str:
    package, *inner = path.relative_to(REPOSITORY).with_suffix("").parts
    if package != "purify" or inner == ["__init__"]:
        return package
    return inner[0]


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Module and name (empty for a whole module) of every import of a file, wherever it stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from ((node.module or "", alias.name) for alias in node.names)


def imported_room(module: str, name: str) -> str | None:
    """The room that an import reaches; None outside the project."""
    top, *inner = module.split(".")
    if top not in PACKAGES:
        return None
    if top != "purify":
        return top
    inner = inner or [name]
    known = (PURIFY / inner[0]).is_dir() or (PURIFY / f"{inner[0]}.py").is_file()
    return inner[0] if known else "purify"


@lru_cache
def edges() -> dict[tuple[str, str], tuple[str, ...]]:
    """Importing and imported room -> the files that do so."""
    found: dict[tuple[str, str], set[str]] = {}
    for package in PACKAGES:
        for path in sources(package):
            for module, name in imports(path):
                target = imported_room(module, name)
                if target is not None and target != room_of(path):
                    found.setdefault((room_of(path), target), set()).add(path.relative_to(REPOSITORY).as_posix())
    return {edge: tuple(sorted(files)) for edge, files in sorted(found.items())}


def tier(room: str) -> int:
    return next((number for number, rooms in enumerate(TIERS) if room in rooms), -1)


def test_every_room_has_its_tier() -> None:
    rooms = {room_of(path) for package in PACKAGES for path in sources(package)}
    assert {room for room in rooms if tier(room) < 0} == set()


def test_no_room_imports_from_above() -> None:
    upward = {
        f"{importer} -> {imported}: {', '.join(files)}"
        for (importer, imported), files in edges().items()
        if tier(imported) > tier(importer)
    }
    assert upward == set()


def cycles() -> list[tuple[str, ...]]:
    """Groups of rooms that import each other, directly or through others."""
    reached = {room: set(after) for room, after in _graph().items()}
    for middle, beyond in reached.items():
        for after in reached.values():
            if middle in after:
                after.update(beyond)
    groups = {
        tuple(sorted(other for other in after if room in reached[other]))
        for room, after in reached.items()
        if room in after
    }
    return sorted(groups)


def _graph() -> dict[str, set[str]]:
    graph: dict[str, set[str]] = {}
    for importer, imported in edges():
        graph.setdefault(importer, set()).add(imported)
        graph.setdefault(imported, set())
    return graph


def test_rooms_form_no_cycle() -> None:
    assert cycles() == []


def test_imports_are_at_most_nine_levels_deep() -> None:
    if cycles():
        pytest.fail("a cycle has no depth")
    graph = _graph()

    @lru_cache
    def chain(room: str) -> tuple[str, ...]:
        return (room, *max((chain(after) for after in sorted(graph[room])), key=len, default=()))

    deepest = max((chain(room) for room in graph), key=len)
    assert len(deepest) <= MOST_LEVELS, " -> ".join(deepest)


def importers(of: set[str], *, among: list[Path]) -> set[str]:
    return {
        path.relative_to(REPOSITORY).as_posix()
        for path in among
        if any(module.split(".")[0] in of for module, _ in imports(path))
    }


def test_flow_and_tasks_only_decorate() -> None:
    """What they import: Prefect, the stages, and what their parameters and errors are."""
    allowed = {"prefect", "pydantic", *sys.stdlib_module_names}
    rooms = {"config", "errors", "orchestration", "pipeline", "progress", "storage"}
    foreign = {
        f"{name}: {module}"
        for name in ("flow.py", "tasks.py")
        for module, imported in imports(PURIFY / "orchestration" / name)
        if module.split(".")[0] not in allowed and imported_room(module, imported) not in rooms
    }
    assert foreign == set()


def test_the_entry_point_is_all_that_flows_holds() -> None:
    files = sources("flows")
    assert [path.name for path in files] == ["purify_flow.py"]
    assert list(imports(files[0])) == [("purify.orchestration.flow", "purify_flow")]
    assert importers({"flows"}, among=[*sources("purify"), *sources("purify_demo")]) == set()


def test_prefect_is_known_to_the_orchestration_alone() -> None:
    files = importers({"prefect", "prefect_dask", "prefect_ray"}, among=sources("purify"))
    assert {name for name in files if not name.startswith("purify/orchestration/")} == set()


def test_click_is_known_to_commands_alone() -> None:
    files = importers({"click"}, among=sources("purify"))
    assert {name for name in files if not name.startswith(("purify/cli/", "purify/orchestration/"))} == set()


def test_numerical_rooms_know_no_orchestration() -> None:
    numerical = [path for path in sources("purify") if room_of(path) in NUMERICAL]
    assert importers({"click", "prefect", "rich", "flows"}, among=numerical) == set()


def test_analysis_and_evaluation_know_no_files() -> None:
    filed = {
        f"{importer} -> {imported}: {', '.join(files)}"
        for (importer, imported), files in edges().items()
        if importer in ("analysis", "evaluation") and imported in ("storage", "images", "ingest")
    }
    assert filed == set()


def test_each_file_name_is_used_once() -> None:
    names = Counter(path.name for path in sources("purify") if path.name != "__init__.py")
    assert [name for name, count in names.items() if count > 1] == []


def test_files_and_functions_are_small() -> None:
    lines, functions = [], []
    for path in sources("purify"):
        text = path.read_text(encoding="utf-8")
        lines.append(len(text.splitlines()))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                functions.append((node.end_lineno or node.lineno) - node.lineno + 1)
    assert statistics.median(lines) <= MOST_MEDIAN_FILE
    assert statistics.quantiles(functions, n=10)[-1] <= MOST_FUNCTION_P90


def test_the_whole_is_no_larger_than_before() -> None:
    kinds = {".py", ".html", ".css", ".js"}
    files = [
        path for package in ("purify", "flows") for path in (REPOSITORY / package).rglob("*") if path.suffix in kinds
    ]
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files) <= MOST_LINES
