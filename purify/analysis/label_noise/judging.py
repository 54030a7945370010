"""Probabilities and class structure -> a decision, a reason and perhaps a new label for every image.

The `calibrated` rule. An image is removed when its label is more probably wrong than right, or as far as a wanted
precision allows. What is removed is relabeled where another label is recognized; where a label stands for two
people, the smaller group is never dropped without review.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from purify.analysis.identities.structure import Structure, find_structure
from purify.analysis.label_noise.calibration import LEAST_CLASSES, Calibration, calibrate
from purify.analysis.label_noise.centering import Coordinates, centered
from purify.arrays import Floats, Ids, Mask, Vectors
from purify.config import AnalyzeConfig
from purify.errors import InputError
from purify.tables.schema import Decision, Reason

Words = npt.NDArray[np.object_]

#: Name and version, as the ``rule`` column says them.
RULE = "calibrated/1"
#: Labels less probable than this are wrong, if no precision is asked for.
_WRONG = 0.5
#: ... and hard faces are kept unless they are less probable than this.
_ALL_BUT_SURELY_WRONG = 0.05
#: Another label that is more probable than this replaces the given one.
_RECOGNIZED = 0.8
#: Probability that the labels of a merge show one person, and that the larger group of a mixed label is the one that
#: the label means. Images can't tell the second: it is a guess on the side of caution, and why a person is asked.
_MERGE_CONFIDENCE = 0.98
_MAJORITY_CONFIDENCE = 0.65
#: Merges are carried out where at most this share of the verdicts is expected to be wrong; else they are proposals
#: in the class report alone. An extractor that takes people for each other takes labels for each other, too.
_SURE_ENOUGH = 0.01
#: With a smaller share of the right images recognized, the embeddings are hardly more than chance: of barely trained
#: networks 0.2 to 0.7 are, where the calibrated ranking is worse than the angle's; of the default recipe's 0.85, of
#: strong extractors 0.93 (classes of three images) to 0.98, where it is better.
_LEAST_RECOGNIZED = 0.75
#: Fewer removed images can't show whether a precision is met: one of them is a step of a whole percent.
LEAST_REMOVED = 100


@dataclass(frozen=True)
class Outcome:
    """What a rule says of N images, and what it saw.

    Attributes
    ----------
    decision, reason
        Values of `Decision` and `Reason`, [N].
    new_label, other
        int64 [N]: the label that replaces the given one, and the other label that fits best; -1 for none.
    p_clean, p_other
        float64 [N]: probability that the given label, and the other one, is right.
    """

    decision: Words
    reason: Words
    new_label: Ids
    other: Ids
    p_clean: Floats
    p_other: Floats


@dataclass(frozen=True)
class Judged:
    """`outcome` of the images and `structure` of the classes; `recognized` as in `Calibration`."""

    outcome: Outcome
    structure: Structure
    recognized: float

    @property
    def tells_people_apart(self) -> bool:
        """Whether the embeddings do; if not, no probability can be drawn from them."""
        return self.recognized >= _LEAST_RECOGNIZED


def judge(embeddings: Vectors, label_index: Ids, *, classes: int, config: AnalyzeConfig, seed: int) -> Judged:
    """Judge finite ``embeddings[N, D]`` of any extractor and scale, with labels in [0, `classes`).

    Raises
    ------
    InputError
        If the data can't support the wanted precision.
    ValueError
        With fewer than `calibration.LEAST_CLASSES` classes that have images.
    """
    coordinates = centered(embeddings)
    structure, calibration = _understand(coordinates, label_index, classes, config.near_duplicate, seed)
    merged = _merged_into(structure, classes)[label_index]
    doubt = float(np.minimum(calibration.p_clean, 1 - calibration.p_clean).mean())
    away = (merged != label_index) & (doubt <= _SURE_ENOUGH)
    p_person = calibration.p_clean
    mixed = structure.mixed[label_index]
    further = mixed & (structure.group > 0)
    p_clean = np.where(away, p_person * (1 - _MERGE_CONFIDENCE), p_person)
    p_clean = np.where(mixed & (structure.group == 0), p_clean * _MAJORITY_CONFIDENCE, p_clean)
    p_clean = np.where(further & (calibration.p_target < _RECOGNIZED), 1 - _MAJORITY_CONFIDENCE, p_clean)
    renamed = away & (p_person >= _WRONG)
    other = np.where(renamed, merged, calibration.target)
    p_other = np.where(renamed, p_person * _MERGE_CONFIDENCE, calibration.p_target)
    outcome = _decide(p_clean, p_other, other, config)
    outcome = _explain_structure(outcome, renamed=renamed, further=further)
    outcome = _spare_small_classes(outcome, np.bincount(label_index, minlength=classes)[label_index], config)
    return Judged(_ask_a_person(outcome, config.review_budget), structure, calibration.recognized)


def can_judge(label_index: Ids) -> bool:
    """Whether there are classes enough, of two images or more, to measure what right and wrong labels look like."""
    return int((np.bincount(label_index) > 1).sum()) >= LEAST_CLASSES


def _understand(
    coordinates: Coordinates, label_index: Ids, classes: int, near_duplicate: float, seed: int
) -> tuple[Structure, Calibration]:
    """Class structure, and probabilities that know it: labels of one person don't compete with each other."""
    first = calibrate(coordinates, label_index, classes=classes, near_duplicate=near_duplicate, seed=seed)
    structure = find_structure(coordinates.vectors, label_index, classes, first.p_clean, near_duplicate=near_duplicate)
    people = _merged_into(structure, classes)[label_index]
    if not structure.merges or not can_judge(people):
        return replace(structure, merges=()), first
    return structure, calibrate(coordinates, people, classes=classes, near_duplicate=near_duplicate, seed=seed)


