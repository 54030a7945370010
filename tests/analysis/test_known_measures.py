"""What the parts of the analysis measure on drawn sets, in numbers.

The known verdicts (`tests.analysis.drawn_scenarios`) are the outcome of all parts together: a part that measures
something else may leave the decisions as they are. ``python -m tests.analysis.test_known_measures`` writes the numbers
anew, for a rule of a new version.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from purify.analysis.class_rows import ImageGroups
from purify.analysis.identities.one_person import one_person_candidates
from purify.analysis.identities.plda import IdentityModel, fit_identities
from purify.analysis.identities.shared_people import LabeledSet, find_shared_people
from purify.analysis.identities.shared_pictures import find_shared_pictures
from purify.analysis.identities.structure import find_structure
from purify.analysis.label_noise.calibration import Calibration, calibrate
from purify.analysis.label_noise.centering import CenteredEmbeddings, centered
from purify.analysis.label_noise.companions import NoiseOrigin
from purify.analysis.label_noise.gallery import Gallery
from purify.analysis.label_noise.hardness import measure_hardness
from purify.analysis.label_noise.same_person import SamePerson, fit_same_person
from purify.analysis.photo_evidence import once_in_a_photo
from purify.analysis.projection import fit_subcenters

_KNOWN = Path(__file__).parent / "known_answers" / "measures.json"
#: Relative tolerance: sums in another order change the sixth digit, other draws or constants the second or third one.
_TOLERANCE = 1e-3
_DIM = 24

Numbers = list[float]


def _drawn(sizes: list[int], *, wrong: int = 0, spread: float = 0.8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images of labels of these sizes, some of whose first ones are of the next label's person or of a stranger."""
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(len(sizes)), sizes)
    people = rng.normal(size=(len(sizes), _DIM))
    place = np.concatenate([np.arange(size) for size in sizes])
    flipped, unknown = (place < wrong) & (label % 2 == 0), (place < wrong) & (label % 2 == 1)
    shown = people[np.where(flipped, (label + 1) % len(sizes), label)]
    shown[unknown] = rng.normal(size=(unknown.sum(), _DIM))
    rows = (shown + spread * rng.normal(size=shown.shape) + 0.4) * rng.uniform(0.8, 1.2, (len(label), 1))
    return rows.astype(np.float32), label


def _eighths(values: np.ndarray) -> Numbers:
    """Mean of the first eighth of the values, of the second, and so on."""
    return [float(part.mean()) for part in np.array_split(np.asarray(values, np.float64), 8)]


def _odds(p: np.ndarray) -> Numbers:
    """Of logarithms of odds, which tell small probabilities apart, within bounds."""
    inside = np.clip(p, 1e-5, 1 - 1e-5)
    return _eighths(np.log(inside / (1 - inside)))


def _of_model(model: IdentityModel, vectors: np.ndarray) -> Numbers:
    coordinates = model.coordinates(vectors)
    means, counts = coordinates[::7], np.linspace(0.5, 30, len(coordinates[::7]))
    pairs = model.log_ratio(coordinates[3::7][: len(means)], means[: len(coordinates[3::7])], counts)
    return [*np.sort(model.psi)[::4].tolist(), *_eighths(pairs)]


def identities_of_many_labels() -> Numbers:
    """Of small labels among more than thirty larger ones, which alone count."""
    rows, label = _drawn([2, 7, 1, 12] * 20)
    vectors = centered(rows, label).vectors
    weights = np.random.default_rng(1).uniform(0.3, 1, len(label))
    return _of_model(fit_identities(vectors, label, weights, 80), vectors)


def identities_of_few_labels() -> Numbers:
    rows, label = _drawn([2, 3, 1, 60, 9])
    vectors = centered(rows, label).vectors
    return _of_model(fit_identities(vectors, label, np.ones(len(label)), 5), vectors)


