"""Comparison of images with the trusted images of a label, and with those of competing labels.

The same measures are taken of images under their given labels and under surely wrong labels: the second calibrate
the first (`calibration`). Therefore no measure may depend on whether a label is the given one: an image is left out of
the images it is compared with.
"""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np
import numpy.typing as npt

from purify.analysis.identities.plda import IdentityModel, fit_identities
from purify.analysis.label_noise.centering import CenteredEmbeddings
from purify.analysis.label_noise.hypotheses import Hypotheses, Measures
from purify.analysis.label_noise.leave_one_out import ClassSums, class_sums
from purify.analysis.search import cosine_index, flat_index, pair_cosines, unit
from purify.arrays import Floats, Ids, Vectors

#: Competing labels of an image: those with the nearest centers.
_CANDIDATES = 64
#: Competitors that form the background of an image, and competitors compared image by image.
_BACKGROUND = 20
_CLOSEST = 4
#: Trusted images of a label to compare an image with one by one, and the number of the nearest that count.
_EXAMPLES = 64
_NEAREST = 3
#: Rows whose candidates are measured at a time; bounds the memory.
_CHUNK = 1024
#: Log ratios are in the hundreds; this brings them to the size of the other features.
_RATIO_UNIT = 50.0
#: Images with at least this weight are trusted.
TRUSTED = 0.5
#: Columns of `Measures.features`: cosine to the label's center, by itself and less that of the nearest competitor,
#: and cosine to the nearest of the label's trusted images.
COSINE, COSINE_MARGIN, NEAREST = 0, 1, 6
_WORTHLESS = -2.0


