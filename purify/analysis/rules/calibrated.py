"""Rule `calibrated`: probabilities measured on the data set itself, and the class structure.

Images are removed if their label is more probably wrong than right, or as far as a wanted precision allows. A removed
image is relabeled if another label is recognized. The smaller group of a label of two people is never dropped without
review.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from purify.analysis.identities.looks import find_looks, of_labels
from purify.analysis.identities.merge import CERTAIN, LabelMerge
from purify.analysis.identities.same_picture import find_same_pictures
from purify.analysis.identities.shared_labels import trust_in_shared
from purify.analysis.identities.structure import Structure, find_structure
from purify.analysis.label_noise.calibration import Calibration, TooFewLabelsError, calibrate, can_judge
from purify.analysis.label_noise.centering import CenteredEmbeddings, centered
from purify.analysis.label_noise.companions import NoiseOrigin
from purify.analysis.label_noise.learned_labels import LearnedLabels
from purify.analysis.label_noise.series import series_distance
from purify.analysis.near_pairs import NearPairs, duplicate_distance
from purify.analysis.nearest_images import nearest_images
from purify.analysis.photo_evidence import once_in_a_photo
from purify.analysis.rules import removal
from purify.analysis.rules.angle_rules import OFFICIAL
from purify.analysis.rules.label_conflicts import explain_conflicts, settle
from purify.analysis.rules.removal import RECOGNIZED, WRONG
from purify.analysis.rules.rule import Outcome, RuleContext, identifier
from purify.analysis.second_reading import doubt, read_again
from purify.arrays import Floats, Ids, Mask, Vectors
from purify.config import AnalyzeConfig
from purify.errors import InputError

#: Probability that a mixed label means its larger group. Images can't tell: it is a cautious guess, which sends these
#: images to review.
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
    """`outcome` of the images; `recognized` and `noise_share` as in `Calibration`, `near_duplicate` as measured."""

    outcome: Outcome
    recognized: float
    noise_share: float
    near_duplicate: float


@dataclass(frozen=True)
class CalibratedRule:
    """Rule `calibrated`; it gives way to `official` if it has nothing to measure."""

    name: ClassVar[str] = "calibrated"
    version: ClassVar[int] = 7
    probabilities: ClassVar[bool] = True

    def judge(self, context: RuleContext) -> Outcome:
        """Judge by the embeddings, and by the head that learned these labels if it is known.

        With embeddings hardly above chance, judge as `official`, and drop at most the estimated share of wrong labels;
        with too few labels, keep all images.
        """
        config = context.config
        labels, classes = context.label_index, context.classes
        try:
            judged = judge(
                context.centered,
                labels,
                classes=classes,
                config=config,
                seed=context.seed,
                names=context.class_labels,
                near=context.near_pairs,
                near_labels=None if context.learned else context.nearest.labels,
                pictures=context.pictures,
                photos=context.photos,
                learned=context.learned,
            )
        except TooFewLabelsError as error:
            if config.precision is not None:
                raise InputError(f"the data can't support precision {config.precision:g}: {error}") from error
            return removal.keep_all(len(labels), why=f"nothing was judged and all images are kept, since only {error}")
        if judged.recognized >= (_LEAST_RECOGNIZED if context.learned is None else _LEAST_RECOGNIZED_LEARNED):
            return _read_twice(judged, context)
        if config.precision is not None:
            raise InputError(
                f"the data can't support precision {config.precision:g}: of the images that seem right only "
                f"{judged.recognized:.0%} are nearer to their own label than to another, so the embeddings hardly tell "
                "people apart; train longer, give --embeddings of a stronger extractor, or leave --precision out"
            )
        why = (
            f"of the images that seem right only {judged.recognized:.0%} are nearer to their own label than to "
            "another: the embeddings hardly tell people apart"
        )
        return replace(removal.drop_at_most(OFFICIAL.judge(context), judged.noise_share), why=why)


CALIBRATED = CalibratedRule()


def _read_twice(judged: Judged, context: RuleContext) -> Outcome:
    """The outcome with the second reading of a network trained on these labels; InputError if they don't agree."""
    outcome, config = judged.outcome, context.config
    if context.learned is None:
        return outcome
    again = read_again(
        context.centered,
        context.label_index,
        classes=context.classes,
        near_duplicate=judged.near_duplicate,
        seed=context.seed,
    )
    if config.precision is not None and (why := doubt(outcome.p_clean, again)):
        raise InputError(
            f"the data can't support precision {config.precision:g}: {why}; pip install 'purify[faces]', give an "
            "--extractor or --embeddings of other data, or leave --precision out"
        )
    return replace(outcome, second_reading=again)


