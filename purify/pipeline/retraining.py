"""The retraining rule for growing data sets: by the share of new images, and by the drift of their angles."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from purify.config import GrowConfig


class Because(enum.StrEnum):
    """Reasons for or against training; the closed list of ``because``."""

    FIRST_TRAINING = "first_training"
    NEW_SHARE = "new_share"
    DRIFT = "drift"
    CONFIGURATION = "configuration"
    IMAGES_GONE = "images_gone"
    FEW_NEW = "few_new"
    NOTHING_NEW = "nothing_new"


NOTHING_NEW = "nothing is new in the source, and nothing else changed"


@dataclass(frozen=True)
class TrainingState:
    """Inputs of the retraining rule.

    Attributes
    ----------
    images
        Usable images now.
    new_images
        Usable images not in the last training under their label; None before the first training.
    trained
        Whether the models of the last training exist and match the present recipe.
    trainable
        Whether the images of the last training still exist.
    unfinished
        Reason for the training of an interrupted update; None without such a training.
    choosing
        Whether that update was interrupted before its training table was written.
    """

    images: int
    new_images: int | None
    trained: bool
    trainable: bool
    unfinished: Because | None
    choosing: bool = False


@dataclass(frozen=True)
class TrainingDecision:
    """Whether to train, on which images, and why.

    Attributes
    ----------
    because
        The reason.
    train
        Whether the models are trained in this update.
    choose
        Whether they are trained on the present images; else on those of the last or interrupted training.
    """

    because: Because
    train: bool
    choose: bool


def decide(state: TrainingState, limits: GrowConfig) -> TrainingDecision:
    """Apply the rule to the share of new images, before any is embedded; `drifted` is its second part."""
    if state.new_images is None:
        return TrainingDecision(Because.FIRST_TRAINING, train=True, choose=True)
    if state.new_images > limits.retrain_share * state.images:
        return TrainingDecision(Because.NEW_SHARE, train=True, choose=True)
    if not state.trained and not state.trainable:
        return TrainingDecision(Because.IMAGES_GONE, train=True, choose=True)
    if state.unfinished is not None:
        return TrainingDecision(state.unfinished, train=True, choose=state.choosing)
    if not state.trained:
        return TrainingDecision(Because.CONFIGURATION, train=True, choose=True)
    return TrainingDecision(Because.FEW_NEW, train=False, choose=False)


def explain(because: Because, state: TrainingState, limits: GrowConfig) -> str:
    """The reason in words, with its figures."""
    match because:
        case Because.FIRST_TRAINING:
            return "nothing was trained before"
        case Because.NEW_SHARE | Because.FEW_NEW:
            new = state.new_images or 0
            than = "more than" if because is Because.NEW_SHARE else "not more than"
            share = f"{new} of {state.images} images ({new / max(state.images, 1):.1%}) are new since the last training"
            return f"{share}, {than} grow.retrain_share = {limits.retrain_share:g}"
        case Because.DRIFT:  # its figure is not known before the new images are judged
            return "new images lie farther from their labels' sub-centers than the training images"
        case Because.CONFIGURATION:
            return "the training recipe changed, or its files are gone"
        case Because.IMAGES_GONE:
            return "images of an unfinished training are gone"
        case Because.NOTHING_NEW:
            return NOTHING_NEW


def angle_drift(angles: npt.NDArray[np.floating], new: npt.NDArray[np.bool_], limits: GrowConfig) -> float | None:
    """Median excess angle of new images to the dominant sub-centers of their labels, in degrees.

    Parameters
    ----------
    angles
        float[N], degrees to the dominant sub-center of each image's label; NaN: none.
    new
        bool[N]: images unknown to the model.
    limits
        Fewer new images than ``drift_images`` are not evaluated.

    Returns
    -------
    float or None
        Difference of the medians of new and other images; None with too few of either.
    """
    known = np.isfinite(angles)
    new, other = angles[known & new], angles[known & ~new]
    if min(len(new), len(other)) < limits.drift_images:
        return None
    return float(np.median(new) - np.median(other))


def drifted(drift: float | None, limits: GrowConfig) -> bool:
    """Whether new images no longer fit the model."""
    return drift is not None and limits.drift_degrees is not None and drift > limits.drift_degrees
