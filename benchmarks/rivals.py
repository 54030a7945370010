"""The rivals of label-noise detection: vectors and labels in, `Scores` out; one function per rival.

All of them get the same rows, centered and scaled to length 1. For a description of each, and the choices made for it,
see ``docs/benchmarks/detection.md``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmarks.vectors import LabeledVectors, class_sums, cosine_chunks, unit_rows
from purify.analysis.nearest_images import nearest_images
from purify.analysis.neighbors import SLACK, find_neighbors
from purify.arrays import Floats, Ids, Mask
from purify.config import AnalyzeConfig

_FOLDS = 5
_CENTROID_SCALE = 16.0
_NEIGHBORS = 20
_LEAST_AGREEMENT = 0.5
_MAD_CUT = 3.0
_MAD_TO_SIGMA = 1.4826  # of a normal distribution
# Short in the rival's favor: with more steps the head memorizes the noise (see the document).
_PML_STEPS = 600
_PML_BATCH = 256
_PML_LEARNING_RATE = 0.01
_PML_DEGREES = 75
_SELFCLEAN_CONTAMINATION = 0.01
_SELFCLEAN_SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Scores:
    """A method's judgment of N samples.

    Attributes
    ----------
    trust
        Larger where the label is more likely to be right; the ranking.
    removed
        The method's own cut.
    meaning
        Whether `trust` claims to be the probability that the label is right, or only orders the samples.
    suggested
        Class that the method would put a removed sample in; -1: none. None where it never relabels.
    sweep
        F1 of each cut tried, where the truth chose the cut.
    """

    trust: Floats
    removed: Mask
    meaning: Literal["probability", "order"]
    suggested: Ids | None = None
    sweep: Mapping[str, float] | None = None


def cleanlab_default(data: LabeledVectors, seed: int) -> Scores:
    """Cleanlab's ``find_label_issues`` and label quality at their defaults, on `out_of_fold_probabilities`."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    probabilities = out_of_fold_probabilities(data, seed)
    removed = np.asarray(find_label_issues(data.label_index, probabilities, n_jobs=1), bool)
    quality = np.asarray(get_label_quality_scores(data.label_index, probabilities), np.float64)
    return Scores(quality, removed, "probability", _suggest(probabilities.argmax(axis=1), removed))


def nearest_centroid(data: LabeledVectors, seed: int) -> Scores:
    """Remove samples nearest to another out-of-fold class centroid; the probabilities are cleanlab's inputs."""
    probabilities = out_of_fold_probabilities(data, seed)
    nearest = probabilities.argmax(axis=1)
    removed = nearest != data.label_index
    trust = probabilities[np.arange(len(nearest)), data.label_index]
    return Scores(trust, removed, "probability", _suggest(nearest, removed))


def subcenter_arcface(data: LabeledVectors, seed: int) -> Scores:
    """``SubCenterArcFaceLoss.get_outliers`` of pytorch-metric-learning, its loss trained as a head on the vectors.

    The loss has the library's defaults (3 sub-centers, margin 28.6 degrees, scale 64), `get_outliers` its
    threshold of 75 degrees. It gives no scores, so samples are ranked by the cosine to the dominant sub-center
    that it returns.
    """
    from pytorch_metric_learning.losses import SubCenterArcFaceLoss

    vectors, labels = torch.from_numpy(data.vectors), torch.from_numpy(data.label_index)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        loss = SubCenterArcFaceLoss(num_classes=data.classes, embedding_size=vectors.shape[1])
        optimizer = torch.optim.Adam(loss.parameters(), lr=_PML_LEARNING_RATE)
        for rows in islice(_batches(len(labels)), _PML_STEPS):
            optimizer.zero_grad()
            loss(vectors[rows], labels[rows]).backward()
            optimizer.step()
    outliers, dominant = loss.get_outliers(vectors, labels, threshold=_PML_DEGREES)
    removed = np.zeros(len(labels), bool)
    removed[outliers.long().numpy()] = True
    own = unit_rows(dominant.detach().numpy().T)[data.label_index]
    return Scores(np.einsum("nd,nd->n", data.vectors, own).astype(np.float64), removed, "order")


def neighbor_agreement(data: LabeledVectors, seed: int) -> Scores:
    """Remove samples that share the label of less than half of their 20 nearest neighbors, near duplicates aside."""
    near_duplicate = AnalyzeConfig().near_duplicate
    nearest = nearest_images(data.vectors, data.label_index, most=_NEIGHBORS + SLACK)
    found = find_neighbors(nearest, data.label_index, k=_NEIGHBORS, near_duplicate=near_duplicate)
    # Without a neighbor that could agree there is no evidence: keep the sample, in the middle of the ranking.
    agreement = np.nan_to_num(found.agreement, nan=_LEAST_AGREEMENT).astype(np.float64)
    return Scores(agreement, agreement < _LEAST_AGREEMENT, "order")


