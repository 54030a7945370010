from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from purify.evaluation.gain import compare_models
from purify.evaluation.intervals import interval, weighted_auc
from purify.evaluation.pair_figures import resamples
from purify.evaluation.people import People, linked_images, people_of
from purify.evaluation.people_bootstrap import resample_people
from purify.tables.pairs import Pairs, new_folds, person_of


def pairs_of(rows: list[tuple[str, str, int]]) -> Pairs:
    a, b, same = zip(*rows, strict=True)
    truth = np.array(same, bool)
    people = [tuple(map(person_of, side)) for side in (a, b)]
    return Pairs("p.csv", a, b, *people, truth, new_folds(truth), given=len(rows), missing=0)


def test_folders_and_same_pairs_tell_who_is_who() -> None:
    pairs = pairs_of([("x/a/1", "x/a/2", 1), ("x/a/3", "flat1", 1), ("x/b/1", "x/a/1", 0), ("flat2", "flat3", 0)])
    whose = linked_images(pairs)
    assert len({whose[name] for name in ("x/a/1", "x/a/2", "x/a/3", "flat1")}) == 1
    assert len(set(whose.values())) == 4
    people = people_of(pairs)
    assert people.count == 4
    assert (people.a == people.b).tolist() == pairs.same.tolist()


def test_a_folder_of_several_people_is_no_person() -> None:
    pairs = pairs_of([("all/1", "all/2", 1), ("all/3", "all/4", 1), ("all/1", "all/3", 0)])
    assert people_of(pairs).count == 2


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.booleans()), min_size=1, max_size=30))
def test_linked_people_are_the_connected_components(edges: list[tuple[int, int, bool]]) -> None:
    pairs = pairs_of([(f"i{a}", f"i{b}", int(same)) for a, b, same in edges])
    whose = linked_images(pairs)
    groups = {name: {name} for name in whose}
    for a, b, same in edges:
        if same:
            joined = groups[f"i{a}"] | groups[f"i{b}"]
            for name in joined:
                groups[name] = joined
    for name, group in groups.items():
        assert {other for other in whose if whose[other] == whose[name]} == group


def test_a_pair_is_drawn_as_often_as_its_people() -> None:
    people = People(np.array([0, 0, 1, 2]), np.array([0, 1, 2, 2]), 3)
    same = np.array([True, False, False, True])
    weights = np.concatenate(list(resample_people(people, same, samples=500, seed=3)))
    assert weights.shape == (500, 4)
    first, last = weights[:, 0], weights[:, 3]
    middle = 3 - first - last  # three draws of three people
    np.testing.assert_array_equal(weights[:, 1], first * middle)
    np.testing.assert_array_equal(weights[:, 2], middle * last)
    assert weights[:, same].any(axis=1).all()
    assert weights[:, ~same].any(axis=1).all()
    again = np.concatenate(list(resample_people(people, same, samples=500, seed=3)))
    np.testing.assert_array_equal(weights, again)


def _clustered(rng: np.random.Generator, people: int, per_person: int) -> tuple[People, np.ndarray, np.ndarray]:
    """Same pairs of people some of whom are hard, and as many different pairs of an equal spread."""
    person = np.repeat(np.arange(people), per_person)
    other = (person + rng.integers(1, people, len(person))) % people
    ease = rng.normal(0, 1, people)
    same = np.r_[np.ones(len(person), bool), np.zeros(len(person), bool)]
    scores = np.r_[1 + ease[person] + 0.3 * rng.normal(size=len(person)), 1.05 * rng.normal(size=len(person))]
    return People(np.r_[person, person], np.r_[person, other], people), same, scores


def test_intervals_over_people_cover_where_those_over_pairs_are_too_narrow() -> None:
    truth = float(np.mean([_auc(*_clustered(np.random.default_rng([9, i]), 400, 10)[1:]) for i in range(20)]))
    inside = {"people": 0, "pairs": 0}
    for trial in range(60):
        people, same, scores = _clustered(np.random.default_rng(trial), 40, 10)
        for kind, who in (("people", people), ("pairs", None)):
            weights = np.concatenate(list(resamples(same, who, samples=100, seed=1)))
            low, high = interval(weighted_auc(scores, same, weights))
            inside[kind] += low <= truth <= high
    assert inside["people"] >= 52
    assert inside["pairs"] < 45


def test_models_are_compared_on_resampled_people() -> None:
    people, same, scores = _clustered(np.random.default_rng(0), 40, 10)
    models, folds = {"raw": np.tanh(scores), "purified": np.tanh(scores + 0.5 * same)}, new_folds(same)
    sizes, intervals = {"raw": 1, "purified": 1}, []
    for kind, who in (("people", people), ("pairs", None)):
        result = compare_models(models, same, folds, sizes, bootstrap=100, seed=1, people=who)
        assert result["resampled"] == kind
        assert result["differences"]["purified-raw"]["finding"] == "better"
        intervals.append(result["models"]["raw"]["auc_interval"])
    assert np.diff(intervals[0]) > 1.3 * np.diff(intervals[1])


def _auc(same: np.ndarray, scores: np.ndarray) -> float:
    return float(weighted_auc(scores, same, np.ones((1, len(same))))[0])


def test_one_person_more_or_less_is_not_nothing() -> None:
    people, same, scores = _clustered(np.random.default_rng(0), 12, 4)
    weights = np.concatenate(list(resample_people(people, same, samples=300, seed=0)))
    low, high = interval(weighted_auc(scores, same, weights))
    assert low < _auc(same, scores) < high
    assert high - low == pytest.approx(0.3, abs=0.2)
