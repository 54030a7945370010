"""The calibrated rule, from embeddings to decisions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq
import pytest

from purify.analysis.label_noise.calibration import calibrate
from purify.analysis.label_noise.centering import centered
from purify.analysis.label_noise.gallery import Gallery
from purify.analysis.rules.calibrated import judge
from purify.analysis.subcenters import SubcenterSpace
from purify.analysis.verdicts import Analysis, analyze
from purify.config import AnalyzeConfig
from purify.embedding.store import read_embeddings
from purify.errors import InputError
from purify.evaluation.detection import detection_figures
from purify.tables.schema import Decision, Flag, Reason


@dataclass(frozen=True)
class People:
    """Invented people: `embeddings`, the label given to each image, and who it shows (-1: nobody with a label)."""

    embeddings: np.ndarray
    label: np.ndarray
    person: np.ndarray

    @property
    def wrong(self) -> np.ndarray:
        return self.label != self.person


def people(*, classes=60, images=15, flips=0.0, strangers=0.0, dim=64, spread=1.0, seed=0) -> People:
    rng = np.random.default_rng(seed)
    center = rng.normal(size=(classes, dim))
    person = np.repeat(np.arange(classes), images)
    label = np.where(
        rng.random(len(person)) < flips, (person + rng.integers(1, classes, len(person))) % classes, person
    )
    shown = center[person]
    unknown = rng.random(len(person)) < strangers
    shown[unknown] = rng.normal(size=(unknown.sum(), dim))
    embeddings = shown + spread * rng.normal(size=shown.shape)
    return People(embeddings.astype(np.float32), label, np.where(unknown, -1, person))


def figures(data: People, **config) -> dict:
    classes = int(data.label.max()) + 1
    outcome = judge(data.embeddings, data.label, classes=classes, config=AnalyzeConfig(**config), seed=0).outcome
    return detection_figures(outcome.p_clean, outcome.decision != "keep", data.wrong)


def verdicts(data: People, order=None, **config) -> Analysis:
    order = np.arange(len(data.label)) if order is None else order
    names = [f"{label:03d}" for label in range(int(data.label.max()) + 1)]
    center = np.stack([data.embeddings[data.label == k].mean(axis=0) for k in range(len(names))])
    return analyze(
        [f"{i:05d}" for i in order],
        [names[data.label[i]] for i in order],
        data.embeddings[order],
        names,
        AnalyzeConfig(**config),
        space=SubcenterSpace(data.embeddings[order], center[:, None].astype(np.float32)),
    )


@pytest.mark.parametrize(
    ("flips", "strangers"), [(0.15, 0.0), (0.0, 0.3), (0.2, 0.15), (0.45, 0.0)], ids=["few", "open", "both", "many"]
)
@pytest.mark.parametrize("dim", [32, 256])
def test_wrong_labels_are_found_without_a_noise_rate(flips, strangers, dim) -> None:
    data = people(flips=flips, strangers=strangers, dim=dim)
    found = figures(data)
    assert found["f1"] > 0.97
    assert found["clean_kept"] > 0.985
    assert found["average_precision"] > 0.995
    assert found["ece"] < 0.03
    share = calibrate(centered(data.embeddings), data.label, classes=60, near_duplicate=0.98, seed=0).noise_share
    assert share == pytest.approx(data.wrong.mean(), abs=0.05)


@pytest.mark.parametrize(("classes", "images", "spread"), [(60, 15, 1.0), (300, 4, 0.8), (10, 80, 1.3)])
def test_a_clean_set_stays_whole(classes, images, spread) -> None:
    assert figures(people(classes=classes, images=images, spread=spread))["clean_kept"] > 0.995


def test_many_small_classes() -> None:
    found = figures(people(classes=800, images=5, flips=0.2, spread=0.7))
    assert found["f1"] > 0.95
    assert found["clean_kept"] > 0.995


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_scale_does_not_matter(scale) -> None:
    data = people(flips=0.2, strangers=0.1)
    other = People(data.embeddings * np.float32(scale), data.label, data.person)
    a, b = (judge(d.embeddings, d.label, classes=60, config=AnalyzeConfig(), seed=0).outcome for d in (data, other))
    assert (a.decision == b.decision).all()
    np.testing.assert_allclose(a.p_clean, b.p_clean, atol=1e-3)


def test_order_of_rows_and_repetition_do_not_matter() -> None:
    data = people(flips=0.2, strangers=0.1)
    first, again = verdicts(data), verdicts(data)
    assert first.verdicts.equals(again.verdicts)
    assert first.class_report.equals(again.class_report)
    order = np.random.default_rng(1).permutation(len(data.label))
    shuffled = verdicts(data, order)
    assert shuffled.verdicts.sort_by("sample_id").equals(first.verdicts.sort_by("sample_id"))
    assert shuffled.class_report.equals(first.class_report)


def test_companions_do_not_vouch_for_each_other() -> None:
    data = people(classes=40, images=12, flips=0.05, dim=64)
    intruders = np.flatnonzero(data.person == 7)[:4]
    label = data.label.copy()
    label[intruders] = 3
    outcome = judge(data.embeddings, label, classes=40, config=AnalyzeConfig(), seed=0).outcome
    assert (outcome.decision[intruders] != Decision.KEEP.value).all()
    relabeled = outcome.decision[intruders] == Decision.RELABEL.value
    assert relabeled.sum() >= 3
    assert (outcome.new_label[intruders][relabeled] == 7).all()


def test_flips_are_brought_home_and_strangers_are_not() -> None:
    data = people(flips=0.2, strangers=0.15)
    outcome = judge(data.embeddings, data.label, classes=60, config=AnalyzeConfig(), seed=0).outcome
    relabeled = outcome.decision == Decision.RELABEL.value
    assert (outcome.new_label[relabeled] == data.person[relabeled]).mean() > 0.98
    flipped = data.wrong & (data.person >= 0)
    assert (relabeled & flipped).sum() > 0.9 * flipped.sum()
    dropped = outcome.decision == Decision.DROP.value
    assert (outcome.reason[dropped & (data.person < 0)] == Reason.OPEN_SET.value).mean() > 0.9


@pytest.mark.parametrize("precision", [0.9, 0.95, 0.99])
def test_precision_that_was_asked_for_is_met(precision) -> None:
    data = people(classes=80, images=25, flips=0.2, strangers=0.15, spread=1.5, dim=48)
    found = figures(data, precision=precision)
    assert found["precision"] == pytest.approx(precision, abs=0.03)


def test_precision_that_the_data_cannot_support_is_refused() -> None:
    with pytest.raises(InputError, match=r"can't support precision 0.95: only \d+ of 900"):
        figures(people(), precision=0.95)


def test_review_budget_is_spent_on_the_least_certain() -> None:
    data = people(flips=0.2, strangers=0.1, spread=1.6)
    plain, asked = (
        judge(data.embeddings, data.label, classes=60, config=AnalyzeConfig(review_budget=n), seed=0).outcome
        for n in (0, 30)
    )
    chosen = asked.decision == Decision.REVIEW.value
    assert chosen.sum() == (plain.decision == Decision.REVIEW.value).sum() + 30
    assert (asked.reason[chosen] == Reason.UNCERTAIN.value).all()
    assert (asked.new_label[chosen] == -1).all()
    doubt = np.minimum(asked.p_clean, 1 - asked.p_clean)
    assert doubt[chosen].min() >= doubt[~chosen].max()


def test_keep_hard_removes_fewer() -> None:
    data = people(flips=0.1, strangers=0.2, spread=1.8)
    plain, careful = (
        judge(data.embeddings, data.label, classes=60, config=AnalyzeConfig(keep_hard=hard), seed=0).outcome.decision
        != Decision.KEEP.value
        for hard in (False, True)
    )
    assert (plain | ~careful).all()
    assert 0 < careful.sum() < plain.sum()


def test_two_people_under_one_label_and_one_under_two() -> None:
    data = people(classes=50, images=24, flips=0.05)
    label = data.label.copy()
    label[np.flatnonzero(data.person == 10)[:9]] = 11  # 11 stands for two people
    second = np.flatnonzero((data.person == 20) & (label == 20))[12:]
    label[second] = 10  # and 10 now stands for person 20, who is 20 as well
    label[(data.person == 10) & (label == 10)] = 49
    mixed = People(data.embeddings, label, data.person)
    analysis = verdicts(mixed)
    report = {row["label"]: row for row in analysis.class_report.to_pylist()}
    rows = analysis.verdicts.to_pylist()

    assert report["011"]["flag"] == Flag.MIXED
    large, small = report["011"]["split"]
    assert len(large) > len(small)
    assert np.mean([data.person[int(i)] == 11 for i in large]) > 0.9
    assert np.mean([data.person[int(i)] == 10 for i in small]) > 0.9
    assert {rows[int(i)]["decision"] for i in small} <= {"review", "relabel"}

    assert report["020"]["flag"] == Flag.DUPLICATE_OF or report["010"]["flag"] == Flag.DUPLICATE_OF
    assert [partner["label"] for partner in report["010"]["merge_with"]] == ["020"]
    assert [partner["label"] for partner in report["020"]["merge_with"]] == ["010"]
    assert set(report["010"]["merge_with"][0]["evidence_ids"]) <= {row["sample_id"] for row in rows}
    moved = [row for row in rows if row["reason"] == "duplicate_of"]
    assert len(moved) > 8
    assert {row["new_label"] for row in moved} <= {"010", "020"}
    assert all(row["decision"] == "relabel" and row["p_clean"] < 0.1 for row in moved)


def test_labels_of_one_image_are_spared_and_those_of_two_judged() -> None:
    data = people(classes=60, images=10, flips=0.1)
    rng = np.random.default_rng(3)
    label = np.r_[data.label, 60, 61, 61]
    strangers = np.sqrt(2) * rng.normal(size=(3, 64))  # as long as the others: a person and the variation
    embeddings = np.r_[data.embeddings, strangers.astype(np.float32)]
    analysis = verdicts(People(embeddings, label, label))
    alone, *pair = analysis.verdicts.to_pylist()[-3:]
    assert (alone["decision"], alone["reason"]) == ("keep", "too_few_to_judge")
    assert all(row["p_clean"] < 0.9 for row in pair)  # two images of two people can't both be right


def test_two_labels_are_kept_and_the_reason_is_said() -> None:
    analysis = verdicts(people(classes=2, images=20))
    assert set(analysis.verdicts["rule"].to_pylist()) == {"unjudged/1"}
    assert set(analysis.verdicts["decision"].to_pylist()) == {Decision.KEEP}
    assert "only 2 labels have two different pictures or more" in analysis.why
    assert not analysis.probabilities


def test_meaningless_embeddings_are_noticed() -> None:
    """The few images of a label that are alike by chance must not be taken for its person."""
    rng = np.random.default_rng(0)
    for labels, images, dim in ((25, 12, 32), (100, 20, 128)):
        embeddings = rng.normal(size=(labels * images, dim)).astype(np.float32)
        judged = judge(embeddings, np.repeat(np.arange(labels), images), classes=labels, config=AnalyzeConfig(), seed=0)
        assert judged.recognized == 0


def test_the_fixed_angle_never_drops_more_than_the_estimated_noise() -> None:
    data = people(flips=0.3, spread=4.0)
    judged = judge(data.embeddings, data.label, classes=60, config=AnalyzeConfig(), seed=0)
    asked, plain = (verdicts(data, threshold=20, rule=rule).verdicts.to_pylist() for rule in ("calibrated", "official"))
    assert {row["rule"] for row in asked} == {"official/1"}
    dropped = [row for row in asked if row["decision"] == Decision.DROP]
    spared = [row for row in asked if row["reason"] == Reason.UNCERTAIN]
    assert len(dropped) == pytest.approx(judged.noise_share * len(asked), rel=0.05)  # other random draws
    assert len(dropped) + len(spared) == sum(row["decision"] == Decision.DROP for row in plain)
    assert min(row["p_clean"] for row in spared) >= max(row["p_clean"] for row in dropped)
    assert {row["decision"] for row in spared} == {Decision.KEEP}


def test_log_ratio_is_that_of_the_two_gaussians() -> None:
    data = people(classes=30, images=8, dim=16)
    gallery = Gallery(centered(data.embeddings), data.label, np.ones(240), 30, rng=np.random.default_rng(0))
    model, n = gallery.model, 8
    coordinates = model.coordinates(gallery.vectors)
    means = np.stack([coordinates[data.label == k].mean(axis=0) for k in range(30)])
    x, mean = coordinates[0].astype(float), means[3].astype(float)
    psi = model.psi.astype(float)
    # p(x, images) / p(x) p(images) for images of one person: the posterior of the person given their mean.
    center, variance = psi * n / (1 + psi * n) * mean, 1 + psi / (1 + psi * n)
    same = -0.5 * np.sum((x - center) ** 2 / variance + np.log(2 * np.pi * variance))
    alone = -0.5 * np.sum(x**2 / (1 + psi) + np.log(2 * np.pi * (1 + psi)))
    assert model.log_ratio(x.astype(np.float32), mean.astype(np.float32), np.float64(n)) == pytest.approx(
        same - alone, rel=1e-4
    )
    form = model.class_forms(mean[None].astype(np.float32), np.array([8.0]))[0]
    product = model.quadratic(x[None].astype(np.float32))[0] @ form[:-1] + form[-1]
    assert product == pytest.approx(same - alone, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "f1"),
    [
        *[("clean", None), ("light", 0.98), ("mixed35", 0.99), ("heavy", 0.99), ("closed40", 0.99)],
        ("open40", 0.985),
    ],
)
def test_real_faces(faces, name, f1) -> None:
    table = pq.read_table(faces / "noisy" / f"{name}.parquet").to_pydict()
    names, label = np.unique(np.asarray(table["label"], object), return_inverse=True)
    wrong = np.array([a != b for a, b in zip(table["label"], table["true_label"], strict=True)])
    vectors = read_embeddings(faces / "dlib_embeddings.parquet", table["path"])
    judged = judge(vectors, label, classes=len(names), config=AnalyzeConfig(), seed=0)
    outcome = judged.outcome
    found = detection_figures(outcome.p_clean, outcome.decision != "keep", wrong)
    assert found["clean_kept"] >= (0.99 if f1 else 0.995)
    assert found["ece"] <= 0.02
    structure = outcome.structure
    assert structure is not None
    assert structure.mixed.sum() + len(structure.merges) <= 1
    if f1:
        assert found["f1"] >= f1
        assert found["average_precision"] >= 0.997
    if name in ("light", "mixed35", "heavy"):
        relabeled = np.flatnonzero(outcome.decision == Decision.RELABEL.value)
        home = np.array([names[outcome.new_label[i]] == table["true_label"][i] for i in relabeled])
        assert home.mean() >= 0.98
        assert home.sum() >= 0.9 * table["kind"].count("flip")


@pytest.mark.slow
def test_class_structure_of_real_faces(faces) -> None:
    table = pq.read_table(faces / "noisy" / "structure.parquet").to_pydict()
    names, label = np.unique(np.asarray(table["label"], object), return_inverse=True)
    vectors = read_embeddings(faces / "dlib_embeddings.parquet", table["path"])
    structure = judge(vectors, label, classes=len(names), config=AnalyzeConfig(), seed=0).outcome.structure
    assert structure is not None
    kind, truth = np.array(table["kind"]), np.asarray(table["true_label"], object)
    mixed = np.unique(label[kind == "mixed"])
    assert set(np.flatnonzero(structure.mixed)) <= set(mixed)
    assert structure.mixed[mixed].mean() >= 0.9
    for klass in np.flatnonzero(structure.mixed):
        rows = (label == klass) & np.isin(structure.group, (0, 1))
        intruders = rows & (kind == "mixed")
        rightful = rows & (truth == names[klass])
        side = structure.group[intruders]
        right = max(np.mean(side == g) * len(side) + np.sum(structure.group[rightful] == 1 - g) for g in (0, 1))
        assert right >= 0.9 * (intruders.sum() + rightful.sum())
    pairs = {frozenset((names[m.label], names[m.into])) for m in structure.merges}
    wanted = {frozenset((name, name.removesuffix("__2"))) for name in names if name.endswith("__2")}
    assert pairs <= wanted
    assert len(pairs) >= 0.9 * len(wanted)
