"""What the calibrated rule does with its probabilities: relations that hold for every image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from purify.analysis.projection import fit_subcenters
from purify.analysis.rules.calibrated import judge
from purify.analysis.rules.rule import Outcome
from purify.analysis.subcenters import SubcenterSpace
from purify.analysis.verdicts import Analysis, analyze
from purify.config import AnalyzeConfig
from purify.embedding.store import read_embeddings
from purify.errors import InputError
from purify.evaluation.detection import score_verdicts
from purify.tables.schema import CLASS_REPORT, VERDICTS, Decision, Reason


def blur(made, amount: float):
    """The same images as directions, less alike: some become doubtful."""
    direction = made.embeddings / np.linalg.norm(made.embeddings, axis=1, keepdims=True)
    blurred = direction + amount * np.random.default_rng(3).normal(size=direction.shape)
    return replace(made, embeddings=blurred.astype(np.float32))


@pytest.fixture(scope="module")
def data(make_noisy_set):
    """60 people, a third of the labels wrong, some images doubtful."""
    return blur(make_noisy_set(3, classes=60, images=30, dim=32, noise=0.36), 0.135)


def decide(data, **config) -> Outcome:
    return judge(
        data.embeddings, data.label_index, classes=len(data.class_labels), config=AnalyzeConfig(**config), seed=0
    ).outcome


def verdicts(data, order=None, *, seed=0, **config) -> Analysis:
    order = np.arange(len(data.labels)) if order is None else order
    return analyze(
        [data.sample_ids[i] for i in order],
        [data.labels[i] for i in order],
        data.embeddings[order],
        data.class_labels,
        AnalyzeConfig(**config),
        space=SubcenterSpace(data.embeddings[order], data.subcenters),
        seed=seed,
    )


def test_the_set_has_every_decision_to_speak_of(data) -> None:
    outcome = decide(data)
    counts = {decision: int((outcome.decision == decision).sum()) for decision in ("keep", "relabel", "drop")}
    assert min(counts.values()) > 50
    assert ((outcome.p_clean > 0.1) & (outcome.p_clean < 0.9)).sum() > 5


def test_decision_reason_and_probabilities_agree(data) -> None:
    outcome = decide(data)
    relabel, drop, keep = (outcome.decision == d.value for d in (Decision.RELABEL, Decision.DROP, Decision.KEEP))
    assert (relabel | drop | keep).all()
    assert (outcome.p_clean[keep] >= 0.5).all()
    assert (outcome.p_clean[relabel | drop] < 0.5).all()
    assert (outcome.p_other[relabel] >= 0.8).all()
    assert (outcome.new_label[relabel] == outcome.other[relabel]).all()
    assert (outcome.new_label[~relabel] == -1).all()
    assert (outcome.p_other[drop] < 0.8).all()
    assert (outcome.new_label[relabel] != data.label_index[relabel]).all()
    assert set(outcome.reason[relabel]) == {Reason.CLOSER_TO_OTHER_LABEL.value}
    assert set(outcome.reason[keep]) == {Reason.NEAR_DOMINANT.value}
    assert set(outcome.reason[drop]) <= {Reason.OPEN_SET.value, Reason.CLOSER_TO_OTHER_LABEL.value}
    assert (outcome.p_clean + outcome.p_other <= 1 + 1e-6).all()


def test_relabeled_images_get_their_true_label(data) -> None:
    outcome = decide(data)
    relabel = outcome.decision == Decision.RELABEL.value
    assert (outcome.new_label[relabel] == data.true_index[relabel]).mean() > 0.98
    flipped = (data.true_index >= 0) & (data.true_index != data.label_index)
    assert relabel[flipped].mean() > 0.9


def test_more_precision_removes_a_part_of_what_less_removes(data) -> None:
    wrong = data.true_index != data.label_index
    removed = {p: decide(data, precision=p).decision != Decision.KEEP.value for p in (0.6, 0.9, 0.95, 0.99)}
    for less, more in ((0.6, 0.9), (0.9, 0.95), (0.95, 0.99)):
        assert (removed[less] | ~removed[more]).all()
    for precision, mask in removed.items():
        assert wrong[mask].mean() >= precision - 0.03
    assert removed[0.6].sum() > 1.2 * wrong.sum()  # what is asked for is what is given: the rest is right labels


def test_refusal_says_what_to_do(make_noisy_set) -> None:
    clean = make_noisy_set(1, classes=40, images=12, dim=48, noise=0)
    with pytest.raises(InputError, match="leave --precision out, or lower it"):
        decide(clean, precision=0.99)


@pytest.mark.parametrize("budget", [0, 1, 25])
def test_budget_changes_the_least_certain_and_nothing_else(data, budget) -> None:
    plain, asked = decide(data), decide(data, review_budget=budget)
    review = asked.decision == Decision.REVIEW.value
    assert review.sum() == budget
    doubt = np.minimum(plain.p_clean, 1 - plain.p_clean)
    assert set(np.flatnonzero(review)) == set(np.argsort(-doubt, kind="stable")[:budget])
    for name in ("decision", "reason", "new_label"):
        np.testing.assert_array_equal(getattr(asked, name)[~review], getattr(plain, name)[~review])
    np.testing.assert_array_equal(asked.p_clean, plain.p_clean)


def test_a_budget_larger_than_the_set_asks_about_all(data) -> None:
    asked = decide(data, review_budget=10**6)
    assert set(asked.decision) == {Decision.REVIEW.value}
    assert (asked.new_label == -1).all()


def test_hard_faces_stay_and_are_said_to_be_doubtful(data) -> None:
    plain, careful = decide(data), decide(data, keep_hard=True)
    removed, still = plain.decision != Decision.KEEP.value, careful.decision != Decision.KEEP.value
    assert (removed | ~still).all()
    spared = removed & ~still
    assert set(careful.reason[spared]) <= {Reason.UNCERTAIN.value}
    assert (careful.p_clean[spared] >= 0.05).all()
    relabel = plain.decision == Decision.RELABEL.value
    np.testing.assert_array_equal(careful.decision[relabel], plain.decision[relabel])


@pytest.mark.parametrize("min_images", [3, 31])
def test_no_image_of_a_class_below_the_least_size_is_dropped(data, min_images) -> None:
    outcome, plain = decide(data, min_images=min_images), decide(data)
    small = np.bincount(data.label_index)[data.label_index] < min_images
    assert not (small & (outcome.decision == Decision.DROP.value)).any()
    left = small & (plain.decision == Decision.DROP.value)
    assert (outcome.reason[left] == Reason.TOO_FEW_TO_JUDGE.value).all()
    dropped = plain.decision == Decision.DROP.value
    assert (outcome.decision[small & dropped] == Decision.REVIEW.value).all()
    np.testing.assert_array_equal(outcome.decision[~(small & dropped)], plain.decision[~(small & dropped)])


def test_tables_of_the_calibrated_rule_have_their_schemas(data) -> None:
    analysis = verdicts(data, review_budget=10)
    table = analysis.verdicts
    assert table.schema.equals(VERDICTS, check_metadata=True)
    assert analysis.class_report.schema.equals(CLASS_REPORT, check_metadata=True)
    table.validate(full=True)
    assert table["sample_id"].to_pylist() == data.sample_ids
    assert set(table["decision"].to_pylist()) <= set(Decision)
    assert set(table["reason"].to_pylist()) <= set(Reason)
    assert set(table["rule"].to_pylist()) == {"calibrated/7"}
    for row in table.to_pylist():
        assert (row["new_label"] is not None) == (row["decision"] == "relabel")
        assert row["new_label"] in (None, row["other_label"])
    noise = dict(zip(data.class_labels, analysis.class_report["noise_rate"].to_pylist(), strict=True))
    p_clean, label = table["p_clean"].to_numpy(), np.array(table["label"].to_pylist())
    for name, rate in noise.items():
        assert rate == pytest.approx(1 - p_clean[label == name].mean(), abs=1e-5)


def test_rows_in_another_order_and_another_scale_get_the_same_verdicts(data) -> None:
    straight = verdicts(data)
    order = np.random.default_rng(2).permutation(len(data.labels))
    shuffled = verdicts(data, order)
    assert shuffled.verdicts.equals(straight.verdicts.take(pa.array(order)))
    assert shuffled.class_report.equals(straight.class_report)
    for scale in (1e-3, 1e3):
        scaled = verdicts(replace(data, embeddings=data.embeddings * np.float32(scale))).verdicts
        assert scaled["decision"].equals(straight.verdicts["decision"])
        assert scaled["new_label"].equals(straight.verdicts["new_label"])
        np.testing.assert_allclose(scaled["p_clean"].to_numpy(), straight.verdicts["p_clean"].to_numpy(), atol=1e-3)


def test_classes_of_one_image_each_among_others_are_kept(data) -> None:
    """A label with one image has nothing that speaks against it."""
    rng = np.random.default_rng(9)
    embeddings = np.r_[data.embeddings, rng.normal(size=(8, 32)).astype(np.float32)]
    alone = np.arange(60, 68)
    outcome = judge(embeddings, np.r_[data.label_index, alone], classes=68, config=AnalyzeConfig(), seed=0).outcome
    assert set(outcome.decision[-8:]) == {Decision.KEEP.value}
    assert set(outcome.reason[-8:]) == {Reason.TOO_FEW_TO_JUDGE.value}
    assert np.isfinite(outcome.p_clean).all()


def test_a_set_with_one_image_in_each_class_is_kept() -> None:
    """There is nothing that a label could be compared with, so nothing is judged."""
    embeddings = np.random.default_rng(0).normal(size=(10, 16)).astype(np.float32)
    names = [f"label {i}" for i in range(10)]
    space = SubcenterSpace(embeddings, embeddings[:, None])
    table = analyze(names, names, embeddings, names, AnalyzeConfig(), space=space).verdicts
    assert set(table["decision"].to_pylist()) == {Decision.KEEP.value}
    assert set(table["rule"].to_pylist()) == {"unjudged/1"}


def test_embeddings_that_tell_nobody_apart_are_left_to_the_fixed_angle(data) -> None:
    rng = np.random.default_rng(5)
    blind = replace(data, embeddings=rng.normal(size=data.embeddings.shape).astype(np.float32))
    assert set(verdicts(blind).verdicts["rule"].to_pylist()) == {"official/1"}
    with pytest.raises(InputError, match="hardly tell people apart"):
        verdicts(blind, precision=0.6)


@pytest.mark.slow
def test_real_faces_from_embeddings_to_figures(faces) -> None:
    """As the flow does it: evidence from the projection, probabilities from the extractor's own embeddings."""
    manifest = pq.read_table(faces / "noisy" / "mixed35.parquet")
    ids, labels = manifest["path"].to_pylist(), manifest["label"].to_pylist()
    names, index = np.unique(np.asarray(labels, dtype=object), return_inverse=True)
    embeddings = read_embeddings(faces / "dlib_embeddings.parquet", ids)
    projected, subcenters = fit_subcenters(embeddings, index, classes=len(names), seed=0)
    space = SubcenterSpace(projected, subcenters)
    table = analyze(ids, labels, embeddings, names.tolist(), AnalyzeConfig(), space=space).verdicts
    figures = score_verdicts(table, manifest)
    assert figures["f1"] >= 0.985
    assert figures["clean_kept"] >= 0.99
    assert figures["ece"] <= 0.02
    assert figures["relabel_accuracy"] >= 0.98
