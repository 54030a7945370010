"""Labels of few images, judged jointly by which of their images agree.

Every subset of a label's images may be those of its person. The evidence for a subset is how much more probable its
images are as one person's than as different people's. The images outside of it are wrong, or right but unrecognizable.
The probabilities of all subsets give that of each image.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from purify.analysis.label_noise.comparison import compare_with_sets
from purify.analysis.label_noise.gallery import Gallery
from purify.analysis.label_noise.same_person import SamePerson
from purify.arrays import Floats, Ids, Mask

#: Labels of up to this many images are judged jointly: 2^6 subsets.
MOST_IMAGES = 6


@dataclass(frozen=True)
class ImageSets:
    """All subsets of the images of L labels of n images: ``rows[L, n]``, and ``log_ratio[L, 2^n]`` of each subset.

    Bit i of a subset's number stands for column i; subsets of fewer than two images have a log ratio of 0.
    """

    rows: Ids
    log_ratio: Floats

    def p_clean(self, rate: Floats, hardness: Floats, wrong: Floats) -> Floats:
        """Probability [L, n] of each label.

        Takes the noise rate, the share of unrecognizable images among right ones, and the log ratio of a wrong label,
        of all N images.
        """
        share, hard, odds = rate[self.rows], hardness[self.rows], wrong[self.rows]
        right_but_hard = np.log1p(-share) + np.log(hard)
        outside = np.logaddexp(right_but_hard, np.log(share) + odds)
        inside = np.log1p(-share) + np.log1p(-hard)
        member = _members(self.rows.shape[1]).astype(np.float64)
        log_weight = self.log_ratio + inside @ member.T + outside @ (1 - member).T
        weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
        agrees = (weight / weight.sum(axis=1, keepdims=True)) @ member
        p_clean: Floats = agrees + (1 - agrees) * np.exp(right_but_hard - outside)
        return p_clean


def image_sets(gallery: Gallery, same_person: SamePerson, sizes: Ids) -> list[ImageSets]:
    """Compare the images of all labels of up to 6 images, given their ``sizes[C]``."""
    order = np.argsort(gallery.label_index, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)])
    found = []
    for size in range(1, MOST_IMAGES + 1):
        labels = np.flatnonzero(sizes == size)
        if len(labels):
            rows = order[starts[labels][:, None] + np.arange(size)]
            found.append(ImageSets(rows, _log_ratios(gallery, same_person, rows)))
    return found


def _log_ratios(gallery: Gallery, same_person: SamePerson, rows: Ids) -> Floats:
    """Log ratio [L, 2^n] of each subset: one image after the other joins it, averaged over all orders."""
    size = rows.shape[1]
    log_ratio = np.zeros((len(rows), 1 << size))
    for subset, members in enumerate(_members(size)):
        chosen = np.flatnonzero(members).tolist()
        if len(chosen) < 2:
            continue
        for joining, rest in _leave_one_out(chosen):
            added = _joins(gallery, same_person, rows[:, joining], rows[:, rest])
            log_ratio[:, subset] += (added + log_ratio[:, subset & ~(1 << joining)]) / len(chosen)
    return log_ratio


def _joins(gallery: Gallery, same_person: SamePerson, rows: Ids, mates: Ids) -> Floats:
    found = compare_with_sets(gallery.vectors, gallery.coordinates, gallery.model, rows, mates)
    return same_person.log_ratio(rows, gallery.label_index[rows], found)


def _leave_one_out(chosen: list[int]) -> Iterator[tuple[int, list[int]]]:
    return ((i, [j for j in chosen if j != i]) for i in chosen)


def _members(size: int) -> Mask:
    """Membership [2^n, n] of each image in each subset."""
    return (np.arange(1 << size)[:, None] >> np.arange(size)) & 1 > 0
