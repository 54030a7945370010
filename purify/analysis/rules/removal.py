"""Probabilities -> a decision, a reason and perhaps a new label for every image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from purify.analysis.rules.rule import Outcome
from purify.arrays import Floats, Ids, Mask
from purify.config import AnalyzeConfig
from purify.errors import InputError
from purify.tables.schema import Decision, Reason

#: Labels less probable than this are removed if no precision is wanted ...
WRONG = 0.5
#: ... or, with `keep_hard`, those less probable than this, or recognized as another label.
_ALL_BUT_SURELY_WRONG = 0.05
#: Another label of at least this probability replaces a removed one.
RECOGNIZED = 0.8
#: Minimum removed images to show a precision: of fewer, each counts more than a percent.
LEAST_REMOVED = 100


def decide(rule: str, p_clean: Floats, p_other: Floats, other: Ids, config: AnalyzeConfig) -> Outcome:
    """Keep, relabel or drop by the probabilities alone."""
    recognized = (p_other >= RECOGNIZED) & (other >= 0)
    wrong = _removed(p_clean, config)
    if config.keep_hard:
        wrong &= recognized | (p_clean < _ALL_BUT_SURELY_WRONG)
    relabel = wrong & recognized
    decision = np.select([relabel, wrong], [Decision.RELABEL.value, Decision.DROP.value], Decision.KEEP.value)
    of_other = p_other >= (1 - p_clean) / 2  # more probably of the other label than of none
    reason = np.select(
        [relabel | (wrong & of_other), wrong, p_clean < WRONG],
        [Reason.CLOSER_TO_OTHER_LABEL.value, Reason.OPEN_SET.value, Reason.UNCERTAIN.value],
        Reason.NEAR_DOMINANT.value,
    )
    new_label = np.where(relabel, other, -1)
    return Outcome(rule, decision.astype(object), reason.astype(object), new_label, other, p_clean, p_other)


def _removed(p_clean: Floats, config: AnalyzeConfig) -> Mask:
    """Mask of the removed images: as many of the most probably wrong as the wanted precision allows."""
    if config.precision is None:
        return p_clean < WRONG
    order = np.argsort(p_clean, kind="stable")
    expected = expected_precision(p_clean[order])
    count = int((expected >= config.precision).sum())  # `expected` falls from row to row
    if count < LEAST_REMOVED:
        raise InputError(
            f"the data can't support precision {config.precision:g}: only {count} of {len(p_clean)} samples are "
            f"as surely wrong as that, too few to tell {config.precision:g} from less (at least {LEAST_REMOVED} "
            "are needed); leave --precision out, or lower it"
        )
    return p_clean <= p_clean[order[count - 1]]


def expected_precision(ascending: Floats) -> Floats:
    """Expected share [N] of wrong labels among the first 1, 2, ... N images, by their ascending ``p_clean[N]``."""
    return np.cumsum(1 - ascending) / np.arange(1, len(ascending) + 1)


#: Rule of images that nothing could judge.
UNJUDGED = "unjudged/1"


def keep_all(images: int, *, why: str) -> Outcome:
    """Outcome for `images` images of which nothing is known, for the reason `why`."""
    return Outcome(
        rule=UNJUDGED,
        decision=np.full(images, Decision.KEEP.value, object),
        reason=np.full(images, Reason.TOO_FEW_TO_JUDGE.value, object),
        new_label=np.full(images, -1, np.int64),
        other=np.full(images, -1, np.int64),
        p_clean=np.ones(images),
        p_other=np.full(images, np.nan),
        why=why,
    )


def explain_kept(outcome: Outcome, hard: Floats, *, alone: Mask) -> Outcome:
    """Set the reasons of kept images that their label's other images don't speak for.

    These are images `alone` under their label, and those that are rather right but unrecognizable: ``hard[N]``.
    """
    kept = outcome.decision == Decision.KEEP.value
    reason = np.where(kept & (hard > outcome.p_clean / 2), Reason.HARD.value, outcome.reason)
    return replace(outcome, reason=np.where(kept & alone, Reason.TOO_FEW_TO_JUDGE.value, reason))


def drop_at_most(outcome: Outcome, share: float) -> Outcome:
    """Keep the likeliest of the dropped images where they are more than `share` of all, as `Reason.UNCERTAIN`."""
    dropped = np.flatnonzero(outcome.decision == Decision.DROP.value)
    spared = dropped[np.argsort(outcome.p_clean[dropped], kind="stable")[round(share * len(outcome.p_clean)) :]]
    decision, reason = outcome.decision.copy(), outcome.reason.copy()
    decision[spared], reason[spared] = Decision.KEEP.value, Reason.UNCERTAIN.value
    return replace(outcome, decision=decision, reason=reason)


def explain_structure(outcome: Outcome, *, renamed: Mask, further: Mask) -> Outcome:
    """Set the reasons for images of duplicate labels and of the smaller groups of mixed ones.

    The smaller groups are left to a person, except for images with another recognized label.
    """
    relabel = outcome.decision == Decision.RELABEL.value
    unsettled = further & ~relabel
    decision = np.where(unsettled, Decision.REVIEW.value, outcome.decision)
    reason = np.where(renamed & relabel, Reason.DUPLICATE_OF.value, outcome.reason)
    return replace(outcome, decision=decision, reason=np.where(unsettled, Reason.SECOND_IDENTITY.value, reason))


def spare_small_classes(outcome: Outcome, sizes: Ids, config: AnalyzeConfig) -> Outcome:
    """Turn drops into reviews in classes with fewer than `min_images` images."""
    dropped = (sizes < config.min_images) & (outcome.decision == Decision.DROP.value)
    decision = np.where(dropped, Decision.REVIEW.value, outcome.decision)
    return replace(outcome, decision=decision, reason=np.where(dropped, Reason.TOO_FEW_TO_JUDGE.value, outcome.reason))


def ask_a_person(outcome: Outcome, budget: int) -> Outcome:
    """Leave the `budget` least certain of the kept and dropped images to a person."""
    doubt = np.minimum(outcome.p_clean, 1 - outcome.p_clean)
    candidates = np.flatnonzero(outcome.decision != Decision.REVIEW.value)
    asked = candidates[np.argsort(-doubt[candidates], kind="stable")[:budget]]
    decision, reason, new_label = outcome.decision.copy(), outcome.reason.copy(), outcome.new_label.copy()
    decision[asked] = Decision.REVIEW.value
    reason[asked] = Reason.UNCERTAIN.value
    new_label[asked] = -1
    return replace(outcome, decision=decision, reason=reason, new_label=new_label)
