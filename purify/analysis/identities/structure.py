"""Class structure: several people under one label, and one person under several labels.

Every threshold comes from the data at hand, so that a strong and a weak extractor are judged alike:

* the densest region of a class is its first group, the densest region of the rest the next one (`mode_seeking`);
* a group is a person if it coheres like the classes of this set, and more than strangers by chance;
* two groups are two people if no more alike than two random classes, and one person if as alike as two random parts
  of one class (`null_thresholds`);
* groups explained by chance are left alone (`prototypes`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from purify.analysis.class_rows import (
    ClassRows,
    DistinctPictures,
    ImageGroups,
    canonical_order,
    nearest_center,
)
from purify.analysis.identities.merge import CERTAIN, LabelMerge, find_merges, weight_of
from purify.analysis.identities.null_thresholds import (
    LEAST_IMAGES,
    NullThresholds,
    null_thresholds,
    sampled_classes,
)
from purify.analysis.identities.prototypes import Prototypes
from purify.analysis.identities.shared_labels import SharedLabels, of_one_person
from purify.analysis.identities.small_merges import find_small_merges
from purify.analysis.identities.split import identities_of
from purify.analysis.label_noise.companions import NoiseOrigin
from purify.analysis.label_noise.halves import HalvesScale, similarity_of_halves
from purify.analysis.label_noise.mode_seeking import stack
from purify.arrays import Floats, Ids, Mask, Vectors

#: Minimum number of classes with a sizable dominant group, to measure thresholds on.
_LEAST_CLASSES = 3
_SEED = 1234


@dataclass(frozen=True)
class Structure:
    """The people under the labels.

    ``group[N]`` is 0 for the class's dominant identity, 1, 2, ... for the further ones of a mixed class by decreasing
    size, -1 without a group. ``mixed[C]`` marks classes with a further identity. ``merges`` are sorted by label; each
    label is merged into at most one other. ``shared`` are pairs of labels with images of the same two people.
    """

    group: npt.NDArray[np.int32]
    mixed: Mask
    merges: tuple[LabelMerge, ...]
    shared: tuple[SharedLabels, ...] = ()

    @property
    def sure_merges(self) -> tuple[LabelMerge, ...]:
        """The merges that are certain enough to be carried out."""
        return tuple(merge for merge in self.merges if merge.p_same >= CERTAIN)


def find_structure(
    vectors: Vectors,
    label_index: Ids,
    classes: int,
    p_clean: Floats,
    *,
    near_duplicate: float = 0.98,
    names: Sequence[str] | None = None,
    noise: NoiseOrigin | None = None,
) -> Structure:
    """Find mixed classes and duplicate labels.

    The result does not depend on the order of the rows, except among rows of one class with equal first
    `ORDER_COLUMNS` columns.

    Parameters
    ----------
    vectors, label_index
        [N, D]: centered unit vectors; [N]: the class of each, in [0, `classes`).
    classes
        C; some may have no rows.
    p_clean
        [N]: probability that the row shows the dominant person of its class. It serves only to find the larger of two
        groups: for two labels of one person it may be low in both.
    near_duplicate
        Cosine above which two rows of a class are the same picture.
    names
        Spellings of the C labels, which may add to the evidence for a merge.
    noise
        Share of wrong labels, and of companions among them; None: no label is wrong.
    """
    order = canonical_order(vectors, label_index)
    rows = ClassRows(np.ascontiguousarray(vectors, np.float32), label_index, classes, p_clean, order)
    found = _find(rows, near_duplicate, names, noise or NoiseOrigin(0.0))
    return found or Structure(np.zeros(len(order), np.int32), np.zeros(classes, np.bool_), ())


def _find(rows: ClassRows, near_duplicate: float, names: Sequence[str] | None, noise: NoiseOrigin) -> Structure | None:
    """The structure of the rows; None with images of one class only."""
    rng = np.random.default_rng(_SEED)
    sampled = sampled_classes(rows, near_duplicate, rng)
    if sampled is None:
        return None
    pairs, centers, samples = sampled
    dominant = ImageGroups(rows.vectors, [sample.near_center(centers) for sample in samples])
    known = np.flatnonzero(dominant.size >= LEAST_IMAGES).tolist()
    thresholds = null_thresholds(dominant.take(known), pairs, centers, rng) if len(known) >= _LEAST_CLASSES else None
    large = _find_large(rows, samples, dominant, known, thresholds)
    small = find_small_merges(
        rows,
        large.group,
        samples,
        dominant,
        mixed=large.mixed,
        merged=frozenset(merge.label for merge in large.merges),
        names=names,
        noise=noise,
        near_duplicate=near_duplicate,
        rng=rng,
    )
    proposed = tuple(sorted((*large.merges, *small), key=lambda merge: merge.label))
    structure = replace(large, merges=proposed)
    if thresholds is None or not proposed:
        return structure
    scale = HalvesScale.between(thresholds.different, similarity_of_halves(rows.vectors, dominant.take(known).members))
    return _without_shared(structure, rows, scale)


def _without_shared(structure: Structure, rows: ClassRows, scale: HalvesScale) -> Structure:
    """The structure without merges of labels that two people share; of tied ones, either person may be meant."""
    merges, shared = of_one_person(rows, structure.group, structure.merges, scale)
    group, mixed = structure.group.copy(), structure.mixed.copy()
    for one in shared:
        if one.tied:
            group[one.rows] = ~one.shows
            mixed[list(one.labels)] = True
    return Structure(group, mixed, merges, shared)


def _find_large(
    rows: ClassRows,
    samples: list[DistinctPictures],
    dominant: ImageGroups,
    known: list[int],
    thresholds: NullThresholds | None,
) -> Structure:
    """Mixed classes, and duplicate ones among the `known` classes of many images; none without thresholds."""
    mixed = np.zeros(rows.classes, np.bool_)
    if thresholds is None:
        return Structure(np.zeros(len(rows.label), np.int32), mixed, ())
    usual = dominant.take(known)
    labels = np.array([samples[i].label for i in known], np.int64)
    prototypes = Prototypes.of(labels, stack(usual), np.diff(rows.start))
    found = np.full(len(rows.label), -1, np.int32)
    for sample in samples:
        own = identities_of(sample, thresholds, prototypes)
        members = rows.members(sample.label)
        found[members] = _by_size(
            nearest_center(rows.vectors[members], own, thresholds.centers), rows.p_clean[members], len(own)
        )
        mixed[sample.label] = len(own) > 1
    pictures = np.array([len(samples[i].members) for i in known])
    return Structure(found, mixed, find_merges(rows, found, mixed, prototypes, pictures, thresholds))


def _by_size(nearest: Ids, p_clean: Floats, groups: int) -> npt.NDArray[np.int32]:
    """Renumber the groups from the largest to the smallest; -1 stays."""
    order = np.argsort([-weight_of(p_clean[nearest == k]) for k in range(groups)], kind="stable")
    rank = np.empty(groups + 1, np.int32)
    rank[order] = np.arange(groups)
    rank[-1] = -1
    return rank[nearest]
