"""The trusted images of the labels, and comparisons of images with them.

An image is always left out of the images it is compared with.
"""

from __future__ import annotations

import numpy as np

from purify.analysis.identities.plda import fit_identities
from purify.analysis.label_noise.centering import CenteredEmbeddings
from purify.analysis.label_noise.comparison import NEAREST, Comparison, ImageTraits
from purify.analysis.label_noise.initial_trust import DISTRUSTED
from purify.analysis.label_noise.leave_one_out import class_sums
from purify.analysis.search import cosine_index, flat_index, pair_cosines, unit
from purify.arrays import Floats, Ids, Vectors

#: Other labels compared with an image: those of the nearest centers, and of these those of the largest log ratios.
_NEAREST_CENTERS = 64
CLAIMS = 8
#: Nearest centers, after the very nearest one, averaged as the background of an image.
_BACKGROUND = 20
#: Maximum trusted images of a label to compare with an image one by one.
_EXAMPLES = 64
#: Comparisons at a time; bounds the memory.
_CHUNK = 4096
#: Images with at least this weight are trusted.
TRUSTED = 0.5
#: Stands in for a missing cosine.
_WORTHLESS = -2.0


class Gallery:
    """The images of C labels, weighted by their `trust` [N] and indexed for comparison.

    `rng` draws the examples of large labels.
    """

    def __init__(
        self,
        embeddings: CenteredEmbeddings,
        label_index: Ids,
        trust: Floats,
        classes: int,
        *,
        rng: np.random.Generator,
    ) -> None:
        self.vectors, self.label_index = embeddings.vectors, label_index
        self.weights = np.maximum(trust, DISTRUSTED)
        self.sums = class_sums(self.vectors, label_index, self.weights, classes)
        self.centers = unit(self.sums.total)
        self.model = fit_identities(self.vectors, label_index, self.weights, classes)
        self.coordinates = self.model.coordinates(self.vectors)
        self._coordinate_sums = class_sums(self.coordinates, label_index, self.weights, classes)
        self._coordinate_means = self._coordinate_sums.means()
        #: int64 [C, R]: trusted rows of each label, then -1.
        self.examples = _draw_examples(label_index, trust, classes, rng)
        self._image_index = flat_index(self.vectors)
        #: int64 [N, R]: the labels that claim each image most, strongest first, then -1.
        self.claimants, background, rivals = self._find_claimants()
        self.traits = ImageTraits(embeddings.quality, background, rivals, self.claimants[:, 0])

    @property
    def images(self) -> Floats:
        """Number of images [C] of each label, by weight."""
        return self.sums.count

    def compare(self, rows: Ids, labels: Ids) -> Comparison:
        """Compare each of the images ``rows[n]`` with the label ``labels[n]``."""
        starts = range(0, len(rows), _CHUNK)
        parts = [self._compare(rows[at : at + _CHUNK], labels[at : at + _CHUNK]) for at in starts]
        columns = zip(*((part.ratio, part.cosine, part.nearest, part.images) for part in parts), strict=True)
        return Comparison(*(np.concatenate(column) for column in columns))

    def _compare(self, rows: Ids, labels: Ids) -> Comparison:
        vectors, coordinates = self.vectors[rows], self.coordinates[rows]
        own = np.where(self.label_index[rows] == labels, self.weights[rows], 0.0)
        total, images = self.sums.without(labels, vectors, own)
        cosine = np.einsum("nd,nd->n", vectors, unit(total))
        total, _ = self._coordinate_sums.without(labels, coordinates, own)
        means = (total / np.maximum(images, np.finfo(np.float32).tiny)[:, None]).astype(np.float32)
        ratio = self.model.log_ratio(coordinates, means, images).astype(np.float64)
        nearest = self._nearest_examples(rows, labels)
        return Comparison(ratio, cosine, np.where(nearest > _WORTHLESS, nearest, cosine), images)

    def _nearest_examples(self, rows: Ids, labels: Ids) -> Vectors:
        """Mean cosine to the nearest examples of ``labels[n]``; -2 for none."""
        examples = self.examples[labels]
        cosines = pair_cosines(self._image_index, self.vectors[rows], np.maximum(examples, 0))
        cosines = np.where((examples >= 0) & (examples != rows[:, None]), cosines, _WORTHLESS)
        width = min(NEAREST, cosines.shape[1])
        top = -np.partition(-cosines, width - 1, axis=1)[:, :width]
        counted = top > _WORTHLESS
        found = counted.sum(axis=1)
        means = np.where(counted, top, 0).sum(axis=1) / np.maximum(found, 1)
        return np.where(found > 0, means, _WORTHLESS).astype(np.float32)

    def _find_claimants(self) -> tuple[Ids, Floats, Floats]:
        """The other labels most like each image, [N, `CLAIMS`], and background and rivals of the images."""
        present = np.flatnonzero(self.sums.count > 0)
        index = cosine_index(self.centers[present])
        forms = self.model.class_forms(self._coordinate_means, self.sums.count)
        products, constants = flat_index(np.ascontiguousarray(forms[:, :-1])), forms[:, -1]
        claimants = np.full((len(self.vectors), CLAIMS), -1, np.int64)
        background, rivals = np.zeros(len(self.vectors)), np.zeros((len(self.vectors), 2))
        for start in range(0, len(self.vectors), _CHUNK):
            rows = np.arange(start, min(start + _CHUNK, len(self.vectors)))
            cosines, found = index.search(self.vectors[rows], min(_NEAREST_CENTERS + 1, len(present)))
            labels = np.where(found >= 0, present[found], -1)
            labels = np.where(labels == self.label_index[rows, None], -1, labels)
            # The nearest one is left out, whether it is the given label's or that of a flipped image's person.
            background[rows] = cosines[:, 1 : _BACKGROUND + 1].mean(axis=1)
            quadratic = self.model.quadratic(self.coordinates[rows])
            ratios = pair_cosines(products, quadratic, np.maximum(labels, 0)) + constants[labels]
            order = np.argsort(np.where(labels >= 0, -ratios, np.inf), axis=1, kind="stable")[:, :CLAIMS]
            claimants[rows, : order.shape[1]] = np.take_along_axis(labels, order, axis=1)
            best = np.take_along_axis(np.where(labels >= 0, ratios, 0), order[:, :2], axis=1)
            rivals[rows, : best.shape[1]] = best
        return claimants, background, rivals


def _draw_examples(label_index: Ids, trust: Floats, classes: int, rng: np.random.Generator) -> Ids:
    """Up to 64 random trusted rows of each label, [C, R]."""
    trusted = np.flatnonzero(trust >= TRUSTED)
    shuffled = trusted[np.lexsort((rng.random(len(trusted)), label_index[trusted]))]
    labels = label_index[shuffled]
    starts = np.searchsorted(labels, np.arange(classes))
    place = np.arange(len(shuffled)) - starts[labels]
    width = int(min(_EXAMPLES, place.max(initial=0) + 1))
    examples = np.full((classes, width), -1, np.int64)
    kept = place < width
    examples[labels[kept], place[kept]] = shuffled[kept]
    return examples
