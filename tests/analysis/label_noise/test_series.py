"""Series of pictures (frames, bursts, copies) are told from single images, and judged as one picture each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from purify.analysis.label_noise.series import series_distance
from purify.analysis.search import unit
from purify.analysis.verdicts import Analysis, analyze
from purify.config import AnalyzeConfig

DIM = 96


@dataclass(frozen=True)
class Drawn:
    """Images in series: ``vectors[N, D]``, their ``label[N]`` and ``wrong[N]``, and the series of each."""

    vectors: np.ndarray
    label: np.ndarray
    wrong: np.ndarray
    series: np.ndarray


def draw(
    labels: int = 60, *, series: tuple[int, int] = (4, 8), images: tuple[int, int] = (4, 12), change: float = 0.25
) -> Drawn:
    """Each series of one person, a fifth of them of a wrong one; `change` is that within a series."""
    rng = np.random.default_rng(3)
    people = rng.normal(size=(labels, DIM))
    rows, label, wrong, number = [], [], [], []
    for own in range(labels):
        for _ in range(rng.integers(*series, endpoint=True)):
            is_wrong = rng.random() < 0.2
            stranger = rng.random() < 0.4
            other = people[(own + rng.integers(1, labels)) % labels]
            person = people[own] if not is_wrong else rng.normal(size=DIM) if stranger else other
            occasion = person + 1.2 * rng.normal(size=DIM)
            count = int(rng.integers(*images, endpoint=True))
            rows.append(occasion + change * rng.normal(size=(count, DIM)))
            label += [own] * count
            wrong += [is_wrong] * count
            number += [len(rows)] * count
    return Drawn(np.concatenate(rows).astype(np.float32), np.array(label), np.array(wrong), np.array(number))


def judged(drawn: Drawn) -> Analysis:
    names = [f"p{label:03d}" for label in range(int(drawn.label.max()) + 1)]
    ids = [f"{row:05d}" for row in range(len(drawn.label))]
    given = [names[label] for label in drawn.label]
    return analyze(ids, given, drawn.vectors, names, AnalyzeConfig(), space=None)


@pytest.mark.parametrize("change", [0.1, 0.25, 0.5])
def test_the_distance_lies_between_that_of_a_series_and_that_of_two(change: float) -> None:
    drawn = draw(change=change)
    vectors = unit(drawn.vectors)
    distance = 1 - vectors @ vectors.T
    one_label = drawn.label[:, None] == drawn.label
    one_series = drawn.series[:, None] == drawn.series
    found = series_distance(vectors, drawn.label)
    assert found is not None
    assert (distance[one_series] < found).mean() > 0.99
    assert (distance[one_label & ~one_series] < found).mean() < 0.001


def test_single_images_are_no_series() -> None:
    """The right images of a label are one group, the others have no mates."""
    drawn = draw(series=(12, 40), images=(1, 1))
    assert series_distance(unit(drawn.vectors), drawn.label) is None


def test_images_of_one_other_person_are_no_series() -> None:
    """Under each label, a third of the images is of a sibling: two groups, and strangers alone."""
    rng = np.random.default_rng(0)
    people = rng.normal(size=(40, 3, DIM))
    shown = np.array([0] * 12 + [1] * 6 + [2] * 2)
    rows = people[:, shown] + 0.3 * rng.normal(size=(40, 20, DIM))
    rows[:, 18:] = rng.normal(size=(40, 2, DIM))
    assert series_distance(unit(rows.reshape(-1, DIM).astype(np.float32)), np.repeat(np.arange(40), 20)) is None


def test_images_of_labels_that_are_equal_are_no_series() -> None:
    """Frames as near to each other across labels tell nothing of a label."""
    rng = np.random.default_rng(0)
    few = rng.normal(size=(6, DIM))
    rows = few[rng.integers(0, 6, 600)] + 0.1 * rng.normal(size=(600, DIM))
    assert series_distance(unit(rows.astype(np.float32)), np.arange(600) // 20) is None


def sides(labels: int = 100, *, likeness: float, flips: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Things seen from four sides, five images of each: unit vectors, labels, and which are of another thing.

    `likeness` is the cosine of two images of one side; that of two sides is 0.15.
    """
    rng = np.random.default_rng(0)
    thing, side = unit(rng.normal(size=(labels, 1, 1, DIM))), unit(rng.normal(size=(labels, 4, 1, DIM)))
    noise = unit(rng.normal(size=(labels, 4, 5, DIM)))
    rows = np.sqrt(0.15) * thing + np.sqrt(likeness - 0.15) * side + np.sqrt(1 - likeness) * noise
    shown = np.repeat(np.arange(labels), 20)
    wrong = rng.random(len(shown)) < flips
    given = np.where(wrong, (shown + rng.integers(1, labels, len(shown))) % labels, shown)
    return unit(rows.reshape(-1, DIM).astype(np.float32)), given, wrong


@pytest.mark.parametrize(("likeness", "flips"), [(0.7, 0.0), (0.7, 0.15), (0.9, 0.15)])
def test_sides_of_a_thing_are_no_series(likeness: float, flips: float) -> None:
    vectors, label, _ = sides(likeness=likeness, flips=flips)
    assert series_distance(vectors, label) is None


def test_right_images_of_things_with_sides_are_kept() -> None:
    vectors, label, wrong = sides(likeness=0.7, flips=0.15)
    found = judged(Drawn(vectors, label, wrong, np.arange(len(label))))
    removed = np.array(found.verdicts["decision"].to_pylist()) != "keep"
    assert removed[wrong].mean() > 0.95
    assert (~removed[~wrong]).mean() > 0.9
    assert 1 - np.mean(found.verdicts["p_clean"].to_pylist()) == pytest.approx(wrong.mean(), abs=0.06)


@pytest.mark.parametrize("images", [0, 1, 3])
def test_labels_of_few_images_show_none(images: int) -> None:
    label = np.repeat(np.arange(5), images)
    vectors = unit(np.random.default_rng(0).normal(size=(len(label), 8)).astype(np.float32))
    assert series_distance(vectors, label) is None


def test_equal_images_are_no_trouble() -> None:
    label = np.repeat(np.arange(3), 6)
    vectors = np.tile(np.array([[1, 0]], np.float32), (18, 1))
    assert series_distance(vectors, label) is None


def test_a_series_is_judged_as_one_picture() -> None:
    drawn = draw()
    found = judged(drawn)
    removed = np.array(found.verdicts["decision"].to_pylist()) != "keep"
    p_clean = np.array(found.verdicts["p_clean"].to_pylist())
    hits = int((removed & drawn.wrong).sum())
    assert 2 * hits / (removed.sum() + drawn.wrong.sum()) > 0.97
    assert (~removed[~drawn.wrong]).mean() > 0.99
    assert 1 - p_clean.mean() == pytest.approx(drawn.wrong.mean(), abs=0.03)
    assert found.series == len(np.unique(drawn.series))
    for number in np.unique(drawn.series):
        assert len(set(removed[drawn.series == number])) == 1
    assert "mixed" not in found.class_report["flag"].to_pylist()  # a wrong series is no second person


def test_sets_of_single_images_have_no_series() -> None:
    assert judged(draw(series=(8, 12), images=(1, 1))).series is None
