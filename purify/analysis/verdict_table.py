"""The verdict table: evidence and decision of every sample, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from purify.analysis.neighbors import Neighbors, nearest_of
from purify.analysis.rules.rule import Outcome
from purify.analysis.scores import degrees
from purify.analysis.subcenters import Assignment, SubcenterSpace, cosine_to_dominant
from purify.arrays import Floats, Ids, Mask
from purify.tables.schema import VERDICTS, Reason

_MOST_EVIDENCE = 5
#: Samples of a chunk.
_CHUNK = 65_536


@dataclass(frozen=True)
class SortedSamples:
    """Samples in the order of their judging, with given labels and their numbers among the class labels.

    ``ids`` and ``given`` are large strings, since the ids of many samples may pass the 2 GiB that a string array holds.
    """

    ids: pa.Array
    given: pa.Array
    label_index: Ids
    class_labels: Sequence[str]


def verdict_table(
    samples: SortedSamples,
    space: SubcenterSpace,
    assignment: Assignment,
    outcome: Outcome,
    neighbors: Neighbors,
    order: Ids,
) -> pa.Table:
    """Schema `VERDICTS`: of the samples ``order[N]``, in that order; in chunks, none of which passes 2 GiB."""
    angle_other = degrees(cosine_to_dominant(space, outcome.other, assignment))
    parts = [
        _part(samples, angle_other, assignment, outcome, neighbors, order[start : start + _CHUNK])
        for start in range(0, len(order), _CHUNK)
    ]
    return pa.concat_tables(parts)


def _part(
    samples: SortedSamples,
    angle_other: Floats,
    assignment: Assignment,
    outcome: Outcome,
    neighbors: Neighbors,
    rows: Ids,
) -> pa.Table:
    """The samples `rows`."""
    labels, class_labels = samples.label_index[rows], samples.class_labels
    columns = {
        "sample_id": samples.ids.take(pa.array(rows)).cast(pa.string()),
        "label": samples.given.take(pa.array(rows)).cast(pa.string()),
        "subcenter": pa.array(assignment.subcenter[rows]),
        "angle": nullable_float32(degrees(assignment.cos[rows])),
        "dominant": pa.array(assignment.dominant[labels]),
        "angle_dominant": nullable_float32(degrees(assignment.cos_dominant[rows])),
        "dominant_share": nullable_float32(assignment.dominant_share[labels]),
        "other_label": _names(class_labels, outcome.other[rows]),
        "angle_other": nullable_float32(angle_other[rows]),
        "neighbor_agreement": nullable_float32(neighbors.agreement[rows]),
        "p_clean": nullable_float32(outcome.p_clean[rows]),
        "p_other": nullable_float32(outcome.p_other[rows]),
        "decision": outcome.decision[rows].tolist(),
        "new_label": _names(class_labels, outcome.new_label[rows]),
        "reason": outcome.reason[rows].tolist(),
        "rule": pa.repeat(outcome.rule, len(rows)),
        "evidence_ids": _evidence_ids(samples, outcome, neighbors, assignment, rows),
    }
    return pa.table(columns, schema=VERDICTS)


def _names(class_labels: Sequence[str], labels: Ids) -> pa.Array:
    """Labels by their numbers; null for -1."""
    return pa.array(class_labels, pa.string()).take(pa.array(labels, mask=labels < 0))


def _evidence_ids(
    samples: SortedSamples, outcome: Outcome, neighbors: Neighbors, assignment: Assignment, rows: Ids
) -> pa.Array:
    """The nearest neighbors that support the decision on each of the samples `rows`; an empty list if none of k does.

    A row of ``outcome.evidence`` stands alone: the same picture.
    Kept, of a second identity, or too few to judge: neighbors with the same label. Closer to another label, or its
    duplicate: neighbors with that label. Of an open set, or far from the dominant sub-center: neighbors with any other
    label. At a non-dominant sub-center: neighbors of the same class and sub-center. Uncertain: all.
    """
    near = Neighbors(neighbors.rows[rows], neighbors.agreement[rows])
    labels = samples.label_index[near.rows]
    same = labels == samples.label_index[rows, None]
    of_other = labels == outcome.other[rows, None]
    subcenter = assignment.subcenter
    wanted = {
        Reason.NEAR_DOMINANT: same,
        Reason.TOO_FEW_TO_JUDGE: same,
        Reason.HARD: same,
        Reason.SECOND_IDENTITY: same,
        Reason.CLOSER_TO_OTHER_LABEL: of_other,
        Reason.DUPLICATE_OF: of_other,
        Reason.OPEN_SET: ~same,
        Reason.FAR_FROM_DOMINANT: ~same,
        Reason.NON_DOMINANT_SUBCENTER: same & (subcenter[near.rows] == subcenter[rows, None]),
        Reason.UNCERTAIN: np.ones_like(same),
    }
    showing = np.zeros(near.rows.shape, bool)
    for reason, mask in wanted.items():
        showing |= mask & (outcome.reason[rows] == reason.value)[:, None]
    if outcome.evidence is not None:
        near, showing = _alone(outcome.evidence[rows], near, showing)
    chosen, offsets = nearest_of(near, showing, most=_MOST_EVIDENCE)
    ids = samples.ids.take(pa.array(chosen)).cast(pa.string())
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), ids)


def _alone(evidence: Ids, neighbors: Neighbors, showing: Mask) -> tuple[Neighbors, Mask]:
    """Neighbors and the mask of those that show the decision, with the given `evidence` alone where there is one."""
    given = evidence >= 0
    rows, showing = neighbors.rows.copy(), showing & ~given[:, None]
    rows[given, 0], showing[given, 0] = evidence[given], True
    return replace(neighbors, rows=rows), showing


def nullable_float32(values: npt.NDArray[np.floating]) -> pa.Array:
    """float32, with null for NaN."""
    return pa.array(values.astype(np.float32), pa.float32(), from_pandas=True)
