"""Evidence of a photo that shows several people: one person is hardly in it twice."""

from __future__ import annotations

import numpy as np

from purify.arrays import Floats, Ids

#: Weight of the cases in which a photo shows a person twice or more, beside those of once or never. Mirrors, collages
#: and doubled detections exist, so two faces that are both sure stay likely. A guess, not measured: it matters for
#: doubtful faces beside a sure one, which it holds to be somebody else.
TWICE = 0.02
#: Probabilities are kept this far from 0 and 1, where odds have no bounds.
_LEAST = 1e-6


def once_in_a_photo(p_clean: Floats, photo: Ids, label_index: Ids, *, twice: float = TWICE) -> Floats:
    """Probabilities of the labels, given that faces of one photo under one label are hardly all that person.

    The faces of a photo under a label count as independent but for that: each subset S of them is the person with a
    weight of the product of ``p`` in S and ``1 - p`` outside, times `twice` where S has two faces or more. Then
    P(i) is the share of the subsets with i. With odds o = p / (1 - p), the sums over subsets have a closed form:
    P(i) = o_i ((1 - t) + t prod_{j != i} (1 + o_j)) / ((1 - t) (1 + sum o) + t prod (1 + o)).

    Parameters
    ----------
    p_clean
        Probability float[N] that each label is right, by the face alone; NaN stays.
    photo
        int[N]: equal numbers for faces of one photo, -1 for none.
    label_index
        int[N]: number of each given label.
    twice
        The weight t, in [0, 1]; 1 leaves the probabilities as they are.

    Returns
    -------
    Floats
        float[N], at most `p_clean`; equal to it for faces alone in their photo under their label.

    Examples
    --------
    >>> import numpy as np
    >>> photo, label = np.array([0, 0, 1]), np.array([5, 5, 5])
    >>> once_in_a_photo(np.array([0.99, 0.6, 0.6]), photo, label).round(2).tolist()
    [0.98, 0.04, 0.6]
    """
    known = np.flatnonzero((photo >= 0) & np.isfinite(p_clean))
    _, group, size = np.unique(
        np.stack([photo[known], label_index[known]], 1), axis=0, return_inverse=True, return_counts=True
    )
    group = group.reshape(-1)
    among = size[group] > 1
    rows, group = known[among], group[among]
    if not len(rows):
        return p_clean
    p = np.clip(p_clean[rows].astype(np.float64), _LEAST, 1 - _LEAST)
    odds, any_number = p / (1 - p), -np.log1p(-p)  # log(1 + o) = -log(1 - p)
    once = (1 - twice) * (1 + np.bincount(group, odds)[group])
    log_all = np.bincount(group, any_number)[group]
    # Both parts relative to the larger one: the product over a crowd has no bounds.
    largest = np.maximum(np.log(np.maximum(once, _LEAST)), log_all)
    whole = once * np.exp(-largest) + twice * np.exp(log_all - largest)
    with_it = odds * ((1 - twice) * np.exp(-largest) + twice * np.exp(log_all - any_number - largest))
    result = p_clean.copy()
    result[rows] = np.minimum(with_it / whole, p_clean[rows])
    return result
