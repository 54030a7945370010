"""Changes of the verdicts from one round of a run to the next, and the stop rule."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from purify.config import RoundsConfig
from purify.errors import InputError
from purify.tables.apply import final_labels
from purify.tables.schema import CHANGES, Decision

#: Rounds where no number is wanted.
_MOST_BY_DEFAULT = 2
_COMPARED = ("decision", "new_label", "p_clean", "reason")


class Stop(enum.StrEnum):
    """Reasons to stop after a round, the values of ``stopped_because``."""

    MOST_ROUNDS = "most_rounds"
    ONE_IS_ENOUGH = "one_is_enough"
    NOTHING_CHANGED = "nothing_changed"
    SETTLED = "settled"
    NO_IMAGES = "no_images"


#: Their meanings, as shown to users.
STOP_MEANINGS = {
    Stop.MOST_ROUNDS: "as many rounds as rounds.most allows (by default two)",
    Stop.ONE_IS_ENOUGH: "the first network had few wrong labels to learn (rounds.second_from), or did not learn them",
    Stop.NOTHING_CHANGED: "every sample ended as in the round before, so another round would repeat this one",
    Stop.SETTLED: "decisions and estimated noise changed less than rounds.least_change and rounds.least_noise_change",
    Stop.NO_IMAGES: "there are no images to train another round on; give their roots (--images)",
}


@dataclass(frozen=True)
class RoundSummary:
    """A round in ``run.json``: its number, from 1, the noise by `noise_estimate`, and the number of kept samples.

    ``changed`` counts the samples with another final label than in the round before; None in round 1.
    ``stopped_because`` is None in all but the last round.
    """

    round: int
    noise_estimate: float | None
    kept: int
    removed: int
    changed: int | None
    stopped_because: Stop | None


@dataclass(frozen=True)
class Comparison:
    """`changes` (schema `CHANGES`, in the order of the later verdicts) and the `summary` of the later round."""

    changes: pa.Table
    summary: RoundSummary


def first_round(verdicts: pa.Table, limits: RoundsConfig, *, trainable: bool, learned: bool) -> RoundSummary:
    """Summarize round 1, and decide whether it is the last.

    It is if only one round is wanted, or if there are no images to train on. Without a wanted number, it is unless its
    network `learned` the labels and more than ``limits.second_from`` of them are not kept.
    """
    stop: Stop | None = None if trainable else Stop.NO_IMAGES
    if limits.most == 1:
        stop = Stop.MOST_ROUNDS
    elif limits.most is None and not (learned and _is_worth_another(verdicts, limits)):
        stop = Stop.ONE_IS_ENOUGH
    return _summary(1, verdicts, changed=None, stop=stop)


def compare_rounds(number: int, before: pa.Table, verdicts: pa.Table, limits: RoundsConfig) -> Comparison:
    """Compare round `number` (2 or later) with the one before it, and decide whether it is the last.

    It is the last at ``limits.most`` (none: 2), without changes, or with the share of changed samples and the change of
    the estimated noise both below their limits. Drop and review both remove a sample, so a move between them is no
    change.
    `before` and `verdicts` (schema `VERDICTS`) judge the same samples in any order.

    Raises
    ------
    InputError
        If the tables don't judge the same samples.
    """
    before = _aligned(before, verdicts)
    old, new = final_labels(before), final_labels(verdicts)
    # A null is a value of its own.
    changed = pc.or_(pc.xor(old.is_null(), new.is_null()), pc.fill_null(pc.not_equal(old, new), False))
    changes = _changes(before.filter(changed), verdicts.filter(changed))
    noise = noise_estimate(before), noise_estimate(verdicts)
    noise_change = 0.0 if noise[0] is None or noise[1] is None else abs(noise[1] - noise[0])
    stop = None
    if len(changes) == 0:
        stop = Stop.NOTHING_CHANGED
    elif len(changes) / len(verdicts) < limits.least_change and noise_change < limits.least_noise_change:
        stop = Stop.SETTLED
    elif number >= (limits.most or _MOST_BY_DEFAULT):
        stop = Stop.MOST_ROUNDS
    return Comparison(changes, _summary(number, verdicts, changed=len(changes), stop=stop))


def noise_estimate(verdicts: pa.Table) -> float | None:
    """Mean of 1 - ``p_clean`` over the verdicts that have one, in [0, 1]; None if none has."""
    mean = pc.mean(verdicts["p_clean"].cast(pa.float64())).as_py()
    return None if mean is None else 1.0 - mean


def _is_worth_another(verdicts: pa.Table, limits: RoundsConfig) -> bool:
    """Whether many given labels were found wrong, and two labels are left to train on."""
    kept = pc.sum(pc.equal(verdicts["decision"], Decision.KEEP.value)).as_py() or 0
    wrong_share = 1 - float(kept) / max(len(verdicts), 1)
    return wrong_share > limits.second_from and pc.count_distinct(final_labels(verdicts)).as_py() > 1


def _summary(number: int, verdicts: pa.Table, *, changed: int | None, stop: Stop | None) -> RoundSummary:
    kept = pc.count(final_labels(verdicts)).as_py()
    return RoundSummary(number, noise_estimate(verdicts), kept, len(verdicts) - kept, changed, stop)


def _aligned(before: pa.Table, verdicts: pa.Table) -> pa.Table:
    """The earlier verdicts in the order of the later ones."""
    earlier, later = before["sample_id"].combine_chunks(), verdicts["sample_id"].combine_chunks()
    position = pc.index_in(later, earlier)
    if len(earlier) != len(later) or position.null_count:
        raise InputError(
            f"rounds: {len(earlier)} samples were judged in one round and {len(later)} in the next, and not all are "
            "the same; analyze the same manifest in both"
        )
    return before.take(position)


def _changes(before: pa.Table, verdicts: pa.Table) -> pa.Table:
    columns = {name: verdicts[name] for name in ("sample_id", "label", *_COMPARED)}
    columns |= {f"{name}_before": before[name] for name in _COMPARED}
    return pa.table(columns, schema=CHANGES)
