"""The trusted images of the labels, and comparisons of images with them.

An image is always left out of the images it is compared with.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import faiss
import numpy as np
import numpy.typing as npt

from purify.analysis.identities.plda import IdentityModel, fit_identities
from purify.analysis.label_noise.centering import CenteredEmbeddings
from purify.analysis.label_noise.comparison import NEAREST, Comparison, ImageTraits
from purify.analysis.label_noise.initial_trust import DISTRUSTED
from purify.analysis.label_noise.leave_one_out import ClassSums, class_sums
from purify.analysis.search import cosine_index, flat_index, one_thread, pair_cosines, unit
from purify.analysis.threaded_search import map_blocks
from purify.arrays import Floats, Ids, Mask, Vectors

#: Other labels compared with an image: those of the nearest centers, and of these those of the largest log ratios.
_NEAREST_CENTERS = 64
CLAIMS = 8
#: Nearest centers, after the very nearest one, averaged as the background of an image.
_BACKGROUND = 20
#: Maximum trusted images of a label to compare with an image one by one.
_EXAMPLES = 64
#: Images at a time; bounds the memory, and keeps what is computed of them in the cache.
_BLOCK = 1024
#: Labels at a time.
_LABELS = 64
#: Images with at least this weight are trusted.
TRUSTED = 0.5
#: Stands in for a missing cosine.
_WORTHLESS = -2.0


@dataclass(frozen=True)
class Claims:
    """The labels that claim each image most, strongest first, ``labels[N, R]`` (-1: none), and their `comparison`.

    The arrays of the comparison are [N, R].
    """

    labels: npt.NDArray[np.int32]
    comparison: Comparison


class Gallery:
    """The images of C labels, weighted by their `trust` [N]: each compared with its own label and with others.

    `rng` draws the examples of large labels. The labels nearest to each image are sought among ``near[N, R]``; None:
    among all.
    """

    def __init__(
        self,
        embeddings: CenteredEmbeddings,
        label_index: Ids,
        trust: Floats,
        classes: int,
        *,
        rng: np.random.Generator,
        near: npt.NDArray[np.int32] | None = None,
    ) -> None:
        self.vectors, self.label_index = embeddings.vectors, label_index
        self.weights = np.maximum(trust, DISTRUSTED)
        self.sums = class_sums(self.vectors, label_index, self.weights, classes)
        self.centers = unit(self.sums.total)
        self.model = fit_identities(self.vectors, label_index, self.weights, classes)
        #: int64 [C, R]: trusted rows of each label, then -1.
        self.examples = _draw_examples(label_index, trust, classes, rng)
        measures = _Measures.of(self.sums, self.centers, self.model, near)
        found = _Compared.empty(len(label_index))
        map_blocks(lambda rows: found.put(rows, self._measure(rows, measures)), len(label_index), _BLOCK)
        #: Each image with the other images of its label, [N].
        self.own = self._finished(found.own, label_index)
        self.claims = Claims(found.claimants, self._finished(found.claims, found.claimants))
        rivals = found.claims.ratio[:, :2].astype(np.float64)
        self.traits = ImageTraits(embeddings.quality, found.background, rivals, found.claimants[:, 0])

    def _finished(self, found: Comparison, labels: Ids | npt.NDArray[np.int32]) -> Comparison:
        """`found`, with the cosines to the nearest images of ``labels[N, ...]``."""
        nearest = self._nearest(labels.reshape(len(labels), -1)).reshape(labels.shape)
        return replace(found, nearest=np.where(nearest > _WORTHLESS, nearest, found.cosine))

    @property
    def images(self) -> Floats:
        """Number of images [C] of each label, by weight."""
        return self.sums.count

    def _measure(self, rows: slice, measures: _Measures) -> _Compared:
        """The rows against their own labels, and against the labels that claim them."""
        vectors, labels = self.vectors[rows], self.label_index[rows]
        coordinates = self.model.coordinates(vectors)
        total, images = self.sums.without(labels, vectors, self.weights[rows])
        length = np.linalg.norm(total, axis=1)
        cosine = np.einsum("nd,nd->n", vectors, total) / np.where(length > 0, length, 1)
        means = self.model.coordinates(total) / np.maximum(images, np.finfo(np.float32).tiny)[:, None]
        ratio = self.model.log_ratio(coordinates, means.astype(np.float32), images).astype(np.float64)
        own = Comparison(ratio, cosine.astype(np.float64), np.zeros(len(labels)), images)
        return measures.claims(rows, vectors, coordinates, labels, own)

    def _nearest(self, labels: Ids | npt.NDArray[np.int32]) -> Vectors:
        """Mean cosine [N, R] of each image to the nearest examples of ``labels[N, R]``; -2 for none."""
        nearest = np.full(labels.shape, _WORTHLESS, np.float32)
        asked = labels.ravel()
        order = np.argsort(asked, kind="stable")
        bounds = np.searchsorted(asked, np.arange(len(self.examples) + 1), sorter=order)
        flat = nearest.reshape(-1)

        def fill(block: slice) -> None:
            for label in range(block.start, block.stop):
                places = order[bounds[label] : bounds[label + 1]]
                if len(places):
                    flat[places] = self._nearest_examples(places // labels.shape[1], self.examples[label])

        map_blocks(fill, len(self.examples), _LABELS)
        return nearest

    def _nearest_examples(self, rows: Ids, examples: Ids) -> Vectors:
        """Mean cosine [n] of the images `rows` to their nearest ones of `examples` [R]; -2 for none."""
        examples = examples[examples >= 0]
        if not len(examples):
            return np.full(len(rows), _WORTHLESS, np.float32)
        cosines = self.vectors[rows] @ self.vectors[examples].T
        cosines[rows[:, None] == examples] = _WORTHLESS
        width = min(NEAREST, len(examples))
        top = -np.partition(-cosines, width - 1, axis=1)[:, :width]
        counted = top > _WORTHLESS
        found = counted.sum(axis=1)
        means = np.where(counted, top, 0).sum(axis=1) / np.maximum(found, 1)
        return np.where(found > 0, means, _WORTHLESS).astype(np.float32)


@dataclass(frozen=True)
class _Compared:
    """Comparisons of n images, ``own[n]`` and ``claims[n, R]``, yet without nearest images; and ``background[n]``."""

    own: Comparison
    claimants: npt.NDArray[np.int32]
    claims: Comparison
    background: Floats

    @classmethod
    def empty(cls, images: int) -> _Compared:
        """Of so many images, to be `put`."""
        own, claims = Comparison.empty((images,), np.float64), Comparison.empty((images, CLAIMS), np.float32)
        return cls(own, np.empty((images, CLAIMS), np.int32), claims, np.empty(images))

    def put(self, rows: slice, block: _Compared) -> None:
        """Set those of the `rows`, in place."""
        self.own.put(rows, block.own)
        self.claims.put(rows, block.claims)
        self.claimants[rows], self.background[rows] = block.claimants, block.background


@dataclass(frozen=True)
class _Measures:
    """The C labels: centers of the present ones, searchable, linear forms (`IdentityModel.class_forms`), images."""

    present: Ids
    index: faiss.Index
    model: IdentityModel
    products: faiss.Index
    constants: Vectors
    images: Floats
    near: npt.NDArray[np.int32] | None

    @classmethod
    def of(
        cls,
        sums: ClassSums,
        centers: Vectors,
        model: IdentityModel,
        near: npt.NDArray[np.int32] | None,
    ) -> _Measures:
        present = np.flatnonzero(sums.count > 0)
        forms = model.class_forms(model.coordinates(sums.means()), sums.count)
        products = flat_index(np.ascontiguousarray(forms[:, :-1]))
        index = cosine_index(centers[present]) if near is None else flat_index(centers)
        return cls(present, index, model, products, forms[:, -1], sums.count, near)

    def claims(self, rows: slice, vectors: Vectors, coordinates: Vectors, given: Ids, own: Comparison) -> _Compared:
        """Of images under the labels ``given[n]``: the other labels most like each, which claim it, and background."""
        cosines, labels = self._nearest(rows, vectors)
        labels = np.where(labels == given[:, None], -1, labels)
        # The nearest one is left out, whether it is the given label's or that of a flipped image's person.
        background = cosines[:, 1 : _BACKGROUND + 1].mean(axis=1)
        ratios = pair_cosines(self.products, self.model.quadratic(coordinates), np.maximum(labels, 0))
        ratios = np.where(labels >= 0, ratios + self.constants[labels], -np.inf)
        order = np.argsort(-ratios, axis=1, kind="stable")[:, :CLAIMS]
        claimants = np.full((len(given), CLAIMS), -1, np.int32)
        claimants[:, : order.shape[1]] = np.take_along_axis(labels, order, axis=1)
        ratio, cosine = (_strongest(values, order, claimants >= 0) for values in (ratios, cosines))
        claims = Comparison(ratio, cosine, np.zeros_like(ratio), self.images[claimants])
        return _Compared(own, claimants, claims, background.astype(np.float64))

    def _nearest(self, rows: slice, vectors: Vectors) -> tuple[Vectors, Ids]:
        """Cosines and labels [n, R] of the nearest centers, nearest first; labels of -1: none."""
        if self.near is None:
            with one_thread():
                cosines, found = self.index.search(vectors, min(_NEAREST_CENTERS + 1, len(self.present)))
            return cosines, np.where(found >= 0, self.present[found], -1)
        labels = self.near[rows].astype(np.int64)
        labels = np.where(self.images[labels] > 0, labels, -1)  # none is left of a merged one
        cosines = np.where(labels >= 0, pair_cosines(self.index, vectors, np.maximum(labels, 0)), -np.inf)
        order = np.argsort(-cosines, axis=1, kind="stable")
        return np.take_along_axis(cosines, order, axis=1), np.take_along_axis(labels, order, axis=1)


def _strongest(values: Vectors, order: Ids, there: Mask) -> Vectors:
    """The `values` in the given order, [n, `CLAIMS`]; 0 where there is no claimant."""
    chosen = np.zeros(there.shape, np.float32)
    chosen[:, : order.shape[1]] = np.take_along_axis(values, order, axis=1)
    return np.where(there, chosen, np.float32(0))


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
