"""The rule that judged a run, and why that one."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

_LEAST_LABELS = 3


@dataclass(frozen=True)
class JudgingRule:
    """``judged_by`` in ``run.json``.

    Attributes
    ----------
    asked
        Name of the rule asked for (``analyze.rule``).
    judged
        Name and version of the rule in the verdicts.
    fallback
        Whether another rule than the one asked for judged.
    why
        A sentence.
    """

    asked: str
    judged: str
    fallback: bool
    why: str


def judging_rule(verdicts: pa.Table, asked: str) -> JudgingRule:
    """The rule of the verdicts (schema `VERDICTS`, before reviews)."""
    judged = verdicts["rule"][0].as_py() if len(verdicts) else asked
    if judged.partition("/")[0] == asked:
        return JudgingRule(asked, judged, fallback=False, why="the rule asked for")
    return JudgingRule(asked, judged, fallback=True, why=_why_not_asked(verdicts))


def _why_not_asked(verdicts: pa.Table) -> str:
    """Why `purify.analysis.verdicts.analyze` gave way to a fixed angle."""
    labels = verdicts["label"].value_counts().to_pylist()
    if sum(label["counts"] > 1 for label in labels) < _LEAST_LABELS:
        return f"fewer than {_LEAST_LABELS} labels have two images or more"
    return "the embeddings hardly tell people apart"
