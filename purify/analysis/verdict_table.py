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
from purify.arrays import Ids, Mask
from purify.tables.schema import VERDICTS, Reason

_MOST_EVIDENCE = 5


@dataclass(frozen=True)
class SortedSamples:
    """Samples in the order of their ids, with given labels and their numbers among the class labels."""

    ids: pa.Array
    given: pa.Array
    label_index: Ids
    class_labels: Sequence[str]


def verdict_table(
    samples: SortedSamples, space: SubcenterSpace, assignment: Assignment, outcome: Outcome, neighbors: Neighbors
) -> pa.Table:
    """Schema `VERDICTS`, in the order of the samples."""
    label_index, class_labels = samples.label_index, samples.class_labels
    columns = {
        "sample_id": samples.ids,
        "label": samples.given,
        "subcenter": pa.array(assignment.subcenter),
        "angle": nullable_float32(degrees(assignment.cos)),
        "dominant": pa.array(assignment.dominant[label_index]),
        "angle_dominant": nullable_float32(degrees(assignment.cos_dominant)),
        "dominant_share": nullable_float32(assignment.dominant_share[label_index]),
        "other_label": _names(class_labels, outcome.other),
        "angle_other": nullable_float32(degrees(cosine_to_dominant(space, outcome.other, assignment))),
        "neighbor_agreement": nullable_float32(neighbors.agreement),
        "p_clean": nullable_float32(outcome.p_clean),
        "p_other": nullable_float32(outcome.p_other),
        "decision": outcome.decision.tolist(),
        "new_label": _names(class_labels, outcome.new_label),
        "reason": outcome.reason.tolist(),
        "rule": pa.repeat(outcome.rule, len(outcome.decision)),
        "evidence_ids": _evidence_ids(samples, outcome, neighbors, assignment),
    }
    return pa.table(columns, schema=VERDICTS)


def _names(class_labels: Sequence[str], labels: Ids) -> pa.Array:
    """Labels by their numbers; null for -1."""
    return pa.array(class_labels, pa.string()).take(pa.array(labels, mask=labels < 0))


def _evidence_ids(samples: SortedSamples, outcome: Outcome, neighbors: Neighbors, assignment: Assignment) -> pa.Array:
    """The nearest neighbors that support the decision; an empty list if none of the k does.

    A row of ``outcome.evidence`` stands alone: the same picture.
    Kept, of a second identity, or too few to judge: neighbors with the same label. Closer to another label, or its
    duplicate: neighbors with that label. Of an open set, or far from the dominant sub-center: neighbors with any other
    label. At a non-dominant sub-center: neighbors of the same class and sub-center. Uncertain: all.
    """
    rows, label_index = neighbors.rows, samples.label_index
    same = label_index[rows] == label_index[:, None]
    of_other = label_index[rows] == outcome.other[:, None]
    wanted = {
        Reason.NEAR_DOMINANT: same,
        Reason.TOO_FEW_TO_JUDGE: same,
        Reason.HARD: same,
        Reason.SECOND_IDENTITY: same,
        Reason.CLOSER_TO_OTHER_LABEL: of_other,
        Reason.DUPLICATE_OF: of_other,
        Reason.OPEN_SET: ~same,
        Reason.FAR_FROM_DOMINANT: ~same,
        Reason.NON_DOMINANT_SUBCENTER: same & (assignment.subcenter[rows] == assignment.subcenter[:, None]),
        Reason.UNCERTAIN: np.ones_like(same),
    }
    showing = np.zeros(rows.shape, bool)
    for reason, mask in wanted.items():
        showing |= mask & (outcome.reason == reason.value)[:, None]
    if outcome.evidence is not None:
        neighbors, showing = _alone(outcome.evidence, neighbors, showing)
    chosen, offsets = nearest_of(neighbors, showing, most=_MOST_EVIDENCE)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), samples.ids.take(pa.array(chosen)))


def _alone(evidence: Ids, neighbors: Neighbors, showing: Mask) -> tuple[Neighbors, Mask]:
    """Neighbors and the mask of those that show the decision, with the given `evidence` alone where there is one."""
    given = evidence >= 0
    rows, showing = neighbors.rows.copy(), showing & ~given[:, None]
    rows[given, 0], showing[given, 0] = evidence[given], True
    return replace(neighbors, rows=rows), showing


def nullable_float32(values: npt.NDArray[np.floating]) -> pa.Array:
    """float32, with null for NaN."""
    return pa.array(values.astype(np.float32), pa.float32(), from_pandas=True)
