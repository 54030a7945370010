"""Mutation testing of the analysis and of the tables: the share of small changes of the code that fast tests notice.

A drawn sample of all mutants is tested, each in a process of its own by the tests that run its line, quickest first,
until one fails. With ``--seconds``, the slower ones are left out: some of the survivors they might have noticed. The
exit code is 1 below ``--least``.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import itertools
import json
import math
import os
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.mutation.line_coverage import LineCoverage
from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.trial import Mutated, import_libraries, start

_ROOT = Path(__file__).resolve().parents[2]
_CODE = ("purify/analysis", "purify/tables")
_TESTS = ("tests/analysis", "tests/tables", "tests/ingest/test_text_tables.py", "tests/evaluation/test_pairs.py")
#: Which tests run which lines, by the hashes of code and tests.
_MAPS = _ROOT / "build" / "mutation"
_TRACING_SECONDS = 600
_REPORTED = 10


@dataclass(frozen=True)
class Case:
    """A mutant of a file, and the tests that run its line, quickest first, with their CPU seconds together."""

    file: str
    mutant: Mutant
    tests: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        """``file:line: kind: original -> changed``."""
        return f"{self.file}:{self.mutant}"


def main() -> int:
    """Test a sample of mutants and print the score."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--mutants", type=int, default=200, help="number of mutants to draw (200)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw (0)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes at a time (one per core)")
    parser.add_argument("--least", type=float, default=0.9, help="least share killed (0.9)")
    parser.add_argument("--only", default="", help="draw from files whose path contains this")
    parser.add_argument("--seconds", type=float, default=math.inf, help="traced CPU seconds of tests a mutant (all)")
    parser.add_argument("--tests", nargs="+", help="let these tests alone try each mutant, without tracing any")
    options = parser.parse_args()
    import_libraries()
    tests = _coverage(options.jobs) if options.tests is None else tuple(options.tests)
    cases = [
        _quickest(case, tests, options.seconds) for case in _draw(tests, options.only, options.mutants, options.seed)
    ]
    return _report(cases, _survivors(cases, options.jobs), options.least)


def _report(cases: list[Case], survivors: list[Case], least: float) -> int:
    kinds, left = Counter(case.mutant.kind for case in cases), Counter(case.mutant.kind for case in survivors)
    for kind, number in sorted(kinds.items()):
        print(f"{kind}: {number - left[kind]} of {number}")
    killed = len(cases) - len(survivors)
    low, high = _wilson(killed, len(cases))
    print(f"killed {killed} of {len(cases)} mutants: {killed / len(cases):.1%} (95% interval {low:.1%} to {high:.1%})")
    return int(killed < least * len(cases))


def _wilson(killed: int, drawn: int) -> tuple[float, float]:
    """Wilson's score interval of a share, 95 % (Wilson 1927)."""
    z, share = 1.96, killed / drawn
    middle = (share + z * z / (2 * drawn)) / (1 + z * z / drawn)
    reach = z / (1 + z * z / drawn) * math.sqrt(share * (1 - share) / drawn + z * z / (4 * drawn * drawn))
    return middle - reach, middle + reach


def _files() -> list[Path]:
    return sorted(path for folder in _CODE for path in (_ROOT / folder).rglob("*.py"))


def _coverage(jobs: int) -> dict[str, Any]:
    """Tests of each line and their seconds; those of files that have not changed are known from an earlier call."""
    places = [_ROOT / place for place in _TESTS]
    tests = sorted(path for place in places for path in [place, *place.rglob("*.py")] if path.is_file())
    shared = [path for path in tests if not path.name.startswith("test_")]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in [*_files(), *shared]))
    _MAPS.mkdir(parents=True, exist_ok=True)
    parts = {}
    for path in [path for path in tests if path not in shared]:
        own = digest.copy()
        own.update(path.read_bytes())
        parts[path] = _MAPS / f"{own.hexdigest()[:32]}.json"
    unknown = [path for path, part in parts.items() if not part.exists()]
    for number, _ in _finished((_trace(path, parts[path]) for path in unknown), jobs):
        if not parts[unknown[number]].exists():
            sys.exit(f"{unknown[number]}: a test fails without a mutant")
    found: dict[str, Any] = {"tests": {}, "seconds": {}}
    for part in parts.values():
        _add(found, json.loads(part.read_text(encoding="utf-8")))
    return found


