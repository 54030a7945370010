"""One center a class from the images whose labels are trusted, in NumPy."""

from __future__ import annotations

import numpy as np

from purify.analysis.label_noise.centering import centered
from purify.analysis.label_noise.leave_one_out import class_sums
from purify.analysis.search import unit
from purify.analysis.subcenters import SubcenterSpace
from purify.arrays import Floats, Ids, Vectors

#: Least weight of an image; a class of distrusted images alone still has a center.
_LEAST_WEIGHT = 1e-3


def trusted_centers(embeddings: Vectors, label_index: Ids, p_clean: Floats, classes: int) -> SubcenterSpace:
    """Centered embeddings, and for each class the mean of its images, weighted by the probability of their label."""
    vectors = centered(embeddings).vectors
    sums = class_sums(vectors, label_index, np.maximum(p_clean, _LEAST_WEIGHT), classes)
    return SubcenterSpace(vectors, unit(sums.total)[:, None])
