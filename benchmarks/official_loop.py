"""The cleaning step of the official Sub-center ArcFace, identity by identity, on given vectors and centers.

Source: deepinsight/insightface, ``recognition/subcenter_arcface/drop.py`` as described in the paper (Deng et al., ECCV
2020): for each identity, the dominant sub-center is that with the most images, and images farther from it than 75
degrees are dropped. The sub-centers are those of our own head on a projection of the vectors, as for rule `official`.
"""

from __future__ import annotations

import numpy as np

from benchmarks.rivals import Scores
from benchmarks.vectors import LabeledVectors
from purify.analysis.projection import fit_subcenters

_DEGREES = 75.0


def official_loop(data: LabeledVectors, seed: int) -> Scores:
    """Judge image by image, in a loop over the identities."""
    vectors, centers = fit_subcenters(data.vectors, data.label_index, classes=data.classes, subcenters=3, seed=seed)
    trust, limit = np.zeros(len(vectors)), np.cos(np.radians(_DEGREES))
    for label in range(data.classes):
        rows = np.flatnonzero(data.label_index == label)  # one pass over all labels for each identity, as there
        cosines = vectors[rows] @ centers[label].T
        votes = np.bincount(cosines.argmax(axis=1), minlength=centers.shape[1])
        trust[rows] = cosines[:, votes.argmax()]
    return Scores(trust, trust < limit, "order")
