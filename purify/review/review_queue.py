"""The order of the faces to review, most informative first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from purify.arrays import Ids, Mask
from purify.review.samples import Samples, column
from purify.tables.schema import Decision

#: A sample is borderline if its probability is nearer to one half than this.
BORDERLINE = 0.4
_BANDS = 5  # of the distance from one half


@dataclass(frozen=True)
class ReviewQueue:
    """Orders of rows by the name of a view, each most informative first.

    `borderline` is bool [N]: samples that the rule left to a person or is unsure of.
    """

    views: Mapping[str, Ids]
    borderline: Mask


def build_queue(samples: Samples) -> ReviewQueue:
    """Order the samples by the uncertainty of their verdicts, in bands of a tenth, then by label.

    The faces of one label are adjacent within a band. Samples left to a person (``review``) come before all bands;
    those without a probability are in the first.
    """
    decisions = samples.verdicts["decision"]
    left = column(pc.equal(decisions, Decision.REVIEW.value), False)
    sure = np.abs(column(samples.verdicts["p_clean"], 0.5).astype(np.float64) - 0.5)
    band = np.minimum((sure * 2 * _BANDS).astype(np.int64), _BANDS - 1)
    order = np.lexsort((sure, samples.label_index, band, ~left))
    borderline = left | (sure < BORDERLINE)
    chosen = {
        "informative": np.ones(len(samples), bool),
        "borderline": borderline,
        "removed": left | column(pc.equal(decisions, Decision.DROP.value), False),
        "relabeled": column(pc.equal(decisions, Decision.RELABEL.value), False),
        "kept": column(pc.equal(decisions, Decision.KEEP.value), False),
    }
    return ReviewQueue({name: order[mask[order]] for name, mask in chosen.items()}, borderline)


def page_of(order: Ids, passed_over: Mask, *, start: int, most: int) -> tuple[Ids, int]:
    """Up to `most` rows of `order` from `start` on, not in ``passed_over[N]``, and the place to continue at."""
    ahead = np.flatnonzero(~passed_over[order[start:]])[:most] + start
    return order[ahead], int(ahead[-1]) + 1 if len(ahead) == most and most else len(order)
