"""Companions: several wrong images of a label that show the same other person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from purify.arrays import Floats, Ids

#: Share before anything is measured, and the wrong images that it counts as.
_PRIOR_SHARE, _PRIOR_IMAGES = 0.2, 10.0
_RECOGNIZED = 0.5


@dataclass(frozen=True)
class NoiseOrigin:
    """`share` of wrong labels; `companions`: probability that two wrong images of a label show the same person."""

    share: float
    companions: float = _PRIOR_SHARE

    @classmethod
    def measured(cls, share: float, label_index: Ids, target: Ids, p_target: Floats) -> NoiseOrigin:
        """Measure companions on the images ``label_index[N]`` with a recognized other label ``target[N]``.

        ``p_target[N]`` is its probability. Images whose label has no other recognized one tell nothing.

        Examples
        --------
        >>> import numpy as np
        >>> label = np.repeat(np.arange(30), 2)
        >>> round(NoiseOrigin.measured(0.3, label, 99 - label, np.ones(60)).companions, 2)
        0.89
        """
        recognized = np.flatnonzero(p_target >= _RECOGNIZED)
        number = np.unique(label_index[recognized], return_inverse=True)[1]
        same = np.unique(np.stack([number, target[recognized]]), axis=1, return_inverse=True)[1].ravel()
        others, alike = (np.bincount(group)[group] - 1.0 for group in (number, same))
        several = others > 0
        found = float((alike[several] / others[several]).sum())
        return cls(share, (found + _PRIOR_SHARE * _PRIOR_IMAGES) / (float(several.sum()) + _PRIOR_IMAGES))
