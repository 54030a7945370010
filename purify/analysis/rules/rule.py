"""The interface of a decision rule: a context in, an outcome out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from purify.analysis.identities.structure import Structure
from purify.analysis.label_noise.centering import CenteredEmbeddings, centered
from purify.analysis.label_noise.learned_labels import LearnedLabels, learned_labels
from purify.analysis.near_pairs import NearPairs
from purify.analysis.nearest_images import SOUGHT, NearestImages, nearest_images
from purify.analysis.neighbors import SLACK
from purify.analysis.search import vector_blocks
from purify.analysis.subcenters import SubcenterSpace, assign, nearest_other_class, trusted_subcenters
from purify.arrays import Floats, Ids, StoredVectors, Vectors
from purify.config import AnalyzeConfig

Words = npt.NDArray[np.object_]

#: Sub-centers per class if none are given.
DEFAULT_SUBCENTERS = 3


@dataclass(frozen=True)
class RuleContext:
    """The images and labels to judge, sorted by sample id.

    Attributes
    ----------
    sample_ids
        [N].
    given
        [N, D]: the embeddings as the extractor wrote them, in the order of the caller; in memory or not.
    label_index
        int64 [N]: number of each given label.
    class_labels
        The C labels.
    config
        Settings of the analysis, such as `threshold`.
    seed
        Seed of every random draw.
    given_space
        The sub-centers of a trained head, if any.
    pictures
        int64 [N]: equal numbers for images of equal bytes, -1 if unknown; None: all unknown.
    photos
        int64 [N]: equal numbers for faces cropped from one photo, -1 for images that are none; None: all are none.
    subcenters
        K, if none are given.
    order
        int64 [N]: row of `given` of each image; None: they are in order.
    """

    sample_ids: Sequence[str]
    given: Vectors | StoredVectors
    label_index: Ids
    class_labels: Sequence[str]
    config: AnalyzeConfig
    seed: int = 0
    given_space: SubcenterSpace | None = None
    pictures: Ids | None = None
    photos: Ids | None = None
    subcenters: int = DEFAULT_SUBCENTERS
    order: Ids | None = None

    @property
    def classes(self) -> int:
        """C."""
        return len(self.class_labels)

    @cached_property
    def embeddings(self) -> Vectors:
        """float32 [N, D]: as the extractor wrote them."""
        vectors = np.empty(self.given.shape, np.float32)
        for places, block in vector_blocks(self.given, self.order):
            vectors[places] = block
        return vectors

    @cached_property
    def space(self) -> SubcenterSpace:
        """The given sub-centers, or K per class, fitted at first use (with PyTorch)."""
        if self.given_space is not None:
            return self.given_space
        from purify.analysis.projection import fit_subcenters

        projected, subcenters = fit_subcenters(
            self.embeddings, self.label_index, classes=self.classes, subcenters=self.subcenters, seed=self.seed
        )
        return SubcenterSpace.of(projected, subcenters)

    @cached_property
    def centered(self) -> CenteredEmbeddings:
        """The embeddings around the mean of the labels' means."""
        return centered(self.given, self.label_index, order=self.order)

    @cached_property
    def nearest(self) -> NearestImages:
        """The images nearest to each, as `centered`."""
        return self.nearest_of(self.centered.vectors)

    def nearest_of(self, vectors: Vectors) -> NearestImages:
        """The images nearest to each by unit ``vectors[N, D]``, as many as the analysis asks for."""
        most = max(SOUGHT, self.config.neighbors + SLACK)
        return nearest_images(vectors, self.label_index, most=most, recall=self.config.recall)

    @cached_property
    def near_pairs(self) -> NearPairs:
        """Pairs of the images nearest to each other."""
        return NearPairs.of(self.nearest, self.label_index, self.config.near_duplicate)

    @cached_property
    def angles(self) -> AngleEvidence:
        """Cosines of the images to the sub-centers of `space`."""
        return AngleEvidence.of(self.space, self.label_index)

    @cached_property
    def learned(self) -> LearnedLabels | None:
        """Evidence of the head that learned these labels; None if the sub-centers are of another origin."""
        space = self.given_space
        if space is None or space.learned is None:
            return None
        present, first = np.unique(self.label_index, return_index=True)
        centers = space.subcenters[present, self.angles.dominant[first]][space.learned[present]]
        if not len(centers):
            return None
        cos_own = np.where(space.learned[self.label_index], self.angles.cos_dominant, np.nan)
        return learned_labels(self.embeddings, cos_own, self.angles.cos_other, centers)

    def space_after(self, p_clean: Floats) -> SubcenterSpace:
        """`space` if given or fitted; else sub-centers of the trusted and the doubted images by `p_clean`."""
        if self.given_space is not None or "space" in vars(self):
            return self.space
        return trusted_subcenters(
            self.centered.vectors, self.label_index, p_clean, self.classes, subcenters=self.subcenters
        )


@dataclass(frozen=True)
class AngleEvidence:
    """The nearest own sub-center of N images, the dominant one of their class, and the cosine to the latter.

    `other` is the other class with the nearest dominant sub-center, `cos_other` the cosine to it; or -1 and NaN.
    """

    subcenter: npt.NDArray[np.int32]
    dominant: npt.NDArray[np.int32]
    cos_dominant: npt.NDArray[np.floating]
    other: Ids
    cos_other: npt.NDArray[np.floating]

    @classmethod
    def of(cls, space: SubcenterSpace, label_index: Ids) -> AngleEvidence:
        """Compare the images of `space` with the sub-centers of their given labels and of the other classes."""
        found = assign(space.embeddings, label_index, space.subcenters)
        other, cos_other = nearest_other_class(space.embeddings, label_index, space.subcenters, found)
        return cls(found.subcenter, found.dominant[label_index], found.cos_dominant, other, cos_other)


@dataclass(frozen=True)
class Outcome:
    """Decisions of a rule on N images.

    Attributes
    ----------
    rule
        Name and version, such as ``official/1``; after a fallback, those of the rule that took over.
    decision, reason
        Values of `Decision` and `Reason`, [N].
    new_label, other
        int64 [N]: the new label, and the best other one; -1 for none.
    p_clean, p_other
        float64 [N]: probability of the given label, and of the other one; or a ranking score.
    probabilities
        Whether they are probabilities.
    structure
        Mixed classes and duplicate labels; None if the rule looks for none.
    why
        Why another rule took over, or nothing was judged; empty otherwise.
    evidence
        int64 [N]: row that shows the decision, before all neighbors; -1 for none. None: none at all.
    second_reading
        float64 [N]: probability of the given label by the embeddings without the head that learned the labels
        (`purify.analysis.second_reading`); None without such a head.
    series
        Number of series (frames, bursts, copies) that the images were judged in; None where they come in none.
    """

    rule: str
    decision: Words
    reason: Words
    new_label: Ids
    other: Ids
    p_clean: Floats
    p_other: Floats
    probabilities: bool = False
    structure: Structure | None = None
    why: str = ""
    evidence: Ids | None = None
    second_reading: Floats | None = None
    series: int | None = None


@runtime_checkable
class Rule(Protocol):
    """A decision rule."""

    @property
    def name(self) -> str:
        """Name, as in ``--rule NAME``."""

    @property
    def version(self) -> int:
        """Raised whenever decisions change."""

    @property
    def probabilities(self) -> bool:
        """Whether ``p_clean`` is meant as a probability."""

    def judge(self, context: RuleContext) -> Outcome:
        """Judge the images of the context, in their order."""


def identifier(rule: Rule) -> str:
    """Content of the ``rule`` column, such as ``official/1``."""
    return f"{rule.name}/{rule.version}"
