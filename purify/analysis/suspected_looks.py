"""Signs that labels have several looks, which make right images seem to show something else than their label.

These are dropped images whose neighbors have their label (on faces at most one in fifty, with looks one in ten to seven
in ten), and a second person under very many labels. Several images of one other person under a label look the same, so
nothing but a person can tell the two apart.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from purify.analysis.rules.rule import Outcome
from purify.arrays import Ids
from purify.tables.schema import Decision, Reason

#: Share of the neighbors with the own label from which an image has its like under it; the share of such images among
#: the dropped ones that tells of looks, and as how many fewer of these count.
_AGREEING, _TELLING, _LEAST_DROPPED = 0.2, 0.05, 20
#: Share of labels with a second person that tells of looks, and the least number of them.
_MIXED, _LEAST_MIXED = 0.2, 3


def suspected_looks(outcome: Outcome, label_index: Ids, agreement: npt.NDArray[np.floating]) -> int | None:
    """Number of removed images, claimed by no other label, that have their like under their own; None if few have.

    ``agreement[N]`` is the share of each image's nearest neighbors with its label, ``label_index[N]``.
    """
    of_nobody = (outcome.decision == Decision.DROP.value) & (outcome.reason == Reason.OPEN_SET.value)
    second = (outcome.decision == Decision.REVIEW.value) & (outcome.reason == Reason.SECOND_IDENTITY.value)
    agreeing = of_nobody & (agreement >= _AGREEING)
    enough = max(_LEAST_DROPPED, int(np.count_nonzero(of_nobody)))
    several = len(np.unique(label_index[second])), len(np.unique(label_index))
    if np.count_nonzero(agreeing) > _TELLING * enough or several[0] >= max(_LEAST_MIXED, _MIXED * several[1]):
        return int(np.count_nonzero(agreeing | second))
    return None
