"""Which face of a photo agrees with the other photos of its label, where several people are in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from purify.analysis.search import unit
from purify.arrays import Ids, Vectors

#: Least number of other photos to agree with.
_LEAST_PHOTOS = 2
#: A face replaces the first one of its photo if it agrees by this much more, as a cosine of centered embeddings, ...
_MARGIN = 0.1
#: ... and at least by this share of what the label's photos of one face agree among themselves.
_LEAST_SHARE = 0.5


@dataclass(frozen=True)
class Agreement:
    """A face that agrees better than the first one of its photo: rows of both, their agreement, the other photos."""

    row: int
    first: int
    cosine: float
    cosine_first: float
    photos: int


def agreeing_faces(vectors: Vectors, photo: Ids, label: Ids, trusted: np.ndarray) -> list[Agreement]:
    """Faces to take in place of the first ones of their photos.

    A face agrees with another photo as far as with the face in it that is most like it, and with its label by the
    median over the label's other photos: of wrong ones it takes half to sway it.

    Parameters
    ----------
    vectors
        Unit embeddings float32[N, D] of all faces.
    photo
        Number of the photo of each face, int[N]; rows of a photo follow each other, the most prominent face first.
    label
        Number of the label of each face, int[N].
    trusted
        Whether the photo of a face counts as one to agree with, bool[N].
    """
    if not len(vectors):
        return []
    centered = unit(vectors - vectors.mean(0))
    order = np.argsort(label, kind="stable")
    found: list[Agreement] = []
    for rows in np.split(order, np.flatnonzero(np.diff(label[order])) + 1):
        found += _of_label(centered[rows], photo[rows], trusted[rows], rows)
    return sorted(found, key=lambda one: one.first)


def _of_label(vectors: Vectors, photo: Ids, trusted: np.ndarray, rows: Ids) -> Iterator[Agreement]:
    starts = np.flatnonzero(np.r_[True, np.diff(photo) != 0])
    counts = np.diff(np.r_[starts, len(photo)])
    others = trusted[starts]
    if (counts == 1).all() or others.sum() <= _LEAST_PHOTOS:
        return
    likeness = np.maximum.reduceat(vectors @ vectors.T, starts, axis=1)  # of each face to each photo
    own = np.repeat(np.arange(len(starts)), counts)
    likeness[np.arange(len(own)), own] = np.nan
    agreement = np.nanmedian(likeness[:, others], axis=1)
    single = agreement[starts[(counts == 1) & others]]
    least = _LEAST_SHARE * float(np.median(single)) if len(single) else 0.0
    for number in np.flatnonzero(counts > 1):
        part = agreement[starts[number] : starts[number] + counts[number]]
        best = int(part.argmax())
        if best and part[best] >= max(part[0] + _MARGIN, least):
            used = int(others.sum() - others[number])
            first = starts[number]
            yield Agreement(int(rows[first + best]), int(rows[first]), float(part[best]), float(part[0]), used)
