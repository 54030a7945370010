"""One person once a photo: against the sum over all subsets, and as evidence rather than a rule."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from purify.analysis.photo_evidence import PhotoShares, _Groups, once_in_a_photo
from purify.analysis.verdicts import analyze
from purify.config import AnalyzeConfig


def by_subsets(p: list[float], shares: PhotoShares) -> list[float]:
    """The posterior by its definition: the prior of the number of faces in place of that of each face for itself."""
    share, count = float(np.mean(p)), len(p)
    likelihood = [value / (1 - value) * (1 - share) / share for value in p]
    alone = {s: np.prod([share if one else 1 - share for one in s]) for s in product((0, 1), repeat=count)}
    several = sum(weight for s, weight in alone.items() if sum(s) > 1)
    weights = {}
    for s, weight in alone.items():
        prior = (shares.never, shares.once / count, shares.more * weight / several)[min(sum(s), 2)]
        weights[s] = prior * np.prod([value for one, value in zip(s, likelihood, strict=True) if one])
    whole = sum(weights.values())
    return [sum(w for s, w in weights.items() if s[i]) / whole for i in range(count)]


@given(
    st.lists(st.floats(0.01, 0.99), min_size=2, max_size=6),
    st.tuples(st.floats(0.01, 1), st.floats(0.01, 1), st.floats(0.01, 1)),
)
def test_it_is_the_sum_over_the_subsets_of_a_photo(p: list[float], weights: tuple[float, float, float]) -> None:
    shares = PhotoShares(*(weight / sum(weights) for weight in weights))
    zeros = np.zeros(len(p), int)
    found = _Groups.of(np.array(p), zeros, zeros).probabilities(shares)
    assert found == pytest.approx(by_subsets(p, shares), abs=1e-6)


def test_only_faces_of_one_photo_under_one_label_speak_of_each_other() -> None:
    p = np.array([0.9, 0.9, 0.9, 0.9, np.nan, 0.9])
    photo, label = np.array([0, 0, 0, 1, 1, -1]), np.array([0, 0, 1, 0, 0, 0])
    found = once_in_a_photo(p, photo, label)
    assert found[[2, 3, 5]].tolist() == [0.9, 0.9, 0.9]
    assert np.isnan(found[4])
    assert found[0] == found[1] < 0.8


def drawn(photos: int, faces: int, never: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Faces of drawn photos: probabilities of a judge that sees each for itself, photos, and the truth."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((photos, faces), bool)
    truth[np.arange(photos), rng.integers(0, faces, photos)] = rng.random(photos) > never
    share = truth.mean()
    score = rng.normal(np.where(truth, 1.2, -1.2), 1)  # log likelihood ratio: 2.4 times the score
    odds = np.exp(2.4 * score) * share / (1 - share)
    return (odds / (1 + odds)).ravel(), np.repeat(np.arange(photos), faces), truth.ravel()


@pytest.mark.parametrize(("faces", "never"), [(2, 0.05), (4, 0.3), (12, 0.1)])
def test_fewer_errors_and_true_probabilities_on_drawn_photos(faces: int, never: float) -> None:
    p, photo, truth = drawn(600, faces, never, seed=faces)
    found = once_in_a_photo(p, photo, np.zeros(len(p), int))
    before, after = ((guess > 0.5) != truth for guess in (p, found))
    assert after.sum() < 0.9 * before.sum()
    assert (found > 0.5)[truth].mean() >= (p > 0.5)[truth].mean()  # and not by losing the right ones
    assert found.mean() == pytest.approx(truth.mean(), abs=0.02)
    sure = found > 0.9
    assert truth[sure].mean() == pytest.approx(found[sure].mean(), abs=0.02)


def test_both_sure_faces_of_a_mirror_stay_likely_among_other_photos() -> None:
    p, photo, _ = drawn(200, 2, 0.1, seed=1)
    p, photo = np.append(p, [0.9999, 0.9999]), np.append(photo, [200, 200])
    found = once_in_a_photo(p, photo, np.zeros(len(p), int))
    assert (found[-2:] > 0.9).all()


def test_a_crowd_has_finite_probabilities() -> None:
    crowd = np.zeros(400, int)
    for p in (1.0, 0.5, 0.0):
        found = once_in_a_photo(np.full(400, p), crowd, crowd)
        assert np.isfinite(found).all()
        assert ((found >= 0) & (found <= 1)).all()
    assert len(once_in_a_photo(np.zeros(0), crowd[:0], crowd[:0])) == 0


def test_the_rule_errs_less_where_it_knows_which_faces_share_a_photo() -> None:
    rng = np.random.default_rng(0)
    people, photos, dim = 20, 12, 24
    centers = rng.normal(size=(people, dim))
    label = np.repeat(np.arange(people), 2 * photos)
    right = np.arange(len(label)) % 2 == 0  # of each photo, one face is the person, and one somebody else
    shown = np.where(right[:, None], centers[label], rng.normal(size=(len(label), dim)))
    vectors = (shown + 0.9 * rng.normal(size=shown.shape)).astype(np.float32)
    names = [f"p{number:02}" for number in range(people)]
    ids = [f"{row:04}" for row in range(len(label))]

    def errors(photo: list[str | None] | None) -> int:
        given = [names[number] for number in label]
        found = analyze(ids, given, vectors, names, AnalyzeConfig(), space=None, photos=photo).verdicts
        return int(((found["p_clean"].to_numpy() >= 0.5) != right).sum())

    alone, together = errors(None), errors([f"photo {row // 2}" for row in range(len(label))])
    assert 0 < together < 0.9 * alone
    assert errors([None] * len(label)) == alone
