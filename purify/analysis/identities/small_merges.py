"""One person under two labels of which one has few images: likely cases, as proposals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from purify.analysis.class_rows import ClassRows, DistinctPictures, ImageGroups
from purify.analysis.identities.merge import LabelMerge, label_merge, size_rank
from purify.analysis.identities.null_thresholds import LEAST_IMAGES
from purify.analysis.identities.one_person import PRIOR, Candidates, one_person_candidates
from purify.analysis.identities.spelling import spelling_odds
from purify.analysis.label_noise.companions import NoiseOrigin
from purify.analysis.label_noise.logistic import sigmoid
from purify.arrays import Floats, Ids, Mask, Vectors

#: Minimum number of labels, to measure how alike different people are, and of those with several images, to measure
#: how alike one person's are.
_LEAST_LABELS = 12
_LEAST_SEVERAL = 6
#: Minimum probability of a proposal.
_LIKELY = 0.5
#: Merges of larger sets are found without this, by their similarity (`merge`).
_FEW = 2 * LEAST_IMAGES
#: Minimum probability of an image to stand for its label.
_TRUSTED = 0.5
_LEAST_NOISE = 1e-3
#: Largest prior, and rounds of its measurement.
_MOST_PRIOR, _ROUNDS = 0.05, 10
#: Spellings are compared with those of this many pairs of look-alikes.
_MOST_PAIRS = 100_000
#: Faces this unlikely to be one person's need no look at the spelling.
_LEAST_RATIO = -math.log(10)


def find_small_merges(
    rows: ClassRows,
    found: npt.NDArray[np.int32],
    samples: list[DistinctPictures],
    dominant: ImageGroups,
    *,
    mixed: Mask,
    merged: frozenset[int],
    names: Sequence[str] | None,
    noise: NoiseOrigin,
    near_duplicate: float,
    rng: np.random.Generator,
) -> tuple[LabelMerge, ...]:
    """Propose merges of labels that are neither ``mixed[C]`` nor `merged` before; at most one of each label.

    Parameters
    ----------
    samples, dominant
        Distinct pictures of each label with images, and those of its dominant group.
    names
        Spellings of the C labels; None: they tell nothing.
    noise
        The few images of a label may all be wrong, and of one other person.
    """
    chosen = [_pictures(sample, group) for sample, group in zip(samples, dominant.members, strict=True)]
    members = ImageGroups(rows.vectors, chosen)
    several = int((members.size > 1).sum())
    if len(members) < _LEAST_LABELS or several < _LEAST_SEVERAL:
        return ()
    labels = np.array([sample.label for sample in samples])
    size = members.size
    candidates = one_person_candidates(members, rng)
    p_same = _probability(candidates, labels, size, members, names, noise, near_duplicate)
    few = np.minimum(size[candidates.first], size[candidates.second]) < _FEW
    whole = ~mixed[labels[candidates.first]] & ~mixed[labels[candidates.second]]
    likely = np.flatnonzero(whole & few & (p_same >= _LIKELY))
    likely = likely[np.argsort(-p_same[likely], kind="stable")]
    rank = size_rank(rows, found, labels)
    merges: dict[int, LabelMerge] = {}
    for pair in likely.tolist():
        small, large = sorted((int(candidates.first[pair]), int(candidates.second[pair])), key=lambda i: rank[i])
        label, into = int(labels[small]), int(labels[large])
        if label not in merged and label not in merges:
            merges[label] = label_merge(rows, found, label, into, float(p_same[pair]))
    return tuple(merges[label] for label in sorted(merges))


def _pictures(sample: DistinctPictures, dominant: Ids) -> Ids:
    """The pictures of a label's person: the trusted ones; without any, the dominant group if more than half, or all."""
    trusted = sample.p_clean >= _TRUSTED
    if trusted.any():
        return sample.members[trusted]
    return dominant if len(dominant) > max(1, len(sample.members) / 2) else sample.members


def _probability(
    candidates: Candidates,
    labels: Ids,
    size: Ids,
    members: ImageGroups,
    names: Sequence[str] | None,
    noise: NoiseOrigin,
    near_duplicate: float,
) -> Floats:
    """Probability [P] that each pair of sets shows one person whose labels are two names of it.

    Sets with many such labels make each further one more likely: the prior is measured, from `PRIOR` up.
    """
    log_ratio = candidates.log_ratio.copy()
    asked = np.flatnonzero(log_ratio > _LEAST_RATIO)
    for pair in asked.tolist():
        log_ratio[pair] *= _own_share(members[candidates.first[pair]], members[candidates.second[pair]], near_duplicate)
    spelled = np.zeros(len(log_ratio))
    if names is not None:
        spelled[asked] = np.log(_spelling(candidates, asked, labels, names))
    smaller = np.minimum(size[candidates.first], size[candidates.second])
    wrong = max(noise.share, _LEAST_NOISE)
    all_wrong = np.log(wrong) + (smaller - 1) * np.log(wrong * noise.companions)
    odds = spelled + log_ratio - np.logaddexp(0, all_wrong + log_ratio)
    prior, probability = PRIOR, sigmoid(math.log(PRIOR) + odds)
    for _ in range(_ROUNDS):
        prior = float(np.clip(_of_labels(candidates, probability, len(size)).mean(), prior, _MOST_PRIOR))
        probability = sigmoid(math.log(prior) + odds)
    return probability


def _of_labels(candidates: Candidates, probability: Floats, labels: int) -> Floats:
    """Probability of each label's most probable pair, [L]; 0 without one."""
    most = np.zeros(labels)
    for ends in (candidates.first, candidates.second):
        np.maximum.at(most, ends, probability)
    return most


def _own_share(one: Vectors, other: Vectors, near_duplicate: float) -> float:
    """Share of the smaller set's pictures that are not in the other one too: the same picture tells of no person."""
    cosine = one @ other.T > near_duplicate
    shared = max(int(cosine.any(axis=1).sum()), int(cosine.any(axis=0).sum()))
    return 1 - min(1.0, shared / min(len(one), len(other)))


def _spelling(candidates: Candidates, asked: Ids, labels: Ids, names: Sequence[str]) -> Floats:
    """Factors of the odds by the spelling, compared with pairs of labels whose faces are alike but differ."""
    ends = np.stack([labels[candidates.first], labels[candidates.second]], axis=1)
    different = ends[candidates.log_ratio <= 0]
    if len(different) > _MOST_PAIRS:
        different = different[np.linspace(0, len(different) - 1, _MOST_PAIRS).astype(np.int64)]
    return spelling_odds(names, _tuples(ends[asked]), _tuples(different))


def _tuples(ends: Ids) -> list[tuple[int, int]]:
    return [(int(a), int(b)) for a, b in ends]