@dataclass(frozen=True)
class Gallery:
    """The trusted images of C labels, indexed for comparison.

    Attributes
    ----------
    embeddings, label_index, weights
        The images, their labels, and the trust in each, [N].
    near_duplicate
        Images with a larger cosine are the same picture, and no evidence.
    sums, model, model_coordinates, model_sums
        Class sums of the vectors; the identity model, and the images and class sums in its coordinates.
    centers, present
        Unit centers of the labels that have images, and their numbers.
    examples
        int64 [C, R]: trusted rows of each label; -1 where there are no more.
    center_index, image_index, form_index, form_constants
        FAISS indexes of the centers, of the vectors, and of the labels' forms of the log ratio with their constants.
    """

    embeddings: CenteredEmbeddings
    label_index: Ids
    weights: Floats
    near_duplicate: float
    sums: ClassSums
    model: IdentityModel
    model_coordinates: Vectors
    model_sums: ClassSums
    centers: Vectors
    present: Ids
    examples: Ids
    center_index: faiss.Index
    image_index: faiss.Index
    form_index: faiss.Index
    form_constants: Vectors

    @classmethod
    def build(
        cls,
        embeddings: CenteredEmbeddings,
        label_index: Ids,
        weights: Floats,
        classes: int,
        *,
        near_duplicate: float,
        generator: np.random.Generator,
    ) -> Gallery:
        """Gallery of all images by their weights; the generator draws the examples of large classes."""
        vectors = embeddings.vectors
        sums = class_sums(vectors, label_index, weights, classes)
        model = fit_identities(vectors, label_index, weights, classes)
        model_coordinates = model.coordinates(vectors)
        model_sums = class_sums(model_coordinates, label_index, weights, classes)
        forms = model.class_forms(model_sums.means(), model_sums.count)
        present = np.flatnonzero(sums.count > 0)
        centers = unit(sums.total[present])
        return cls(
            embeddings,
            label_index,
            weights,
            near_duplicate,
            sums,
            model,
            model_coordinates,
            model_sums,
            centers,
            present,
            _draw_examples(label_index, weights, classes, generator),
            cosine_index(centers),
            flat_index(vectors),
            flat_index(np.ascontiguousarray(forms[:, :-1])),
            forms[:, -1],
        )

    def measure(self, pairs: Hypotheses) -> Measures:
        """Measures of each of the pairs."""
        parts = [self._measure(pairs.part(slice(start, start + _CHUNK))) for start in range(0, len(pairs.rows), _CHUNK)]
        return Measures(
            np.concatenate([part.features for part in parts]),
            np.concatenate([part.trusted for part in parts]),
            np.concatenate([part.best for part in parts]),
        )

    def _measure(self, pairs: Hypotheses) -> Measures:
        cosine, trusted = self._cosines_without(pairs.rows, pairs.labels)
        rivals, rival_cosine = self._rivals(pairs)
        ratio = self._log_ratios_without(pairs.rows, pairs.labels)
        near = self._nearest_examples(pairs.rows, pairs.labels)
        near = np.where(near > _WORTHLESS, near, cosine)
        closest = [self._nearest_examples(pairs.rows, rivals[:, k]) for k in range(min(_CLOSEST, rivals.shape[1]))]
        rival_near = np.max(closest, axis=0, initial=_WORTHLESS)
        competes = rivals >= 0
        rival_ratio = self._rival_log_ratios(pairs.rows, rivals)
        order = np.argsort(np.where(competes, -rival_ratio, np.inf), axis=1, kind="stable")
        columns = [
            *_against(cosine, rival_cosine, competes),
            *_against(
                ratio, np.take_along_axis(rival_ratio, order, axis=1), np.take_along_axis(competes, order, axis=1)
            ),
            near,
            near - np.where(rival_near > _WORTHLESS, rival_near, rival_cosine[:, 0]),
        ]
        features = np.column_stack([*columns, self.embeddings.quality[pairs.rows]]).astype(np.float64)
        best = np.take_along_axis(rivals, order[:, :1], axis=1)[:, 0]
        return Measures(features, trusted, best)

    def _own_weights(self, rows: Ids, labels: Ids) -> Floats:
        """Weights of the images in the sums of ``labels[n]``: zero for images of another label."""
        return np.where(self.label_index[rows] == labels, self.weights[rows], 0.0)

    def _cosines_without(self, rows: Ids, labels: Ids) -> tuple[Vectors, Floats]:
        """Leave-one-out cosines to the centers of ``labels[n]``, and the trusted weight in these."""
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
        """The competing labels with the nearest centers, and their cosines, nearest first; -1 and -2 beyond them."""
        width = max(1, min(_CANDIDATES, len(self.present) - 1))
        cosines, found = self.center_index.search(
            self.embeddings.vectors[pairs.rows], min(width + 2, len(self.present))
        )
        labels = np.where(found >= 0, self.present[found], -1)
        out = (labels < 0) | (labels == pairs.labels[:, None]) | (labels == pairs.excluded[:, None])
        labels, cosines = np.where(out, -1, labels), np.where(out, _WORTHLESS, cosines)
        at, column = np.nonzero(labels == self.label_index[pairs.rows, None])
        cosines[at, column] = self._cosines_without(pairs.rows[at], labels[at, column])[0]
        order = np.argsort(-cosines, axis=1, kind="stable")[:, :width]
        return np.take_along_axis(labels, order, axis=1), np.take_along_axis(cosines, order, axis=1)

    def _rival_log_ratios(self, rows: Ids, rivals: Ids) -> Vectors:
        """Scaled log ratios of ``rivals[n, R]``; the images are left out of their own label's."""
        forms = self.model.quadratic(self.model_coordinates[rows])
        products = pair_cosines(self.form_index, forms, np.maximum(rivals, 0))
        ratios = (products + self.form_constants[rivals]) / _RATIO_UNIT
        at, column = np.nonzero(rivals == self.label_index[rows, None])
        ratios[at, column] = self._log_ratios_without(rows[at], rivals[at, column])
        return ratios

    def _nearest_examples(self, rows: Ids, labels: Ids) -> Vectors:
        """Mean cosine to the 3 nearest examples of ``labels[n]``, itself and near duplicates left out; or -2."""
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


def _against(value: Vectors, rivals: Vectors, competes: npt.NDArray[np.bool_]) -> list[Vectors]:
    """A measure [n] by itself, less the best rival's, and less the mean of the 20 best; rivals [n, R] best first."""
    there = competes[:, :_BACKGROUND]
    mean = np.where(there, rivals[:, :_BACKGROUND], 0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
    return [value, value - np.where(there[:, 0], rivals[:, 0], 0), value - mean]


def _draw_examples(label_index: Ids, weights: Floats, classes: int, generator: np.random.Generator) -> Ids:
    """Up to 64 trusted rows of each class [C, R], drawn without looking."""
    trusted = np.flatnonzero(weights >= TRUSTED)
    shuffled = trusted[np.lexsort((generator.random(len(trusted)), label_index[trusted]))]
    labels = label_index[shuffled]
    starts = np.searchsorted(labels, np.arange(classes))
    place = np.arange(len(shuffled)) - starts[labels]
    width = int(min(_EXAMPLES, place.max(initial=0) + 1))
    examples = np.full((classes, width), -1, np.int64)
    kept = place < width
    examples[labels[kept], place[kept]] = shuffled[kept]
    return examples