@cache
def _gallery(images: int = 8) -> tuple[CenteredEmbeddings, np.ndarray, np.ndarray, Gallery]:
    """Labels of so many images, two of them doubted more or less."""
    rows, label = _drawn([images] * 60, wrong=2)
    belief = np.where(np.arange(len(label)) % images < 2, np.linspace(0.01, 0.6, len(label)), 0.97)
    given = centered(rows, label)
    return given, label, belief, Gallery(given, label, belief, 60, rng=np.random.default_rng(2))


def _of_regression(found: SamePerson, images: int = 8) -> Numbers:
    gallery = _gallery(images)[3]
    every = np.arange(len(gallery.label_index))
    own = found.log_ratio(every, gallery.label_index, gallery.own)
    other = found.log_ratio(every, gallery.claims.labels[:, 2], gallery.claims.comparison.take((every, 2)))
    return [*_eighths(own), *_eighths(other)]


def one_person_against_another() -> Numbers:
    """The regression with doubted images that count by what the trusted ones say."""
    _, _, belief, gallery = _gallery()
    own = np.linspace(-5, 5, len(belief))
    return _of_regression(fit_same_person(gallery, belief, np.random.default_rng(3), own))


def one_person_against_another_by_belief() -> Numbers:
    _, _, belief, gallery = _gallery()
    return _of_regression(fit_same_person(gallery, belief, np.random.default_rng(3)))


def one_person_against_another_with_four_trusted_images() -> Numbers:
    _, _, belief, gallery = _gallery(images=6)
    return _of_regression(fit_same_person(gallery, belief, np.random.default_rng(3)), images=6)


def hardness() -> Numbers:
    _, label, belief, gallery = _gallery()
    own = 3 * np.asarray(gallery.own.cosine) + np.sin(np.arange(len(label)))
    several = label % 9 > 0
    return _odds(measure_hardness(own, gallery.own.images, belief, gallery.traits, several=several, strangers=0.4))


def _of_calibration(found: Calibration) -> Numbers:
    scalars = [found.noise_share, found.recognized]
    return [*scalars, *_odds(found.p_clean), *_odds(found.p_target), *_odds(found.hard)]


def probabilities_of_labels_of_all_sizes() -> Numbers:
    rows, label = _drawn([3, 9, 4, 14, 1, 7] * 7, wrong=2)
    return _of_calibration(calibrate(centered(rows, label), label, classes=42, near_duplicate=0.98, seed=4))


def probabilities_with_a_head() -> Numbers:
    rows, label = _drawn([10] * 30, wrong=3)
    margin = np.where(label < 3, np.nan, np.where(np.arange(len(label)) % 10 < 3, -0.1, 0.2))
    near = (label[:, None] + np.arange(-2, 12)) % 30
    found = calibrate(
        centered(rows, label),
        label,
        classes=30,
        near_duplicate=0.98,
        seed=4,
        margin=margin,
        near=near.astype(np.int32),
    )
    return _of_calibration(found)


def pairs_of_small_labels() -> Numbers:
    rows, label = _drawn([1, 3, 5, 24, 2] * 9)
    members = [np.flatnonzero(label == k) for k in range(45)]
    groups = ImageGroups(centered(rows, label).vectors, members)
    found = one_person_candidates(groups, np.random.default_rng(5))
    return [float(len(found.first)), *_eighths(found.log_ratio), *np.quantile(found.log_ratio, [0.9, 0.99, 1]).tolist()]


