"""The verdicts against the true labels, where the manifest has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from purify.evaluation.detection import score_verdicts
from purify.report.sweeps import Truth
from purify.tables.apply import judged_rows

#: Figures of `score_verdicts` to show: key -> name, meaning.
_TRUTH_MEANINGS = {
    "average_precision": ("average precision", "of the ranking: 1 if every wrong label ranks before every right one"),
    "auroc": ("AUROC", "chance that a wrong label ranks before a right one"),
    "f1": ("F1", "of the decisions: harmonic mean of the next two"),
    "precision": ("precision", "share of the removed whose label is wrong"),
    "recall": ("recall", "share of the wrong labels that were removed"),
    "clean_kept": ("clean kept", "share of the right labels that were kept"),
    "noise_share": ("noise before", "share of wrong labels among all"),
    "residual_noise": ("noise after", "share of wrong labels among the kept"),
}


def truth_figures(manifest: pa.Table, verdicts: pa.Table) -> dict[str, Any] | None:
    """Noise-detection figures of the verdicts; None without any known truth."""
    if judged_rows(manifest, verdicts)["true_label"].null_count == len(verdicts):
        return None
    return score_verdicts(verdicts, manifest.select(["sample_id", "true_label"]))


def truth_rows(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """``name``, ``value`` (None: undefined) and ``meaning`` of the figures to show."""
    return [
        {"name": name, "value": figures[key], "meaning": meaning}
        for key, (name, meaning) in _TRUTH_MEANINGS.items()
        if key in figures
    ]


def subcenter_truth(manifest: pa.Table, verdicts: pa.Table) -> list[dict[str, Any]]:
    """The paper's table of right and wrong images by sub-center (ArcFace, TPAMI, section 4.2), in shares of all images.

    Rows ``at``, ``right`` and ``wrong``: by the truth if it is known, else by ``p_clean``.
    """
    truth, dominant = label_truth(manifest, verdicts), at_dominant(verdicts)
    wrong = 1 - verdicts["p_clean"].to_numpy().astype(np.float64) if truth is None else truth.wrong.astype(np.float64)
    known = np.isfinite(wrong) if truth is None else truth.known
    total = max(1, int(known.sum()))
    rows = (("dominant sub-center", dominant & known), ("another sub-center", ~dominant & known))
    return [
        {"at": name, "right": float((1 - wrong[mask]).sum() / total), "wrong": float(wrong[mask].sum() / total)}
        for name, mask in rows
    ]


def label_truth(manifest: pa.Table, verdicts: pa.Table) -> Truth | None:
    """Which labels are wrong in truth; None without any known truth."""
    rows = judged_rows(manifest, verdicts)
    if rows["true_label"].null_count == len(rows):
        return None
    right = pc.equal(verdicts["label"], rows["true_label"])
    return Truth(wrong=as_mask(pc.invert(pc.fill_null(right, True))), known=as_mask(right.is_valid()))


def at_dominant(verdicts: pa.Table) -> npt.NDArray[np.bool_]:
    """Whether each image is nearest to the dominant sub-center; assumed if unknown."""
    return as_mask(pc.fill_null(pc.equal(verdicts["subcenter"], verdicts["dominant"]), True))


def as_mask(column: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """A Boolean column without nulls as an array."""
    return column.to_numpy().astype(bool)
