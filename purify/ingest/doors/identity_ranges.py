"""InsightFace's identity records as a check of the labels: the images of a range have one label."""

from __future__ import annotations

import numpy as np

from purify.storage.record_index import RecordIndex
from purify.storage.recordio import MOST_EXACT_POSITION

#: Largest share of ranges with several labels; with more, the ranges mean something else.
_MOST_MIXED = 0.1


def strays(index: RecordIndex) -> dict[int, str]:
    """Rows whose label differs from that of most images of their range, and how: their headers are damaged.

    Empty for a file without identity records, or where these don't go with the labels.
    """
    if not len(index.ranges):
        return {}
    images = np.flatnonzero(index.is_image & np.isfinite(index.labels))
    images = images[np.argsort(index.keys[images], kind="stable")]
    keys, labels = index.keys[images], index.labels[images]
    ranges = index.ranges
    ranges = ranges[(ranges[:, 0] < ranges[:, 1]) & (ranges[:, 1] <= MOST_EXACT_POSITION)]
    starts, ends = np.searchsorted(keys, ranges[:, 0]), np.searchsorted(keys, ranges[:, 1])
    starts, ends = starts[ends > starts], ends[ends > starts]
    if not len(starts):
        return {}
    changes = np.flatnonzero(labels[1:] != labels[:-1])
    mixed = np.flatnonzero(np.searchsorted(changes, ends - 1) > np.searchsorted(changes, starts))
    if len(mixed) > _MOST_MIXED * len(starts):
        return {}
    found: dict[int, str] = {}
    for start, end in zip(starts[mixed].tolist(), ends[mixed].tolist(), strict=True):
        values, counts = np.unique(labels[start:end], return_counts=True)
        usual = values[counts.argmax()]
        if 2 * counts.max() > end - start:
            for place in np.flatnonzero(labels[start:end] != usual):
                stray = labels[start + place]
                found[int(images[start + place])] = f"{stray:g}, where the other images of its range have {usual:g}"
    return found
