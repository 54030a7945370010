"""Near duplicates within a label: marked, and dropped on request; any rule's verdict on the label stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from purify.analysis.near_pairs import duplicates_within_labels
from purify.analysis.rules.rule import Outcome, RuleContext
from purify.arrays import Ids
from purify.tables.schema import Decision, Reason


def find_duplicates(context: RuleContext, outcome: Outcome) -> Ids:
    """For each kept image, an earlier one of its label that it is a near duplicate of; -1 for none, [N]."""
    kept = outcome.decision == Decision.KEEP.value
    return duplicates_within_labels(
        context.near_pairs,
        context.centered.vectors,
        context.label_index,
        kept,
        context.config.near_duplicate,
        context.pictures,
    )


def mark_duplicates(outcome: Outcome, duplicate_of: Ids, *, dedupe: bool) -> Outcome:
    """Set reason and evidence of the near duplicates, and drop them with `dedupe`."""
    marked = duplicate_of >= 0
    if not marked.any():
        return outcome
    evidence = np.full(len(marked), -1, np.int64) if outcome.evidence is None else outcome.evidence
    return replace(
        outcome,
        decision=np.where(marked & dedupe, Decision.DROP.value, outcome.decision),
        reason=np.where(marked, Reason.NEAR_DUPLICATE_OF.value, outcome.reason),
        evidence=np.where(marked, duplicate_of, evidence),
    )
