"""Embeddings + sub-centers -> a verdict with its evidence for every sample, and a report for every class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from purify.analysis.class_report import Structural, class_report
from purify.analysis.label_noise.judging import RULE, Judged, Outcome, can_judge, judge
from purify.analysis.neighbors import Neighbors, SearchBlocks, evidence, find_neighbors, search_here
from purify.analysis.rules import Evidence, get_rule
from purify.analysis.scores import clean_score, degrees, other_score
from purify.analysis.search import cosines_to, unit
from purify.analysis.subcenters import Assignment, assign, nearest_other_class
from purify.arrays import Ids, Vectors
from purify.config import AnalyzeConfig
from purify.errors import InputError
from purify.tables.schema import VERDICTS, Decision, Reason

_MOST_EVIDENCE = 5


@dataclass(frozen=True)
class Analysis:
    """`verdicts` (schema `VERDICTS`, in the order of the samples) and `class_report` (schema `CLASS_REPORT`)."""

    verdicts: pa.Table
    class_report: pa.Table


@dataclass(frozen=True)
class JudgingInputs:
    """N samples with their vectors, and the sub-centers that judge them.

    Attributes
    ----------
    sample_ids, labels
        N unique ids and given labels.
    originals
        Finite ``[N, E]`` of any scale: the extractor's embeddings, by which probabilities are judged.
    embeddings
        Finite ``[N, D]`` of any scale, in the space of the sub-centers: the originals, or a projection of them fitted
        to the labels.
    class_labels
        The C labels of the sub-centers; some may have no samples.
    subcenters
        ``[C, K, D]`` of any scale.
    """

    sample_ids: Sequence[str]
    labels: Sequence[str]
    originals: Vectors
    embeddings: Vectors
    class_labels: Sequence[str]
    subcenters: Vectors


def analyze(
    given: JudgingInputs,
    config: AnalyzeConfig,
    *,
    seed: int = 0,
    search: SearchBlocks = search_here,
) -> Analysis:
    """Judge every sample by the rule that `config` names.

    Work is done in the order of the sample ids, so a sample's verdict doesn't depend on where its row stands.
    With fewer than three labels of two images or more nothing tells what a wrong one looks like, and from embeddings
    that hardly tell people apart no probability can be drawn: `calibrated` then gives way to `official`, and the
    ``rule`` column says so.

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
    originals
        Finite ``[N, E]``: the extractor's embeddings, where `embeddings` are a projection of them that was
        fitted to the labels. What is probable is judged from them.
    seed
        Of the calibration.
    search
        Who searches the neighbors, the longest work where there are many samples.

    Raises
    ------
    InputError
        If there are no samples, a label has no sub-centers, the shapes don't fit, or the data can't support the
        precision that `config` asks for.
    """
    sample_ids, labels, embeddings = given.sample_ids, given.labels, given.embeddings
    class_labels, subcenters, originals = given.class_labels, given.subcenters, given.originals
    _check_shapes(sample_ids, labels, embeddings, class_labels, subcenters)
    ids, label_column = pa.array(sample_ids, pa.string()), pa.array(labels, pa.string())
    label_index = _label_index(label_column, class_labels)
    order = pc.sort_indices(ids).to_numpy().astype(np.int64)
    ids, label_column = ids.take(pa.array(order)), label_column.take(pa.array(order))
    vectors, index, centers = unit(embeddings[order]), label_index[order], unit(subcenters)
    assignment = assign(vectors, index, centers)
    neighbors = find_neighbors(vectors, index, k=config.neighbors, near_duplicate=config.near_duplicate, search=search)
    structural: Structural | None = None
    judged = _judged(originals[order], index, classes=len(class_labels), config=config, seed=seed)
    if judged is not None:
        outcome, identifier = judged.outcome, RULE
        structural = Structural(judged.structure, outcome.p_clean, ids)
        cos_other = _cosine_to_dominant(vectors, outcome.other, centers, assignment)
    else:
        other, cos_other = nearest_other_class(vectors, index, centers, assignment)
        outcome, identifier = _by_angle(assignment, index, other, cos_other, config)
    columns = _evidence_columns(assignment, index, outcome, cos_other, neighbors, class_labels)
    columns |= _decision_columns(outcome, class_labels, identifier)
    columns["evidence_ids"] = _evidence_ids(ids, outcome, neighbors, index, assignment)
    columns |= {"sample_id": ids, "label": label_column}
    verdicts = pa.table({name: columns[name] for name in VERDICTS.names}, schema=VERDICTS)
    report = class_report(
        class_labels,
        index,
        outcome.decision == Decision.KEEP.value,
        assignment,
        min_images=config.min_images,
        weak_majority=config.weak_majority,
        structural=structural,
    )
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return Analysis(verdicts.take(pa.array(back)).combine_chunks(), report)


def _judged(source: Vectors, index: Ids, *, classes: int, config: AnalyzeConfig, seed: int) -> Judged | None:
    """What the calibrated rule says; None where another is asked for, or nothing can be measured."""
    if config.rule != "calibrated" or not can_judge(index):
        return None
    judged = judge(source, index, classes=classes, config=config, seed=seed)
    if judged.tells_people_apart:
        return judged
    if config.precision is not None:
        raise InputError(
            f"the data can't support precision {config.precision:g}: of the images that seem right only "
            f"{judged.recognized:.0%} are nearer to their own label than to another, so the embeddings hardly tell "
            "people apart; train longer, give --embeddings of a stronger extractor, or leave --precision out"
        )
    return None


def _by_angle(
    assignment: Assignment, label_index: Ids, other: Ids, cos_other: Vectors, config: AnalyzeConfig
) -> tuple[Outcome, str]:
    """Outcome of a rule that knows a fixed angle, and the rule's name and version."""
    rule = get_rule("official" if config.rule == "calibrated" else config.rule)
    judgment = rule.decide(
        Evidence(assignment.subcenter, assignment.dominant[label_index], assignment.cos_dominant, cos_other),
        config.threshold,
    )
    clean = clean_score(degrees(assignment.cos_dominant), config.threshold)
    decision = np.where(judgment.keep, Decision.KEEP.value, Decision.DROP.value).astype(object)
    p_other = other_score(clean, degrees(cos_other), config.threshold)
    outcome = Outcome(decision, judgment.reason, np.full(len(other), -1, np.int64), other, clean, p_other)
    return outcome, rule.identifier


