"""Equal bytes for any number of BLAS threads."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_CODE = """
import hashlib, sys
import numpy as np
from purify.analysis.verdicts import analyze
from purify.config import AnalyzeConfig
rng = np.random.default_rng(0)
label = np.repeat(np.arange(150), 20)
person = np.where(rng.random(len(label)) < 0.15, rng.integers(0, 150, len(label)), label)
vectors = (rng.normal(size=(150, 192))[person] + rng.normal(size=(len(label), 192))).astype(np.float32)
names = [f"p{number:03d}" for number in range(150)]
ids = [f"{row:05d}" for row in range(len(label))]
found = analyze(ids, [names[k] for k in label], vectors, names, AnalyzeConfig(), space=None, seed=0)
assert found.rule.startswith("calibrated/"), found.why
columns = [found.verdicts[name].to_numpy() for name in ("p_clean", "p_other", "angle", "neighbor_agreement")]
print(hashlib.sha256(b"".join(column.tobytes() for column in columns)).hexdigest())
"""


@pytest.mark.slow
def test_verdicts_are_the_same_bytes_with_one_two_and_four_threads() -> None:
    digests = set()
    for threads in ("1", "2", "4"):
        settings = {"OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads, "OMP_WAIT_POLICY": "PASSIVE"}
        done = subprocess.run(
            [sys.executable, "-c", _CODE], env=os.environ | settings, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        digests.add(done.stdout.strip())
    assert len(digests) == 1
