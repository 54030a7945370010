"""Two people who stand under the same two labels, as couples and co-stars do.

Where each has nearly half of the images of both labels, the densest region of either label holds both people, and the
labels look like two names of one person. But the two halves of their images are less alike than halves of one person's
images. Each label then means the person of whom it has more, as far as the two labels can both be right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from purify.analysis.class_rows import ClassRows
from purify.analysis.identities.merge import DOUBTFUL, LabelMerge, dominant_rows
from purify.analysis.label_noise.halves import HalvesScale, halves_of
from purify.analysis.label_noise.mode_seeking import stack
from purify.arrays import Floats, Ids, Mask, Vectors

#: Minimum number of images, and minimum share of a label's images, of each of the two people.
_LEAST_EACH, _LEAST_SHARE = 2, 0.15


@dataclass(frozen=True)
class SharedLabels:
    """Two `labels` of two people: whether each of the images ``rows[n]`` ``shows[n]`` the person that its label means.

    `tied` labels have as many images for as against that; either of the two people may be meant.
    """

    labels: tuple[int, int]
    rows: Ids
    shows: Mask
    tied: bool


def of_one_person(
    rows: ClassRows, found: npt.NDArray[np.int32], merges: Sequence[LabelMerge], scale: HalvesScale
) -> tuple[tuple[LabelMerge, ...], tuple[SharedLabels, ...]]:
    """The `merges` of labels that do show one person, some of them doubtful, and the labels that two people share.

    ``found[N]`` is 0 for the images of the dominant group of their label.
    """
    kept, shared = [], []
    for merge in merges:
        members = [dominant_rows(rows, found, label) for label in (merge.label, merge.into)]
        both = np.concatenate(members)
        halves = halves_of(rows.vectors[both])
        if halves is None or not halves.similarity < scale.one_person:
            kept.append(merge)
        elif halves.similarity >= scale.two_people:
            kept.append(replace(merge, p_same=min(merge.p_same, DOUBTFUL)))
        else:
            second = np.split(halves.is_second(rows.vectors[both]), [len(members[0])])
            shared.append(_shared(rows.vectors, (merge.label, merge.into), members, second, scale))
    return tuple(kept), tuple(one for one in shared if one is not None)


def _shared(
    vectors: Vectors, labels: tuple[int, int], members: list[Ids], second: list[Mask], scale: HalvesScale
) -> SharedLabels | None:
    """Whom each label means, if the images of both ``labels``, of which some are in the ``second`` half, are shared.

    Each half then shows one person under both labels. Of two people of two looks each, such as masked and not, it shows
    one look of both.
    """
    parts = [own[side] for own, later in zip(members, second, strict=True) for side in (~later, later)]
    groups = stack(vectors[part] for part in parts)
    counts = groups.size.reshape(2, 2)
    if (counts < np.maximum(_LEAST_EACH, _LEAST_SHARE * counts.sum(axis=1, keepdims=True))).any():
        return None
    if not groups.similarity(np.array([0, 1]), groups, np.array([2, 3])).mean() >= scale.same:
        return None
    straight, crossed = int(np.trace(counts)), int(np.trace(counts[::-1]))
    means_second = np.repeat([crossed > straight, crossed <= straight], [len(own) for own in members])
    return SharedLabels(labels, np.concatenate(members), np.concatenate(second) == means_second, straight == crossed)


def trust_in_shared(shared: Sequence[SharedLabels], images: int) -> Floats:
    """1 for images [N] that show the person of one of the `shared` labels, 0 for the other's, NaN for all else."""
    trust = np.full(images, np.nan)
    for one in shared:
        if np.isnan(trust[one.rows]).all():
            trust[one.rows] = one.shows
    return trust