def _cosine_to_dominant(embeddings: Vectors, labels: Ids, subcenters: Vectors, assignment: Assignment) -> Vectors:
    """Cosines [N] of unit embeddings to the dominant sub-centers of ``labels[N]``; NaN where it is -1."""
    dominant = np.ascontiguousarray(subcenters[np.arange(len(subcenters)), assignment.dominant])
    cosines = cosines_to(embeddings, dominant, np.maximum(labels, 0)[:, None])[:, 0]
    return np.where(labels >= 0, cosines, np.float32(np.nan))


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


def _evidence_columns(
    assignment: Assignment,
    label_index: Ids,
    outcome: Outcome,
    cos_other: Vectors,
    neighbors: Neighbors,
    class_labels: Sequence[str],
) -> dict[str, pa.Array]:
    return {
        "subcenter": pa.array(assignment.subcenter),
        "angle": _float32(degrees(assignment.cos)),
        "dominant": pa.array(assignment.dominant[label_index]),
        "angle_dominant": _float32(degrees(assignment.cos_dominant)),
        "dominant_share": _float32(assignment.dominant_share[label_index]),
        "other_label": _names(class_labels, outcome.other),
        "angle_other": _float32(degrees(cos_other)),
        "neighbor_agreement": _float32(neighbors.agreement),
        "p_clean": _float32(outcome.p_clean),
        "p_other": _float32(outcome.p_other),
    }


def _decision_columns(outcome: Outcome, class_labels: Sequence[str], rule: str) -> dict[str, pa.Array]:
    return {
        "decision": pa.array(outcome.decision.tolist(), pa.string()),
        "new_label": _names(class_labels, outcome.new_label),
        "reason": pa.array(outcome.reason.tolist(), pa.string()),
        "rule": pa.repeat(rule, len(outcome.decision)),
    }


def _names(class_labels: Sequence[str], labels: Ids) -> pa.Array:
    """Labels by their numbers; null for -1."""
    return pa.array(class_labels, pa.string()).take(pa.array(labels, mask=labels < 0))


def _evidence_ids(
    ids: pa.Array, outcome: Outcome, neighbors: Neighbors, label_index: Ids, assignment: Assignment
) -> pa.Array:
    """The nearest neighbors that show the decision; an empty list where none of the k does.

    Kept, or of a second identity, or too few to judge: those with the same label. Closer to another label, or the
    duplicate of one: those with that label. Of an open set, or far from the dominant sub-center: those with any
    other label. At a non-dominant sub-center: those of the same class and sub-center. Uncertain: all.
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
    chosen, offsets = evidence(neighbors, showing, most=_MOST_EVIDENCE)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), ids.take(pa.array(chosen)))


def _float32(values: npt.NDArray[np.floating]) -> pa.Array:
    """NaN becomes null."""
    return pa.array(values.astype(np.float32), pa.float32(), from_pandas=True)
