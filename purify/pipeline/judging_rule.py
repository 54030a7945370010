"""The rule that judged a run, and the reason for it."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from purify.analysis.verdicts import Analysis

_LEAST_LABELS = 3
#: Above this share of images alone under their label, these may be why the set seemed unrecognizable.
_MANY_ALONE = 0.1


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
    """

    asked: str
    rule: str
    probabilities: bool
    fallback: bool
    why: str


def judging_rule(analysis: Analysis, asked: str) -> JudgingRule:
    """The rule behind an analysis for which the rule `asked` was requested."""
    fallback = analysis.rule.partition("/")[0] != asked
    why = _why_not_asked(analysis.verdicts) if fallback else "the rule asked for"
    return JudgingRule(asked, analysis.rule, analysis.probabilities, fallback, why)


def _why_not_asked(verdicts: pa.Table) -> str:
    """Reason for the fallback of `purify.analysis.verdicts.analyze` to a fixed angle."""
    sizes = [label["counts"] for label in verdicts["label"].value_counts().to_pylist()]
    if sum(size > 1 for size in sizes) < _LEAST_LABELS:
        return f"fewer than {_LEAST_LABELS} labels have two images or more"
    if (alone := sizes.count(1)) > _MANY_ALONE * len(verdicts):
        return f"{alone:,} of {len(verdicts):,} images are alone under their label, or the embeddings are weak"
    return "the embeddings hardly tell people apart"
