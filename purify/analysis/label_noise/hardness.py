"""Right but unrecognizable images: profile, goggles, blur, a film role.

Such an image looks like a stranger's. Where nobody claims an image of usual quality, it is as likely right but hard as
wrong; the lower its quality, the likelier it is hard. How quality tells is measured on the set's own right images: how
many more of low quality are among the 5 % nearest to no one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from purify.analysis.label_noise.comparison import MOST_IMAGES, ImageTraits
from purify.analysis.label_noise.logistic import fit_logistic, sigmoid
from purify.analysis.threaded_search import BLOCK_ROWS, map_blocks
from purify.arrays import Floats, Ids, Mask

#: Share of the right images, those with the least evidence, that shows which qualities are hard.
_LEAST_ALIKE = 0.05
#: Bounds of the share of unrecognizable images among right ones: of usual quality, and of any.
_MOST_USUAL, _LEAST, _MOST = 1e-3, 1e-5, 0.03
_FARTHEST = 5.0
_TINY = 1e-9
#: Images of a large set to which ten coefficients are fitted, at least.
_FITTED = 100_000


def first_hardness(images: int) -> Floats:
    """Hardness [N] before anything is measured."""
    return np.full(images, _MOST_USUAL)


def measure_hardness(
    own: Floats, mates: Floats, p_clean: Floats, traits: ImageTraits, *, several: Mask, strangers: float
) -> Floats:
    """Probability [N] that an image, if right, is unrecognizable.

    Parameters
    ----------
    own, mates
        Log ratio [N] of each image with its label's other images, and the number of these.
    p_clean
        Probability of each label.
    traits
        Quality and background.
    several
        Mask of the images in labels of two or more.
    strangers
        Share of images of people without a label.
    """
    relative = _relative_risk(own, mates, p_clean, traits, several)
    return np.clip(min(strangers, _MOST_USUAL) * relative**2, _LEAST, _MOST)


def _relative_risk(own: Floats, mates: Floats, p_clean: Floats, traits: ImageTraits, several: Mask) -> Floats:
    """How much more often images of this quality are among the least alike right ones."""
    known = np.flatnonzero(several)
    weights, evidence = p_clean[known], _beyond_size(own, mates, p_clean * several)[known]
    order = np.argsort(evidence, kind="stable")
    below = np.cumsum(weights[order])
    low = evidence < evidence[order[np.searchsorted(below, _LEAST_ALIKE * below[-1])]]
    qualities = _Qualities.of(traits, several)
    some = slice(None, None, max(1, len(known) // _FITTED))
    sample, weight = qualities.features(known[some]), weights[some]
    model = fit_logistic(sample, weight * low[some] + _TINY, sample, weight * ~low[some] + _TINY)
    usual = np.log(_LEAST_ALIKE / (1 - _LEAST_ALIKE))
    odds = map_blocks(lambda rows: model.log_odds(qualities.features(rows)), len(several), BLOCK_ROWS)
    risk: Floats = sigmoid(np.concatenate(odds) + usual) / _LEAST_ALIKE
    return risk


def _beyond_size(own: Floats, mates: Floats, weights: Floats) -> Floats:
    """Evidence [N] less what is usual with so many mates: a quadratic in the logarithm of their number."""
    size = np.log(np.clip(mates, 1, MOST_IMAGES))
    terms = np.column_stack([np.ones(len(size)), size, size**2])
    root = np.sqrt(weights)
    fitted = np.linalg.lstsq(terms * root[:, None], own * root, rcond=None)[0]
    beyond: Floats = own - terms @ fitted
    return beyond


@dataclass(frozen=True)
class _Qualities:
    """Traits ``raw[N, 3]`` of the images, and their mean and spread [3] among those in labels of two or more."""

    raw: Floats
    mean: Floats
    spread: Floats

    @classmethod
    def of(cls, traits: ImageTraits, several: Mask) -> _Qualities:
        raw = np.column_stack([traits.quality, traits.background])
        known = raw[several]
        return cls(raw, known.mean(axis=0), np.maximum(known.std(axis=0), _TINY))

    def features(self, rows: Ids | slice) -> Floats:
        """Squares and products of the standardized traits, [n, 9]."""
        a = np.clip((self.raw[rows] - self.mean) / self.spread, -_FARTHEST, _FARTHEST)
        return np.column_stack([a, a**2, a[:, 0] * a[:, 1], a[:, 1] * a[:, 2], a[:, 0] * a[:, 2]])
