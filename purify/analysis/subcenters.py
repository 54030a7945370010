"""Assignment of images to sub-centers: the nearest one, the class's dominant one, and the nearest other class.

Sub-center ArcFace (TPAMI, section 3.2): each image votes for its nearest own sub-center; the one with the most
votes is the class's dominant sub-center. Every tie goes to the lowest index.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from purify.analysis.label_noise.initial_trust import DISTRUSTED
from purify.analysis.label_noise.leave_one_out import class_sums, segments
from purify.analysis.label_noise.mode_seeking import bisect
from purify.analysis.search import cosine_index, cosines_to, row_chunks, unit
from purify.arrays import Floats, Ids, Mask, Vectors

#: Nearest dominant sub-centers searched for one of another class; more than 2 for the sake of ties.
_CANDIDATES = 4
#: Images of a smaller probability of their label are doubted.
_DOUBTED = 0.5


@dataclass(frozen=True)
class SubcenterSpace:
    """Unit embeddings [N, d], and unit sub-centers [C, K, d] to compare them with.

    ``learned``, bool [C], marks the classes whose sub-centers are those of the head that was trained together with the
    embeddings' network; None: all were fitted to the embeddings.
    """

    embeddings: Vectors
    subcenters: Vectors
    learned: Mask | None = None

    @classmethod
    def of(cls, embeddings: Vectors, subcenters: Vectors) -> SubcenterSpace:
        """Build from vectors of any scale."""
        return cls(unit(embeddings), unit(subcenters))


@dataclass(frozen=True)
class Assignment:
    """Images [N] and their own class's sub-centers: the nearest one, and the cosines to it and to the dominant one.

    ``votes[C, K]`` counts the class's images nearest to each sub-center, ``dominant[C]`` has most of them, and
    ``dominant_share[C]`` is its share; 0 and NaN for a class without images.
    """

    subcenter: npt.NDArray[np.int32]
    cos: Vectors
    votes: Ids
    dominant: npt.NDArray[np.int32]
    dominant_share: Floats
    cos_dominant: Vectors


def assign(embeddings: Vectors, label_index: Ids, subcenters: Vectors) -> Assignment:
    """Assign the unit ``embeddings[N, D]`` of classes ``label_index[N]`` to unit ``subcenters[C, K, D]``."""
    classes, per_class, dim = subcenters.shape
    own = label_index[:, None] * per_class + np.arange(per_class)
    cosines = cosines_to(embeddings, subcenters.reshape(classes * per_class, dim), own)
    nearest = cosines.argmax(axis=1)
    ballots = np.bincount(label_index * per_class + nearest, minlength=classes * per_class)
    votes = ballots.reshape(classes, per_class)
    dominant, total = votes.argmax(axis=1), votes.sum(axis=1)
    share = np.full(classes, np.nan)
    np.divide(votes.max(axis=1), total, out=share, where=total > 0)
    rows = np.arange(len(cosines))
    return Assignment(
        subcenter=nearest.astype(np.int32),
        cos=cosines[rows, nearest],
        votes=votes,
        dominant=dominant.astype(np.int32),
        dominant_share=share,
        cos_dominant=cosines[rows, dominant[label_index]],
    )


def nearest_other_class(
    embeddings: Vectors, label_index: Ids, subcenters: Vectors, assignment: Assignment
) -> tuple[Ids, Vectors]:
    """The other class with the nearest dominant sub-center: its index [N] and the cosine [N]; -1 and NaN for none.

    Classes without images have no dominant sub-center and don't take part.
    """
    present = np.flatnonzero(assignment.votes.any(axis=1))
    other = np.full(len(embeddings), -1, np.int64)
    cosine = np.full(len(embeddings), np.nan, np.float32)
    if len(present) < 2:
        return other, cosine
    centers = np.ascontiguousarray(subcenters[present, assignment.dominant[present]])
    index = cosine_index(centers)
    for rows in row_chunks(len(embeddings)):
        queries = embeddings[rows]
        _, candidates = index.search(queries, min(_CANDIDATES, len(present)))
        candidates.sort(axis=1)
        found = cosines_to(queries, centers, candidates)
        usable = (candidates >= 0) & (present[candidates] != label_index[rows, None])
        found[~usable] = -np.inf
        best = found.argmax(axis=1)[:, None]
        reached = np.take_along_axis(usable, best, axis=1)[:, 0]
        other[rows] = np.where(reached, present[np.take_along_axis(candidates, best, axis=1)[:, 0]], -1)
        cosine[rows] = np.where(reached, np.take_along_axis(found, best, axis=1)[:, 0], np.nan)
    return other, cosine


def cosine_to_dominant(space: SubcenterSpace, labels: Ids, assignment: Assignment) -> Vectors:
    """Cosines [N] of the embeddings to the dominant sub-centers of ``labels[N]``; NaN where that is -1."""
    dominant = np.ascontiguousarray(space.subcenters[np.arange(len(space.subcenters)), assignment.dominant])
    cosines = cosines_to(space.embeddings, dominant, np.maximum(labels, 0)[:, None])[:, 0]
    return np.where(labels >= 0, cosines, np.float32(np.nan))


def trusted_subcenters(
    vectors: Vectors, label_index: Ids, p_clean: Floats, classes: int, *, subcenters: int
) -> SubcenterSpace:
    """Centered unit ``vectors[N, D]``, and K sub-centers of each class, by the probability of their labels.

    The first one is the mean of the class's images, weighted by ``p_clean[N]``; the others are the centers of its
    doubted images, in halves, and in halves of the larger half. Without doubted images they equal the first.
    """
    sums = class_sums(vectors, label_index, np.maximum(p_clean, DISTRUSTED), classes)
    centers = unit(sums.total)[:, None].repeat(subcenters, axis=1)
    for label, rows in segments(label_index):
        doubted = vectors[rows][p_clean[rows] < _DOUBTED]
        if len(doubted) and subcenters > 1:
            found = _doubted_centers(doubted, subcenters - 1)
            centers[label, 1 : 1 + len(found)] = found
    return SubcenterSpace(vectors, centers)


def _doubted_centers(rows: Vectors, most: int) -> Vectors:
    """Unit centers [g, D] of at most `most` parts of the unit ``rows[n, D]``."""
    parts = [rows]
    while len(parts) < most:
        largest = max(range(len(parts)), key=lambda k: len(parts[k]))
        halves = bisect(parts[largest]) if len(parts[largest]) > 1 else parts[largest]
        if len(halves) < 2:
            break
        near = parts[largest] @ halves[0] >= parts[largest] @ halves[1]
        parts[largest : largest + 1] = [parts[largest][near], parts[largest][~near]]
    return unit(np.stack([part.mean(axis=0) for part in parts]))
