"""Comparison of images with the trusted images of a label, and with those of competing labels.

The same measures are taken of images under their given labels and under surely wrong labels: the second calibrate
the first (`calibration`). Therefore no measure may depend on whether a label is the given one: an image is left out of
the images it is compared with.
"""

from __future__ import annotations

import numpy as np

from purify.analysis.identities.plda import fit_identities
from purify.analysis.label_noise.centering import CenteredEmbeddings
from purify.analysis.label_noise.hypotheses import Hypotheses, Measures
from purify.analysis.label_noise.leave_one_out import class_sums
from purify.analysis.search import cosine_index, flat_index, pair_cosines, unit
from purify.arrays import Floats, Ids, Mask, Vectors

#: Maximum competing labels of an image: those with the nearest centers.
_CANDIDATES = 64
#: Nearest competitors averaged as the background of an image, and those compared image by image.
_BACKGROUND = 20
_CLOSEST = 4
#: Maximum trusted images of a label to compare with an image one by one, and how many of the nearest to average.
_EXAMPLES = 64
_NEAREST = 3
#: Hypotheses measured at a time; bounds the memory.
_CHUNK = 1024
#: Log ratios are in the hundreds; this brings them to the size of the other features.
_RATIO_UNIT = 50.0
#: Images with at least this weight are trusted.
TRUSTED = 0.5
#: Columns of `Measures.features`: cosine to the label's center, by itself and less that of the nearest competitor,
#: and mean cosine to the nearest trusted images of the label.
COSINE, COSINE_MARGIN, NEAREST = 0, 1, 6
#: Stands in for a missing cosine.
_WORTHLESS = -2.0


