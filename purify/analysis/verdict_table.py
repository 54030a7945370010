"""The verdict table: evidence and decision of every sample, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from purify.analysis.neighbors import Neighbors, nearest_of
from purify.analysis.rules.rule import Outcome
from purify.analysis.scores import degrees
from purify.analysis.subcenters import Assignment, SubcenterSpace, cosine_to_dominant
from purify.arrays import Ids
from purify.tables.schema import VERDICTS, Reason

_MOST_EVIDENCE = 5


@dataclass(frozen=True)
class SortedSamples:
    """Samples by id: ids, given labels, and the numbers of these among the class labels."""

    ids: pa.Array
    given: pa.Array
    label_index: Ids
    class_labels: Sequence[str]


def verdict_table(
    samples: SortedSamples, space: SubcenterSpace, assignment: Assignment, outcome: Outcome, neighbors: Neighbors
) -> pa.Table:
    """Schema `VERDICTS`, in the order of the samples."""
    columns = _evidence_columns(samples, space, assignment, outcome, neighbors)
    columns |= _decision_columns(outcome, samples.class_labels)
    columns["evidence_ids"] = _evidence_ids(samples.ids, outcome, neighbors, samples.label_index, assignment)
    columns |= {"sample_id": samples.ids, "label": samples.given}
    return pa.table({name: columns[name] for name in VERDICTS.names}, schema=VERDICTS)


def _evidence_columns(
    samples: SortedSamples, space: SubcenterSpace, assignment: Assignment, outcome: Outcome, neighbors: Neighbors
) -> dict[str, pa.Array]:
    label_index = samples.label_index
    return {
        "subcenter": pa.array(assignment.subcenter),
        "angle": _float32(degrees(assignment.cos)),
        "dominant": pa.array(assignment.dominant[label_index]),
        "angle_dominant": _float32(degrees(assignment.cos_dominant)),
        "dominant_share": _float32(assignment.dominant_share[label_index]),
        "other_label": _names(samples.class_labels, outcome.other),
        "angle_other": _float32(degrees(cosine_to_dominant(space, outcome.other, assignment))),
        "neighbor_agreement": _float32(neighbors.agreement),
        "p_clean": _float32(outcome.p_clean),
        "p_other": _float32(outcome.p_other),
    }


def _decision_columns(outcome: Outcome, class_labels: Sequence[str]) -> dict[str, pa.Array]:
    return {
        "decision": pa.array(outcome.decision.tolist(), pa.string()),
        "new_label": _names(class_labels, outcome.new_label),
        "reason": pa.array(outcome.reason.tolist(), pa.string()),
        "rule": pa.repeat(outcome.rule, len(outcome.decision)),
    }


def _names(class_labels: Sequence[str], labels: Ids) -> pa.Array:
    """Labels by their numbers; null for -1."""
    return pa.array(class_labels, pa.string()).take(pa.array(labels, mask=labels < 0))


def _evidence_ids(
    ids: pa.Array, outcome: Outcome, neighbors: Neighbors, label_index: Ids, assignment: Assignment
) -> pa.Array:
    """The nearest neighbors that show the decision; an empty list where none of the k does.

    Kept, of a second identity, or too few to judge: neighbors with the same label. Closer to another label, or its
    duplicate: neighbors with that label. Of an open set, or far from the dominant sub-center: neighbors with any other
    label. At a non-dominant sub-center: neighbors of the same class and sub-center. Uncertain: all.
    """
    rows = neighbors.rows
    same = label_index[rows] == label_index[:, None]
    of_other = label_index[rows] == outcome.other[:, None]
    wanted = {
        Reason.NEAR_DOMINANT: same,
        Reason.TOO_FEW_TO_JUDGE: same,
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
    chosen, offsets = nearest_of(neighbors, showing, most=_MOST_EVIDENCE)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), ids.take(pa.array(chosen)))


def _float32(values: npt.NDArray[np.floating]) -> pa.Array:
    """NaN becomes null."""
    return pa.array(values.astype(np.float32), pa.float32(), from_pandas=True)
