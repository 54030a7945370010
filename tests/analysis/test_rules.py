from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import SubCenterArcFaceLoss

from purify.analysis.rules.angle_rules import AngleRule
from purify.analysis.rules.registry import get_rule, rule_names
from purify.analysis.rules.rule import AngleEvidence, identifier
from purify.analysis.subcenters import SubcenterSpace
from purify.analysis.verdicts import analyze
from purify.config import AnalyzeConfig
from purify.errors import InputError


def evidence(cos_dominant: list[float], *, subcenter=0, dominant=0, cos_other=-1.0) -> AngleEvidence:
    cos = np.array(cos_dominant)
    return AngleEvidence(
        np.full(len(cos), subcenter, np.int32),
        np.full(len(cos), dominant, np.int32),
        cos,
        np.full(len(cos), 0),
        np.full(len(cos), cos_other),
    )


def angle_rule(name: str) -> AngleRule:
    rule = get_rule(name)
    assert isinstance(rule, AngleRule)
    return rule


def reference_drop(embeddings, labels, subcenters, threshold: float) -> list[bool]:
    """The public reference code, step by step and one image at a time, in float64."""
    subcenters = subcenters.astype(np.float64)
    subcenters /= np.linalg.norm(subcenters, axis=2, keepdims=True)
    cos_threshold = math.cos(threshold * math.pi / 180)
    kept = {}
    for identity in range(len(subcenters)):
        images = [i for i in range(len(labels)) if labels[i] == identity]
        features = {}
        votes = [0] * subcenters.shape[1]
        for i in images:
            feature = embeddings[i].astype(np.float64)
            features[i] = feature / math.sqrt(sum(x * x for x in feature))
            cosines = [float(sum(features[i] * w)) for w in subcenters[identity]]
            votes[cosines.index(max(cosines))] += 1
        dominant = votes.index(max(votes))
        for i in images:
            kept[i] = float(sum(features[i] * subcenters[identity][dominant])) > cos_threshold
    return [kept[i] for i in range(len(labels))]


def decide(data, rule: str = "official", threshold: float = 75.0) -> list[bool]:
    config = AnalyzeConfig(rule=rule, threshold=threshold)
    space = SubcenterSpace(data.embeddings, data.subcenters)
    analysis = analyze(data.sample_ids, data.labels, data.embeddings, data.class_labels, config, space=space)
    return [decision == "keep" for decision in analysis.verdicts["decision"].to_pylist()]


@settings(deadline=None)
@given(
    seed=st.integers(0, 10_000),
    subcenters=st.integers(1, 5),
    images=st.integers(1, 9),
    threshold=st.sampled_from([30.0, 60.0, 70.0, 75.0, 80.0, 85.0, 120.0]),
)
def test_official_is_the_reference_code(
    make_noisy_set, seed: int, subcenters: int, images: int, threshold: float
) -> None:
    data = make_noisy_set(seed, classes=4, images=images, subcenters=subcenters)
    expected = reference_drop(data.embeddings, data.label_index, data.subcenters, threshold)
    assert decide(data, threshold=threshold) == expected


@settings(deadline=None)
@given(seed=st.integers(0, 10_000), threshold=st.sampled_from([50, 75, 80]))
def test_official_drops_the_outliers_of_pytorch_metric_learning(make_noisy_set, seed: int, threshold: int) -> None:
    data = make_noisy_set(seed, subcenters=3)
    classes, per_class, dim = data.subcenters.shape
    loss = SubCenterArcFaceLoss(num_classes=classes, embedding_size=dim, sub_centers=per_class)
    with torch.no_grad():
        loss.W.copy_(torch.from_numpy(data.subcenters.reshape(classes * per_class, dim)).T)
    dropped, _ = loss.get_outliers(
        torch.from_numpy(data.embeddings), torch.from_numpy(data.label_index), threshold=threshold
    )
    keep = np.ones(len(data.labels), bool)
    keep[dropped.numpy().astype(int)] = False
    assert decide(data, threshold=threshold) == keep.tolist()


@settings(deadline=None)
@given(seed=st.integers(0, 10_000))
def test_paper_keeps_what_official_keeps_at_the_dominant_subcenter(make_noisy_set, seed: int) -> None:
    data = make_noisy_set(seed)
    config = AnalyzeConfig(rule="paper")
    space = SubcenterSpace(data.embeddings, data.subcenters)
    verdicts = analyze(data.sample_ids, data.labels, data.embeddings, data.class_labels, config, space=space).verdicts
    at_dominant = np.array(verdicts["subcenter"]) == np.array(verdicts["dominant"])
    assert decide(data, "paper") == (np.array(decide(data, "official")) & at_dominant).tolist()


@pytest.mark.parametrize("rule", ["official", "paper"])
@pytest.mark.parametrize("threshold", [30.0, 60.0, 75.0, 90.0])
def test_the_threshold_itself_is_dropped(rule: str, threshold: float) -> None:
    cut = math.cos(math.radians(threshold))
    judgment = angle_rule(rule).decide(evidence([cut, np.nextafter(cut, 1), np.nextafter(cut, -1)]), threshold)
    assert judgment.keep.tolist() == [False, True, False]


def test_an_orthogonal_image_is_dropped_at_90_degrees() -> None:
    embeddings = np.array([[0, 3], [3, 0]], np.float32)
    centers = np.array([[[1, 0]]], np.float32)
    config = AnalyzeConfig(rule="official", threshold=90)
    verdicts = analyze(
        ["x", "y"], ["a", "a"], embeddings, ["a"], config, space=SubcenterSpace(embeddings, centers)
    ).verdicts
    assert verdicts["decision"].to_pylist() == ["drop", "keep"]
    assert verdicts["angle_dominant"].to_pylist() == [90, 0]


def test_reasons() -> None:
    def reason(name: str, *args, **kwargs) -> str:
        return angle_rule(name).decide(evidence(*args, **kwargs), 75.0).reason[0]

    near, far = 0.5, 0.1
    assert reason("official", [near], cos_other=0.9) == "near_dominant"
    assert reason("official", [near], subcenter=1) == "near_dominant"
    assert reason("official", [far], cos_other=0.5) == "closer_to_other_label"
    assert reason("official", [far], cos_other=0.2) == "far_from_dominant"  # nearer, but beyond the threshold
    assert reason("official", [far], cos_other=math.nan) == "far_from_dominant"
    assert reason("paper", [near], subcenter=1) == "non_dominant_subcenter"
    assert reason("paper", [far], subcenter=1) == "far_from_dominant"
    assert reason("paper", [near]) == "near_dominant"


def test_rules_have_names_and_versions() -> None:
    assert rule_names()[:3] == ["calibrated", "official", "paper"]
    assert [identifier(get_rule(name)) for name in rule_names()[:3]] == ["calibrated/7", "official/1", "paper/1"]
    with pytest.raises(InputError, match="no rule 'best'; there are calibrated, official, paper"):
        get_rule("best")
    with pytest.raises(InputError, match=r"no rule 'oficial'; did you mean official\? There are calibrated"):
        get_rule("oficial")
