"""Evidence of the head that learned the labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from purify.analysis.label_noise.calibration import calibrate
from purify.analysis.label_noise.initial_trust import recognized_places
from purify.analysis.label_noise.learned_labels import learned_labels
from purify.analysis.rules.calibrated import judge
from purify.analysis.rules.rule import RuleContext
from purify.analysis.search import unit
from purify.analysis.subcenters import SubcenterSpace
from purify.config import AnalyzeConfig
from purify.evaluation.detection import detection_figures

CLASSES, DIM = 60, 64


def _weak_network(seed: int = 0, *, spread: float, disturbance: float = 3.0) -> tuple[RuleContext, np.ndarray]:
    """45 % flips under an extractor whose strongest axes tell nobody apart, and a head that ignores them; the truth."""
    rng = np.random.default_rng(seed)
    people = np.concatenate([rng.normal(size=(CLASSES, DIM // 2)), np.zeros((CLASSES, DIM // 2))], axis=1)
    person = np.repeat(np.arange(CLASSES), 20)
    label = np.where(rng.random(len(person)) < 0.45, (person + rng.integers(1, CLASSES, len(person))) % CLASSES, person)
    noise = rng.normal(size=(len(person), DIM)) * np.repeat([spread, disturbance], DIM // 2)
    embeddings = (people[person] + noise).astype(np.float32)
    space = SubcenterSpace(unit(embeddings), unit(people.astype(np.float32))[:, None], np.ones(CLASSES, bool))
    names, ids = [f"{k:02d}" for k in range(CLASSES)], [f"{k:05d}" for k in range(len(label))]
    return RuleContext(ids, embeddings, label, names, AnalyzeConfig(), given_space=space), label != person


def _figures(context: RuleContext, wrong: np.ndarray, *, with_head: bool) -> dict:
    learned = context.learned if with_head else None
    judged = judge(
        context.embeddings, context.label_index, classes=CLASSES, config=context.config, seed=0, learned=learned
    )
    return detection_figures(judged.outcome.p_clean, judged.outcome.decision != "keep", wrong)


def test_the_margin_is_that_of_the_own_center_over_the_nearest_other() -> None:
    context, wrong = _weak_network(spread=1.0)
    learned = context.learned
    assert learned is not None
    vectors, centers = unit(context.embeddings), context.given_space.subcenters[:, 0]
    cosines, rows = (vectors @ centers.T).astype(np.float64), np.arange(len(vectors))
    own = cosines[rows, context.label_index].copy()
    cosines[rows, context.label_index] = -2
    np.testing.assert_allclose(learned.margin, own - cosines.max(axis=1), atol=1e-5)
    assert (learned.margin > 0)[~wrong].mean() > 0.9
    assert (learned.margin > 0)[wrong].mean() < 0.1


def test_axes_along_which_the_centers_do_not_differ_are_shortened() -> None:
    context, _ = _weak_network(spread=1.0)
    learned = context.learned
    before, after = context.embeddings.std(axis=0), learned.embeddings.std(axis=0)
    assert before[: DIM // 2].mean() < before[DIM // 2 :].mean()
    assert after[: DIM // 2].mean() > 1.5 * after[DIM // 2 :].mean()


def test_one_label_alone_has_an_infinite_margin_and_unstretched_axes_stay_finite() -> None:
    vectors = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    learned = learned_labels(vectors, np.zeros(5), np.full(5, np.nan), vectors[:1])
    assert np.isposinf(learned.margin).all()
    assert np.isfinite(learned.embeddings).all()


def test_the_head_finds_what_weak_embeddings_alone_do_not() -> None:
    context, wrong = _weak_network(spread=1.2)
    alone, together = (_figures(context, wrong, with_head=with_head) for with_head in (False, True))
    assert together["average_precision"] > alone["average_precision"]
    assert together["f1"] > alone["f1"]
    assert together["clean_kept"] > 0.95
    assert together["ece"] < 0.05


def test_labels_that_the_head_did_not_learn_are_judged_by_their_densest_place() -> None:
    context, wrong = _weak_network(spread=1.0, disturbance=1.0)
    space, unknown = context.given_space, np.arange(CLASSES) < 5
    context = replace(context, given_space=replace(space, learned=~unknown))
    np.testing.assert_array_equal(np.isnan(context.learned.margin), unknown[context.label_index])
    judged = judge(
        context.embeddings, context.label_index, classes=CLASSES, config=context.config, seed=0, learned=context.learned
    )
    of_unknown = unknown[context.label_index]
    right = (judged.outcome.decision == "keep") == ~wrong
    assert right[of_unknown].mean() > 0.9
    assert right[~of_unknown].mean() > 0.9


@pytest.mark.parametrize("learned", [None, np.zeros(CLASSES, bool)])
def test_fitted_centers_are_no_evidence(learned: np.ndarray | None) -> None:
    context, _ = _weak_network(spread=1.0)
    assert replace(context, given_space=replace(context.given_space, learned=learned)).learned is None


def test_a_label_whose_images_are_all_nearer_to_others_trusts_its_best_one() -> None:
    trusted = recognized_places(np.array([0.2, -0.1, 0.1, -0.3, -0.2]), np.array([0, 0, 0, 1, 1]), 2)
    assert trusted.tolist() == [1, 0, 1, 0, 1]


def test_a_head_that_recognizes_nobody_yields_no_probabilities() -> None:
    context, _ = _weak_network(spread=1.0)
    nobody = -1 - np.random.default_rng(1).random(len(context.label_index))
    found = calibrate(
        context.centered, context.label_index, classes=CLASSES, near_duplicate=0.98, seed=0, margin=nobody
    )
    assert found.recognized == 0.0
    assert found.noise_share == pytest.approx(0.15)  # the rate that the measurement starts from
