"""Embeddings + sub-centers -> a verdict with its evidence for every sample, and a report for every class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from purify.analysis.classes import class_report
from purify.analysis.neighbors import Neighbors, evidence, find_neighbors
from purify.analysis.rules import Evidence, Judgment, get_rule
from purify.analysis.scores import clean_score, degrees, other_score
from purify.analysis.search import Ids, Vectors
from purify.analysis.subcenters import Assignment, assign, nearest_other_class
from purify.config import AnalyzeConfig
from purify.errors import InputError
from purify.manifest.schema import VERDICTS, Decision, Reason

_MOST_EVIDENCE = 5


@dataclass(frozen=True)
class Analysis:
    """`verdicts` (schema `VERDICTS`, in the order of the samples) and `class_report` (schema `CLASS_REPORT`)."""

    verdicts: pa.Table
    class_report: pa.Table


def analyze(
    sample_ids: Sequence[str],
    labels: Sequence[str],
    embeddings: Vectors,
    class_labels: Sequence[str],
    subcenters: Vectors,
    config: AnalyzeConfig,
) -> Analysis:
    """Judge every sample by the rule that `config` names.

    Work is done in the order of the sample ids, so a sample's verdict doesn't depend on where its row stands.

    Parameters
    ----------
    sample_ids, labels
        N unique ids and given labels.
    embeddings
        Finite ``[N, D]`` of any scale; one of zeros is at 90 degrees to everything.
    class_labels
        The C labels of the sub-centers; some may have no samples.
    subcenters
        ``[C, K, D]`` of any scale.

    Raises
    ------
    InputError
        If there are no samples, a label has no sub-centers, or the shapes don't fit.
    """
    _check_shapes(sample_ids, labels, embeddings, class_labels, subcenters)
    ids, given = pa.array(sample_ids, pa.string()), pa.array(labels, pa.string())
    label_index = _label_index(given, class_labels)
    order = pc.sort_indices(ids).to_numpy().astype(np.int64)
    unit, index, centers = _unit(embeddings[order]), label_index[order], _unit(subcenters)
    assignment = assign(unit, index, centers)
    other, cos_other = nearest_other_class(unit, index, centers, assignment)
    neighbors = find_neighbors(unit, index, k=config.neighbors, near_duplicate=config.near_duplicate)
    rule = get_rule(config.rule)
    judgment = rule.decide(
        Evidence(assignment.subcenter, assignment.dominant[index], assignment.cos_dominant, cos_other),
        config.threshold,
    )
    columns = _evidence_columns(assignment, index, other, cos_other, neighbors, class_labels, config.threshold)
    columns |= _decision_columns(judgment, rule.identifier)
    columns["evidence_ids"] = _evidence_ids(ids.take(pa.array(order)), judgment, neighbors, index, other, assignment)
    columns |= {"sample_id": ids.take(pa.array(order)), "label": given.take(pa.array(order))}
    verdicts = pa.table({name: columns[name] for name in VERDICTS.names}, schema=VERDICTS)
    report = class_report(
        class_labels,
        index,
        judgment.keep,
        assignment,
        min_images=config.min_images,
        weak_majority=config.weak_majority,
    )
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return Analysis(verdicts.take(pa.array(back)).combine_chunks(), report)


def _check_shapes(
    sample_ids: Sequence[str],
    labels: Sequence[str],
    embeddings: Vectors,
    class_labels: Sequence[str],
    subcenters: Vectors,
) -> None:
    if not len(sample_ids):
        raise InputError("there are no samples to analyze")
    if not len(sample_ids) == len(labels) == len(embeddings):
        raise InputError(
            f"{len(sample_ids)} sample ids, {len(labels)} labels and {len(embeddings)} embeddings; "
            "there must be one of each for a sample"
        )
    if len(class_labels) != len(subcenters):
        raise InputError(f"{len(class_labels)} class labels, but sub-centers for {len(subcenters)} classes")
    if embeddings.shape[1] != subcenters.shape[2]:
        raise InputError(
            f"the embeddings have {embeddings.shape[1]} dimensions, the sub-centers {subcenters.shape[2]}; "
            "use embeddings of the same checkpoint"
        )
    if not np.isfinite(embeddings).all():
        row = int(np.argmin(np.isfinite(embeddings).all(axis=1)))
        raise InputError(f"row {row + 1}: the embedding of {sample_ids[row]} is not finite; embed it again")


def _label_index(labels: pa.Array, class_labels: Sequence[str]) -> Ids:
    position = pc.index_in(labels, pa.array(class_labels, pa.string()))
    if position.null_count:
        row = position.is_null().index(pa.scalar(value=True)).as_py()
        raise InputError(
            f"row {row + 1}: the label {labels[row]} has no sub-centers; train on this manifest, "
            "or use the manifest that the checkpoint was trained on"
        )
    return position.to_numpy().astype(np.int64)


def _unit(vectors: Vectors) -> Vectors:
    """Along the last axis: vectors of length 1, contiguous; zeros stay zeros."""
    scaled = vectors / np.maximum(np.abs(vectors).max(axis=-1, keepdims=True), np.finfo(np.float32).tiny)
    norms = np.linalg.norm(scaled, axis=-1, keepdims=True)
    return np.ascontiguousarray(scaled / np.where(norms > 0, norms, 1), np.float32)


def _evidence_columns(
    assignment: Assignment,
    label_index: Ids,
    other: Ids,
    cos_other: Vectors,
    neighbors: Neighbors,
    class_labels: Sequence[str],
    threshold: float,
) -> dict[str, pa.Array]:
    angle_dominant, angle_other = degrees(assignment.cos_dominant), degrees(cos_other)
    clean = clean_score(angle_dominant, threshold)
    return {
        "subcenter": pa.array(assignment.subcenter),
        "angle": _float32(degrees(assignment.cos)),
        "dominant": pa.array(assignment.dominant[label_index]),
        "angle_dominant": _float32(angle_dominant),
        "dominant_share": _float32(assignment.dominant_share[label_index]),
        "other_label": pa.array(class_labels, pa.string()).take(pa.array(other, mask=other < 0)),
        "angle_other": _float32(angle_other),
        "neighbor_agreement": _float32(neighbors.agreement),
        "p_clean": _float32(clean),
        "p_other": _float32(other_score(clean, angle_other, threshold)),
    }


def _decision_columns(judgment: Judgment, rule: str) -> dict[str, pa.Array]:
    decision = np.where(judgment.keep, Decision.KEEP.value, Decision.DROP.value)
    return {
        "decision": pa.array(decision.tolist(), pa.string()),
        "new_label": pa.nulls(len(decision), pa.string()),
        "reason": pa.array(judgment.reason.tolist(), pa.string()),
        "rule": pa.repeat(rule, len(decision)),
    }


def _evidence_ids(
    ids: pa.Array, judgment: Judgment, neighbors: Neighbors, label_index: Ids, other: Ids, assignment: Assignment
) -> pa.Array:
    """The nearest neighbors that show the decision; an empty list where none of the k does.

    Kept: those with the same label. Closer to another label: those with that label. Far from the dominant
    sub-center: those with any other label. At a non-dominant sub-center: those of the same class and sub-center.
    """
    rows = neighbors.rows
    same = label_index[rows] == label_index[:, None]
    wanted = {
        Reason.NEAR_DOMINANT: same,
        Reason.CLOSER_TO_OTHER_LABEL: label_index[rows] == other[:, None],
        Reason.FAR_FROM_DOMINANT: ~same,
        Reason.NON_DOMINANT_SUBCENTER: same & (assignment.subcenter[rows] == assignment.subcenter[:, None]),
    }
    showing = np.zeros(rows.shape, bool)
    for reason, mask in wanted.items():
        showing |= mask & (judgment.reason == reason.value)[:, None]
    chosen, offsets = evidence(neighbors, showing, most=_MOST_EVIDENCE)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), ids.take(pa.array(chosen)))


def _float32(values: npt.NDArray[np.floating]) -> pa.Array:
    """NaN becomes null."""
    return pa.array(values.astype(np.float32), pa.float32(), from_pandas=True)
