"""Which tests run which lines: a pytest plugin that traces the functions of some files, test by test."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest


class LineCoverage:
    """Traces the lines of `files` (absolute names) and writes the tests of each to `out`; a plugin of `pytest.main`.

    Attributes
    ----------
    tests_of
        File -> line -> tests that ran it.
    seconds
        Test -> CPU seconds, setup included.
    """

    def __init__(self, files: Collection[str], out: Path) -> None:
        self._files, self._out = frozenset(files), out
        self._ran: set[tuple[str, int]] = set()
        self.tests_of: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
        self.seconds: dict[str, float] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[Any]:
        """Trace a test with its fixtures."""
        self._ran = set()
        began = time.process_time()
        threading.settrace(self._trace)
        sys.settrace(self._trace)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            threading.settrace(None)  # type: ignore[arg-type]
            self.seconds[item.nodeid] = time.process_time() - began
            for file, line in self._ran:
                self.tests_of[file][line].append(item.nodeid)

    @pytest.hookimpl
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Write what was found to `out`, unless a test has failed; of a file of slow tests alone, that is nothing."""
        if exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
            found = {"tests": self.tests_of, "seconds": self.seconds}
            partial = self._out.with_suffix(".partial")
            partial.write_text(json.dumps(found), encoding="utf-8")
            partial.rename(self._out)

    def _trace(self, frame: FrameType, event: str, argument: object) -> Any:
        return self._trace_lines if frame.f_code.co_filename in self._files else None

    def _trace_lines(self, frame: FrameType, event: str, argument: object) -> Any:
        if event == "line":
            self._ran.add((frame.f_code.co_filename, frame.f_lineno))
        return self._trace_lines