class Gallery:
    """The trusted images of C labels, indexed for comparison.

    Images are weighted by ``weights[N]``; two with a cosine above `near_duplicate` are the same picture, hence no
    evidence. `rng` draws the examples of large classes.
    """

    def __init__(
        self,
        embeddings: CenteredEmbeddings,
        label_index: Ids,
        weights: Floats,
        classes: int,
        *,
        near_duplicate: float,
        rng: np.random.Generator,
    ) -> None:
        self.embeddings, self.label_index, self.weights = embeddings, label_index, weights
        self.near_duplicate = near_duplicate
        self.sums = class_sums(embeddings.vectors, label_index, weights, classes)
        self.model = fit_identities(embeddings.vectors, label_index, weights, classes)
        self.model_coordinates = self.model.coordinates(embeddings.vectors)
        self.model_sums = class_sums(self.model_coordinates, label_index, weights, classes)
        #: Numbers of the labels with images, in the order of the centers in `center_index`.
        self.present = np.flatnonzero(self.sums.count > 0)
        #: int64 [C, R]: trusted rows of each label, then -1.
        self.examples = _draw_examples(label_index, weights, classes, rng)
        forms = self.model.class_forms(self.model_sums.means(), self.model_sums.count)
        self.form_constants = forms[:, -1]
        self.form_index = flat_index(np.ascontiguousarray(forms[:, :-1]))
        self.center_index = cosine_index(unit(self.sums.total[self.present]))
        self.image_index = flat_index(embeddings.vectors)

    def measure(self, pairs: Hypotheses) -> Measures:
        """Measure each of the hypotheses `pairs`."""
        parts = [self._measure(pairs.part(slice(start, start + _CHUNK))) for start in range(0, len(pairs.rows), _CHUNK)]
        return Measures(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _measure(self, pairs: Hypotheses) -> Measures:
        cosine, trusted = self._cosines_without(pairs.rows, pairs.labels)
        rivals, rival_cosine = self._rivals(pairs)
        ratio = self._log_ratios_without(pairs.rows, pairs.labels)
        near = self._nearest_examples(pairs.rows, pairs.labels)
        near = np.where(near > _WORTHLESS, near, cosine)
        closest = [self._nearest_examples(pairs.rows, rivals[:, k]) for k in range(min(_CLOSEST, rivals.shape[1]))]
        rival_near = np.max(closest, axis=0, initial=_WORTHLESS)
        rival_near = np.where(rival_near > _WORTHLESS, rival_near, rival_cosine[:, 0])
        rival_ratio = self._rival_log_ratios(pairs.rows, rivals)
        order = np.argsort(np.where(rivals >= 0, -rival_ratio, np.inf), axis=1, kind="stable")
        likeliest = np.take_along_axis(rivals, order, axis=1)
        columns = [
            *_against(cosine, rival_cosine, rivals >= 0),
            *_against(ratio, np.take_along_axis(rival_ratio, order, axis=1), likeliest >= 0),
            *(near, near - rival_near),
        ]
        features = np.column_stack([*columns, self.embeddings.quality[pairs.rows]]).astype(np.float64)
        return Measures(features, trusted, likeliest[:, 0])

    def _own_weights(self, rows: Ids, labels: Ids) -> Floats:
        """Weights of the images in the sums of ``labels[n]``: zero for images of another label."""
        return np.where(self.label_index[rows] == labels, self.weights[rows], 0.0)

    def _cosines_without(self, rows: Ids, labels: Ids) -> tuple[Vectors, Floats]:
        """Leave-one-out cosines to the centers of ``labels[n]``, and the trusted weight behind these."""
        vectors = self.embeddings.vectors[rows]
        total, trusted = self.sums.without(labels, vectors, self._own_weights(rows, labels))
        return np.einsum("nd,nd->n", vectors, unit(total)), trusted

    def _log_ratios_without(self, rows: Ids, labels: Ids) -> Vectors:
        """Leave-one-out log ratios of ``labels[n]``, scaled."""
        coordinates = self.model_coordinates[rows]
        total, count = self.model_sums.without(labels, coordinates, self._own_weights(rows, labels))
        means = (total / np.maximum(count, np.finfo(np.float32).tiny)[:, None]).astype(np.float32)
        return self.model.log_ratio(coordinates, means, count) / _RATIO_UNIT

    def _rivals(self, pairs: Hypotheses) -> tuple[Ids, Vectors]:
        """Competing labels with the nearest centers, and their cosines, nearest first; padded with -1 and -2."""
        width = max(1, min(_CANDIDATES, len(self.present) - 1))
        vectors = self.embeddings.vectors[pairs.rows]
        cosines, found = self.center_index.search(vectors, min(width + 2, len(self.present)))
        labels = np.where(found >= 0, self.present[found], -1)
        out = (labels < 0) | (labels == pairs.labels[:, None]) | (labels == pairs.excluded[:, None])
        labels, cosines = np.where(out, -1, labels), np.where(out, _WORTHLESS, cosines)
        at, column = np.nonzero(labels == self.label_index[pairs.rows, None])
        cosines[at, column] = self._cosines_without(pairs.rows[at], labels[at, column])[0]
        order = np.argsort(-cosines, axis=1, kind="stable")[:, :width]
        return np.take_along_axis(labels, order, axis=1), np.take_along_axis(cosines, order, axis=1)

    def _rival_log_ratios(self, rows: Ids, rivals: Ids) -> Vectors:
        """Scaled log ratios of ``rivals[n, R]``; each image is left out of its own label."""
        forms = self.model.quadratic(self.model_coordinates[rows])
        products = pair_cosines(self.form_index, forms, np.maximum(rivals, 0))
        ratios = (products + self.form_constants[rivals]) / _RATIO_UNIT
        at, column = np.nonzero(rivals == self.label_index[rows, None])
        ratios[at, column] = self._log_ratios_without(rows[at], rivals[at, column])
        return ratios

    def _nearest_examples(self, rows: Ids, labels: Ids) -> Vectors:
        """Mean cosine to the 3 nearest examples of ``labels[n]`` without near duplicates; -2 for none."""
        examples = np.where(labels[:, None] >= 0, self.examples[labels], -1)
        usable = (examples >= 0) & (examples != rows[:, None])
        cosines = pair_cosines(self.image_index, self.embeddings.vectors[rows], np.maximum(examples, 0))
        cosines = np.where(usable & (cosines <= self.near_duplicate), cosines, _WORTHLESS)
        width = min(_NEAREST, cosines.shape[1])
        top = -np.partition(-cosines, width - 1, axis=1)[:, :width]
        counted = top > _WORTHLESS
        found = counted.sum(axis=1)
        means = np.where(counted, top, 0).sum(axis=1) / np.maximum(found, 1)
        return np.where(found > 0, means, _WORTHLESS).astype(np.float32)


def _against(value: Vectors, rivals: Vectors, competes: Mask) -> list[Vectors]:
    """A measure [n] by itself, less the best rival's, and less the mean of the 20 best; ``rivals[n, R]`` best first."""
    there = competes[:, :_BACKGROUND]
    mean = np.where(there, rivals[:, :_BACKGROUND], 0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
    return [value, value - np.where(there[:, 0], rivals[:, 0], 0), value - mean]


def _draw_examples(label_index: Ids, weights: Floats, classes: int, rng: np.random.Generator) -> Ids:
    """Up to 64 random trusted rows of each class, [C, R]."""
    trusted = np.flatnonzero(weights >= TRUSTED)
    shuffled = trusted[np.lexsort((rng.random(len(trusted)), label_index[trusted]))]
    labels = label_index[shuffled]
    starts = np.searchsorted(labels, np.arange(classes))
    place = np.arange(len(shuffled)) - starts[labels]
    width = int(min(_EXAMPLES, place.max(initial=0) + 1))
    examples = np.full((classes, width), -1, np.int64)
    kept = place < width
    examples[labels[kept], place[kept]] = shuffled[kept]
    return examples
