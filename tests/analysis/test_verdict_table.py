"""The verdict table of many samples."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from purify.analysis.neighbors import Neighbors
from purify.analysis.rules.rule import Outcome
from purify.analysis.subcenters import SubcenterSpace, assign
from purify.analysis.verdict_table import SortedSamples, verdict_table
from purify.tables.schema import Decision, Reason

ROWS, CHARACTERS = 120_000, 4_000


@pytest.mark.slow
def test_ids_of_the_evidence_may_pass_two_gib() -> None:
    """As of ten million samples with ids of a hundred characters: five times the ids themselves."""
    ids = np.char.zfill(np.arange(ROWS).astype("U6"), 6)
    width = CHARACTERS - 6
    texts = pa.array([f"{'x' * width}{number}" for number in ids.tolist()], pa.large_string())
    assert 5 * ROWS * CHARACTERS > 2**31 > pa.compute.sum(pa.compute.binary_length(texts)).as_py()
    label, vectors = np.zeros(ROWS, np.int64), np.ones((ROWS, 1), np.float32)
    space = SubcenterSpace(vectors, np.ones((1, 1, 1), np.float32))
    following = (np.arange(ROWS)[:, None] + np.arange(1, 6)) % ROWS
    words = [np.full(ROWS, word, object) for word in (Decision.KEEP.value, Reason.NEAR_DOMINANT.value)]
    nobody = np.full(ROWS, -1)
    outcome = Outcome("calibrated/1", *words, nobody, nobody, np.ones(ROWS), np.zeros(ROWS))
    samples = SortedSamples(texts, pa.array(["a"] * ROWS, pa.large_string()), label, ["a"])
    neighbors = Neighbors(following.astype(np.int32), np.ones(ROWS, np.float32))
    table = verdict_table(samples, space, assign(vectors, label, space.subcenters), outcome, neighbors, np.arange(ROWS))
    assert table.num_rows == ROWS
    for row in (0, 65_535, 65_536, ROWS - 1):
        found = table.slice(row, 1).to_pylist()[0]
        assert found["sample_id"].endswith(ids[row])
        assert [text[-6:] for text in found["evidence_ids"]] == ids[following[row]].tolist()