def merges_of_small_labels() -> Numbers:
    """Labels of four images are of people with another label; names speak for one of them, and one shares a picture."""
    rows, label = _drawn([4, 6] * 20, spread=0.75)
    for new, old in ((0, 1), (2, 3), (4, 5), (6, 7)):
        rows[label == new] = (rows[label == old][:4] + rows[label == old][2:]) / 2 + 0.3 * np.cos(
            np.arange(4 * _DIM)
        ).reshape(4, _DIM)
    rows[np.flatnonzero(label == 4)[0]] = rows[np.flatnonzero(label == 5)[0]]
    names = [f"{chr(97 + k % 26) * 4} {chr(97 + k * 7 % 26) * 5}" for k in range(40)]
    names[0] = f"{names[1]} again"
    vectors, noise = centered(rows, label).vectors, NoiseOrigin(0.3, 0.3)
    found = find_structure(vectors, label, 40, np.full(len(label), 0.9), names=names, noise=noise).merges
    odds = [float(np.log(merge.p_same / (1 - merge.p_same))) for merge in found]
    return [*odds, *(number for merge in found for number in (merge.label, merge.into, merge.cosine))]


def sub_centers_of_a_projection() -> Numbers:
    rows, label = _drawn([40, 12, 30, 8, 20], wrong=3)
    projected, centers = fit_subcenters(rows, label, classes=6, seed=6)
    own = np.einsum("nd,nkd->nk", projected, centers[label])
    return [number for k in range(3) for number in _eighths(own[:, k])]


def _two_sets(most: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images of 200 people, the same less and less like themselves, and the label of each."""
    rows, label = _drawn([5] * 200)
    change = np.linspace(0, most, 200)[label][:, None] * np.random.default_rng(8).normal(size=rows.shape)
    return rows, (rows + change).astype(np.float32), label


def people_of_two_sets() -> Numbers:
    one, other, label = _two_sets(2.5)
    found = find_shared_people(LabeledSet(one, label), LabeledSet(other[150:], label[150:] - 30))
    least = [threshold or 0.0 for threshold in found.thresholds]
    strangers = [found.tail.score, found.tail.scale, float(found.comparisons), *least]
    rows = np.concatenate([pair.ravel() for pair in found.evidence])
    counts = [float(len(found.a)), float(found.mutual.sum()), float(len(rows)), float(rows.mean())]
    return [
        *strangers,
        *counts,
        *_eighths(found.cosine),
        *_eighths(found.score),
        *_eighths(np.log(found.expected_false)),
    ]


def pictures_of_two_sets() -> Numbers:
    one, other, label = _two_sets(1.0)
    found = find_shared_pictures(one, other, (label, label), same_picture=0.9)
    strangers = [found.threshold or 0.0, found.expected_false, found.alike_strangers]
    return [
        *strangers,
        float(found.same_picture.sum()),
        *_eighths(found.cosine),
        *_eighths(found.a),
        *_eighths(found.b),
    ]


def faces_of_one_photo() -> Numbers:
    """Few photos, so that what is held of photos in general counts."""
    p = np.random.default_rng(9).beta(0.8, 0.8, 40)
    photo, label = np.arange(40) // 3, np.arange(40) % 3 // 2 * (np.arange(40) // 15)
    return _odds(once_in_a_photo(p, photo, label))


MEASURES: tuple[Callable[[], Numbers], ...] = (
    identities_of_many_labels,
    identities_of_few_labels,
    one_person_against_another,
    one_person_against_another_by_belief,
    one_person_against_another_with_four_trusted_images,
    hardness,
    probabilities_of_labels_of_all_sizes,
    probabilities_with_a_head,
    pairs_of_small_labels,
    merges_of_small_labels,
    sub_centers_of_a_projection,
    people_of_two_sets,
    pictures_of_two_sets,
    faces_of_one_photo,
)


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.__name__)
def test_the_measures_are_the_known_ones(measure: Callable[[], Numbers]) -> None:
    known = json.loads(_KNOWN.read_text(encoding="utf-8"))[measure.__name__]
    assert measure() == pytest.approx(known, rel=_TOLERANCE, abs=1e-6)


if __name__ == "__main__":
    found = {measure.__name__: [float(f"{number:.7g}") for number in measure()] for measure in MEASURES}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(numbers)}" for name, numbers in found.items())
    _KNOWN.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