def _merged_into(structure: Structure, classes: int) -> Ids:
    """The label [C] that each label ends as, by following the merges."""
    into = np.arange(classes)
    for merge in structure.merges:
        into[merge.label] = merge.into
    while True:
        farther = into[into]
        if (farther == into).all():
            return into
        into = farther


def _decide(p_clean: Floats, p_other: Floats, other: Ids, config: AnalyzeConfig) -> Outcome:
    """Keep, relabel or drop by the probabilities alone."""
    recognized = (p_other >= _RECOGNIZED) & (other >= 0)
    wrong = _removed(p_clean, config)
    if config.keep_hard:
        wrong &= recognized | (p_clean < _ALL_BUT_SURELY_WRONG)
    relabel = wrong & recognized
    decision = np.select([relabel, wrong], [Decision.RELABEL.value, Decision.DROP.value], Decision.KEEP.value)
    # Wrong, and more probably of the other label than of none.
    nearer = p_other >= (1 - p_clean) / 2
    reason = np.select(
        [relabel | (wrong & nearer), wrong, p_clean < _WRONG],
        [Reason.CLOSER_TO_OTHER_LABEL.value, Reason.OPEN_SET.value, Reason.UNCERTAIN.value],
        Reason.NEAR_DOMINANT.value,
    )
    new_label = np.where(relabel, other, -1)
    return Outcome(decision.astype(object), reason.astype(object), new_label, other, p_clean, p_other)


def _removed(p_clean: Floats, config: AnalyzeConfig) -> Mask:
    """What is removed: the most probably wrong, as many as the wanted precision allows."""
    if config.precision is None:
        return p_clean < _WRONG
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
    """Share [N] that is expected to be wrong of the first 1, 2, ... N images, by their ascending ``p_clean[N]``."""
    return np.cumsum(1 - ascending) / np.arange(1, len(ascending) + 1)


def _explain_structure(outcome: Outcome, *, renamed: Mask, further: Mask) -> Outcome:
    """Images of a label that is another one's duplicate, and of a mixed label's smaller groups.

    The smaller groups are left to a person, but for those that another label is recognized in.
    """
    decision, reason = outcome.decision.copy(), outcome.reason.copy()
    relabel = decision == Decision.RELABEL.value
    reason[renamed & relabel] = Reason.DUPLICATE_OF.value
    unsettled = further & ~relabel
    decision[unsettled] = Decision.REVIEW.value
    reason[unsettled] = Reason.SECOND_IDENTITY.value
    return replace(outcome, decision=decision, reason=reason)


def _spare_small_classes(outcome: Outcome, sizes: Ids, config: AnalyzeConfig) -> Outcome:
    """In classes with fewer images than `min_images` nothing is dropped without review."""
    small = (sizes < config.min_images) & (outcome.decision != Decision.RELABEL.value)
    decision, reason = outcome.decision.copy(), outcome.reason.copy()
    decision[small & (decision == Decision.DROP.value)] = Decision.REVIEW.value
    reason[small] = Reason.TOO_FEW_TO_JUDGE.value
    return replace(outcome, decision=decision, reason=reason)


def _ask_a_person(outcome: Outcome, budget: int) -> Outcome:
    """Leave the `budget` least certain of the kept and dropped images to a person."""
    open_ = outcome.decision != Decision.REVIEW.value
    doubt = np.minimum(outcome.p_clean, 1 - outcome.p_clean)
    candidates = np.flatnonzero(open_)
    asked = candidates[np.argsort(-doubt[candidates], kind="stable")[:budget]]
    decision, reason, new_label = outcome.decision.copy(), outcome.reason.copy(), outcome.new_label.copy()
    decision[asked] = Decision.REVIEW.value
    reason[asked] = Reason.UNCERTAIN.value
    new_label[asked] = -1
    return replace(outcome, decision=decision, reason=reason, new_label=new_label)
