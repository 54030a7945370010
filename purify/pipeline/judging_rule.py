"""The rule that judged a run, and the reason for it."""

from __future__ import annotations

from dataclasses import dataclass

from purify.analysis.verdicts import Analysis


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
    return JudgingRule(asked, analysis.rule, analysis.probabilities, fallback, analysis.why or "the rule asked for")
