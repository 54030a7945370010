"""Whose label is it? A person's own label holds most of the images.

Wrong labels that cluster may outnumber the right ones: all images of a frequent person that land under the name of a
look-alike. The densest region of that label is then the frequent person. Two rules keep such labels from claiming the
frequent person's images, and give them back to the rest of their own:

* a label doesn't claim images under another label if these outnumber its own;
* if most of a label's images show the person of a larger label, and so many of them were to be expected among its
  flips, they are wrong, and the label's remaining images are right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from purify.analysis.label_noise.evidence import Evidence
from purify.analysis.label_noise.origins import Origins
from purify.analysis.label_noise.small_labels import MOST_IMAGES
from purify.arrays import Floats, Ids, Mask

#: An image shows the person of a claimant from this log ratio on, if it is at most so much below that of its own label.
_CLAIMED, _BELOW_OWN = 4.0, 5.0
#: Share of a label's trusted images that makes their person the label's.
_MOST = 0.5
_LARGER = 1.2
#: Minimum probability of so many flips: two names of one person are about as rare.
_EXPECTED = 1e-3
#: Probability that all of the images of a label are flips.
_NOBODY = 0.1
_TINY = 1e-9


@dataclass(frozen=True)
class Ownership:
    """Claims ``refused[N, R]``, and the trust [N] of the images of labels given back; NaN for all others."""

    refused: Mask
    trust: Floats

    @property
    def changes_trust(self) -> bool:
        """Whether any label is given back."""
        return bool(np.isfinite(self.trust).any())


def find_owners(evidence: Evidence, label_index: Ids, belief: Floats, sizes: Ids, origins: Origins) -> Ownership:
    """Apply both rules, given the probabilities ``belief[N]`` of the labels so far."""
    claimed = (evidence.claims > _CLAIMED) & (evidence.claims > evidence.own[:, None] - _BELOW_OWN)
    claimed &= evidence.claimants >= 0
    own = np.maximum(np.bincount(label_index, weights=belief, minlength=len(sizes)), _TINY)
    pairs = label_index[:, None] * len(sizes) + evidence.claimants
    found, place = np.unique(pairs[claimed], return_inverse=True)
    images = np.bincount(place, weights=np.broadcast_to(belief[:, None], claimed.shape)[claimed])
    label, claimant = np.divmod(found, len(sizes))
    outnumbered = images > own[claimant]
    swamped = (images >= _MOST * own[label]) & ~outnumbered & (own[claimant] > _LARGER * own[label])
    swamped &= sizes[label] > MOST_IMAGES
    trust = np.full(len(label_index), np.nan)
    noise = float((1 - belief)[sizes[label_index] > 1].mean()) if (sizes > 1).any() else 0.0
    for at in np.flatnonzero(swamped).tolist():
        members = np.flatnonzero(label_index == label[at])
        theirs = (claimed[members] & (evidence.claimants[members] == claimant[at])).any(axis=1)
        expected = (
            own[claimant[at]] * noise / max(1 - noise, _TINY) * _share(evidence, origins, label[at], claimant[at])
        )
        nobody = np.log(_NOBODY) if claimed[members].any(axis=1).all() else 0.0
        if images[at] * np.log(expected / (1 + expected) + _TINY) + nobody > np.log(_EXPECTED):
            trust[members] = ~theirs
    return Ownership(_is_among(pairs, found[outnumbered]), trust)


def _is_among(values: Ids, few: Ids) -> Mask:
    """Mask of the ``values[N, R]`` among a few sorted ones; `numpy.isin` would sort them all."""
    if not len(few):
        return np.zeros(values.shape, np.bool_)
    among: Mask = few[np.minimum(np.searchsorted(few, values), len(few) - 1)] == values
    return among


def _share(evidence: Evidence, origins: Origins, label: int, claimant: int) -> float:
    """Share of the claimant's flips that lands under the label."""
    rank = evidence.routes.rank(np.array([[claimant]]), np.array([label]))[0, 0]
    return float(evidence.routes.per_label(origins)[rank])
