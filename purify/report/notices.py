"""Notices at the head of the report: warnings of the source, missing images, a rule that gave way, a weak extractor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from purify.analysis.rules.removal import UNJUDGED
from purify.report.run_overview import missing_images
from purify.report.run_tables import RunTables
from purify.tables.schema import Flag, Status

#: Why the rule calibrated gives way, for runs of earlier versions, which do not record it.
FALLBACK_CAUSES = "the embeddings hardly tell people apart, or fewer than three labels have two images"
#: Above this share of expected errors the extractor is called weak; strong ones stay below half a percent.
_WEAK = 0.02
_STRONGER = "purify run-flow SOURCE --embeddings FILE"


@dataclass(frozen=True)
class Notice:
    """A caveat to the whole report: a ``title``, its meaning, the ``remedy`` and the ``commands`` for it."""

    title: str
    text: str
    remedy: str = ""
    commands: Sequence[str] = ()


def notices(run: RunTables, *, faces_shown: bool) -> list[Notice]:
    """The notices of a run, the most serious first."""
    told = [Notice("A file of the run was damaged", f"{damage}.") for damage in run.info.get("damage", [])]
    told += [Notice("Warning of the source", f"{warning[:1].upper()}{warning[1:]}.") for warning in run.source_warnings]
    if run.pairs_warning:
        told.append(Notice("The gain is in doubt", f"{run.pairs_warning[:1].upper()}{run.pairs_warning[1:]}."))
    skipped = (run.info.get("inversions") or {}).get("skipped")
    told += [Notice("No faces of sub-centers", f"Asked for by invert.enabled, but {skipped}.")] if skipped else []
    distrust = [Notice("The verdicts can't be trusted", f"{run.weak[:1].upper()}{run.weak[1:]}.")] if run.weak else []
    found = [
        _missing(run),
        _fallback(run),
        _weak_extractor(run),
        _series(run),
        _looks(run),
        None if faces_shown else _no_faces(run),
    ]
    return [*distrust, *told, *filter(None, found)]


def expected_errors(run: RunTables) -> float | None:
    """Expected share of misjudged images by the rule's probabilities; None for a rule without any.

    Labels flagged as mixed or duplicate are left out: their probabilities also depend on which person a label means.
    """
    if not run.calibrated:
        return None
    structural = pa.array([Flag.MIXED.value, Flag.DUPLICATE_OF.value])
    flagged = run.class_report["label"].filter(pc.is_in(run.class_report["flag"], structural))
    plain = pc.invert(pc.is_in(run.verdicts["label"], flagged.combine_chunks()))
    p_clean = run.verdicts["p_clean"].filter(plain).to_numpy().astype(np.float64)
    doubt = np.minimum(p_clean, 1 - p_clean)
    return float(np.nanmean(doubt)) if np.isfinite(doubt).any() else None


def _missing(run: RunTables) -> Notice | None:
    missing = missing_images(run.manifest, run.source_warnings)
    if not len(missing):
        return None
    return Notice(
        f"{len(missing):,} of {len(run.manifest):,} images were not found",
        "They were neither judged nor kept, and are missing from every number below.",
        "Run it again with the folder or tar that the paths of the table are relative to:",
        ["purify run-flow SOURCE --images FOLDER"],
    )


def _fallback(run: RunTables) -> Notice | None:
    judged = run.info.get("judged_by") or {}
    asked = judged.get("asked") or run.info.get("config", {}).get("analyze", {}).get("rule")
    if asked != "calibrated" or run.calibrated or not run.rule:
        return None
    why = judged.get("why", FALLBACK_CAUSES)
    if run.rule == UNJUDGED:
        return Notice("Nothing was judged", f"{why[:1].upper()}{why[1:]}.")
    return Notice(
        f"The rule calibrated gave way to {run.rule}",
        f"No probability can be estimated, since {why}: images were judged by a fixed angle.",
        "Train longer, or give the embeddings of a stronger extractor:",
        [_STRONGER],
    )


def _weak_extractor(run: RunTables) -> Notice | None:
    wrong = expected_errors(run)
    if wrong is None or wrong <= _WEAK or run.weak:
        return None
    return Notice(
        f"Weak extractor: about {100 * wrong:.0f} % of the images are expected to be misjudged",
        "It confuses some people with each other, so labels that look alike to it may well be different people.",
        "Give the embeddings of a stronger extractor, or review the doubtful images:",
        [_STRONGER, "purify review RUN"],
    )


def _series(run: RunTables) -> Notice | None:
    series = (run.info.get("judged_by") or {}).get("series")
    if series is None:
        return None
    return Notice(
        f"The images come in {series:,} series",
        "Frames of videos, bursts or copies look alike, so each series was judged as one picture: where most series "
        "of a label are wrong, the wrong person is taken for the right one.",
    )


def _looks(run: RunTables) -> Notice | None:
    looks = (run.info.get("judged_by") or {}).get("suspected_looks")
    if looks is None:
        return None
    return Notice(
        f"{looks:,} of the removed images have their like under their own label",
        "Either several images of one wrong person stand under a label, or labels show things that look different from "
        "several sides, such as products.",
        "Look at them, and if they are right, judge again by looks:",
        ["purify analyze SOURCE --embeddings FILE --several-looks"],
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
