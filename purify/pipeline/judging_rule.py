"""The rule that judged a run, and why that one."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from purify.analysis.verdicts import Analysis

_LEAST_LABELS = 3


@dataclass(frozen=True)
class JudgingRule:
    """``judged_by`` in ``run.json``.

    Attributes
    ----------
    asked
        Name of the rule asked for (``analyze.rule``).
    rule
        Name and version of the rule that judged.
    probabilities
        Whether ``p_clean`` is a probability; else it is a score that ranks.
    fallback
        Whether another rule than the one asked for judged.
    why
        A sentence.
    """

    asked: str
    rule: str
    probabilities: bool
    fallback: bool
    why: str


def judging_rule(analysis: Analysis, asked: str) -> JudgingRule:
    """The rule of an analysis, when the rule `asked` was asked for."""
    fallback = analysis.rule.partition("/")[0] != asked
    why = _why_not_asked(analysis.verdicts) if fallback else "the rule asked for"
    return JudgingRule(asked, analysis.rule, analysis.probabilities, fallback, why)


def _why_not_asked(verdicts: pa.Table) -> str:
    """Why `purify.analysis.verdicts.analyze` gave way to a fixed angle."""
    labels = verdicts["label"].value_counts().to_pylist()
    if sum(label["counts"] > 1 for label in labels) < _LEAST_LABELS:
        return f"fewer than {_LEAST_LABELS} labels have two images or more"
    return "the embeddings hardly tell people apart"
