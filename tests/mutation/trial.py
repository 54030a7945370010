"""The trial of a mutant: its tests in a forked process that imports the changed source in place of the file."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

#: What the tests import beside the project: loaded once, before the forks. None of it has begun a thread by then.
_LIBRARIES = (
    "pytest",
    "hypothesis",
    "numpy",
    "pandas",
    "PIL.Image",
    "pyarrow.parquet",
    "pyarrow.compute",
    "faiss",
    "torch",
)
#: Options of pytest: quiet, until the first failure, without plugins that a single trial does without.
_QUIET = ("-q", "-x", "-m", "not slow", "-p", "no:cacheprovider", "-p", "no:xdist")
#: Limits of a process: a mutant that loops or hangs is noticed, too.
_LEAST_CPU_SECONDS, _WALL_SECONDS = 30, 3600


def import_libraries() -> None:
    """Import what all trials need; no module of the project may be among it."""
    for name in _LIBRARIES:
        importlib.import_module(name)
    if known := [name for name in sys.modules if name.split(".")[0] == "purify"]:
        raise RuntimeError(f"{known[0]} is imported already: the trials would not see its mutants")


def start(root: Path, plugin: object, tests: Sequence[str], cpu_seconds: float) -> int:
    """Run `tests` of the project in `root` in a forked process, with a plugin of pytest or a finder; its id.

    The exit code is pytest's: 0 if no test fails.
    """
    if pid := os.fork():
        return pid
    code = 1
    try:
        os.setsid()  # a group of its own: what its tests start can be told apart
        limit = int(_LEAST_CPU_SECONDS + cpu_seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
        signal.alarm(_WALL_SECONDS)
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        os.chdir(root)
        code = _run(plugin, tests)
    finally:
        os._exit(code)
    raise AssertionError("not reached")


def _run(plugin: object, tests: Sequence[str]) -> int:
    import pytest

    if isinstance(plugin, Mutated):
        sys.meta_path.insert(0, plugin)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = scratch
        options = [*_QUIET, f"--basetemp={scratch}/tests", "--hypothesis-seed=0"]
        return int(pytest.main([*options, *tests], plugins=[plugin, _AnySpeed()]))


class _AnySpeed:
    """Property-based tests in a process that shares its core: how slow they are says nothing."""

    def pytest_sessionstart(self) -> None:
        """Load a profile after that of the project's conftest, before any test is imported."""
        from hypothesis import HealthCheck, settings

        checks = list(HealthCheck)
        settings.register_profile("any speed", parent=settings.get_profile("purify"), suppress_health_check=checks)
        settings.load_profile("any speed")


class Mutated(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds one module, and loads another source for it."""

    def __init__(self, path: Path, source: str) -> None:
        self._path, self._source = path, source

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of the changed module; None for all others."""
        found = importlib.machinery.PathFinder.find_spec(fullname, path)
        if found is None or found.origin != str(self._path):
            return None
        return importlib.util.spec_from_file_location(
            fullname, self._path, loader=self, submodule_search_locations=found.submodule_search_locations
        )

    def get_source(self, fullname: str) -> str:
        """The changed source."""
        return self._source

    def get_filename(self, fullname: str) -> str:
        """The file that it stands for."""
        return str(self._path)
