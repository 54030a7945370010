"""Rule `calibrated`: probabilities measured on the data set itself, and the class structure.

Images are removed if their label is more probably wrong than right, or as far as a wanted precision allows. A removed
image is relabeled if another label is recognized. The smaller group of a label of two people is never dropped without
review.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np

from purify.analysis.identities.structure import Structure, find_structure
from purify.analysis.label_noise.calibration import Calibration, allow_for_unseen, calibrate
from purify.analysis.label_noise.centering import CenteredEmbeddings, centered
from purify.analysis.label_noise.class_rates import LEAST_CLASSES
from purify.analysis.label_noise.learned_labels import LearnedLabels
from purify.analysis.rules import removal
from purify.analysis.rules.angle_rules import OFFICIAL
from purify.analysis.rules.removal import RECOGNIZED, WRONG
from purify.analysis.rules.rule import Outcome, RuleContext, identifier
from purify.arrays import Floats, Ids, Mask, Vectors
from purify.config import AnalyzeConfig
from purify.errors import InputError

#: Probability that the labels of a merge show one person, and that a mixed label means its larger group. Images can't
#: tell the latter: it is a cautious guess, which sends these images to review.
_MERGE_CONFIDENCE = 0.98
_MAJORITY_CONFIDENCE = 0.65
#: Largest expected share of wrong verdicts at which merges are carried out; above it they remain proposals in the class
#: report, since an extractor that confuses people also confuses labels.
_SURE_ENOUGH = 0.01
#: Minimum share of recognized right images; below it the embeddings are hardly above chance. Barely trained networks
#: reach 0.2 to 0.7, where the calibrated ranking is worse than the angle's; the default recipe 0.85, strong extractors
#: 0.93 (classes of three images) to 0.98, where it is better.
_LEAST_RECOGNIZED = 0.75
#: The same where the head that learned the labels is known, whose evidence makes more of weak embeddings: on 45 % flips
#: average precision and F1 were above the angle's from 0.54 on (0.91 and 0.86 for 0.89 and 0.67), below it at 0.36.
_LEAST_RECOGNIZED_LEARNED = 0.5


@dataclass(frozen=True)
class Judged:
    """`outcome` of the images; `recognized` and `noise_share` as in `Calibration`."""

    outcome: Outcome
    recognized: float
    noise_share: float


@dataclass(frozen=True)
class CalibratedRule:
    """Rule `calibrated`; it gives way to `official` if it has nothing to measure."""

    name: ClassVar[str] = "calibrated"
    version: ClassVar[int] = 1
    probabilities: ClassVar[bool] = True

    def judge(self, context: RuleContext) -> Outcome:
        """Judge by the embeddings, and by the head that learned these labels if it is known.

        With too few labels, or embeddings hardly above chance, judge as `official`; with the latter, at most the
        estimated share of wrong labels is dropped.
        """
        if not can_judge(context.label_index):
            return OFFICIAL.judge(context)
        config = context.config
        labels, classes = context.label_index, context.classes
        judged = judge(
            context.embeddings,
            labels,
            classes=classes,
            config=config,
            seed=context.seed,
            learned=context.learned,
            unseen=context.unseen,
        )
        if judged.recognized >= (_LEAST_RECOGNIZED if context.learned is None else _LEAST_RECOGNIZED_LEARNED):
            return judged.outcome
        if config.precision is not None:
            raise InputError(
                f"the data can't support precision {config.precision:g}: of the images that seem right only "
                f"{judged.recognized:.0%} are nearer to their own label than to another, so the embeddings hardly tell "
                "people apart; train longer, give --embeddings of a stronger extractor, or leave --precision out"
            )
        return removal.drop_at_most(OFFICIAL.judge(context), judged.noise_share)


CALIBRATED = CalibratedRule()


def judge(
    embeddings: Vectors,
    label_index: Ids,
    *,
    classes: int,
    config: AnalyzeConfig,
    seed: int,
    learned: LearnedLabels | None = None,
    unseen: Mask | None = None,
) -> Judged:
    """Judge finite ``embeddings[N, D]`` of any extractor and scale, with labels in [0, `classes`).

    `learned` is the evidence of the head that was trained on these labels together with the extractor, ``unseen[N]``
    marks the images that this training left out.

    Raises
    ------
    InputError
        If the data can't support the wanted precision.
    ValueError
        With images of fewer than `LEAST_CLASSES` classes.
    """
    margin, vectors = (None, embeddings) if learned is None else (learned.margin, learned.embeddings)
    structure, calibration = _understand(centered(vectors), label_index, classes, config.near_duplicate, seed, margin)
    if unseen is not None:
        calibration = allow_for_unseen(calibration, unseen)
    merged = _merged_into(structure, classes)[label_index]
    doubt = float(np.minimum(calibration.p_clean, 1 - calibration.p_clean).mean())
    away = (merged != label_index) & (doubt <= _SURE_ENOUGH)
    mixed = structure.mixed[label_index]
    further = mixed & (structure.group > 0)
    renamed = away & (calibration.p_clean >= WRONG)
    outcome = removal.decide(
        identifier(CALIBRATED),
        _p_clean(calibration, away=away, majority=mixed & (structure.group == 0), further=further),
        np.where(renamed, calibration.p_clean * _MERGE_CONFIDENCE, calibration.p_target),
        np.where(renamed, merged, calibration.target),
        config,
    )
    outcome = removal.explain_structure(outcome, renamed=renamed, further=further)
    outcome = removal.spare_small_classes(outcome, np.bincount(label_index, minlength=classes)[label_index], config)
    outcome = removal.ask_a_person(outcome, config.review_budget)
    outcome = replace(outcome, probabilities=True, structure=structure)
    return Judged(outcome, calibration.recognized, calibration.noise_share)


def can_judge(label_index: Ids) -> bool:
    """Whether there are enough classes of two images or more to measure right and wrong labels."""
    return int((np.bincount(label_index) > 1).sum()) >= LEAST_CLASSES


def _p_clean(calibration: Calibration, *, away: Mask, majority: Mask, further: Mask) -> Floats:
    """Probability of the label, given the structure of the classes."""
    p_clean = np.where(away, calibration.p_clean * (1 - _MERGE_CONFIDENCE), calibration.p_clean)
    p_clean = np.where(majority, p_clean * _MAJORITY_CONFIDENCE, p_clean)
    return np.where(further & (calibration.p_target < RECOGNIZED), 1 - _MAJORITY_CONFIDENCE, p_clean)


def _understand(
    embeddings: CenteredEmbeddings,
    label_index: Ids,
    classes: int,
    near_duplicate: float,
    seed: int,
    margin: Floats | None,
) -> tuple[Structure, Calibration]:
    """Class structure, and probabilities without competition between labels of one person."""
    measure = partial(calibrate, embeddings, classes=classes, near_duplicate=near_duplicate, seed=seed, margin=margin)
    first = measure(label_index)
    structure = find_structure(embeddings.vectors, label_index, classes, first.p_clean, near_duplicate=near_duplicate)
    people = _merged_into(structure, classes)[label_index]
    if not structure.merges or not can_judge(people):
        return replace(structure, merges=()), first
    return structure, measure(people)


def _merged_into(structure: Structure, classes: int) -> Ids:
    """The final label [C] of each label, by following the merges."""
    into = np.arange(classes)
    for merge in structure.merges:
        into[merge.label] = merge.into
    while not np.array_equal(into, into[into]):
        into = into[into]
    return into
