"""The class report: one row per label."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from purify.analysis.identities.merge import LabelMerge
from purify.analysis.identities.spelling import similarity
from purify.analysis.identities.structure import Structure
from purify.analysis.rules.rule import Outcome
from purify.analysis.scores import degrees
from purify.analysis.subcenters import Assignment
from purify.analysis.verdict_table import SortedSamples, nullable_float32
from purify.tables.schema import CLASS_REPORT, Decision, Flag


def class_report(
    samples: SortedSamples, outcome: Outcome, assignment: Assignment, *, min_images: int, weak_majority: float
) -> pa.Table:
    """Build the class report (schema `CLASS_REPORT`), in the order of the class labels.

    ``noise_rate`` is the mean probability of a wrong label or, without probabilities, the share of images not kept.
    ``flag`` is the first to apply: ``mixed`` (two or more people, grouped in ``split``), ``duplicate_of`` (same person
    as a larger label; ``merge_with`` of each label names the other, with the probability ``p_same`` and the likeness
    ``spelling`` of the two labels in [0, 1], null without letters), ``too_few`` (fewer than `min_images` images),
    ``weak_majority`` (a share below `weak_majority` is probably right or, without probabilities, nearest to the
    dominant sub-center), ``ok``.
    """
    label_index, class_labels, structure = samples.label_index, samples.class_labels, outcome.structure
    keep = outcome.decision == Decision.KEEP.value
    classes = len(class_labels)
    n = np.bincount(label_index, minlength=classes)
    n_kept = np.bincount(label_index[keep], minlength=classes)
    wrong = 1 - outcome.p_clean if outcome.probabilities else ~keep
    noise_rate = np.full(classes, np.nan)
    np.divide(np.bincount(label_index, weights=wrong, minlength=classes), n, out=noise_rate, where=n > 0)
    majority = 1 - noise_rate if outcome.probabilities else assignment.dominant_share
    mixed, duplicate = np.zeros(classes, bool), np.zeros(classes, bool)
    if structure is not None:
        mixed = structure.mixed
        duplicate[[merge.label for merge in structure.merges]] = True
    flag = np.select(
        [mixed, duplicate, n < min_images, majority < weak_majority],
        [Flag.MIXED.value, Flag.DUPLICATE_OF.value, Flag.TOO_FEW.value, Flag.WEAK_MAJORITY.value],
        Flag.OK.value,
    )
    columns = {
        "label": class_labels,
        "n": n,
        "n_kept": n_kept,
        "dominant_share": nullable_float32(assignment.dominant_share),
        "noise_rate": nullable_float32(noise_rate),
        "flag": flag.tolist(),
        **_proposals(samples, structure),
    }
    return pa.table(columns, schema=CLASS_REPORT)


def _proposals(samples: SortedSamples, structure: Structure | None) -> dict[str, list[Any]]:
    """``split`` and ``merge_with`` of each class, or null."""
    class_labels = samples.class_labels
    split: list[list[list[str]] | None] = [None] * len(class_labels)
    partners: dict[int, list[dict[str, Any]]] = defaultdict(list)
    if structure is not None:
        for label, groups in _groups(samples, structure).items():
            split[label] = [groups[k] for k in sorted(groups)]
        for merge in structure.merges:
            partners[merge.label].append(_partner(merge, merge.into, class_labels, samples.ids))
            partners[merge.into].append(_partner(merge, merge.label, class_labels, samples.ids))
    return {"split": split, "merge_with": [partners.get(label) for label in range(len(class_labels))]}


def _groups(samples: SortedSamples, structure: Structure) -> dict[int, dict[int, list[str]]]:
    """Sample ids of each identity of each mixed class."""
    label_index = samples.label_index
    members = np.flatnonzero(structure.mixed[label_index] & (structure.group >= 0))
    groups: dict[int, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row, sample_id in zip(members.tolist(), samples.ids.take(pa.array(members)).to_pylist(), strict=True):
        groups[int(label_index[row])][int(structure.group[row])].append(sample_id)
    return groups


def _partner(merge: LabelMerge, label: int, class_labels: Sequence[str], ids: pa.Array) -> dict[str, Any]:
    spelling = similarity(class_labels[merge.label], class_labels[merge.into])
    return {
        "label": class_labels[label],
        "angle": float(degrees(np.array([merge.cosine]))[0]),
        "evidence_ids": ids.take(pa.array(merge.evidence)).to_pylist(),
        "p_same": merge.p_same,
        "spelling": None if math.isnan(spelling) else spelling,
    }
