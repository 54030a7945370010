"""The public names of `purify`: light to import, documented by examples that run."""

from __future__ import annotations

import doctest
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import purify

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", purify.__all__)
def test_every_public_name_has_an_example_that_runs(name: str) -> None:
    value = getattr(purify, name)
    assert name in dir(purify)
    tests = doctest.DocTestFinder(recurse=False).find(inspect.unwrap(value), name, globs={})
    examples = [example for test in tests for example in test.examples]
    assert len(examples) > 1, f"{name}: no example"
    for test in tests:
        failures = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test)
        assert failures.failed == 0


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'find_errors'"):
        purify.find_errors  # noqa: B018


def _python(code: str) -> str:
    answer = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return answer.stdout


def test_the_package_is_imported_in_no_time() -> None:
    """CPU seconds, since other programs take turns."""
    code = "import time; began = time.process_time(); import purify; print(time.process_time() - began)"
    assert min(float(_python(code)) for _ in range(3)) < 0.1


def test_finding_label_errors_and_saving_them_takes_no_torch(tmp_path: Path) -> None:
    code = f"""
import sys
import numpy as np
import purify
rng = np.random.default_rng(0)
people = np.repeat(np.arange(12), 10)
embeddings = rng.normal(size=(12, 16))[people] + 0.2 * rng.normal(size=(120, 16))
verdicts = purify.find_label_errors(embeddings, people)
verdicts.noise_rate, verdicts.classes, verdicts.report({str(tmp_path / "run")!r})
print(verdicts.rule, "torch" in sys.modules)
verdicts = purify.find_label_errors(embeddings, people, rule="official")
print(verdicts.rule, "torch" in sys.modules)
"""
    assert _python(code).split() == ["calibrated/7", "False", "official/1", "True"]