def judge(
    embeddings: Vectors | CenteredEmbeddings,
    label_index: Ids,
    *,
    classes: int,
    config: AnalyzeConfig,
    seed: int,
    names: Sequence[str] | None = None,
    near: NearPairs | None = None,
    pictures: Ids | None = None,
    photos: Ids | None = None,
    learned: LearnedLabels | None = None,
    near_labels: npt.NDArray[np.int32] | None = None,
) -> Judged:
    """Judge finite ``embeddings[N, D]`` of any extractor and scale, or centered ones, with labels in [0, `classes`).

    `names` are the spellings of the labels, if they mean something; `near` the pairs of the images nearest to each
    other, found here if None; ``pictures[N]`` tells images of equal bytes, ``photos[N]`` faces of one photo, both as in
    `RuleContext`; `learned` is the evidence of the head that was trained on these labels together with the extractor;
    ``near_labels[N, R]`` are those that may claim each image, all if None.

    Raises
    ------
    InputError
        If the data can't support the wanted precision.
    TooFewLabelsError
        With fewer than 3 labels of two different pictures or more.
    """
    margin, vectors = (None, embeddings) if learned is None else (learned.margin, learned.embeddings)
    space = vectors if isinstance(vectors, CenteredEmbeddings) else centered(vectors, label_index)
    # In embeddings of a network that has learned the labels, the right images of a label are as alike as a series.
    series = None
    if learned is None and not config.several_looks:
        series = series_distance(space.vectors, label_index)
    same_picture = duplicate_distance(space.vectors, label_index, config.near_duplicate)
    near_duplicate = 1 - max(same_picture, series or 0.0)
    measure = partial(
        calibrate,
        space,
        classes=classes,
        near_duplicate=near_duplicate,
        seed=seed,
        margin=margin,
        near=near_labels,
    )
    if config.several_looks and can_judge(label_index):
        structure, calibration = _look_by_look(space, label_index, measure, classes, near_duplicate)
    else:
        structure, calibration = _understand(space, label_index, measure, classes, near_duplicate, names)
    if photos is not None:
        calibration = replace(calibration, p_clean=once_in_a_photo(calibration.p_clean, photos, label_index))
    merged = _merged_into(structure.sure_merges, classes)[label_index]
    away = (merged != label_index) & (_doubt(calibration.p_clean) <= _SURE_ENOUGH)
    mixed = structure.mixed[label_index]
    further = mixed & (structure.group > 0)
    renamed = away & (calibration.p_clean >= WRONG)
    alone = np.bincount(label_index)[label_index] == 1
    # Of images alone under their labels, only the pair itself speaks, and it is symmetric.
    unclaimed = np.where(alone, np.maximum(calibration.p_clean, 1 - calibration.noise_share), calibration.p_clean)
    if near is None:
        nearest = nearest_images(space.vectors, label_index, recall=config.recall)
        near = NearPairs.of(nearest, label_index, config.near_duplicate)
    same = find_same_pictures(near, merged, unclaimed, pictures)
    paired = same.contains(np.arange(len(alone))) & alone
    p_clean = _p_clean(calibration, away=away, majority=mixed & (structure.group == 0), further=further)
    settled = settle(
        same,
        structure.merges,
        label_index,
        np.where(paired & ~away, unclaimed, p_clean),
        np.select([renamed, paired & ~away], [calibration.p_clean * CERTAIN, 0.0], calibration.p_target),
        np.where(renamed, merged, calibration.target),
        min_images=config.min_images,
    )
    outcome = removal.decide(identifier(CALIBRATED), settled.p_clean, settled.p_other, settled.other, config)
    outcome = removal.explain_structure(outcome, renamed=renamed, further=further)
    outcome = removal.explain_kept(outcome, calibration.hard, alone=alone)
    outcome = removal.spare_small_classes(outcome, np.bincount(label_index, minlength=classes)[label_index], config)
    outcome = explain_conflicts(outcome, settled)
    outcome = removal.ask_a_person(outcome, config.review_budget)
    in_series = None if series is None else calibration.pictures
    outcome = replace(outcome, probabilities=True, structure=structure, series=in_series)
    return Judged(outcome, calibration.recognized, calibration.noise_share, near_duplicate)


def _p_clean(calibration: Calibration, *, away: Mask, majority: Mask, further: Mask) -> Floats:
    """Probability of the label, given the structure of the classes."""
    p_clean = np.where(away, calibration.p_clean * (1 - CERTAIN), calibration.p_clean)
    p_clean = np.where(majority, p_clean * _MAJORITY_CONFIDENCE, p_clean)
    return np.where(further & (calibration.p_target < RECOGNIZED), 1 - _MAJORITY_CONFIDENCE, p_clean)


def _understand(
    embeddings: CenteredEmbeddings,
    label_index: Ids,
    measure: Callable[..., Calibration],
    classes: int,
    near_duplicate: float,
    names: Sequence[str] | None,
) -> tuple[Structure, Calibration]:
    """Class structure, and probabilities without competition between labels of one person."""
    first = measure(label_index)
    structure = find_structure(
        embeddings.vectors,
        label_index,
        classes,
        first.p_clean,
        near_duplicate=near_duplicate,
        names=names,
        noise=NoiseOrigin.measured(first.noise_share, label_index, first.target, first.p_target),
    )
    if structure.shared:
        measure = partial(measure, trust=trust_in_shared(structure.shared, len(label_index)))
        first = measure(label_index)
    people = _merged_into(structure.merges, classes)[label_index]
    if not structure.merges or not can_judge(people):
        return replace(structure, merges=()), first
    # Among labels that have swapped images, many look like one person: they go on competing.
    return structure, measure(people) if _doubt(first.p_clean) <= _SURE_ENOUGH else first


def _look_by_look(
    embeddings: CenteredEmbeddings,
    label_index: Ids,
    measure: Callable[..., Calibration],
    classes: int,
    near_duplicate: float,
) -> tuple[Structure, Calibration]:
    """Probabilities where each look of a label is judged as a label; which labels are one, looks can't tell."""
    look, label_of = find_looks(embeddings.vectors, label_index, classes, near_duplicate)
    found = measure(look, classes=len(label_of), near=None)
    nothing = Structure(np.zeros(len(look), np.int32), np.zeros(classes, np.bool_), ())
    return nothing, of_labels(found, look, label_of)


def _doubt(p_clean: Floats) -> float:
    """Expected share of wrong verdicts."""
    return float(np.minimum(p_clean, 1 - p_clean).mean())


def _merged_into(merges: tuple[LabelMerge, ...], classes: int) -> Ids:
    """The final label [C] of each label, by following the merges."""
    into = np.arange(classes)
    for merge in merges:
        into[merge.label] = merge.into
    while not np.array_equal(into, into[into]):
        into = into[into]
    return into
