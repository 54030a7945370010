"""Noise detection: figures of verdicts against known true labels.

"Positive" means a wrong label throughout: recall is the share of wrong labels that were not kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from purify.arrays import Floats, Mask
from purify.errors import InputError
from purify.tables.schema import Decision
from purify.tables.user_tables import first_repeated

_CALIBRATION_BINS = 15
_SHOWN = 3


def score_verdicts(verdicts: pa.Table, truth: pa.Table) -> dict[str, Any]:
    """Figures of `verdicts` (schema `VERDICTS`) against ``sample_id`` (or ``path``) and ``true_label`` of `truth`.

    A label is wrong when it differs from the true one; an empty true label belongs to no class, so every label
    is wrong. Rows with a null true label are left out and counted as ``unknown``; rows of `truth` without a verdict
    are counted as ``not_judged``. A column ``kind`` of `truth` adds ``recall_per_kind``. InputError if `truth` lacks a
    column, has an id twice or lacks a judged sample, a score is missing, or no judged sample has a known true label.
    """
    matched = _match(verdicts, truth)
    known = matched["true_label"].is_valid()
    unknown = len(matched) - pc.sum(known).as_py()
    if unknown == len(matched):
        raise InputError("the truth knows the true label of no judged sample; fill in the column true_label")
    rows = matched.filter(known)
    if row := rows["p_clean"].null_count:
        raise InputError(f"verdicts: {row} rows have no p_clean; analyze the manifest again")
    removed = _to_mask(pc.not_equal(rows["decision"], Decision.KEEP.value))
    is_noise = _to_mask(pc.not_equal(rows["label"], rows["true_label"]))
    kind = rows["kind"].to_numpy(zero_copy_only=False) if "kind" in rows.column_names else None
    figures = detection_figures(rows["p_clean"].to_numpy().astype(np.float64), removed, is_noise, kind=kind)
    counts = {"unknown": unknown, "not_judged": len(truth) - len(matched)}
    return figures | counts | _relabel_figures(rows)


def detection_figures(
    p_clean: Floats, removed: Mask, is_noise: Mask, *, kind: npt.NDArray[np.object_] | None = None
) -> dict[str, Any]:
    """Figures of N samples; None where a figure is undefined, such as recall without noise.

    `p_clean` [N] is the probability, or a score in [0, 1], of a right label, `removed` whether the sample was not kept,
    `is_noise` whether its label is wrong, `kind` its kind of noise.

    The figures are ``n``, ``n_noise``, ``n_removed``, ``noise_share``; of the ranking by 1 - p_clean:
    ``average_precision`` and ``auroc``; of the decision: ``precision``, ``recall``, ``f1``, ``clean_kept`` (share of
    the right labels that were kept), ``residual_noise`` (share of wrong labels among the kept); of p_clean as a
    probability: ``ece`` (expected calibration error, 15 bins of equal width) and ``brier``.
    """
    caught = int((removed & is_noise).sum())
    n_noise, n_removed, n = int(is_noise.sum()), int(removed.sum()), len(is_noise)
    right = (~is_noise).astype(np.float64)
    figures: dict[str, Any] = {
        "n": n,
        "n_noise": n_noise,
        "n_removed": n_removed,
        "noise_share": _ratio(n_noise, n),
        "average_precision": average_precision(1 - p_clean, is_noise),
        "auroc": auroc(1 - p_clean, is_noise),
        "precision": _ratio(caught, n_removed),
        "recall": _ratio(caught, n_noise),
        "f1": _ratio(2 * caught, n_noise + n_removed) if n_noise else None,
        "clean_kept": _ratio(int((~removed & ~is_noise).sum()), n - n_noise),
        "residual_noise": _ratio(n_noise - caught, n - n_removed),
        "ece": expected_calibration_error(p_clean, right) if n else None,
        "brier": float(np.mean((p_clean - right) ** 2)) if n else None,
    }
    if kind is not None:
        figures["recall_per_kind"] = _recall_per_kind(removed, is_noise, kind)
    return figures


def average_precision(scores: Floats, positive: Mask) -> float | None:
    """Mean over the positives of the precision at their score; equal scores enter together."""
    if not positive.any():
        return None
    hits, taken = _cumulative(scores, positive)
    gained = np.diff(hits, prepend=0)
    return float((gained * hits / taken).sum() / hits[-1])


def auroc(scores: Floats, positive: Mask) -> float | None:
    """Probability that a positive scores above a negative; equal scores count half."""
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if not n_positive or not n_negative:
        return None
    hits, taken = _cumulative(scores, positive)
    false = np.r_[0, taken - hits]
    area = np.trapezoid(np.r_[0, hits], false)
    return float(area / (n_positive * n_negative))


def expected_calibration_error(probability: Floats, outcome: Floats) -> float:
    """Mean over the samples of the gap between the mean probability and the mean outcome of their bin."""
    bins = np.clip((probability * _CALIBRATION_BINS).astype(np.int64), 0, _CALIBRATION_BINS - 1)
    gap = np.bincount(bins, weights=probability - outcome, minlength=_CALIBRATION_BINS)
    return float(np.abs(gap).sum() / len(probability))


def _cumulative(scores: Floats, positive: Mask) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Numbers of positives and of samples at or above each distinct score, highest first."""
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.r_[np.diff(scores[order]) != 0, True])
    return np.cumsum(positive[order], dtype=np.int64)[last], last.astype(np.int64) + 1


def _recall_per_kind(removed: Mask, is_noise: Mask, kind: npt.NDArray[np.object_]) -> dict[str, float]:
    noisy = {str(name) for name in kind[is_noise] if name is not None}
    return {name: float(removed[is_noise & (kind == name)].mean()) for name in sorted(noisy)}


def _relabel_figures(rows: pa.Table) -> dict[str, Any]:
    """Number of relabeled samples, and the share with the true label."""
    relabeled = rows.filter(pc.equal(rows["decision"], Decision.RELABEL.value))
    right = pc.sum(pc.equal(relabeled["new_label"], relabeled["true_label"])).as_py() or 0
    return {"n_relabeled": len(relabeled), "relabel_accuracy": _ratio(right, len(relabeled))}


def _match(verdicts: pa.Table, truth: pa.Table) -> pa.Table:
    """The verdicts with ``true_label``, and ``kind`` if `truth` has it."""
    id_column = "sample_id" if "sample_id" in truth.column_names else "path"
    if missing := [name for name in (id_column, "true_label") if name not in truth.column_names]:
        raise InputError(f"truth: missing column{'s' if len(missing) > 1 else ''} {', '.join(missing)}")
    known, judged = truth[id_column].combine_chunks(), verdicts["sample_id"].combine_chunks()
    for name, ids in (("truth", known), ("verdicts", judged)):
        if (twice := first_repeated(ids)) is not None:
            raise InputError(f"{name}: {twice} occurs twice; leave one out")
    position = pc.index_in(judged, known)
    if position.null_count:
        lost = ", ".join(judged.filter(position.is_null())[:_SHOWN].to_pylist())
        raise InputError(
            f"truth: {position.null_count} of {len(judged)} judged samples are not in it, such as {lost}; "
            "give the truth of the manifest that was analyzed"
        )
    found = truth.take(position)
    for name in ("true_label", "kind"):
        if name in truth.column_names:
            verdicts = verdicts.append_column(name, found[name])
    return verdicts


def _to_mask(column: pa.ChunkedArray) -> Mask:
    return column.to_numpy().astype(bool)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
