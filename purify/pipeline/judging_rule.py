"""The rule that judged a run, and the reason for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from purify.analysis.second_reading import FEWEST_IMAGES, LEAST_FOUND, NOISE_ERROR, doubt
from purify.analysis.verdicts import Analysis
from purify.evaluation.noise_rate import estimate_noise
from purify.faces.packaged_models import INSTALL


@dataclass(frozen=True)
class JudgingRule:
    """The entry ``judged_by`` of ``run.json``.

    Attributes
    ----------
    asked
        Name of the requested rule (``analyze.rule``).
    rule
        Name and version of the rule that judged.
    probabilities
        Whether ``p_clean`` is a probability; else it is a mere ranking score.
    fallback
        Whether another rule than the requested one judged.
    why
        The reason, in words.
    weak
        Why the verdicts can't be trusted, and the remedy, in a sentence; empty if nothing speaks against them.
    noise_bounds
        Shares of wrong labels that the estimate's interval has to hold, where a network judged the very labels that it
        was trained on.
    neighbor_recall
        Measured share of the nearest neighbors that the search found; 1 after an exhaustive one.
    series
        Number of series (frames, bursts, copies) that the images were judged in; None where they come in none.
    suspected_looks
        Number of removed images that have their like under their own label, where they are many: these labels may have
        several looks. None where they are not.
    """

    asked: str
    rule: str
    probabilities: bool
    fallback: bool
    why: str
    weak: str = ""
    noise_bounds: tuple[float, float] | None = None
    neighbor_recall: float = 1.0
    series: int | None = None
    suspected_looks: int | None = None


def told_of_looks(images: int) -> str:
    """What is told of so many `suspected_looks`."""
    return (
        f"{images:,} of the removed images have their like under their own label: either several images of one wrong "
        "person stand under a label, or labels show things that look different from several sides. Look at them, and "
        "if they are right, judge again with"
    )


def judging_rule(analysis: Analysis, asked: str, *, before: Mapping[str, Any] | None = None) -> JudgingRule:
    """The rule behind an analysis for which the rule `asked` was requested.

    `before` is the entry of the previous round: what it could not tell, this one's network has learned from it.
    """
    fallback = analysis.rule.partition("/")[0] != asked
    why = analysis.why or "the rule asked for"
    rule = JudgingRule(
        asked,
        analysis.rule,
        analysis.probabilities,
        fallback,
        why,
        neighbor_recall=analysis.recall,
        series=analysis.series,
        suspected_looks=analysis.suspected_looks,
    )
    weak, bounds = _weakness(analysis)
    if before and before.get("weak"):
        earlier = before.get("noise_bounds")
        weak, bounds = weak or before["weak"], _hull(bounds, tuple(earlier) if earlier else None)
    return replace(rule, weak=weak, noise_bounds=bounds)


def _weakness(analysis: Analysis) -> tuple[str, tuple[float, float] | None]:
    """Why verdicts can't be trusted, empty if they can; and bounds of the noise by a network trained on these labels.

    If they can, the bounds allow for the error of such networks. Else they span both readings, of which one finds too
    few wrong labels, and one too many; in a small set also what such a network misses.
    """
    if analysis.second_reading is None or not analysis.probabilities:
        return "", None
    p_clean = analysis.verdicts["p_clean"].to_numpy().astype(np.float64)
    why = doubt(p_clean, analysis.second_reading)
    if not why:
        judged = p_clean[np.isfinite(p_clean)]
        if not len(judged):
            return "", None
        share = 1 - float(judged.mean())
        return "", (max(0.0, share - NOISE_ERROR), min(1.0, share + NOISE_ERROR))
    _, numbers = np.unique(np.asarray(analysis.verdicts["label"].to_pylist(), dtype=object), return_inverse=True)
    readings = [estimate_noise(p, numbers.astype(np.int64)) for p in (p_clean, analysis.second_reading)]
    bounds = None
    for reading in readings:
        bounds = _hull(bounds, reading.interval if reading else None)
    if bounds and len(p_clean) < FEWEST_IMAGES:
        bounds = bounds[0], min(1.0, bounds[1] / LEAST_FOUND)
    remedy = f"{INSTALL}, or give an --extractor or --embeddings of other data"
    return f"don't trust these verdicts: {why}; {remedy}", bounds


def _hull(first: tuple[float, ...] | None, second: tuple[float, ...] | None) -> tuple[float, float] | None:
    both = [bound for bounds in (first, second) if bounds is not None for bound in bounds]
    return (min(both), max(both)) if both else None