def selfclean_label_errors(data: LabeledVectors, seed: int) -> Scores:
    """SelfClean's label-error score and automatic cut, in our own code (the package needs torchvision).

    With the distance d = (1 - cosine) / 2 to the nearest sample of the same and of another label, the score is
    d_other^2 / (d_same^2 + d_other^2). The cut is `selfclean_cut`.

    Source: Groeger et al., "Intrinsic Self-Supervision for Data Quality Audits", NeurIPS 2024, arXiv 2305.17048.
    """
    same, other = np.empty(len(data.label_index)), np.empty(len(data.label_index))
    for rows, cosines in cosine_chunks(data.vectors):
        distance = np.clip((1 - cosines) / 2, 0, 1).astype(np.float64)
        mate = data.label_index[rows, None] == data.label_index
        others = np.where(mate, np.inf, distance)
        other[rows] = others.min(axis=1)
        mate[np.arange(len(mate)), np.arange(len(data.label_index))[rows]] = False
        nearest = np.where(mate, distance, np.inf).min(axis=1)
        farthest = np.where(np.isinf(others), 0, others).max(axis=1)
        same[rows] = np.where(mate.any(axis=1), nearest, farthest)  # alone in its class: as far as possible
    total = same**2 + other**2
    trust = np.divide(other**2, total, out=np.full(len(total), 0.5), where=total > 0)
    return Scores(trust, trust < selfclean_cut(trust), "order")


def class_mean_otsu(data: LabeledVectors, seed: int) -> Scores:
    """Cosine to the mean of the class, cut where Otsu's method splits all cosines in two."""
    trust = _cosine_to_mean(data)
    return Scores(trust, trust < otsu_cut(trust), "order")


def class_mean_mad(data: LabeledVectors, seed: int) -> Scores:
    """Cosine to the mean of the class, cut 3 (scaled) median absolute deviations below the median of all."""
    trust = _cosine_to_mean(data)
    middle = np.median(trust)
    sigma = _MAD_TO_SIGMA * np.median(np.abs(trust - middle))
    return Scores(trust, trust < middle - _MAD_CUT * sigma, "order")


def coin(data: LabeledVectors, seed: int) -> Scores:
    """A random ranking, and a fair coin as the cut: the baseline without knowledge."""
    trust = np.random.default_rng([seed, 2]).random(len(data.label_index))
    return Scores(trust, trust < 0.5, "order")


def out_of_fold_probabilities(data: LabeledVectors, seed: int) -> Floats:
    """Softmax of 16 times the cosine to each class's centroid [N, C]; 5 stratified folds, own fold left out."""
    fold = _stratified_folds(data.label_index, seed)
    total = class_sums(data.vectors, data.label_index, data.classes)
    cosines = np.empty((len(fold), data.classes))
    for number in range(_FOLDS):
        held_out = fold == number
        inside = class_sums(data.vectors[held_out], data.label_index[held_out], data.classes)
        cosines[held_out] = data.vectors[held_out] @ unit_rows(total - inside).T
    powers = np.exp(_CENTROID_SCALE * (cosines - cosines.max(axis=1, keepdims=True)))
    return powers / powers.sum(axis=1, keepdims=True)


def otsu_cut(values: Floats) -> float:
    """The value that splits `values` into two groups with the largest variance between them; the upper includes it.

    Source: Otsu, "A Threshold Selection Method from Gray-Level Histograms", IEEE Trans. SMC 9(1), 1979; here on
    the values themselves, without a histogram.
    """
    ordered = np.sort(values)
    low = np.arange(1, len(ordered))
    high = len(ordered) - low
    sums = np.cumsum(ordered)
    gap = (sums[-1] - sums[:-1]) / high - sums[:-1] / low
    return float(ordered[1:][np.argmax(low * high * gap**2)]) if len(ordered) > 1 else -np.inf


def selfclean_cut(trust: Floats) -> float:
    """SelfClean's automatic cut at its defaults: contamination guess 1 %, significance 5 %.

    A logistic distribution is fitted to two low quantiles of the scores' logits; scores improbably low under it are
    errors. -inf if there is nothing to fit.
    """
    inner = trust[(trust > 0) & (trust < 1)]
    if not len(inner):
        return -np.inf
    probabilities = np.array([_SELFCLEAN_CONTAMINATION, np.sqrt(_SELFCLEAN_CONTAMINATION / 2)])
    near, far = np.quantile(_logit(inner), probabilities)
    ideal_near, ideal_far = _logit(probabilities)
    slope = (near - far) / (ideal_near - ideal_far)
    edge = near + slope * (_logit(np.array(_SELFCLEAN_CONTAMINATION * _SELFCLEAN_SIGNIFICANCE)) - ideal_near)
    return float(1 / (1 + np.exp(-edge)))


def _logit(share: Floats) -> Floats:
    return np.log(share / (1 - share))


def _suggest(nearest: npt.NDArray[np.integer], removed: Mask) -> Ids:
    return np.where(removed, nearest, -1).astype(np.int64)


def _batches(rows: int) -> Iterator[Tensor]:
    """Batches of shuffled row numbers, epoch after epoch, from torch's own generator."""
    while True:
        yield from torch.randperm(rows).split(_PML_BATCH)


def _cosine_to_mean(data: LabeledVectors) -> Floats:
    means = unit_rows(class_sums(data.vectors, data.label_index, data.classes))
    return np.einsum("nd,nd->n", data.vectors, means[data.label_index]).astype(np.float64)


def _stratified_folds(label_index: Ids, seed: int) -> Ids:
    """Fold of each row; the shuffled rows of each class are dealt out in turn."""
    rng = np.random.default_rng([seed, 1])
    shuffled = rng.permutation(len(label_index))
    by_class = shuffled[np.argsort(label_index[shuffled], kind="stable")]
    fold = np.empty(len(label_index), np.int64)
    fold[by_class] = np.arange(len(label_index)) % _FOLDS
    return fold