def _trace(path: Path, out: Path) -> Callable[[], int]:
    names = [str(file) for file in _files()]
    return lambda: start(_ROOT, LineCoverage(names, out), [path.relative_to(_ROOT).as_posix()], _TRACING_SECONDS)


def _add(found: dict[str, Any], part: dict[str, Any]) -> None:
    found["seconds"] |= part["seconds"]
    for file, lines in part["tests"].items():
        for line, tests in lines.items():
            found["tests"].setdefault(file, {}).setdefault(line, []).extend(tests)


def _finished(starts: Iterable[Callable[[], int]], jobs: int) -> Iterator[tuple[int, int]]:
    """Start processes, some at a time; yields the number and the exit code of each as it ends."""
    waiting, running = enumerate(starts), {}
    while True:
        for number, begin in itertools.islice(waiting, jobs - len(running)):
            running[begin()] = number
        if not running:
            return
        pid, status = os.wait()
        yield running.pop(pid), status


def _draw(tests: dict[str, Any] | tuple[str, ...], only: str, number: int, seed: int) -> list[Case]:
    """A sample of the mutants, with the tests by the coverage of their lines, or the given ones."""
    cases = [
        _case(path, mutant, tests)
        if isinstance(tests, dict)
        else Case(path.relative_to(_ROOT).as_posix(), mutant, tests, 0.0)
        for path in _files()
        if only in path.as_posix()
        for mutant in mutants_of(path.read_text(encoding="utf-8"))
    ]
    return random.Random(seed).sample(cases, min(number, len(cases)))


def _case(path: Path, mutant: Mutant, coverage: dict[str, Any]) -> Case:
    ran = coverage["tests"].get(str(path), {})
    tests = {test for line in _lines_of(path, mutant, ran) for test in ran.get(line, [])}
    if not ran:  # all of it is run when it is imported
        tests = set(coverage["seconds"])
    ordered = sorted(tests, key=lambda test: (coverage["seconds"][test], test))
    seconds = sum(coverage["seconds"][test] for test in ordered)
    return Case(path.relative_to(_ROOT).as_posix(), mutant, tuple(ordered), seconds)


def _quickest(case: Case, tests: dict[str, Any] | tuple[str, ...], most: float) -> Case:
    """The case with the quickest of its tests alone: as many as take at most so many seconds, at least one."""
    if not isinstance(tests, dict):
        return case
    spent = list(itertools.accumulate(tests["seconds"][test] for test in case.tests))
    number = max(1, sum(seconds <= most for seconds in spent))
    return replace(case, tests=case.tests[:number], seconds=sum(spent[number - 1 : number]))


def _lines_of(path: Path, mutant: Mutant, ran: dict[str, Any]) -> list[str]:
    """Lines whose tests may notice a mutant: its own, else its statement's; outside functions, all of the file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    around = [node for node in ast.walk(tree) if isinstance(node, ast.stmt) and _holds(node, mutant)]
    functions = [node for node in around if isinstance(node, ast.FunctionDef)]
    if not functions or mutant.line < functions[-1].body[0].lineno:
        return list(ran)
    smallest = min(around, key=lambda node: (node.end_lineno or 0) - node.lineno)
    own = [str(line) for line in range(mutant.line, mutant.end_line + 1)]
    whole = [str(line) for line in range(smallest.lineno, (smallest.end_lineno or 0) + 1)]
    return own if any(line in ran for line in own) else whole


def _holds(node: ast.stmt, mutant: Mutant) -> bool:
    return node.lineno <= mutant.line and mutant.end_line <= (node.end_lineno or 0)


def _survivors(cases: Sequence[Case], jobs: int) -> list[Case]:
    survivors = [case for case in cases if not case.tests]
    for case in survivors:
        print(f"survived {case} (no test runs it)")
    tried = [case for case in cases if case.tests]
    for done, (number, status) in enumerate(_finished((_trial(case) for case in tried), jobs), start=1):
        if status == 0:
            survivors.append(tried[number])
            print(f"survived {tried[number]}", flush=True)
        if done % _REPORTED == 0:
            print(f"{done} of {len(tried)} tried, {len(survivors)} survived", flush=True)
    return survivors


def _trial(case: Case) -> Callable[[], int]:
    path = _ROOT / case.file
    mutated = Mutated(path, case.mutant.applied_to(path.read_text(encoding="utf-8")))
    return lambda: start(_ROOT, mutated, case.tests, 5 * case.seconds)


if __name__ == "__main__":
    sys.exit(main())
