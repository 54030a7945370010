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
QUIET = ("-q", "-x", "-m", "not slow", "-p", "no:cacheprovider", "-p", "no:xdist")
#: Limits of a trial: a mutant that loops or hangs is noticed, too.
_LEAST_CPU_SECONDS, _CPU_FACTOR, _WALL_SECONDS = 30, 5, 1200


def import_libraries() -> None:
    """Import what all trials need; no module of the project may be among it."""
    for name in _LIBRARIES:
        importlib.import_module(name)
    if known := [name for name in sys.modules if name.split(".")[0] == "purify"]:
        raise RuntimeError(f"{known[0]} is imported already: the trials would not see its mutants")


def start_trial(root: Path, file: str, source: str, tests: Sequence[str], seconds: float) -> int:
    """Run `tests` on the project in `root` with `source` in place of `file`; the process's id.

    Its exit code is 0 if no test fails: the mutant survives. `seconds` of CPU are what the tests take without it.
    """
    if pid := os.fork():
        return pid
    code = 1
    try:
        limit = int(_LEAST_CPU_SECONDS + _CPU_FACTOR * seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
        signal.alarm(_WALL_SECONDS)
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        os.chdir(root)
        sys.meta_path.insert(0, _Mutated(root / file, source))
        with tempfile.TemporaryDirectory() as scratch:
            os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = scratch
            code = _run([*QUIET, f"--basetemp={scratch}/tests", "--hypothesis-seed=0", *tests])
    finally:
        os._exit(code)
    raise AssertionError("not reached")


def _run(arguments: list[str]) -> int:
    import pytest

    return int(pytest.main(arguments))


class _Mutated(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
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
