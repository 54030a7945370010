"""What counts where two values are equal, and pairs of labels of three."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from purify.analysis.label_noise.calibration import calibrate
from purify.analysis.label_noise.centering import centered
from purify.analysis.label_noise.claim_strength import measure_claims
from purify.analysis.label_noise.origins import Origins
from purify.analysis.label_noise.plausibility import is_plausible
from purify.analysis.nearest_images import nearest_images
from purify.analysis.neighbors import find_neighbors
from purify.analysis.search import unit
from purify.analysis.subcenters import SubcenterSpace
from purify.analysis.verdicts import analyze
from purify.config import AnalyzeConfig
from purify.tables.manifest import load_manifest
from purify.tables.schema import MANIFEST
from tests.analysis.label_noise.test_claim_strength import IMAGES, drawn


@pytest.mark.parametrize(("weak_majority", "flag"), [(0.75, "ok"), (0.76, "weak_majority")])
def test_a_majority_of_just_the_limit_is_not_weak(weak_majority: float, flag: str) -> None:
    """Three of four images are nearest to the dominant sub-center."""
    embeddings = np.eye(4, dtype=np.float32)[[0, 0, 0, 1, 3, 3]]
    centers = np.stack([np.eye(4)[[0, 1]], np.eye(4)[[3, 2]]]).astype(np.float32)
    config = AnalyzeConfig(rule="official", min_images=1, weak_majority=weak_majority)
    labels = [*"aaaabb"]
    found = analyze([*"123456"], labels, embeddings, ["a", "b"], config, space=SubcenterSpace(embeddings, centers))
    assert found.class_report["flag"].to_pylist() == [flag, "ok"]


def test_an_image_at_just_the_cosine_of_a_duplicate_is_a_neighbor() -> None:
    vectors, label = np.eye(3, dtype=np.float32)[[0, 0, 1]], np.array([0, 0, 1])
    nearest = nearest_images(vectors, label, most=3)
    assert find_neighbors(nearest, label, k=2, near_duplicate=1.0).rows[0].tolist() == [1, 2]
    assert find_neighbors(nearest, label, k=2, near_duplicate=0.99).rows[0].tolist() == [2, -1]


def test_one_claimant_is_enough_to_measure_claims() -> None:
    evidence, label = drawn()
    claimants = evidence.claimants.copy()
    claimants[:, 1] = -1
    found = measure_claims(
        replace(evidence, claimants=claimants), label, np.ones(IMAGES), Origins.first(), np.random.default_rng(1)
    )
    assert found.model is not None


def test_pairs_of_labels_of_three_are_of_two_images() -> None:
    """The labels begin at places that are no multiples of three; none of their images are alike."""
    rng = np.random.default_rng(0)
    vectors = unit(rng.normal(size=(1202, 64)))
    label = np.r_[0, 0, 1 + np.arange(1200) // 3]
    assert not is_plausible(vectors, label, np.full(1202, 0.8), rng)


def test_a_manifest_keeps_its_own_columns_and_no_others(tmp_path: Path) -> None:
    rows = [
        {"sample_id": "a", "label": "x", "status": "ok", "uri": "u/a", "width": 7},
        {"sample_id": "b", "label": "", "status": "unreadable", "uri": "u/b", "width": None},
    ]
    table = pa.Table.from_pylist(rows, schema=MANIFEST).append_column("mine", pa.array([1, 2]))
    pq.write_table(table.replace_schema_metadata(None), tmp_path / "m.parquet")
    found = load_manifest(tmp_path / "m.parquet")
    assert found.schema.equals(MANIFEST, check_metadata=True)
    assert found.equals(pa.Table.from_pylist(rows, schema=MANIFEST))


def test_three_labels_are_just_enough_to_tell_right_from_wrong() -> None:
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(3), 4)
    rows = rng.normal(size=(3, 8))[label] + 0.2 * rng.normal(size=(12, 8))
    found = calibrate(centered(rows.astype(np.float32)), label, classes=3, near_duplicate=0.9999, seed=0)
    assert found.pictures == 12
    assert (found.p_clean > 0.5).all()
