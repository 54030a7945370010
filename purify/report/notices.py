"""What a reader of the report must know first: missing images, a rule that gave way, a weak extractor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from purify.report.run_tables import RunTables
from purify.tables.schema import Flag, Status

_MISSING = "missing"
#: Above this share of expected errors the extractor is called weak; strong ones stay below half a percent.
_WEAK = 0.02
_STRONGER = "purify run-flow SOURCE --embeddings FILE"


@dataclass(frozen=True)
class Notice:
    """A limit of all that follows: a ``title``, its meaning, the ``remedy`` and the ``commands`` for it."""

    title: str
    text: str
    remedy: str
    commands: Sequence[str]


def notices(run: RunTables, *, faces_shown: bool) -> list[Notice]:
    """The notices of a run, the gravest first."""
    found = [_missing(run.manifest), _fallback(run), _weak_extractor(run), None if faces_shown else _no_faces(run)]
    return [notice for notice in found if notice is not None]


def expected_errors(run: RunTables) -> float | None:
    """Expected share of images that the rule's probabilities misjudge; None for a rule without any.

    Labels flagged as mixed or doubled are left out: their probabilities also say which person a label means.
    """
    if not run.calibrated:
        return None
    structural = pa.array([Flag.MIXED.value, Flag.DUPLICATE_OF.value])
    flagged = run.class_report["label"].filter(pc.is_in(run.class_report["flag"], structural))
    plain = pc.invert(pc.is_in(run.verdicts["label"], flagged.combine_chunks()))
    p_clean = run.verdicts["p_clean"].filter(plain).to_numpy().astype(np.float64)
    doubt = np.minimum(p_clean, 1 - p_clean)
    return float(np.nanmean(doubt)) if np.isfinite(doubt).any() else None


def _missing(manifest: pa.Table) -> Notice | None:
    reasons = pc.fill_null(manifest["status_reason"], "")
    gone = pc.sum(pc.or_(pc.equal(reasons, _MISSING), pc.starts_with(reasons, f"{_MISSING}:"))).as_py() or 0
    if not gone:
        return None
    return Notice(
        f"{gone:,} of {len(manifest):,} images were not found",
        "They were neither judged nor kept, and are missing from every number below.",
        "Run it again with the folder or tar that the paths of the table are relative to:",
        ["purify run-flow SOURCE --images FOLDER"],
    )


def _fallback(run: RunTables) -> Notice | None:
    asked = run.info.get("config", {}).get("analyze", {}).get("rule")
    if asked != "calibrated" or run.calibrated or not run.rule:
        return None
    return Notice(
        f"The rule calibrated gave way to {run.rule}",
        "The embeddings hardly tell people apart, or fewer than three labels have two images, so no probability can "
        "be estimated: images were judged by a fixed angle.",
        "Train longer, or give the embeddings of a stronger extractor:",
        [_STRONGER],
    )


def _weak_extractor(run: RunTables) -> Notice | None:
    wrong = expected_errors(run)
    if wrong is None or wrong <= _WEAK:
        return None
    return Notice(
        f"Weak extractor: about {100 * wrong:.0f} % of the images are expected to be misjudged",
        "It confuses some people with each other, so labels that look alike to it may well be different people.",
        "Give the embeddings of a stronger extractor, or review the doubtful images:",
        [_STRONGER, "purify review RUN"],
    )


def _no_faces(run: RunTables) -> Notice | None:
    if not pc.any(pc.equal(run.manifest["status"], Status.OK.value)).as_py():
        return None
    return Notice(
        "No faces are shown",
        "The images of this run are not known, or not at hand.",
        "Give the folder or tar that the sample ids are relative to:",
        ["purify report RUN --images FOLDER"],
    )
