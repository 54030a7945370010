"""The class report: one row a label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from purify.analysis.rules import Mask
from purify.analysis.search import Ids
from purify.analysis.subcenters import Assignment
from purify.manifest.schema import CLASS_REPORT, Flag


def class_report(
    class_labels: Sequence[str],
    label_index: Ids,
    keep: Mask,
    assignment: Assignment,
    *,
    min_images: int,
    weak_majority: float,
) -> pa.Table:
    """Schema `CLASS_REPORT`, in the order of `class_labels`.

    ``noise_rate`` is the share of the class that the rule did not keep. ``flag``: ``too_few`` with fewer than
    `min_images` images, else ``weak_majority`` when the dominant sub-center has less than that share of the
    votes, else ``ok``.
    """
    classes = len(class_labels)
    n = np.bincount(label_index, minlength=classes)
    n_kept = np.bincount(label_index[keep], minlength=classes)
    noise_rate = np.full(classes, np.nan)
    np.divide(n - n_kept, n, out=noise_rate, where=n > 0)
    flag = np.select(
        [n < min_images, assignment.dominant_share < weak_majority],
        [Flag.TOO_FEW.value, Flag.WEAK_MAJORITY.value],
        Flag.OK.value,
    )
    columns = {
        "label": pa.array(class_labels, pa.string()),
        "n": pa.array(n, pa.int32()),
        "n_kept": pa.array(n_kept, pa.int32()),
        "dominant_share": _nullable(assignment.dominant_share),
        "noise_rate": _nullable(noise_rate),
        "flag": pa.array(flag.tolist(), pa.string()),
    }
    absent = {name: pa.nulls(classes, CLASS_REPORT.field(name).type) for name in ("split", "merge_with")}
    return pa.table(columns | absent, schema=CLASS_REPORT)


def _nullable(values: npt.NDArray[np.float64]) -> pa.Array:
    return pa.array(values.astype(np.float32), pa.float32(), from_pandas=True)
