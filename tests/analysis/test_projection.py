from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from purify.analysis.projection import fit_subcenters
from purify.analysis.subcenters import SubcenterSpace
from purify.analysis.verdicts import analyze
from purify.config import AnalyzeConfig
from purify.embedding.store import read_embeddings
from purify.errors import InputError
from purify.evaluation.detection import score_verdicts

#: F1 of a fixed 75 degrees on a linear projection; the share of right labels that a clean set keeps.
BARS = {"light": 0.908, "mixed35": 0.925, "heavy": 0.923, "open40": 0.942, "closed40": 0.886}
CLEAN_KEPT = 0.998


def face_figures(faces: Path, scenario: str, rule: str = "official") -> dict:
    manifest = pq.read_table(faces / "noisy" / f"{scenario}.parquet")
    ids, labels = manifest["path"].to_pylist(), manifest["label"].to_pylist()
    names, index = np.unique(np.asarray(labels, dtype=object), return_inverse=True)
    embeddings = read_embeddings(faces / "dlib_embeddings.parquet", ids)
    projected, subcenters = fit_subcenters(embeddings, index, classes=len(names), seed=0)
    space = SubcenterSpace(projected, subcenters)
    verdicts = analyze(ids, labels, embeddings, names.tolist(), AnalyzeConfig(rule=rule), space=space).verdicts
    return score_verdicts(verdicts, manifest)


def test_real_faces_with_noise(faces: Path) -> None:
    figures = face_figures(faces, "mixed35")
    assert figures["f1"] >= BARS["mixed35"]
    assert figures["average_precision"] >= 0.99
    assert figures["clean_kept"] >= CLEAN_KEPT


def test_real_faces_without_noise_are_kept(faces: Path) -> None:
    assert face_figures(faces, "clean")["clean_kept"] >= CLEAN_KEPT


@pytest.mark.slow
@pytest.mark.parametrize("scenario", [name for name in BARS if name != "mixed35"])
def test_real_faces_of_every_scenario(faces: Path, scenario: str) -> None:
    assert face_figures(faces, scenario)["f1"] >= BARS[scenario]


def noisy(classes: int, images: int, dim: int, *, noise: float = 0.25, seed: int = 0):
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(classes), images)
    true = label.copy()
    wrong = rng.random(len(label)) < noise
    true[wrong] = rng.integers(0, classes, wrong.sum())
    centers = rng.normal(size=(classes, dim))
    embeddings = centers[true] + 0.8 * rng.normal(size=(len(label), dim)) + 3
    return embeddings.astype(np.float32), label.astype(np.int64), true != label


@pytest.mark.parametrize(("classes", "dim"), [(10, 16), (60, 64), (40, 512), (20, 1024)])
@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_noise_ends_far_and_the_rest_near_for_any_dimension_and_scale(classes: int, dim: int, scale: float) -> None:
    embeddings, label, wrong = noisy(classes, 20, dim)
    projected, subcenters = fit_subcenters(embeddings * np.float32(scale), label, classes=classes)
    reduced = min(dim, 128, max(32, len(label) // 8))
    assert projected.shape == (len(label), reduced)
    assert subcenters.shape == (classes, 3, reduced)
    np.testing.assert_allclose(np.linalg.norm(projected, axis=1), 1, rtol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(subcenters, axis=2), 1, rtol=1e-4)
    names = [str(i) for i in range(classes)]
    ids = [str(i) for i in range(len(label))]
    space = SubcenterSpace(projected, subcenters)
    config = AnalyzeConfig(rule="official")
    verdicts = analyze(ids, [names[i] for i in label], embeddings, names, config, space=space).verdicts
    dropped = np.array(verdicts["decision"].to_pylist()) == "drop"
    assert dropped[wrong].mean() > 0.8
    assert dropped[~wrong].mean() < 0.02


def test_equal_seeds_give_equal_bytes_and_the_order_of_rows_does_not_matter() -> None:
    embeddings, label, _ = noisy(12, 15, 24)
    projected, subcenters = fit_subcenters(embeddings, label, classes=12, seed=3)
    order = np.random.default_rng(1).permutation(len(label))
    shuffled, same = fit_subcenters(embeddings[order], label[order], classes=12, seed=3)
    np.testing.assert_array_equal(same, subcenters)
    np.testing.assert_array_equal(shuffled, projected[order])
    _, other = fit_subcenters(embeddings, label, classes=12, seed=4)
    assert not np.array_equal(other, subcenters)


@pytest.mark.parametrize("classes", [2, 4])
def test_a_few_clean_classes_are_kept(classes: int) -> None:
    embeddings, label, _ = noisy(classes, 80, 64, noise=0)
    projected, subcenters = fit_subcenters(embeddings, label, classes=classes)
    nearest = np.einsum("nd,nkd->nk", projected, subcenters[label])
    dominant = np.stack([np.bincount(nearest[label == c].argmax(axis=1), minlength=3) for c in range(classes)]).argmax(
        1
    )
    cosine = nearest[np.arange(len(label)), dominant[label]]
    assert (cosine > np.cos(np.radians(75))).mean() > 0.98


@pytest.mark.parametrize("subcenters", [1, 2, 5])
def test_any_number_of_subcenters(subcenters: int) -> None:
    embeddings, label, _ = noisy(8, 10, 16)
    _, centers = fit_subcenters(embeddings, label, classes=8, subcenters=subcenters)
    assert centers.shape == (8, subcenters, 16)


def test_smallest_sets() -> None:
    """Two images, one class, classes of one image, classes without any."""
    embeddings = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    for label, classes in (([0, 0], 1), ([0, 1], 2), ([0, 3], 5)):
        projected, centers = fit_subcenters(embeddings, np.array(label), classes=classes)
        assert np.isfinite(projected).all()
        assert np.isfinite(centers).all()


@pytest.mark.slow
def test_many_classes_compete_in_part() -> None:
    embeddings, label, wrong = noisy(2500, 3, 32, noise=0.1)
    projected, centers = fit_subcenters(embeddings, label, classes=2500)
    cosine = np.einsum("nd,nkd->nk", projected, centers[label]).max(axis=1)
    assert np.median(cosine[~wrong]) > 0.5


def test_embeddings_without_variance_are_refused() -> None:
    with pytest.raises(InputError, match="point the same way"):
        fit_subcenters(np.ones((5, 4), np.float32), np.zeros(5, np.int64), classes=1)
    with pytest.raises(InputError, match="no samples"):
        fit_subcenters(np.empty((0, 0), np.float32), np.empty(0, np.int64), classes=0)
