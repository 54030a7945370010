"""Evidence of a photo that shows several people: the label's person is in it once, seldom never, hardly ever twice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from purify.arrays import Floats, Ids

#: Photos of the prior that the shares are fitted with: never, once, and more often; mirrors and collages exist. A guess
#: that the first few dozen photos outweigh.
_PRIOR = np.array([1.0, 8.0, 0.2])
_STEPS = 50
#: Probabilities are kept this far from 0 and 1, where odds have no bounds.
_LEAST = 1e-6


@dataclass(frozen=True)
class PhotoShares:
    """Shares of the photos that show their label's person never, once, and more often; they add up to 1."""

    never: float
    once: float
    more: float


def once_in_a_photo(p_clean: Floats, photo: Ids, label_index: Ids) -> Floats:
    """Probabilities of the labels, given that a photo shows its label's person about once.

    The faces of a photo under a label were judged each for itself, with the same share of right ones for all. That is
    taken back, and replaced by the shares of photos with none, one and more faces of the person, which are fitted to
    these very photos by expectation maximization. So a doubtful face beside a sure one is held to be somebody else, a
    doubtful one among strangers to be the person, and two sure ones stay likely: evidence, no rule.

    Parameters
    ----------
    p_clean
        Probability float[N] that each label is right, by the face alone; NaN stays.
    photo
        int[N]: equal numbers for faces of one photo, -1 for none.
    label_index
        int[N]: number of each given label.

    Returns
    -------
    Floats
        float[N], as given for faces alone in their photo under their label.

    Examples
    --------
    >>> import numpy as np
    >>> photo, label = np.array([0, 0, 1, 1, 2]), np.zeros(5, int)
    >>> once_in_a_photo(np.array([0.99, 0.6, 0.4, 0.01, 0.6]), photo, label).round(2).tolist()
    [0.98, 0.09, 0.71, 0.01, 0.6]
    """
    groups = _Groups.of(p_clean, photo, label_index)
    if not len(groups.rows):
        return p_clean
    result = p_clean.copy()
    result[groups.rows] = groups.probabilities(groups.fit())
    return result


@dataclass(frozen=True, eq=False)
class _Groups:
    """Faces (`rows`) of G photos with two or more under a label, their ``group[R]`` and odds ``[R]``."""

    rows: Ids
    group: Ids
    odds: Floats
    #: Logarithms [G] of the chances of the faces, by the number of those that are the person, if each were for itself.
    log_once: Floats
    log_more: Floats
    #: Number of faces [G].
    size: Ids

    @classmethod
    def of(cls, p_clean: Floats, photo: Ids, label_index: Ids) -> _Groups:
        known = np.flatnonzero((photo >= 0) & np.isfinite(p_clean))
        keys = np.stack([photo[known], label_index[known]], 1)
        group, size = np.unique(keys, axis=0, return_inverse=True, return_counts=True)[1:]
        among = size[group.reshape(-1)] > 1
        rows = known[among]
        group = np.unique(group.reshape(-1)[among], return_inverse=True)[1].reshape(-1).astype(np.int64)
        p = np.clip(p_clean[rows].astype(np.float64), _LEAST, 1 - _LEAST)
        share = float(p.mean()) if len(p) else 0.5
        odds, count = p / (1 - p), np.bincount(group).astype(np.int64)
        total = np.bincount(group, odds)
        # Of one face, as of another: its likelihood is its odds over those of the common share.
        log_once = np.log(total / count * (1 - share) / share)
        log_all = np.bincount(group, -np.log1p(-p))  # log prod (1 + odds)
        rest = np.log(-np.expm1(np.minimum(np.log1p(total) - log_all, -(_LEAST**2)))) + log_all
        none, one = (1 - share) ** count, count * share * (1 - share) ** (count - 1)
        log_more = count * np.log1p(-share) + rest - np.log(np.maximum(1 - none - one, _LEAST**2))
        return cls(rows, group, odds, log_once, log_more, count)

    def cases(self, shares: PhotoShares) -> Floats:
        """Probabilities [G, 3] that a photo shows its label's person never, once, and more often."""
        logs = np.stack([np.zeros(len(self.size)), self.log_once, self.log_more], 1)
        logs = logs + np.log([shares.never, shares.once, shares.more])
        chances = np.exp(logs - logs.max(1, keepdims=True))
        return np.asarray(chances / chances.sum(1, keepdims=True))

    def fit(self) -> PhotoShares:
        """The shares under which the photos are most likely, beside those of the prior."""
        shares = PhotoShares(*(_PRIOR / _PRIOR.sum()).tolist())
        for _ in range(_STEPS):
            counts = self.cases(shares).sum(0) + _PRIOR
            shares = PhotoShares(*(counts / counts.sum()).tolist())
        return shares

    def probabilities(self, shares: PhotoShares) -> Floats:
        """Probability [R] of each face that it is the person."""
        _, once, more = self.cases(shares)[self.group].T
        total = np.bincount(self.group, self.odds)[self.group]
        log_all = np.bincount(self.group, np.log1p(self.odds))[self.group]
        several = -np.expm1(np.minimum(np.log1p(total) - log_all, -(_LEAST**2)))  # of the subsets with two or more
        without_others = np.exp(np.log(self.odds) - log_all)  # this face alone
        with_it = self.odds / (1 + self.odds) - without_others
        return np.asarray(once * self.odds / total + more * np.clip(with_it / several, 0, 1))
